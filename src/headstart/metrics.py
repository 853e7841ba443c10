"""Metric functions on numpy arrays.

Accuracy, balanced accuracy and macro-F1 are functions of a confusion matrix, and need no more of it
than three sums a class (`Tally`). They take one matrix (k, k), a stack of them (..., k, k), or
tallies, and give one number for each, so that a thousand bootstrap resamples are one call.

Shapes are wrong only where code is wrong: that raises ValueError, not a caller's error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMALLEST = 1e-15
"""Probabilities are clipped to this before the logarithm: one impossible truth costs 34.5 nats."""

TEMPERATURES = (0.05, 20.0)
"""Between these a temperature is looked for."""

_BLOCK = 1 << 18  # numbers worked on at a time: what fits into a processor's cache


@dataclass(frozen=True)
class Tally:
    """What the scores need of a confusion matrix, per class.

    Attributes:
        hits: (..., k) rows of the class that were predicted as it.
        truth: (..., k) rows of the class.
        predicted: (..., k) rows that were predicted as the class.
    """

    hits: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (n, k) float64 of logits (n, k); large logits do not overflow."""
    z = _matrix(logits, "logits").astype(np.float64)
    if z.shape[1]:
        z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return z


def prediction_set(probabilities: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """Which labels belong to each row's prediction set, (n, k) bool.

    A label belongs to it if its probability reaches the threshold, one for all or (k,) for each; the
    top label (the first of equals) always does, so that no set is empty (Sadinle, Lei and Wasserman
    2019, section 4).
    """
    p = _matrix(probabilities, "probabilities")
    inside = p >= threshold
    inside[np.arange(len(p)), p.argmax(axis=1)] = True
    return inside


def mass_up_to(probabilities: np.ndarray) -> np.ndarray:
    """For every label, the probability of all that come before it and a part of its own, (n, k) float64.

    Labels come most probable first, the first of equals first. It is the score of Romano, Sesia and
    Candes (2020), whose part is drawn at random, so that the score of a truth is spread evenly. Drawn
    anew, the same input would get another set each time. Here the part is a fixed function of the
    probabilities that runs through 0..1 a thousand times as they move: spread as evenly, and hardly
    changed by their last bits. Split conformal prediction holds for any fixed function.
    """
    p = _matrix(probabilities, "probabilities").astype(np.float64)
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    part = (1000 * (p @ np.arange(p.shape[1]))) % 1.0
    upto = np.cumsum(ranked, axis=1) - ranked * (1 - part[:, None])
    mass = np.empty_like(p)
    np.put_along_axis(mass, order, np.clip(upto, 0.0, 1.0), axis=1)  # sums round
    return mass


def confusion(codes: np.ndarray, predicted: np.ndarray, k: int) -> np.ndarray:
    """Confusion matrix (k, k) int64: rows are the truth, columns the prediction.

    Args:
        codes: (n,) true class numbers in 0..k-1.
        predicted: (n,) predicted class numbers in 0..k-1.
        k: number of classes.
    """
    truth, guess = _codes(codes, k, "codes"), _codes(predicted, k, "predicted")
    if truth.shape != guess.shape:
        raise ValueError(f"codes has {len(truth)} rows, predicted {len(guess)}")
    return np.bincount(truth * k + guess, minlength=k * k).reshape(k, k)


def tally(counts: np.ndarray | Tally) -> Tally:
    """The tallies of confusion matrices (..., k, k); tallies pass through."""
    if isinstance(counts, Tally):
        return counts
    table = np.asarray(counts)
    if table.ndim < 2 or table.shape[-1] != table.shape[-2]:
        raise ValueError(f"a confusion matrix is (..., k, k), not {table.shape}")
    return Tally(np.diagonal(table, axis1=-2, axis2=-1), table.sum(axis=-1), table.sum(axis=-2))


def accuracy(counts: np.ndarray | Tally) -> np.ndarray:
    """Share of right predictions, (...) float64, of confusion matrices (..., k, k) or tallies."""
    t = tally(counts)
    return _ratio(t.hits.sum(axis=-1), t.truth.sum(axis=-1))


def balanced_accuracy(counts: np.ndarray | Tally) -> np.ndarray:
    """Mean recall of the classes that occur in the truth, (...) float64 (as in scikit-learn)."""
    t = tally(counts)
    present = (t.truth > 0).sum(axis=-1)
    return _ratio(_ratio(t.hits, t.truth).sum(axis=-1), present)


def macro_f1(counts: np.ndarray | Tally) -> np.ndarray:
    """Mean F1 of the classes that occur in the truth or the prediction, (...) float64.

    A class without a hit has an F1 of 0 (scikit-learn's `zero_division=0`).
    """
    t = tally(counts)
    rows = t.truth + t.predicted
    return _ratio(_ratio(2 * t.hits, rows).sum(axis=-1), (rows > 0).sum(axis=-1))


def precision_recall_f1(counts: np.ndarray | Tally) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each class, (..., k) float64 each; 0 where there is nothing to divide by."""
    t = tally(counts)
    return (
        _ratio(t.hits, t.predicted),
        _ratio(t.hits, t.truth),
        _ratio(2 * t.hits, t.truth + t.predicted),
    )


def row_losses(probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """-log of the truth's probability for each row, (n,) float64 in nats, clipped at `SMALLEST`."""
    p, truth = _scored(probabilities, codes)
    return -np.log(np.maximum(p[np.arange(len(p)), truth], SMALLEST))


def log_loss(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Mean of -log of the truth's probability, in nats.

    Args:
        probabilities: (n, k), n >= 1.
        codes: (n,) true class numbers in 0..k-1.
    """
    return float(row_losses(probabilities, codes).mean())


def brier(probabilities: np.ndarray, codes: np.ndarray) -> float:
    """Mean squared distance to the truth, summed over the classes, 0..2 (Brier 1950).

    Args:
        probabilities: (n, k), n >= 1.
        codes: (n,) true class numbers in 0..k-1.
    """
    p, truth = _scored(probabilities, codes)
    picked = p[np.arange(len(p)), truth]
    return float((np.einsum("nk,nk->n", p, p) - 2 * picked + 1).mean())


def ece(probabilities: np.ndarray, codes: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the top label (Guo et al. 2017, equation 3), 0..1.

    Rows are binned by the top label's probability into intervals ((m-1)/bins, m/bins] of equal
    width; the gaps between mean probability and share of right rows are averaged, weighted by rows.

    Args:
        probabilities: (n, k), n >= 1.
        codes: (n,) true class numbers in 0..k-1.
        bins: number of intervals.
    """
    if bins < 1:
        raise ValueError(f"bins is {bins}, but at least one is needed")
    p, truth = _scored(probabilities, codes)
    top = p.argmax(axis=1)
    confidence = p[np.arange(len(p)), top]
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    number = np.searchsorted(edges, confidence, side="left")
    gaps = np.bincount(number, weights=confidence - (top == truth), minlength=bins)
    return float(np.abs(gaps).sum() / len(p))


def temperature(logits: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """The temperature with the least log loss, and that loss (Guo et al. 2017, section 4.2).

    The log loss of `softmax(b * logits)` is convex in b = 1 / temperature: its slope is the mean of
    E[z] - z_truth, its curvature the mean of Var[z]. Newton's steps in log b, and bisection where a
    step would leave the bracket, find the root of the slope within `TEMPERATURES`.

    Args:
        logits: (n, k) finite, n >= 1.
        codes: (n,) true class numbers in 0..k-1.
    """
    z, truth = _scored(logits, codes, "logits")
    if not np.isfinite(z).all():
        raise ValueError("logits hold values that are not finite")
    z = z - z.max(axis=1, keepdims=True)
    picked = z[np.arange(len(z)), truth]
    low, high = (float(np.log(1 / bound)) for bound in reversed(TEMPERATURES))
    at = 0.0
    for bound in (low, high):  # is the slope's root beyond the bracket?
        slope, _, loss = _slope(z, picked, np.exp(bound))
        if (slope >= 0) if bound == low else (slope <= 0):
            return float(np.exp(-bound)), float(loss)
    for _ in range(60):
        slope, curvature, loss = _slope(z, picked, np.exp(at))
        low, high = (low, at) if slope > 0 else (at, high)
        step = -slope / (curvature * np.exp(at)) if curvature > 0 else np.inf
        new = at + step if low < at + step < high else (low + high) / 2
        moved, at = abs(new - at), new
        if moved < 1e-6:
            break
    return float(np.exp(-at)), float(loss)


def _slope(z: np.ndarray, picked: np.ndarray, b: float) -> tuple[float, float, float]:
    """Slope and curvature of the mean log loss in b, and the loss; z (n, k) has row maxima of 0."""
    slope = curvature = loss = 0.0
    n, k = z.shape
    step = max(1, _BLOCK // k)
    scale = z.dtype.type(b)  # float32 logits stay float32: twice as fast, and exact enough
    for start in range(0, n, step):
        part = z[start : start + step]
        e = np.exp(part * scale)
        total = e.sum(axis=1, dtype=np.float64)
        e *= part
        mean = e.sum(axis=1, dtype=np.float64) / total
        square = np.einsum("nk,nk->n", e, part) / total
        slope += float(mean.sum())
        curvature += float((square - mean * mean).sum())
        loss += float(np.log(total).sum())
    truth = float(picked.sum(dtype=np.float64))
    return (slope - truth) / n, curvature / n, (loss - b * truth) / n


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where whole is 0."""
    shape = np.broadcast_shapes(np.shape(part), np.shape(whole))
    return np.divide(part, whole, out=np.zeros(shape), where=np.asarray(whole) > 0)[()]


def _matrix(values: np.ndarray, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ValueError(f"{name} has to be (n, k) numbers, not {array.shape} {array.dtype}")
    return array


def _codes(values: np.ndarray, k: int, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise ValueError(f"{name} has to be (n,) integers, not {array.shape} {array.dtype}")
    if array.size and not (array.min() >= 0 and array.max() < k):
        raise ValueError(f"{name} has to be within 0..{k - 1}, not {array.min()}..{array.max()}")
    return array.astype(np.int64)


def _scored(
    values: np.ndarray, codes: np.ndarray, name: str = "probabilities"
) -> tuple[np.ndarray, np.ndarray]:
    """Values (n, k) as floats with codes (n,), checked against each other; n >= 1."""
    array = _matrix(values, name)
    truth = _codes(codes, array.shape[1], "codes")
    if len(array) != len(truth):
        raise ValueError(f"{name} has {len(array)} rows, codes {len(truth)}")
    if not len(array):
        raise ValueError(f"{name} has no rows")
    single = name == "logits" and array.dtype == np.float32
    return array if single else array.astype(np.float64), truth
