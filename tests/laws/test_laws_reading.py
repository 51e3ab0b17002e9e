"""`--columns`: any name on the left that a formula may read, but no slip."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from planted import CHINCHILLA, grid

from chidu.errors import InputError, SettingError
from chidu.laws import fit
from chidu.laws.reading import column_names, is_saved_fit, load_fit
from chidu.runs.ladder import Ladder


def test_any_name_may_stand_on_the_left() -> None:
    assert column_names("loss=val/loss,width=config.d_model,bits=b, dropout = p=0.1") == {
        "loss": "val/loss",
        "width": "config.d_model",
        "bits": "b",
        "dropout": "p=0.1",
    }
    assert column_names(["loss=a", "params=b,tokens=c"]) == {"loss": "a", "params": "b", "tokens": "c"}
    assert column_names(None) == {}


@pytest.mark.parametrize(
    ("slip", "meant"), [("lss", "loss"), ("parms", "params"), ("token", "tokens"), ("flop", "flops"), ("Loss", "loss")]
)
def test_a_known_name_mistyped_is_refused(slip: str, meant: str) -> None:
    with pytest.raises(SettingError, match=f"'{slip}' is no column of ours .did you mean '{meant}'"):
        column_names(f"{slip}=val")


@pytest.mark.parametrize("text", ["val/loss=loss", "2x=a", "a b=c"])
def test_what_no_formula_can_read_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="ours is left"):
        column_names(text)


def test_a_tables_notes_are_told(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = [(n, d, 1.7 + 400 / n**0.34 + 410 / d**0.28) for n in (1e7, 3e7, 1e8) for d in (1e9, 3e9, 9e9)]
    path.write_text("N,D,val_loss\n" + "".join(f"{n},{d},{loss}\n" for n, d, loss in rows), encoding="utf-8")
    told: list[str] = []
    assert load_fit(path, {}, "additive", tell=told.append).rows == 9
    assert told == ["loss is read from val_loss", "params are read from N", "tokens are read from D"]


def saved_bytes() -> bytes:
    return json.dumps(fit(CHINCHILLA.table(*grid(4, 4), noise=0.002), "additive", resamples=3).as_dict()).encode()


def test_a_saved_fit_is_known_by_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "law").write_bytes(b"\n " + saved_bytes())
    assert is_saved_fit(tmp_path / "law")
    assert load_fit(tmp_path / "law", {}).law == "additive"


def test_a_saved_fit_and_a_table_may_come_through_a_pipe(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    Ladder.of(CHINCHILLA.table(*grid(4, 4), noise=0.002)).write(table)
    for content, law in ((saved_bytes(), "auto"), (table.read_bytes(), "power")):
        pipe = tmp_path / f"pipe-{law}"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(content,))
        writer.start()
        assert load_fit(pipe, {}, law).law == ("additive" if law == "auto" else law)
        writer.join()


@pytest.mark.parametrize("name", ["deep.json", "deep"])
def test_a_saved_fit_nested_without_end_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text('{"chidu_fit": ' + "[" * 200_000, encoding="utf-8")
    with pytest.raises(InputError, match=r"not JSON \(nested too deeply\)"):
        load_fit(tmp_path / name, {})
