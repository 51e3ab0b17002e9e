"""Vectors of texts: what means alike lies close, and what can't be read is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from chidu.cli.own_files import open_named
from chidu.errors import InputError
from chidu.inference import Embedder, open_embedder


@pytest.fixture(scope="module")
def sentences(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder of random weights, as sentence-transformers keeps one."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    inner, folder = tmp_path_factory.mktemp("bert"), tmp_path_factory.mktemp("sentences")
    config = BertConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    BertModel(config).save_pretrained(inner)
    PreTrainedTokenizerFast(
        tokenizer_file=str(saved / "tokenizer.json"), pad_token="<|endoftext|>", model_max_length=64
    ).save_pretrained(inner)
    words = Transformer(str(inner))
    SentenceTransformer(modules=[words, Pooling(32)], prompts={"query": "ask: ", "document": ""}).save(str(folder))
    return folder


@pytest.fixture(params=["e5", "sentences"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    return open_embedder("e5" if request.param == "e5" else str(request.getfixturevalue("sentences")))


def test_vectors_have_length_one_and_do_not_depend_on_their_neighbours(embedder: Embedder) -> None:
    texts = ["the work of the world", "一本书", "a", "so many words that it is longer than the others are"]
    found = embedder.embed(texts)
    assert found.vectors.shape == (4, embedder.dimension)
    assert found.vectors.dtype == np.float32
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    alone = np.concatenate([embedder.embed([text]).vectors for text in texts])
    assert np.abs(found.vectors - alone).max() < 1e-4
    assert found.tokens == sum(embedder.embed([text]).tokens for text in texts)
    assert embedder.embed([]).vectors.shape[0] == 0


def test_a_question_is_read_otherwise_than_a_passage(embedder: Embedder) -> None:
    one, other = (embedder.embed(["what is scale"], role).vectors for role in ("query", "passage"))  # type: ignore[arg-type]
    assert np.abs(one - other).max() > 1e-3


def test_what_can_not_be_read_is_named(embedder: Embedder) -> None:
    with pytest.raises(InputError, match="text 2 is empty"):
        embedder.embed(["a", " \n"])
    with pytest.raises(InputError, match=r"text 1 is \d+ tokens long; the model's context holds \d+: cut it"):
        embedder.embed(["的" * 2000])


def test_a_chinese_question_finds_the_english_passage() -> None:
    e5 = open_embedder("e5")
    passages = [
        "To copy a file, use the command cp with the name of the file and the new name.",
        "The moon moves around the earth in about twenty-seven days.",
        "Bread is baked from flour, water, yeast and salt.",
    ]
    found = (
        e5.embed(passages).vectors
        @ e5.embed(["怎样复制一个文件？", "月亮绕地球一周要多久？", "面包是用什么做的？"], "query").vectors.T
    )
    assert found.argmax(axis=0).tolist() == [0, 1, 2]


def test_a_byte_zero_does_not_end_a_text() -> None:
    e5 = open_embedder("e5")
    cut, whole = e5.embed(["one\0two"]).vectors, e5.embed(["one two"]).vectors
    assert np.array_equal(cut, whole)


def test_an_embedder_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(InputError, match="run chidu models get minilm"):
        open_embedder("minilm")
    with pytest.raises(InputError, match="no such folder"):
        open_embedder("./nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="can't be opened"):
        open_embedder(str(tmp_path / "empty"))


@pytest.mark.parametrize(("name", "asked"), [("e6", "sentence-transformers/e6"), ("own/e6", "own/e6")])
def test_the_hub_is_asked_once_and_said_to_be(
    name: str, asked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import HfApi

    seen: list[tuple[str, float]] = []

    def unreached(_self: HfApi, repo: str, *, timeout: float) -> None:
        seen.append((repo, timeout))
        raise OSError("no route")

    monkeypatch.setattr(HfApi, "model_info", unreached)
    with pytest.raises(InputError, match=f"{name} is not on this machine, and the hub can't be reached"):
        open_named(name)
    ((repo, seconds),) = seen
    assert (repo, seconds <= 10) == (asked, True)
    told = capsys.readouterr().err
    assert "looking for it on the hub" in told
    assert ("did you mean 'e5'?" in told) == (name == "e6")
    assert open_named("none") is None
