"""Finished runs of one text, kept in the work folder beside its stages: no ladder makes one of them a second time.

A stage that is redone forgets what it made. Where only the minutes changed, or a recipe was tried and given up, some of
the same runs are asked for again: same config, same tokens, measured on the same held-out tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from chidu.runs.config import RunConfig
from chidu.runs.record import fingerprint, read_json, write_json
from chidu.runs.run import Run
from chidu.training.rungs import Rung, run_path

__all__ = ["KeptRuns"]

METHOD = 1
"""Raised when the same config comes to other numbers than before: runs kept until then are of another ladder."""


@dataclass(frozen=True)
class KeptRuns:
    """A folder with one file a run."""

    folder: Path

    @classmethod
    def of(cls, folder: Path, text: Mapping[str, str], held_out_tokens: int) -> KeptRuns:
        """Return those of a text, named by the fingerprints of its token files, and of so many held-out tokens."""
        made_from = {"method": METHOD, "text": dict(text), "held_out_tokens": held_out_tokens}
        return cls(folder / fingerprint(made_from)[:16])

    def configs(self) -> list[RunConfig]:
        """Return what was trained, in a fixed order."""
        runs = [Run.from_dict(read_json(path)) for path in sorted(self.folder.glob("*.json"))]
        return [run.config for run in runs]

    def keep(self, ladder: Path, rungs: Iterable[Rung]) -> None:
        """Keep the runs that a ladder's folder holds of these rungs."""
        for rung in rungs:
            made, kept = run_path(ladder, rung.name), self._path(rung.config)
            if made.exists() and not kept.exists():
                write_json(kept, read_json(made))

    def hand_over(self, ladder: Path, rungs: Iterable[Rung]) -> list[str]:
        """Put the runs that are kept where a ladder's folder has its finished ones; return their names."""
        found = []
        for rung in rungs:
            kept = self._path(rung.config)
            if kept.exists():
                run = replace(Run.from_dict(read_json(kept)), name=rung.name, group=rung.group)
                write_json(run_path(ladder, rung.name), run.as_dict())
                found.append(rung.name)
        return found

    def _path(self, config: RunConfig) -> Path:
        return self.folder / f"{fingerprint(config.as_dict())[:32]}.json"
