"""Exact and near duplicates within a table and across splits.

What the bytes tell (`headstart.data.doctor.duplicate_groups`) is joined by what pictures look like and
what texts say; see `near_pictures` and `near_texts` for the rules.
"""

from __future__ import annotations

import numpy as np

from headstart.compute import generator
from headstart.data import doctor
from headstart.evaluation import near_pictures, near_texts
from headstart.preprocess import likeness
from headstart.types import Table

MOST = 100_000
"""Rows among which near duplicates are looked for; beyond, a sample of so many."""


def near_groups(
    table: Table,
    features: np.ndarray | None = None,
    *,
    prints: np.ndarray | None = None,
    exact: np.ndarray | None = None,
) -> np.ndarray:
    """Numbers that join exact and near duplicates, so that a split can keep them on one side.

    Args:
        table: n rows.
        features: (n, d); without them fewer near duplicates are found.
        prints: (n, WIDTH) of `headstart.features.prints`, for pictures; made here when None.
        exact: (n,) of `headstart.data.doctor.duplicate_groups`; made here when None.

    Returns:
        (n,) int64, numbered by first appearance. With more than `MOST` different rows the near ones
        are looked for among a sample of them.
    """
    if exact is None:
        exact = doctor.duplicate_groups(table)
    _, first = np.unique(exact, return_index=True)  # one row stands for its exact copies
    first = _sample(first)
    pairs = _pairs(table, features, prints, first, None)
    return _joined(exact, first[pairs])


def leaked(
    train: Table,
    train_features: np.ndarray | None,
    test: Table,
    test_features: np.ndarray | None,
    *,
    prints: np.ndarray | None = None,
    test_prints: np.ndarray | None = None,
) -> np.ndarray:
    """Test rows that are exact or near duplicates of training rows.

    Args:
        train: n rows.
        train_features: (n, d), or None.
        test: m rows.
        test_features: (m, d) of the same backbone, or None.
        prints: (n, WIDTH) of `headstart.features.prints`, for pictures; made here when None.
        test_prints: (m, WIDTH).

    Returns:
        (m,) bool.
    """
    of_test, _ = twins(
        train, train_features, test, test_features, prints=prints, test_prints=test_prints
    )
    return of_test >= 0


def twins(
    train: Table,
    train_features: np.ndarray | None,
    test: Table,
    test_features: np.ndarray | None,
    *,
    prints: np.ndarray | None = None,
    test_prints: np.ndarray | None = None,
    exact: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of two tables that are exact or near duplicates of each other.

    Args:
        train: n rows.
        train_features: (n, d), or None.
        test: m rows.
        test_features: (m, d), or None.
        prints: (n, WIDTH), for pictures; made here when None.
        test_prints: (m, WIDTH).
        exact: (n + m,) of `headstart.data.doctor.duplicate_groups` of both below each other; made here
            when None.

    Returns:
        (m,) for each test row a training row that it repeats, and (n,) for each training row a test
        row that it repeats; -1 where there is none. An exact duplicate wins over a near one.
    """
    n, m = len(train), len(test)
    if not n or not m or train.modality != test.modality:
        return np.full(m, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    both = doctor.joined(train, test)
    if exact is None:
        exact = doctor.duplicate_groups(both)
    learned, measured = _firsts(exact[:n]), _firsts(exact[n:])
    near_measured: dict[int, int] = {}
    near_learned: dict[int, int] = {}
    rows = _sample(np.array(sorted(learned.values()), dtype=np.int64))
    split = len(rows)
    rows = np.concatenate([rows, np.array(sorted(measured.values()), dtype=np.int64) + n])
    features = None
    if train_features is not None and test_features is not None:
        features = np.concatenate([train_features, test_features])
    looks = None
    if prints is not None and test_prints is not None:
        looks = np.concatenate([prints, test_prints])
    for one, other in rows[_pairs(both, features, looks, rows, split)].tolist():
        near_learned.setdefault(int(exact[other]), one)
        near_measured.setdefault(int(exact[one]), other - n)
    of_test = [learned.get(g, near_learned.get(g, -1)) for g in exact[n:].tolist()]
    of_train = [measured.get(g, near_measured.get(g, -1)) for g in exact[:n].tolist()]
    return np.array(of_test, dtype=np.int64), np.array(of_train, dtype=np.int64)


def _firsts(groups: np.ndarray) -> dict[int, int]:
    """Group -> its first row."""
    first: dict[int, int] = {}
    for row, group in enumerate(groups.tolist()):
        first.setdefault(group, row)
    return first


def _pairs(
    table: Table,
    features: np.ndarray | None,
    prints: np.ndarray | None,
    rows: np.ndarray,
    split: int | None,
) -> np.ndarray:
    """Near duplicates among some rows, (p, 2) places in `rows`."""
    if len(rows) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    own = None if features is None else np.asarray(features)[rows]
    if table.modality == "image":
        if prints is None:
            seen = likeness.prints([table.inputs[row] for row in rows])
        else:
            seen = prints[rows]
        return near_pictures.near_pairs(seen, own, split)
    keys = doctor.text_keys([table.inputs[row] for row in rows])
    return near_texts.near_pairs(keys, own, split)


def _sample(rows: np.ndarray) -> np.ndarray:
    """At most `MOST` of the rows, drawn evenly, in their order."""
    if len(rows) <= MOST:
        return np.sort(rows)
    return np.sort(generator(0, 12).choice(rows, MOST, replace=False))


def merged(groups: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Rows that share a group of either kind, directly or through others, get one number: (n,) int64.

    Args:
        groups: (n,) numbers by first appearance.
        others: (n,) integers of any kind.
    """
    order = np.argsort(others, kind="stable")
    same = np.flatnonzero(others[order][1:] == others[order][:-1])
    return _joined(groups, np.stack([order[same], order[same + 1]], axis=1))


def _joined(groups: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Group numbers after joining the groups of both rows of each pair; by first appearance."""
    parent = np.arange(int(groups.max(initial=-1)) + 1)

    def root(group: int) -> int:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = int(parent[group])
        return group

    for one, other in pairs.tolist():
        a, b = root(int(groups[one])), root(int(groups[other]))
        parent[max(a, b)] = min(a, b)
    roots = np.array([root(group) for group in range(len(parent))], dtype=np.int64)
    # groups are numbered by first appearance, and each root is the first of its members
    return np.unique(roots[groups], return_inverse=True)[1].astype(np.int64)
