"""What every method that changes weights is given. Without torch."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart.types import Backbone, Head, Input


@dataclass(frozen=True)
class Material:
    """What a method that changes weights is given.

    Attributes:
        inputs: n readable inputs.
        codes: (n,) class numbers.
        n_classes: k.
        held: (m,) rows that are held out: they judge every epoch and the result; empty to learn from all
            rows, for as many epochs as were found to be right before.
        backbone: where it starts.
        head: the probe's solution on the other rows.
        seed: of every random choice.
        budget: seconds; 0 none.
        folder: where a training is kept so that it can go on after a crash; None for nowhere.
        prepared: what was made of these inputs and is wanted again, by the next method or by the training
            on all rows; a copy made by `dataclasses.replace` shares it.
        spare: readable inputs without a label, of the same kind as `inputs`.
        teacher: a backbone and the head on it that a smaller one is to learn from; None: `backbone` and
            `head`.
        student: a backbone that is to learn from the teacher; None: one is made of the teacher's graph.
    """

    inputs: Sequence[Input]
    codes: np.ndarray
    n_classes: int
    held: np.ndarray
    backbone: Backbone
    head: Head
    seed: int = 0
    budget: float = 0.0
    folder: Path | None = None
    prepared: MutableMapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    spare: Sequence[Input] = ()
    teacher: tuple[Backbone, Head] | None = None
    student: Backbone | None = None
