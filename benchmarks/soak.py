"""A server under more load than it can take, for a long time: what it answers, to whom, and what it keeps.

    python benchmarks/soak.py --model FOLDER [--seconds 600] [--json]

`chidu serve` runs in a process of its own, for four texts at once and four that wait; twenty clients ask, of whom
four at most are slow. Most ask for one of some prompts, whole or in a stream, and know the answer from before. Others
go away in the middle, send garbage, wrong values, too much, or a byte now and then. It fails, and says why, where the
server ends, answers with a status that does not fit, gives one prompt's text to another, or grows by more than 5% after
the first fifth. At the end it must answer as at the beginning, and end when it is asked to.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

CLIENTS, PROMPTS, TOKENS = 20, 24, 16
READ_SECONDS = 5.0
"""Longer than a client that shares the cores with all the others needs to send what it has."""
SETTINGS = f"at_once = 4\nwaiting = 4\nconnections = 64\nread_seconds = {READ_SECONDS}\nbody_bytes = 100_000\n"
GROWTH = 0.05
WARM_UP = 0.2
KINDS = {"whole": 40, "stream": 30, "vanish": 10, "wrong": 8, "garbage": 4, "huge": 4, "slow": 4}
"""What clients do, and how often."""
ENDED = 128 + signal.SIGTERM
"""What a process that was asked to end ends with."""
MOST_SLOW = 4
"""Clients that are slow at once: they wait until they are sent away, and ask nothing meanwhile."""


@dataclass
class Found:
    """What came of it."""

    statuses: collections.Counter[str] = field(default_factory=collections.Counter)
    failures: list[str] = field(default_factory=list)
    same: int = 0
    different: int = 0
    """Answers to the right prompt that differ from the one before: batches of another size round otherwise."""
    memory: list[int] = field(default_factory=list)
    """Resident bytes, once a second."""

    def document(self, seconds: float) -> dict[str, Any]:
        """Return all of it, judged."""
        warm = self.memory[int(len(self.memory) * WARM_UP) :]
        third = max(1, len(warm) // 3)
        first, last = statistics.median(warm[:third]), statistics.median(warm[-third:])
        if abs(last / first - 1) > GROWTH:
            self.failures.append(f"memory went from {first / 1e6:.0f} to {last / 1e6:.0f} MB")
        return {
            "seconds": round(seconds, 1),
            "requests": sum(self.statuses.values()),
            "statuses": dict(sorted(self.statuses.items())),
            "same": self.same,
            "different": self.different,
            "memory_first": first,
            "memory_last": last,
            "failures": self.failures,
        }


class Server:
    """`chidu serve` in a process of its own."""

    def __init__(self, model: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "serve.toml"
        path.write_text(SETTINGS, encoding="utf-8")
        self._log = (Path(self._folder.name) / "log").open("w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chidu", "serve", model, "--port", "0", "--settings", str(path)], stderr=self._log
        )
        while " at http://" not in (said := self.said()):
            if self.process.poll() is not None:
                sys.exit(f"the server did not start: {said}")
            time.sleep(0.05)
        line = next(line for line in said.splitlines() if " at http://" in line)
        self.name, self.address = line.split(" at ")[0], line.split(" at ")[1].split("/v1")[0]

    def said(self) -> str:
        """Return what it wrote to its log."""
        return Path(self._log.name).read_text(encoding="utf-8")

    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def end(self) -> int:
        """Ask it to end, and return how it did."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self._log.close()
        self._folder.cleanup()
        return code


