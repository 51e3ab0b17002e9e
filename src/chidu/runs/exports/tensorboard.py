"""TensorBoard: a folder of event files is a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chidu.errors import MissingPackageError, TableError
from chidu.runs.exports.tracked import TrackedRun
from chidu.runs.record import parse_json

__all__ = ["find_event_files", "read_tensorboard"]

HPARAMS = "_hparams_/session_start_info"
"""Where the hparams plugin keeps a run's config."""


def find_event_files(path: Path) -> list[Path]:
    """Return the event files below a folder."""
    return sorted(file for file in path.rglob("*tfevents*") if file.is_file())


def read_tensorboard(path: Path, paths: Sequence[Path]) -> list[TrackedRun]:
    """Read a run from each folder of event files: its scalars, its hparams, and texts that are JSON objects.

    Hparams below a run's folder (PyTorch's `add_hparams` writes them so) belong to the run above.
    TensorBoard does not say whether a run has finished. Needs the package tensorboard.
    """
    top = path if path.is_dir() else path.parent
    found: dict[Path, TrackedRun] = {}
    for folder in sorted({file.parent for file in paths}):
        run = TrackedRun(folder.relative_to(top).as_posix() if folder != top else top.resolve().name)
        has_hparams = _fill(run, path if path.is_file() else folder)
        above = found.get(folder.parent)
        if above is not None and above.last and has_hparams:
            above.configure(run.config)
            above.last = {**run.last, **above.last}
            above.least = {**run.least, **above.least}
        elif run.config or run.last:
            # What is neither config nor scalars (a sweep's description, say) is no run.
            found[folder] = run
    return list(found.values())


def _fill(run: TrackedRun, place: Path) -> bool:
    """Read the events of a folder or a file into a run; true where the hparams plugin wrote some."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as error:
        raise MissingPackageError("tensorboard", "tensorboard", f"reading {place}") from error
    # Every scalar is kept (0 means all); pictures, sounds and histograms are not loaded.
    kept = {"scalars": 0, "tensors": 0, "images": 1, "audio": 1, "histograms": 1, "compressedHistograms": 1}
    events = EventAccumulator(str(place), size_guidance=kept)
    try:
        events.Reload()
    except Exception as error:
        raise TableError(f"{place}: the event files can't be read ({error})") from error
    tags = events.Tags()
    for tag in tags["scalars"]:
        for event in sorted(events.Scalars(tag), key=lambda event: event.step):
            run.log({tag: event.value})
    for tag in tags["tensors"]:
        values = [make_ndarray(event.tensor_proto) for event in sorted(events.Tensors(tag), key=lambda each: each.step)]
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            for value in values:
                run.log({tag: float(value)})
        elif values:
            run.configure(_json_object(values[-1]))
    if HPARAMS not in events.summary_metadata:
        return False
    run.configure(_hparams(events.summary_metadata[HPARAMS].plugin_data.content))
    return True


def _json_object(value: Any) -> dict[str, Any]:
    """Return the JSON object that a logged text holds (Hugging Face logs a run's settings so), or an empty dict."""
    cells = value.ravel().tolist()
    if len(cells) != 1 or not isinstance(cells[0], bytes):
        return {}
    try:
        read = parse_json(cells[0])
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _hparams(content: bytes) -> dict[str, Any]:
    from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

    kinds = ("number_value", "string_value", "bool_value")
    started = parse_session_start_info_plugin_data(content)
    values = {name: (value.WhichOneof("kind"), value) for name, value in started.hparams.items()}
    return {name: getattr(value, kind) for name, (kind, value) in values.items() if kind in kinds}
