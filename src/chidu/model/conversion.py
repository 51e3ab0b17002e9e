"""Our weights in the layout that Hugging Face calls Qwen3, and back; GPT-2's is in `chidu.model.gpt2_folder`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chidu.errors import InputError, SettingError
from chidu.model import gpt2_folder
from chidu.model.transformer import NORM_EPSILON, ROPE_THETA, Transformer
from chidu.runs.record import write_atomic, write_json
from chidu.runs.shape import LAYOUTS, Shape

__all__ = ["END_OF_TEXT", "NORM_EPSILON", "ROPE_THETA", "load_model", "save_model"]

END_OF_TEXT = "<|endoftext|>"
"""Token 0: stands after each document."""

LONGEST_CONTEXT = 16_384
"""The causal mask is a square of this side: 1 GB."""

BLOCK_NAMES = {
    "attention_norm.weight": "input_layernorm.weight",
    "attention.out.weight": "self_attn.o_proj.weight",
    "attention.q_norm.weight": "self_attn.q_norm.weight",
    "attention.k_norm.weight": "self_attn.k_norm.weight",
    "mlp_norm.weight": "post_attention_layernorm.weight",
    "mlp.down.weight": "mlp.down_proj.weight",
}
EVERY_CONFIG = {"use_cache": True, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "dtype": "float32"}
"""What `config.json` says of every model."""
WHOLE_NAMES = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}


def check_layout(shape: Shape) -> None:
    """Raise SettingError where no format that others open can say what the shape computes."""
    if shape.layout not in LAYOUTS:
        raise SettingError(
            f"a model of the layout {shape.layout!r} is a study's alone: no format that other programs open has it; "
            f"train one of {' or '.join(LAYOUTS)} to save it"
        )


def to_hugging_face(weights: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Rename our weights, and split the joined ones (query, key, value; gate, up).

    Raises SettingError for a layout that is a study's alone.
    """
    check_layout(shape)
    if shape.is_gpt2:
        return gpt2_folder.to_hugging_face(weights, shape)
    D, H, K = shape.head_width, shape.heads, shape.kv_heads
    renamed = {theirs: weights[ours] for ours, theirs in WHOLE_NAMES.items()}
    if shape.tied:
        del renamed["lm_head.weight"]
    for i in range(shape.layers):
        ours, theirs = f"blocks.{i}.", f"model.layers.{i}."
        for name, other in BLOCK_NAMES.items():
            renamed[theirs + other] = weights[ours + name]
        q, k, v = torch.split(weights[ours + "attention.qkv.weight"], [H * D, K * D, K * D])
        gate, up = weights[ours + "mlp.gate_up.weight"].chunk(2)
        for other, part in (
            ("self_attn.q", q),
            ("self_attn.k", k),
            ("self_attn.v", v),
            ("mlp.gate", gate),
            ("mlp.up", up),
        ):
            renamed[f"{theirs}{other}_proj.weight"] = part
    return {name: tensor.detach().float().cpu().clone() for name, tensor in renamed.items()}


