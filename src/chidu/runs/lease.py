"""A run's folder is held by one worker at a time, on whatever machine: its lease.

A lease is a file `lease.scratch/00000007` in the run's folder. Its holder makes it a byte longer every few seconds. Who
waits for it watches whether it grows, over time measured by itself: clocks of two machines are never compared. One that
stopped growing is taken over by making the next file, which only one can; the folder's holder is who made the
highest, and numbers only rise. So a worker that was cut off, and comes back, sees that it no longer is, and writes
nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chidu.errors import LeaseError
from chidu.runs.storage import passes, steadily

__all__ = ["Lease", "forget_leases", "hold"]

RENEW_SECONDS = 2.0
EXPIRY_SECONDS = 15.0
"""A lease that did not grow for so long is nobody's. Far longer than storage takes to show a change to all."""
PATIENCE_SECONDS = 120.0
"""How long to wait for one that grows: by then a machine that is cut off from its cluster alone has ended its work."""
LOOK_SECONDS = 0.5
LET_GO = b"!"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lease:
    """One worker's hold on a run's folder; it may be handed to a process of that worker."""

    path: Path
    owner: bytes
    """The first line of the file."""

    def check(self) -> None:
        """Raise LeaseError where the folder is held by another worker now. Call it before anything is written."""
        if steadily(self._is_held, self.path):
            return
        newest = _newest(self.path.parent)
        holder = _words(_read(newest)) if newest is not None and newest != self.path else "another worker"
        raise LeaseError(
            f"{self.path.parent.parent} is held by {holder} now, since nothing was heard of this one for a while: "
            "it ends here, and writes nothing more"
        )

    def _is_held(self) -> bool:
        # Opened, not only listed: shared storage then asks its server, not what it remembers.
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return False
        return content.startswith(self.owner) and _newest(self.path.parent) == self.path


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[Lease]:
    """Hold a run's folder, made where there is none, until the block ends.

    Waits for a holder that may be gone: not at all where that was a process of this machine that is no more, else until
    its lease did not grow for 15 s. Raises LeaseError where another worker goes on holding it.
    """
    lease = _take(folder / "lease.scratch")
    ended = threading.Event()
    thread = threading.Thread(target=_renew, args=(lease.path, ended), daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        # Where it was taken over there is nothing to let go of.
        with contextlib.suppress(OSError):
            _append(lease.path, LET_GO)


def forget_leases(folder: Path) -> None:
    """Remove the leases of a run that is whole, when nobody begins it any more."""
    shutil.rmtree(folder / "lease.scratch", ignore_errors=True)


def _take(folder: Path) -> Lease:
    """Make the next lease of a folder of leases, once the one before is nobody's."""
    owner = _owner()
    while True:
        newest = _newest(folder)
        if newest is not None:
            _wait_for(newest)
        path = folder / f"{1 + (int(newest.name) if newest is not None else 0):08d}"
        try:
            steadily(lambda: _make(path, owner), path)  # noqa: B023
        except (FileExistsError, FileNotFoundError):
            continue  # another was quicker, or the run is whole
        if _newest(folder) != path:
            path.unlink(missing_ok=True)  # others came and went meanwhile: this number is past
            continue
        if newest is not None:
            newest.unlink(missing_ok=True)
        return Lease(path, owner)


def _make(path: Path, owner: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(descriptor, owner)
    finally:
        os.close(descriptor)


def _append(path: Path, sign: bytes) -> None:
    """Make a lease longer. It is opened each time, so that shared storage shows the change to the others."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, sign)
    finally:
        os.close(descriptor)


def _renew(path: Path, ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        try:
            _append(path, b".")
        except OSError as error:
            if not passes(error):
                return  # taken over, which `check` finds


def _wait_for(lease: Path) -> None:
    """Return when a lease is nobody's any more. Raises LeaseError where its holder is at work still."""
    begun = grown = time.monotonic()
    content = steadily(lambda: _read(lease), lease)
    told = False
    while not _is_free(content) and time.monotonic() - grown < EXPIRY_SECONDS:
        if not told and time.monotonic() - begun > RENEW_SECONDS:
            log.warning("%s was held by %s: waiting until that is surely gone", lease.parent.parent, _words(content))
            told = True
        time.sleep(LOOK_SECONDS)
        before, content = content, steadily(lambda: _read(lease), lease)
        if content != before:
            grown = time.monotonic()
        if time.monotonic() - begun > PATIENCE_SECONDS:
            raise LeaseError(
                f"{lease.parent.parent} is held by {_words(content)}, which is at work: wait for it, or stop it"
            )


def _is_free(content: bytes) -> bool:
    """True where the holder let go, or was a process of this machine that is no more."""
    return content.endswith(LET_GO) or _is_dead(content)


def _read(lease: Path) -> bytes:
    """Return a lease's content; one that is gone was let go."""
    try:
        return lease.read_bytes()
    except FileNotFoundError:
        return LET_GO


def _newest(folder: Path) -> Path | None:
    try:
        return max((path for path in folder.iterdir() if path.name.isdecimal()), default=None)
    except FileNotFoundError:
        return None


def _owner() -> bytes:
    """Return a line that no other worker has: a random number, machine, process, its start, and the host's name."""
    line = " ".join([secrets.token_hex(8), _machine(), str(os.getpid()), _started(os.getpid()), socket.gethostname()])
    return f"{line}\n".encode()


def _words(content: bytes) -> str:
    parts = content.partition(b"\n")[0].decode("utf-8", "replace").split()
    return f"process {parts[2]} on {parts[4]}" if len(parts) == 5 else "another worker"


def _is_dead(content: bytes) -> bool:
    parts = content.partition(b"\n")[0].decode("utf-8", "replace").split()
    if len(parts) != 5 or parts[1] != _machine() or parts[1] == UNKNOWN:
        return False
    return _started(int(parts[2])) != parts[3]


UNKNOWN = "unknown"


def _machine() -> str:
    """Name this machine since its start, and its world of process numbers (a container has one of its own)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return UNKNOWN


def _started(process: int) -> str:
    """Return when a process of this machine was started, in ticks; `unknown` where there is none."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return UNKNOWN
    return UNKNOWN if stat[0] == "Z" else stat[19]
