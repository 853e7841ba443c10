"""The rows of a fit: those that are learned from, those that are measured, and what is odd about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data import doctor
from headstart.evaluation import copies, duplicates, suspects
from headstart.hashing import hash_parts
from headstart.solver_rows import Rows
from headstart.tasks.classification import Classification
from headstart.types import Candidate, Features, Finding, Split, Table


@dataclass(frozen=True)
class Learned:
    """Rows that are learned from.

    Attributes:
        table: n rows.
        features: of them.
        rows: the same as the probe's solver takes them; None for other methods.
        split: the whole split; its folds are those of these rows.
        groups: (n,) rows with the same number are near duplicates, or belong together.
        prints: (n, WIDTH) what pictures look like; None for texts.
    """

    table: Table
    features: Features
    rows: Rows | None
    split: Split
    groups: np.ndarray
    prints: np.ndarray | None


@dataclass(frozen=True)
class Measured:
    """Rows that are measured.

    Attributes:
        table: m rows.
        features: of them.
        prints: (m, WIDTH); None for texts.
    """

    table: Table
    features: Features
    prints: np.ndarray | None


def look(
    learned: Learned, measured: Measured, candidate: Candidate, task: Classification
) -> tuple[np.ndarray, tuple[Finding, ...]]:
    """What features and prints tell of the rows.

    Returns:
        (m,) bool, which measured rows are, as they are or nearly, also among those learned from; and
        the findings.
    """
    tables = learned.table, measured.table
    features = learned.features.values, measured.features.values
    exact = doctor.duplicate_groups(doctor.joined(*tables))
    twins = duplicates.twins(
        tables[0],
        features[0],
        tables[1],
        features[1],
        prints=learned.prints,
        test_prints=measured.prints,
        exact=exact,
    )
    leaks = copies.across(*tables, features, (learned.prints, measured.prints), twins, exact)
    about = suspects.examine(
        learned.table,
        features[0],
        task.encode(targets(learned.table)),
        candidate.held_out,
        task.labels,
        learned.split.folds,
        held_out_rows=candidate.held_out_rows,
        groups=learned.groups,
        exact=exact[: len(learned.table)],
    )
    return twins[0] >= 0, (*leaks, *about)


def test_rows(table: Table) -> Table:
    """The rows to measure on: those that the data itself marks as test, all where it marks none."""
    if table.split is None or "test" not in table.split:
        return table
    return table.take([i for i, name in enumerate(table.split) if name == "test"])


def targets(table: Table) -> tuple[str, ...]:
    """The labels of a table that was read as a labelled one."""
    assert table.targets is not None
    return table.targets


def fingerprint(table: Table) -> str:
    """A hash of the rows' names and labels, in their order."""
    return hash_parts(part for pair in zip(table.names, targets(table)) for part in pair)


def unseen(table: Table, task: Classification) -> list[str]:
    """Labels of these rows that the model never saw."""
    return sorted(set(targets(table)) - set(task.labels))


def joined(groups: np.ndarray, names: tuple[str, ...] | None) -> np.ndarray:
    """Rows that share a duplicate group or a user's group, directly or through others, become one."""
    if names is None:
        return groups
    return duplicates.merged(groups, np.unique(np.array(names), return_inverse=True)[1])


def same_place(data: Any, test: Any) -> bool:
    """Whether the test data is the data itself."""
    if data is test:
        return True
    if not (isinstance(data, (str, Path)) and isinstance(test, (str, Path))):
        return False
    return Path(data).resolve() == Path(test).resolve()
