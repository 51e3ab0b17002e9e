"""Checkpoints that survive a kill at any moment, and a reader that trusts none it has not verified.

A checkpoint is a folder `step-000123/` with `tensors.safetensors` (and `tensors-2.safetensors`, …, where that would be
larger than a file may), `state.json`, and `manifest.json` (size and sha256 of the others). It is written under a
temporary name, synced, then renamed; older ones go last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chidu.runs.record import file_digest, sync_folder
from chidu.runs.storage import passes, steadily

__all__ = [
    "checkpoint_path",
    "describe_file",
    "latest_checkpoint",
    "prune",
    "read_checkpoint",
    "seal",
    "step_of",
    "why_files_torn",
    "why_torn",
    "write_checkpoint",
]

STATE = "state.json"
SHARD_BYTES = 2**30
"""Most that one file of tensors holds, and most memory that saving takes beside them."""


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return where `folder` keeps the checkpoint of a step."""
    return folder / f"step-{step:08d}"


def step_of(checkpoint: Path) -> int:
    """Return the step whose checkpoint a path names."""
    return int(checkpoint.name.removeprefix("step-"))


def write_checkpoint(
    folder: Path,
    step: int,
    tensors: dict[str, Tensor],
    state: dict[str, Any],
    keep: int = 2,
    may_write: Callable[[], None] = lambda: None,
) -> Path:
    """Write the checkpoint of `step` into `folder`, then prune all but the newest `keep`. Returns its folder.

    `may_write` is called at the last moment before the checkpoint takes its name, and raises where it may not. Raises
    StorageError where storage fails again and again.
    """
    final = checkpoint_path(folder, step)
    steadily(lambda: _write(final, step, tensors, state, may_write), final)
    prune(folder, step, keep)
    return final


def _write(
    final: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any], may_write: Callable[[], None]
) -> None:
    from safetensors.torch import save

    folder = final.parent
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{final.name}.tmp-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        names = []
        for index, shard in enumerate(_shards(tensors)):
            # Through bytes: the library's own writer hides a full disk's OSError.
            names.append(_shard_name(index))
            (temporary / names[-1]).write_bytes(save(shard))
        (temporary / STATE).write_text(json.dumps({"step": step, **state}), encoding="utf-8")
        seal(temporary, final, {name: describe_file(temporary / name) for name in (*names, STATE)}, may_write)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _shard_name(index: int) -> str:
    return f"tensors-{index + 1}.safetensors" if index else "tensors.safetensors"


def _shards(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors in shards of at most SHARD_BYTES, in their order.

    A larger tensor is cut along its first axis; its further parts are called ``name@1``, ``name@2``, …
    """
    shard: dict[str, Tensor] = {}
    held = 0
    for name, tensor in tensors.items():
        rows = max(1, SHARD_BYTES * len(tensor) // max(1, tensor.nbytes)) if tensor.dim() else 1
        parts = torch.split(tensor, rows) if tensor.dim() and len(tensor) > rows else (tensor,)
        for index, part in enumerate(parts):
            if shard and held + part.nbytes > SHARD_BYTES:
                yield shard
                shard, held = {}, 0
            shard[f"{name}@{index}" if index else name] = part.contiguous()
            held += part.nbytes
    yield shard


def describe_file(path: Path) -> dict[str, Any]:
    """Return a file's entry in the manifest, after it has reached the disk."""
    _sync_file(path)
    return {"bytes": path.stat().st_size, "sha256": file_digest(path)}


def seal(temporary: Path, final: Path, manifest: dict[str, Any], may_write: Callable[[], None]) -> None:
    """Write the manifest of a folder whose files are on the disk, and give the folder its name, if `may_write`."""
    (temporary / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    _sync_file(temporary / "manifest.json")
    sync_folder(temporary)
    may_write()
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    sync_folder(final.parent)


def latest_checkpoint(
    folder: Path, step: int | None = None, why_not: Callable[[Path], str] | None = None
) -> tuple[Path | None, list[str]]:
    """Return the newest checkpoint that verifies (None where there is none), and why newer ones were passed over.

    With `step`, only those of that step or of earlier ones are looked at. `why_not` says why a folder can't be
    trusted, or nothing: `why_torn`, where it is not given.
    """
    passed_over: list[str] = []
    for path in sorted(folder.glob("step-????????"), reverse=True):
        if step is not None and step_of(path) > step:
            continue
        why = (why_not or why_torn)(path)
        if not why:
            return path, passed_over
        passed_over.append(f"{path.name}: {why}")
    return None, passed_over


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the state of a checkpoint that `latest_checkpoint` verified."""
    from safetensors.torch import load_file

    manifest = json.loads(steadily(lambda: (path / "manifest.json").read_text(encoding="utf-8"), path))
    parts: dict[str, list[Tensor]] = {}
    for index in range(len(manifest.keys() - {STATE})):
        shard = steadily(lambda: load_file(path / _shard_name(index)), path)  # noqa: B023
        # By number: a file lists its tensors in an order of its own.
        for name in sorted(shard, key=_part):
            parts.setdefault(name.partition("@")[0], []).append(shard[name])
    tensors = {name: found[0] if len(found) == 1 else torch.cat(found) for name, found in parts.items()}
    return tensors, json.loads(steadily(lambda: (path / STATE).read_text(encoding="utf-8"), path))


def _part(name: str) -> int:
    return int(name.partition("@")[2] or 0)


def why_torn(path: Path) -> str:
    """Say why a checkpoint can't be trusted; empty where it can. Raises StorageError where storage keeps failing."""
    return steadily(lambda: _why_torn(path), path)


def _why_torn(path: Path) -> str:
    try:
        manifest = dict(json.loads((path / "manifest.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, OSError) and passes(error):
            raise
        return f"no manifest ({error})"
    return why_files_torn(path, {_shard_name(0): None, STATE: None} | manifest)


def why_files_torn(path: Path, entries: Mapping[str, Any]) -> str:
    """Say which file of a checkpoint is not as its entry describes it; empty where all are."""
    for name, entry in entries.items():
        file = path / name
        if not entry or not file.is_file() or file.stat().st_size != entry["bytes"]:
            return f"{name} is missing or cut short"
        if file_digest(file) != entry["sha256"]:
            return f"{name} differs from its sha256"
    return ""


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prune(folder: Path, step: int, keep: int) -> None:
    """Remove what is older than the newest `keep`, and any later step: that was torn, or we would have begun there."""
    found = sorted(folder.glob("step-????????"))
    later = [path for path in found if path.name > checkpoint_path(folder, step).name]
    for old in [*later, *found[: len(found) - len(later)][:-keep]]:
        shutil.rmtree(old, ignore_errors=True)
    for stale in folder.glob("step-*.tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)
