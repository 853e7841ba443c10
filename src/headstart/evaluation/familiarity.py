"""What new inputs are held against, and from where on they count as unlike the training data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headstart.compute import generator
from headstart.runtime.familiar import Reference, familiarity, nearest, unit

LIMIT = 20_000
"""Training rows that a bundle keeps at most ..."""

BYTES = 16_000_000
"""... and bytes of features, in half precision."""

ENOUGH = 200
"""Rows marked for validation from which on they alone set the threshold."""

NEIGHBOURS = 5
"""Nearest rows whose mean cosine counts: one alone may be an odd row, many reach beyond a small class."""

SPREADS = 2.0
"""The weight of the answer's probability, in standard deviations of that mean over training rows."""

_LOOKED = 1_000  # rows that tell that deviation
_JUDGED = 3_000  # held-out rows that set the threshold: more would not move it


def reference_of(
    features: np.ndarray,
    codes: np.ndarray,
    names: Sequence[str],
    k: int,
    limit: int = LIMIT,
    *,
    weight: float | None = None,
) -> Reference:
    """Training rows to hold new inputs against: all of them, or a sample of each class by its share.

    Args:
        features: (n, d) of the training rows, as the backbone gives them.
        codes: (n,) class numbers in 0..k-1.
        names: n names.
        k: number of classes.
        limit: rows to keep at most, as far as each class keeps one; `BYTES` is a limit as well.
        weight: of the answer's probability; when None it follows from the spread of the cosines.

    Raises:
        ValueError: the shapes do not fit.
    """
    x, truth = np.asarray(features), np.asarray(codes)
    if x.ndim != 2 or truth.shape != x.shape[:1] or len(names) != len(x):
        raise ValueError(
            f"features {x.shape}, codes {truth.shape} and {len(names)} names do not fit together"
        )
    if len(truth) and not (truth.min() >= 0 and truth.max() < k):
        raise ValueError(f"codes have to be within 0..{k - 1}")
    rows = sample(truth, min(limit, max(k, BYTES // (2 * x.shape[1]))))
    kept = unit(x[rows]).astype(np.float16).astype(np.float32)
    made = Reference(kept, truth[rows].astype(np.int32), tuple(str(names[i]) for i in rows))
    made = replace(made, neighbours=min(NEIGHBOURS, max(len(made) - 1, 1)))
    return replace(made, weight=SPREADS * _spread(made) if weight is None else weight)


def _spread(reference: Reference) -> float:
    """Standard deviation, over the rows, of the mean cosine to the nearest other rows.

    Cosines of one backbone's features lie between 0.8 and 1, those of another between 0 and 1: only beside
    their spread does the weight of a probability mean the same.
    """
    m = len(reference)
    if m < 3:
        return 0.0
    some = np.unique(np.linspace(0, m - 1, min(m, _LOOKED)).astype(int))
    _, cosines = nearest(reference, reference.features[some], reference.neighbours + 1)
    others = cosines[:, 1:].mean(axis=1, dtype=np.float64)  # the first is the row itself
    return float(others.std())


def threshold(
    features: np.ndarray,
    codes: np.ndarray,
    folds: np.ndarray,
    probabilities: np.ndarray,
    keep: float = 0.95,
    *,
    rows: np.ndarray | None = None,
    limit: int = LIMIT,
    weight: float | None = None,
) -> float | None:
    """The familiarity that `keep` of new rows of the same kind as the training rows reach.

    It is set on training rows alone, without any example of what is to be refused. Each is held against
    rows of other folds only, as a new row is held against rows that it is none of; its threshold is the
    conformal quantile, so that an exchangeable new row reaches it with a probability of at least `keep`.

    Args:
        features: (n, d) of the training rows, as the backbone gives them.
        codes: (n,) class numbers.
        folds: (n,) fold numbers; rows that belong together are of one fold. Rows of fold -1 are held
            against, and do not count themselves.
        probabilities: (n, k) calibrated, of out-of-fold logits; rows with NaN do not count.
        keep: share of familiar inputs to answer, within 0..1, ends excluded.
        rows: a candidate's `held_out_rows`: which rows the probabilities belong to, in order.
        limit: as for `reference_of`.
        weight: of the reference that new rows will be held against; when None, each fold's own.

    Returns:
        The threshold; None where there are too few rows to refuse so rarely.

    Raises:
        ValueError: the shapes do not fit, or `keep` is not between 0 and 1.
    """
    if not 0 < keep < 1:
        raise ValueError(f"keep has to lie between 0 and 1, not {keep}")
    x, truth, part = np.asarray(features), np.asarray(codes), np.asarray(folds)
    p = np.asarray(probabilities)
    judged = np.arange(len(x)) if rows is None else np.asarray(rows)
    if x.ndim != 2 or truth.shape != x.shape[:1] or part.shape != truth.shape:
        raise ValueError(
            f"features {x.shape}, codes {truth.shape} and folds {part.shape} do not fit"
        )
    if p.ndim != 2 or len(p) != len(judged):
        raise ValueError(f"probabilities have to be ({len(judged)}, k), not {p.shape}")
    usable = (part[judged] >= 0) & ~np.isnan(p).any(axis=1)
    judged, p = judged[usable], p[usable]
    if len(judged) > _JUDGED:
        some = np.sort(generator(0, 4).choice(len(judged), _JUDGED, replace=False))
        judged, p = judged[some], p[some]
    scores = _out_of_fold(x, truth, part, judged, p, limit, weight)
    refused = int(np.floor(round((len(scores) + 1) * (1 - keep), 9)))
    if not refused:
        return None
    return float(np.partition(scores, refused - 1)[refused - 1])


def judging(folds: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """Folds for `threshold`, where the data itself marks rows for validation.

    Rows that were gathered together are more alike than a row that comes later is to them, so a threshold
    from folds keeps fewer of the later ones than stated. Rows set apart by whoever gathered the data are
    nearer to what comes later; with enough of them they judge alone, against the others.

    Args:
        folds: (n,) fold numbers.
        marked: (n,) bool, rows marked for validation.
    """
    return np.where(marked, 0, -1) if marked.sum() >= ENOUGH else folds


def _out_of_fold(
    x: np.ndarray,
    codes: np.ndarray,
    folds: np.ndarray,
    judged: np.ndarray,
    p: np.ndarray,
    limit: int,
    weight: float | None,
) -> np.ndarray:
    """Familiarity of the rows `judged` (m,), with probabilities (m, k), against other folds' rows."""
    found: list[np.ndarray] = []
    k = int(codes.max(initial=0)) + 1
    for fold in np.unique(folds[judged]):
        others = np.flatnonzero(folds != fold)
        if not len(others):
            continue
        inside = folds[judged] == fold
        reference = reference_of(
            x[others], codes[others], [""] * len(others), k, limit, weight=weight
        )
        found.append(familiarity(reference, x[judged[inside]], p[inside]))
    return np.concatenate(found) if found else np.empty(0)


def sample(codes: np.ndarray, limit: int) -> np.ndarray:
    """Row numbers, ascending: of every class by its share, at least one each.

    Args:
        codes: (n,) class numbers.
        limit: rows, as far as each class keeps one.
    """
    if len(codes) <= limit:
        return np.arange(len(codes))
    order = np.lexsort((generator(0, 5).random(len(codes)), codes))
    counts = np.bincount(codes)
    rank = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    # rounded down, so that the sum stays within the limit
    wanted = np.maximum(np.floor(counts * (limit / len(codes))), 1)
    return np.sort(order[rank < wanted[codes[order]]])
