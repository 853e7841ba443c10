"""In which order an epoch visits the rows: each once, or every class equally often.

An order is a function of (seed, epoch), so that a run that was stopped goes on in the middle of an epoch
without keeping a generator's state.
"""

from __future__ import annotations

import numpy as np

from headstart.errors import DataError
from headstart.train.draws import Stream, words

_WINDOW = 32  # batches that rows are sorted by length within


def plain_order(n: int, epoch: int, seed: int) -> np.ndarray:
    """Every row once, shuffled anew each epoch.

    Returns:
        (n,) int64, a permutation of the row numbers.
    """
    return _shuffled(n, epoch, seed, Stream.ORDER)


def balanced_order(codes: np.ndarray, epoch: int, seed: int) -> np.ndarray:
    """As many draws as there are rows, shared out equally among the classes.

    A class gets n / k draws, rounded down; the few that remain go to classes drawn anew each epoch, so
    in expectation all get the same. Within a class the draws go round its rows in a shuffled order: a
    small class's rows come equally often up to one, a large class shows another part each epoch.

    Args:
        codes: (n,) class numbers, from 0; classes without rows are left out.
        epoch: the epoch's number.
        seed: the run's seed.

    Returns:
        (n,) int64 row numbers, shuffled.

    Raises:
        DataError: a negative class number, e.g. that of a row without a label.
    """
    codes = np.asarray(codes)
    n = len(codes)
    if n == 0:
        return np.zeros(0, np.int64)
    if codes.min() < 0:
        raise DataError(
            f"Row {int(codes.argmin())} has the class number {codes.min()}: it has no label.",
            fix="balance only rows that have a label",
        )
    classes, groups, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    keys = words(seed, epoch, np.arange(n), Stream.BALANCE, 2)  # within classes, and for the whole
    members = np.lexsort((keys[:, 0], groups))  # class by class, shuffled inside
    starts = np.cumsum(sizes) - sizes  # (k,)
    k = len(classes)
    quotas = np.full(k, n // k)
    # a key of the classes themselves, so that which rows there are does not matter
    quotas[np.argsort(words(seed, epoch, classes, Stream.CLASSES, 1)[:, 0])[: n % k]] += 1
    turns = np.arange(n) - np.repeat(np.cumsum(quotas) - quotas, quotas)  # 0, 1, ... in each class
    chosen = members[np.repeat(starts, quotas) + turns % np.repeat(sizes, quotas)]
    return chosen[np.argsort(keys[:, 1], kind="stable")]


def steps_per_epoch(count: int, batch: int) -> int:
    """Steps that `count` rows make in batches of `batch` rows at most."""
    return -(-count // batch)


def batches(
    rows: np.ndarray,
    batch: int,
    seed: int,
    classes: np.ndarray | None,
    lengths: np.ndarray | None,
    epoch: int,
) -> list[np.ndarray]:
    """The rows of an epoch's steps.

    The batches differ by one row at most: no small leftover that a batch norm could not bear or that
    would count more than the rest.

    Args:
        rows: (n,) row numbers.
        batch: rows a step, at most.
        seed: of the training.
        classes: (n,) classes that are to come equally often, or None.
        lengths: (n,) rows of about one length come together, so that little of a batch is padding; None
            where all are equally long.
        epoch: counted from 0.

    Returns:
        One array of row numbers for each step.
    """
    if classes is None:
        places = plain_order(len(rows), epoch, seed)
    else:
        places = balanced_order(classes, epoch, seed)
    count = steps_per_epoch(len(rows), batch)
    if lengths is None:
        return np.array_split(rows[places], count)
    return [rows[one] for one in _alike(places, lengths, count, batch, epoch, seed)]


def _alike(
    places: np.ndarray, lengths: np.ndarray, count: int, batch: int, epoch: int, seed: int
) -> list[np.ndarray]:
    """Places in batches of about one length: sorted within windows of some batches, then shuffled."""
    windows = np.array_split(places, -(-len(places) // (_WINDOW * batch)))
    ordered = [one[np.argsort(lengths[one], kind="stable")] for one in windows]
    made = np.array_split(np.concatenate(ordered), count)
    return [made[i] for i in _shuffled(len(made), epoch, seed, Stream.LENGTHS)]


def _shuffled(n: int, epoch: int, seed: int, stream: int) -> np.ndarray:
    return np.argsort(words(seed, epoch, np.arange(n), stream, 1)[:, 0], kind="stable")
