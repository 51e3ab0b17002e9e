"""The loss of a `Transformer` and its gradient, written out: what training on a processor spends its time in.

Autograd takes some 1,500 operations for a step of three layers, and for small models most of the time goes into
starting them. Here they are about 300: norms, rotations and gates are differentiated by hand, query and key are
treated as one, and each weight's gradient is written where the optimiser reads it instead of being added to zeros.
`chidu.model.transformer` says what is computed; a test holds that both agree.
Shapes: B sequences, T tokens, N = B·T, C width, H query heads, K key heads, D head width, F MLP width, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chidu.model.transformer import LAYER_NORM_EPSILON, MLP, NORM_EPSILON, Block, PlainMLP, Transformer, apart

__all__ = ["GradientPass"]

LOGITS_AT_ONCE = 2**20
"""Logits held at once; they fit a processor's cache."""


class GradientPass:
    """Forward and backward of one model, with the memory for its logits.

    That is kept between steps: asked for anew, megabytes come from the system page by page, which takes longer than the
    arithmetic on them.
    """

    def __init__(self, model: Transformer) -> None:
        self.model = model
        weight = model.head.weight
        self._rows = max(16, LOGITS_AT_ONCE // model.shape.vocabulary)
        shape = (self._rows, model.shape.vocabulary)
        self._logits = weight.new_empty(shape, requires_grad=False)
        self._wide, self._shares = (weight.new_empty(shape, dtype=torch.float32, requires_grad=False) for _ in range(2))

    @torch.no_grad()
    def __call__(self, tokens: Tensor, targets: Tensor, are_apart: bool = False) -> Tensor:
        """Return the mean loss (float32, nats per token) of targets [B, T] given tokens [B, T].

        With `are_apart` texts of one sequence do not see each other. Targets below 0 are not learned: the mean is over
        the others. Overwrites the gradient `.grad` of every weight, which must be there.
        """
        model, index = self.model, tokens.flatten()
        is_gpt2, length = model.shape.is_gpt2, tokens.shape[1]
        has_positions = model.shape.positions == "learned"
        turn = Turn.of(model, length, tokens if are_apart else None)
        x = F.embedding(index, model.embedding.weight)
        if has_positions:
            x = (x.view(len(tokens), length, -1) + model.positions.weight[:length]).flatten(0, 1)
        layers: list[LayerPass] = []
        for block in model.blocks:
            assert isinstance(block, Block)
            layers.append((GPT2LayerPass if is_gpt2 else LayerPass)(block, turn, len(tokens)))
            x = layers[-1].forward(x)
        norm = (LayerNormPass if is_gpt2 else NormPass)(model.norm.weight)
        loss, gradient = self._learned(norm.forward(x), targets.flatten())
        gradient = norm.backward(gradient)
        for layer in reversed(layers):
            gradient = layer.backward(gradient)
        if has_positions:
            by_position = _grad(model.positions.weight)
            by_position[:length].copy_(gradient.view(len(tokens), length, -1).float().sum(dim=0))
            by_position[length:].zero_()
        by_word = torch.ops.aten.embedding_dense_backward(gradient.float(), index, model.shape.vocabulary, -1, False)
        if model.shape.tied:
            _grad(model.embedding.weight).add_(by_word)
        else:
            _grad(model.embedding.weight).copy_(by_word)
        return loss

    def _learned(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `_head` does, for the targets that are learned; by the others the gradient is 0."""
        learned = targets >= 0
        if bool(learned.all()):
            return self._head(x, targets)
        places = learned.nonzero().squeeze(1)
        loss, by_learned = self._head(x[places], targets[places])
        return loss, torch.zeros_like(x).index_copy_(0, places, by_learned)

    def _head(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean loss of targets [N] given the normed stream x [N, C], and its gradient by x.

        The gradient by the logits is known as soon as the probabilities are, so no logits are kept for the way back.
        """
        head, count = self.model.head.weight, len(x)
        total = torch.zeros((), dtype=torch.float32, device=x.device)
        gradient = torch.empty_like(x)
        for start in range(0, count, self._rows):
            part = slice(start, start + self._rows)
            here, index = x[part], targets[part].unsqueeze(1)
            logits, wide, shares = (memory[: len(here)] for memory in (self._logits, self._wide, self._shares))
            wide.copy_(torch.mm(here, head.T, out=logits))
            torch.softmax(wide, dim=-1, out=shares)
            # The largest share tells the sum of exponentials; the target's own may be too small for a float.
            total += (wide.amax(dim=-1) - shares.amax(dim=-1).log_()).sum() - wide.gather(1, index).sum()
            shares.scatter_add_(1, index, shares.new_full((1, 1), -1.0).expand(index.shape))
            by_logits = logits.copy_(shares.mul_(1 / count))
            torch.mm(by_logits, head, out=gradient[part])
            if start == 0:
                torch.mm(by_logits.T, here, out=_grad(head))
            else:
                _grad(head).addmm_(by_logits.T, here)
        return total / count, gradient


def _grad(weight: Tensor) -> Tensor:
    found = weight.grad
    assert found is not None
    return found


class NormPass:
    """Root-mean-square norm of the last dimension."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        """Return the normed x, in its own dtype."""
        self.unit, self.inverse = normed(x)
        return (self.unit * self.weight).to(x.dtype)

    def backward(self, gradient: Tensor, onto: Tensor | None = None) -> Tensor:
        """Write the weight's gradient; return that by x, added to `onto` where given."""
        by_unit = gradient.float()
        torch.sum(by_unit * self.unit, dim=0, out=(by_weight := self.unit.new_empty(self.unit.shape[-1])))
        _grad(self.weight).copy_(by_weight)
        by_x = by_normed(by_unit * self.weight, self.unit, self.inverse)
        return by_x.to(gradient.dtype) if onto is None else by_x.add_(onto).to(gradient.dtype)


class LayerNormPass:
    """LayerNorm of the last dimension, with a weight and no bias."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        """Return the normed x, in its own dtype."""
        self.x = x
        found, self.mean, self.inverse = torch.ops.aten.native_layer_norm(
            x, self.weight.shape, self.weight, None, LAYER_NORM_EPSILON
        )
        normed: Tensor = found
        return normed

    def backward(self, gradient: Tensor, onto: Tensor | None = None) -> Tensor:
        """Write the weight's gradient; return that by x, added to `onto` where given."""
        by_x, by_weight, _ = torch.ops.aten.native_layer_norm_backward(
            gradient, self.x, self.weight.shape, self.mean, self.inverse, self.weight, None, [True, True, False]
        )
        _grad(self.weight).copy_(by_weight)
        found: Tensor = by_x if onto is None else by_x.add_(onto)
        return found


def normed(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return x over its root mean square along the last dimension, float32, and the inverse of that root."""
    wide = x.float()
    inverse = wide.square().mean(dim=-1, keepdim=True).add_(NORM_EPSILON).rsqrt_()
    return wide * inverse, inverse


def by_normed(gradient: Tensor, unit: Tensor, inverse: Tensor) -> Tensor:
    """Return the gradient by x, given the one by what `normed` returned. Uses `gradient` up."""
    along = (gradient * unit).mean(dim=-1, keepdim=True)
    return gradient.addcmul_(unit, along, value=-1).mul_(inverse)


@dataclass(frozen=True)
class Turn:
    """Rotary angles over whole heads: y = x · cosine + (halves of x swapped) · sine, each [T, heads, D], float32."""

    cosine: Tensor
    sine: Tensor
    mask: Tensor
    """[T, T], or [B, 1, T, T] where texts are apart; 0 or -inf, in the weights' dtype."""

    @classmethod
    def of(cls, model: Transformer, T: int, texts: Tensor | None = None) -> Turn:
        """Take them from the model; `texts` [B, T] are the tokens, where those of one sequence are to be apart."""
        cosine, sine = model.cosine[:T], model.sine[:T]
        heads = model.shape.heads + model.shape.kv_heads
        mask = model.mask[:T, :T].to(model.head.weight.dtype)
        return cls(
            # Written out for all heads: products run over whole tensors, not head by head.
            torch.cat((cosine, cosine), dim=-1).unsqueeze(1).repeat(1, heads, 1),
            torch.cat((-sine, sine), dim=-1).unsqueeze(1).repeat(1, heads, 1),
            mask if texts is None else apart(texts, mask),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Turn x [B, T, heads, D]."""
        return torch.addcmul(x * self.cosine, x.roll(x.shape[-1] // 2, -1), self.sine)

    def backward(self, gradient: Tensor) -> Tensor:
        """Turn the gradient back."""
        half = gradient.shape[-1] // 2
        return (gradient * self.sine).roll(half, -1).addcmul_(gradient, self.cosine)


class LayerPass:
    """One block, forward and backward; keeps what the way back needs."""

    norm: type[NormPass] | type[LayerNormPass] = NormPass

    def __init__(self, block: Block, turn: Turn, B: int) -> None:
        self.block, self.turn, self.B = block, turn, B
        self.attention_norm = self.norm(block.attention_norm.weight)
        self.mlp_norm = self.norm(block.mlp_norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the stream [N, C] after this block."""
        block = self.block
        self.read = self.attention_norm.forward(x)
        self.mixed = self._attend(self.read @ block.attention.qkv.weight.T)
        x = torch.addmm(x, self.mixed, block.attention.out.weight.T)
        self.seen = self.mlp_norm.forward(x)
        self.hidden = self._activate()
        return torch.addmm(x, self.hidden, block.mlp.down.weight.T)

    def backward(self, gradient: Tensor) -> Tensor:
        """Write the gradients of the block's weights, given that by its output; return that by its input."""
        block = self.block
        by_hidden = _through(block.mlp.down, gradient, self.hidden)
        gradient = self.mlp_norm.backward(self._by_seen(by_hidden), gradient)
        by_qkv = self._by_qkv(_through(block.attention.out, gradient, self.mixed))
        return self.attention_norm.backward(_through(block.attention.qkv, by_qkv, self.read), gradient)

    def _activate(self) -> Tensor:
        """Return the MLP's inner vectors [N, F] of the normed stream."""
        mlp = self.block.mlp
        if isinstance(mlp, PlainMLP):
            self.up = self.seen @ mlp.up.weight.T
            return F.gelu(self.up) if mlp.is_gelu else self.up.relu().square_()
        assert isinstance(mlp, MLP)
        self.gate, self.up = (self.seen @ mlp.gate_up.weight.T).chunk(2, dim=-1)
        self.open = F.silu(self.gate)
        return self.open * self.up

    def _by_seen(self, by_hidden: Tensor) -> Tensor:
        """Write the gradient of the MLP's first matrix; return that by the normed stream."""
        mlp = self.block.mlp
        if isinstance(mlp, PlainMLP):
            if mlp.is_gelu:
                by_up = torch.ops.aten.gelu_backward(by_hidden, self.up)
            else:
                by_up = self.up.relu().mul_(2).mul_(by_hidden)
            return _through(mlp.up, by_up, self.seen)
        assert isinstance(mlp, MLP)
        by_both = by_hidden.new_empty(len(by_hidden), 2 * by_hidden.shape[1])
        by_gate, by_up = by_both.chunk(2, dim=-1)
        torch.mul(by_hidden, self.open, out=by_up)
        torch.ops.aten.silu_backward.grad_input(by_hidden * self.up, self.gate, grad_input=by_gate)
        return _through(mlp.gate_up, by_both, self.seen)

    def _attend(self, qkv: Tensor) -> Tensor:
        """Return the mixed values [N, H·D] of queries, keys and values [N, (H + 2K)·D]."""
        attention, B = self.block.attention, self.B
        H, K, D = attention.heads, attention.kv_heads, attention.head_width
        qkv = qkv.view(B, -1, H + 2 * K, D)
        both, v = qkv[:, :, : H + K], qkv[:, :, H + K :]
        self.unit, self.inverse = normed(both)  # [B, T, H + K, D]
        # The scores' scale sits in the queries' norm.
        self.weight = torch.cat(
            (
                (attention.q_norm.weight.float() * (1 / math.sqrt(D))).expand(H, D),
                attention.k_norm.weight.float().expand(K, D),
            )
        )
        turned = self.turn.forward(self.unit * self.weight).transpose(1, 2)
        turned = turned.to(qkv.dtype, memory_format=torch.contiguous_format)
        return self._mix(self._heads(turned[:, :H]), self._heads(turned[:, H:]), self._heads(v.transpose(1, 2)))

    def _mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the mixed values [N, H·D] of scaled queries, keys and values [B·H, T, D]."""
        H, (T, D) = self.block.attention.heads, q.shape[1:]
        self.q, self.k, self.v = q, k, v
        scores = torch.bmm(self.q, self.k.transpose(1, 2)).view(self.B, H, T, T).add_(self.turn.mask)
        self.shares = scores.softmax(dim=-1).flatten(0, 1)  # [B·H, T, T]
        mixed = torch.bmm(self.shares, self.v)
        return mixed.view(self.B, H, -1, D).transpose(1, 2).reshape(-1, H * D)

    def _by_mix(self, by_mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients by the queries, keys and values that were mixed, [B·H, T, D]."""
        H, D = self.block.attention.heads, self.q.shape[-1]
        by_mixed = by_mixed.view(self.B, -1, H, D).transpose(1, 2).reshape(self.B * H, -1, D)
        by_v = torch.bmm(self.shares.transpose(1, 2), by_mixed)
        by_shares = torch.bmm(by_mixed, self.v.transpose(1, 2))
        by_scores = torch.ops.aten._softmax_backward_data(by_shares, self.shares, -1, self.shares.dtype)
        return torch.bmm(by_scores, self.k), torch.bmm(by_scores.transpose(1, 2), self.q), by_v

    def _by_qkv(self, by_mixed: Tensor) -> Tensor:
        """Return the gradient by queries, keys and values; write those of their norms."""
        attention, B = self.block.attention, self.B
        H, K, D = attention.heads, attention.kv_heads, attention.head_width
        by_q, by_k, by_v = self._by_mix(by_mixed)
        T = by_q.shape[1]
        by_both = torch.cat((by_q.view(B, H, T, D), self._own(by_k)), dim=1).transpose(1, 2)
        # As the forward pass has it: sums over tensors that lie in two ways take four times as long.
        by_both = by_both.to(torch.float32, memory_format=torch.contiguous_format)
        by_weighted = self.turn.backward(by_both)
        by_weight = (by_weighted * self.unit).sum(dim=(0, 1))  # [H + K, D]
        _grad(attention.q_norm.weight).copy_(by_weight[:H].sum(dim=0).mul_(1 / math.sqrt(D)))
        _grad(attention.k_norm.weight).copy_(by_weight[H:].sum(dim=0))
        by_qkv = by_v.new_empty(B, T, H + 2 * K, D)
        by_qkv[:, :, : H + K] = by_normed(by_weighted.mul_(self.weight), self.unit, self.inverse)
        by_qkv[:, :, H + K :] = self._own(by_v).transpose(1, 2)
        return by_qkv.view(B * T, -1)

    def _heads(self, x: Tensor) -> Tensor:
        """Return x [B, heads, T, D] as [B·H, T, D]; a key head serves several query heads."""
        repeat = self.block.attention.heads // x.shape[1]
        x = x if repeat == 1 else x.repeat_interleave(repeat, dim=1)
        return x.reshape(-1, *x.shape[2:])

    def _own(self, gradient: Tensor) -> Tensor:
        """Return the gradient [B·H, T, D] by key heads [B, K, T, D]: those that shared one are added."""
        T, D = gradient.shape[1:]
        found = gradient.view(self.B, self.block.attention.kv_heads, -1, T, D)
        return found[:, :, 0] if found.shape[2] == 1 else found.sum(dim=2)


class GPT2LayerPass(LayerPass):
    """One block of GPT-2's layout."""

    norm = LayerNormPass

    def _attend(self, qkv: Tensor) -> Tensor:
        H, D = self.block.attention.heads, self.block.attention.head_width
        q, k, v = qkv.view(self.B, -1, 3, H, D).permute(2, 0, 3, 1, 4).reshape(3, self.B * H, -1, D)
        return self._mix(q * (1 / math.sqrt(D)), k, v)

    def _by_qkv(self, by_mixed: Tensor) -> Tensor:
        H, D = self.block.attention.heads, self.block.attention.head_width
        by_q, by_k, by_v = self._by_mix(by_mixed)
        together = torch.stack((by_q.mul_(1 / math.sqrt(D)), by_k, by_v)).view(3, self.B, H, -1, D)
        return together.permute(1, 3, 0, 2, 4).reshape(-1, 3 * H * D)


def _through(linear: nn.Linear, gradient: Tensor, read: Tensor) -> Tensor:
    """Write the weight's gradient of y = read · Wᵀ, given that by y [N, out]; return that by what was read [N, in]."""
    torch.mm(gradient.T, read, out=_grad(linear.weight))
    return gradient @ linear.weight
