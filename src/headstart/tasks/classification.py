"""One label out of several for each input."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from headstart.errors import DataError


@dataclass(frozen=True)
class Classification:
    """Single-label classification.

    Attributes:
        labels: k labels in the order of the classes.
    """

    labels: tuple[str, ...]
    name: ClassVar[str] = "classification"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")

    @staticmethod
    def from_targets(targets: Iterable[str]) -> Classification:
        """The task that these targets define; labels in natural order ("2" before "10").

        Raises:
            DataError: fewer than two classes.
        """
        labels = sorted(set(targets), key=_natural)
        if len(labels) < 2:
            found = f"only one class ({labels[0]!r})" if labels else "no labels at all"
            raise DataError(
                f"There is {found} in the training data; nothing can be told apart.",
                fix="add examples of at least one other class, or check --target",
            )
        return Classification(tuple(labels))

    def encode(self, targets: Sequence[str]) -> np.ndarray:
        """Labels to class numbers (n,) int64; -1 for a label this task does not know."""
        number = {label: i for i, label in enumerate(self.labels)}
        return np.array([number.get(target, -1) for target in targets], dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """As `{"name", "labels"}`."""
        return {"name": self.name, "labels": list(self.labels)}


def _natural(label: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"([0-9]+)", label)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part] or [
        (0, 0, "")
    ]
