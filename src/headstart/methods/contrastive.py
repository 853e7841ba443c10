"""Few-label tuning by comparing rows (SetFit's idea; Tunstall et al. 2022, arXiv:2209.11055).

A handful of labels says little about a head, but much about which rows belong together. The backbone is tuned
until the rows of a class lie closer to each other than to the rest, by cosines, in batches that are balanced
over the classes; then a linear head is solved on the tuned features. Each row is compared with a prototype of
every class or, with `loss="rows"`, with the other rows of its batch. There is no list of pairs.

A row whose class has no other row comes with another view of itself, which says less: of a picture, another
augmentation; of a text, one with words left out.

Imports torch inside its functions only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from headstart.config import note
from headstart.errors import DataError
from headstart.train import common, preparing, tuning
from headstart.train.material import Material
from headstart.types import Candidate, Head, Modality, OnEpoch

if TYPE_CHECKING:
    from torch import nn

    from headstart.train.pairs import Pairs
    from headstart.train.preparing import Ready
    from headstart.train.settings import Loss, Trained

# measured on training rows of financial_phrasebank and clinc150
_RATES: dict[Modality, float] = {"image": 1e-3, "text": 5e-5}
_PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
_PENALTY = 0.03  # where no row was ever held out


@dataclass(frozen=True)
class Config(common.Common):
    """Settings of tuning by pairs."""

    goes_on: ClassVar[bool] = False
    epochs: int = field(default=20, metadata=note("epochs at most", low=1, high=10_000))
    steps: int = field(default=60, metadata=note("steps at most", low=1, high=1_000_000))
    batch: int = field(default=64, metadata=note("rows a step, views counted", low=2, high=65_536))
    loss: str = field(
        default="prototypes",
        metadata=note(
            "what a row is compared with: a prototype of each class, or the other rows of its batch",
            choices=("prototypes", "rows"),
        ),
    )
    temperature: float = field(
        default=0.1,
        metadata=note(
            "of the cosines: the lower, the more the nearest rows count", low=0.01, high=10.0
        ),
    )
    penalty: float = field(
        default=0.0,
        metadata=note("L2 penalty of the head; 0: what suits the held-out rows", low=0.0, high=1e6),
    )
    views: int = field(default=8, metadata=common.VIEWS)
    smoothing: float = field(default=0.0, metadata=note(common.UNUSED, low=0.0, high=0.0))
    patience: int = field(default=0, metadata=note(common.UNUSED, low=0, high=0))
    mix: str = field(default="none", metadata=note(common.UNUSED, choices=("none",)))
    keep: float = field(default=0.0, metadata=note(common.UNUSED, low=0.0, high=0.0))
    balanced: bool = field(
        default=True, metadata=note("batches are balanced over the classes", low=1, high=1)
    )
    select: str = field(
        default="last", metadata=note("the epoch whose weights are kept", choices=("last",))
    )


def fit(
    material: Material,
    config: Config | None = None,
    *,
    say: Callable[[str], None] | None = None,
    progress: OnEpoch | None = None,
) -> Candidate:
    """Tune the upper layers of a backbone by pairs, and solve a head on its features.

    The rows that are held out take no part, neither in the tuning nor in the head that answers them; they
    choose that head's penalty. The head that is handed back is solved on all rows.

    Args:
        material: what to learn from.
        config: settings.
        say: told what takes a while, and what was noticed.
        progress: told of every epoch, and how many are planned.

    Returns:
        A candidate with a backbone of its own: the same graph with other weights. Its held-out logits are
        those of the rows `material.held`.

    Raises:
        DataError: there is no row to learn from.
        BackboneError: the backbone's graph cannot be trained.
    """
    from headstart.train.heads import solved
    from headstart.train.trainable import with_weights

    started = time.perf_counter()
    config = config or Config()
    n = len(material.codes)
    learn = np.setdiff1d(np.arange(n), material.held)
    if not len(learn):
        raise DataError(
            "There is no row to learn from that is not held out.",
            fix="label more rows, or take --method probe",
        )
    ready, source, lonely = _ready(material, config, learn, say)
    trained = _trained(ready, source, material, config, learn, started, progress)
    notes = (*lonely, *trained.notes)
    for sentence in notes:
        if say:
            say(sentence)
    features = preparing.features_of(ready)[:n]
    judge, penalty = _judged(features, material, config, learn)
    held_out = features[material.held] @ judge.weight + judge.bias
    return Candidate(
        method="contrastive",
        head=solved(features, material.codes, material.n_classes, [penalty]).head,
        held_out=held_out.astype(np.float32),
        chosen={
            "depth": 1 - ready.below / ready.layers.products,
            "epochs": len(trained.history),
            "best": trained.best + 1,
            "lr": config.lr or _RATES[material.backbone.modality],
            "loss": config.loss,
            "penalty": penalty,
            "stopped": trained.stopped,
        },
        seconds=time.perf_counter() - started,
        held_out_rows=material.held,
        backbone=tuning.shelved(
            material.backbone, with_weights(ready.whole, dict(ready.module.top.weights()))
        ),
        features=features,
        history=trained.history,
        notes=notes,
    )


def _judged(
    features: np.ndarray, material: Material, config: Config, learn: np.ndarray
) -> tuple[Head, float]:
    """The head of the rows to learn from, and the penalty that the held-out rows chose.

    Where none is held out, those of earlier trainings on the same inputs have chosen.
    """
    from headstart.train.heads import best, solved

    codes, k, held = material.codes, material.n_classes, material.held
    key = f"contrastive penalties {config.loss} {config.depth}"
    earlier = material.prepared.setdefault(key, {})  # held-out rows -> their summed losses
    if config.penalty:
        penalties = [config.penalty]
    elif not len(held):
        total = sum(earlier.values())
        penalties = [_PENALTIES[best(total)] if earlier else _PENALTY]
    else:
        penalties = list(_PENALTIES)
    judge = (features[held], codes[held]) if len(held) else None
    found = solved(features[learn], codes[learn], k, penalties, judge)
    if len(held) and not config.penalty:
        earlier[held.tobytes()] = len(held) * found.losses
    return found.head, found.penalty


def _ready(
    material: Material, config: Config, learn: np.ndarray, say: Callable[[str], None] | None
) -> tuple[Ready, Pairs, tuple[str, ...]]:
    """The backbone, the batches it is tuned on, and a note where rows have no partner."""
    from headstart.train import pairs
    from headstart.train.sources import Texts

    there = np.unique(material.codes[learn])  # a class may be among the held-out rows alone
    labels = material.codes[:, None] == there  # (n, classes)
    image = material.backbone.modality == "image"
    lonely = pairs.alone(labels, learn)
    other, twins = None, None
    if len(lonely) and not image:
        plain = preparing.source_of(material, config)
        assert isinstance(plain, Texts)
        assert material.backbone.tokenizer is not None
        special = pairs.special_tokens(material.backbone.tokenizer.read_bytes())
        other, twins = pairs.with_twins(plain, lonely, special, material.seed)
    ready = preparing.prepared(material, config, say, other)
    drawn = pairs.sampler(
        labels, learn, config.batch // 2 if image else config.batch, material.seed
    )
    source = pairs.Pairs(ready.source, labels, drawn, doubled=image, twins=twins)
    return ready, source, (_lonely(len(lonely), image),) if len(lonely) else ()


def _lonely(count: int, image: bool) -> str:
    who = "1 row has" if count == 1 else f"{count:,} rows have"
    view = "in another augmented view" if image else "with words left out"
    return (
        f"{who} no other row of the same class: such a row is paired with itself {view}, which"
        " teaches little. A second labelled row of each class would help most."
    )


def _trained(
    ready: Ready,
    source: Pairs,
    material: Material,
    config: Config,
    learn: np.ndarray,
    started: float,
    progress: OnEpoch | None,
) -> Trained:
    """The tuning. How long it goes on is fixed beforehand: few held-out rows could not say."""
    from headstart.train.contrast import ToPrototypes, ToRows
    from headstart.train.loop import train
    from headstart.train.order import steps_per_epoch
    from headstart.train.prototypes import Prototypes, means
    from headstart.train.settings import Group, Settings

    top = ready.module.top
    names = tuple(f"graph.{name}" for name in top.origin)
    module: nn.Module = top
    loss: Loss = ToRows(config.temperature)
    if config.loss == "prototypes":
        start = means(preparing.features_of(ready)[learn], source.labels[learn])
        module, loss = Prototypes(top, start, config.temperature), ToPrototypes()
        names = ("prototypes", *(f"top.{name}" for name in names))
    modality = material.backbone.modality
    spent = time.perf_counter() - started
    each = steps_per_epoch(len(learn), config.batch)
    settings = Settings(
        optimiser=config.optimiser,
        lr=config.lr or _RATES[modality],
        weight_decay=0.0,
        schedule=config.schedule,
        ema=config.ema,
        epochs=max(1, min(config.epochs, -(-config.steps // each))),
        batch=config.batch,
        clip=1.0,
        seed=material.seed,
        budget=max(material.budget - spent, 1.0) if material.budget else 0.0,
        precision="auto" if material.budget else "float32",
        channels_last=modality == "image",
    )
    return train(
        module,
        source,
        learn,
        np.empty(0, np.int64),
        groups=[Group(names, decay=False)],
        loss=loss,
        score=lambda features, labels: 0.0,
        settings=settings,
        folder=material.folder,
        progress=progress,
        classes=material.codes[learn],
    )
