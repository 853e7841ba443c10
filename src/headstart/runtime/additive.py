"""How much each part of an input adds to an answer: a linear account of many trials. numpy only.

An input is cut into n parts. A trial keeps some and takes the others away, and the model says what the
value of the answer is then. Few parts: all subsets are tried, and the weights are exact Shapley values
(Strumbelj and Kononenko 2014). More: trials are drawn, their sizes uniformly as in the Shapley value, each
with its complement, and a linear model that gives the value from what was kept is the account (as in LIME,
Ribeiro et al. 2016, and Kernel SHAP, Lundberg and Lee 2017; drawn masks as in RISE, Petsiuk et al. 2018).
Neighbouring parts may be alike beforehand: the prior of the weights is a Gaussian process over their
places, and how alike, and how much of the trials is noise, is what predicts left-out trials best.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial
from typing import TypeAlias

import numpy as np

Ask: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""(p, n) bool, which parts each trial keeps, to (p,) float64, the value of the answer then."""

_LENGTHS = (0.0, 0.7, 1.5)  # how far parts are alike, in parts; 0: each for itself
_NOISE = np.logspace(-4, 2, 13)  # variance of the noise, in mean variances of a trial's signal
_COARSE = 0.6  # of the trials take whole groups of parts away
_REGION = 3  # the finer trials are about one part in three, the heaviest


@dataclass(frozen=True)
class Parts:
    """How an input is cut.

    Attributes:
        places: (n, 1) or (n, 2) where each part is, neighbours 1 apart.
        groups: ways to put the parts into coarser groups, each (n,) group numbers from 0; empty where
            there are few enough parts to take them one by one.
    """

    places: np.ndarray
    groups: tuple[np.ndarray, ...] = ()

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class Account:
    """What each part adds.

    Attributes:
        weights: (n,) float64.
        fidelity: the share of the values' variance that the weights account for in trials left out of
            their computation; 1 for exact Shapley values.
    """

    weights: np.ndarray
    fidelity: float


def account(ask: Ask, parts: Parts, budget: int, rng: np.random.Generator) -> Account:
    """What each part adds to the value.

    Args:
        ask: the model.
        parts: n parts, at least one.
        budget: at most so many trials.
        rng: draws them.
    """
    n = len(parts)
    if n == 1 or 2**n <= budget:
        return Account(shapley(ask(subsets(n))), 1.0)
    if not parts.groups:
        alone = ~np.eye(n, dtype=bool) if n <= budget // 3 else np.ones((0, n), bool)
        whole = np.ones((1, n), bool)
        drawn = draw([np.arange(n)], budget - 1 - len(alone), rng)
        kept = np.vstack([whole, alone, drawn])
        return solve(kept, ask(kept), parts.places)
    coarse = int(_COARSE * budget)
    kept = np.vstack([np.ones((1, n), bool), draw(parts.groups, coarse - 1, rng)])
    values = ask(kept)
    first = solve(kept, values, parts.places)
    heavy = np.zeros(n, bool)
    heavy[np.argsort(-np.abs(first.weights), kind="stable")[: max(2, n // _REGION)]] = True
    finer = draw([np.arange(n)], budget - coarse, rng, heavy)
    kept, values = np.vstack([kept, finer]), np.concatenate([values, ask(finer)])
    return solve(kept, values, parts.places)


def subsets(n: int) -> np.ndarray:
    """All (2^n, n) ways to keep parts; bit i of the row's number says whether part i is kept."""
    return (np.arange(2**n)[:, None] >> np.arange(n)) % 2 == 1


def shapley(values: np.ndarray) -> np.ndarray:
    """Exact Shapley values (n,) of the (2^n,) values of `subsets`.

    Shapley 1953: the mean of what a part adds, over all orders in which the parts could come.
    """
    n = len(values).bit_length() - 1
    kept = subsets(n)
    sizes = kept.sum(axis=1)
    share = np.array([factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)])
    weights = np.zeros(n)
    for i in range(n):
        without = np.flatnonzero(~kept[:, i])
        weights[i] = share[sizes[without]] @ (values[without + 2**i] - values[without])
    return weights


def draw(
    groups: Sequence[np.ndarray],
    count: int,
    rng: np.random.Generator,
    region: np.ndarray | None = None,
) -> np.ndarray:
    """Trials (count, n) bool in complementary pairs: how many groups stay is uniform, which is random.

    Args:
        groups: one of these ways of grouping is drawn for each pair.
        count: how many.
        rng: draws them.
        region: (n,) only these parts are taken away; by default any.
    """
    rows: list[np.ndarray] = []
    while len(rows) < count:
        chosen = groups[int(rng.integers(len(groups)))]
        inside = np.unique(chosen if region is None else chosen[region])
        stay = rng.permutation(inside)[: int(rng.integers(1, max(2, len(inside))))]
        row = np.isin(chosen, stay)
        outside = np.zeros(len(row), bool) if region is None else ~region
        rows += [row | outside, ~row | outside]
    return np.array(rows[:count], dtype=bool).reshape(-1, len(groups[0]))


def solve(kept: np.ndarray, values: np.ndarray, places: np.ndarray) -> Account:
    """The weights whose sums over what was kept give the values best.

    Ridge regression on centred trials, the prior covariance of the weights being K = L L'. The residual of
    a left-out trial is that of the fit, divided by one less its leverage (Allen 1974), so that K and the
    noise are chosen at the price of one decomposition for each K.

    Args:
        kept: (p, n) trials.
        values: (p,) finite.
        places: (n, 1) or (n, 2).
    """
    trials = kept - kept.mean(axis=0)
    y = values - values.mean()
    spread = float(y @ y)
    if spread < 1e-18 * max(1.0, float(values @ values)):
        return Account(np.zeros(kept.shape[1]), 1.0)
    best = (np.inf, np.zeros(kept.shape[1]))
    for root in _roots(places):
        axes, stretch, back = np.linalg.svd(trials @ root, full_matrices=False)
        size, along = stretch**2, axes.T @ y
        for noise in _NOISE * max(float(size.mean()), 1e-12):
            shrink = size / (size + noise)
            leverage = (axes**2) @ shrink + 1 / len(y)
            left_out = (y - axes @ (shrink * along)) / np.maximum(1 - leverage, 1e-6)
            error = float(left_out @ left_out)
            if error < best[0]:
                best = (error, root @ (back.T @ (stretch / (size + noise) * along)))
    baseline = spread * (len(y) / (len(y) - 1)) ** 2  # the mean of the others instead
    return Account(best[1], max(0.0, 1 - best[0] / baseline))


def _roots(places: np.ndarray) -> list[np.ndarray]:
    """Roots (n, n) of prior covariances of the weights: independent, or alike where they are near."""
    far = ((places[:, None, :] - places[None, :, :]) ** 2).sum(axis=2)
    same = np.eye(len(places))
    near = [0.9 * np.exp(-far / (2 * length**2)) + 0.1 * same for length in _LENGTHS if length]
    return [same, *(np.linalg.cholesky(one) for one in near)]
