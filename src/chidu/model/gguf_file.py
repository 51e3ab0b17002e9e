"""A saved model as one GGUF file, which llama.cpp opens with the same tokens and the same logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from chidu.errors import InputError
from chidu.model.conversion import END_OF_TEXT, NORM_EPSILON, ROPE_THETA, load_model, to_hugging_face

__all__ = ["GGUF_TYPES", "write_gguf"]

GGUF_TYPES = ("f32", "f16", "bf16", "q8_0")
"""Of the matrices; weights of the norms stay in float32."""
QUANTISED_BLOCK = 32
"""Weights that share a scale in q8_0: rows are multiples of it, or stay in f16."""
CONTROL, NORMAL = 3, 1
"""Kinds of tokens."""
NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def write_gguf(folder: Path, path: Path, kind: str = "f16") -> None:
    """Write the model of a folder, with its tokenizer, as a GGUF file of a type in GGUF_TYPES.

    Raises InputError where the folder holds no model of our own layout.
    """
    import gguf

    model = load_model(folder)
    shape = model.shape
    if shape.is_gpt2:
        raise InputError(f"{folder} holds a model of GPT-2's layout; a GGUF file is written of Chidu's own alone")
    temporary = path.with_name(f"{path.name}.tmp")
    writer = gguf.GGUFWriter(temporary, "qwen3")
    writer.add_name(folder.name)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.mlp_width)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_rope_freq_base(ROPE_THETA)
    _add_tokenizer(writer, folder / "tokenizer.json")
    for name, tensor in to_hugging_face(model.state_dict(), shape).items():
        _add_tensor(writer, _name(name), tensor, kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _name(theirs: str) -> str:
    if theirs in WHOLE:
        return WHOLE[theirs]
    _, _, layer, rest = theirs.split(".", 3)
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def _add_tensor(writer: Any, name: str, tensor: torch.Tensor, kind: str) -> None:
    import gguf

    if tensor.dim() < 2 or kind == "f32":
        writer.add_tensor(name, tensor.float().numpy())
        return
    if kind == "q8_0" and tensor.shape[1] % QUANTISED_BLOCK:
        kind = "f16"
    made = getattr(gguf.GGMLQuantizationType, kind.upper())
    writer.add_tensor(name, gguf.quants.quantize(tensor.float().numpy(), made), raw_dtype=made)


def _add_tokenizer(writer: Any, path: Path) -> None:
    """Add byte-level BPE as GPT-2's: its expression is that of ours, and llama.cpp knows it by that name."""
    values = json.loads(path.read_text(encoding="utf-8"))
    found = values["model"]
    cut = values.get("pre_tokenizer") or {}
    if found.get("type") != "BPE" or cut.get("type") != "ByteLevel" or not cut.get("use_regex", True):
        raise InputError(f"{path} is no byte-level BPE with GPT-2's expression: llama.cpp would cut text otherwise")
    tokens = sorted(found["vocab"], key=found["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if token == END_OF_TEXT else NORMAL for token in tokens])
    writer.add_token_merges([each if isinstance(each, str) else " ".join(each) for each in found["merges"]])
    end = found["vocab"][END_OF_TEXT]
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)
