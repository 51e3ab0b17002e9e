"""Checkpoints that many processes write together: each its own part, all under one manifest.

A checkpoint is a folder `step-00000123/` with the files of `torch.distributed.checkpoint` (`.metadata` and one file a
process), `state.json` and `manifest.json`. Every process writes, syncs and hashes its own file under a temporary name;
then the first writes the manifest, renames the folder, and prunes older ones. Any number of processes can read what
another number wrote.

Opening such a folder unpickles its `.metadata`, and a crafted one runs code. So only folders are opened whose files
are all as the manifest says, and whose manifest bears this user's mark (`chidu.training.mark`). Models come from
elsewhere as safetensors and JSON, which run nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.errors import TrainingError
from chidu.training import mark
from chidu.training.checkpoint import (
    checkpoint_path,
    describe_file,
    latest_checkpoint,
    prune,
    seal,
    why_files_torn,
)
from chidu.training.ranks import Ranks

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["latest_sharded", "read_sharded", "read_state", "why_refused", "write_sharded"]

METADATA, STATE = ".metadata", "state.json"

Tensors = dict[str, dict[str, "Tensor"]]


def write_sharded(
    folder: Path,
    step: int,
    tensors: Tensors,
    state: dict[str, Any],
    ranks: Ranks,
    keep: int = 2,
    may_write: Callable[[], None] = lambda: None,
) -> Path:
    """Write the checkpoint of `step` into `folder`, every process its part, then prune all but the newest `keep`.

    All processes call this alike, and all raise where one fails: TrainingError, or its own error in that process.
    """
    final = checkpoint_path(folder, step)
    temporary = folder / f"{final.name}.tmp-shared"
    is_first = ranks.rank == 0

    def prepare() -> None:
        if is_first:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)

    def describe() -> dict[str, Any]:
        if is_first:
            (temporary / STATE).write_text(json.dumps({"step": step, **state}), encoding="utf-8")
        return {name: describe_file(temporary / name) for name in _own_files(temporary, ranks)}

    def finish() -> None:
        if is_first:
            files = {name: entry for part in parts for name, entry in part.items()}
            seal(temporary, final, {"files": files, "mark": mark.mark(_marked(final.name, files))}, may_write)
            prune(folder, step, keep)

    ranks.together(prepare)
    ranks.together(lambda: _save(tensors, temporary))
    parts = ranks.gather(ranks.together(describe))
    ranks.together(finish)
    return final


def latest_sharded(folder: Path, ranks: Ranks, step: int | None = None) -> tuple[Path | None, list[str]]:
    """Return the newest checkpoint that verifies and bears this user's mark, and why newer ones were passed over.

    With `step`, only those of that step or of earlier ones are looked at. The first process looks, and tells the
    others. Raises TrainingError where there are checkpoints and none bears the mark: to train anew over another's run,
    or to run another's code, must be somebody's decision.
    """
    found, passed_over = ranks.from_first(lambda: latest_checkpoint(folder, step, why_refused))
    if found is None and any(NOT_OURS in why for why in passed_over):
        raise TrainingError(
            f"{folder} holds checkpoints that are {NOT_OURS} ({mark.key_path()}); opening them can run code, so they "
            "are refused: bring that key if they are yours, or delete the folder to train from the start"
        )
    return found, passed_over


NOT_OURS = "not marked by this user's key"


def why_refused(path: Path) -> str:
    """Say why a checkpoint is not to be opened; empty where it may be."""
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        files, found = dict(manifest["files"]), str(manifest["mark"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        return f"no manifest ({error!r})"
    if not mark.fits(_marked(path.name, files), found):
        return NOT_OURS
    there = {file.name for file in path.iterdir()} - {"manifest.json"}
    if others := sorted(there - files.keys()):
        return f"{others[0]} is not in the manifest"
    return why_files_torn(path, files)


def read_state(path: Path) -> dict[str, Any]:
    """Return the state of a checkpoint that `latest_sharded` found."""
    state: dict[str, Any] = json.loads((path / STATE).read_text(encoding="utf-8"))
    return state


def read_sharded(path: Path, tensors: Tensors) -> None:
    """Fill the tensors with what a checkpoint that `latest_sharded` found has of them.

    All processes call this alike. Raises TrainingError where it lacks one.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.state_dict_loader import load

    try:
        load(dict(tensors), storage_reader=FileSystemReader(path))
    except CheckpointException as error:
        raise TrainingError(
            f"{path} does not fit this run ({_first_failure(error)}): delete it to train again"
        ) from error


def _save(tensors: Tensors, folder: Path) -> None:
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.filesystem import FileSystemWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    try:
        save(dict(tensors), storage_writer=FileSystemWriter(folder))
    except CheckpointException as error:
        # It is no Exception, and would pass by whoever catches those.
        raise _first_failure(error) from error


def _first_failure(error: Any) -> Exception:
    """Return what went wrong in the first process that failed."""
    failure: BaseException = next(iter(error.failures.values()))[0]
    return failure if isinstance(failure, Exception) else TrainingError(str(failure))


def _own_files(folder: Path, ranks: Ranks) -> list[str]:
    """Name the files of a checkpoint that this process answers for."""
    own = [path.name for path in folder.glob(f"__{ranks.rank}_*.distcp")]
    return [*own, METADATA, STATE] if ranks.rank == 0 else own


def _marked(name: str, files: dict[str, Any]) -> bytes:
    """Return what the mark speaks for: the step, and every file."""
    return json.dumps([name, files], sort_keys=True).encode()
