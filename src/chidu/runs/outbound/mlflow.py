"""MLflow: one SQLite file, one experiment."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from chidu.runs.outbound.outgoing import Outgoing

__all__ = ["write"]

MOST_METRICS, MOST_PARAMS = 1000, 100
"""Of one call; MLflow refuses more."""
Item = TypeVar("Item")


def write(folder: Path, project: str, runs: Sequence[Outgoing]) -> str:
    """Write `PROJECT/mlflow.db`; return the project's name."""
    place = folder / project
    place.mkdir()
    client = MlflowClient(tracking_uri=f"sqlite:///{place / 'mlflow.db'}")
    experiment = client.create_experiment(project, artifact_location=(place / "artifacts").as_uri())
    began = int(time.time() * 1000)
    for number, run in enumerate(runs):
        # Runs are shown, and read, in the order of their beginnings.
        when = began + number
        tags = {"group": run.group, "mlflow.source.name": "chidu export"}
        made = client.create_run(experiment, start_time=when, tags=tags, run_name=run.name).info.run_id
        points = [Metric(name, value, when, step) for step, told in run.history.items() for name, value in told.items()]
        points += [Metric(name, value, when, run.steps) for name, value in run.final.items()]
        for metrics in _parts(points, MOST_METRICS):
            client.log_batch(made, metrics=metrics)
        for params in _parts([Param(name, _text(value)) for name, value in run.config.items()], MOST_PARAMS):
            client.log_batch(made, params=params)
        client.set_terminated(made, "FINISHED", end_time=when)
    return project


def _text(value: object) -> str:
    """Write a value so that it is read back exactly."""
    return repr(value) if isinstance(value, float) else str(value)


def _parts(items: Sequence[Item], most: int) -> Iterator[list[Item]]:
    left = iter(items)
    while part := list(islice(left, most)):
        yield part
