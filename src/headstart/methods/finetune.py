"""Fine-tuning from the solved probe (LP-FT; Kumar et al. 2022).

A head that starts at random pulls the backbone's features about before it is any good; one that starts at
the probe's solution changes them only as far as that helps, and keeps more of what was pretrained. All layers of
a network for texts are tuned, the upper ones of one for pictures, the deeper the less (layer-wise learning rates;
Howard and Ruder 2018). What lies below stays as it is and is run once: its activations are kept, for pictures in
several augmented views, so an epoch costs the top alone. In the end a share of the weights as they were may be
mixed into the tuned ones (WiSE-FT; Wortsman et al. 2022, arXiv:2109.01903).

Imports torch inside its functions only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headstart.config import note
from headstart.train import common, tuning
from headstart.train.material import Material
from headstart.types import Candidate, Modality, OnEpoch

if TYPE_CHECKING:
    from headstart.train.settings import Group
    from headstart.train.trainable import Layers
    from headstart.train.tuned import Tuned

# measured on held-out training rows of trashnet and financial_phrasebank
_RATES: dict[Modality, float] = {"image": 2e-4, "text": 1e-4}
_NORMED = 5e-4  # where folded batch norms are put back
_HEAD: dict[Modality, float] = {"image": 1.0, "text": 10.0}
_EPOCHS: dict[Modality, int] = {"image": 12, "text": 3}
_DEPTH: dict[Modality, float] = {"image": 0.5, "text": 1.0}
_KEEP: dict[Modality, float] = {"image": 0.25, "text": 0.0}


@dataclass(frozen=True)
class Config(common.Common):
    """Settings of fine-tuning."""

    depth: float = field(
        default=0.0,
        metadata=note(
            "share of the backbone's layers that is tuned, from the top; 0 suits the inputs",
            low=0.0,
            high=1.0,
        ),
    )
    epochs: int = field(
        default=0, metadata=note("epochs at most; 0 suits the inputs", low=0, high=10_000)
    )
    views: int = field(default=8, metadata=common.VIEWS)
    select: str = field(default="last", metadata=common.SELECT)
    patience: int = field(default=0, metadata=common.PATIENCE)
    layer_decay: float = field(
        default=0.85,
        metadata=note(
            "each twelfth of the layers learns so much slower than the one above", low=0.1, high=1.0
        ),
    )
    head_factor: float = field(
        default=0.0,
        metadata=note("the head learns so much faster; 0 suits the inputs", low=0.0, high=1000.0),
    )
    keep: float = field(
        default=-1.0,
        metadata=note(
            "share of the weights as they were that is mixed into the tuned ones at the end; -1 suits the inputs",
            low=-1.0,
            high=1.0,
        ),
    )
    weight_decay: float = field(default=0.01, metadata=note("weight decay", low=0.0, high=10.0))
    unfreeze: int = field(
        default=0,
        metadata=note(
            "epochs from one quarter of the tuned layers to the next; 0: all at once",
            low=0,
            high=1000,
        ),
    )


def fit(
    material: Material,
    config: Config | None = None,
    *,
    say: Callable[[str], None] | None = None,
    progress: OnEpoch | None = None,
) -> Candidate:
    """Tune the upper layers of a backbone and the head on it.

    Args:
        material: what to learn from.
        config: settings.
        say: told what takes a while, and what was noticed.
        progress: told of every epoch, and how many are planned.

    Returns:
        A candidate with a backbone of its own: the same graph with other weights. Its held-out logits are
        those of the rows `material.held`. Without such rows the last epoch is kept.

    Raises:
        DataError: there is no row to learn from.
        BackboneError: the backbone's graph cannot be trained.
    """
    modality = material.backbone.modality
    config = settled(config or Config(), modality)
    factor = config.head_factor or _HEAD[modality]
    return tuning.tune(
        "finetune",
        material,
        config,
        _RATES[modality],
        lambda module, layers: groups(module, layers, config, factor),
        normed=_NORMED,
        weight_decay=config.weight_decay,
        say=say,
        progress=progress,
    )


def settled(config: Config, modality: Modality) -> Config:
    """The settings with nothing left to the inputs but the learning rate."""
    return replace(
        config,
        depth=config.depth or _DEPTH[modality],
        epochs=config.epochs or _EPOCHS[modality],
        keep=_KEEP[modality] if config.keep < 0 else config.keep,
    )


def groups(module: Tuned, layers: Layers, config: Config, factor: float) -> list[Group]:
    """The head, and the weights by their depth: the lower, the slower, and the later."""
    from headstart.train.settings import Group

    made = [Group(("weight", "bias"), factor, decay=False)]
    tuned = {name: layers.depth[origin] for name, origin in module.origins().items()}
    lowest = min(tuned.values(), default=0)
    for name, depth in tuned.items():
        above = (layers.products - depth) / layers.products  # 0 at the top
        share = (layers.products - depth) / max(layers.products - lowest, 1)
        made.append(
            Group(
                (name,),
                config.layer_decay ** (12 * above),
                decay=module.get_parameter(name).ndim > 1,
                free_from=int(min(share, 0.999) * 4) * config.unfreeze,
            )
        )
    return made
