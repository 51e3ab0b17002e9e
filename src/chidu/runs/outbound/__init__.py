"""Finished runs, written for other people's trackers through each tracker's own library, onto this disk alone.

outgoing.py     a run as a tracker takes it
writing.py      which tracker, and a process of its own for it
tensorboard.py  event files (package tensorboard)
wandb.py        offline runs (package wandb)
mlflow.py       one SQLite file (package mlflow or mlflow-skinny, with SQLAlchemy)
trackio.py      one SQLite file (package trackio)

What is written here, `chidu.runs.exports` reads.
"""

from chidu.runs.outbound.outgoing import Outgoing, outgoing_run
from chidu.runs.outbound.writing import TRACKERS, Written, write_runs

__all__ = ["TRACKERS", "Outgoing", "Written", "outgoing_run", "write_runs"]
