"""The stages that `fit` and `doctor` go through: told to the user, timed, and the one they share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from headstart.errors import DataError
from headstart.features.extract import How, extract, rows_of
from headstart.features.store import Store
from headstart.model import Progress
from headstart.types import Backbone, Epoch, Features, Table


@dataclass(frozen=True)
class Passed:
    """One epoch of a training, for whoever watches.

    Attributes:
        method: that trains.
        epoch: what it came to.
        of: epochs that are planned.
        left: seconds that this training is expected to take further.
    """

    method: str
    epoch: Epoch
    of: int
    left: float


class Stages:
    """The stages of one call.

    Attributes:
        progress: told of every stage, of what is done in it, and of messages; where it has a method
            `epoch`, also of every epoch of a training, as `Passed`.
        seconds: what each stage took.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def enter(self, name: str) -> Iterator[None]:
        """Tell the user of a stage, and add its time to `seconds`."""
        started = time.perf_counter()
        self.progress(name, 0, 0)
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def epoch(self, passed: Passed) -> None:
        """An epoch of a training, for a progress that wants to know."""
        told = getattr(self.progress, "epoch", None)
        if told is not None:
            told(passed)

    def say(self, sentence: str) -> None:
        """A message for the user."""
        self.progress(sentence, 0, 0)


def readable(
    table: Table, backbone: Backbone, store: Store, how: How, stages: Stages
) -> tuple[np.ndarray, Features]:
    """The rows of a table that can be read, and what the backbone makes of them.

    Args:
        table: n rows.
        backbone: gives the features.
        store: keeps them.
        how: how they are computed.
        stages: told how far it is.

    Returns:
        (m,) row numbers, ascending; and the features of these rows.

    Raises:
        DataError: no row can be read.
    """
    features = extract(
        table,
        backbone,
        store=store,
        how=how,
        progress=lambda done, total: stages.progress("features", done, total),
        say=stages.say,
    )
    rows = np.flatnonzero(features.readable)
    if not len(rows):
        reasons = ", ".join(sorted({skip.reason for skip in features.skipped})[:3])
        raise DataError(
            f"None of the {len(table)} inputs of {table.source} can be read ({reasons}).",
            fix="check that the paths and the files are right",
        )
    return rows, rows_of(features, rows)
