"""Choosing runs that sharpen a forecast: greedy V-optimal design over several plausible laws at once.

Of each plausible vector (the best one, some refits, rival laws) the log loss is linearised. The variance of the
forecast at the targets is then known for any set of runs, whatever they will measure (Chaloner & Verdinelli, 1995), and
so is what one more run takes off it. A run's weight falls with its distance from the targets, by the same drift that
the interval of a forecast has: cheap runs say less about dear ones than their number would have it. Where rival laws
disagree at the targets, a run that tells them apart counts by how much (compare Li et al., 2604.22753, whose criterion
adds up the same two parts).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chidu.laws.objective import Floats
from chidu.laws.solve import Solution

__all__ = ["Choice", "Question", "View", "choose_runs", "prior_scale", "slopes", "spread_out", "view"]

THRIFTS = (1.0, 0.7, 0.4, 0.0)
"""Powers of the cost that a gain is divided by. No single one is right for every table, so each makes a design."""
LEAST_NOISE = 1e-4
"""In log loss: what runs differ by though nothing else is known."""
PRIOR_POWERS = (0.5, 1.5, 0.3, 1.5, 0.3, 0.7)
"""How far the parameters of a sum of powers may be expected to lie off, in the vectors of `chidu.laws.powers`."""
PRIOR_SHARE = 0.25
"""The same of a formula's, as a part of the range its starts are drawn from."""
MOST_CHOSEN = 1000
LEAST_GAIN = 1e-3
"""A run that takes off less than this part of the risk is not worth its trouble."""


@dataclass(frozen=True)
class View:
    """One plausible law, linearised: slopes of the log loss by P parameters, in units of what they may be off by."""

    weight: float
    rival: int
    """Views of one law share a number."""
    seen: Floats
    """At the runs there are (rows, P)."""
    offered: Floats
    """At the candidates (M, P)."""
    aimed: Floats
    """At the targets (T, P)."""
    forecast_offered: Floats
    """Log loss (M,)."""
    forecast_aimed: Floats
    """Log loss (T,)."""


@dataclass(frozen=True)
class Question:
    """What is known and wanted, but for the laws: costs and noise."""

    price: Floats
    """Of the candidates (M,), in the unit of the budget."""
    budget: float
    noise: float
    """Standard deviation of log losses."""
    drift: float
    """Model error gained per e-fold of cost, in log loss."""
    seen_cost: Floats
    """What the runs cost in the law's unit (rows,)."""
    seen_weight: Floats
    offered_cost: Floats
    """The same of the candidates (M,)."""
    aimed_cost: Floats
    """And of the targets (T,)."""

    def variance(self, cost: Floats) -> Floats:
        """Variance of what a run of this cost says about the targets."""
        away = np.maximum(np.log(np.exp(np.mean(np.log(self.aimed_cost))) / cost), 0.0)
        return np.asarray(max(self.noise, LEAST_NOISE) ** 2 + (self.drift * away) ** 2)

    def gap(self, dearest: Floats | float) -> Floats:
        """Mean square of the log distance from the dearest run to the targets, for one or more costs."""
        away = np.maximum(np.log(self.aimed_cost / np.asarray(dearest)[..., None]), 0.0)
        return np.asarray((away**2).mean(axis=-1))


@dataclass(frozen=True)
class Choice:
    """A design: candidates in the order they were chosen, and the state before (0) and after each."""

    chosen: tuple[int, ...]
    spread: Floats
    """Variance at each target (chosen + 1, T) from the parameters, averaged over the views."""
    apart: Floats
    """Part of the rival laws' disagreement that is expected to be left (chosen + 1,)."""
    dearest: Floats
    """Cost of the dearest run in the law's unit (chosen + 1,)."""
    risk: float
    """Mean variance at the targets when all are run."""


