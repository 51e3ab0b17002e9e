"""Training: from a config and tokens to weights, a loss, and a Run.

rungs.py        a ladder over the cores: trunks and branches
target.py       one run with every core at it
design.py       which ladder and target fit the time and the text
kept.py         finished runs that later ladders take as they are
foretold.py     rungs that the law of the others makes needless
probe.py        how fast this machine is
loop.py         the step, and going on from a checkpoint
steadiness.py   batches passed over, and runs taken back
weights.py      flat float32 masters and the copies the model computes with
optimiser.py    Muon, Adam and the schedule
checkpoint.py   checkpoints that survive a kill
held_out.py     loss on text that was held out
tune.py         a better recipe, or the news that there is none
search.py       Optuna over recipes at one width
tuning_plan.py  how much of everything tuning runs
sweep.py        short runs, judged on text they did not read
noise_scale.py  how large a batch pays
"""

from __future__ import annotations

from chidu.training.design import Budget, Design, design_ladder
from chidu.training.rungs import Rung, Text, train_ladder
from chidu.training.target import train_target

__all__ = ["Budget", "Design", "Rung", "Text", "design_ladder", "train_ladder", "train_target"]
