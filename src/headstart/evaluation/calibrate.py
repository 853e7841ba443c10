"""From out-of-fold logits to honest probabilities and the thresholds on them.

Temperature scaling (Guo et al. 2017, section 4.2): one number that logits are divided by, the one with
the least log loss on rows that the model had not seen.

Vector scaling (Guo et al. 2017, section 4.2) gives each class a scale and a shift of its own. That mends
what one number cannot, such as a class that is taken too often; with few rows it mends noise. So each is
held near the temperature's solution by a Gaussian prior, and it is taken only where it lowers the
cross-validated log loss by more than noise, and the labels it then gives are as good: a head whose
classes were weighted up on purpose would otherwise be weighted down again.

The rows are the out-of-fold rows of a cross-validation, and the final model is fitted on all of them
(cross-conformal prediction; Vovk 2015): nothing is lost to a calibration set, but the guarantee of the
prediction sets (`headstart.evaluation.sets`) is then approximate. It errs to the safe side as far as the
final model, with more rows, is better than those of the folds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from headstart import metrics
from headstart.compute import generator
from headstart.errors import ConfigError
from headstart.evaluation import abstain
from headstart.evaluation.sets import Kind, thresholds
from headstart.types import Decision

ENOUGH = 10
"""With fewer usable rows the temperature stays 1."""

ENOUGH_OF_CLASS = 20
"""With fewer usable rows of any class there is one temperature, and no scale and shift for each class."""

STRENGTHS = (100.0, 10.0, 1.0)
"""Of the priors that hold scales near 1 and shifts near 0: one over their variances."""

_Z = 2.128045  # one-sided 5 %, shared among the three strengths
_WORSE = 0.002  # by so much the mean of accuracy and macro-F1 may fall
_PARTS = 5  # where the rows are of one fold
_STEPS = 50


class Scaling(NamedTuple):
    """What becomes of logits z: (z * scale + shift) / temperature.

    Attributes:
        temperature: of all classes.
        scale: (k,).
        shift: (k,).
    """

    temperature: float
    scale: np.ndarray
    shift: np.ndarray


def calibrate(
    held_out: np.ndarray,
    codes: np.ndarray,
    *,
    coverage: float = 0.9,
    folds: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    sets: Kind = "lac",
    at_precision: float | None = None,
    at_cost: float | None = None,
) -> Decision:
    """How logits become probabilities, sets and answers, from out-of-fold logits.

    Args:
        held_out: (n, k) logits; rows with NaN were never held out and are not used.
        codes: (n,) true class numbers; rows with -1 are not used.
        coverage: share of prediction sets meant to hold the truth, within 0..1, ends excluded.
        folds: (n,) fold numbers. The probabilities behind the thresholds are scaled by what the other
            folds' rows give, so that no row has a say in its own probability; without folds, or with one
            fold only, parts of the rows are drawn instead.
        rows: a candidate's `held_out_rows`: which of the codes and folds the logits belong to, in order.
        sets: how prediction sets are made: "lac", "aps" or "class" (see `headstart.evaluation.sets`).
        at_precision: answers are withheld below the probability above which this share of answers is
            right, with confidence (see `headstart.evaluation.abstain`).
        at_cost: cost of a mistake in units of that of an answer withheld; answers that would cost more
            than withholding them are withheld.

    Returns:
        The decision. Without `at_precision` and `at_cost` it withholds no answer for its probability;
        what it refuses as unlike the training data is `headstart.evaluation.familiarity`'s matter.

    Raises:
        ConfigError: both `at_precision` and `at_cost` are given, or either is out of range.
        DataError: the rows do not show the precision at any threshold.
        ValueError: the shapes do not fit, the coverage is not between 0 and 1, or no such sets.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage has to lie between 0 and 1, not {coverage}")
    if at_precision is not None and at_cost is not None:
        raise ConfigError(
            "at_precision and at_cost both set the probability below which answers are withheld.",
            fix="give one of them",
        )
    logits, truth, parts = _usable(held_out, codes, folds, rows)
    strength, scaled = _choose(logits, truth, parts)
    found = _fit(logits, truth, strength)
    p = metrics.softmax(scaled)
    below = 0.0
    if at_precision is not None:
        right = p.argmax(axis=1) == truth
        below = abstain.for_precision(p.max(axis=1, initial=0.0), right, at_precision)
    elif at_cost is not None:
        below = abstain.for_cost(at_cost)
    plain = strength is None
    return Decision(
        temperature=found.temperature,
        scale=() if plain else tuple(map(float, found.scale)),
        shift=() if plain else tuple(map(float, found.shift)),
        abstain_below=below,
        at_precision=at_precision,
        **thresholds(p, truth, coverage, sets),
    )


