"""`chidu evaluate`: what a model can do, and what the applications can do with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from chidu.cli.plain import json_text
from chidu.cli.undertaking import DEFAULT_FOLDER

__all__ = ["command"]

_FOLDER = "evaluation"


def command(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Models: a folder, a .gguf file, smollm2, one of the hub, an address; with --apps also none, e5, "
            "minilm. Without any: the work folder's."
        ),
    ] = None,
    more: Annotated[
        list[str] | None, typer.Option("--models", help="The same, by a flag; those that follow may stand bare.")
    ] = None,
    apps: Annotated[bool, typer.Option("--apps", help="Judge the applications with these models, on pairs.")] = False,
    app: Annotated[
        list[str] | None,
        typer.Option(help="With --apps: only this one: summarize, translate, answer, search; may be given again."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="With --apps and one --app: pairs of yours, a .jsonl file; else the package's few."),
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(help="A held-out text in UTF-8; may be given again. Else the package's own passages."),
    ] = None,
    items: Annotated[int, typer.Option(help="Items of each small task.", min=8, max=1000)] = 32,
    work: Annotated[Path, typer.Option(help="The work folder, where what is done is kept.")] = DEFAULT_FOLDER,
    seed: Annotated[int, typer.Option(help="Seeds the small tasks and the intervals.", min=0)] = 0,
    output: Annotated[
        Path | None, typer.Option(help="With --apps: also write the scores as a table (CSV), for chidu fit.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
) -> None:
    """Measure a model: held-out loss, small tasks, bias; or with --apps the four applications beside baselines."""
    from chidu.errors import SettingError

    named = [*(more or []), *(models or [])]
    if apps:
        if text:
            raise SettingError("--text is for the evaluation of one model: with --apps give --pairs")
        _apps(named or [_own_model(work)], app, pairs, work, seed, output, as_json)
        return
    for flag, given in (("--app", app), ("--pairs", pairs), ("--output", output)):
        if given:
            raise SettingError(f"{flag} is for the applications: give --apps too")
    if len(named) > 1:
        raise SettingError(f"{len(named)} models are named: one is measured at a time; or judge several with --apps")
    _model(named[0] if named else _own_model(work), text, items, work, seed, as_json)


def _own_model(work: Path) -> str:
    from chidu.cli.generate import default_model

    return default_model(work, "--models")


def _model(name: str, paths: Sequence[Path] | None, items: int, work: Path, seed: int, as_json: bool) -> None:
    from chidu.cli.summarize import read_text
    from chidu.cli.voice import open_voice
    from chidu.corpus import normalise
    from chidu.errors import MissingPackageError

    # As a training text is, so that a loss speaks of the same characters.
    texts = {str(path): normalise(read_text(path)) for path in paths or []} or _own_texts()
    try:
        from chidu.evaluation.model_evaluation import evaluate_model
        from chidu.evaluation.tasks import items_of
        from chidu.inference import open_engine
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "torch", "evaluate", "measuring a model") from error
    paragraphs = [part for text in texts.values() for part in text.split("\n\n")]
    with open_voice() as voice:
        found = evaluate_model(
            name, lambda: open_engine(name), texts, items_of(items, seed, paragraphs), work / _FOLDER, seed,
            lambda what, done, words: voice.progress(what, done, words, None),
        )  # fmt: skip
    typer.echo(json_text(found.as_dict()) if as_json else str(found))


def _own_texts() -> dict[str, str]:
    """Return the passages of the package, which were written for it, by language."""
    from chidu.apps.judging import read_pairs
    from chidu.corpus import is_chinese

    texts = [one.text for one in read_pairs("summarize").texts]
    return {
        "passages, English": "\n\n".join(one for one in texts if not is_chinese(one)),
        "passages, Chinese": "\n\n".join(one for one in texts if is_chinese(one)),
    }


def _apps(
    names: Sequence[str],
    only: Sequence[str] | None,
    path: Path | None,
    work: Path,
    seed: int,
    output: Path | None,
    as_json: bool,
) -> None:
    from chidu.cli.voice import open_voice
    from chidu.errors import MissingPackageError, SettingError, nearest

    try:
        from chidu.apps.judging import APPS, judge_apps, read_pairs
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "torch", "evaluate", "judging applications") from error
    from chidu.cli.output import check_output
    from chidu.runs.record import write_atomic

    if output is not None:
        check_output(output, *([] if path is None else [path]))
    for each in only or []:
        if each not in APPS:
            raise SettingError(f"--app {each}: no such application{nearest(each, APPS)}: one of {', '.join(APPS)}")
    wanted = list(dict.fromkeys(only or APPS))
    if path is not None and len(wanted) > 1:
        raise SettingError("--pairs is for one application: name it with --app")
    given = [read_pairs(each, path) for each in wanted]
    with open_voice() as voice:
        found = judge_apps(
            list(dict.fromkeys(names)), given, work / _FOLDER, seed,
            lambda what, done, words: voice.progress(what, done, words, None),
        )  # fmt: skip
    if output is not None:
        write_atomic(output, found.csv())
    typer.echo(json_text(found.as_dict()) if as_json else str(found))
