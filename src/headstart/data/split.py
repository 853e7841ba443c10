"""Which rows are for learning and which for measuring: stratified, grouped, by time, the same on every run.

Rows are drawn in the order of a hash of their content and the seed, so the draw does not depend on
the order of the rows, on names of folders above them, or on the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from headstart.data.split_notes import coverage_notes, group_notes, span, straddling_note
from headstart.data.split_time import latest, time_folds
from headstart.data.times import order_of
from headstart.errors import ConfigError, DataError
from headstart.types import Split, Table

_MIN_ROWS = 4
_TRIES = 16  # draws compared when groups are coarse
_COARSE = 2000  # units; above, one draw hits the proportions well enough


@dataclass(frozen=True)
class _Unit:
    """Rows that stay together.

    Attributes:
        rows: their numbers.
        counts: class number -> how many of the rows are of it.
    """

    rows: tuple[int, ...]
    counts: dict[int, int]


def make_split(
    table: Table,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    test_size: float = 0.2,
    n_folds: int = 5,
    with_test: bool = True,
) -> Split:
    """Divide the rows of a table.

    Where the table says which rows are for testing, that is kept. Otherwise a share of every class
    is held out: as many rows as the share asks for, within one, if no rows belong together; groups
    are never parted, and every class keeps at least one training row. Where the rows have times, the
    latest are held out instead, whatever their classes, and the folds are blocks of time.

    Args:
        table: n labelled rows.
        groups: (n,) integers; rows with the same number stay together. `table.groups` when None.
        seed: another seed draws other rows.
        test_size: share of the rows to hold out, between 0 and 1.
        n_folds: cross-validation folds of the training rows, at least 2; fewer are made where no
            class has as many units.
        with_test: False if the test rows come from elsewhere: then all rows are for learning, but
            for those that the table marks as test.

    Returns:
        The split. Training rows of a class that has only one unit (row or group) have fold -1: they
        are learned from in every fold and never held out.

    Raises:
        DataError: no labels, fewer than 4 rows, one class only, or nothing can be held out.
        ConfigError: `test_size` or `n_folds` out of range.
    """
    if not 0 < test_size < 1:
        raise ConfigError(f"test_size is {test_size}.", fix="take a share between 0 and 1")
    if n_folds < 2:
        raise ConfigError(f"n_folds is {n_folds}.", fix="take at least 2 folds")
    codes, labels = _codes(table)
    units_of = _groups(table, groups)
    keys = _order_keys(table, seed)
    order = None if table.times is None else order_of(table.times)
    parts = np.array(table.split) if table.split is not None else np.full(len(table), "train")
    notes = group_notes(units_of)
    train, test, name, protocol = _given(parts, with_test)
    if name == "held-out" and order is not None:
        test, moved = latest(order, units_of, test_size)
        train, protocol = _by_time(table, order, test)
        notes += straddling_note(units_of, moved)
    elif name == "held-out":
        units = _units(np.arange(len(table)), codes, units_of, keys)
        test = _hold_out(units, codes, len(labels), test_size)
        train = np.setdiff1d(np.arange(len(table)), test)
        kept = " and groups kept together" if notes else ""
        protocol = f"{len(test):,} of {len(table):,} rows held out, drawn within every class{kept} (seed {seed})"
    elif not with_test and (parts == "test").any():
        left = int((parts == "test").sum())
        notes += (f"{left:,} rows that the data marks as test are kept out",)
    _check_train(codes[train], labels, table)
    if len(test):
        notes += coverage_notes(codes, train, test, labels, units_of)
    folds = None
    if order is not None:
        folds = time_folds(order[train], units_of[train], codes[train], n_folds)
    if folds is not None:
        notes += ("the folds of the cross-validation are blocks of time",)
    else:
        folds = _folds(_units(train, codes, units_of, keys), train, codes, n_folds)
    return Split(train, test, protocol, name, folds, notes)


def _codes(table: Table) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class number of each row, and the sorted labels."""
    if table.targets is None:
        raise DataError(
            f"{table.source} has no labels.", fix="name the column of the labels with --target"
        )
    if len(table) < _MIN_ROWS:
        raise DataError(
            f"{table.source} has {len(table)} usable rows; at least {_MIN_ROWS} are needed.",
            fix="add labelled examples, five of each class or more",
        )
    labels = tuple(sorted(set(table.targets)))
    if len(labels) == 1:
        raise _one_class(labels[0], table)
    number = {label: i for i, label in enumerate(labels)}
    return np.array([number[label] for label in table.targets], dtype=np.int64), labels


def _one_class(label: str, table: Table) -> DataError:
    where = "name the folder directly above the class folders, with two classes or more"
    fix = where if table.roles.target == "folder" else "add rows of at least one more class"
    return DataError(f"{table.source} has only one class ({label!r}).", fix=fix)


