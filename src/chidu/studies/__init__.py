"""Studies: claims about scale, each with a statistic and a threshold stated before, a verdict, and an interval.

study.py           what is claimed, how it is measured, from where on it counts
verdict.py         holds, fails or undecided, and what more it would take
spread.py          the law of a variance over seeds
self_averaging.py  does the luck of a seed matter less at scale?
beneath.py         what lies beneath that luck: the spread of single tokens' losses, and of the gradient
structure.py       does the shape matter less at scale?
shapes.py          the runs of that: a dozen shapes of equal params at each size
details.py         what each detail of a shape does by itself, and whether it keeps mattering
limits.py          do small tasks come with scale, and smoothly?
reach.py           each task's law in params and tokens, and whether it is above chance anywhere
context.py         do the log-linear model's sums sharpen with more context, or average out?
bags.py            the runs of that: log-linear models of every window, trained and measured
beside.py          and Transformers, read with their context cut short, and asked small tasks after other text
crossed.py         small tasks crossed with context: does what stands before a prompt hurt?
average.py         entropies, and how far distributions lie from their average
stability.py       does the output move less under small changes at scale? (stability_show.py: in words)
moves.py           the changes of prompt, seed and rate, and how far outputs move
slopes.py          how a score goes with size, where models and items are drawn from many
cost.py            what did it cost, and where does the next hour buy least? (a report, no verdict)
published.py       what others published, beside what a table's runs give
energy.py          what a device draws: read where the machine tells, else an estimate
seeds.py           which sizes and how many seeds fit the minutes, and the runs for that
"""

from __future__ import annotations

from chidu.errors import SettingError, nearest
from chidu.studies.context import CONTEXT
from chidu.studies.cost import COST
from chidu.studies.limits import LIMITS
from chidu.studies.self_averaging import SELF_AVERAGING
from chidu.studies.stability import STABILITY
from chidu.studies.structure import STRUCTURE
from chidu.studies.study import Study
from chidu.studies.verdict import Decision, Verdict

__all__ = ["STUDIES", "Decision", "Study", "Verdict", "study_of"]

STUDIES = {study.name: study for study in (SELF_AVERAGING, STRUCTURE, LIMITS, STABILITY, CONTEXT, COST)}
"""Every study, by name."""


def study_of(name: str) -> Study:
    """Return a study by its name. Raises SettingError naming the nearest."""
    if name not in STUDIES:
        raise SettingError(f"study: no study {name!r}{nearest(name, STUDIES)}; there are {', '.join(STUDIES)}, and all")
    return STUDIES[name]
