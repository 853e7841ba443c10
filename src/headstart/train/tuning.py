"""What all methods share that change a backbone's weights: prepare, train, put the weights back.

A method says which share of the layers is tuned, which parameters change how, and perhaps what stands in for
them while it trains; see `tune`.

Imports torch inside its functions only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np

from headstart.backbones import shelf
from headstart.config import note
from headstart.errors import DataError
from headstart.hashing import canonical_json, hash_bytes, hash_parts
from headstart.metrics import accuracy, confusion, macro_f1
from headstart.train.material import Material
from headstart.types import Backbone, Candidate, Epoch

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

    from headstart.train.distilling import Taught
    from headstart.train.settings import Group, Loss, Score, Settings, Source, Trained
    from headstart.train.sources import Between, Mixed, Pictures, Texts
    from headstart.train.trainable import Layers
    from headstart.train.tuned import Tuned

T = TypeVar("T")

AUGMENT = "trivial"  # for pictures, where nothing else is said
_ROWS = 64  # in one pass over held-out rows
_MIXUP = 0.2  # alpha of Zhang et al. 2018
_CUTMIX = 1.0  # alpha of Yun et al. 2019


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


@dataclass(frozen=True)
class Common:
    """Settings that every such method has; those of a method inherit them.

    Where `select` is "best", the held-out rows choose among the epochs, and what they then say of the
    result is somewhat too good. Where it is "last" and the schedule ends at zero, they choose nothing, not
    even when to stop, and a comparison on them is fair. They still send a training back that runs away.

    Attributes:
        goes_on: the method can begin at a backbone and head that it made itself, so what was judged learns
            from all rows by going on.
    """

    goes_on: ClassVar[bool] = True

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
    patience: int = field(default=3, metadata=PATIENCE)
    select: str = field(default="best", metadata=SELECT)


@dataclass(frozen=True)
class Ready:
    """A backbone ready to be trained.

    Attributes:
        whole: its graph, weights as numbers.
        layers: what can be trained in it.
        below: layers that stay as they are and are not run again.
        upper: the graph of the layers above; the whole where none lies below.
        module: the layers above, and the head.
        source: what it is trained on.
    """

    whole: ModelProto
    layers: Layers
    below: int
    upper: ModelProto
    module: Tuned
    source: Pictures | Texts | Between | Mixed


def tune(
    name: str,
    material: Material,
    config: Common,
    lr: float,
    groups: Callable[[Tuned, Layers], list[Group]],
    *,
    weight_decay: float = 0.0,
    merge: Callable[[Tuned], None] | None = None,
    say: Callable[[str], None] | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Candidate:
    """Train a backbone's upper layers and a head on them.

    Args:
        name: of the method.
        material: what to learn from.
        config: the method's settings.
        lr: learning rate where they leave it open.
        groups: which parameters change, and how; it may put others in their place first.
        weight_decay: of the parameters whose group wants it.
        merge: called after the training, to put the module's own parameters back.
        say: told what takes a while, and what was noticed.
        progress: told of every epoch.

    Returns:
        A candidate with a backbone of its own: the same graph with other weights. Its held-out logits are
        those of the rows `material.held`, (m, k). Without such rows the last epoch is kept.

    Raises:
        DataError: there is no row to learn from.
        BackboneError: the backbone's graph cannot be trained.
        ConfigError: CutMix is wanted of activations that are no map.
    """
    from headstart.train.trainable import with_weights

    started = time.perf_counter()
    learn = to_learn(material)
    ready = prepared(material, config, say)
    spent = time.perf_counter() - started
    settings = settings_of(material, config, lr, weight_decay, spent)
    changing = groups(ready.module, ready.layers)
    trained = run(
        ready.module,
        ready.source,
        learn,
        material,
        groups=changing,
        loss=loss_of(config),
        score=scoring(material.n_classes),
        settings=settings,
        progress=progress,
    )
    if merge:
        merge(ready.module)
    for sentence in trained.notes:
        if say:
            say(sentence)
    held_out = trained.held_out
    if not len(material.held):
        held_out = np.zeros((0, material.n_classes), np.float32)
    elif not trained.history:  # no epoch fitted: the module is as it was
        held_out = outputs(ready.module, ready.source, material.held)
    return Candidate(
        method=name,
        head=ready.module.head(),
        held_out=held_out,
        chosen={
            "depth": 1 - ready.below / ready.layers.products,
            "epochs": len(trained.history),
            "best": trained.best + 1,
            "lr": settings.lr,
            "stopped": trained.stopped,
        },
        seconds=time.perf_counter() - started,
        held_out_rows=material.held,
        backbone=shelved(
            material.backbone, with_weights(ready.whole, dict(ready.module.top.weights()))
        ),
        features=features_of(ready),
        history=trained.history,
        notes=trained.notes,
    )


def loss_of(config: Common) -> Loss:
    """The loss that the settings name."""
    from headstart.train.losses import CrossEntropy, Focal

    if config.loss == "focal":
        return Focal(smoothing=config.smoothing)
    return CrossEntropy(config.smoothing)


def prepared(
    material: Material,
    config: Common,
    say: Callable[[str], None] | None = None,
    other: Texts | None = None,
) -> Ready:
    """The backbone cut at the wanted depth, and what its lower part makes of every row.

    What was made is kept in `material.prepared`: the next training on the same inputs finds it there.

    Args:
        material: what is to be learned from.
        config: how much of the backbone is tuned, and from which views.
        say: told what takes a while.
        other: rows in place of the inputs; of these nothing is kept.
    """
    from headstart.train import sources, trainable
    from headstart.train.tuned import Tuned

    graph = material.backbone.graph_id
    whole, found = _once(material, f"graph {graph}", lambda: _graph(material.backbone))
    at, below = boundary(found, config.depth)
    rows = other or source_of(material, config)
    if not at:
        module = Tuned(trainable.Trainable(whole, found.depth), material.head)
        return Ready(whole, found, 0, whole, module, _mixed(rows, material, config))
    halves = _once(material, f"halves {graph} {at}", lambda: trainable.cut(whole, at))
    top = trainable.Trainable(halves.top, found.depth)

    def run() -> Between:
        if say:
            say(f"the lower {below} of {found.products} layers are run once and kept")
        bottom = halves.bottom.SerializeToString()
        return sources.between(rows, bottom, top.inputs, config.views)

    bottom = hash_bytes(halves.bottom.SerializeToString())  # the same under any tuned top
    told = [bottom, at, config.views, config.augment, material.seed, len(material.codes)]
    texts = rows if isinstance(rows, sources.Texts) else None
    kept = run() if other else _once(material, f"kept {told}", run)
    kept = replace(kept, targets=rows.targets, texts=texts)
    source = _mixed(kept, material, config)
    return Ready(whole, found, below, halves.top, Tuned(top, material.head), source)


def features_of(ready: Ready) -> np.ndarray:
    """(n, d) float32 features of all rows by the backbone as it is now, through the engine."""
    from headstart.engine.ort import OrtEngine
    from headstart.train.trainable import with_weights

    graph = with_weights(ready.upper, dict(ready.module.top.weights()))
    engine = OrtEngine(graph.SerializeToString())
    names, (output,) = ready.module.top.inputs, engine.outputs
    n, lengths = len(ready.source.targets), ready.source.lengths
    order = np.arange(n) if lengths is None else np.argsort(-lengths, kind="stable")
    out: np.ndarray | None = None
    for start in range(0, n, _ROWS // 2):
        rows = order[start : start + _ROWS // 2]
        inputs, _ = ready.source.batch(rows, 0, 0, train=False)
        made = engine.run({name: one.numpy() for name, one in zip(names, inputs)})[output]
        if out is None:
            out = np.empty((n, made.shape[1]), np.float32)
        out[rows] = made
    assert out is not None
    return out


def _graph(backbone: Backbone) -> tuple[ModelProto, Layers]:
    """A backbone's graph, weights as numbers, and what can be trained in it."""
    import onnx

    from headstart.train import trainable

    whole = trainable.unpacked(onnx.load(str(backbone.graph)))
    return whole, trainable.layers(whole)


