"""The stages in order over one work folder: what `demo` and `build` do. A list, no mechanism.

    collect → corpus → tokens → design → ladder → law → forecast → target → score → model → report

Each stage takes the records of those before it, and leaves a folder with its own; see `chidu.runs.stage`.
"""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from chidu.errors import MissingPackageError
from chidu.parallel import Place
from chidu.runs.live import LiveRecord
from chidu.runs.record import Record
from chidu.runs.settings import Settings
from chidu.work.estimate import Preview, preview
from chidu.work.results import summary, write_work_report
from chidu.work.stages import STAGES
from chidu.work.undertaking import Voice, Work

if TYPE_CHECKING:
    from chidu.training.sharded import Crew

__all__ = ["STAGES", "Preview", "Voice", "Work", "check_lab", "preview", "run", "summary", "write_work_report"]


def run(
    folder: Path,
    settings: Settings,
    voice: Voice,
    last: str = "report",
    recollect: bool = False,
    place: Place | None = None,
    crew: Crew | None = None,
    live: LiveRecord | None = None,
) -> Work:
    """Run the stages in order up to `last`; what is made already is not made again.

    The ladder trains at `place` (this machine), which is looked at before anything else where there is no ladder yet.
    A `crew` of several processes trains the target. Whoever goes on after `last` opens the folder's `live` record.
    """
    kept = LiveRecord.open(folder, voice.say) if live is None else contextlib.nullcontext(live)
    with kept as told:
        work = Work(folder, settings, voice, told, recollect, place, crew)
        if last not in ("corpus", "tokens") and Record.read(folder / "ladder") is None:
            work.place.check(folder)
        for name, stage in STAGES.items():
            stage(work)
            if name == last:
                break
    return work


def check_lab(last: str = "report") -> None:
    """Raise MissingPackageError where a package is not installed that the stages up to `last` need."""
    needed = ["filelock"]
    needed += ["tokenizers"] if last != "corpus" else []
    needed += ["torch", "safetensors", "transformers"] if last not in ("corpus", "tokens") else []
    needed += ["plotly", "jinja2"] if last == "report" else []
    for package in needed:
        if importlib.util.find_spec(package) is None:
            raise MissingPackageError(package, "lab", "training a ladder" if package == "torch" else "this verb")
