"""`chidu translate`: a text in another language, its Markdown as it was."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chidu.cli.output import check_output, kept_beside
from chidu.cli.plain import json_text, plain_on_terminal
from chidu.cli.summarize import decoded, read_bytes, read_stdin_bytes
from chidu.cli.undertaking import DEFAULT_FOLDER

if TYPE_CHECKING:
    from chidu.apps import Translation

__all__ = ["command"]

_FILE_NAME = re.compile(r"\S+\.(?:md|markdown|txt|text|rst|html?)")


def command(
    text: Annotated[
        str | None, typer.Argument(help="A text, or a file of text or Markdown in UTF-8; none: what is piped in.")
    ] = None,
    to: Annotated[str, typer.Option(help="The language to translate into, by its code: zh, en, de, …")] = "",
    source: Annotated[str | None, typer.Option("--from", help="The language of the text; else it is detected.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A folder of chidu train --pairs, a Marian, M2M or NLLB model, one that chats; else the work folder's."
        ),
    ] = None,
    work: Annotated[Path, typer.Option(help="The work folder.")] = DEFAULT_FOLDER,
    output: Annotated[Path | None, typer.Option(help="A file to write instead of the terminal.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Translate a text sentence by sentence; code, links and other Markdown stay as they are."""
    from chidu.apps import translate
    from chidu.cli.voice import open_voice
    from chidu.corpus import check_language
    from chidu.errors import MissingPackageError, SettingError
    from chidu.inference import model_identity, open_engine
    from chidu.runs.record import write_atomic
    from chidu.units import count_of

    if not to:
        raise SettingError("--to is missing: name the language to translate into, such as --to zh")
    target = check_language(to, "--to")
    known = None if source is None else check_language(source, "--from")
    said = _text(text)
    if output is not None:
        check_output(output, *([] if text is None else [Path(text)]))
    name = model or default_model(work)
    try:
        engine = open_engine(name)
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "torch", "lab", "translating") from error
    with open_voice() as voice, kept_beside(output, "sentence", voice) as kept:
        found = translate(
            said, target=target, source=known, engine=engine, model=model_identity(name), kept=kept,
            progress=lambda done, words: voice.progress("translate", done, words, None),
        )  # fmt: skip
        voice.progress("translate", 1.0, "", None)
        shown = json_text(_document(engine.name, found)) if as_json else found.translation
        if output is not None:
            write_atomic(output, shown)
            kept.forget()
    if output is None:
        sys.stdout.write(plain_on_terminal(shown if shown.endswith("\n") else f"{shown}\n"))
    left = sum(each.sentences for each in found.left)
    others = sum(not each.sentences for each in found.left)
    sys.stderr.write(
        f"{'detected ' if found.detected else ''}{found.source} to {found.target}: "
        f"{count_of(len(found.pairs), 'sentence')}; left as they were: {count_of(left, 'sentence')}, and "
        f"{count_of(others, 'piece')} of code and the like\n"
    )


def default_model(work: Path) -> str:
    """Return the work folder's translation model. Raises InputError where there is none."""
    from chidu.errors import InputError
    from chidu.work.translation import FOLDER

    folder = work / FOLDER / "model"
    if not (folder / "record.json").is_file():
        raise InputError(
            f"there is no translation model ({folder} is not there): teach one with chidu train --pairs, or name one "
            "with --model (a Marian, M2M or NLLB folder, or a large chat model)"
        )
    return str(folder)


def _text(given: str | None) -> str:
    """Return the text itself, that of the file it names, or what is piped in."""
    if given is None:
        return decoded("stdin", read_stdin_bytes("translate"))
    # No path has a line end or is so long; and some systems raise where one asks.
    is_path = given.strip() and "\n" not in given and len(given) < 1024 and "\0" not in given and Path(given).exists()
    if is_path:
        return decoded(given, read_bytes(Path(given)))
    from chidu.errors import TextError

    if _FILE_NAME.fullmatch(given):
        raise TextError(f"{given}: no such file; a text that is a file's name alone is not translated")
    return decoded("the text", given.encode("utf-8", "surrogateescape"))


def _document(name: str, found: Translation) -> dict[str, object]:
    return {
        "model": name,
        "source": found.source,
        "detected": found.detected,
        "target": found.target,
        "translation": found.translation,
        "sentences": [asdict(each) for each in found.pairs],
        "left": [asdict(each) for each in found.left],
    }