def slopes(solution: Solution, theta: Floats, inputs: Floats) -> Floats:
    """Derivatives (points, P) of the log loss by theta (P,) at inputs, by central differences; 0 where none."""
    steps = 1e-5 * (1 + np.abs(theta))
    ends = [solution.log_loss(inputs, theta + sign * np.diag(steps)) for sign in (1, -1)]
    return np.nan_to_num(((ends[0] - ends[1]) / (2 * steps[:, None])).T, nan=0.0, posinf=0.0, neginf=0.0)


def prior_scale(solution: Solution) -> Floats:
    """How far each parameter may be expected to lie off (P,), before any run."""
    where = solution.frame.coordinates
    if where is None:
        return np.array(PRIOR_POWERS[: len(solution.theta)])
    return np.asarray(np.maximum(PRIOR_SHARE * (where.draw_upper - where.draw_lower), 1e-3))


def view(
    solution: Solution, theta: Floats, places: tuple[Floats, Floats, Floats], *, weight: float, rival: int
) -> View:
    """Linearise a law at a vector (P,), for inputs of the runs, the candidates and the targets."""
    scale = prior_scale(solution)
    seen, offered, aimed = (slopes(solution, theta, inputs) * scale for inputs in places)
    logs = [np.nan_to_num(solution.log_loss(inputs, theta[None])[0]) for inputs in places[1:]]
    return View(weight, rival, seen, offered, aimed, logs[0], logs[1])


def choose_runs(question: Question, views: Sequence[View]) -> Choice:
    """Return the design of least risk among the greedy ones of several thrifts. The budget is kept."""
    designs = [_greedy(question, views, thrift) for thrift in THRIFTS]
    return min(designs, key=lambda each: each.risk)


class _State:
    """The covariances of all views while a design grows."""

    def __init__(self, question: Question, views: Sequence[View]) -> None:
        self.question, self.views = question, views
        self.noise = question.variance(question.offered_cost)
        load = question.seen_weight / question.variance(question.seen_cost)
        self.covariances = [
            np.linalg.inv(each.seen.T @ (each.seen * load[:, None]) + np.eye(each.seen.shape[1])) for each in views
        ]
        weights = np.array([each.weight for each in views])
        self.weights = weights / weights.sum()
        self.pairs = list(_pairs(views, self.weights))
        self.left = np.ones(len(self.pairs))
        self.dearest = float(question.seen_cost.max())

    def spread(self) -> Floats:
        """Variance at each target (T,)."""
        found = np.zeros(len(self.question.aimed_cost))
        for part, each, covariance in zip(self.weights, self.views, self.covariances, strict=True):
            found += part * np.einsum("tp,pq,tq->t", each.aimed, covariance, each.aimed)
        return found

    def risk(self) -> float:
        """Mean variance at the targets."""
        apart = sum(left * gap for left, (_, _, gap) in zip(self.left, self.pairs, strict=True))
        gap = float(self.question.gap(self.dearest))
        return float(self.spread().mean()) + float(apart) + self.question.drift**2 * gap

    def gains(self) -> Floats:
        """What each candidate (M,) takes off the risk."""
        question = self.question
        total = np.zeros(len(question.price))
        variances = []
        for part, each, covariance in zip(self.weights, self.views, self.covariances, strict=True):
            known = each.offered @ covariance
            variance = self.noise + (known * each.offered).sum(axis=1)
            total += part * ((known @ each.aimed.T) ** 2).mean(axis=1) / variance
            variances.append(variance)
        for left, (k, m, gap) in zip(self.left, self.pairs, strict=True):
            apart = self.views[k].forecast_offered - self.views[m].forecast_offered
            total += left * gap * (1 - _alike(apart, variances[k], variances[m]))
        if question.drift:
            dearer = np.maximum(question.offered_cost, self.dearest)
            total += question.drift**2 * (question.gap(self.dearest) - question.gap(dearer))
        return total

    def add(self, j: int) -> None:
        """Run candidate j."""
        variances = []
        for index, each in enumerate(self.views):
            known = self.covariances[index] @ each.offered[j]
            variance = float(self.noise[j] + known @ each.offered[j])
            self.covariances[index] = self.covariances[index] - np.outer(known, known) / variance
            variances.append(variance)
        for index, (k, m, _) in enumerate(self.pairs):
            apart = self.views[k].forecast_offered[j] - self.views[m].forecast_offered[j]
            self.left[index] *= float(_alike(apart, variances[k], variances[m]))
        self.dearest = max(self.dearest, float(self.question.offered_cost[j]))


