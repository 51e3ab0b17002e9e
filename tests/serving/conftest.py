"""A real server on a port of this machine, in a thread, and OpenAI's own client."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chidu.cli.serve import open_port
from chidu.serving import ServerSettings, make_app, make_server

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server for an engine; return its address."""
    with contextlib.ExitStack() as stack:

        def start(engine: Any, guard: Any = None, record: Any = None, **how: Any) -> str:
            given = {name: how.pop(name) for name in ("embedder", "indexes", "look_into") if name in how}
            settings = ServerSettings(port=0, **how)
            door = open_port(settings)
            app = make_app(engine, settings, guard=guard, record=record, **given)
            server = make_server(app, settings)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
            thread.start()

            def end() -> None:
                server.should_exit = True
                thread.join(20)
                door.close()

            stack.callback(end)
            while not server.started:
                time.sleep(0.01)
            return f"http://127.0.0.1:{door.getsockname()[1]}"

        yield start
