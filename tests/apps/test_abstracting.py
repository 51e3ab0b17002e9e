"""Summaries that a model writes: what is borne out, what is marked, and that a kill costs one part at the most."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chidu.apps import KeptPieces, WrittenSummary, sentences, write_summary
from chidu.apps.abstracting import go_on_from
from chidu.apps.supporting import borne_out_by
from chidu.errors import ContextError, SettingError, TextError
from chidu.inference import Conversation, Piece, Prompt, Sampling
from chidu.inference.engine import no_chat

TEXT = """# Harbour

The old harbour was closed in 1987 because its water was too shallow. Ships now unload at the new pier, which is 420
metres long. The mayor said that the harbour may be opened again. Fish is sold on Fridays and bread on Mondays.

## 码头

新码头长四百二十米，停靠着三十艘船。渔民不再使用旧港。如果水位太低，渡船就停开。
"""


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("The old harbour was closed in 1987 because its water was too shallow.", 3),
        ("The old harbour was closed in 1987.", 3),
        ("Ships now unload at the new pier.", 3),
        ("The new pier is 420 metres long.", 0),  # right, and said in other words: called not borne out
        ("The old harbour was closed in 1978.", 0),
        ("The old harbour was not closed in 1987.", 0),
        ("The water was closed because the old harbour was too shallow.", 0),
        ("The harbour may be opened again.", 0),  # whose opinion it is is left out
        ("The mayor said that the harbour may be opened again.", 4),
        ("The mayor said that the harbour may not be opened again.", 0),
        ("Fish is sold on Mondays.", 0),
        ("Fish is sold on Fridays.", 4),
        ("Bread is sold on Mondays.", 0),
        ("It is a new pier, which is 420 metres long.", 0),  # of what the sentence speaks is another thing
        ("The harbour is beautiful.", 0),
        ("The old harbour may be opened again.", 0),
        ("新码头长四百二十米。", 8),
        ("新码头长三百二十米。", 0),
        ("渔民使用旧港。", 0),
        ("渡船停开。", 0),
        ("渔民不再使用旧港。", 8),
        ("...", 0),
    ],
)
def test_what_the_text_says_is_borne_out_and_nothing_else(written: str, line: int) -> None:
    place = borne_out_by(written, sentences(TEXT))
    assert (place.first_line if place else 0) == line


@given(st.integers(0, 5), st.data())
def test_a_changed_word_is_never_borne_out(number: int, data: st.DataObject) -> None:
    source = sentences(TEXT)
    words = source[number % 4].text.split()
    place = data.draw(st.integers(0, len(words) - 1))
    # Longer than the small words that may come and go.
    words[place] = data.draw(st.text("bcdfghjklmnpqrstvwxz", min_size=9, max_size=12))
    assert borne_out_by(" ".join(words), source) is None


def test_a_question_bears_no_statement_out() -> None:
    source = sentences("Is the harbour closed on Sundays? The pier is long.")
    assert borne_out_by("The harbour is closed on Sundays.", source) is None
    assert borne_out_by("Is the harbour closed on Sundays?", source) is not None


class Teller:
    """Writes the first sentence of what it is given, and one that is made up."""

    name = "teller"

    def __init__(self, context_length: int | None = 2_048, chats: bool = True, dies_at: int = 10**9) -> None:
        self.context_length, self.chats, self.dies_at = context_length, chats, dies_at
        self.asked: list[str] = []

    def write(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        if isinstance(prompt, Conversation) and not self.chats:
            raise no_chat(self.name)
        given = prompt.turns[-1].content if isinstance(prompt, Conversation) else str(prompt)
        if self.context_length is not None and len(given) > 2 * self.context_length:
            raise ContextError("too long")
        if len(self.asked) >= self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.asked.append(given)
        first = sentences(given)[0].text
        return iter([Piece(f"{first} Dragons live {len(given)} years. And an end that", None), Piece("", "length")])


def summary_of(text: str, engine: Any, **others: Any) -> WrittenSummary:
    return write_summary(text, engine, **others)


def test_what_is_made_up_is_marked_and_comes_after_the_rest() -> None:
    found = summary_of(TEXT, Teller(), count=9)
    assert [one.borne_out for one in found.written] == [True, False]
    assert found.text.startswith("# Harbour\n\nThe old harbour was closed in 1987 because its water was too shallow. ")
    assert found.text.endswith(" years. [not in the text]")
    assert "And an end" not in found.text
    assert len(found.unsupported) == 1
    assert (found.written[0].sentence.first_line, found.written[1].sentence.last_line) == (3, 8)
    (one,) = summary_of(TEXT, Teller(), count=1).written
    assert one.borne_out


def long_text(paragraphs: int = 400) -> str:
    told = (f"Paragraph {number} tells of {number * 7} bridges over a river. It ends." for number in range(paragraphs))
    return "\n\n".join(told)


def progress_of(text: str, path: Path, model: str) -> list[float]:
    told: list[float] = []
    summary_of(text, Teller(), model=model, kept=KeptPieces(path), progress=lambda done, _words: told.append(done))
    return told


def test_a_long_text_is_read_in_parts_that_fit() -> None:
    told: list[tuple[float, str]] = []
    engine = Teller(context_length=512)
    text = long_text()
    found = summary_of(text, engine, percent=5, progress=lambda done, words: told.append((done, words)))
    assert found.sentences == 800
    assert found.parts == len(engine.asked) > 20
    assert max(map(len, engine.asked)) < 1_024
    assert "".join(engine.asked).count("Paragraph") == 400
    assert len(found.written) == 40
    lines = [one.sentence.first_line for one in found.written]
    assert lines == sorted(lines)
    assert told[-1][0] == 1.0


def test_what_was_kept_is_not_asked_again(tmp_path: Path) -> None:
    path, text = tmp_path / "summary.part", long_text()
    whole = summary_of(text, Teller(), percent=5, model="a", kept=KeptPieces(path))
    assert whole.kept_parts == 0
    idle = Teller()
    again = summary_of(text, idle, percent=5, model="a", kept=KeptPieces(path))
    assert (again.written, again.kept_parts, idle.asked) == (whole.written, whole.parts, [])
    assert progress_of(text, path, "a") == [1.0]
    other = summary_of(text, Teller(), percent=5, model="b", kept=KeptPieces(path))
    assert other.kept_parts == 0
    text = text.replace("Paragraph 399", "The last")
    changed = summary_of(text, Teller(), percent=5, model="a", kept=KeptPieces(path))
    assert changed.kept_parts == changed.parts - 1
    # Two changed parts with kept ones between them: what is kept counts from the first call on.
    text = text.replace("Paragraph 9 ", "Page 9 ").replace("Paragraph 200", "Page 200")
    parts = changed.parts
    assert progress_of(text, path, "a") == [(parts - 2) / parts, (parts - 1) / parts, 1.0]


def test_a_torn_line_costs_its_part_alone(tmp_path: Path) -> None:
    path, text = tmp_path / "summary.part", long_text()
    whole = summary_of(text, Teller(), percent=5, model="a", kept=KeptPieces(path))
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    again = summary_of(text, Teller(), percent=5, model="a", kept=KeptPieces(path))
    assert (again.written, again.kept_parts) == (whole.written, whole.parts - 1)
    assert summary_of(text, Teller(), model="a", kept=KeptPieces(path)).kept_parts == whole.parts


def test_a_killed_summary_goes_on_and_comes_out_the_same(tmp_path: Path) -> None:
    """SIGKILL while the seventh part is being written."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from test_abstracting import *\n"
        "summary_of(long_text(), Teller(dies_at=6), percent=5, model='a', kept=KeptPieces(Path(sys.argv[2])))\n"
    )
    path = tmp_path / "summary.part"
    ended = subprocess.run([sys.executable, "-c", program, str(Path(__file__).parent), str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    found = summary_of(long_text(), Teller(), percent=5, model="a", kept=KeptPieces(path))
    assert found.kept_parts == 6
    whole = summary_of(long_text(), Teller(), percent=5, model="a")
    assert (found.written, found.text) == (whole.written, whole.text)


def test_a_model_without_chat_goes_on_behind_a_cue() -> None:
    engine: Any = Teller(chats=False)
    assert go_on_from(engine, "order", "The sea is wide.", "Summary:", 10).startswith("The sea is wide.")
    assert engine.asked == ["The sea is wide.\n\nSummary:"]
    assert summary_of(TEXT, Teller(chats=False)).written[0].borne_out


class Silent(Teller):
    """Writes nothing."""

    def write(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        return iter([Piece("", "stop")])


def test_wrong_input_is_named() -> None:
    with pytest.raises(TextError, match="no sentence"):
        summary_of("```\ncode\n```\n", Teller())
    with pytest.raises(TextError, match="teller wrote no sentence"):
        summary_of(TEXT, Silent())
    with pytest.raises(SettingError, match="name one"):
        summary_of(TEXT, Teller(), count=1, percent=1)
    with pytest.raises(ContextError):
        summary_of("a" * 5_000 + ".", Teller(context_length=1))
