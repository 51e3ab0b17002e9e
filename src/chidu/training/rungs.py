"""A ladder's runs over the cores of a machine or a cluster: one trunk a size, and a branch for each length.

A trunk trains at full rate; where a run of a given length would begin to let its rate fall, the trunk leaves a mark,
and that run branches off there (Hägele et al., 2405.18392). Every branch equals the run that was trained by itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chidu.errors import SettingError
from chidu.parallel import Emit, Local, Place
from chidu.runs.config import RunConfig
from chidu.runs.lease import Lease, forget_leases, hold
from chidu.runs.live import LiveWarning, RunEvent, Steps
from chidu.runs.record import read_json, write_json
from chidu.runs.run import Run

if TYPE_CHECKING:
    from chidu.model.transformer import Transformer
    from chidu.tokens import TokenFile
    from chidu.training.underway import Underway

__all__ = [
    "STOP_SECONDS",
    "WEIGHTS",
    "Rung",
    "StepCount",
    "Text",
    "finished_run",
    "ladder_flops",
    "run_path",
    "train_ladder",
    "trunk_flops",
]


TRUNK = "-trunk.scratch"
WEIGHTS = "weights.safetensors"
"""Name of the file of a run's final weights, float32, flat by group."""
STOP_SECONDS = 10.0
"""What a run that is asked to stop may take to finish its step and to save."""


@dataclass(frozen=True)
class Text:
    """Where a run finds its tokens."""

    train: Path
    held_out: Path
    held_out_tokens: int
    """Held-out tokens to measure on."""


@dataclass(frozen=True)
class Rung:
    """One run of a ladder."""

    name: str
    group: str
    """Rungs of one group have one shape and one seed, and share a trunk."""
    config: RunConfig

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON form that `from_dict` reads."""
        return {"name": self.name, "group": self.group, "config": self.config.as_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rung:
        """Read what `as_dict` wrote."""
        return cls(values["name"], values["group"], RunConfig.from_dict(values["config"]))


@dataclass(frozen=True)
class Trunk:
    """What the runs of one size share."""

    folder: Path
    config: RunConfig
    stop: int
    marks: tuple[int, ...]
    text: Text
    branches: tuple[Path, ...]
    """The finished runs that leave it: once all are there, it is needed no more."""

    @property
    def group(self) -> str:
        """The rungs that share it."""
        return self.folder.name.removesuffix(TRUNK)

    @property
    def finished(self) -> Path:
        """The file that is there when it is trained."""
        return self.folder / "done.json"

    def is_done(self) -> bool:
        """True where it is trained, or no run is left that would leave it."""
        return self.finished.exists() or all(branch.exists() for branch in self.branches)

    @property
    def course(self) -> Steps:
        """The optimiser steps that its longest run shares."""
        return Steps(self.group, 0, self.config.trunk_steps)


@dataclass(frozen=True)
class Branch:
    """One run from its trunk's mark to its end."""

    folder: Path
    rung: Rung
    trunk: Path
    text: Text
    keeps_weights: bool

    @property
    def group(self) -> str:
        """The rungs that share its trunk."""
        return self.rung.group

    @property
    def finished(self) -> Path:
        """The file that is there when it is trained and measured."""
        return self.folder / "run.json"

    def is_done(self) -> bool:
        """True where it is trained and measured."""
        return self.finished.exists()

    @property
    def course(self) -> Steps:
        """The optimiser steps it takes."""
        return Steps(self.rung.name, self.rung.config.trunk_steps, self.rung.config.steps)