def _check_train(codes: np.ndarray, labels: Sequence[str], table: Table) -> None:
    present = np.unique(codes)
    if len(present) == 0:
        raise DataError(f"{table.source} has no training rows.", fix="mark rows as train")
    if len(present) == 1:
        if table.times is not None and table.split is None:
            raise DataError(
                f"The earlier rows of {table.source} are all {labels[present[0]]!r}: there is nothing to"
                " tell apart.",
                fix="hold out fewer rows with --test-size, or leave --time out",
            )
        raise _one_class(labels[present[0]], table)


def _groups(table: Table, groups: np.ndarray | None) -> np.ndarray:
    """(n,) group numbers; every row its own where nothing belongs together."""
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (len(table),):
            raise ValueError(f"groups has the shape {groups.shape}, not ({len(table)},)")
        return np.unique(groups, return_inverse=True)[1].astype(np.int64)
    if table.groups is not None:
        return np.unique(np.array(table.groups), return_inverse=True)[1].astype(np.int64)
    return np.arange(len(table), dtype=np.int64)


def _order_keys(table: Table, seed: int) -> list[bytes]:
    """A sort key for each row: a hash of what the row is. Equal rows keep the order of the table."""
    start = hashlib.blake2b(f"headstart split {seed}".encode(), digest_size=16)
    keys = []
    for row, name in zip(table.inputs, table.names):
        if isinstance(row, PurePath):  # folders further up differ between machines
            part: str | bytes = "/".join(row.parts[-2:])
        elif isinstance(row, (str, bytes)):
            part = row
        else:
            part = name
        digest = start.copy()
        digest.update(part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part)
        keys.append(digest.digest())
    return keys


def _units(
    rows: np.ndarray, codes: np.ndarray, units_of: np.ndarray, keys: Sequence[bytes]
) -> list[_Unit]:
    """The given rows as units, in the order they are drawn in."""
    members: dict[int, list[int]] = {}
    for row in rows.tolist():
        members.setdefault(int(units_of[row]), []).append(row)

    def key(own: list[int]) -> bytes:
        # a hash over all rows: the least of their keys would draw large units sooner than small ones
        if len(own) == 1:
            return keys[own[0]]
        return hashlib.blake2b(b"".join(sorted(keys[row] for row in own)), digest_size=16).digest()

    order = sorted(members.values(), key=lambda own: (key(own), own))
    classes = codes.tolist()
    units = []
    for own in order:
        counts: dict[int, int] = {}
        for row in own:
            counts[classes[row]] = counts.get(classes[row], 0) + 1
        units.append(_Unit(tuple(own), counts))
    return units


def _given(parts: np.ndarray, with_test: bool) -> tuple[np.ndarray, np.ndarray, str, str]:
    """What the table itself says: training rows, test rows, name and protocol."""
    rows = np.arange(len(parts), dtype=np.int64)
    is_test, is_val = parts == "test", parts == "val"
    none = rows[:0]
    if not with_test:
        return (
            rows[~is_test],
            none,
            "test",
            "all rows are for learning; the test set is given apart",
        )
    if is_test.any():
        learned = "train and val" if is_val.any() else "train"
        protocol = (
            f"the split of the data: learned from its {learned} rows, measured on its test rows"
        )
        return rows[~is_test], rows[is_test], "test", protocol
    if is_val.any() and not is_val.all():
        protocol = "the split of the data: learned from its train rows, measured on its val rows"
        return rows[~is_val], rows[is_val], "val", protocol
    return rows, none, "held-out", ""


def _by_time(table: Table, order: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, str]:
    """The rows that are learned from where those of `test` are held out as the latest; the protocol."""
    assert table.times is not None
    if not len(test):
        same = len(np.unique(order)) < 2
        raise DataError(
            f"No row can be held out by {table.roles.time!r}: "
            + (
                "all rows have the same time."
                if same
                else "all late rows belong to groups that have earlier ones."
            ),
            fix="leave --time out, or give a test set of its own",
        )
    train = np.setdiff1d(np.arange(len(table)), test)
    return train, (
        f"the latest {len(test):,} of {len(table):,} rows held out, {span(table.times, order, test)}; "
        f"learned from {span(table.times, order, train)}"
    )


def _quotas(units: Sequence[_Unit], n_classes: int, share: float) -> np.ndarray:
    """(k,) rows to hold out of each class: proportional, by largest remainder.

    Classes with one unit give nothing; no class gives its last row.
    """
    sizes = np.zeros(n_classes, dtype=np.int64)
    n_units = np.zeros(n_classes, dtype=np.int64)
    first_seen: dict[
        int, int
    ] = {}  # ties go by the order of drawing, so that the alphabet favours no class
    for unit in units:
        for code, count in unit.counts.items():
            sizes[code] += count
            n_units[code] += 1
            first_seen.setdefault(code, len(first_seen))
    open_classes = n_units > 1
    wanted = np.where(open_classes, sizes * share, 0.0)
    room = np.where(open_classes, sizes - 1, 0)
    quotas = np.minimum(np.floor(wanted).astype(np.int64), room)
    total = max(1, round(float(wanted.sum()))) if open_classes.any() else 0
    by_rest = sorted(range(n_classes), key=lambda c: (quotas[c] - wanted[c], first_seen.get(c, 0)))
    left = total - int(quotas.sum())
    for code in by_rest:
        if left > 0 and quotas[code] < min(room[code], np.ceil(wanted[code])):
            quotas[code] += 1
            left -= 1
    return quotas


