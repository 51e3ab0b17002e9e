"""The catalogue is whole, and its pages say what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chidu.errors import FitError
from chidu.laws import LAWS, find_law

PAGES = Path(__file__).parent.parent.parent / "docs" / "laws"


@pytest.mark.parametrize("name", LAWS)
def test_every_entry_is_whole_and_has_its_page(name: str) -> None:
    law = LAWS[name]
    assert law.name == name
    assert all(part in law.formula for part in (*law.inputs, *law.parameters))
    assert set(law.parsed.parameters) == set(law.parameters)
    assert law.parsed.columns == law.inputs
    assert set(law.bounds) <= set(law.parameters)
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    for said in (law.formula, law.purpose, law.misleads, law.source, f"--law {name}"):
        assert said
        assert said in page


@pytest.mark.parametrize("name", LAWS)
def test_the_page_of_a_law_names_its_bounds(name: str) -> None:
    line = next(text for text in (PAGES / f"{name}.md").read_text(encoding="utf-8").split("\n") if "| bounds |" in text)
    said = {
        parameter: edges
        for part in line.removeprefix("| bounds | ").removesuffix(" |").split("; ")
        for names, edges in [part.split(": ")]
        for parameter in names.split(", ")
    }
    for parameter, (low, high) in LAWS[name].bounds.items():
        assert said[parameter] == ("any sign" if low == -np.inf else f"{low:g} to {high:g}")


def test_there_is_no_page_too_many() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == set(LAWS)


def test_a_name_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(FitError, match="did you mean 'additive'"):
        find_law("aditive")
