"""From out-of-fold logits to honest probabilities and prediction sets.

Temperature scaling (Guo et al. 2017): one number that logits are divided by, the one with the least
log loss on rows that the model had not seen.

Prediction sets (Sadinle, Lei and Wasserman 2019, "LAC"): all labels whose probability reaches a
threshold, set so that the truth reaches it for the wanted share of rows. With a threshold from rows
that one fixed model had not seen (split conformal prediction; Papadopoulos et al. 2002), sets hold the
truth of an exchangeable new row with at least that probability, exactly. Here the rows are the
out-of-fold rows of a cross-validation, and the final model is fitted on all of them (cross-conformal
prediction; Vovk 2015): nothing is lost to a calibration set, but the guarantee is then approximate.
It errs to the safe side as far as the final model, with more rows, is better than those of the folds.
"""

from __future__ import annotations

import math

import numpy as np

from headstart import metrics
from headstart.types import Decision

ENOUGH = 10
"""With fewer usable rows the temperature stays 1."""


def calibrate(
    held_out: np.ndarray,
    codes: np.ndarray,
    *,
    coverage: float = 0.9,
    folds: np.ndarray | None = None,
    rows: np.ndarray | None = None,
) -> Decision:
    """Temperature and set threshold from out-of-fold logits.

    Args:
        held_out: (n, k) logits; rows with NaN were never held out and are not used.
        codes: (n,) true class numbers; rows with -1 are not used.
        coverage: share of prediction sets meant to hold the truth, within 0..1, ends excluded.
        folds: (n,) fold numbers. With them the probabilities behind the threshold are scaled by a
            temperature from the other folds' rows, so that no row has a say in its own probability.
        rows: a candidate's `held_out_rows`: which of the codes and folds the logits belong to, in order.

    Returns:
        A decision that abstains never. With too few rows to promise the coverage, the threshold is
        0: every set holds all labels.

    Raises:
        ValueError: the shapes do not fit, or the coverage is not between 0 and 1.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage has to lie between 0 and 1, not {coverage}")
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
    logits, truth = logits[usable], truth[usable]
    part = np.asarray(folds)[usable] if folds is not None else np.zeros(len(truth), dtype=np.int64)
    scaled = np.empty(logits.shape, dtype=np.float64)
    for fold in np.unique(part):
        inside = part == fold
        others = ~inside if (~inside).any() else inside
        scaled[inside] = logits[inside] / fit_temperature(logits[others], truth[others])
    return Decision(
        temperature=fit_temperature(logits, truth),
        coverage=coverage,
        set_threshold=set_threshold(metrics.softmax(scaled), truth, coverage),
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


def set_threshold(probabilities: np.ndarray, codes: np.ndarray, coverage: float) -> float:
    """The probability that the truth of `coverage` of new rows reaches (split conformal prediction).

    It is the ceil((n + 1) * coverage)-th largest of the n held-out rows' probabilities of the truth;
    the + 1 counts the new row. 0 where n is too small to have so many: then all labels are in.

    Args:
        probabilities: (n, k) of rows that the model had not seen.
        codes: (n,) true class numbers.
        coverage: within 0..1, ends excluded.
    """
    n = len(codes)
    # in floating point 100 * 0.55 is a little more than 55
    rank = math.ceil(round((n + 1) * coverage, 9))
    if rank > n:
        return 0.0
    of_truth = np.asarray(probabilities)[np.arange(n), codes]
    return float(np.partition(of_truth, n - rank)[n - rank])
