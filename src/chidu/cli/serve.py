"""`chidu serve`: OpenAI's API for one model."""

from __future__ import annotations

import contextlib
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from chidu.evaluation.tracing import CorpusTrace
    from chidu.evaluation.white_box import WhiteBox
    from chidu.inference import Embedder, Engine
    from chidu.safety import AuditRecord, Guard
    from chidu.serving import ServerSettings

__all__ = ["command", "open_port"]


def command(
    model: Annotated[
        str | None,
        typer.Argument(help="A folder, a .gguf file, a model of the hub, an address; see chidu models. [smollm2]"),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="A TOML file of these settings and the rarer ones (docs/serve.md); flags win.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen at; any but this machine's own needs --keys. [127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. [8000]")] = None,
    keys: Annotated[
        Path | None, typer.Option(help="A file with one key a line, or NAME: KEY; requests send one.")
    ] = None,
    at_once: Annotated[int | None, typer.Option(help="Texts written side by side. [4]")] = None,
    waiting: Annotated[int | None, typer.Option(help="Requests that may wait; more get status 429. [32]")] = None,
    body_bytes: Annotated[int | None, typer.Option(help="Of a request at the most. [1 MiB]")] = None,
    seconds: Annotated[float | None, typer.Option(help="A text takes at the most. [300]")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="A request may ask for in a text. [as many as the context holds]")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help="Of each key, or of all. [no limit]")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="Read and written, likewise. [no limit]")] = None,
    policy: Annotated[Path | None, typer.Option(help="A TOML file: what the guard does about what.")] = None,
    no_guard: Annotated[bool, typer.Option("--no-guard", help="Judge neither prompts nor answers.")] = False,
    record: Annotated[Path | None, typer.Option(help="Keep the guard's verdicts in this file.")] = None,
    embedder: Annotated[
        str | None, typer.Option(help="Makes vectors too: e5, minilm, a folder, a model of the hub, or an address.")
    ] = None,
    index: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of an index (chidu search --index) that may be searched by its name; more than once."
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(help="A work folder, in whose training text reasons look for an answer: callers are shown it."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check settings, model and port; serve nothing.")] = False,
) -> None:
    """Serve a model by OpenAI's API, on this machine alone unless keys are given."""
    from chidu.errors import MissingPackageError

    try:
        from chidu.serving import ServerSettings, make_app, make_server
        from chidu.serving.settings import read_file, read_keys
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "fastapi", "serve", "serving a model") from error
    flags = {
        "model": model,
        "embedder": embedder,
        "index": index or None,
        "trace": trace,
        "policy": policy,
        "no_guard": no_guard or None,
        "record": record,
        "host": host,
        "port": port,
        "keys": None if keys is None else read_keys(keys),
        "at_once": at_once,
        "waiting": waiting,
        "body_bytes": body_bytes,
        "seconds": seconds,
        "max_tokens": max_tokens,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
    }
    told: dict[str, Any] = {} if settings is None else read_file(settings)
    told |= {name: value for name, value in flags.items() if value is not None}
    model, embedder = told.pop("model", "smollm2"), told.pop("embedder", None)
    folders, work = told.pop("index", []), told.pop("trace", None)
    policy, record, no_guard = told.pop("policy", None), told.pop("record", None), told.pop("no_guard", False)
    chosen = ServerSettings(**told)
    guard = open_guard(policy, record, no_guard)
    with contextlib.closing(open_port(chosen)) as door, open_record(record) as kept:
        from chidu.inference import open_embedder, open_engine

        engine = open_engine(model, chosen.at_once)
        vectors = None if embedder is None else open_embedder(embedder)
        indexes = open_indexes(folders, vectors)
        origins = None if work is None else open_trace(work, model)
        what = f"guard by policy {guard.policy.version}" if guard else "no guard"
        what += f", record {record}" if record else ""
        what += f", indexes {', '.join(indexes)}" if indexes else ""
        what += f", training text of {work}" if work else ""
        context = "" if engine.context_length is None else f"; context {engine.context_length} tokens"
        sys.stderr.write(f"{engine.name} at {address(door)}/v1{context}; {chosen}; {what}\n")
        sys.stderr.write(f"page at {address(door)}/\n")
        if not dry_run:
            app = make_app(
                engine, chosen, guard=guard, record=kept, embedder=vectors, indexes=indexes,
                look_into=partial(look_into, engine, model), trace=origins,
            )  # fmt: skip
            make_server(app, chosen).run(sockets=[door])


def address(door: socket.socket) -> str:
    """Return where a socket listens, as a URL."""
    host, port, *_ = door.getsockname()
    return f"http://{'[' + host + ']' if ':' in host else host}:{port}"


def open_guard(policy: Path | None, record: Path | None, no_guard: bool) -> Guard | None:
    """Return the guard, or None where none is wanted. Raises SettingError where flags contradict each other."""
    from chidu.errors import SettingError

    if no_guard:
        if policy is not None or record is not None:
            raise SettingError("--no-guard leaves nothing for --policy and --record to do: leave one or the other out")
        return None
    from chidu.safety import Guard, read_policy

    return Guard(None if policy is None else read_policy(policy))


def look_into(engine: Engine, name: str) -> WhiteBox:
    """Return a served model's inside: its own where the engine shows it, else the file opened once more.

    Raises InputError where nobody can look into it.
    """
    from chidu.errors import InputError
    from chidu.evaluation.white_box import open_white_box, white_box

    try:
        return white_box(engine)
    except InputError:
        return open_white_box(name)


def open_trace(work: Path, model: str) -> CorpusTrace:
    """Return where answers are looked for, made first where it is not there. Raises WorkFolderError, IndexFolderError,
    or MissingPackageError."""
    from chidu.evaluation.tracing import CorpusTrace, is_trained_on

    sys.stderr.write(f"training text of {work}: sorted at the first start\n")
    return CorpusTrace(work, is_trained_on(model, work))


def open_indexes(folders: list[Path], embedder: Embedder | None) -> dict[str, Path]:
    """Return folders of indexes by their own names. Raises SettingError where two have the same, IndexFolderError where
    one can't be opened or its vectors are another embedder's."""
    from chidu.errors import SettingError
    from chidu.index import Embedder as Kind
    from chidu.index import Index

    found: dict[str, Path] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in found:
            raise SettingError(f"--index: {folder} and {found[name]} are both called {name!r}: rename one")
        with Index(folder, None if embedder is None else Kind(embedder.name, embedder.dimension)):
            found[name] = folder
    return found


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
