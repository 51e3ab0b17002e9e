"""The map over processes of this machine, with the workers' environment set before torch loads in them.

A small model uses one core well and two cores badly (threads wait for each other at every small operation), so work
is spread as processes of one thread each. A worker ends by itself when its parent is gone, however it went.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_sentinel
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from typing import Any, TypeVar

from chidu.errors import WorkerError
from chidu.parallel.environment import worker_environment
from chidu.parallel.words import Word, words_as_events

__all__ = ["Emit", "end_with_parent", "map_processes", "meeting"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Emit = Callable[[Any], None]

_events: SimpleQueue[Any] | None = None
_shared: tuple[Any, Barrier] | None = None


def map_processes(
    function: Callable[[Item, Emit], Result],
    items: Sequence[Item],
    workers: int,
    on_event: Callable[[int, Any], None] | None = None,
    after: Sequence[int | None] | None = None,
    shared_bytes: int = 0,
) -> list[Result]:
    """Call ``function(item, emit)`` for every item in ``workers`` processes; return the results in the items' order.

    Items start in the order given (put the longest first); where ``after[i]`` is an index, item i starts when that item
    is done. With ``shared_bytes`` all items run at once, and share memory of that size and a barrier: see `meeting`.
    Whatever a worker passes to ``emit`` reaches ``on_event(index of the item, event)`` in this process. The first error
    stops the rest and is raised; a worker that was killed raises WorkerError.
    """
    if not items:
        return []
    workers = len(items) if shared_bytes else min(workers, len(items))
    context = multiprocessing.get_context("spawn")
    events: SimpleQueue[Any] = context.SimpleQueue()
    reader = _Reader(events, on_event)
    reader.start()
    with worker_environment():
        shared = (context.RawArray("b", shared_bytes), context.Barrier(workers)) if shared_bytes else None
        pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(events, shared))
        try:
            results = _run_all(lambda index: _submit(pool, function, index, items[index]), after or [None] * len(items))
        except BrokenProcessPool as error:
            _stop(pool)
            raise WorkerError(
                "a worker process was killed (out of memory, perhaps): run the same command again to resume"
            ) from error
        except BaseException:
            _stop(pool)
            raise
    pool.shutdown()
    events.put(None)
    reader.join()
    if reader.error is not None:
        raise reader.error
    return results


def _run_all(submit: Callable[[int], Future[Result]], after: Sequence[int | None]) -> list[Result]:
    """Submit each item as soon as the one it waits for is done; return the results in the items' order."""
    running = {submit(index): index for index, first in enumerate(after) if first is None}
    results: dict[int, Result] = {}
    while running:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            index = running.pop(future)
            results[index] = future.result()
            running.update({submit(later): later for later, first in enumerate(after) if first == index})
    return [results[index] for index in range(len(after))]


def _submit(
    pool: ProcessPoolExecutor, function: Callable[[Item, Emit], Result], index: int, item: Item
) -> Future[Result]:
    """Submit one item. The first starts the workers, which inherit that Ctrl-C is held: a terminal sends it to all."""
    has_masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if has_masks else None
    try:
        return pool.submit(_call, function, index, item)
    except OSError as error:
        # A pool that breaks just now has closed its pipe, and has not yet said that it is broken.
        raise BrokenProcessPool(str(error)) from error
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the workers now; their work is resumed from what they saved."""
    processes = list((pool._processes or {}).values())
    for process in processes:
        process.kill()
    for process in processes:
        process.join(5)
    pool.shutdown(wait=False, cancel_futures=True)


class _Reader(threading.Thread):
    """Passes the workers' events on. It reads on after an error, or the workers would wait for a full pipe for ever."""

    def __init__(self, events: SimpleQueue[Any], on_event: Callable[[int, Any], None] | None) -> None:
        super().__init__(daemon=True)
        self.events, self.on_event = events, on_event
        self.error: BaseException | None = None

    def run(self) -> None:
        while (told := self.events.get()) is not None:
            index, event = told
            if isinstance(event, Word):
                event.say()
            elif self.on_event is not None and self.error is None:
                try:
                    self.on_event(index, event)
                except BaseException as error:
                    self.error = error


def meeting() -> tuple[memoryview, Barrier]:
    """Return, in a worker of a map with `shared_bytes`, the memory and the barrier that all its workers share."""
    if _shared is None:
        raise RuntimeError("no memory was shared: call map_processes with shared_bytes")
    return memoryview(_shared[0]).cast("B"), _shared[1]


def _start_worker(events: SimpleQueue[Any], shared: tuple[Any, Barrier] | None) -> None:
    global _events, _shared
    _events, _shared = events, shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent(end: Callable[[], None] = lambda: os._exit(1)) -> None:
    """End this process when the one that started it is gone: at once, or in another way."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_sentinel([parent.sentinel])
    end()


def _call(function: Callable[[Item, Emit], Result], index: int, item: Item) -> Result:
    queue = _events
    assert queue is not None

    def emit(event: Any) -> None:
        queue.put((index, event))

    with words_as_events(emit):
        return function(item, emit)
