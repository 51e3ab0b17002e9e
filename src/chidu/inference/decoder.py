"""Our Transformer, one token after another: what `Transformer.features` computes, in a third of the operations.

At small widths each operation costs more than its numbers. With one token there is no batch and no mask; keys and
values lie in buffers as long as the context, where `features` joins new ones to the old; query and key are normed and
turned together. A test holds both to the same logits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from chidu.model.transformer import MLP, NORM_EPSILON, Block, Transformer

__all__ = ["Decoder"]


class Decoder:
    """Goes on from a prefix; for Qwen3's layout, not GPT-2's. Shapes as in `chidu.model.transformer`, without B."""

    def __init__(self, model: Transformer) -> None:
        self.model = model
        self._layers: list[_Layer] = []
        self._place = 0
        self._cosine = torch.cat((model.cosine, model.cosine), dim=-1)  # [T, D]
        self._sine = torch.cat((-model.sine, model.sine), dim=-1)

    @torch.inference_mode()
    def __call__(self, tokens: list[int]) -> Tensor:
        """Read tokens that follow those read before; return the logits [V], float32, of what follows.

        The first call has the prefix, the others one token each.
        """
        if not self._layers:
            features, past = self.model.features(torch.tensor([tokens]))
            self._layers = [
                _Layer(block, keys[0], values[0], self.model.shape.context_length)
                for block, (keys, values) in zip(self.model.blocks, past, strict=True)
                if isinstance(block, Block)
            ]
            self._place = len(tokens)
            logits: Tensor = self.model.head(features[0, -1])
            return logits.float()
        (token,) = tokens
        x = self.model.embedding.weight[token]
        cosine, sine = self._cosine[self._place], self._sine[self._place]
        for layer in self._layers:
            x = layer(x, self._place, cosine, sine)
        self._place += 1
        return torch.mv(self.model.head.weight, _normed(x, self.model.norm.weight)).float()


class _Layer:
    """One block, with the keys and values [K, S, D] of what was read."""

    def __init__(self, block: Block, keys: Tensor, values: Tensor, length: int) -> None:
        attention, mlp = block.attention, block.mlp
        assert isinstance(mlp, MLP)
        self.heads, self.kv_heads, self.head_width = attention.heads, attention.kv_heads, attention.head_width
        self.qkv, self.out = attention.qkv.weight, attention.out.weight
        self.gate_up, self.down = mlp.gate_up.weight, mlp.down.weight
        self.attention_norm, self.mlp_norm = block.attention_norm.weight, block.mlp_norm.weight
        # The scale of the scores goes with the queries.
        query = attention.q_norm.weight / math.sqrt(self.head_width)
        key = attention.k_norm.weight
        self.qk_norm = torch.cat((query.expand(self.heads, -1), key.expand(self.kv_heads, -1)))  # [H + K, D]
        self.keys, self.values = (x.new_empty(self.kv_heads, length, self.head_width) for x in (keys, values))
        self.keys[:, : keys.shape[1]], self.values[:, : values.shape[1]] = keys, values

    def __call__(self, x: Tensor, place: int, cosine: Tensor, sine: Tensor) -> Tensor:
        H, K, D = self.heads, self.kv_heads, self.head_width
        read = torch.mv(self.qkv, _normed(x, self.attention_norm)).view(H + 2 * K, D)
        qk = read[: H + K]
        scale = torch.linalg.vecdot(qk, qk).mul_(1 / D).add_(NORM_EPSILON).rsqrt_().unsqueeze_(1)
        qk = qk * scale * self.qk_norm
        qk = torch.addcmul(qk * cosine, qk.roll(D // 2, 1), sine)
        self.keys[:, place], self.values[:, place] = qk[H:], read[H + K :]
        query = qk[:H].view(K, H // K, D)
        scores = torch.bmm(query, self.keys[:, : place + 1].transpose(1, 2))
        mixed = torch.bmm(scores.softmax(dim=-1), self.values[:, : place + 1])
        x = torch.addmv(x, self.out, mixed.view(-1))
        gate, up = torch.mv(self.gate_up, _normed(x, self.mlp_norm)).chunk(2)
        return torch.addmv(x, self.down, F.silu(gate).mul_(up))


def _normed(x: Tensor, weight: Tensor) -> Tensor:
    """Return the root-mean-square norm of x [C]: its scale is one number, which needs no tensor."""
    normed: Tensor = x * weight * (float(torch.dot(x, x)) / len(x) + NORM_EPSILON) ** -0.5
    return normed
