"""Windows of a token file: each once an epoch, in an order that depends on seed and step alone."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chidu.errors import TextError, WorkFolderError
from chidu.tokens import TokenFile


def token_file(folder: Path, tokens: int) -> TokenFile:
    """Write a file whose tokens are their own positions."""
    path = folder / f"{tokens}.bin"
    np.arange(tokens, dtype="<u2").tofile(path)
    values = {"dtype": "uint16", "tokens": tokens, "documents": 1, "bytes": 3 * tokens, "bytes_per_token": 3.0}
    path.with_name(f"{path.name}.json").write_text(json.dumps(values | {"vocabulary": 400, "sha256": ""}), "utf-8")
    return TokenFile.open(path)


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.integers(12, 600),
    context_length=st.integers(1, 11),
    sequences=st.integers(1, 9),
    seed=st.integers(0, 2**40),
)
def test_every_window_comes_once_an_epoch(
    tmp_path_factory: pytest.TempPathFactory, tokens: int, context_length: int, sequences: int, seed: int
) -> None:
    file = token_file(tmp_path_factory.mktemp("file"), tokens)
    windows = file.unique_sequences(context_length)
    assert windows == (tokens - 1) // context_length
    steps = -(-2 * windows // sequences)
    rows = np.concatenate([file.batch(step, sequences, context_length, seed) for step in range(steps)])
    assert rows.dtype == np.int64
    assert rows.shape == (steps * sequences, context_length + 1)
    assert (np.diff(rows, axis=1) == 1).all()
    for epoch in (rows[:windows], rows[windows : 2 * windows]):
        assert sorted(epoch[:, 0]) == [number * context_length for number in range(windows)]


def test_a_batch_depends_on_seed_and_step_alone(packed: TokenFile) -> None:
    again = TokenFile.open(packed.path)
    forwards = [packed.batch(step, 4, 16, seed=5) for step in range(400)]
    backwards = [again.batch(step, 4, 16, seed=5) for step in reversed(range(400))][::-1]
    assert all(np.array_equal(one, other) for one, other in zip(forwards, backwards, strict=True))
    assert not np.array_equal(forwards[0], packed.batch(0, 4, 16, seed=6))
    windows = packed.unique_sequences(16)
    epochs = np.concatenate(forwards)
    assert not np.array_equal(epochs[:windows], epochs[windows : 2 * windows])


def test_the_order_is_kept_across_versions(tmp_path: Path) -> None:
    batch = token_file(tmp_path, 101).batch(3, 4, 10, seed=7)
    assert batch[:, 0].tolist() == [20, 70, 80, 40]


def test_the_halves_of_a_batch_are_the_batches_of_half(packed: TokenFile) -> None:
    whole = packed.batch(3, 8, 16, seed=1)
    assert np.array_equal(whole, np.concatenate([packed.batch(6, 4, 16, 1), packed.batch(7, 4, 16, 1)]))


def test_held_out_windows_are_spread_evenly_and_fixed(tmp_path: Path) -> None:
    file = token_file(tmp_path, 1001)
    everything = np.concatenate(list(file.held_out_batches(10, sequences=7)))
    assert everything[:, 0].tolist() == list(range(0, 1000, 10))
    some = list(file.held_out_batches(10, tokens_limit=105, sequences=4))
    assert [len(one) for one in some] == [4, 4, 2]
    assert np.concatenate(some)[:, 0].tolist() == [50 + 100 * number for number in range(10)]
    assert len(next(file.held_out_batches(10, tokens_limit=1))) == 1
    assert len(np.concatenate(list(file.held_out_batches(10, tokens_limit=10**9)))) == 100


def test_too_few_tokens_for_one_window(tmp_path: Path) -> None:
    file = token_file(tmp_path, 16)
    assert file.unique_sequences(15) == 1
    for ask in (lambda: file.batch(0, 1, 16, 0), lambda: next(file.held_out_batches(16))):
        with pytest.raises(TextError, match=r"16 tokens are too few for one sequence of 16: bring more text"):
            ask()


def test_it_reaches_another_process_as_a_path(packed: TokenFile) -> None:
    sent = pickle.dumps(packed)
    assert len(sent) < 1_000
    assert np.array_equal(pickle.loads(sent).array, packed.array)
    assert "bytes_per_token" in repr(packed)


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    file = token_file(tmp_path, 50)
    content, beside = file.path.read_bytes(), file.path.with_name("50.bin.json")
    file.path.write_bytes(content[:-1])
    with pytest.raises(WorkFolderError, match=r"50\.bin is damaged \(99 bytes, 100 expected\)"):
        TokenFile.open(file.path)
    file.path.write_bytes(b"")
    with pytest.raises(WorkFolderError, match="damaged"):
        TokenFile.open(file.path)
    file.path.write_bytes(content)
    for text in ("{}", "[]", '{"dtype": "uint99"', '{"dtype": "what", "tokens": 50}', "null"):
        beside.write_text(text, "utf-8")
        with pytest.raises(WorkFolderError):
            TokenFile.open(file.path)
    beside.unlink()
    with pytest.raises(WorkFolderError, match="can't be read"):
        TokenFile.open(file.path)
