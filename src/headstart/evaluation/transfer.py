"""What transfer bought: the same rows learned with a pretrained backbone and from scratch.

Both learn from growing, nested shares of the training rows and answer the same held-out rows, so the gap
between their curves is what was known before. At the left end it is widest. The question "how many labels did
that save?" is answered by reading off the scratch network's curve where it is as accurate as the pretrained
one is with the fewest rows: a straight line between two points of it, over the logarithm of the rows, and
never beyond its last. Intervals are bootstrap percentiles over the held-out rows, the same draws for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from headstart.evaluation.learning import SHARES, nested
from headstart.scores import Metric, Transfer

Answers = Callable[[np.ndarray], np.ndarray]
"""(r,) ascending row numbers to learn from -> (m, k) logits of the held-out rows."""

_DRAWS = 2000
_FEWEST = 10  # rows that a share must have to be learned from
_NOTE = (
    "both learned from the same growing shares of the training rows and answered the same {held:,} rows; "
    "one draw of the shares, intervals over the held-out rows"
)


def compare_scratch(
    codes: np.ndarray,
    held: np.ndarray,
    k: int,
    with_: Answers,
    without: Answers,
    rng: np.random.Generator,
    *,
    shares: Sequence[float] = SHARES,
    groups: np.ndarray | None = None,
) -> Transfer:
    """Learning curves of a pretrained way and of a network from scratch.

    Args:
        codes: (n,) class numbers in 0..k-1 of all rows.
        held: (m,) row numbers that are held out; the others are learned from.
        k: number of classes.
        with_: learns with the pretrained backbone from the rows it is given.
        without: learns from scratch.
        rng: draws the shares, and resamples the held-out rows.
        shares: of the rows that are learned from, ascending; those with too few rows are left out.
        groups: (n,) numbers; rows of a group are drawn together.

    Returns:
        The curves; empty, with the reason in the note, where there are too few rows.

    Raises:
        ValueError: an answer has another shape than (m, k).
    """
    codes, held = np.asarray(codes), np.asarray(held)
    rest = np.setdiff1d(np.arange(len(codes)), held)
    own = np.arange(len(codes)) if groups is None else np.asarray(groups)
    used = [round(share * len(rest)) for share in shares if share * len(rest) >= max(_FEWEST, k)]
    if not used or not len(held):
        return Transfer((), (), (), note="no comparison with learning from scratch: too few rows")
    order = rest[nested(codes[rest], own[rest], k, rng)]
    sizes = sorted(set(used))
    right = np.zeros((2, len(sizes), len(held)))
    for place, size in enumerate(sizes):
        rows = np.sort(order[:size])
        for which, learn in enumerate((with_, without)):
            right[which, place] = _right(learn(rows), codes[held], k)
    return _curves(np.array(sizes), right, rng)


def _right(logits: np.ndarray, truth: np.ndarray, k: int) -> np.ndarray:
    """(m,) whether each answer is right."""
    if logits.shape != (len(truth), k):
        raise ValueError(
            f"logits of shape {logits.shape} for {len(truth)} held-out rows, {k} classes"
        )
    return logits.argmax(axis=1) == truth


def _curves(sizes: np.ndarray, right: np.ndarray, rng: np.random.Generator) -> Transfer:
    """From (s,) numbers of rows and (2, s, m) right answers, with the backbone and without."""
    s, m = right.shape[1:]
    means = right.mean(axis=2)  # (2, s)
    # rows with the same answers need not be told apart
    cells, count = np.unique(right.reshape(2 * s, m), axis=1, return_counts=True)
    drawn = rng.multinomial(m, count / m, size=_DRAWS)  # (draws, cells)
    draws = (drawn @ cells.T / m).reshape(-1, 2, s).transpose(1, 0, 2)  # (2, draws, s)
    counts = np.array([_reached(sizes, b, a[0]) for a, b in zip(*draws)])
    low, high = np.quantile(counts, (0.025, 0.975), method="inverted_cdf")
    needed, more_than = None, 0
    if np.isfinite(high):
        value = float(np.clip(_reached(sizes, means[1], means[0][0]), low, high))
        needed = Metric(value, float(low), float(high))
    elif low > sizes[0]:
        more_than = int(min(low, sizes[-1]))
    return Transfer(
        tuple(int(size) for size in sizes),
        _metrics(means[0], draws[0]),
        _metrics(means[1], draws[1]),
        _metrics(means[0] - means[1], draws[0] - draws[1]),
        needed,
        more_than,
        m,
        _NOTE.format(held=m),
    )


def _metrics(values: np.ndarray, draws: np.ndarray) -> tuple[Metric, ...]:
    """From (s,) values and (draws, s) resampled ones."""
    low, high = np.quantile(draws, (0.025, 0.975), axis=0)
    return tuple(
        Metric(float(value), float(min(a, value)), float(max(b, value)))
        for value, a, b in zip(values, low, high)
    )


def _reached(sizes: np.ndarray, accuracy: np.ndarray, wanted: float) -> float:
    """How many rows a curve needs to come to an accuracy: infinite where it does not."""
    above = np.flatnonzero(accuracy >= wanted)
    if not len(above):
        return np.inf
    first = int(above[0])
    if not first:
        return float(sizes[0])
    share = (wanted - accuracy[first - 1]) / (accuracy[first] - accuracy[first - 1])
    a, b = np.log(sizes[first - 1 : first + 1])
    return float(np.exp(a + share * (b - a)))
