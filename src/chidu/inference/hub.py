"""The engine for models that `transformers` opens: a folder, or a name of the hub.

Weights are read from safetensors alone: pickle files are refused, and so is a model that brings code of its own.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from logging import CRITICAL, getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from chidu.errors import InputError
from chidu.inference.engine import Conversation, Prompt, check_length, check_tokens, check_turns, no_chat, room
from chidu.inference.sampling import Piece, Sampling, Token, follow, open_vocabulary, pieces, weigh

if TYPE_CHECKING:
    from chidu.inference.constraint import Vocabulary

__all__ = ["HubEngine", "ask_hub", "quiet", "why_not_opened"]

WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "MTModel")
"""Ends of the names of classes that write text."""
HUB_SECONDS = 10.0
"""To wait for the hub: what opens models asks it file by file, each again and again, for minutes."""
LONGEST = 1_000_000
"""A tokenizer that states no context states a number beyond this."""


class HubEngine:
    """A causal model, or one that reads one text and writes another. Raises InputError where it can't be opened.

    In bf16 on a GPU or a processor that has it, else in float32.
    """

    def __init__(self, name: str, gguf_file: str | None = None) -> None:
        """`name`: a folder or a model of the hub; `gguf_file`: a file in it, whose weights are made float32."""
        self.name = Path(name).name
        # Releases to come call it `cache`; those of now know this name alone.
        warnings.filterwarnings("ignore", message="`past_key_values` is deprecated", category=FutureWarning)
        with quiet():
            config, self.tokenizer, self.model = _opened(name, gguf_file)
        self.is_seq2seq = bool(config.is_encoder_decoder)
        self._context = _context_length(config, self.tokenizer)
        ends = self.model.generation_config.eos_token_id
        self.ends = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}

    @property
    def context_length(self) -> int:
        """Tokens that prompt and text may have together."""
        return self._context

    @property
    def params(self) -> int:
        """All params; those that two layers share count once."""
        return sum(each.numel() for each in self.model.parameters())

    def encode(self, prompt: Prompt) -> list[int]:
        """Return a prompt's tokens, with what this model wants before a text. Raises InputError."""
        if isinstance(prompt, Conversation):
            # The template writes all that the model wants before a text.
            return list(self.tokenizer(self._as_text(prompt), add_special_tokens=False).input_ids)
        if isinstance(prompt, str):
            return list(self.tokenizer(prompt).input_ids)
        return check_tokens(prompt, len(self.model.get_input_embeddings().weight))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _as_text(self, conversation: Conversation) -> str:
        if not self.tokenizer.chat_template:
            raise no_chat(self.name)
        check_turns(conversation, self.tokenizer.all_special_tokens)
        turns = [{"role": each.role, "content": each.content} for each in conversation.turns]
        try:
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        except Exception as error:  # templates refuse what their model was not taught, each in its own way
            raise InputError(f"{self.name} can't have this conversation ({_first_line(error)})") from error

    def write(self, prompt: Prompt, sampling: Sampling) -> Iterator[Piece]:
        """Yield the text that follows the prompt. Raises InputError where the prompt fills the context."""
        prefix = self.encode(prompt) or [self._first()]
        read, most = len(prefix), room(len(prefix), self.context_length, sampling)
        reader: _Reader | _Translator
        if self.is_seq2seq:
            # The text has a context of its own.
            most = room(1, self.context_length, sampling)
            reader, prefix = _Translator(self.model, prefix), [int(self.model.config.decoder_start_token_id)]
        else:
            reader = _Reader(self.model)
        tokens = follow(reader, prefix, most, sampling, lambda: self.vocabulary)
        return pieces(tokens, self.decode, lambda token: token in self.ends, sampling, read)

    def _first(self) -> int:
        found = self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self.tokenizer.eos_token_id
        return int(found or 0)

    @torch.inference_mode()
    def score(self, prompt: Prompt, top: int = 0) -> list[Token]:
        """Return the prompt's tokens, each with its log-probability. Raises InputError where it is too long."""
        if self.is_seq2seq:
            raise InputError(f"{self.name} reads one text and writes another: it can't weigh one alone")
        tokens = self.encode(prompt)
        check_length(len(tokens), self.context_length)
        found = [Token(token, self.vocabulary.data(token)) for token in tokens[:1]]
        if len(tokens) > 1:
            read = torch.tensor([tokens[:-1]], device=self.model.device)
            found += weigh(self.model(input_ids=read).logits[0].cpu(), tokens[1:], top, self.vocabulary)
        return found

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What the tokens are in bytes."""
        if not self.tokenizer.is_fast:
            raise InputError(f"{self.name} has a tokenizer that can't say what its tokens are in bytes")
        return open_vocabulary(self.tokenizer.backend_tokenizer.to_str(), sorted(self.ends), self.name)


class _Reader:
    """Reads tokens, and keeps the keys and values of those it has read."""

    def __init__(self, model: Any) -> None:
        self.model, self.past = model, None

    @torch.inference_mode()
    def __call__(self, tokens: list[int]) -> Tensor:
        """Return the logits [V], float32, of what follows."""
        read = torch.tensor([tokens], device=self.model.device)
        found = self.model(input_ids=read, past_key_values=self.past, use_cache=True, logits_to_keep=1)
        self.past = found.past_key_values
        logits: Tensor = found.logits[0, -1].float().cpu()
        return logits


class _Translator:
    """Has read one text, and reads what is written of the other."""

    def __init__(self, model: Any, source: list[int]) -> None:
        self.model, self.source, self.past = model, source, None
        self.encoded: Any = None

    @torch.inference_mode()
    def __call__(self, tokens: list[int]) -> Tensor:
        """Return the logits [V], float32, of what follows."""
        if self.encoded is None:
            read = torch.tensor([self.source], device=self.model.device)
            self.encoded = self.model.get_encoder()(input_ids=read)
        new = torch.tensor([tokens], device=self.model.device)
        found = self.model(
            encoder_outputs=self.encoded, decoder_input_ids=new, past_key_values=self.past, use_cache=True
        )
        self.past = found.past_key_values
        logits: Tensor = found.logits[0, -1].float().cpu()
        return logits


def _opened(name: str, gguf_file: str | None = None) -> tuple[Any, Any, Any]:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    where: dict[str, Any] = {"trust_remote_code": False}
    if gguf_file is not None:
        where["gguf_file"] = gguf_file
    ask_hub(name)
    try:
        config = AutoConfig.from_pretrained(name, **where)
        if gguf_file is not None and hasattr(config, "head_dim"):
            # transformers takes its default for this one.
            config.head_dim = _head_width(Path(name) / gguf_file) or config.head_dim
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
        _check_layers(Path(name), config)
        _check_kind(name, config)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        dtype = torch.bfloat16 if gguf_file is None and _has_bf16() else torch.float32
        # Its bar would stand in a server's log; what is long here is the download, which has its own.
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        model = kind.from_pretrained(name, config=config, dtype=dtype, use_safetensors=True, **where)
    except InputError:
        raise
    except Exception as error:  # a damaged folder ends in whatever the library meets first
        raise InputError(why_not_opened(name, error)) from error
    embedding: Any = model.get_input_embeddings()
    if len(tokenizer) > len(embedding.weight):
        raise InputError(f"{name}: the tokenizer has more tokens than the weights: they don't belong together")
    # Its `to` is typed as one that takes no place.
    placed: Any = model
    return config, tokenizer, placed.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _check_kind(name: str, config: Any) -> None:
    """Raise InputError where a model was made for something else than writing: an encoder would write nonsense."""
    made_for = config.architectures or []
    if made_for and not any(each.endswith(WRITERS) for each in made_for):
        raise InputError(f"{name} is {made_for[0]}, which does not write text: name a model that does")


def _check_layers(folder: Path, config: Any) -> None:
    """Raise InputError where a folder's config states no layers, or more than its weights have tensors.

    transformers would make them all first.
    """
    from safetensors import safe_open

    tensors = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            tensors += len(file.keys())
    stated = getattr(config, "num_hidden_layers", None)
    if tensors and isinstance(stated, int) and not 1 <= stated <= tensors:
        raise InputError(f"{folder}: config.json states {stated} layers, the weights have {tensors} tensors in all")


def _head_width(path: Path) -> int | None:
    """Return the width of an attention head that a GGUF file states, if it does."""
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    kind = fields["general.architecture"].contents()
    stated = fields.get(f"{kind}.attention.key_length")
    return None if stated is None else int(stated.contents())


def ask_hub(name: str, owner: str = "") -> None:
    """See in seconds that a model can be opened: it is a folder, it was fetched before, or the hub has it.

    ``owner``: whose it is where a name says none. Raises InputError where none of these is so.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    if Path(name).is_dir():
        return
    full = f"{owner}/{name}" if owner and "/" not in name else name
    places = (None, os.environ.get("SENTENCE_TRANSFORMERS_HOME"))
    try:
        if not any(isinstance(try_to_load_from_cache(full, "config.json", place), str) for place in places):
            HfApi().model_info(full, timeout=HUB_SECONDS)
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise InputError(
            f"{name} is not on this machine, and the hub has no model of this name: chidu models"
        ) from error
    except Exception as error:  # no network, a proxy's refusal, offline by a setting: each library has its own
        raise InputError(_unreached(name)) from error


def why_not_opened(name: str, error: Exception) -> str:
    """Say in one line why a model can't be opened, and what to do."""
    if not isinstance(error, OSError):
        return f"{name} can't be opened ({type(error).__name__}: {_first_line(error)})"
    if Path(name).is_dir():
        pickled = not any(Path(name).glob("*.safetensors")) and any(Path(name).glob("*.bin"))
        why = "its weights are in pickle files, which can run code: convert them to safetensors" if pickled else ""
        return f"{name} can't be opened: {why or _first_line(error)}"
    if os.environ.get("HF_HUB_OFFLINE") == "1" or "couldn't connect" in str(error) or "offline" in str(error).lower():
        return _unreached(name)
    return f"{name} is not on this machine, and the hub has none of this name that opens: {_first_line(error)}"


def _unreached(name: str) -> str:
    return (
        f"{name} is not on this machine, and the hub can't be reached: where there is a network run "
        f"`hf download {name}`, copy its folder here and name that; or take a model that is here: chidu models"
    )


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
def quiet() -> Iterator[None]:
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