def _once(material: Material, key: str, make: Callable[[], T]) -> T:
    """What was made before of the same material, or is made now."""
    if key not in material.prepared:
        material.prepared[key] = make()
    made: T = material.prepared[key]
    return made


def boundary(found: Layers, depth: float) -> tuple[str, int]:
    """The cut that leaves the wanted share of the layers above it, and how many lie below.

    ("", 0) where all layers are tuned.
    """
    wanted = found.products * (1 - depth)
    at, below = min(found.cuts, key=lambda one: abs(one[1] - wanted), default=("", 0))
    if abs(below - wanted) >= wanted:
        return "", 0
    return at, below


def source_of(material: Material, config: Common) -> Pictures | Texts:
    """All inputs as rows, and what may happen to them."""
    from headstart.train import augment_images, sources

    backbone, codes = material.backbone, material.codes
    if backbone.modality == "image":
        name = AUGMENT if config.augment == "auto" else config.augment
        settings = augment_images.preset(name if config.views > 1 else "none")
        return sources.pictures(
            material.inputs, codes, backbone.preprocess, settings, material.seed
        )
    assert backbone.tokenizer is not None
    texts = [str(text) for text in material.inputs]
    tokenizer = backbone.tokenizer.read_bytes()
    return sources.texts(texts, codes, backbone.preprocess, tokenizer, config.drop, material.seed)


