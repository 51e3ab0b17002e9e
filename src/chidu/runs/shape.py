"""The shape of a Transformer, and what it costs in closed form: params, flops, bytes.

The layout is Qwen3's: RMSNorm, rotary positions, grouped-query attention with a norm on each head's query and key,
SwiGLU, no biases. For comparisons there is GPT-2's, without biases: LayerNorm, learned positions, GELU, the head tied.
Studies also train variants of Qwen3's layout that differ from it in one thing; no other program reads them.
A test equates every formula here with the modules of ``chidu.model`` and with torch's flop counter.
"""

from __future__ import annotations

from dataclasses import dataclass

from chidu.errors import SettingError

__all__ = ["LAYOUTS", "VARIANTS", "Shape"]

LAYOUTS = ("qwen3", "gpt2")
VARIANTS = {
    "qwen3 without positions": ("none", "swiglu"),
    "qwen3 with learned positions": ("learned", "swiglu"),
    "qwen3 with gelu": ("rotary", "gelu"),
    "qwen3 with relu squared": ("rotary", "relu squared"),
}
"""Layouts of studies alone, each with its position code and its activation: no format that others open has them."""
DETAILS = {"qwen3": ("rotary", "swiglu"), "gpt2": ("learned", "gelu"), **VARIANTS}


@dataclass(frozen=True)
class Shape:
    """Sizes of one model. All are counts."""

    vocabulary: int
    """Tokens in the vocabulary."""
    context_length: int
    """Tokens a sequence holds at the most."""
    width: int
    """Length of the vector that flows through the layers (`hidden_size`)."""
    layers: int
    """Blocks of attention and MLP."""
    heads: int
    """Query heads in a layer."""
    kv_heads: int
    """Key and value heads in a layer; a divisor of `heads`."""
    head_width: int
    """Length of one head's vector (`head_dim`); even, because rotary positions turn pairs."""
    mlp_width: int
    """Length of the MLP's inner vector (`intermediate_size`)."""
    tied: bool = False
    """True where the head is the transpose of the embedding."""
    layout: str = "qwen3"
    """`qwen3`, or `gpt2` for comparisons; in studies one of VARIANTS."""

    def __post_init__(self) -> None:
        for name in ("vocabulary", "context_length", "width", "layers", "heads", "kv_heads", "head_width", "mlp_width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SettingError(f"shape: {name} is {value!r}; it must be a whole number of at least 1")
        if self.heads % self.kv_heads:
            raise SettingError(f"shape: kv_heads ({self.kv_heads}) must divide heads ({self.heads})")
        if self.head_width % 2:
            raise SettingError(f"shape: head_width ({self.head_width}) must be even")
        if self.layout not in DETAILS:
            raise SettingError(f"shape: layout is {self.layout!r}; it must be {' or '.join(LAYOUTS)}")
        if self.is_gpt2 and not (
            self.tied and self.heads == self.kv_heads and self.heads * self.head_width == self.width
        ):
            raise SettingError("shape: the gpt2 layout is tied, and its heads split the width evenly")

    @property
    def is_gpt2(self) -> bool:
        """True for GPT-2's layout."""
        return self.layout == "gpt2"

    @property
    def positions(self) -> str:
        """How the layers learn where a token stands: `rotary`, `learned`, or `none` but the causal mask."""
        return DETAILS[self.layout][0]

    @property
    def activation(self) -> str:
        """The MLP's: `swiglu`, which has a gate and so three matrices, `gelu` or `relu squared`."""
        return DETAILS[self.layout][1]

    @property
    def is_gated(self) -> bool:
        """True where the MLP has a gate."""
        return self.activation == "swiglu"

    @property
    def params_matmul(self) -> int:
        """Params that a token is multiplied with: the matrices of all layers, and the head."""
        attention = self.width * self.head_width * 2 * (self.heads + self.kv_heads)
        mlp = (3 if self.is_gated else 2) * self.width * self.mlp_width
        return self.layers * (attention + mlp) + self.vocabulary * self.width

    @property
    def params(self) -> int:
        """All params: matrices, head, embedding (once where tied), learned positions and norms."""
        norms = self.layers * (2 * self.width + (0 if self.is_gpt2 else 2 * self.head_width)) + self.width
        embedding = 0 if self.tied else self.vocabulary * self.width
        positions = self.context_length * self.width if self.positions == "learned" else 0
        return self.params_matmul + norms + embedding + positions

    def flops_per_token(self, context_length: int | None = None) -> int:
        """Floating-point operations to train on one token: forward, and twice that backward.

        Two a multiplied param, and for attention the whole T × T square (scores, then values), as the modules
        compute it. The optimiser's update is not counted: it does not grow with the tokens of a step.
        """
        length = context_length or self.context_length
        forward = 2 * self.params_matmul + 4 * self.layers * length * self.heads * self.head_width
        return 3 * forward

    def weight_bytes(self, bytes_per_param: int = 4) -> int:
        """Bytes of the weights alone."""
        return self.params * bytes_per_param

    def training_bytes(self, batch_tokens: int) -> int:
        """Bytes needed at the least to train: float32 weights, gradients, two moments, and the activations kept.

        Activations: per layer and token about 8 widths, 4 MLP widths and the attention square of each head, in
        bf16; and float32 logits of one batch, forward and backward.
        """
        kept = 8 * self.width + 4 * self.mlp_width + 2 * self.heads * self.context_length
        return 16 * self.params + batch_tokens * (2 * self.layers * kept + 8 * self.vocabulary)
