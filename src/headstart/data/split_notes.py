"""What a reader of a split must know, one sentence each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def group_notes(units_of: np.ndarray) -> tuple[str, ...]:
    """How many rows of (n,) unit numbers are kept together."""
    sizes = np.bincount(units_of)
    sizes = sizes[sizes > 1]
    if not len(sizes):
        return ()
    return (f"{int(sizes.sum()):,} rows belong to {len(sizes):,} groups, which were kept together",)


def coverage_notes(
    codes: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    labels: Sequence[str],
    units_of: np.ndarray,
) -> tuple[str, ...]:
    """What the test rows cannot measure, and groups that the data's own split parts."""
    notes = []
    unmeasured = sorted(set(codes[train].tolist()) - set(codes[test].tolist()))
    if unmeasured:
        named = _some([labels[code] for code in unmeasured])
        notes.append(
            f"{len(unmeasured):,} of {len(labels):,} classes have no row to measure on: {named}"
        )
    unlearned = sorted(set(codes[test].tolist()) - set(codes[train].tolist()))
    if unlearned:
        named = _some([labels[code] for code in unlearned])
        notes.append(f"{len(unlearned):,} classes are in the test rows only: {named}")
    both = np.intersect1d(units_of[train], units_of[test])
    if len(both):
        rows = int(np.isin(units_of[test], both).sum())
        notes.append(f"{rows:,} test rows belong to groups that have training rows too")
    return tuple(notes)


def _some(labels: Sequence[str], limit: int = 8) -> str:
    more = f" and {len(labels) - limit:,} more" if len(labels) > limit else ""
    return ", ".join(repr(label) for label in labels[:limit]) + more


def span(times: Sequence[str], order: np.ndarray, rows: np.ndarray) -> str:
    """The first and the last time of some rows, "2023-01-01 to 2024-03-31".

    Args:
        times: n times.
        order: (n,) their ranks.
        rows: row numbers, at least one.
    """
    first, last = rows[np.argmin(order[rows])], rows[np.argmax(order[rows])]
    return f"{times[first]} to {times[last]}"


def straddling_note(groups: np.ndarray, moved: np.ndarray) -> tuple[str, ...]:
    """How many late rows (their numbers in `moved`) are learned from for their group's sake."""
    if not len(moved):
        return ()
    count = len(np.unique(groups[moved]))
    return (
        f"{len(moved):,} later rows are learned from, as their {count:,} groups have earlier rows too",
    )
