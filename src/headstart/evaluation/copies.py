"""What is said about duplicates: near ones within a table, and those across training and test rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from headstart.data import doctor
from headstart.evaluation import duplicates
from headstart.types import Finding, Table
from headstart.wording import counted, share

Two = tuple["np.ndarray | None", "np.ndarray | None"]
"""Something of the training rows, and the same of the test rows; None where it is not known."""


def within(table: Table, exact: np.ndarray, groups: np.ndarray) -> list[Finding]:
    """What to tell about near duplicates; the exact ones are told by `headstart.data.doctor`.

    Args:
        table: n rows.
        exact: (n,) of `headstart.data.doctor.duplicate_groups`.
        groups: (n,) of `duplicates.near_groups`.

    Returns:
        Findings of the kinds "near-duplicates" and "near-conflicts" (with other labels), those that
        apply.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(groups.tolist()):
        members[group].append(row)
    near = [own for own in members.values() if len({int(exact[row]) for row in own}) > 1]
    if not near:
        return []
    rows = tuple(row for own in near for row in own)
    first = tuple("" if row == own[0] else table.names[own[0]] for own in near for row in own)
    names = tuple(table.names[row] for row in rows)
    what = "pictures" if table.modality == "image" else "texts"
    message = (
        f"{len(rows):,} {what} are copies of each other but for small changes "
        f"({counted(len(near), 'group', 'groups')}), "
        f"e.g. {names[0]} and {names[1]}."
    )
    found = [
        Finding("near-duplicates", "info", message,
                "nothing to do: near duplicates are kept on one side of the split", names,
                numbers=rows, suggestions=first)
    ]  # fmt: skip
    if table.targets is None:
        return found
    clash = [own for own in near if _clash(own, exact, table.targets)]
    if clash:
        rows = tuple(row for own in clash for row in own)
        shown = ", ".join(
            f"{table.names[r]} is {table.targets[r]!r}" for r in _two(clash[0], table)
        )
        message = (
            f"{len(rows):,} {what} are nearly the same but have different labels, e.g. {shown}."
        )
        found.append(
            Finding("near-conflicts", "warning", message,
                    "decide which label is right, and mend or remove the other rows",
                    tuple(table.names[row] for row in rows), numbers=rows)
        )  # fmt: skip
    return found


def _clash(rows: Sequence[int], exact: np.ndarray, targets: Sequence[str]) -> bool:
    """Whether labels differ between rows that are not exact duplicates."""
    labels: dict[int, set[str]] = defaultdict(set)
    for row in rows:
        labels[int(exact[row])].add(targets[row])
    return len({frozenset(own) for own in labels.values()}) > 1


def _two(rows: Sequence[int], table: Table) -> list[int]:
    """Two of the rows with different labels."""
    assert table.targets is not None
    other = next(row for row in rows if table.targets[row] != table.targets[rows[0]])
    return [rows[0], other]


def across(
    train: Table,
    test: Table,
    features: Two = (None, None),
    prints: Two = (None, None),
    twins: tuple[np.ndarray, np.ndarray] | None = None,
    exact: np.ndarray | None = None,
) -> list[Finding]:
    """What to tell about training rows that repeat test rows.

    Args:
        train: n rows.
        test: m rows.
        features: (n, d) and (m, d).
        prints: (n, WIDTH) and (m, WIDTH), for pictures.
        twins: of `duplicates.twins`, where they were looked for already.
        exact: (n + m,) as for `duplicates.twins`.

    Returns:
        Findings of the kinds "leak" (exact) and "near-leak", those that apply. Their messages count
        test rows; their rows are the training rows, which can be removed, with the test rows as
        suggestions.
    """
    n = len(train)
    if not n or not len(test) or train.modality != test.modality:
        return []
    if exact is None:
        exact = doctor.duplicate_groups(doctor.joined(train, test))
    of_test, of_train = twins or duplicates.twins(
        train, features[0], test, features[1],
        prints=prints[0], test_prints=prints[1], exact=exact,
    )  # fmt: skip
    exact_test = np.flatnonzero(np.isin(exact[n:], exact[:n]))
    exact_train = np.flatnonzero(np.isin(exact[:n], exact[n:]))
    near_train = np.setdiff1d(np.flatnonzero(of_train >= 0), exact_train)
    near_test = np.setdiff1d(np.flatnonzero(of_test >= 0), exact_test)
    near_test = np.union1d(near_test, of_train[near_train])
    found = []
    for kind, measured, learned, copied in (
        ("leak", exact_test, exact_train, "also among"),
        ("near-leak", near_test, near_train, "nearly the same as some of"),
    ):
        if not len(measured):
            continue
        found.append(
            Finding(
                kind,
                "error",
                f"{share(len(measured), len(test), 'test row', 'is', 'are')} {copied} the training rows.",
                "remove their copies from the training rows: headstart doctor --fix plan.csv lists them",
                tuple(train.names[row] for row in learned),
                confidence=1.0 if kind == "leak" else None,
                numbers=tuple(int(row) for row in learned),
                suggestions=tuple(test.names[of_train[row]] for row in learned),
            )
        )
    return found
