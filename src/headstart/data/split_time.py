"""Splits that respect time: learned from what was earlier, measured on what came later.

Rows drawn at random from data that drifts are easier than tomorrow's rows are. So the latest rows are
measured, and the folds of the cross-validation are blocks of time (blocked cross-validation; Bergmeir
and Benítez 2012): what is held out of a fold lies apart in time from most of what is learned from.
"""

from __future__ import annotations

import numpy as np


def latest(order: np.ndarray, groups: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The rows to measure: the latest, as near to the share as equal times allow.

    Rows of a group that has rows before the cut as well are learned from.

    Args:
        order: (n,) ranks of the rows' times.
        groups: (n,) group numbers.
        share: of the rows, within 0..1, ends excluded.

    Returns:
        Sorted row numbers to measure, and those behind the cut that are learned from all the same;
        both are empty where all rows have one time.
    """
    n = len(order)
    ranks, counts = np.unique(order, return_counts=True)
    behind = np.cumsum(counts[::-1])[::-1]  # rows at or behind each rank
    if len(ranks) < 2:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    cut = ranks[1:][np.argmin(np.abs(behind[1:] - max(1, round(n * share))))]
    late = order >= cut
    straddling = late & np.isin(groups, groups[~late])
    return np.flatnonzero(late & ~straddling), np.flatnonzero(straddling)


def time_folds(
    order: np.ndarray, groups: np.ndarray, codes: np.ndarray, n_folds: int
) -> np.ndarray | None:
    """(n,) fold of each training row: blocks of time, oldest first; -1 is never held out.

    A group goes where its latest row belongs. Equal times share a fold. Of a class that one fold would
    hold alone, the smallest group is never held out instead.

    Args:
        order: (n,) ranks of the rows' times.
        groups: (n,) group numbers.
        codes: (n,) class numbers.
        n_folds: at most so many.

    Returns:
        None where the times do not divide the rows.
    """
    _, own = np.unique(groups, return_inverse=True)
    last = np.full(own.max(initial=-1) + 1, -1, dtype=np.int64)
    np.maximum.at(last, own, order)
    _, block, counts = np.unique(last[own], return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / max(len(order), 1)
    folds = np.floor(middle * n_folds).astype(np.int64)[block]
    sizes = np.bincount(own)
    for code in np.unique(codes):
        rows = np.flatnonzero((codes == code) & (folds >= 0))
        if len(rows) and not (codes[folds < 0] == code).any() and len(np.unique(folds[rows])) == 1:
            folds[own == own[rows[np.argmin(sizes[own[rows]])]]] = -1
    used = np.unique(folds[folds >= 0])
    if len(used) < 2:
        return None
    return np.where(folds < 0, -1, np.searchsorted(used, folds)).astype(np.int64)