def train_ladder(
    rungs: Sequence[Rung],
    text: Text,
    folder: Path,
    on_event: Callable[[str, RunEvent], None],
    place: Place | None = None,
    keep_weights: bool = False,
) -> list[Run]:
    """Train every rung, as many at once as `place` (this machine) has cores; return the runs in the rungs' order.

    A run that `folder` holds already is not repeated; one that was cut goes on from its last checkpoint. `on_event` is
    told the group and the optimiser steps done, as they are, and what went amiss; where a worker was lost, the steps
    that another one makes again are told again. The place changes no bit. With `keep_weights` each run that is
    trained leaves its final weights beside its `run.json`.
    """
    folder = folder.absolute()
    text = replace(text, train=text.train.absolute(), held_out=text.held_out.absolute())
    trunks = _trunks(rungs, text, folder)
    branches = [
        Branch(folder / rung.name, rung, trunks[rung.group].folder, text, keep_weights)
        for rung in sorted(rungs, key=lambda rung: -rung.config.flops)
    ]
    ordered = sorted(trunks.values(), key=lambda trunk: -trunk.config.flops)
    at = {trunk.folder: index for index, trunk in enumerate(ordered)}
    items: list[Trunk | Branch] = [*ordered, *branches]
    after = [at[item.trunk] if isinstance(item, Branch) else None for item in items]
    (place or Local()).map(
        _train_item, items, lambda index, event: on_event(items[index].group, event), after, grace=STOP_SECONDS
    )
    for item in items:
        forget_leases(item.folder)
    return [Run.from_dict(read_json(run_path(folder, rung.name))) for rung in rungs]


def run_path(folder: Path, name: str) -> Path:
    """Return where a ladder's folder keeps a finished run."""
    return folder / name / "run.json"


def _trunks(rungs: Sequence[Rung], text: Text, folder: Path) -> dict[str, Trunk]:
    """Return the trunk of each group, as long as its longest rung's full rate."""
    groups: dict[str, list[RunConfig]] = {}
    for rung in rungs:
        groups.setdefault(rung.group, []).append(rung.config)
    trunks = {}
    for name, configs in groups.items():
        longest = max(configs, key=lambda config: config.steps)
        if any(config.with_steps(longest.steps) != longest for config in configs):
            raise SettingError(f"rungs of the group {name!r} differ in more than their steps: they can't share a trunk")
        # A run that is there already needs no mark.
        own = {run_path(folder, rung.name): rung.config.trunk_steps for rung in rungs if rung.group == name}
        marks = tuple(sorted({steps for path, steps in own.items() if not path.exists()} or {longest.trunk_steps}))
        trunks[name] = Trunk(folder / f"{name}{TRUNK}", longest, marks[-1], marks, text, tuple(own))
    return trunks


def trunk_flops(rungs: Iterable[Rung]) -> float:
    """Return the flops of the trunks of these rungs: of each group up to where the last of its runs leaves it."""
    trunks: dict[str, float] = {}
    for rung in rungs:
        trunks[rung.group] = max(trunks.get(rung.group, 0.0), _flops(rung.config, rung.config.trunk_steps))
    return sum(trunks.values())


def ladder_flops(rungs: Sequence[Rung]) -> float:
    """Return the flops of these rungs, where those of one group share a trunk."""
    return trunk_flops(rungs) + sum(_flops(rung.config, rung.config.decay_steps) for rung in rungs)


def _flops(config: RunConfig, steps: int) -> float:
    return float(steps) * config.batch_tokens * config.shape.flops_per_token()


def _train_item(item: Trunk | Branch, emit: Emit) -> None:
    import torch

    torch.set_num_threads(1)
    if not item.is_done():
        with hold(item.folder) as lease:
            # Who held the folder before may have finished the run.
            if not item.is_done():
                if isinstance(item, Trunk):
                    _train_trunk(item, emit, lease)
                else:
                    _train_branch(item, emit, lease)
                return
    emit(item.course)


def _train_trunk(trunk: Trunk, emit: Emit, lease: Lease) -> None:
    from chidu.tokens import TokenFile
    from chidu.training.loop import train
    from chidu.training.underway import forget

    count = StepCount(emit, trunk.group, trunk.config)
    train(
        trunk.config,
        TokenFile.open(trunk.text.train),
        trunk.folder,
        stop=trunk.stop,
        marks=trunk.marks,
        progress=count,
        tell=count.warn,
        may_write=lease.check,
    )
    count.flush()
    lease.check()
    write_json(trunk.finished, {"steps": trunk.stop})
    forget(trunk.folder)


