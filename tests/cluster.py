"""A Ray cluster of two nodes on this machine, each of one core, and a way to kill one: 127.0.0.2 and 127.0.0.3."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from chidu.parallel.session import answers

TOKEN = "0123456789abcdef" * 2
HERE = Path(__file__).parent


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found |= {int(stat.parent.name)} | descendants(int(stat.parent.name))
    return found


def free_port() -> int:
    """A port that nobody has. Ray gives its workers 10002 to 19999, which no system hands out here."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.2", 0))
        return int(taken.getsockname()[1])


class Node:
    """`ray start`, and all that it starts."""

    def __init__(self, *words: str, environment: dict[str, str]) -> None:
        command = [
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--block",
            "--num-cpus=1",
            "--disable-usage-stats",
        ]
        self.process = subprocess.Popen(
            [*command, "--object-store-memory=80000000", *words],
            env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def pids(self) -> set[int]:
        return {self.process.pid} | descendants(self.process.pid)

    def signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def kill(self) -> None:
        """As a power cut does."""
        if self.process.returncode is None:
            self.signal(signal.SIGKILL)
            self.process.wait()


class Pair:
    """The head and the other node."""

    def __init__(self, **more: str) -> None:
        self.address = f"127.0.0.2:{free_port()}"
        paths = [str(HERE), str(HERE / "training"), *sys.path]
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": os.pathsep.join(paths),
            **more,
        }
        port = self.address.rpartition(":")[2]
        self.head = Node(
            "--head", "--node-ip-address=127.0.0.2", f"--port={port}", "--include-dashboard=false",
            f"--ray-client-server-port={free_port()}", environment=self.environment,
        )  # fmt: skip
        end = time.monotonic() + 60
        while answers(self.address):
            assert time.monotonic() < end, "the head does not start"
            time.sleep(0.1)
        self.other = self.join()

    def join(self) -> Node:
        """Start the other node, or start it again."""
        self.other = Node(f"--address={self.address}", "--node-ip-address=127.0.0.3", environment=self.environment)
        return self.other

    def kill(self) -> None:
        self.other.kill()
        self.head.kill()
