"""The waist: what passes between training and fitting, and what a stage leaves behind."""

from chidu.runs.config import RunConfig
from chidu.runs.folder import open_work_folder
from chidu.runs.ladder import Ladder, Table
from chidu.runs.recipe import Recipe
from chidu.runs.record import Record
from chidu.runs.run import Run
from chidu.runs.shape import Shape
from chidu.runs.stage import Outcome, run_stage

__all__ = [
    "Ladder",
    "Outcome",
    "Recipe",
    "Record",
    "Run",
    "RunConfig",
    "Shape",
    "Table",
    "open_work_folder",
    "run_stage",
]
