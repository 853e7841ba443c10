"""Tuning biases and norms only (BitFit; Ben Zaken et al. 2022): the cheapest change of a backbone.

One number for each channel changes, all products stay as they are: few labels cannot spoil much, and what is
learned is a few thousand numbers. Each step still runs the tuned layers back and forth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headstart.train import common, tuning
from headstart.train.material import Material
from headstart.types import Candidate, Modality, OnEpoch

if TYPE_CHECKING:
    from headstart.train.settings import Group
    from headstart.train.trainable import Layers
    from headstart.train.tuned import Tuned

_RATES: dict[Modality, float] = {"image": 3e-3, "text": 1e-3}


@dataclass(frozen=True)
class Config(common.Common):
    """Settings of tuning biases and norms."""

    select: str = field(default="last", metadata=common.SELECT)
    patience: int = field(default=0, metadata=common.PATIENCE)


def fit(
    material: Material,
    config: Config | None = None,
    *,
    say: Callable[[str], None] | None = None,
    progress: OnEpoch | None = None,
) -> Candidate:
    """Tune the biases and norms of a backbone's upper layers, and the head.

    See `headstart.train.tuning.tune` for arguments, result and errors.
    """
    config = config or Config()
    modality = material.backbone.modality
    return tuning.tune(
        "bitfit",
        material,
        config,
        _RATES[modality],
        groups,
        say=say,
        progress=progress,
    )


def groups(module: Tuned, layers: Layers) -> list[Group]:
    """The head, and every weight with one number a channel."""
    from headstart.train.settings import Group

    each = tuple(name for name in module.origins() if module.get_parameter(name).ndim == 1)
    return [Group(("weight", "bias"), decay=False), *([Group(each, decay=False)] if each else [])]
