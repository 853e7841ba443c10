"""Fine-tuning from the solved probe (LP-FT; Kumar et al. 2022).

A head that starts at random pulls the backbone's features about before it is any good; one that starts at
the probe's solution changes them only as far as that helps, and keeps more of what was pretrained. The upper
layers are tuned, the deeper the less (layer-wise learning rates; Howard and Ruder 2018). What lies below
stays as it is and is run once: its activations are kept, for pictures in several augmented views, so an epoch
costs the top alone.

Imports torch inside its functions only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.backbones import shelf
from headstart.config import note
from headstart.errors import DataError
from headstart.hashing import canonical_json, hash_bytes, hash_parts
from headstart.metrics import accuracy, confusion, macro_f1
from headstart.train.material import Material
from headstart.types import Backbone, Candidate

if TYPE_CHECKING:
    from onnx import ModelProto

    from headstart.train.settings import Epoch, Group, Trained
    from headstart.train.sources import Between, Pictures, Texts
    from headstart.train.trainable import Layers
    from headstart.train.tuned import Tuned

_RATES = {"image": 3e-4, "text": 1e-4}
_AUGMENT = {"image": "standard", "text": "none"}


@dataclass(frozen=True)
class Config:
    """Settings of fine-tuning."""

    depth: float = field(
        default=0.5,
        metadata=note(
            "share of the backbone's layers that is tuned, from the top", low=0.01, high=1.0
        ),
    )
    epochs: int = field(default=12, metadata=note("epochs at most", low=1, high=10_000))
    lr: float = field(
        default=0.0,
        metadata=note("learning rate of the topmost layer; 0 suits the inputs", low=0.0, high=10.0),
    )
    layer_decay: float = field(
        default=0.85,
        metadata=note(
            "each twelfth of the layers learns so much slower than the one above", low=0.1, high=1.0
        ),
    )
    head_factor: float = field(
        default=10.0, metadata=note("the head learns so much faster", low=0.1, high=1000.0)
    )
    batch: int = field(default=32, metadata=note("rows a step", low=1, high=65_536))
    weight_decay: float = field(default=0.01, metadata=note("weight decay", low=0.0, high=10.0))
    smoothing: float = field(default=0.0, metadata=note("label smoothing", low=0.0, high=0.9))
    unfreeze: int = field(
        default=0,
        metadata=note(
            "epochs from one quarter of the tuned layers to the next; 0: all at once",
            low=0,
            high=1000,
        ),
    )
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
    """Tune the upper layers of a backbone and the head on it.

    Args:
        material: what to learn from.
        config: settings.
        say: told what takes a while, and what was noticed.
        progress: told of every epoch.

    Returns:
        A candidate with a backbone of its own: the same graph with other weights. Its held-out logits are
        those of the rows `material.held`.

    Raises:
        DataError: there is no row to learn from, or none is held out.
        BackboneError: the backbone's graph cannot be trained.
    """
    import onnx

    from headstart.train import trainable
    from headstart.train.tuned import Tuned

    config, started = config or Config(), time.perf_counter()
    learn = np.setdiff1d(np.arange(len(material.codes)), material.held)
    if not len(learn) or not len(material.held):
        raise DataError(
            f"{len(learn)} rows to learn from and {len(material.held)} held out are not enough.",
            fix="label more rows, or take --method probe",
        )
    whole = trainable.unpacked(onnx.load(str(material.backbone.graph)))
    found = trainable.layers(whole)
    at, below = _boundary(found, config.depth)
    source: Pictures | Texts | Between
    if at:
        halves = trainable.cut(whole, at)
        if say:
            say(f"the lower {below} of {found.products} layers are run once and kept")
        source = _kept(_source(material, config), halves.bottom, halves.top, config)
        top = trainable.Trainable(halves.top, found.depth)
    else:
        source = _source(material, config)
        top = trainable.Trainable(whole, found.depth)
    module = Tuned(top, material.head)
    spent = time.perf_counter() - started
    trained = _trained(module, source, learn, material, config, found, spent, progress)
    for sentence in trained.notes:
        if say:
            say(sentence)
    made = trainable.with_weights(whole, dict(top.weights()))
    return Candidate(
        method="finetune",
        head=module.head(),
        held_out=trained.held_out
        if len(trained.held_out)
        else _unchanged(module, source, material),
        chosen={
            "depth": 1 - below / found.products,
            "epochs": len(trained.history),
            "best": trained.best + 1,
            "lr": _rate(config, material.backbone),
            "stopped": trained.stopped,
        },
        seconds=time.perf_counter() - started,
        held_out_rows=material.held,
        backbone=_shelved(material.backbone, made),
    )


def _boundary(found: Layers, depth: float) -> tuple[str, int]:
    """The cut that leaves the wanted share of the layers above it; none ("", 0) where all are tuned."""
    wanted = found.products * (1 - depth)
    at, below = min(found.cuts, key=lambda one: abs(one[1] - wanted))
    if abs(below - wanted) >= wanted:
        return "", 0
    return at, below


def _source(material: Material, config: Config) -> Pictures | Texts:
    from headstart.train import augment_images, sources

    backbone = material.backbone
    if backbone.modality == "image":
        name = _AUGMENT["image"] if config.augment == "auto" else config.augment
        return sources.pictures(
            material.inputs,
            material.codes,
            backbone.preprocess,
            augment_images.preset(name if config.views > 1 else "none"),
            material.seed,
        )
    assert backbone.tokenizer is not None
    texts = [str(text) for text in material.inputs]
    return sources.texts(
        texts, material.codes, backbone.preprocess, backbone.tokenizer.read_bytes()
    )


def _kept(source: Pictures | Texts, bottom: ModelProto, top: ModelProto, config: Config) -> Between:
    from headstart.train import sources

    names = tuple(value.name for value in top.graph.input)
    return sources.between(source, bottom.SerializeToString(), names, config.views)


def _trained(
    module: Tuned,
    source: Any,
    learn: np.ndarray,
    material: Material,
    config: Config,
    found: Layers,
    spent: float,
    progress: Callable[[Epoch], None] | None,
) -> Trained:
    from headstart.train.loop import train
    from headstart.train.losses import CrossEntropy
    from headstart.train.settings import Settings

    k = material.n_classes

    def score(logits: np.ndarray, targets: np.ndarray) -> float:
        counts = confusion(logits.argmax(axis=1), targets, k)
        return (accuracy(counts) + macro_f1(counts)) / 2

    settings = Settings(
        optimiser="adamw",
        lr=_rate(config, material.backbone),
        weight_decay=config.weight_decay,
        epochs=config.epochs,
        batch=config.batch,
        clip=1.0,
        patience=config.patience,
        seed=material.seed,
        budget=max(material.budget - spent, 1.0) if material.budget else 0.0,
        precision="auto" if material.budget else "float32",
        channels_last=material.backbone.modality == "image",
    )
    lengths = source.lengths
    order = np.arange(len(material.held))
    if lengths is not None:
        order = np.argsort(lengths[material.held], kind="stable")
    trained = train(
        module,
        source,
        learn,
        material.held[order],
        groups=_groups(module, found, config),
        loss=CrossEntropy(config.smoothing),
        score=score,
        settings=settings,
        folder=material.folder,
        progress=progress,
        lengths=None if lengths is None else lengths[learn],
    )
    if not len(trained.held_out):
        return trained
    return replace(trained, held_out=trained.held_out[np.argsort(order)])


def _groups(module: Tuned, found: Layers, config: Config) -> list[Group]:
    """The head, and the weights by their depth: the lower, the slower, and the later."""
    from headstart.train.settings import Group

    groups = [Group(("weight", "bias"), config.head_factor, decay=False)]
    tuned = {name: found.depth[origin] for name, origin in module.origins().items()}
    lowest = min(tuned.values(), default=0)
    for name, depth in tuned.items():
        above = (found.products - depth) / found.products  # 0 at the top
        share = (found.products - depth) / max(found.products - lowest, 1)
        groups.append(
            Group(
                (name,),
                config.layer_decay ** (12 * above),
                decay=module.get_parameter(name).ndim > 1,
                free_from=int(min(share, 0.999) * 4) * config.unfreeze,
            )
        )
    return groups


def _rate(config: Config, backbone: Backbone) -> float:
    return config.lr or _RATES[backbone.modality]


def _unchanged(module: Tuned, source: Any, material: Material) -> np.ndarray:
    """Logits of the held-out rows where nothing was trained."""
    import torch

    rows = [material.held[i : i + 64] for i in range(0, len(material.held), 64)]
    with torch.inference_mode():
        parts = [module(*source.batch(some, 0, 0, train=False)[0]) for some in rows]
    return torch.cat(parts).numpy()


def _shelved(backbone: Backbone, model: ModelProto) -> Backbone:
    """The backbone with other weights, on the shelf of graphs."""
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