def _train_branch(branch: Branch, emit: Emit, lease: Lease) -> None:
    from chidu.tokens import TokenFile
    from chidu.training.checkpoint import checkpoint_path
    from chidu.training.loop import train
    from chidu.training.underway import forget

    config = branch.rung.config
    count = StepCount(emit, branch.rung.name, config, config.trunk_steps)
    mark = checkpoint_path(branch.trunk / "marks.scratch", config.trunk_steps)
    tokens, held_out = TokenFile.open(branch.text.train), TokenFile.open(branch.text.held_out)
    trainer = train(config, tokens, branch.folder, start=mark, progress=count, tell=count.warn, may_write=lease.check)
    count.flush()
    run = finished_run(branch.rung, trainer, trainer.model, tokens, held_out, branch.text, first=config.trunk_steps)
    lease.check()
    if branch.keeps_weights:
        trainer.save_weights(branch.folder / WEIGHTS)
    write_json(branch.finished, run.as_dict())
    forget(branch.folder)


def finished_run(
    rung: Rung,
    trainer: Underway,
    model: Transformer,
    tokens: TokenFile,
    held_out: TokenFile,
    text: Text,
    first: int,
) -> Run:
    """Measure a trainer's model on the held-out tokens; the steps from `first` on are its own."""
    from chidu.training.held_out import SEQUENCES_AT_ONCE, held_out_loss

    config = rung.config
    length = config.shape.context_length
    sequences = held_out.held_out_batches(length, text.held_out_tokens, SEQUENCES_AT_ONCE)
    measured = held_out_loss(model, sequences, held_out.held_out_documents(length, text.held_out_tokens))
    return Run(
        name=rung.name,
        group=rung.group,
        config=config,
        loss=measured.loss,
        loss_standard_error=measured.standard_error,
        loss_document_standard_error=measured.document_standard_error,
        loss_by_position=measured.by_position,
        bytes_per_token=held_out.bytes_per_token,
        unique_tokens=tokens.tokens,
        seconds=trainer.seconds,
        flops_spent=float(config.steps - first + trainer.course.steps_lost(first))
        * config.batch_tokens
        * config.shape.flops_per_token(),
        curve=tuple(trainer.curve),
        gradient_norms=tuple(trainer.curve.norms),
        passed_over=tuple(trainer.steadiness.passed_over),
        rollbacks=trainer.course.rollbacks,
    )


class StepCount:
    """Tells the steps of a run since it last told, with their mean loss: every 20 steps, or 5 seconds of slow ones."""

    EVERY = 20
    SECONDS = 5.0

    def __init__(self, emit: Emit, run: str, config: RunConfig, start: int = 0) -> None:
        self.emit = emit
        self.run = run
        self.config = config
        self.told = start
        self.step = start
        self._losses, self._counted = 0.0, 0
        self._clock: float | None = None

    def warn(self, step: int, line: str) -> None:
        """Tell something that people should know."""
        self.emit(LiveWarning(self.run, step, f"{self.run}: {line}"))

    def __call__(self, step: int, loss: float) -> None:
        if step <= self.told:
            # The run was taken back.
            self.told, self._losses, self._counted = step - 1, 0.0, 0
        if self._clock is None:
            self._clock = time.monotonic()
            if step - 1 > self.told:
                # An earlier process came so far.
                self.emit(Steps(self.run, self.told, step - 1))
                self.told = step - 1
        self.step = step
        if math.isfinite(loss):
            self._losses += loss
            self._counted += 1
        if step - self.told >= self.EVERY or time.monotonic() - self._clock > self.SECONDS:
            self.flush()

    def flush(self) -> None:
        """Tell the rest."""
        from chidu.training.optimiser import rate_factor

        if self._clock is None or self.step == self.told or not self._counted:
            return
        now = time.monotonic()
        mean, rate = self._losses / self._counted, rate_factor(self.config, self.step - 1)
        self.emit(Steps(self.run, self.told, self.step, mean, rate, now - self._clock))
        self.told, self._losses, self._counted, self._clock = self.step, 0.0, 0, now
