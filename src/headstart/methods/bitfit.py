"""Tuning biases and norms only (BitFit; Ben Zaken et al. 2022): the cheapest change of a backbone.

One number for each channel changes, all products stay as they are: few labels cannot spoil much, and what is
learned is a few thousand numbers. Each step still runs the tuned layers back and forth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headstart.config import note
from headstart.train import tuning
from headstart.train.material import Material
from headstart.types import Candidate, Modality

if TYPE_CHECKING:
    from headstart.train.settings import Epoch, Group
    from headstart.train.trainable import Layers
    from headstart.train.tuned import Tuned

_RATES: dict[Modality, float] = {"image": 3e-3, "text": 1e-3}


@dataclass(frozen=True)
class Config:
    """Settings of tuning biases and norms."""

    depth: float = field(
        default=0.5,
        metadata=note(
            "share of the backbone's layers that is tuned, from the top", low=0.01, high=1.0
        ),
    )
    epochs: int = field(default=12, metadata=note("epochs at most", low=1, high=10_000))
    lr: float = field(
        default=0.0, metadata=note("learning rate; 0 suits the inputs", low=0.0, high=10.0)
    )
    batch: int = field(default=32, metadata=note("rows a step", low=1, high=65_536))
    smoothing: float = field(default=0.0, metadata=note("label smoothing", low=0.0, high=0.9))
    augment: str = field(
        default="auto",
        metadata=note(
            "what may happen to pictures in training",
            choices=("auto", "none", "light", "standard", "trivial", "strong"),
        ),
    )
    views: int = field(
        default=5,
        metadata=note(
            "views of each picture that are kept below the tuned layers; 1: no augmentation",
            low=1,
            high=100,
        ),
    )
    patience: int = field(
        default=3, metadata=note("epochs without a lower held-out loss; 0: any", low=0, high=1000)
    )


def fit(
    material: Material,
    config: Config | None = None,
    *,
    say: Callable[[str], None] | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Candidate:
    """Tune the biases and norms of a backbone's upper layers, and the head.

    See `headstart.train.tuning.tune` for arguments, result and errors.
    """
    from headstart.train.losses import CrossEntropy
    from headstart.train.settings import Settings

    config = config or Config()
    modality = material.backbone.modality
    return tuning.tune(
        "bitfit",
        material,
        tuning.Inputs(config.depth, config.augment, config.views),
        Settings(
            lr=config.lr or _RATES[modality],
            weight_decay=0.0,
            epochs=config.epochs,
            batch=config.batch,
            clip=1.0,
            patience=config.patience,
            precision="auto" if material.budget else "float32",
            channels_last=modality == "image",
        ),
        CrossEntropy(config.smoothing),
        groups,
        say=say,
        progress=progress,
    )


def groups(module: Tuned, layers: Layers) -> list[Group]:
    """The head, and every weight with one number a channel."""
    from headstart.train.settings import Group

    each = tuple(name for name in module.origins() if module.get_parameter(name).ndim == 1)
    return [Group(("weight", "bias"), decay=False), *([Group(each, decay=False)] if each else [])]
