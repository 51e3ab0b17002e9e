"""trackio: its local store, one SQLite file a project, without its client, which asks who is logged in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from chidu.runs.outbound.outgoing import Outgoing

__all__ = ["write"]


def write(folder: Path, project: str, runs: Sequence[Outgoing]) -> str:
    """Write `PROJECT.db` into the folder; return its name."""
    # Read once, as the package loads.
    os.environ["TRACKIO_DIR"] = str(folder)
    from trackio.sqlite_storage import SQLiteStorage

    for run in runs:
        points = [*run.history.values(), dict(run.final)]
        steps = [*run.history, run.steps]
        config = {**run.config, "_Group": run.group}
        SQLiteStorage.bulk_log(project, run.name, points, steps=steps, config=config)
    return f"{project}.db"
