"""`chidu chat`: a conversation with a model, in the terminal."""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from chidu.cli.generate import open_model
from chidu.cli.plain import plain_on_terminal
from chidu.cli.undertaking import DEFAULT_FOLDER

if TYPE_CHECKING:
    from chidu.inference import Engine, Message, Sampling

__all__ = ["command"]

HELP = "/clear begins anew, /quit ends; Ctrl-C stops an answer, Ctrl-D ends"


def command(
    model: Annotated[
        str, typer.Argument(help="A model with a chat template: a folder, a .gguf file, one of the hub, an address.")
    ] = "smollm2",
    system: Annotated[str | None, typer.Option(help="What the model is told before the conversation.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens of an answer at the most.")] = 512,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token each time.")] = 0.7,
    top_p: Annotated[float, typer.Option(help="Draw from the most likely tokens of this much probability.")] = 0.95,
    seed: Annotated[int, typer.Option(help="The same seed and the same words get the same answers.")] = 0,
) -> None:
    """Talk with a model. Each line that is read is a message; lines may come from a file too."""
    from chidu.inference import Sampling

    sampling = Sampling(max_tokens, temperature, top_p, seed)
    engine = open_model(model, DEFAULT_FOLDER)
    sys.stderr.write(f"{engine.name}: {HELP}\n" if sys.stdin.isatty() else "")
    talk(engine, sampling, _lines(), system)


def talk(engine: Engine, sampling: Sampling, lines: Iterator[str], system: str | None) -> None:
    """Answer each line, with all that was said before it as far as the context holds it."""
    from chidu.inference import Message

    told = [] if system is None else [Message("system", system)]
    turns: list[Message] = []
    for line in lines:
        if line == "/quit":
            return
        if line == "/clear":
            turns = []
            continue
        if line:
            turns.append(Message("user", line))
            turns = answered(engine, sampling, told, turns)


def answered(engine: Engine, sampling: Sampling, told: list[Message], turns: list[Message]) -> list[Message]:
    """Print the answer to the last turn; return the turns with it, but for the oldest where the context is too short.

    An answer that is stopped counts as far as it came.
    """
    from chidu.errors import ContextError
    from chidu.inference import Conversation, Message

    text = ""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        while True:
            try:
                for piece in engine.write(Conversation((*told, *turns)), sampling):
                    text += piece.text
                    sys.stdout.write(plain_on_terminal(piece.text))
                    sys.stdout.flush()
                break
            except ContextError:
                if len(turns) < 3 or text:
                    raise
                sys.stderr.write("(the context is full: the oldest message and its answer are left out)\n")
                turns = turns[2:]
    except KeyboardInterrupt:
        sys.stderr.write("\n(stopped)")
    finally:
        signal.signal(signal.SIGINT, before)
        sys.stdout.write("\n")
        sys.stdout.flush()
    return [*turns, Message("assistant", text)]


def _lines() -> Iterator[str]:
    """Yield what is typed, or read from a file, until its end. Ctrl-C at the prompt ends too, as in other programs."""
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        with contextlib.suppress(ImportError):
            importlib.import_module("readline")  # gives input() its keys
    while True:
        try:
            yield (input("> ") if is_terminal else _next_line()).strip()
        except EOFError:
            sys.stdout.write("\n" if is_terminal else "")
            return


def _next_line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line
