"""What tests of several rooms share: tiny shapes and configs, and a small text in two languages."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from chidu.runs import Run, RunConfig, Shape

# The same examples each time, and no example fails for being slow.
settings.register_profile("chidu", derandomize=True, deadline=None, database=None)
settings.load_profile("chidu")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start each test from the same state of the generators that a library draws from when it is given none."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


ENGLISH = re.findall(
    r"\w+",
    "the of and to in that is was for it with as his on be at by had not are but from or have they which one you were "
    "all her she there would their we him been has when who will no more if out so up said what its about than into "
    "them can only other time new some could these two may first then do any like my now over such our man me even "
    "most made after also did many off before must well back through years much where your way down should because "
    "long each just state those people too how little world still see work",
)
CHINESE = list(
    "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其里所去行过家十用发天如然作方成者多日都三小军二无同么经法当起与好看学进种将还分此心前面又定见只主没公从"
)


def make_text(path: Path, size: int, seed: int = 0) -> Path:
    """Write some `size` bytes of seeded text, varied enough to learn from: each word is drawn from its neighbours'."""
    source = random.Random(seed)
    follow = {word: source.sample(ENGLISH, 6) for word in ENGLISH}
    follow |= {sign: source.sample(CHINESE, 6) for sign in CHINESE}
    stems = ["".join(source.choices("bcdfglmnprst", k=1) + source.choices("aeiou", k=1)) for _ in range(60)]
    lines: list[str] = []
    written = 0
    while written < size:
        chinese = source.random() < 0.3
        word = source.choice(CHINESE if chinese else ENGLISH)
        words = [word]
        for _ in range(source.randint(20, 160)):
            word = source.choice(follow[word])
            words.append(word)
            if not chinese and source.random() < 0.15:
                words.append("".join(source.choices(stems, k=source.randint(2, 4))))
        line = ("" if chinese else " ").join(words) + ("。" if chinese else ".")
        lines.append(line)
        written += len(line.encode()) + 1
    for number in range(0, len(lines), 50):
        (path / f"part{number // 50:03d}.txt").write_text("\n".join(lines[number : number + 50]), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of text, some 400 kB."""
    return make_text(tmp_path_factory.mktemp("some-text"), 400_000)


@pytest.fixture(scope="session")
def tiny_shape() -> Shape:
    return Shape(vocabulary=300, context_length=16, width=16, layers=2, heads=2, kv_heads=1, head_width=8, mlp_width=24)


@pytest.fixture(scope="session")
def tiny_config(tiny_shape: Shape) -> RunConfig:
    return RunConfig(
        shape=tiny_shape,
        steps=12,
        batch_tokens=32,
        learning_rate=0.003,
        embedding_learning_rate=0.01,
        head_learning_rate=0.003,
        warmup_steps=3,
        decay_fraction=0.5,
        precision="float32",
    )


@pytest.fixture(scope="session")
def make_run(tiny_config: RunConfig) -> Callable[..., Run]:
    """Build a finished run, made up, with any field in another value."""

    def build(**changes: object) -> Run:
        fields: dict[str, object] = {
            "name": "w0016-12",
            "group": "w0016",
            "config": tiny_config,
            "loss": 3.25,
            "loss_standard_error": 0.01,
            "bytes_per_token": 2.5,
            "unique_tokens": 10_000,
            "seconds": 1.5,
            "flops_spent": 1e9,
            "curve": ((6, 4.0), (12, 3.5)),
        }
        return Run(**{**fields, **changes})  # type: ignore[arg-type]

    return build


@pytest.fixture(scope="session")
def saved(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that Chidu saved, which every engine can open in its way."""
    import torch

    from chidu.model import Transformer, save_model
    from chidu.tokens import train_tokenizer

    shape = Shape(
        vocabulary=300, context_length=48, width=32, layers=2, heads=2, kv_heads=1, head_width=16, mlp_width=32
    )
    folder = tmp_path_factory.mktemp("writer")
    lines = [{"text": path.read_text(encoding="utf-8")} for path in sorted(text_folder.iterdir())[:3]]
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    train_tokenizer(folder / "train.jsonl", folder / "tokenizer.json", shape.vocabulary)
    model = Transformer(shape)
    model.initialise(0)
    with torch.no_grad():
        model.head.weight.mul_(40)
        # Token 0 ends a text: a model that knows nothing would end at once here and there.
        model.head.weight[0] = 0
    save_model(folder / "model", model, folder / "tokenizer.json", "")
    return folder / "model"


@pytest.fixture(scope="session")
def foreign(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of Llama's layout with our tokenizer and a chat template: transformers alone opens it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("foreign")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, bos_token_id=0, eos_token_id=0, initializer_range=0.4,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(saved / "tokenizer.json"), eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    )
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}[assistant]"
    tokenizer.save_pretrained(folder)
    return folder
