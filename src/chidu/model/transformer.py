"""Our Transformer: Qwen3's layout, written for small models on a processor as well as large ones on a GPU.

For comparisons it takes GPT-2's layout too, and for studies variants of Qwen3's (`chidu.runs.shape`).

Query, key and value are one product, and so are the MLP's gate and up: at small widths the number of operations costs
more than their size. `chidu.model.conversion` splits them for the Hugging Face layout.
Shapes: B sequences, T tokens, C width, H query heads, K key heads, D head width, F MLP width, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from chidu.runs.shape import Shape

__all__ = ["LAYER_NORM_EPSILON", "NORM_EPSILON", "ROPE_THETA", "KeyValues", "Transformer", "apart"]

NORM_EPSILON = 1e-6
LAYER_NORM_EPSILON = 1e-5
ROPE_THETA = 10_000.0
EMBEDDING_DEVIATION, HEAD_DEVIATION = 0.7, 0.02
BRANCH_ENDS = ("attention.out.weight", "mlp.down.weight")

END = 0
"""The token of the end of text."""
NOT_LEARNED = -100
"""What torch's cross-entropy passes over."""

KeyValues = tuple[Tensor, Tensor]
"""Keys and values of the tokens already read, each [B, K, T, D]."""


def apart(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the mask [B, 1, T, T], 0 or -inf, under which no text of a sequence sees the one before it.

    A text begins with the end of the one before. `mask` [T, T] is the causal one.
    """
    text = (tokens == END).cumsum(dim=1)
    return mask.masked_fill(text[:, :, None] != text[:, None, :], -math.inf).unsqueeze(1)


def rotary_angles(shape: Shape, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the rotary angles (Su et al., 2104.09864), each [T, D/2], float32.

    Where positions are not rotary every angle is 0, and turns nothing.
    """
    exponent = torch.arange(0, shape.head_width, 2, device=device, dtype=torch.float32) / shape.head_width
    position = torch.arange(shape.context_length, device=device, dtype=torch.float32)
    if shape.positions != "rotary":
        position = torch.zeros_like(position)
    angle = torch.outer(position, 1.0 / ROPE_THETA**exponent)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn the pairs (d, d + D/2) of x [B, heads, T, D] by the angles of their positions."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


class Norm(nn.Module):
    """Root-mean-square norm (Zhang and Sennrich, 1910.07467) with a weight for each entry."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = F.rms_norm(x, self.weight.shape, self.weight, NORM_EPSILON)
        return normed


class LayerNorm(nn.Module):
    """LayerNorm (Ba et al., 1607.06450) with a weight for each entry and no bias: GPT-2's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, None, LAYER_NORM_EPSILON)


def norm_of(shape: Shape) -> Norm | LayerNorm:
    """Return the layout's norm of the stream."""
    return LayerNorm(shape.width) if shape.is_gpt2 else Norm(shape.width)


class Attention(nn.Module):
    """Causal attention; in Qwen3's layout with rotary positions and a norm on each head's query and key."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.is_turned = not shape.is_gpt2
        self.heads, self.kv_heads, self.head_width = shape.heads, shape.kv_heads, shape.head_width
        self.qkv = nn.Linear(shape.width, (shape.heads + 2 * shape.kv_heads) * shape.head_width, bias=False)
        self.out = nn.Linear(shape.heads * shape.head_width, shape.width, bias=False)
        if self.is_turned:
            self.q_norm = Norm(shape.head_width)
            self.k_norm = Norm(shape.head_width)

    def forward(
        self, x: Tensor, cosine: Tensor, sine: Tensor, mask: Tensor, past: KeyValues | None
    ) -> tuple[Tensor, KeyValues]:
        B, T, _ = x.shape
        q, k, v = (
            self.qkv(x)
            .view(B, T, -1, self.head_width)
            .transpose(1, 2)  # [B, H + 2K, T, D]
            .split((self.heads, self.kv_heads, self.kv_heads), dim=1)
        )
        if self.is_turned:
            q = rotate(self.q_norm(q), cosine, sine)
            k = rotate(self.k_norm(k), cosine, sine)
        if past is not None:
            k, v = torch.cat((past[0], k), dim=2), torch.cat((past[1], v), dim=2)
        mixed = self.attend(q, k, v, mask).transpose(1, 2).reshape(B, T, -1)
        return self.out(mixed), (k, v)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Mix the values [B, K, S, D] for each query [B, H, T, D]; `mask` [T, S] or [B, 1, T, S] is 0 or -inf."""
        if q.is_cuda:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=self.heads != self.kv_heads)
        # On a processor, torch's fused attention is several times slower than plain products at these lengths.
        if self.heads != self.kv_heads:
            k, v = (x.repeat_interleave(self.heads // self.kv_heads, dim=1) for x in (k, v))
        scores = torch.matmul(q * (1 / math.sqrt(self.head_width)), k.transpose(2, 3)) + mask
        return torch.matmul(scores.softmax(dim=-1), v)


class MLP(nn.Module):
    """SwiGLU (Shazeer, 2002.05202)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_up = nn.Linear(shape.width, 2 * shape.mlp_width, bias=False)
        self.down = nn.Linear(shape.mlp_width, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        mixed: Tensor = self.down(F.silu(gate) * up)
        return mixed


class PlainMLP(nn.Module):
    """Without a gate: GPT-2's MLP, or with the square of ReLU (So et al., 2109.08668)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.is_gelu = shape.activation == "gelu"
        self.up = nn.Linear(shape.width, shape.mlp_width, bias=False)
        self.down = nn.Linear(shape.mlp_width, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        up = self.up(x)
        mixed: Tensor = self.down(F.gelu(up) if self.is_gelu else F.relu(up).square())
        return mixed


class Block(nn.Module):
    """Attention, then MLP, each on a normed copy and added to the stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention_norm = norm_of(shape)
        self.attention = Attention(shape)
        self.mlp_norm = norm_of(shape)
        self.mlp = MLP(shape) if shape.is_gated else PlainMLP(shape)

    def forward(
        self, x: Tensor, cosine: Tensor, sine: Tensor, mask: Tensor, past: KeyValues | None = None
    ) -> tuple[Tensor, KeyValues]:
        mixed, present = self.attention(self.attention_norm(x), cosine, sine, mask, past)
        x = x + mixed
        return x + self.mlp(self.mlp_norm(x)), present


class Transformer(nn.Module):
    """A decoder-only language model of the given shape."""

    cosine: Tensor
    sine: Tensor
    mask: Tensor

    def __init__(self, shape: Shape, recompute: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.recompute = recompute
        """True where training keeps of each block only what it read, and computes the rest again on the way back."""
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        if shape.positions == "learned":
            self.positions = nn.Embedding(shape.context_length, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = norm_of(shape)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        if shape.tied:
            self.head.weight = self.embedding.weight
        self.fill_buffers()

    def fill_buffers(self) -> None:
        """Compute what is no weight: the rotary angles, each [T, D/2], and the causal mask [T, T]."""
        cosine, sine = rotary_angles(self.shape)
        length = self.shape.context_length
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.register_buffer("mask", torch.full((length, length), -math.inf).triu(1), persistent=False)

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Set the weights to those of `drawn_weights`."""
        for weight, drawn in self.drawn_weights(seed):
            weight.copy_(drawn)

    def drawn_weights(self, seed: int) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Yield each weight with its first value, float32, drawn from the seed alone in a fixed order on the processor.

        One at a time, so that a model which no single memory holds can take them too.

        Matrices have standard deviation 1/sqrt(fan-in); the last matrix of each branch starts at zero, so every block
        starts as the identity, and the head starts small, so the first loss is log V; a table that is both embedding
        and head has the geometric mean of the two. In GPT-2's layout all have 0.02, the last matrix of each branch that
        over sqrt(2 · layers).
        """
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.dim() < 2:
                yield weight, torch.ones(weight.shape)
            elif self.shape.is_gpt2:
                depth = (2 * self.shape.layers) ** -0.5 if name.endswith(BRANCH_ENDS) else 1.0
                yield weight, torch.empty(weight.shape).normal_(std=0.02 * depth, generator=generator)
            elif name.endswith(BRANCH_ENDS):
                yield weight, torch.zeros(weight.shape)
            else:
                table = (EMBEDDING_DEVIATION * HEAD_DEVIATION) ** 0.5 if self.shape.tied else EMBEDDING_DEVIATION
                own = {"embedding.weight": table, "head.weight": HEAD_DEVIATION}
                deviation = own.get(name, weight.shape[1] ** -0.5)
                yield weight, torch.empty(weight.shape).normal_(std=deviation, generator=generator)

    def features(
        self, tokens: Tensor, past: list[KeyValues] | None = None, keep: bool = True, are_apart: bool = False
    ) -> tuple[Tensor, list[KeyValues]]:
        """Read tokens [B, T]; return the normed stream [B, T, C] and each layer's keys and values, where `keep` is set.

        With `past` (what an earlier call returned) the tokens go on from there. With `are_apart`, and no `past`, texts
        of one sequence do not see each other.
        """
        x, present = self.stream(self.embedding(tokens), past, keep, texts=tokens if are_apart else None)
        return self.norm(x), present

    def stream(
        self,
        x: Tensor,
        past: list[KeyValues] | None = None,
        keep: bool = True,
        seen: list[Tensor] | None = None,
        texts: Tensor | None = None,
    ) -> tuple[Tensor, list[KeyValues]]:
        """Read tokens by their embeddings x [B, T, C], as `features` does; return the stream before its last norm.

        `seen`, where given, takes the stream [B, T, C] after the embedding and after each block. `texts` are the tokens
        [B, T], where texts of one sequence are not to see each other.
        """
        start = past[0][0].shape[2] if past else 0
        stop = start + x.shape[1]
        if self.shape.positions == "learned":
            x = x + self.positions.weight[start:stop]
        cosine, sine = self.cosine[start:stop].to(x.dtype), self.sine[start:stop].to(x.dtype)
        mask = self.mask[start:stop, :stop].to(x.dtype)
        mask = mask if texts is None else apart(texts, mask)
        present = []
        for i, block in enumerate(self.blocks):
            if seen is not None:
                seen.append(x)
            if self.recompute and torch.is_grad_enabled():
                x, kv = checkpoint(block, x, cosine, sine, mask, use_reentrant=False)
            else:
                x, kv = block(x, cosine, sine, mask, past[i] if past else None)
            if keep:
                present.append(kv)
        if seen is not None:
            seen.append(x)
        return x, present

    def forward(self, tokens: Tensor, are_apart: bool = False) -> Tensor:
        """Return the logits [B, T, V] of the token after each of tokens [B, T]."""
        logits: Tensor = self.head(self.features(tokens, keep=False, are_apart=are_apart)[0])
        return logits

    def loss(self, tokens: Tensor, targets: Tensor, are_apart: bool = False) -> Tensor:
        """Return the mean loss (a float32 scalar, nats per token) of targets [B, T] given tokens [B, T].

        Targets below 0 are not learned: the mean is over the others.
        """
        logits = self(tokens, are_apart).float().flatten(0, 1)
        return F.cross_entropy(logits, targets.masked_fill(targets < 0, NOT_LEARNED).flatten())