def _mixed(
    source: Pictures | Texts | Between, material: Material, config: Common
) -> Pictures | Texts | Between | Mixed:
    from headstart.train import sources
    from headstart.train.mix import Mix

    if config.mix == "none" or material.backbone.modality != "image":
        return source
    assert not isinstance(source, sources.Texts)
    mixup = _MIXUP if config.mix in ("mixup", "both") else 0.0
    cutmix = _CUTMIX if config.mix in ("cutmix", "both") else 0.0
    return sources.mixed(source, material.n_classes, Mix(mixup, cutmix), material.seed)


def to_learn(material: Material) -> np.ndarray:
    """The labelled rows that are not held out.

    Raises:
        DataError: there is no such row.
    """
    learn = np.setdiff1d(np.arange(len(material.codes)), material.held)
    if not len(learn):
        raise DataError(
            f"No row is left to learn from: all {len(material.held)} are held out.",
            fix="label more rows, or take --method probe",
        )
    return learn


def settings_of(
    material: Material, config: Common, lr: float, weight_decay: float, spent: float
) -> Settings:
    """How to train.

    Args:
        material: what to learn from.
        config: the method's settings.
        lr: learning rate where the settings leave it open.
        weight_decay: of the parameters whose group wants it.
        spent: seconds of the budget that are gone.
    """
    from headstart.train.settings import Settings

    return Settings(
        optimiser=config.optimiser,
        lr=config.lr or lr,
        weight_decay=weight_decay,
        epochs=config.epochs,
        batch=config.batch,
        clip=1.0,
        ema=config.ema,
        schedule=config.schedule,
        patience=config.patience,
        select=config.select,
        seed=material.seed,
        budget=max(material.budget - spent, 1.0) if material.budget else 0.0,
        precision="auto" if material.budget else "float32",
        channels_last=material.backbone.modality == "image",
        balanced=config.balanced,
    )


def scoring(n_classes: int) -> Score:
    """Mean of accuracy and macro-F1, of logits (n, k) and codes (n,)."""

    def score(logits: np.ndarray, codes: np.ndarray) -> float:
        counts = confusion(logits.argmax(axis=1), codes, n_classes)
        return float((accuracy(counts) + macro_f1(counts)) / 2)

    return score


def run(
    module: nn.Module,
    source: Pictures | Texts | Between | Mixed | Taught,
    learn: np.ndarray,
    material: Material,
    *,
    groups: list[Group],
    loss: Loss,
    score: Score,
    settings: Settings,
    progress: Callable[[Epoch], None] | None = None,
) -> Trained:
    """The training; texts of about one length pass together, also the held-out ones.

    Args:
        module: inputs -> (n, k) outputs.
        source: what rows become.
        learn: row numbers to learn from.
        material: says which rows are held out, and where the training is kept.
        groups: which parameters change, and how.
        loss: outputs and targets -> mean over the rows.
        score: outputs and targets -> a number for the history.
        settings: how to train.
        progress: told of every epoch.
    """
    from headstart.train.loop import train

    lengths = source.lengths
    order = np.arange(len(material.held))
    if lengths is not None:
        order = np.argsort(lengths[material.held], kind="stable")
    trained = train(
        module,
        source,
        learn,
        material.held[order],
        groups=groups,
        loss=loss,
        score=score,
        settings=settings,
        folder=material.folder,
        progress=progress,
        classes=material.codes[learn] if settings.balanced else None,
        lengths=None if lengths is None else lengths[learn],
    )
    if not len(trained.held_out):
        return trained
    return replace(trained, held_out=trained.held_out[np.argsort(order)])


def outputs(module: nn.Module, source: Source, held: np.ndarray) -> np.ndarray:
    """What a module says of some rows, (m, k) float32.

    Args:
        module: inputs -> (n, k) outputs.
        source: what rows become.
        held: (m,) row numbers.
    """
    import torch

    if not len(held):
        return np.zeros((0, 0), np.float32)
    rows = [held[i : i + _ROWS] for i in range(0, len(held), _ROWS)]
    with torch.inference_mode():
        parts = [module(*source.batch(some, 0, 0, train=False)[0]) for some in rows]
    return torch.cat(parts).numpy()


def shelved(backbone: Backbone, model: ModelProto) -> Backbone:
    """The backbone with another graph, on the shelf of graphs.

    Args:
        backbone: what it was made from; name, preprocessing and tokenizer are its own.
        model: the graph.
    """
    graph = model.SerializeToString()
    tokenizer = None if backbone.tokenizer is None else backbone.tokenizer.read_text("utf-8")
    sha256 = hash_bytes(graph)
    kept = shelf.keep(
        hash_parts(
            ["tuned", backbone.graph_id, sha256, canonical_json(backbone.preprocess.to_json())]
        ),
        graph=graph,
        name=backbone.name,
        modality=backbone.modality,
        dim=backbone.dim,
        licence=backbone.licence,
        sha256=sha256,
        preprocess=backbone.preprocess,
        tokenizer=tokenizer,
    )
    return replace(kept, why=backbone.why)