class Client:
    """One caller, that does what its own random numbers say."""

    def __init__(self, server: Server, answers: dict[str, str], found: Found, seed: int) -> None:
        self.server, self.answers, self.found = server, answers, found
        self.draw = random.Random(seed)
        self.http = httpx.Client(base_url=server.address, timeout=120)

    def turn(self, may_be_slow: Callable[[], bool]) -> None:
        """Do one thing."""
        kind = self.draw.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "slow" and not may_be_slow():
            kind = "whole"
        status = getattr(self, kind)(self.draw.choice(list(self.answers)))
        self.found.statuses[f"{kind} {status}"] += 1

    def asked(self, prompt: str, **more: Any) -> dict[str, Any]:
        """Return a request."""
        return {"model": self.server.name, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0, **more}

    def whole(self, prompt: str) -> int:
        """Ask, and look at the answer."""
        answer = self.http.post("/v1/completions", json=self.asked(prompt))
        if answer.status_code == 200:
            self._look(prompt, answer.json()["choices"][0]["text"])
        return self._check(answer, {200, 429})

    def stream(self, prompt: str) -> int:
        """Ask for a stream, and look at the whole of it."""
        with self.http.stream("POST", "/v1/completions", json=self.asked(prompt, stream=True)) as answer:
            if answer.status_code == 200:
                self._look(prompt, "".join(pieces(answer)))
            else:
                answer.read()
            return self._check(answer, {200, 429})

    def vanish(self, prompt: str) -> int:
        """Ask for a long text, and go away in the middle."""
        asked = self.asked(prompt, stream=True) | {"max_tokens": 60}
        with httpx.stream("POST", self.server.address + "/v1/completions", json=asked, timeout=120) as answer:
            if answer.status_code == 200:
                for _, _piece in zip(range(self.draw.randint(1, 4)), pieces(answer), strict=False):
                    pass
            else:
                answer.read()
            return self._check(answer, {200, 429})

    def wrong(self, prompt: str) -> int:
        """Send a value that is wrong."""
        change = self.draw.choice([{"temperature": 9}, {"n": 0}, {"colour": 1}, {"prompt": {}}, {"max_tokens": -1}])
        return self._check(self.http.post("/v1/completions", json=self.asked(prompt) | change), {400})

    def garbage(self, _prompt: str) -> int:
        """Send bytes that are no HTTP, or no JSON."""
        content = self.draw.randbytes(self.draw.randint(1, 2000))
        if self.draw.random() < 0.5:
            kind = {"Content-Type": "application/json"}
            return self._check(self.http.post("/v1/completions", content=content, headers=kind), {400})
        return self._raw([b"\x16\x03" + content + b"\r\n\r\n"], {400})

    def huge(self, prompt: str) -> int:
        """Send more than is allowed."""
        size = self.draw.choice([200_000, 2_000_000, 10_000_000])
        return self._check(self.http.post("/v1/completions", json=self.asked(prompt * (size // len(prompt)))), {413})

    def slow(self, _prompt: str) -> int:
        """Send a byte now and then."""
        head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        begun = self.draw.choice([head, head + b"Content-Length: 5000\r\n\r\n"])
        return self._raw([begun, *[b" "] * 9], {408})

    def _raw(self, parts: list[bytes], fits: set[int]) -> int:
        host, _, port = self.server.address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=120) as line:
            said = b""
            for part in parts:
                line.sendall(part)
                time.sleep(READ_SECONDS / 10 if len(parts) > 1 else 0)
            while part := line.recv(65536):
                said += part
        status = int(said.split()[1])
        if status not in fits or b'"error"' not in said:
            self.found.failures.append(f"bytes were answered with {said[:200]!r}")
        return status

    def _check(self, answer: httpx.Response, fits: set[int]) -> int:
        if answer.status_code not in fits:
            self.found.failures.append(f"status {answer.status_code}, not {fits}")
        elif answer.status_code != 200 and set(answer.json()["error"]) != {"message", "type", "param", "code"}:
            self.found.failures.append(f"an error of another shape: {answer.text[:200]}")
        elif answer.status_code == 429 and "retry-after" not in answer.headers:
            self.found.failures.append("429 without Retry-After")
        return answer.status_code

    def _look(self, prompt: str, text: str) -> None:
        if text == self.answers[prompt]:
            self.found.same += 1
            return
        self.found.different += 1
        if owner := next((other for other, answer in self.answers.items() if answer == text), None):
            self.found.failures.append(f"the answer to {owner!r} went to who asked {prompt!r}")


def pieces(answer: httpx.Response) -> Iterator[str]:
    """Yield the texts of a stream. Raises ValueError where it breaks off."""
    for line in answer.iter_lines():
        if line == "data: [DONE]":
            return
        if line:
            yield json.loads(line.removeprefix("data: "))["choices"][0]["text"]
    raise ValueError("a stream ended without [DONE]")


def references(server: Server) -> dict[str, str]:
    """Return prompts, and what the server writes to each while nobody else asks; no two write the same."""
    answers: dict[str, str] = {}
    draw = random.Random(0)
    words = [
        "river",
        "window",
        "letter",
        "garden",
        "number",
        "winter",
        "market",
        "doctor",
        "silver",
        "forest",
        "engine",
        "island",
    ]
    with httpx.Client(base_url=server.address, timeout=120) as http:
        while len(answers) < PROMPTS:
            prompt = f"The {draw.choice(words)} and the {draw.choice(words)} {draw.randint(10, 99)}:"
            asked = {"model": server.name, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0}
            answer = http.post("/v1/completions", json=asked)
            answer.raise_for_status()
            if (text := answer.json()["choices"][0]["text"]) not in answers.values():
                answers[prompt] = text
    return answers


def soak(model: str, seconds: float) -> dict[str, Any]:
    """Load a server for so long; return what came of it, with `failures`, which should be none."""
    server, found = Server(model), Found()
    answers = references(server)
    end, slow = time.monotonic() + seconds, threading.Semaphore(MOST_SLOW)

    def run(seed: int) -> None:
        client = Client(server, answers, found, seed)
        while time.monotonic() < end and server.process.poll() is None:
            is_slow = False

            def may_be_slow() -> bool:
                nonlocal is_slow
                is_slow = slow.acquire(blocking=False)
                return is_slow

            try:
                client.turn(may_be_slow)
            except Exception as error:  # every one is a finding
                found.failures.append(f"{type(error).__name__}: {error}")
            finally:
                if is_slow:
                    slow.release()

    begun = time.monotonic()
    threads = [threading.Thread(target=run, args=(seed,), daemon=True) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and server.process.poll() is None:
        found.memory.append(server.memory())
        time.sleep(1)
    if server.process.poll() is not None:
        found.failures.append(f"the server ended: {server.process.returncode}; {server.said()[-500:]}")
        return found.document(time.monotonic() - begun)
    try:
        if references(server) != answers:
            found.failures.append("afterwards it does not answer as before")
    except httpx.HTTPError as error:
        found.failures.append(f"afterwards it does not answer: {type(error).__name__}")
    if "Traceback" in (said := server.said()):
        found.failures.append("its log has a trace: " + said[-1500:])
    if (code := server.end()) != ENDED:
        found.failures.append(f"it ended with {code}")
    return found.document(time.monotonic() - begun)


def main() -> None:
    """Load a server, and tell what came of it; ends with 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    document = soak(told.model, told.seconds)
    print(json.dumps(document) if told.json else "\n".join(f"{name}: {value}" for name, value in document.items()))
    sys.exit(1 if document["failures"] else 0)


if __name__ == "__main__":
    main()
