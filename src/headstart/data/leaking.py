"""Columns beside the input that alone give the label away.

Whoever adds such a column to the input gets a perfect score that says nothing. What a column knows is
learned on half of the rows and checked on the other half, so that a column with a value of its own in
every row, which knows the label of the rows seen and of no other, does not count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.compute import generator
from headstart.data.columns import Columns, labels_of, missing
from headstart.types import Finding, Table

_RIGHT = 0.98  # share of the held-out rows whose label the column gives
_LEFT = 0.1  # of the errors that always guessing the largest class makes
_SEEN = 0.8  # share of the held-out rows whose value was seen in the other half
_LEAST = 20  # rows
_MOST = 50_000  # rows looked at
_BINS = 64  # of a column of numbers


def leaking_columns(columns: Columns | None, table: Table) -> tuple[Finding, ...]:
    """Columns without a role that predict the label almost perfectly.

    Args:
        columns: all columns of the file or frame; None where there are none.
        table: what was read from it, with labels.

    Returns:
        A finding of the kind "leaking-column" for each, the rows being none; `suggestions` holds the
        column's name.
    """
    if columns is None or not table.targets or len(table) < _LEAST:
        return ()
    used = {table.roles.input, table.roles.target, table.roles.split, table.roles.group}
    place = {name: i for i, name in enumerate(columns.names)}
    rows = np.array([place.get(name, -1) for name in table.names])
    if (rows < 0).any():
        return ()
    order = generator(0, 14).permutation(len(rows))[:_MOST]
    labels = [table.targets[i] for i in order]
    findings = []
    for name, values in columns.values.items():
        if name in used:
            continue
        cells = _cells([values[rows[i]] for i in order])
        if cells is not None:
            findings += _leak(name, cells, labels)
    return tuple(findings)


def _leak(name: str, cells: Sequence[str], labels: Sequence[str]) -> list[Finding]:
    right, seen = determined(cells, labels)
    if right is None or right < _RIGHT or seen < _SEEN:
        return []
    back, _ = determined(labels, cells)
    share = f"{100 * right:.1f}".rstrip("0").rstrip(".")
    if back is not None and back >= _RIGHT:
        what = f"Column {name!r} is the label under another name: it gives {share} % of the labels."
        fix = "never put it into the input; nothing to do otherwise, as it is not learned from"
    else:
        what = f"Column {name!r} alone gives {share} % of the labels of rows that were set aside."
        fix = f'never put it into the input; if its rows belong together, keep them so: --group "{name}"'
    return [Finding("leaking-column", "warning", what, fix, confidence=right, suggestions=(name,))]


def determined(causes: Sequence[str], effects: Sequence[str]) -> tuple[float | None, float]:
    """How far one column determines another.

    The most frequent effect of each cause is learned on the first half of the rows and checked on the
    second.

    Returns:
        The share of right answers on the second half, None where that is no better than always
        guessing (its errors more than a tenth of those); and the share of rows whose cause was seen.
    """
    half = len(causes) // 2
    known: dict[str, Counter[str]] = defaultdict(Counter)
    for cause, effect in zip(causes[:half], effects[:half]):
        known[cause][effect] += 1
    answer = {cause: counts.most_common(1)[0][0] for cause, counts in known.items()}
    usual = Counter(effects[:half]).most_common(1)[0][0]
    pairs = list(zip(causes[half:], effects[half:]))
    right = sum(answer.get(cause, usual) == effect for cause, effect in pairs) / len(pairs)
    guessed = sum(usual == effect for _, effect in pairs) / len(pairs)
    seen = sum(cause in answer for cause, _ in pairs) / len(pairs)
    return (right if 1 - right <= _LEFT * (1 - guessed) and guessed < 1 else None), seen


def _cells(values: Sequence[Any]) -> list[str] | None:
    """Cells as texts, numbers of many values as bins; None for what can give nothing away."""
    try:
        numbers = np.array([np.nan if missing(v) or v == "" else float(v) for v in values])
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if len(numbers) and len(np.unique(numbers)) > _BINS:
        finite = numbers[np.isfinite(numbers)]
        if not len(finite):
            return None
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, _BINS + 1)[1:-1]))
        bins = np.where(np.isfinite(numbers), np.searchsorted(edges, numbers), -1)
        return [str(one) for one in bins.tolist()]
    if any(isinstance(value, (bytes, list, dict, np.ndarray)) for value in values):
        return None
    cells = labels_of(values)
    return cells if 1 < len(set(cells)) <= len(cells) // 2 else None
