"""How the accuracy grows with the labels, and what more of them would bring.

The model is fitted again on growing, nested shares of the training rows and scored on folds that were
held out. The errors follow a power law with an offset, error = a + b n^-c (Hestness et al. 2017), which
is fitted to them and read off further right. Few points with noise do not tell c: every exponent of a
grid is weighed by how well it fits, and every resampling of the held-out rows is fitted anew, so the
interval holds what is not known about the curve as well as the noise of its points. It does not know how
lucky the labels of this draw were; so it is widened by what that took on open data sets. How far it can be
believed was measured: see benchmarks/learning.py and docs/explain/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from headstart.scores import LearningCurve, Metric
from headstart.solver_rows import Rows
from headstart.types import Candidate, Head

LEAST, MOST = 40, 50_000
"""Fewer rows say too little, and with more the curve would take longer than it is worth."""

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
_FOLDS = (
    3  # that are held out at most: with few rows each fit costs as much as the choice of a penalty
)
_DRAWS = 3  # of each share but the last, at least
_HELD_OUT = 3000  # rows that are held out, in as many folds as that takes
_FEWEST = 10  # rows that a share must have to be learned from
_POINTS = 3  # that an extrapolation needs
_RESAMPLES = 400
_EXPONENTS = np.arange(1, 11) / 10
_USUAL = (
    0.25  # exponents far above are believed only where the points ask for them: Hestness et al.
)
# measured 0.07 to 0.35, and theory says 0.5 to 1
_WIDER = 2.5  # the interval: what it took to hold measured gains on training rows of open data sets
_CURVE = "learned from growing shares of the training rows, scored on held-out folds, {draws} draws of each"
_GAINED = "; the gain extrapolates error = a + b n^-c"


class Fit(Protocol):
    """A method with its settings fixed, so that nothing needs choosing; see `headstart.types.Method`."""

    def __call__(
        self, features: Any, codes: np.ndarray, folds: np.ndarray, k: int, *, start: Head | None
    ) -> Candidate:
        """Fit rows (m, d) with class numbers (m,); all folds are -1: nothing is held out."""
        ...


@dataclass(frozen=True)
class _Fold:
    """One fold that was held out.

    Attributes:
        sizes: (s,) rows that were learned from.
        right: (m, s) for each held-out row the share of draws whose model was right.
    """

    sizes: np.ndarray
    right: np.ndarray


def learning_curve(
    features: np.ndarray,
    codes: np.ndarray,
    folds: np.ndarray,
    k: int,
    fit: Fit,
    rng: np.random.Generator,
    *,
    groups: np.ndarray | None = None,
    rows: Rows | None = None,
    candidate: Candidate | None = None,
) -> LearningCurve:
    """Accuracy with an eighth, a quarter, half and all of the labels, and the gain of more.

    Args:
        features: (n, d) of the training rows.
        codes: (n,) class numbers in 0..k-1.
        folds: (n,) fold of each row, -1 for rows that are always learned from.
        k: number of classes.
        fit: the method, with what was chosen on all rows (the probe's penalty) given. A penalty relative
            to the mean loss is best given relative to the number of rows, too.
        rng: draws the shares, and resamples the held-out rows.
        groups: (n,) numbers; rows of a group are drawn together.
        rows: what `headstart.solver_rows.rotate` made of the features, for a `fit` that takes such
            rows: quicker than rotating every share anew.
        candidate: what the method made of all rows. Its held-out logits are the last point, which
            then needs no fit.

    Returns:
        The curve; empty, with the reason in its note, for fewer than `LEAST` or more than `MOST` rows
        and where no fold can be held out.
    """
    n = len(codes)
    if not LEAST <= n <= MOST:
        many = f"fewer than {LEAST}" if n < LEAST else f"more than {MOST:,}"
        return LearningCurve((), (), note=f"no learning curve: {many} training rows")
    right = _right(candidate, codes)
    used = _folds_to_use(folds, right)
    shares = [share for share in SHARES if share * n * 0.8 >= max(_FEWEST, k)]
    if not used or not shares:
        return LearningCurve((), (), note="no learning curve: too few rows of each class")
    draws = -(-_DRAWS // len(used))
    own = np.arange(n) if groups is None else np.asarray(groups)
    source = features if rows is None else rows
    scored = []
    for fold in used:
        held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        known = None if right is None else right[held]
        orders = [rest[nested(codes[rest], own[rest], k, rng)] for _ in range(draws)]
        scored.append(_score(features, source, codes, held, orders, shares, k, fit, known))
    return _curve(scored, n, draws * len(used), rng)


def round_number(most: int) -> int:
    """The largest of 1, 2, 5, 10, 20, 50, ... that is not above `most` >= 1."""
    power = 10 ** (len(str(most)) - 1)
    return max(step * power for step in (1, 2, 5) if step * power <= most)


def nested(codes: np.ndarray, groups: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """An order of m rows every beginning of which holds the classes by their shares; groups together.

    Args:
        codes: (m,) class numbers in 0..k-1.
        groups: (m,) numbers; rows of a group stand together.
        k: number of classes.
        rng: draws the order.
    """
    _, first, own = np.unique(groups, return_index=True, return_inverse=True)
    classes = codes[first]
    shuffled = rng.permutation(len(first))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    counts = np.bincount(classes, minlength=k)
    rank = np.empty(len(first))
    rank[by_class] = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    # the offset of a class rounds its share up or down at random, not always down
    place = (rank + rng.random(k)[classes]) / counts[classes]
    return np.argsort(place[own], kind="stable")


def _right(candidate: Candidate | None, codes: np.ndarray) -> np.ndarray | None:
    """(n,) whether each held-out answer was right, NaN where there is none."""
    if candidate is None:
        return None
    rows = candidate.held_out_rows
    rows = np.arange(len(codes)) if rows is None else rows
    answered = ~np.isnan(candidate.held_out).any(axis=1)
    right = np.full(len(codes), np.nan)
    hits = candidate.held_out[answered].argmax(axis=1) == codes[rows[answered]]
    right[rows[answered]] = hits
    return right if answered.any() else None


def _folds_to_use(folds: np.ndarray, right: np.ndarray | None) -> list[int]:
    """Folds that the candidate held out, or as many as hold out enough rows."""
    used: list[int] = []
    count = 0
    for fold in range(int(folds.max(initial=-1)) + 1):
        inside = folds == fold
        if not inside.any() or (right is not None and np.isnan(right[inside]).all()):
            continue
        if len(used) == _FOLDS or (right is None and count >= _HELD_OUT):
            break
        used.append(fold)
        count += int(inside.sum())
    return used


def _score(
    features: np.ndarray,
    source: Any,
    codes: np.ndarray,
    held: np.ndarray,
    orders: Sequence[np.ndarray],
    shares: Sequence[float],
    k: int,
    fit: Fit,
    known: np.ndarray | None,
) -> _Fold:
    """Fit growing beginnings of each order, and score each on the held-out rows."""
    sizes = np.array([round(share * len(orders[0])) for share in shares])
    right = np.zeros((len(orders), len(held), len(sizes)))
    tested = features[held]
    for draw, order in zip(right, orders):
        head: Head | None = None
        for i, size in enumerate(sizes):
            if size == len(order) and known is not None:
                draw[:, i] = known
                continue
            index = np.sort(order[:size])
            part = source[index] if isinstance(source, np.ndarray) else source.take(index)
            nothing = np.full(size, -1, dtype=np.int64)
            # it begins where the smaller share ended, whose rows it holds: none of the held-out ones
            head = fit(part, codes[index], nothing, k, start=head).head
            draw[:, i] = (tested @ head.weight + head.bias).argmax(axis=1) == codes[held]
            if size == len(order):  # all rows are the same rows in every draw
                known = draw[:, i]
    seen = ~np.isnan(right).any(axis=(0, 2))
    return _Fold(sizes, right[:, seen].mean(axis=0))


def _curve(scored: Sequence[_Fold], n: int, draws: int, rng: np.random.Generator) -> LearningCurve:
    sizes = np.mean([fold.sizes for fold in scored], axis=0)
    weights = np.array([len(fold.right) for fold in scored], dtype=np.float64)
    accuracy = sum(w * fold.right.mean(axis=0) for w, fold in zip(weights, scored)) / weights.sum()
    errors = 1 - _resampled(scored, rng)
    low, high = np.quantile(1 - errors, (0.025, 0.975), axis=0)
    points = tuple(
        Metric(float(value), float(min(lo, value)), float(max(hi, value)))
        for value, lo, hi in zip(accuracy, low, high)
    )
    whole = tuple(round(float(size)) for size in sizes)
    note = _CURVE.format(draws=draws)
    if len(sizes) < _POINTS:
        return LearningCurve(
            whole, points, note=note + "; too few rows of each class to extrapolate"
        )
    more = round_number(n)
    return LearningCurve(whole, points, more, _gain(sizes, errors, n, n + more), note + _GAINED)


def _resampled(scored: Sequence[_Fold], rng: np.random.Generator) -> np.ndarray:
    """(r, s) accuracies when folds and rows within them are drawn again with replacement."""
    means = np.empty((len(scored), _RESAMPLES, len(scored[0].sizes)))
    for place, fold in zip(means, scored):
        m = len(fold.right)
        draws = rng.multinomial(m, np.full(m, 1 / m), size=_RESAMPLES)
        place[:] = draws @ fold.right / m
    chosen = rng.integers(0, len(scored), size=(_RESAMPLES, len(scored)))
    weights = np.array([len(fold.right) for fold in scored], dtype=np.float64)[chosen]
    picked = means[chosen, np.arange(_RESAMPLES)[:, None]]  # (r, folds, s)
    return (weights[:, :, None] * picked).sum(axis=1) / weights.sum(axis=1, keepdims=True)


def _gain(sizes: np.ndarray, errors: np.ndarray, n: int, more: int) -> Metric:
    """By how much a + b n^-c falls from n to `more` rows; a >= 0, b of any sign.

    Args:
        sizes: (s,) rows that were learned from.
        errors: (r, s) resampled errors.
        n: rows now.
        more: rows then.
    """
    x = (sizes / sizes[-1]) ** -_EXPONENTS[:, None]  # (c, s)
    w = 1 / np.maximum(errors.var(axis=0), 1e-6)
    w, total = w / w.sum(), w.sum()
    x_mean, e_mean = x @ w, errors @ w  # (c,), (r,)
    spread = ((x - x_mean[:, None]) ** 2) @ w
    b = (((errors - e_mean[:, None]) * w) @ (x - x_mean[:, None]).T) / spread  # (r, c)
    a = e_mean[:, None] - b * x_mean
    through_zero = ((errors * w) @ x.T) / ((x * x) @ w)
    a, b = np.maximum(a, 0.0), np.where(a < 0, through_zero, b)
    left = errors[:, None, :] - a[:, :, None] - b[:, :, None] * x  # (r, c, s)
    misfit = total * ((left**2) @ w)
    belief = np.exp(-(misfit - misfit.min(axis=1, keepdims=True)) / 2 - _EXPONENTS / _USUAL)
    belief /= belief.sum(axis=1, keepdims=True) * len(belief)
    fall = (n / sizes[-1]) ** -_EXPONENTS - (more / sizes[-1]) ** -_EXPONENTS
    gains = (b * fall).ravel()
    order = np.argsort(gains)
    reached = np.cumsum(belief.ravel()[order])
    low, high = gains[order][np.searchsorted(reached, (0.025, 0.975)).clip(max=len(gains) - 1)]
    value = float((gains * belief.ravel()).sum())
    below, above = (_WIDER * max(0.0, float(arm)) for arm in (value - low, high - value))
    return Metric(value, value - below, value + above)
