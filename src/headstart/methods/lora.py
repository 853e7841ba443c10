"""Low-rank updates of a backbone's products (LoRA; Hu et al. 2022), merged into its weights at the end.

What changes is a sum of a few outer products for each weight, so few labels cannot turn the features upside
down, and it needs no weight decay. The graph that ships has the size and speed of the one it came from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headstart.config import note
from headstart.train import common, tuning
from headstart.train.material import Material
from headstart.types import Candidate, Modality, OnEpoch

if TYPE_CHECKING:
    from headstart.train.settings import Group
    from headstart.train.trainable import Layers
    from headstart.train.tuned import Tuned

_RATES: dict[Modality, float] = {"image": 4e-4, "text": 1e-3}


@dataclass(frozen=True)
class Config(common.Common):
    """Settings of low-rank updates."""

    depth: float = field(default=1.0, metadata=common.DEPTH)
    select: str = field(default="last", metadata=common.SELECT)
    patience: int = field(default=0, metadata=common.PATIENCE)
    rank: int = field(default=8, metadata=note("rank of an update", low=1, high=1024))
    alpha: float = field(
        default=16.0, metadata=note("an update counts alpha / rank", low=0.1, high=10_000)
    )


def fit(
    material: Material,
    config: Config | None = None,
    *,
    say: Callable[[str], None] | None = None,
    progress: OnEpoch | None = None,
) -> Candidate:
    """Learn low-rank updates of the products in a backbone's upper layers, and the head.

    See `headstart.train.tuning.tune` for arguments, result and errors.
    """
    from headstart.train import low_rank

    config = config or Config()
    modality = material.backbone.modality

    def groups(module: Tuned, layers: Layers) -> list[Group]:
        return _groups(module, config, material.seed)

    return tuning.tune(
        "lora",
        material,
        config,
        _RATES[modality],
        groups,
        merge=low_rank.merge,
        say=say,
        progress=progress,
    )


def _groups(module: Tuned, config: Config, seed: int) -> list[Group]:
    """The head, and the factors of the updates, which stand in for the products' weights from now on."""
    from headstart.train.low_rank import low_rank
    from headstart.train.settings import Group

    names = [name for name in module.origins() if module.get_parameter(name).ndim > 1]
    pairs = low_rank(module, names, config.rank, config.alpha, seed)
    factors = tuple(name for pair in pairs for name in pair)
    head = Group(("weight", "bias"), decay=False)
    return [head, *([Group(factors, decay=False)] if factors else [])]
