"""What a device draws while it trains: read where the machine tells, else an estimate that says so.

RAPL (Linux, /sys/class/powercap) counts the microjoules of each processor package, NVML the millijoules of each NVIDIA
GPU. Both are of the whole machine, so other programs at work are counted too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chidu.errors import SettingError
from chidu.parallel import Emit, Place, cores
from chidu.runs.config import RunConfig

__all__ = ["Counter", "Power", "find_counter", "measured_power", "metered"]

POWERCAP = Path("/sys/class/powercap")
METERED_SECONDS = 5.0
WATTS_A_CORE = 10.0
"""Of a server's processor under load, its memory and its share of the machine included: between 5 and 20."""


@dataclass(frozen=True)
class Power:
    """Watts of one device at work, and where the number is from."""

    watts: float
    source: str
    is_estimate: bool

    def __post_init__(self) -> None:
        if not 0 < self.watts < 1e6:
            raise SettingError(f"watts is {self.watts:g}; it must be above 0, for one device at work")

    @classmethod
    def estimated(cls) -> Power:
        """Return what a core draws where nobody measured it."""
        return cls(WATTS_A_CORE, f"{WATTS_A_CORE:g} watts a core were assumed; --watts says better", True)

    @classmethod
    def given(cls, watts: float) -> Power:
        """Return what the caller knows."""
        return cls(watts, f"{watts:g} watts a device were given", True)


@dataclass(frozen=True)
class Counter:
    """Something that counts energy."""

    name: str
    joules: Callable[[], float]
    """Joules since some moment. Where a counter comes round to 0 that is made good, once between two readings."""
    devices: int
    """GPUs; 0 where it counts processors, whose cores share it."""


def find_counter(powercap: Path = POWERCAP) -> Counter | None:
    """Return a counter that this process may read: the GPUs', else the processors'; None where there is none."""
    return _nvml() or _rapl(powercap)


def measured_power(config: RunConfig, place: Place) -> Power:
    """Train this config on every core for a few seconds, and read what that draws; an estimate where nothing tells."""
    if find_counter() is None:
        return Power.estimated()
    found = place.map(_draw, [config] * place.cores)
    return next((each for each in found if each is not None), Power.estimated())


def metered(counter: Counter, work: Callable[[], object], cores: int) -> Power | None:
    """Return what a device draws while `work` and its like keep all of them busy; None where the counter stands still.

    `cores` share the processors' draw.
    """
    before, clock = counter.joules(), time.monotonic()
    work()
    spent, seconds = counter.joules() - before, time.monotonic() - clock
    watts = spent / max(seconds, 1e-9) / (counter.devices or cores)
    return Power(watts, f"measured by {counter.name}", False) if 0 < watts < 1e6 else None


def _draw(config: RunConfig, _: Emit) -> Power | None:
    import torch

    from chidu.training.loop import Trainer
    from chidu.training.probe import RandomTokens

    torch.set_num_threads(1)
    trainer, tokens = Trainer(config), RandomTokens(config.shape.vocabulary)
    trainer.advance(tokens)

    def work() -> None:
        end = time.monotonic() + METERED_SECONDS
        while time.monotonic() < end:
            trainer.advance(tokens)

    counter = find_counter()
    return None if counter is None else metered(counter, work, cores())


def _rapl(powercap: Path) -> Counter | None:
    packages = [path for path in sorted(powercap.glob("intel-rapl:*")) if path.name.count(":") == 1]
    try:
        spans = [_joules(path / "max_energy_range_uj") for path in packages]
        last = [_joules(path / "energy_uj") for path in packages]
    except (OSError, ValueError):
        # Since 2020 kernels let only root read it.
        return None
    rounds = [0.0] * len(packages)

    def joules() -> float:
        for place, path in enumerate(packages):
            now = _joules(path / "energy_uj")
            if now < last[place]:
                rounds[place] += spans[place]
            last[place] = now
        return sum(last) + sum(rounds)

    return Counter("RAPL", joules, 0) if packages else None


def _joules(path: Path) -> float:
    return int(path.read_text(encoding="ascii")) / 1e6


def _nvml() -> Counter | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]

        def joules() -> float:
            return sum(float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in handles) / 1e3

        joules()
    except pynvml.NVMLError:
        return None
    return Counter("NVML", joules, len(handles)) if handles else None
