"""`chidu serve`: OpenAI's API for one model."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from chidu.safety import AuditRecord, Guard
    from chidu.serving import ServerSettings

__all__ = ["command"]

GRACE_SECONDS = 10
"""What is being written when the server is asked to end has so long to come to its end."""


def command(
    model: Annotated[
        str, typer.Argument(help="A folder, a .gguf file, a model of the hub, an address; see chidu models.")
    ] = "smollm2",
    host: Annotated[
        str, typer.Option(help="Address to listen at; any but this machine's own needs --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8000,
    keys: Annotated[Path | None, typer.Option(help="A file with one key a line, of which requests send one.")] = None,
    at_once: Annotated[int, typer.Option(help="Texts written side by side.")] = 4,
    waiting: Annotated[int, typer.Option(help="Requests that may wait; more get status 429.")] = 32,
    body_bytes: Annotated[int, typer.Option(help="Of a request at the most.")] = 2**20,
    seconds: Annotated[float, typer.Option(help="A text takes at the most.")] = 300.0,
    policy: Annotated[Path | None, typer.Option(help="A TOML file: what the guard does about what.")] = None,
    no_guard: Annotated[bool, typer.Option("--no-guard", help="Judge neither prompts nor answers.")] = False,
    record: Annotated[Path | None, typer.Option(help="Keep the guard's verdicts in this file.")] = None,
    embedder: Annotated[
        str | None, typer.Option(help="Makes vectors too: e5, minilm, a folder, a model of the hub, or an address.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check settings, model and port; serve nothing.")] = False,
) -> None:
    """Serve a model by OpenAI's API, on this machine alone unless keys are given."""
    from chidu.errors import MissingPackageError

    try:
        from chidu.serving import ServerSettings, make_app
        from chidu.serving.settings import read_keys
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "fastapi", "serve", "serving a model") from error
    settings = ServerSettings(
        host, port, () if keys is None else read_keys(keys), at_once, waiting, body_bytes, seconds
    )
    guard = open_guard(policy, record, no_guard)
    with contextlib.closing(open_port(settings)) as door, open_record(record) as kept:
        from chidu.inference import open_embedder, open_engine

        engine = open_engine(model, at_once)
        vectors = None if embedder is None else open_embedder(embedder)
        at = f"http://{'[' + host + ']' if ':' in host else host}:{door.getsockname()[1]}/v1"
        who = f"{len(settings.keys)} keys" if settings.keys else "no keys: any is accepted"
        what = f"guard by policy {guard.policy.version}" if guard else "no guard"
        what += f", record {record}" if record else ""
        context = "" if engine.context_length is None else f"; context {engine.context_length} tokens"
        sys.stderr.write(f"{engine.name} at {at} ({who}; {what}){context}\n")
        if dry_run:
            return
        app = make_app(engine, settings, guard=guard, record=kept, embedder=vectors)
        run(app, door)


def open_guard(policy: Path | None, record: Path | None, no_guard: bool) -> Guard | None:
    """Return the guard, or None where none is wanted. Raises SettingError where flags contradict each other."""
    from chidu.errors import SettingError

    if no_guard:
        if policy is not None or record is not None:
            raise SettingError("--no-guard leaves nothing for --policy and --record to do: leave one or the other out")
        return None
    from chidu.safety import Guard, read_policy

    return Guard(None if policy is None else read_policy(policy))


def open_record(path: Path | None) -> contextlib.AbstractContextManager[AuditRecord | None]:
    """Return the record, open for writing, or nothing where none is wanted."""
    if path is None:
        return contextlib.nullcontext()
    from chidu.safety import AuditRecord

    return AuditRecord(path)


def open_port(settings: ServerSettings) -> socket.socket:
    """Return a socket that listens. Raises SettingError where the port is taken, or not ours."""
    from chidu.errors import SettingError

    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((settings.host, settings.port))
        door.listen(128)
    except OSError as error:
        door.close()
        raise SettingError(
            f"can't listen at {settings.host}:{settings.port} ({error.strerror}): take another --port (0 finds one)"
        ) from error
    return door


def run(app: object, door: socket.socket) -> None:
    """Serve until a signal asks to end; what is being written is written to its end."""
    import uvicorn

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[door])
