"""`chidu summarize`: the sentences of a text that say most of it, its headline, or what a model writes of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from chidu.cli.output import check_output, kept_beside
from chidu.cli.plain import json_text, plain, plain_on_terminal
from chidu.units import count_of

if TYPE_CHECKING:
    from chidu.apps import Headline, KeptPieces, Sentence, Summary, WrittenSummary
    from chidu.cli.voice import BarVoice, LineVoice

    Made = Headline | Summary | WrittenSummary

__all__ = ["command"]

Texts = Sequence[tuple[str, str]]
Found = TypeVar("Found")


def command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Texts or Markdown in UTF-8; none: what is piped in.")
    ] = None,
    sentences: Annotated[
        int | None, typer.Option(help="Sentences to keep of each text; 5 where none is named.", min=1)
    ] = None,
    percent: Annotated[float | None, typer.Option(help="Keep so many sentences in a hundred instead.")] = None,
    embedder: Annotated[
        str,
        typer.Option(help="What tells what is alike: none (words), e5, minilm, a folder, an address."),
    ] = "none",
    model: Annotated[
        str | None,
        typer.Option(
            help="Have it written anew by a model (a folder, a .gguf file, smollm2, one of the hub, an address); each "
            "sentence that the text does not bear out is marked."
        ),
    ] = None,
    headline: Annotated[
        bool, typer.Option("--headline", help="Cut the first sentence of each text to a phrase instead.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="A file to write instead; with --model what is done is kept beside it, and gone on from."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Keep the sentences that say most of a text; with --headline cut the first one; with --model have it written."""
    from chidu.cli.voice import open_voice
    from chidu.errors import SettingError
    from chidu.runs.record import write_atomic

    texts = [(str(path), read_text(path)) for path in files or []] or [("stdin", read_stdin())]
    if output is not None:
        check_output(output, *(files or []))
    if model is not None and embedder != "none":
        raise SettingError("--embedder chooses among the text's own sentences: give it or --model, not both")
    others = {"--sentences": sentences, "--percent": percent, "--model": model}
    given = [name for name, value in others.items() if value is not None] + ["--embedder"] * (embedder != "none")
    if headline and given:
        raise SettingError(f"--headline cuts the first sentence alone, by rules: leave {given[0]} out")
    found: Sequence[tuple[str, Made]]
    # What is chosen and not written takes no time that would be worth keeping.
    with open_voice() as voice, kept_beside(None if model is None else output, "part", voice) as kept:
        if headline:
            found = _cut(texts)
            told: dict[str, Any] = {"headline": True}
        elif model is None:
            found = _keep(texts, sentences, percent, embedder, voice)
            told = {"embedder": embedder}
        else:
            found = _write(texts, sentences, percent, model, voice, kept)
            told = {"model": model}
        if as_json:
            documents = [_document(name, summary) for name, summary in found]
            shown = json_text({**told, "summaries": documents})
        else:
            between, below = ("\n", " ") if headline else ("\n\n", "\n\n")
            parts = [f"{name}:{below}{summary.text}" if len(found) > 1 else summary.text for name, summary in found]
            shown = between.join(parts)
        if output is not None:
            write_atomic(output, f"{shown}\n")
            kept.forget()
    if output is None:
        # Not by echo, which takes colours out of what goes to a file.
        sys.stdout.write(plain_on_terminal(f"{shown}\n"))
    if not as_json:
        for name, summary in found:
            sys.stderr.write(plain(f"{name}: {_counted(summary)}\n"))


def _keep(
    texts: Texts, sentences: int | None, percent: float | None, embedder: str, voice: BarVoice | LineVoice
) -> list[tuple[str, Summary]]:
    from chidu.apps import summarize
    from chidu.cli.own_files import open_named

    model = open_named(embedder)
    return [
        (
            name,
            _named(
                name,
                partial(
                    summarize, text, sentences, percent, model,
                    lambda done, words: voice.progress("sentences", done, words, None),
                ),
            ),
        )
        for name, text in texts
    ]  # fmt: skip


def _cut(texts: Texts) -> list[tuple[str, Headline]]:
    from chidu.apps import headline

    return [(name, _named(name, partial(headline, text))) for name, text in texts]


