"""The engine for models that `transformers` opens: a folder, or a name of the hub.

Weights are read from safetensors alone: pickle files are refused, and so is a model that brings code of its own.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from logging import CRITICAL, getLogger
from pathlib import Path
from typing import Any

import torch

from chidu.errors import InputError
from chidu.inference.engine import Message, check_room, no_chat
from chidu.inference.sampling import Piece, Sampling, draw, pieces

__all__ = ["HubEngine"]

LONGEST = 1_000_000
"""A tokenizer that states no context states a number beyond this."""


class HubEngine:
    """A causal model, in bf16 on a GPU or a processor that has it, else in float32. Raises InputError."""

    def __init__(self, name: str) -> None:
        self.name = Path(name).name
        with _quiet():
            config, self.tokenizer, self.model = _opened(name)
        self._context = _context_length(config, self.tokenizer)
        ends = self.model.generation_config.eos_token_id
        self.ends = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}

    @property
    def context_length(self) -> int:
        """Tokens that prompt and text may have together."""
        return self._context

    def encode(self, text: str) -> list[int]:
        """Return a text's tokens, with what this model wants before a text."""
        return list(self.tokenizer(text).input_ids)

    def chat_prompt(self, messages: Sequence[Message]) -> str:
        """Write a conversation by the model's own template. Raises InputError where it has none."""
        if not self.tokenizer.chat_template:
            raise no_chat(self.name)
        turns = [{"role": each.role, "content": each.content} for each in messages]
        return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def write(self, prompt: str, sampling: Sampling) -> Iterator[Piece]:
        """Yield the text that follows the prompt. Raises InputError where the prompt fills the context."""
        prefix = self.encode(prompt) or [self._first()]
        check_room(len(prefix), self.context_length)
        return pieces(self._tokens(prefix, sampling), self._decode, lambda token: token in self.ends, sampling)

    def _first(self) -> int:
        found = self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self.tokenizer.eos_token_id
        return int(found or 0)

    def _decode(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    @torch.inference_mode()
    def _tokens(self, prefix: list[int], sampling: Sampling) -> Iterator[int]:
        generator = torch.Generator().manual_seed(sampling.seed)
        read, past = torch.tensor([prefix], device=self.model.device), None
        # Releases to come call it `cache`; those of now know this name alone.
        warnings.filterwarnings("ignore", message="`past_key_values` is deprecated", category=FutureWarning)
        for _ in range(min(sampling.max_tokens, self.context_length - len(prefix))):
            found = self.model(input_ids=read, past_key_values=past, use_cache=True, logits_to_keep=1)
            past = found.past_key_values
            token = draw(found.logits[0, -1].float().cpu(), sampling, generator)
            yield token
            read = torch.tensor([[token]], device=self.model.device)


def _opened(name: str) -> tuple[Any, Any, Any]:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    where = {"trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(name, **where)
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
        if config.is_encoder_decoder:
            raise InputError(f"{name} reads one text and writes another: it can't go on from one")
        dtype = torch.bfloat16 if _has_bf16() else torch.float32
        model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, use_safetensors=True, **where)
    except InputError:
        raise
    except OSError as error:
        raise InputError(_why_not(name, error)) from error
    except Exception as error:  # a damaged folder ends in whatever the library meets first
        raise InputError(f"{name} can't be opened ({type(error).__name__}: {_first_line(error)})") from error
    embedding: Any = model.get_input_embeddings()
    if len(tokenizer) > len(embedding.weight):
        raise InputError(f"{name}: the tokenizer has more tokens than the weights: they don't belong together")
    # Its `to` is typed as one that takes no place.
    placed: Any = model
    return config, tokenizer, placed.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _why_not(name: str, error: OSError) -> str:
    """Say in one line why a model is not there, and what to do."""
    if Path(name).is_dir():
        pickled = not any(Path(name).glob("*.safetensors")) and any(Path(name).glob("*.bin"))
        why = "its weights are in pickle files, which can run code: convert them to safetensors" if pickled else ""
        return f"{name} can't be opened: {why or _first_line(error)}"
    if os.environ.get("HF_HUB_OFFLINE") == "1" or "couldn't connect" in str(error) or "offline" in str(error).lower():
        return (
            f"{name} is not on this machine, and the hub can't be reached: where there is a network run "
            f"`hf download {name}`, copy its folder here and name that; or take a model that is here: chidu models"
        )
    return f"{name} is not on this machine, and the hub has none of this name that opens: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return " ".join((str(error).strip().splitlines() or [""])[0].split())[:200]


def _has_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    with contextlib.suppress(OSError):
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return False


def _context_length(config: Any, tokenizer: Any) -> int:
    stated = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    least = min(int(stated or LONGEST), int(tokenizer.model_max_length or LONGEST))
    return least if least < LONGEST else 2048


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' advice and progress bars off the terminal: what goes wrong we say ourselves."""
    from transformers.utils import logging

    theirs: Any = logging

    before = theirs.get_verbosity()
    hub = getLogger("huggingface_hub")
    level = hub.level
    theirs.set_verbosity_error()
    theirs.disable_progress_bar()
    hub.setLevel(CRITICAL)
    try:
        yield
    finally:
        theirs.set_verbosity(before)
        theirs.enable_progress_bar()
        hub.setLevel(level)
