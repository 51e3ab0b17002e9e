"""`chidu audit`: the record of verdicts, whether it holds, and what is in it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chidu.cli.plain import json_text, plain

if TYPE_CHECKING:
    from chidu.safety.audit import Chain

__all__ = ["app"]

app = typer.Typer(
    help="The record of verdicts: whether it holds, and what is in it.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
)
File = Annotated[Path, typer.Argument(help="The record that chidu serve --record wrote.")]


@app.command()
def verify(
    record: File,
    anchor: Annotated[str | None, typer.Option(help="A hash that was kept elsewhere; the chain must hold it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Read the whole chain; exit with 1 at the first line that does not hold, or where the anchor is not in it."""
    from chidu.errors import RecordError
    from chidu.safety.audit import Chain, read_chain

    chain = Chain()
    anchored = None
    for line in read_chain(record, chain):
        anchored = line["seq"] if line["hash"] == anchor else anchored
    wrong = chain.broken
    if not wrong and anchor is not None and anchored is None:
        wrong = f"no line has the hash {anchor}: what it was taken from was rewritten or taken away"
    if as_json:
        typer.echo(json_text({"record": str(record), **_found(chain), "anchored": anchored, "wrong": wrong}, indent=1))
    if wrong:
        raise RecordError(f"{record} does not hold: {wrong}")
    if as_json:
        return
    typer.echo(f"{chain.entries} lines hold, from number {chain.first}")
    if anchored is not None:
        typer.echo(f"up to number {anchored} nothing was rewritten since the anchor was taken")
    _tell_end(chain)


@app.command()
def show(
    record: File,
    action: Annotated[list[str] | None, typer.Option(help="Only these: allow, flag, redact, refuse.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="Only these, such as privacy or email.")] = None,
    text: Annotated[Path | None, typer.Option(help="Only verdicts of this file's text; needs the key.")] = None,
    last: Annotated[int, typer.Option(help="So many lines at the most, the newest.", min=0)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show verdicts, and count them by action and category."""
    from chidu.errors import RecordError
    from chidu.safety.audit import Chain, read_chain

    chain = Chain()
    wanted = _filter(record, action or [], category or [], text)
    found = [line for line in read_chain(record, chain) if wanted(line)]
    counts = {
        "actions": Counter(line["action"] for line in found),
        "categories": Counter(name for line in found for name in line["categories"]),
    }
    shown = found[len(found) - min(last, len(found)) :]
    if as_json:
        typer.echo(json_text({**_found(chain), "verdicts": len(found), **counts, "lines": shown}, indent=1))
    else:
        for line in shown:
            what = ", ".join(line["rules"] + line["failures"]) or "nothing found"
            seq, time, name, side, action = (line[key] for key in ("seq", "time", "id", "side", "action"))
            typer.echo(plain(f"{seq:>7}  {time}  {name}  {side:7} {action:6} {what}"))
        for title, each in counts.items():
            told = ", ".join(f"{name} {count}" for name, count in each.most_common()) or "none"
            typer.echo(plain(f"{title}: {told}"))
        _tell_end(chain)
    if chain.broken:
        raise RecordError(f"{record} does not hold, and is shown up to there: {chain.broken}")


def _filter(record: Path, actions: list[str], categories: list[str], text: Path | None) -> Any:
    """Return what tells whether a line is to be shown. Raises SettingError for a word that is none."""
    from chidu.errors import SettingError, TextError, nearest
    from chidu.safety.audit import is_about, read_key, text_name
    from chidu.safety.hazards import PARENTS
    from chidu.safety.hazards import categories as known_categories
    from chidu.safety.policy import Action

    for flag, words, known in (
        ("--action", actions, [action.word for action in Action]),
        ("--category", categories, known_categories()),
    ):
        for word in words:
            if word not in known:
                raise SettingError(f"{flag} {word}: unknown{nearest(word, known)}: one of {', '.join(known)}")
    finer = [name for name, parent in PARENTS.items() if parent in categories]
    name = None
    if text is not None:
        try:
            name = text_name(read_key(record), text.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise TextError(f"{text} is not UTF-8 ({error}): convert it") from error

    def wanted(line: dict[str, Any]) -> bool:
        return is_about(line, actions, [*categories, *finer]) and (name is None or line["text"] == name)

    return wanted


def _found(chain: Chain) -> dict[str, Any]:
    return {
        "entries": chain.entries,
        "first": chain.first,
        "anchor": chain.anchor,
        "broken": chain.broken,
        "torn": chain.torn,
    }


def _tell_end(chain: Chain) -> None:
    if chain.torn:
        typer.echo(f"{chain.torn} has no end: a writer was killed there, or is at work; the next one sets it aside")
    typer.echo(f"anchor: {chain.anchor}")
