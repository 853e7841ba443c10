"""Settings that all methods share that change a backbone's weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from headstart.config import note

DEPTH = note("share of the backbone's layers that is tuned, from the top", low=0.01, high=1.0)
VIEWS = note(
    "views of each picture that are kept below the tuned layers; 1: no augmentation",
    low=1,
    high=100,
)
PATIENCE = note("epochs without a lower held-out loss; 0: any; for select best", low=0, high=1000)
SELECT = note(
    "the epoch whose weights are kept: best by held-out loss, or last, which has not looked at it",
    choices=("best", "last"),
)

UNUSED = "has no part in this method"
KEEP = note(
    "share of the weights as they were that is mixed into the tuned ones at the end",
    low=0.0,
    high=1.0,
)


@dataclass(frozen=True)
class Common:
    """Settings that every such method has; those of a method inherit them.

    Where `select` is "best", the held-out rows choose among the epochs, and what they then say of the
    result is somewhat too good. Where it is "last" and the schedule ends at zero, they choose nothing, not
    even when to stop, and a comparison on them is fair. They still send a training back that runs away.

    Attributes:
        goes_on: the method can begin at a backbone and head that it made itself, and all that it makes of one
            backbone lies near to it: so the weights of several trainings have a mean, and where there is one
            training, it learns from all rows by going on.
        prepares: it begins with `headstart.train.preparing.prepared`: what that makes serves all its trainings.
    """

    goes_on: ClassVar[bool] = True
    prepares: ClassVar[bool] = True

    depth: float = field(default=0.5, metadata=DEPTH)
    epochs: int = field(default=12, metadata=note("epochs at most", low=1, high=10_000))
    lr: float = field(
        default=0.0,
        metadata=note("learning rate of the topmost layer; 0 suits the inputs", low=0.0, high=10.0),
    )
    batch: int = field(default=32, metadata=note("rows a step", low=1, high=65_536))
    optimiser: str = field(
        default="adamw", metadata=note("the rule of the steps", choices=("sgd", "adam", "adamw"))
    )
    schedule: str = field(
        default="cosine",
        metadata=note("course of the learning rate", choices=("cosine", "one-cycle", "constant")),
    )
    ema: float = field(
        default=0.0, metadata=note("decay of the weights' average; 0: none", low=0, high=0.999999)
    )
    loss: str = field(
        default="cross-entropy",
        metadata=note("what is made small", choices=("cross-entropy", "focal")),
    )
    smoothing: float = field(default=0.0, metadata=note("label smoothing", low=0.0, high=0.9))
    balanced: bool = field(default=False, metadata=note("draw every class equally often"))
    mix: str = field(
        default="none",
        metadata=note(
            "how pictures of a batch are mixed with each other",
            choices=("none", "mixup", "cutmix", "both"),
        ),
    )
    drop: float = field(
        default=0.0,
        metadata=note("how likely a token of a text disappears in training", low=0.0, high=0.9),
    )
    augment: str = field(
        default="auto",
        metadata=note(
            "what may happen to pictures in training",
            choices=("auto", "none", "light", "standard", "trivial", "strong"),
        ),
    )
    views: int = field(default=5, metadata=VIEWS)
    norms: str = field(
        default="auto",
        metadata=note(
            "batch norms that are folded into convolutions are put back while these are tuned",
            choices=("auto", "off"),
        ),
    )
    keep: float = field(default=0.0, metadata=KEEP)
    patience: int = field(default=3, metadata=PATIENCE)
    select: str = field(default="best", metadata=SELECT)