def fit_temperature(logits: np.ndarray, codes: np.ndarray) -> float:
    """The temperature of n held-out rows of logits (n, k): the one with the least log loss.

    Fewer than `ENOUGH` rows give 1. Where every row is right, the least log loss is at "always
    certain", which n right rows do not show: then the mean probability of the truth is set to
    (n + 1) / (n + 2), Laplace's rule of succession, as Platt (1999) does with his targets.

    Args:
        logits: (n, k) finite.
        codes: (n,) true class numbers.
    """
    n = len(codes)
    if n < ENOUGH:
        return 1.0
    best, _ = metrics.temperature(logits, codes)
    if (logits.argmax(axis=1) != codes).any():
        return best
    low, high = math.log(best), math.log(metrics.TEMPERATURES[1])
    rows = np.arange(n)
    while (
        high - low > 1e-6
    ):  # the mean probability of the right label falls as the temperature rises
        middle = (low + high) / 2
        p = metrics.softmax(logits / math.exp(middle))[rows, codes]
        low, high = (middle, high) if p.mean() > (n + 1) / (n + 2) else (low, middle)
    return math.exp((low + high) / 2)


def fit_vector(
    logits: np.ndarray, codes: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of each class, (k,) each, with the least penalised log loss.

    Minimises sum_i -log softmax(z_i * scale + shift)[y_i] + strength / 2 * (|scale - 1|^2 + |shift|^2),
    which is strictly convex, by Newton's steps, halved where one would climb.

    Args:
        logits: (n, k) finite, divided by their temperature.
        codes: (n,) true class numbers.
        strength: above 0.
    """
    z = np.asarray(logits, dtype=np.float64)
    k = z.shape[1]
    at = np.concatenate([np.ones(k), np.zeros(k)])
    home = at.copy()
    value = _objective(z, codes, at, home, strength)
    for _ in range(_STEPS):
        step = np.linalg.solve(*_slope(z, codes, at, home, strength))
        size = 1.0
        while True:
            moved = at - size * step
            new = _objective(z, codes, moved, home, strength)
            if new <= value or size < 1e-6:
                break
            size /= 2
        gained, at, value = value - new, moved, min(new, value)
        if gained <= 1e-9 * abs(value) + 1e-12:
            break
    return at[:k], at[k:]


def _objective(
    z: np.ndarray, codes: np.ndarray, at: np.ndarray, home: np.ndarray, strength: float
) -> float:
    k = z.shape[1]
    moved = z * at[:k] + at[k:]
    top = moved.max(axis=1, keepdims=True)
    total = np.log(np.exp(moved - top).sum(axis=1)) + top[:, 0]
    lost = total - moved[np.arange(len(z)), codes]
    return float(lost.sum() + strength / 2 * ((at - home) ** 2).sum())


def _slope(
    z: np.ndarray, codes: np.ndarray, at: np.ndarray, home: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Hessian (2k, 2k) and gradient (2k,) of `_objective`."""
    k = z.shape[1]
    p = metrics.softmax(z * at[:k] + at[k:])
    both = np.hstack([p * z, p])  # (n, 2k)
    hessian = -(both.T @ both)
    first, second = np.arange(k), np.arange(k, 2 * k)
    crossed = both[:, :k].sum(axis=0)
    hessian[first, first] += (both[:, :k] * z).sum(axis=0)
    hessian[second, second] += p.sum(axis=0)
    hessian[first, second] += crossed
    hessian[second, first] += crossed
    hessian[np.arange(2 * k), np.arange(2 * k)] += strength
    p[np.arange(len(p)), codes] -= 1
    gradient = np.concatenate([(p * z).sum(axis=0), p.sum(axis=0)]) + strength * (at - home)
    return hessian, gradient


def _usable(
    held_out: np.ndarray, codes: np.ndarray, folds: np.ndarray | None, rows: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, codes and part of the rows that count."""
    logits, truth = np.asarray(held_out), np.asarray(codes)
    if rows is not None:
        truth, folds = truth[rows], None if folds is None else np.asarray(folds)[rows]
    if logits.ndim != 2 or logits.dtype.kind != "f":
        raise ValueError(f"held_out has to be floats (n, k), not {logits.shape} {logits.dtype}")
    if truth.shape != logits.shape[:1] or truth.dtype.kind not in "iu":
        raise ValueError(
            f"codes have to be integers ({len(logits)},), not {truth.shape} {truth.dtype}"
        )
    if folds is not None and np.shape(folds) != truth.shape:
        raise ValueError(f"folds have to be ({len(logits)},), not {np.shape(folds)}")
    usable = (truth >= 0) & ~np.isnan(logits).any(axis=1)
    n = int(usable.sum())
    parts = np.asarray(folds)[usable] if folds is not None else np.zeros(n, dtype=np.int64)
    if n and (parts == parts[0]).all():
        parts = generator(0, 3).permutation(np.arange(n) % _PARTS)
    return logits[usable], truth[usable], parts


def _choose(
    logits: np.ndarray, codes: np.ndarray, parts: np.ndarray
) -> tuple[float | None, np.ndarray]:
    """The prior's strength, None for a temperature alone; and the logits as others' rows scale them."""
    plain = _cross_fitted(logits, codes, parts, None)
    counts = np.bincount(codes, minlength=logits.shape[1])
    if counts.min() < ENOUGH_OF_CLASS or (logits.argmax(axis=1) == codes).all():
        return None, plain
    before = metrics.row_losses(metrics.softmax(plain), codes)
    good = _goodness(plain, codes)
    best: tuple[float, float | None, np.ndarray] = (0.0, None, plain)
    for strength in STRENGTHS:
        scaled = _cross_fitted(logits, codes, parts, strength)
        gains = before - metrics.row_losses(metrics.softmax(scaled), codes)
        gain, noise = float(gains.mean()), float(gains.std(ddof=1)) / math.sqrt(len(gains))
        as_good = _goodness(scaled, codes) >= good - _WORSE
        if as_good and gain > max(best[0], _Z * noise):
            best = (gain, strength, scaled)
    return best[1:]


def _goodness(logits: np.ndarray, codes: np.ndarray) -> float:
    """Mean of accuracy and macro-F1, by which the probe chooses its weights too."""
    counts = metrics.confusion(codes, logits.argmax(axis=1), logits.shape[1])
    return (float(metrics.accuracy(counts)) + float(metrics.macro_f1(counts))) / 2


def _cross_fitted(
    logits: np.ndarray, codes: np.ndarray, parts: np.ndarray, strength: float | None
) -> np.ndarray:
    """(n, k) logits of each part, scaled by what the other parts' rows give."""
    scaled = np.empty(logits.shape, dtype=np.float64)
    for part in np.unique(parts):
        inside = parts == part
        found = _fit(logits[~inside], codes[~inside], strength)
        scaled[inside] = (logits[inside] * found.scale + found.shift) / found.temperature
    return scaled


def _fit(logits: np.ndarray, codes: np.ndarray, strength: float | None) -> Scaling:
    """The temperature and, with a strength, scales and shifts around it."""
    temperature, k = fit_temperature(logits, codes), logits.shape[1]
    if strength is None:
        return Scaling(temperature, np.ones(k), np.zeros(k))
    scale, shift = fit_vector(logits / temperature, codes, strength)
    return Scaling(temperature, scale, shift * temperature)
