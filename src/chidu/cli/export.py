"""`chidu export`: a work folder's runs for other people's trackers, or its model as a GGUF file, on this disk."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from chidu.cli.plain import json_text
from chidu.cli.undertaking import DEFAULT_FOLDER

__all__ = ["command"]


def command(
    to: Annotated[str, typer.Option(help="A tracker (tensorboard, wandb, mlflow, trackio), huggingface, or gguf.")],
    work: Annotated[Path, typer.Option(help="The work folder.")] = DEFAULT_FOLDER,
    output: Annotated[
        Path | None, typer.Option(help="A new folder, or file; in export/ of the work folder, else.")
    ] = None,
    kind: Annotated[str, typer.Option("--type", help="Of a GGUF file: f32, f16, bf16 or q8_0.")] = "f16",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write the finished runs for a tracker, or the model as a folder for the hub or a GGUF file. Nothing is sent."""
    if to == "huggingface":
        _folder(work, output or work / "export" / "huggingface", as_json)
        return
    if to == "gguf":
        _gguf(work, output or work / "export" / "model.gguf", kind, as_json)
        return
    from chidu.units import count_of
    from chidu.work.exporting import export_work

    made = export_work(work, to, output or work / "export" / to)
    if as_json:
        told = {"ladder": str(made.ladder), "target": made.target and str(made.target), "runs": made.runs}
        typer.echo(json_text({"to": to, **told, "show": made.show}, indent=1))
        return
    typer.echo(f"wrote {count_of(len(made.runs), 'run')} for {to} into {made.ladder.parent}")
    typer.echo(f"see them:      {made.show}")
    typer.echo(f"fit them:      chidu fit {shlex.quote(str(made.ladder))}")


def _folder(work: Path, output: Path, as_json: bool) -> None:
    """Write the work folder's model as a folder of Hugging Face's layout."""
    from chidu.work.exporting import export_folder

    export_folder(work, output)
    told = {"to": "huggingface", "folder": str(output)}
    text = f"wrote {output}\nuse it:        chidu generate --model {shlex.quote(str(output))} TEXT"
    typer.echo(json_text(told, indent=1) if as_json else text)


def _gguf(work: Path, output: Path, kind: str, as_json: bool) -> None:
    """Write the work folder's model as a GGUF file."""
    from chidu.errors import MissingPackageError, SettingError

    try:
        import gguf  # noqa: F401

        from chidu.model.gguf_file import GGUF_TYPES
        from chidu.work.exporting import export_gguf
    except ImportError as error:
        raise MissingPackageError(error.name or "gguf", "serve", "writing a GGUF file") from error
    if kind not in GGUF_TYPES:
        raise SettingError(f"--type is {kind!r}; it must be {', '.join(GGUF_TYPES)}")
    card = export_gguf(work, output, kind)
    told = {"to": "gguf", "file": str(output), "card": str(card), "type": kind, "bytes": output.stat().st_size}
    text = f"wrote {output} ({kind}) and {card}\nuse it:        chidu generate --model {shlex.quote(str(output))} TEXT"
    typer.echo(json_text(told, indent=1) if as_json else text)