def _write(
    texts: Texts,
    sentences: int | None,
    percent: float | None,
    model: str,
    voice: BarVoice | LineVoice,
    kept: KeptPieces,
) -> list[tuple[str, WrittenSummary]]:
    from chidu.apps.sentences import some_sentences
    from chidu.errors import MissingPackageError

    for name, text in texts:
        # Before a model is opened, which may take minutes.
        _named(name, partial(some_sentences, text))
    try:
        from chidu.apps import write_summary
        from chidu.inference import model_identity, open_engine

        engine = open_engine(model)
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "torch", "search", "having a summary written") from error
    identity = model_identity(model)
    return [
        (
            name,
            _named(
                name,
                partial(
                    write_summary, text, engine, sentences, percent, model=identity, kept=kept,
                    progress=lambda done, words: voice.progress("summarize", done, words, None),
                ),
            ),
        )
        for name, text in texts
    ]  # fmt: skip


def _named(name: str, make: Callable[[], Found]) -> Found:
    """Return what is made of a text; an error of the text names it."""
    from chidu.errors import TextError

    try:
        return make()
    except TextError as error:
        raise TextError(f"{name}: {error}") from error


def _counted(summary: Made) -> str:
    from chidu.apps import Headline, Summary

    if isinstance(summary, Headline):
        return f"cut from the first of {count_of(summary.sentences, 'sentence')}"
    if isinstance(summary, Summary):
        return f"{len(summary.kept)} of {count_of(summary.sentences, 'sentence')}"
    before = f" ({summary.kept_parts:,} of them kept from before)" if summary.kept_parts else ""
    return (
        f"{count_of(len(summary.written), 'sentence')} written of {summary.sentences:,} in "
        f"{count_of(summary.parts, 'part')}{before}; "
        f"not borne out, and marked: {len(summary.unsupported)}"
    )


def _document(name: str, summary: Made) -> dict[str, Any]:
    from chidu.apps import Headline, Summary

    told: dict[str, Any] = {"source": name, "summary": summary.text, "of": summary.sentences}
    if isinstance(summary, Headline):
        parts = {"subject": summary.subject, "phrase": summary.phrase}
        return {**told, **parts, "sentences": [_placed(summary.sentence)]}
    if isinstance(summary, Summary):
        rows = [{**_placed(each.sentence), "score": round(each.score, 4)} for each in summary.kept]
        return {**told, "sentences": rows}
    rows = [{**_placed(each.sentence), "borne_out": each.borne_out} for each in summary.written]
    return {**told, "parts": summary.parts, "sentences": rows}


def _placed(sentence: Sentence) -> dict[str, Any]:
    return {
        "text": sentence.text,
        "first_line": sentence.first_line,
        "last_line": sentence.last_line,
        "headings": [heading.lstrip("# ") for heading in sentence.headings],
    }


def read_text(path: Path) -> str:
    """Read a file of text. Raises TextError where it is none, or above 20 MB."""
    from chidu.corpus import as_written

    return as_written(decoded(str(path), read_bytes(path)))


def read_stdin() -> str:
    """Read what is piped in. Raises TextError where nothing is."""
    from chidu.corpus import as_written

    return as_written(decoded("stdin", read_stdin_bytes("summarize")))


def read_bytes(path: Path) -> bytes:
    """Read a file. Raises TextError where it is none."""
    from chidu.errors import TextError

    if not path.is_file():
        raise TextError(f"{path} is no file: name a file of text; for a folder see chidu search")
    return path.read_bytes()


def read_stdin_bytes(verb: str) -> bytes:
    """Read what is piped in. Raises TextError where nothing is."""
    from chidu.errors import TextError

    if sys.stdin.isatty():
        raise TextError(f"no text: name a file, or pipe one in (chidu {verb} < FILE)")
    return sys.stdin.buffer.read()


def decoded(name: str, content: bytes) -> str:
    """Return bytes as text with its lines as they are. Raises TextError where it is none, or above 20 MB."""
    from chidu.errors import TextError
    from chidu.index import MOST_BYTES
    from chidu.units import format_bytes

    if len(content) > MOST_BYTES:
        size, most = format_bytes(len(content)), format_bytes(MOST_BYTES)
        raise TextError(f"{name} has {size}, more than {most}: cut it")
    if b"\0" in content:
        raise TextError(f"{name} is binary (holds NUL bytes): name a file of text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(f"{name} is not UTF-8 ({error.reason} at byte {error.start}): convert it") from error
