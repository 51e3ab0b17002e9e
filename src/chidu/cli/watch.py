"""`chidu watch`: an undertaking that is at work, seen from another terminal."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chidu.cli.output import check_page
from chidu.cli.plain import json_text
from chidu.cli.undertaking import DEFAULT_FOLDER
from chidu.errors import WorkFolderError

if TYPE_CHECKING:
    from rich.console import Console

    from chidu.runs.picture import Picture

__all__ = ["command"]

LINE_SECONDS = 15.0
"""Between two lines, where there is no terminal."""
MOST_TROUBLES = 3
"""Looks in a row that may fail."""
PAGE_SECONDS = 10
"""Between two writings of the page: it weighs 5 MB, and the browser reads all of it."""


def command(
    work: Annotated[Path, typer.Option(help="The work folder.")] = DEFAULT_FOLDER,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2, max=3600.0)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    page: Annotated[Path | None, typer.Option(help="Write a page too, which reloads by itself.")] = None,
    language: Annotated[str | None, typer.Option(help="The page's language: en or zh; else the folder's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and end.")] = False,
) -> None:
    """Watch an undertaking at work: stage, runs, and where the target is heading. Reads only, and takes no lock."""
    from chidu.work.watching import read_picture

    writer = None if page is None else PageWriter(work, page, language)
    picture = read_picture(work)
    if as_json or once:
        if writer is not None:
            writer.write(picture)
        if as_json:
            typer.echo(json_text(picture.as_dict(), indent=1))
        else:
            print_picture(picture)
        return
    with Patience() as patience:
        pictures = looks(lambda: read_picture(work), every, patience, writer)
        last = on_terminal(pictures) if sys.stdout.isatty() else as_lines(pictures)
    if patience.signal is not None:
        sys.stderr.write("\nchidu: no longer watching; the undertaking goes on\n")
        raise SystemExit(128 + patience.signal)
    typer.echo(ending(last))


class Patience:
    """Waits between two looks, and ends the wait at Ctrl-C or SIGTERM.

    An exception out of the middle of a drawing would leave the terminal without its cursor: here a signal is noted, and
    the drawing ends.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._came = threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Patience:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        self._came.set()

    def ends(self, seconds: float) -> bool:
        """Wait so long; true where a signal came."""
        return self._came.wait(seconds)


class PageWriter:
    """Writes the live page now and then, and once more at the end, when it need not reload."""

    def __init__(self, work: Path, page: Path, language: str | None) -> None:
        check_page(page)
        self.work, self.page, self.language = work, page, language
        self.written = -float("inf")

    def __call__(self, picture: Picture) -> None:
        """Write the page where the last one is old."""
        if picture.state != "at work" or time.monotonic() - self.written >= PAGE_SECONDS:
            self.write(picture)
            self.written = time.monotonic()

    def write(self, picture: Picture) -> None:
        """Write the page."""
        from chidu.work.results import write_live_page

        refresh = PAGE_SECONDS if picture.state == "at work" else None
        write_live_page(self.work, picture, self.page, refresh, self.language)


def looks(
    look: Callable[[], Picture], every: float, patience: Patience, writer: PageWriter | None
) -> Iterator[Picture]:
    """Look again and again, until nobody is at work or somebody stops us."""
    picture, troubles = look(), 0
    while True:
        if writer is not None:
            writer(picture)
        yield picture
        if picture.state != "at work" or patience.ends(every):
            return
        try:
            picture, troubles = look(), 0
        except WorkFolderError:
            # A stage that is made again clears its folder, perhaps just now: the next look tells.
            troubles += 1
            if troubles > MOST_TROUBLES:
                raise


def on_terminal(pictures: Iterator[Picture]) -> Picture:
    """Draw each picture over the last; return the last."""
    from rich.console import Console
    from rich.live import Live

    from chidu.cli.watch_show import drawn

    console = Console()
    picture = next(pictures)
    with Live(drawn(picture), console=console, auto_refresh=False, vertical_overflow="ellipsis") as view:
        view.refresh()
        for picture in pictures:
            view.update(drawn(picture), refresh=True)
    return picture


def as_lines(pictures: Iterator[Picture]) -> Picture:
    """Print a line now and then, at each new stage, and each new warning; return the last picture."""
    from chidu.cli.watch_show import line

    stage, told, warned = "", -float("inf"), 0
    for picture in pictures:
        if picture.stage != stage or time.monotonic() - told >= LINE_SECONDS:
            stage, told = picture.stage, time.monotonic()
            typer.echo(line(picture))
        for warning in picture.warnings[warned:]:
            typer.echo(f"warning: {warning.text}")
        warned = max(warned, len(picture.warnings))
        sys.stdout.flush()
    print_picture(picture)
    return picture


def print_picture(picture: Picture) -> None:
    """Print a picture once."""
    from chidu.cli.watch_show import drawn

    console().print(drawn(picture))


def console() -> Console:
    """Return where pictures go; wide enough for one where there is no terminal."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=120)


def ending(picture: Picture) -> str:
    """Say why watching is over, and how to go on."""
    if picture.state == "finished":
        return f"finished: chidu report --work {picture.folder} draws the page again"
    return f"nobody is at work in {picture.folder}: {picture.why}; go on with {picture.go_on}"
