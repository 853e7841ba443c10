"""Learning from scratch: a network with random weights is trained in whole.

No more than the labelled rows teach it anything, so it shows what a pretrained backbone is worth; see
`headstart.evaluation.transfer`. Nothing needs protection from large steps, so the learning rate is higher than
that of fine-tuning, every layer learns alike, and pictures pass more often. The head starts at 0: at first all
classes are equally probable. Labels are smoothed (Szegedy et al. 2016, arXiv:1512.00567): few rows are soon
known by heart, and then the held-out loss, which chooses the epoch, rises long before the accuracy falls.

Imports torch inside its functions only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from headstart.backbones import scratch
from headstart.backbones.random_weights import is_random
from headstart.config import note
from headstart.errors import BackboneError
from headstart.train import common, tuning
from headstart.train.material import Material
from headstart.types import Backbone, Candidate, Head, Modality, OnEpoch

if TYPE_CHECKING:
    from headstart.train.settings import Group
    from headstart.train.trainable import Layers
    from headstart.train.tuned import Tuned

# measured on held-out training rows of trashnet and financial_phrasebank
_RATES: dict[Modality, float] = {"image": 2e-3, "text": 2e-3}
_AUGMENT = "standard"
_EPOCHS: dict[Modality, int] = {"image": 40, "text": 10}
_NETWORKS: dict[Modality, str] = {"image": "cnn", "text": "textcnn"}
_AS_GIVEN = "given"
_LEARNED = "learned from these rows alone: nothing in it was pretrained"


@dataclass(frozen=True)
class Config(common.Common):
    """Settings of learning from scratch."""

    goes_on: ClassVar[bool] = False
    prepares: ClassVar[bool] = False
    network: str = field(
        default="auto",
        metadata=note(
            "what is trained; auto: a small one that suits the inputs, given: the backbone as it is",
            choices=("auto", _AS_GIVEN, *scratch.NETWORKS),
        ),
    )
    depth: float = field(
        default=1.0, metadata=note("share of the layers that is trained: all", low=1.0, high=1.0)
    )
    epochs: int = field(
        default=0, metadata=note("epochs at most; 0 suits the inputs", low=0, high=10_000)
    )
    smoothing: float = field(default=0.1, metadata=note("label smoothing", low=0.0, high=0.9))
    patience: int = field(default=10, metadata=common.PATIENCE)
    weight_decay: float = field(default=0.05, metadata=note("weight decay", low=0.0, high=10.0))
    keep: float = field(default=0.0, metadata=note(common.UNUSED, low=0.0, high=0.0))


def fit(
    material: Material,
    config: Config | None = None,
    *,
    say: Callable[[str], None] | None = None,
    progress: OnEpoch | None = None,
) -> Candidate:
    """Train a network in whole from random weights.

    Args:
        material: what to learn from. Its head is left alone, and so are the weights of its backbone, unless
            that is a network with random weights itself; a text network takes the backbone's tokenizer.
        config: settings.
        say: told what takes a while, and what was noticed.
        progress: told of every epoch, and how many are planned.

    Returns:
        A candidate with a backbone of its own. Its held-out logits are those of the rows `material.held`.

    Raises:
        DataError: there is no row to learn from, or none is held out.
        BackboneError: the network is for other inputs, or cannot be trained.
    """
    config = settled(config or Config(), material.backbone.modality)
    backbone = start(material.backbone, config.network, material.seed)
    none = Head(
        np.zeros((backbone.dim, material.n_classes), np.float32),
        np.zeros(material.n_classes, np.float32),
    )
    found = tuning.tune(
        "scratch",
        replace(material, backbone=backbone, head=none),
        config,
        config.lr,
        groups,
        weight_decay=config.weight_decay,
        say=say,
        progress=progress,
    )
    assert found.backbone is not None
    return replace(
        found,
        chosen={**found.chosen, "network": backbone.name},
        backbone=replace(found.backbone, why=_LEARNED),
    )


def settled(config: Config, modality: Modality) -> Config:
    """The settings with what they leave open: rate, epochs, augmentation; and all layers are trained.

    Args:
        config: settings.
        modality: of the inputs.
    """
    return replace(
        config,
        depth=1.0,
        lr=config.lr or _RATES[modality],
        epochs=config.epochs or _EPOCHS[modality],
        augment=_AUGMENT if config.augment == "auto" else config.augment,
    )


def start(backbone: Backbone, network: str = "auto", seed: int = 0) -> Backbone:
    """The backbone with random weights that is trained in a backbone's stead.

    Args:
        backbone: says what the inputs are, and lends its tokenizer. One with random weights is taken itself
            where the network is "auto", and any where it is "given".
        network: "auto", "given" or one of `headstart.backbones.scratch.NETWORKS`.
        seed: of the weights.

    Raises:
        BackboneError: the network is for other inputs.
    """
    if network == _AS_GIVEN or (network == "auto" and is_random(backbone)):
        return backbone
    chosen = _NETWORKS[backbone.modality] if network == "auto" else network
    made = scratch.made(chosen, reader=backbone, seed=seed)
    if made.modality != backbone.modality:
        raise BackboneError(
            f"{made.name} takes {made.modality}s, the data holds {backbone.modality}s.",
            fix=f"take the network {_NETWORKS[backbone.modality]}, or auto",
        )
    return made


def groups(module: Tuned, layers: Layers) -> list[Group]:
    """The head, the weights with weight decay, and biases and norms without."""
    from headstart.train.settings import Group

    wide = {name: module.get_parameter(name).ndim > 1 for name in module.origins()}
    parts = [(tuple(name for name in wide if wide[name] == kind), kind) for kind in (True, False)]
    head = Group(("weight", "bias"), decay=False)
    return [head, *(Group(names, decay=decay) for names, decay in parts if names)]
