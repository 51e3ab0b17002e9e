"""Chidu's server and engines against the libraries below them and beside them, on one machine.

    python benchmarks/serving.py --model FOLDER [--gguf FILE] [--json]

FOLDER is a model that Chidu trained; FILE a GGUF file of an instruct model (else smollm2, once fetched).
Each rival lives in a process of its own and waits while another works; they take turns, and ratios are medians over the
pairs. Where other programs take the cores, llama.cpp's threads wait for one another and all numbers sink: the row
`memory` says what the machine gave.

    stream         one text through `chidu serve`, beside the library xllamacpp called directly, with the same settings
    first token    how much later it comes through the server (ms)
    eight at once  eight texts side by side, beside the same one after another
    transformers   the same weights in bf16, by `generate`
    memory         bytes of weights times tokens a second, as a part of what the memory was measured to give
    own engine     our Transformer beside transformers on the folder that Chidu saved, in one thread, float32
    start          from the command to the first token, beside llama.cpp's own server
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
from results import row, tell

from chidu.inference.packaged import packaged_model
from chidu.parallel import cores, worker_environment

PAIRS, TOKENS, AT_ONCE = 5, 96, 8
PROMPTS = [f"Once upon a time there were {count} friends who" for count in range(2, 2 + AT_ONCE)]
Timing = tuple[float, float, int]
"""Seconds to the first token, seconds in all, tokens."""


def rate(timing: Timing) -> float:
    """Tokens a second after the first."""
    first, whole, tokens = timing
    return (tokens - 1) / (whole - first)


def bare(path: Path, at_once: int, pipe: Connection) -> None:
    """Answer each prompt with the timing of llama.cpp's library, with what our engine sets."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel = 8192 * at_once, at_once
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = cores()
    params.cache_ram_mib = params.verbosity = 0
    params.warmup = params.ui = False
    server = xllamacpp.Server(params)

    def write(prompt: str, tokens: int) -> Timing:
        begun, heard = time.perf_counter(), []
        asked = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}

        def hear(chunk: dict[str, Any]) -> bool:
            heard.append((time.perf_counter() - begun, chunk))
            return False

        server.handle_completions(asked, hear)
        return heard[0][0], heard[-1][0], heard[-1][1]["usage"]["completion_tokens"]

    answer(pipe, write)


def theirs(folder: Path, gguf: str | None, threads: int, pipe: Connection) -> None:
    """Answer each prompt with the timing of transformers' generate: greedy, in bf16 for a GGUF file, else as saved."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(threads)
    how: dict[str, Any] = {"gguf_file": gguf} if gguf else {}
    tokenizer = AutoTokenizer.from_pretrained(folder, **how)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16 if gguf else torch.float32, **how).eval()

    class Clock:
        """Hears of each token."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def put(self, _value: torch.Tensor) -> None:
            self.times.append(time.perf_counter())

        def end(self) -> None: ...

    def write(prompt: str, tokens: int) -> Timing:
        read, clock, begun = tokenizer(prompt, return_tensors="pt").input_ids, Clock(), time.perf_counter()
        many = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
        model.generate(read, attention_mask=torch.ones_like(read), streamer=clock, **many)
        # The first that it tells of is the prompt.
        return clock.times[1] - begun, clock.times[-1] - begun, len(clock.times) - 1

    answer(pipe, write)


def own(folder: Path, pipe: Connection) -> None:
    """Answer each prompt with the timing of our engine for our models, in one thread."""
    import torch

    from chidu.inference import Sampling
    from chidu.inference.own import OwnEngine

    torch.set_num_threads(1)
    engine = OwnEngine(folder)

    def write(prompt: str, tokens: int) -> Timing:
        begun, times, count = time.perf_counter(), [], 0
        for piece in engine.write(prompt, Sampling(max_tokens=tokens, temperature=0)):
            times.append(time.perf_counter() - begun)
            count += piece.tokens
        return times[0], times[-1], count

    answer(pipe, write)


def answer(pipe: Connection, write: Callable[[str, int], Timing]) -> None:
    """Warm up, then time what is asked for, until None comes."""
    write(PROMPTS[0], 4)
    pipe.send("ready")
    while (asked := pipe.recv()) is not None:
        pipe.send(write(*asked))


