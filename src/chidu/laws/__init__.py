"""Laws: fit a law of the loss to a table of runs, forecast dearer runs with intervals that hold, plan a budget.

law.py          the catalogue of laws
rows.py         the columns a law reads, checked
objective.py    Σ Huber of log residuals with exact derivatives, for many fits at once
newton.py       damped Newton in a box, batched
solve.py        starts, the best fit, its status; refits of resamples
trials.py       leave the future out: errors on runs dearer than a cut
choose.py       which law forecasts best
calibration.py  from refits and trials to intervals that hold
doubts.py       warnings, and rows that can't fix a law
seen.py         what the fitted runs spanned
fit.py          fit() and Fit
forecast.py     forecasts, and whether to trust them
plan.py         the best use of a budget
backtest.py     the whole procedure, judged
show.py         results as text
saving.py       a fit as JSON and back
"""

from __future__ import annotations

from chidu.laws.backtest import Backtest, backtest
from chidu.laws.fit import Fit, fit
from chidu.laws.law import LAWS, Law, find_law
from chidu.laws.plan import Plan
from chidu.laws.solve import Status

__all__ = ["LAWS", "Backtest", "Fit", "Law", "Plan", "Status", "backtest", "find_law", "fit"]