def _alike(apart: Floats, first: Floats | float, second: Floats | float) -> Floats:
    """Bhattacharyya coefficient of what two laws expect of a run: 1 where it can't tell them apart."""
    mean = (first + second) / 2
    return np.asarray(np.exp(-(apart**2) / (8 * mean)) * np.sqrt(np.sqrt(first * second) / mean))


def _pairs(views: Sequence[View], weights: Floats) -> Iterator[tuple[int, int, float]]:
    """Pairs of views of different laws, with what their disagreement at the targets adds to the risk."""
    for k, one in enumerate(views):
        for m in range(k):
            if views[m].rival != one.rival:
                gap = float(((one.forecast_aimed - views[m].forecast_aimed) ** 2).mean())
                yield k, m, float(weights[k] * weights[m]) * gap


def _greedy(question: Question, views: Sequence[View], thrift: float) -> Choice:
    """Choose by gain over cost to the power of thrift, until nothing affordable is left or helps."""
    state = _State(question, views)
    whole = sum(gap for *_, gap in state.pairs)
    chosen: list[int] = []
    spreads, aparts, dearests = [state.spread()], [1.0], [state.dearest]
    left = question.budget
    open_ = np.ones(len(question.price), dtype=bool)
    while len(chosen) < MOST_CHOSEN:
        open_ &= question.price <= left * (1 + 1e-12)
        if not open_.any():
            break
        gains = state.gains()
        useful = open_ & (gains > LEAST_GAIN * state.risk())
        if not useful.any():
            break
        j = int(np.argmax(np.where(useful, gains / question.price**thrift, -np.inf)))
        state.add(j)
        chosen.append(j)
        open_[j] = False
        left -= float(question.price[j])
        spreads.append(state.spread())
        rest = sum(part * gap for part, (_, _, gap) in zip(state.left, state.pairs, strict=True))
        aparts.append(float(rest / whole) if whole > 0 else 1.0)
        dearests.append(state.dearest)
    return Choice(tuple(chosen), np.array(spreads), np.array(aparts), np.array(dearests), state.risk())


def spread_out(inputs: Floats, start: NDArray[np.int_], offered: NDArray[np.int_], count: int) -> list[int]:
    """Choose columns of inputs (inputs, points) far from each other: each next one is farthest from all before.

    ``start`` are columns there are already, ``offered`` those to choose from, in the order that breaks ties.
    """
    place = _unit(inputs)
    chosen: list[int] = []
    near = np.full(len(offered), np.inf)
    for j in start:
        near = np.minimum(near, np.abs(place[:, offered] - place[:, [j]]).max(axis=0))
    while len(chosen) < min(count, len(offered)):
        best = 0 if not len(start) and not chosen else int(np.argmax(np.round(near, 9)))
        if near[best] <= 0:
            break
        chosen.append(int(offered[best]))
        near = np.minimum(near, np.abs(place[:, offered] - place[:, [offered[best]]]).max(axis=0))
    return chosen


def _unit(inputs: Floats) -> Floats:
    """Set each input from 0 to 1, by its log where it is above 0."""
    logs = np.where((inputs > 0).all(axis=1, keepdims=True), np.log(np.where(inputs > 0, inputs, 1.0)), inputs)
    low, high = logs.min(axis=1, keepdims=True), logs.max(axis=1, keepdims=True)
    return np.asarray((logs - low) / np.where(high > low, high - low, 1.0))
