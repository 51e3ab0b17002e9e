"""Laws: fit a law of the loss to a table of runs, forecast dearer runs with intervals that hold, plan a budget.

law.py          what a law is
catalogue.py    the laws by name, and formulas as laws
formula.py      formula strings: parsed safely, differentiated exactly
rows.py         the columns a law reads, checked
settings.py     a caller's settings, checked
objective.py    what a fit makes least, and what a solver asks of a law
powers.py       the power, additive and coupled laws, many fits at once
general.py      any formula, many fits at once
newton.py       damped Newton in a box, batched
solve.py        starts, the best fit, its status; refits of resamples
trials.py       leave the future out: errors on runs dearer than a cut
choose.py       which law forecasts best
calibration.py  from refits and trials to intervals that hold
doubts.py       warnings, and rows that can't fix a law
seen.py         what the fitted runs spanned
fit.py          fit() and Fit
forecast.py     forecasts, and whether to trust them
plan.py         the best use of a budget, within limits
spending.py     budgets in flops, money and hours
limits.py       what bounds params and tokens
valley.py       the loss along a budget, and its least
plan_show.py    a plan as text
classical.py    envelope and isoFLOP, beside the law
compare.py      two recipes: which is better at scale
pairs.py        rows of two tables that share their noise
frontier.py     the least loss of each budget, and where two meet
compare_show.py a comparison as text
suggest.py      which runs to make next
sharpen.py      the design behind it: what a run takes off a forecast's variance
ladder_design.py  the cheapest ladder for a wanted width, by simulation
backtest.py     the whole procedure, judged
optimum.py      the best point of a sweep
finish.py       where a run will end, from its curve so far
show.py         results as text
profile.py      the objective around each parameter's estimate
saving.py       a fit as JSON and back
"""

from __future__ import annotations

from chidu.laws.backtest import Backtest, backtest
from chidu.laws.catalogue import LAWS, find_law
from chidu.laws.compare import Comparison, compare
from chidu.laws.fit import Fit, fit
from chidu.laws.law import Law
from chidu.laws.plan import Plan
from chidu.laws.solve import Status
from chidu.laws.suggest import Suggestion, suggest

__all__ = [
    "LAWS",
    "Backtest",
    "Comparison",
    "Fit",
    "Law",
    "Plan",
    "Status",
    "Suggestion",
    "backtest",
    "compare",
    "find_law",
    "fit",
    "suggest",
]
