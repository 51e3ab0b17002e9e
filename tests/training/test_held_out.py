"""The held-out loss: its standard errors, its way along the context, and that no batch size shows in it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest

from chidu.runs import Run, RunConfig
from chidu.runs.run import PositionLoss
from chidu.tokens import TokenFile
from chidu.training import Text, held_out
from chidu.training.held_out import clustered_error, held_out_loss, position_ranges
from chidu.training.loop import Trainer


@pytest.fixture(scope="module")
def held_out_tokens(packed_text: Text) -> TokenFile:
    return TokenFile.open(packed_text.held_out)


@pytest.mark.parametrize("precision", ["bf16", "float32"])
def test_no_number_of_sequences_at_once_shows_in_any_bit(
    precision: str, tiny_config: RunConfig, held_out_tokens: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the batches that are brought, and of those that the model reads."""
    trainer = Trainer(dataclasses.replace(tiny_config, precision=precision))
    for _ in range(8):
        trainer.advance(held_out_tokens)
    documents = held_out_tokens.held_out_documents(16, 640)
    found = set()
    for brought in (1, 3, 7, 40):
        for read in (1, 2, 4, 5, 16, 64):
            monkeypatch.setattr(held_out, "SEQUENCES_AT_ONCE", read)
            batches = held_out_tokens.held_out_batches(16, 640, brought)
            found.add(held_out_loss(trainer.model, batches, documents))
    assert len(found) == 1


def test_documents_are_told_by_their_ends(held_out_tokens: TokenFile) -> None:
    """The same numbers as walking through the file, token by token."""
    number, of_token = 0, []
    for token in held_out_tokens.array.tolist():
        of_token.append(number)
        number += token == 0
    assert number == held_out_tokens.documents
    windows = np.concatenate(list(held_out_tokens.held_out_batches(16)))
    documents = held_out_tokens.held_out_documents(16)
    assert documents.shape == (len(windows), 16)
    assert documents.ravel().tolist() == of_token[1 : documents.size + 1]
    assert (windows[:, 1:].ravel() == held_out_tokens.array[1 : documents.size + 1]).all()
    some = held_out_tokens.held_out_documents(16, 640)
    assert {tuple(row) for row in some.tolist()} <= {tuple(row) for row in documents.tolist()}


def test_the_error_over_clusters_is_what_redrawing_them_gives() -> None:
    """Documents of unequal length whose tokens share a document's luck; drawn anew, the mean strays by that much."""
    random = np.random.default_rng(0)

    def drawn() -> tuple[np.ndarray, np.ndarray]:
        lengths = random.integers(5, 200, 120)
        luck = random.normal(3.0, 0.5, 120).repeat(lengths)
        return luck + random.normal(0, 1.0, len(luck)), np.arange(120).repeat(lengths)

    losses, clusters = drawn()
    by_document = clustered_error(losses, clusters)
    by_token = losses.std() / len(losses) ** 0.5
    strayed = np.std([drawn()[0].mean() for _ in range(800)])
    assert by_document == pytest.approx(strayed, rel=0.2)
    assert by_token < 0.5 * strayed


def test_clusters_of_one_token_give_the_plain_standard_error() -> None:
    losses = np.random.default_rng(1).normal(size=50)
    assert clustered_error(losses, np.arange(50)) == pytest.approx(losses.std(ddof=1) / 50**0.5)
    assert clustered_error(losses, np.zeros(50, np.int64)) == 0.0


@pytest.mark.parametrize(
    ("context_length", "ranges"),
    [
        (1, [(0, 1)]),
        (16, [(0, 1), (1, 2), (2, 4), (4, 8), (8, 16)]),
        (100, [(0, 1), (1, 3), (3, 6), (6, 12), (12, 25), (25, 50), (50, 100)]),
        (512, [(0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 128), (128, 256), (256, 512)]),
    ],
)
def test_ranges_of_positions_double(context_length: int, ranges: list[tuple[int, int]]) -> None:
    assert position_ranges(context_length) == ranges


def test_positions_add_up_to_the_loss(tiny_config: RunConfig, held_out_tokens: TokenFile) -> None:
    model = Trainer(tiny_config).model
    found = held_out_loss(model, held_out_tokens.held_out_batches(16, 640), held_out_tokens.held_out_documents(16, 640))
    total = sum(part.loss * (part.last - part.first) for part in found.by_position)
    assert total / 16 == pytest.approx(found.loss, rel=1e-9)
    assert found.documents > 1
    assert found.document_standard_error is not None
    assert found.document_standard_error > 0
    assert all(part.standard_error > 0 for part in found.by_position)


def test_a_run_keeps_them_and_an_older_one_is_still_read(make_run: Callable[..., Run]) -> None:
    run = make_run(loss_document_standard_error=0.02, loss_by_position=(PositionLoss(0, 8, 3.5, 0.03),))
    assert Run.from_dict(json.loads(json.dumps(run.as_dict()))) == run
    older = make_run().as_dict()
    del older["loss_document_standard_error"], older["loss_by_position"]
    assert Run.from_dict(json.loads(json.dumps(older))) == make_run()