def _hold_out(
    units: Sequence[_Unit], codes: np.ndarray, n_classes: int, share: float
) -> np.ndarray:
    """Sorted row numbers of the test part.

    Units are taken in the order of drawing while they bring the classes nearer to their quotas.
    Where units are coarse that order decides a lot, so several are tried and the nearest is kept.
    """
    sizes = np.bincount(codes, minlength=n_classes).tolist()
    quotas = _quotas(units, n_classes, share).tolist()
    single = all(len(unit.rows) == 1 for unit in units)
    tries = 1 if single or len(units) > _COARSE else _TRIES
    best: list[_Unit] = []
    best_cost = float("inf")
    for number in range(tries):
        start = number * len(units) // tries  # the same circle of units, begun elsewhere
        taken, cost = _draw([*units[start:], *units[:start]], quotas, sizes)
        if taken and cost < best_cost:
            best, best_cost = taken, cost
    if not best:
        best = _least_bad(units, quotas, sizes)
    return np.array(sorted(row for unit in best for row in unit.rows), dtype=np.int64)


def _draw(
    units: Sequence[_Unit], quotas: Sequence[int], sizes: Sequence[int]
) -> tuple[list[_Unit], float]:
    """Units for the test part, and how far the classes are from their quotas."""
    held = [0] * len(quotas)
    taken = []
    for unit in units:
        change = 0.0
        for code, count in unit.counts.items():
            if held[code] + count >= sizes[code]:  # the class must keep a training row
                change = 1.0
                break
            change += (2 * (held[code] - quotas[code]) + count) * count / sizes[code]
        if change < 0:
            taken.append(unit)
            for code, count in unit.counts.items():
                held[code] += count
    cost = sum((h - q) ** 2 / n for h, q, n in zip(held, quotas, sizes))
    return taken, cost


def _least_bad(units: Sequence[_Unit], quotas: Sequence[int], sizes: Sequence[int]) -> list[_Unit]:
    """One unit, where every unit is larger than the share: the smallest that leaves all classes.

    Raises:
        DataError: none does.
    """
    possible = [u for u in units if all(n < sizes[code] for code, n in u.counts.items())]
    if not possible:
        raise DataError(
            "No row can be held out: every class has only one row, or one group of rows that belong"
            " together.",
            fix="add examples of each class, or give a test set of its own",
        )
    return [min(possible, key=lambda unit: len(unit.rows))]


def _folds(
    units: Sequence[_Unit], train: np.ndarray, codes: np.ndarray, n_folds: int
) -> np.ndarray:
    """(n_train,) fold of each training row; -1 is never held out.

    Large units are dealt first; each goes to the fold that has least of its classes so far.
    """
    n_units: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for unit in units:
        for code, count in unit.counts.items():
            n_units[code] = n_units.get(code, 0) + 1
            sizes[code] = sizes.get(code, 0) + count
    movable = [u for u in units if all(n_units[code] > 1 for code in u.counts)]
    k = max(2, min(n_folds, max(n_units.values(), default=2)))
    held: dict[int, list[float]] = {code: [0] * k for code in sizes}
    total = [0] * k
    fold_of: dict[int, int] = {}
    # class by class keeps the folds of even size; within a class as drawn, for the sort is stable
    for unit in sorted(movable, key=lambda unit: (-len(unit.rows), min(unit.counts))):
        if len(unit.counts) == 1:  # nearly always; the general rule below gives the same
            load = held[next(iter(unit.counts))]
        else:
            load = [
                sum(n * held[code][fold] / sizes[code] for code, n in unit.counts.items())
                for fold in range(k)
            ]
        fold = min(range(k), key=list(zip(load, total)).__getitem__)
        total[fold] += len(unit.rows)
        for code, count in unit.counts.items():
            held[code][fold] += count
        for row in unit.rows:
            fold_of[row] = fold
    _keep_each_class(units, held, sizes, fold_of)
    folds = np.array([fold_of.get(row, -1) for row in train.tolist()], dtype=np.int64)
    used = np.unique(folds[folds >= 0])  # no empty folds
    renumbered = np.searchsorted(used, folds)
    return np.where(folds < 0, -1, renumbered).astype(np.int64)


def _keep_each_class(
    units: Sequence[_Unit],
    held: dict[int, list[float]],
    sizes: dict[int, int],
    fold_of: dict[int, int],
) -> None:
    """Where one fold got all rows of a class, one unit of the class is never held out instead."""
    for code, size in sizes.items():
        if size in held[code]:
            unit = min((u for u in units if code in u.counts), key=lambda u: len(u.rows))
            for row in unit.rows:
                fold_of.pop(row, None)
