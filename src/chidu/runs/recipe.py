"""The rule that turns one dial, the width, into a whole training: shape, rates, batch, schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chidu.errors import SettingError
from chidu.runs.config import RunConfig
from chidu.runs.shape import Shape

__all__ = ["ADAMW_WARMUP_STEPS", "Recipe"]

ADAMW_WARMUP_STEPS = 100
"""Of runs whose matrices AdamW moves too; Muon's first steps are as large as any, and want fewer."""


@dataclass(frozen=True)
class Recipe:
    """One rule for runs of every size: what a law fitted on the small ones may be asked about the large ones."""

    vocabulary: int = 2048
    """Tokens in the vocabulary."""
    context_length: int = 256
    """Tokens in a sequence."""
    batch_tokens: int = 1024
    """Tokens in one optimiser step."""
    warmup_steps: int = 30
    """Steps of the rising rate."""
    decay_fraction: float = 0.3
    """Part of a run over which the rate falls."""
    learning_rate: float = 0.01
    """Rate of the matrices (Muon), at every width."""
    embedding_learning_rate: float = 0.075
    """Rate of embedding and norms (Adam) at width 64; at width C it is this times sqrt(64 / C)."""
    head_learning_rate: float = 0.010
    """Rate of the head (Adam) at width 64; at width C it is this times sqrt(64 / C)."""
    weight_decay: float = 0.0
    """Decoupled decay of the matrices, times the rate."""
    least_layers: int = 3
    """Layers of every model but those whose width asks for more."""
    precision: str = "bf16"
    """`bf16` or `float32`."""
    layout: str = "qwen3"
    """The model's layout: `qwen3` or `gpt2`."""
    optimiser: str = "muon"
    """`muon` or `adamw`; under `adamw` all weights have the rate of the matrices."""
    decay: str = "linear"
    """`linear` or `cosine`; under `cosine` the lengths of a size share no more than the warm-up."""

    @property
    def falling_part(self) -> float:
        """Part of a run that lengths of one size do not share; a cosine's warm-up is left out of account."""
        return 1.0 if self.decay == "cosine" else self.decay_fraction

    @classmethod
    def gpt2(
        cls, vocabulary: int, context_length: int, batch_tokens: int, learning_rate: float = 0.002, **others: Any
    ) -> Recipe:
        """Return the classic recipe, for comparisons: GPT-2's layout, AdamW, a cosine (Radford et al., 2019; nanoGPT).

        Its best rate falls with the width, and no rule for that is built in: sweep it.
        """
        classic = {
            "layout": "gpt2",
            "optimiser": "adamw",
            "decay": "cosine",
            "weight_decay": 0.1,
            "warmup_steps": ADAMW_WARMUP_STEPS,
        }
        return cls(vocabulary, context_length, batch_tokens, learning_rate=learning_rate, **{**classic, **others})

    def shape(self, width: int) -> Shape:
        """Return the shape of this width: width / 64 layers, or `least_layers`; heads of about 32."""
        heads = max(2, round(width / 32))
        if width < 12 or width % (2 * heads):
            raise SettingError(f"width {width} does not split into {heads} heads of even width: take a multiple of 32")
        # Whole blocks are fast in wide models; in narrow ones they would bend the proportions, and the law with them.
        grain = 16 if width >= 96 else 4
        is_gpt2 = self.layout == "gpt2"
        return Shape(
            vocabulary=self.vocabulary,
            context_length=self.context_length,
            width=width,
            layers=max(self.least_layers, width // 64),
            heads=heads,
            kv_heads=heads,
            head_width=width // heads,
            mlp_width=4 * width if is_gpt2 else grain * round(width * 8 / 3 / grain),
            tied=is_gpt2,
            layout=self.layout,
        )

    def config(self, width: int, steps: int, seed: int) -> RunConfig:
        """Return the training of this width and length.

        Muon's steps have one size whatever the width, so the matrices' rate is the same at every width; those of head
        and embedding fall as its square root: that is where sweeps at widths 16 to 128 had their best (LOG.md). The
        same rates serve every length, so that lengths can share a trunk.
        """
        is_adamw, falling = self.optimiser == "adamw", (64 / width) ** 0.5
        return RunConfig(
            shape=self.shape(width),
            steps=steps,
            batch_tokens=self.batch_tokens,
            learning_rate=self.learning_rate,
            embedding_learning_rate=self.learning_rate if is_adamw else self.embedding_learning_rate * falling,
            head_learning_rate=self.learning_rate if is_adamw else self.head_learning_rate * falling,
            warmup_steps=min(self.warmup_steps, steps),
            decay_fraction=self.decay_fraction,
            weight_decay=self.weight_decay,
            seed=seed,
            precision=self.precision,
            optimiser=self.optimiser,
            decay=self.decay,
        )