def from_hugging_face(weights: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Undo `to_hugging_face`. Raises KeyError where a weight is missing."""
    if shape.is_gpt2:
        return gpt2_folder.from_hugging_face(weights, shape)
    ours = {name: weights[other] for name, other in WHOLE_NAMES.items() if other in weights}
    if shape.tied:
        ours["head.weight"] = ours["embedding.weight"]
    for i in range(shape.layers):
        mine, theirs = f"blocks.{i}.", f"model.layers.{i}."
        for name, other in BLOCK_NAMES.items():
            ours[mine + name] = weights[theirs + other]
        ours[mine + "attention.qkv.weight"] = torch.cat([weights[f"{theirs}self_attn.{x}_proj.weight"] for x in "qkv"])
        ours[mine + "mlp.gate_up.weight"] = torch.cat([weights[f"{theirs}mlp.{x}_proj.weight"] for x in ("gate", "up")])
    return ours


def config_json(shape: Shape) -> dict[str, Any]:
    """Return the `config.json` of this shape. Raises SettingError for a layout that is a study's alone."""
    check_layout(shape)
    return {**(gpt2_folder.config_json(shape) if shape.is_gpt2 else _qwen3_json(shape)), **EVERY_CONFIG}


def _qwen3_json(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_width,
        "intermediate_size": shape.mlp_width,
        "max_position_embeddings": shape.context_length,
        "tie_word_embeddings": shape.tied,
        "hidden_act": "silu",
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": ROPE_THETA,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "attention_bias": False,
        "attention_dropout": 0.0,
    }


def shape_of(config: dict[str, Any]) -> Shape:
    """Read a shape out of a `config.json` of our layouts. Raises InputError where it is another one."""
    kind = config.get("model_type")
    if kind not in ("qwen3", "gpt2"):
        raise InputError(f"this folder holds a {kind!r} model, not one of Chidu's layouts (qwen3, gpt2)")
    for name, found, ours in gpt2_folder.computed(config) if kind == "gpt2" else _qwen3_computed(config):
        if found != ours:
            raise InputError(
                f"config.json: {name} is {found!r}; Chidu computes with {ours!r}: open it with transformers"
            )
    try:
        return gpt2_folder.shape_of(config) if kind == "gpt2" else _qwen3_shape(config)
    except (KeyError, TypeError, ZeroDivisionError, SettingError) as error:
        raise InputError(f"config.json is incomplete or absurd: {error}") from error


def _qwen3_computed(config: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    rope = config.get("rope_parameters") or {}
    return [
        ("rope_theta", rope.get("rope_theta", config.get("rope_theta", ROPE_THETA)), ROPE_THETA),
        ("rope_type", rope.get("rope_type", "default"), "default"),
        ("rms_norm_eps", config.get("rms_norm_eps", NORM_EPSILON), NORM_EPSILON),
        ("hidden_act", config.get("hidden_act", "silu"), "silu"),
        ("attention_bias", config.get("attention_bias", False), False),
    ]


def _qwen3_shape(config: dict[str, Any]) -> Shape:
    return Shape(
        vocabulary=config["vocab_size"],
        context_length=config["max_position_embeddings"],
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_width=config["head_dim"],
        mlp_width=config["intermediate_size"],
        tied=config.get("tie_word_embeddings", False),
    )


def check_sizes(folder: Path, shape: Shape, found: int) -> None:
    """Raise InputError where a shape is not that of `found` weights: before anything of its sizes is allocated."""
    if shape.params != found:
        raise InputError(
            f"{folder}: config.json and model.safetensors don't match ({shape.params:,} params and {found:,})"
        )
    if shape.context_length > LONGEST_CONTEXT:
        raise InputError(
            f"{folder}: a context of {shape.context_length:,} tokens is more than Chidu's own model reads "
            f"({LONGEST_CONTEXT:,}): open it with transformers"
        )


def save_model(folder: Path, model: Transformer, tokenizer: Path, notes: str) -> None:
    """Write a folder that `transformers` opens: weights in float32, config, tokenizer, and a README of `notes`."""
    from safetensors.torch import save

    # Through bytes: the library's own writer hides a full disk's OSError, and leaves half a file.
    weights = save(to_hugging_face(model.state_dict(), model.shape), metadata={"format": "pt"})
    write_atomic(folder / "model.safetensors", weights)
    write_json(folder / "config.json", config_json(model.shape))
    write_json(folder / "generation_config.json", {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0})
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": model.shape.context_length,
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
            "pad_token": END_OF_TEXT,
            "clean_up_tokenization_spaces": False,
        },
    )
    write_atomic(folder / "README.md", notes)


def load_model(folder: Path) -> Transformer:
    """Open a folder that `save_model` wrote, or any model of the same layout, in float32.

    Raises InputError where a file is missing, damaged or of another layout. Pickled weights are never read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} has no {name}: name a folder that holds a saved model")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors")
    except (ValueError, SafetensorError) as error:
        raise InputError(f"{folder} is damaged: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{folder}: config.json is not a JSON object")
    shape = shape_of(config)
    if shape.tied and (head := weights.pop("lm_head.weight", None)) is not None:
        embedding = weights.get("transformer.wte.weight" if shape.is_gpt2 else "model.embed_tokens.weight")
        if embedding is None or not torch.equal(head, embedding):
            raise InputError(f"{folder}: config.json and model.safetensors don't match (tied, but with its own head)")
    check_sizes(folder, shape, sum(each.numel() for name, each in weights.items() if not name.endswith(".bias")))
    with torch.device("meta"):
        model = Transformer(shape)
    model = model.to_empty(device="cpu")
    try:
        model.load_state_dict({n: t.float() for n, t in from_hugging_face(weights, shape).items()}, strict=True)
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{folder}: config.json and model.safetensors don't match ({error})") from error
    model.fill_buffers()
    return model.eval()