class Rival:
    """A process that writes when it is asked."""

    def __init__(self, target: Any, *what: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, inside = context.Pipe()
        self.process = context.Process(target=target, args=(*what, inside), daemon=True)
        self.process.start()
        inside.close()
        self.pipe.recv()

    def write(self, prompt: str, tokens: int = TOKENS) -> Timing:
        """Return the timing of one text."""
        self.pipe.send((prompt, tokens))
        return tuple(self.pipe.recv())

    def end(self) -> None:
        """Let it go."""
        self.pipe.send(None)
        self.process.join()


class Server:
    """A server in a process of its own, ours or another's, that is asked by HTTP."""

    def __init__(self, command: Sequence[str], address: str, model: str, key: str = "any") -> None:
        self.begun, self.model = time.perf_counter(), model
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.http = httpx.Client(base_url=address, timeout=300, headers={"Authorization": f"Bearer {key}"})

    def write(self, prompt: str, tokens: int = TOKENS) -> Timing:
        """Return the timing of one text."""
        more = {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0}
        body = {"model": self.model, "prompt": prompt, "max_tokens": tokens, **more}
        begun, times, count = time.perf_counter(), [], 0
        with self.http.stream("POST", "/v1/completions", json=body) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    document = json.loads(line[6:])
                    times.append(time.perf_counter() - begun)
                    count = (document.get("usage") or {"completion_tokens": count})["completion_tokens"]
        return times[0], times[-1], count

    def first(self) -> float:
        """Return how long it was from the command to the first token."""
        while self.process.poll() is None:
            try:
                self.write(PROMPTS[0], 1)
            except httpx.HTTPError:
                time.sleep(0.02)
            else:
                return time.perf_counter() - self.begun
        raise RuntimeError(f"a server ended before it answered: {self.process.args!r}")

    def end(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with closing(socket.socket()) as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def chidu_serve(path: Path, at_once: int) -> Server:
    """Start ours."""
    port = free_port()
    command = [sys.executable, "-m", "chidu", "serve", str(path), "--port", str(port), "--at-once", str(at_once)]
    return Server(command, f"http://127.0.0.1:{port}", path.stem)


LLAMA = """
import sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.n_ctx, params.n_parallel, params.verbosity = 8192 * 4, 4, 0
server = xllamacpp.Server(params)
threading.Event().wait()
"""


def llama_server(path: Path) -> Server:
    """Start llama.cpp's."""
    port = free_port()
    return Server([sys.executable, "-c", LLAMA, str(path), str(port)], f"http://127.0.0.1:{port}", path.stem)


def bandwidth() -> float:
    """Bytes a second that all cores together read from memory (a sum over 512 MB)."""
    import torch

    torch.set_num_threads(cores())
    many = torch.ones(2**27)
    times = []
    for _ in range(7):
        clock = time.perf_counter()
        many.sum()
        times.append(time.perf_counter() - clock)
    return 4 * 2**27 / min(times)


def pairs(one: Callable[[], Timing], other: Callable[[], Timing]) -> list[tuple[Timing, Timing]]:
    """Let two take turns."""
    return [(one(), other()) for _ in range(PAIRS)]


def rates(what: str, found: Sequence[tuple[Timing, Timing]], reach: str, rival: str, note: str = "") -> dict[str, Any]:
    """Return the row of tokens a second."""
    speeds = [(rate(mine), rate(other)) for mine, other in found]
    mine, other = (statistics.median(column) for column in zip(*speeds, strict=True))
    ratio = statistics.median(one / two for one, two in speeds)
    return row(what, mine, other, ratio, reach, "tokens/s", note, rival)


def of_server(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of the server with a GGUF file."""
    server, library = chidu_serve(path, AT_ONCE), Rival(bare, path, AT_ONCE)
    server.first()
    found = pairs(lambda: server.write(PROMPTS[1]), lambda: library.write(PROMPTS[1]))
    library.end()
    yield rates("stream", found, "≥ 0.95 ×", "xllamacpp")
    late = statistics.median(1000 * (mine[0] - other[0]) for mine, other in found)
    firsts = [statistics.median(1000 * timing[0] for timing in column) for column in zip(*found, strict=True)]
    said = f"{late:+.1f} ms; at most 20"
    yield row("first token", *firsts, firsts[1] / firsts[0], "≤ 20 ms later", "ms", said, "xllamacpp")
    yield at_once(server)
    bf16 = Rival(theirs, path.parent, path.name, cores())
    found = pairs(lambda: server.write(PROMPTS[2]), lambda: bf16.write(PROMPTS[2], TOKENS // 2))
    bf16.end()
    yield rates("transformers", found, "≥ 4 ×", "transformers bf16")
    speed, most = statistics.median(rate(mine) for mine, _ in found), bandwidth() / path.stat().st_size
    yield row("memory", speed, most, speed / most, "", "tokens/s", f"{cores()} threads", "what the memory gives")
    server.end()


def at_once(server: Server) -> dict[str, Any]:
    """Return the row of eight texts at once: tokens a second in all, beside one after another."""
    speeds = []
    for _ in range(3):
        alone = [server.write(prompt) for prompt in PROMPTS]
        begun = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            together = list(threads.map(server.write, PROMPTS))
        took = time.perf_counter() - begun
        one, other = ((sum(each[2] for each in texts)) for texts in (together, alone))
        speeds.append((one / took, other / sum(each[1] for each in alone)))
    mine, other = (statistics.median(column) for column in zip(*speeds, strict=True))
    ratio = statistics.median(a / b for a, b in speeds)
    return row(f"{AT_ONCE} at once", mine, other, ratio, "≥ 2 ×", "tokens/s", "", "one after another")


def of_engine(folder: Path) -> dict[str, Any]:
    """Return the row of our own models."""
    with worker_environment():
        mine, other = Rival(own, folder), Rival(theirs, folder, None, 1)
    found = pairs(lambda: mine.write(PROMPTS[0]), lambda: other.write(PROMPTS[0]))
    mine.end()
    other.end()
    return rates("own engine", found, "≥ 3 ×", "transformers")


def of_start(path: Path) -> dict[str, Any]:
    """Return the row of the time from the command to the first token."""
    times = []
    for _ in range(3):
        pair = []
        for start in (lambda: chidu_serve(path, 4), lambda: llama_server(path)):
            server = start()
            pair.append(server.first())
            server.end()
        times.append(pair)
    mine, other = (statistics.median(column) for column in zip(*times, strict=True))
    return row("start", mine, other, statistics.median(b / a for a, b in times), "", "s", "", "llama.cpp's server")


def main() -> None:
    """Print all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--only", help="names of groups: server, engine, start", default="server,engine,start")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    path = told.gguf or packaged_model("smollm2")

    def rows() -> Iterator[dict[str, Any]]:
        if "server" in told.only:
            yield from of_server(path)
        if "engine" in told.only:
            yield of_engine(told.model)
        if "start" in told.only:
            yield of_start(path)

    tell(rows(), as_json=told.json)


if __name__ == "__main__":
    main()
