"""What a training is told and what it tells: settings, groups of parameters, source, epochs, result.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from headstart.config import note
from headstart.errors import ConfigError
from headstart.train.multi import ALONE, Team
from headstart.types import Epoch

Loss = Callable[[Tensor, Tensor], Tensor]  # logits (n, k), targets -> mean over the rows
Score = Callable[[np.ndarray, np.ndarray], float]  # logits (m, k), targets -> a number


class Source(Protocol):
    """What rows become. Pure: the same arguments give the same tensors, in any process."""

    def batch(
        self, rows: np.ndarray, epoch: int, step: int, *, train: bool
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """The inputs and the targets of some rows.

        Args:
            rows: (n,) int64 row numbers.
            epoch: counted from 0; with the step it is the key of every random choice.
            step: optimiser steps done before this one, over all epochs.
            train: augmentation is wanted.

        Returns:
            The module's inputs, n rows each, and the targets: (n,) int64 codes or (n, k) float32.
        """
        ...  # pragma: no cover


@dataclass(frozen=True)
class Group:
    """Parameters that are treated alike. What is in no group does not change.

    Attributes:
        names: their names in the module, as `named_parameters` gives them.
        factor: the learning rate is this times that of the settings.
        decay: weight decay applies.
        free_from: the first epoch, counted from 0, in which they change.
    """

    names: tuple[str, ...]
    factor: float = 1.0
    decay: bool = True
    free_from: int = 0


@dataclass(frozen=True)
class Settings:
    """How to train.

    `batch` is the number of rows of an optimiser step, in all processes that train together; `accumulate`
    the number of pieces in which its gradients are computed: 64 rows in 4 pieces give the gradients of 64
    rows, in a quarter of the memory.

    Raises:
        ConfigError: with every value that is out of range.
    """

    optimiser: str = field(
        default="adamw", metadata=note("the rule of the steps", choices=("sgd", "adam", "adamw"))
    )
    lr: float = field(default=1e-3, metadata=note("largest learning rate", low=0, high=100))
    weight_decay: float = field(default=0.01, metadata=note("weight decay", low=0, high=100))
    momentum: float = field(default=0.9, metadata=note("momentum of sgd", low=0, high=0.9999))
    betas: tuple[float, float] = field(
        default=(0.9, 0.999), metadata=note("the two averages of adam", flag=False)
    )
    epochs: int = field(default=30, metadata=note("epochs at most", low=1, high=1_000_000))
    batch: int = field(default=32, metadata=note("rows a step, at most", low=1, high=1_000_000))
    accumulate: int = field(
        default=1, metadata=note("pieces in which a step's rows pass", low=1, high=1_000_000)
    )
    clip: float = field(
        default=0.0, metadata=note("longest gradient; 0: any length", low=0, high=1e9)
    )
    ema: float = field(
        default=0.0, metadata=note("decay of the weights' average; 0: none", low=0, high=0.999999)
    )
    schedule: str = field(
        default="cosine",
        metadata=note("course of the learning rate", choices=("cosine", "one-cycle", "constant")),
    )
    warm_up: float = field(
        default=0.1, metadata=note("share of the steps in which the rate rises", low=0, high=0.9)
    )
    patience: int = field(
        default=0,
        metadata=note(
            "epochs without a better held-out loss; 0: any; for select best", low=0, high=1_000_000
        ),
    )
    select: str = field(
        default="best",
        metadata=note(
            "the epoch whose weights are kept: best by held-out loss, or last",
            choices=("best", "last"),
        ),
    )
    seed: int = field(default=0, metadata=note("seed of every random choice", low=0, high=2**63))
    budget: float = field(default=0.0, metadata=note("seconds; 0: any", low=0, high=1e9))
    precision: str = field(
        default="float32",
        metadata=note("numbers of the products", choices=("float32", "bfloat16", "auto")),
    )
    channels_last: bool = field(
        default=False, metadata=note("pictures and kernels with the channels last in memory")
    )
    compile: str = field(
        default="auto", metadata=note("torch.compile", choices=("auto", "on", "off"))
    )
    balanced: bool = field(
        default=False, metadata=note("draw every class equally often; needs `classes`")
    )

    def __post_init__(self) -> None:
        faults = [fault for one in dataclasses.fields(self) for fault in _faults(self, one)]
        if not all(0 <= beta < 1 for beta in self.betas):
            faults.append(f"betas: {self.betas} are not between 0 and 1")
        if faults:
            raise ConfigError(
                "These settings of a training are not right: " + "; ".join(faults) + ".",
                fix="choose values in range",
            )


def _faults(settings: Settings, one: dataclasses.Field[object]) -> list[str]:
    value = getattr(settings, one.name)
    low, high, choices = (one.metadata[key] for key in ("low", "high", "choices"))
    if choices and value not in choices:
        return [f"{one.name}: {value!r} is not one of {', '.join(choices)}"]
    if low is not None and not low <= value <= high:
        return [f"{one.name}: {value!r} is not between {low:g} and {high:g}"]
    return []


@dataclass(frozen=True)
class Trained:
    """What came of a training; the module holds the weights of the selected epoch.

    Attributes:
        history: one entry an epoch.
        best: the selected epoch: the one with the lowest held-out loss, or the last one where that was
            asked for or no rows are held out; -1 where no epoch was finished, and the module is as it was.
        held_out: (m, k) float32 logits of the held-out rows in that epoch; (0, 0) where the budget
            did not allow any.
        steps: optimiser steps.
        seconds: taken, interrupted time not counted.
        stopped: "done" (all that was planned), "early" (patience), "budget" (late, or not one epoch
            fits) or "diverged".
        notes: what was noticed on the way, as sentences.
    """

    history: tuple[Epoch, ...]
    best: int
    held_out: np.ndarray
    steps: int
    seconds: float
    stopped: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """The arguments of one training, together.

    Attributes:
        module: what is trained.
        source: what rows become.
        learn: (n,) rows to learn from.
        held: (m,) held-out rows.
        classes: (n,) class of each row to learn from, for balanced drawing.
        groups: which parameters change, and how.
        loss: mean loss of logits and targets.
        score: score of logits and targets.
        settings: how to train.
        lengths: (n,) length of each row to learn from; None where all are equally long.
        team: the processes that train together.
    """

    module: nn.Module
    source: Source
    learn: np.ndarray
    held: np.ndarray
    classes: np.ndarray | None
    groups: Sequence[Group]
    loss: Loss
    score: Score
    settings: Settings
    lengths: np.ndarray | None = None
    team: Team = ALONE

    @property
    def drawn(self) -> np.ndarray | None:
        """The classes that are to come equally often, or None."""
        return self.classes if self.settings.balanced else None

    def __post_init__(self) -> None:
        named = [name for group in self.groups for name in group.names]
        unknown = sorted(set(named) - dict(self.module.named_parameters()).keys())
        twice = sorted({name for name in named if named.count(name) > 1}) if not unknown else []
        wrong = self.classes is None or len(self.classes) != len(self.learn)
        uneven = self.lengths is not None and len(self.lengths) != len(self.learn)
        for bad, why, fix in (
            (not len(self.learn), "There is no row to learn from", "pass rows"),
            (not named, "No parameter is in a group, so nothing can change", "pass groups"),
            (unknown, f"The module has no parameter {', '.join(unknown[:3])}", "name its own"),
            (twice, f"In two groups at once: {', '.join(twice[:3])}", "put each into one group"),
            (self.settings.balanced and wrong, "Balanced drawing needs classes", "pass classes"),
            (uneven, "There is not one length for each row", "pass the rows' lengths"),
        ):
            if bad:
                raise ConfigError(f"{why}.", fix=fix)
