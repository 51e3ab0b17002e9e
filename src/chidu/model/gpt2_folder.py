"""Our weights of GPT-2's layout as Hugging Face names them, and back. Its biases are zeros: ours has none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chidu.errors import InputError
from chidu.model.transformer import LAYER_NORM_EPSILON
from chidu.runs.shape import Shape

__all__ = ["computed", "config_json", "from_hugging_face", "shape_of", "to_hugging_face"]

NORMS = {"attention_norm": "ln_1", "mlp_norm": "ln_2"}
MATRICES = {
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "mlp.up": "mlp.c_fc",
    "mlp.down": "mlp.c_proj",
}
WHOLE = {"embedding.weight": "wte.weight", "positions.weight": "wpe.weight", "norm.weight": "ln_f.weight"}
PREFIX = "transformer."


def to_hugging_face(weights: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Rename our weights; theirs lie transposed, and have biases."""
    renamed = {PREFIX + theirs: weights[ours] for ours, theirs in WHOLE.items()}
    for i in range(shape.layers):
        ours, theirs = f"blocks.{i}.", f"{PREFIX}h.{i}."
        renamed |= {f"{theirs}{other}.weight": weights[f"{ours}{name}.weight"] for name, other in NORMS.items()}
        for name, other in MATRICES.items():
            matrix = weights[f"{ours}{name}.weight"]
            renamed[f"{theirs}{other}.weight"] = matrix.T
            renamed[f"{theirs}{other}.bias"] = matrix.new_zeros(len(matrix))
    for name in NORMS.values():
        renamed |= {f"{PREFIX}h.{i}.{name}.bias": torch.zeros(shape.width) for i in range(shape.layers)}
    renamed[f"{PREFIX}ln_f.bias"] = torch.zeros(shape.width)
    return {name: tensor.detach().float().cpu().contiguous().clone() for name, tensor in renamed.items()}


def from_hugging_face(weights: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Undo `to_hugging_face`. Raises KeyError where a weight is missing, InputError where a bias is not zero."""
    for name, tensor in weights.items():
        if name.endswith(".bias") and bool(tensor.any()):
            raise InputError(f"{name} is not zero; Chidu's GPT-2 layout has no biases: open it with transformers")
    ours = {name: weights[PREFIX + other] for name, other in WHOLE.items()}
    ours["head.weight"] = ours["embedding.weight"]
    for i in range(shape.layers):
        mine, theirs = f"blocks.{i}.", f"{PREFIX}h.{i}."
        ours |= {f"{mine}{name}.weight": weights[f"{theirs}{other}.weight"] for name, other in NORMS.items()}
        ours |= {f"{mine}{name}.weight": weights[f"{theirs}{other}.weight"].T for name, other in MATRICES.items()}
    return ours


def config_json(shape: Shape) -> dict[str, Any]:
    """Return the `config.json` of this shape."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": shape.vocabulary,
        "n_embd": shape.width,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_inner": shape.mlp_width,
        "n_positions": shape.context_length,
        "activation_function": "gelu",
        "layer_norm_epsilon": LAYER_NORM_EPSILON,
        "tie_word_embeddings": True,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "resid_pdrop": 0.0,
    }


def computed(config: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return what a `config.json` may say otherwise than we compute: name, what it says, what we do."""
    ours = {
        "layer_norm_epsilon": LAYER_NORM_EPSILON,
        "tie_word_embeddings": True,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
    }
    # What transformers takes where nothing is said is another GELU.
    activation = ("activation_function", config.get("activation_function", "gelu_new"), "gelu")
    return [activation, *((name, config.get(name, value), value) for name, value in ours.items())]


def shape_of(config: dict[str, Any]) -> Shape:
    """Read a shape out of a `config.json`. Raises KeyError where it is incomplete."""
    width, heads = config["n_embd"], config["n_head"]
    return Shape(
        vocabulary=config["vocab_size"],
        context_length=config["n_positions"],
        width=width,
        layers=config["n_layer"],
        heads=heads,
        kv_heads=heads,
        head_width=width // heads,
        mlp_width=config.get("n_inner") or 4 * width,
        tied=True,
        layout="gpt2",
    )
