"""The command line: one short file a verb, each loading only what it needs."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from chidu.cli import (
    answer,
    audit,
    backtest,
    build,
    chat,
    compare,
    demo,
    doctor,
    evaluate,
    explain,
    export,
    fit,
    forecast,
    generate,
    ladder,
    models,
    plan,
    report,
    search,
    serve,
    stages,
    study,
    suggest,
    summarize,
    translate,
    tune,
    watch,
)
from chidu.cli.plain import plain
from chidu.cli.stopping import Stopped, orderly_stops
from chidu.errors import ChiduError

__all__ = ["main"]

app = typer.Typer(
    help="Chidu (尺度): honest, cheap extrapolation for language models.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"chidu {version('chidu')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Chidu (尺度): honest, cheap extrapolation for language models."""


VERBS: dict[str, Callable[..., None]] = {
    "demo": demo.command,
    "build": build.command,
    "corpus": stages.corpus,
    "tokenize": stages.tokenize,
    "ladder": ladder.train,
    "train": stages.train,
    "watch": watch.command,
    "fit": fit.command,
    "backtest": backtest.command,
    "forecast": forecast.command,
    "plan": plan.command,
    "suggest": suggest.command,
    "compare": compare.command,
    "tune": tune.command,
    "study": study.command,
    "evaluate": evaluate.command,
    "generate": generate.command,
    "chat": chat.command,
    "models": models.models,
    "serve": serve.command,
    "search": search.command,
    "summarize": summarize.command,
    "explain": explain.command,
    "translate": translate.command,
    "answer": answer.command,
    "export": export.command,
    "report": report.command,
    "doctor": doctor.command,
}
GROUPS = {"ladder": ladder.app, "models": models.app}
"""Verbs with a verb of their own: `chidu ladder design`, `chidu models get`."""
RESUMED = {"demo", "build", "corpus", "tokenize", "ladder", "train", "tune", "study", "evaluate"}
"""Verbs that keep what they have done, whatever their flags; others may keep it beside their output."""
for _name, _command in VERBS.items():
    if _name in GROUPS:
        app.add_typer(GROUPS[_name], name=_name)
    else:
        app.command(_name)(_command)
app.add_typer(audit.app, name="audit")


def print_whatever_comes() -> None:
    """Let a terminal of a narrower encoding (GBK) show ``?`` for what it lacks, instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        # Where the caller chose another way (stderr escapes by itself), that one stays.
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def main() -> None:
    """Run the command line; turn every expected error into one line and an exit code."""
    print_whatever_comes()
    try:
        with orderly_stops():
            app(standalone_mode=True)
    except ChiduError as error:
        fail(str(error))
    except Stopped as stopped:
        # We are on our way out: a second Ctrl-C would only end that in a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        is_kept = stopped.is_kept or bool(RESUMED.intersection(sys.argv[1:2]))
        more = "; run the same command again to go on from here" if is_kept else ""
        sys.stderr.write(f"chidu: interrupted{more}\n")
        raise SystemExit(stopped.exit_code) from None
    except BrokenPipeError:
        # The reader of our output went away (`chidu fit … | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            # Where it is no file, it is what the output was sent to.
            where = error.filename or "the output, which stops half-way"
            fail(f"the disk is full (writing {where}): free some and run the same command again")
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            fail(f"{error.filename}: {error.strerror}: name another place, or mend its permissions")
        if error.filename is not None:
            fail(f"{error.filename}: {error.strerror}: see that it is there, and a file or folder as it should be")
        raise


def fail(message: str) -> None:
    """Print one line and exit with 1."""
    sys.stderr.write(plain(f"chidu: {' '.join(message.split())}\n"))
    raise SystemExit(1)
