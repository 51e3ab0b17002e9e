"""See that a saved model is, to other people's tools, the model we trained."""

from __future__ import annotations

from pathlib import Path

import torch

from chidu.errors import MissingPackageError
from chidu.model.transformer import Transformer

__all__ = ["logit_difference"]


@torch.inference_mode()
def logit_difference(folder: Path, model: Transformer, sequences: int = 2) -> float:
    """Open `folder` with `transformers`; return the largest difference of its float32 logits from the model's.

    Both read the same random tokens, `sequences` of the full context length.
    """
    try:
        from transformers import AutoModelForCausalLM
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise MissingPackageError("transformers", "lab", "checking a saved model") from error
    disable_progress_bar()  # type: ignore[no-untyped-call]
    # from_pretrained leaves the model in evaluation mode
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    generator = torch.Generator().manual_seed(0)
    shape = model.shape
    tokens = torch.randint(shape.vocabulary, (sequences, shape.context_length), generator=generator)
    return float((theirs(tokens).logits - model(tokens)).abs().max())
