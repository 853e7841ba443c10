"""How far probabilities can be believed, and what withholding the least certain answers buys.

The expected calibration error (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017) is the mean gap
between what the answers' probabilities promise and how often the answers are right. It is taken over
bins of equally many rows (Nguyen and O'Connor 2015): bins of equal width leave most of the rows of a
good model in the last one. The error is never 0 on finite data, so it is shown beside what a perfectly
calibrated model would show on as many rows with the same probabilities (the consistency resampling
of Bröcker and Smith 2007).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headstart.scores import Reliability, RiskCurve

BINS = 15
POINTS = 50
"""Points of a risk curve, at most."""

_DRAWS = (200, 1000)  # simulations behind the noise floor: fewer where rows are many
_NUMBERS = 20_000_000  # random numbers spent on them, within those bounds
_BLOCK = 1 << 21  # numbers drawn at a time: bounds the memory


def reliability(
    probabilities: np.ndarray, codes: np.ndarray, *, before: np.ndarray, rng: np.random.Generator
) -> Reliability:
    """The calibration error of the answers' probabilities, and how much of it is noise.

    Rows of equal probability share a bin, so the order of the rows does not matter; there are fewer
    than `BINS` bins where many are equal, or where there are fewer rows.

    Args:
        probabilities: (n, k), n >= 1, each row sums to 1.
        codes: (n,) true class numbers in 0..k-1.
        before: (n, k) probabilities before calibration: the plain softmax of the logits.
        rng: draws the simulated truths behind the noise floor.
    """
    certain, right = _answers(probabilities, codes)
    starts = _starts(certain, BINS)
    sizes = np.diff([*starts, len(certain)])
    promised = np.add.reduceat(certain, starts)
    kept = np.add.reduceat(right.astype(np.float64), starts)
    plain, plain_right = _answers(before, codes)
    return Reliability(
        ece=_gap(promised, kept, len(certain)),
        before=expected_error(plain, plain_right),
        noise=_noise(certain, starts, promised, rng),
        bins=tuple(
            (float(p / n), float(hits / n), int(n)) for p, hits, n in zip(promised, kept, sizes)
        ),
    )


def expected_error(certain: np.ndarray, right: np.ndarray) -> float:
    """The expected calibration error of ascending probabilities (n,) whose answers are `right` (n,)."""
    starts = _starts(certain, BINS)
    promised = np.add.reduceat(certain, starts)
    return _gap(promised, np.add.reduceat(right.astype(np.float64), starts), len(certain))


def risk_curve(probabilities: np.ndarray, codes: np.ndarray) -> RiskCurve:
    """Accuracy of the answers when only the most certain ones are given (El-Yaniv and Wiener 2010).

    Rows of equal probability are answered together: no threshold could tell them apart.

    Args:
        probabilities: (n, k), n >= 1.
        codes: (n,) true class numbers in 0..k-1.
    """
    certain, right = _answers(probabilities, codes)
    certain, right = certain[::-1], right[::-1]  # most certain first
    n = len(certain)
    wanted = np.ceil(n * np.arange(1, POINTS + 1) / POINTS - 1e-9).astype(np.int64)
    counts = np.unique(np.searchsorted(-certain, -certain[wanted - 1], side="right"))
    hits = np.cumsum(right)[counts - 1]
    return RiskCurve(tuple((counts / n).tolist()), tuple((hits / counts).tolist()))


def _answers(probabilities: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Top labels' probabilities (n,) float64, ascending, and whether they are right (n,)."""
    p, truth = np.asarray(probabilities), np.asarray(codes)
    if p.ndim != 2 or truth.shape != p.shape[:1] or not len(p):
        raise ValueError(
            f"probabilities (n, k) and codes (n,) do not fit: {p.shape}, {truth.shape}"
        )
    top = p.argmax(axis=1)
    certain = np.minimum(p[np.arange(len(p)), top].astype(np.float64), 1.0)
    order = np.argsort(certain, kind="stable")
    return certain[order], (top == truth)[order]


def _starts(certain: np.ndarray, bins: int) -> np.ndarray:
    """Where the bins of ascending values begin: of equally many rows, equal values together."""
    n = len(certain)
    even = np.arange(min(bins, n)) * n // min(bins, n)
    return np.unique(np.searchsorted(certain, certain[even], side="left"))


def _gap(promised: np.ndarray, kept: np.ndarray, n: int) -> float:
    return float(np.abs(promised - kept).sum() / n)


def _noise(
    certain: np.ndarray, starts: np.ndarray, promised: np.ndarray, rng: np.random.Generator
) -> float:
    """The 95 % point of the error when every answer is right with just its probability."""
    n = len(certain)
    total = int(np.clip(_NUMBERS // n, *_DRAWS))
    chance = certain.astype(np.float32)
    gaps = []
    for size in _blocks(total, n):
        drawn = rng.random((size, n), dtype=np.float32) < chance
        kept = np.add.reduceat(drawn, starts, axis=1, dtype=np.int32)
        gaps.append(np.abs(promised - kept).sum(axis=1) / n)
    return float(np.quantile(np.concatenate(gaps), 0.95))


def _blocks(total: int, width: int) -> Iterator[int]:
    step = max(1, _BLOCK // width)
    for start in range(0, total, step):
        yield min(step, total - start)
