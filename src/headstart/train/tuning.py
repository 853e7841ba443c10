"""What all methods share that change a backbone's weights: prepare, train, put the weights back.

A method says which share of the layers is tuned, which parameters change how, and perhaps what stands in for
them while it trains; see `tune`.

Imports torch inside its functions only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.backbones import shelf
from headstart.errors import DataError
from headstart.hashing import canonical_json, hash_bytes, hash_parts
from headstart.metrics import accuracy, confusion, macro_f1
from headstart.train.common import Common
from headstart.train.material import Material
from headstart.train.preparing import prepared
from headstart.types import Backbone, Candidate, OnEpoch

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import Tensor, nn

    from headstart.train.between import Between, Mixed
    from headstart.train.distilling import Taught
    from headstart.train.settings import Group, Loss, Score, Settings, Trained
    from headstart.train.sources import Pictures, Texts
    from headstart.train.trainable import Layers
    from headstart.train.tuned import Tuned

    Rows = Pictures | Texts | Between | Mixed | Taught

_ROWS = 64  # in one pass over held-out rows


def tune(
    name: str,
    material: Material,
    config: Common,
    lr: float,
    groups: Callable[[Tuned, Layers], list[Group]],
    *,
    normed: float = 0.0,
    weight_decay: float = 0.0,
    merge: Callable[[Tuned], None] | None = None,
    say: Callable[[str], None] | None = None,
    progress: OnEpoch | None = None,
) -> Candidate:
    """Train a backbone's upper layers and a head on them.

    Args:
        name: of the method.
        material: what to learn from.
        config: the method's settings.
        lr: learning rate where they leave it open.
        groups: which parameters change, and how; it may put others in their place first.
        normed: learning rate of a network whose folded batch norms are put back; 0: `lr`.
        weight_decay: of the parameters whose group wants it.
        merge: called after the training, to put the module's own parameters back.
        say: told what takes a while, and what was noticed.
        progress: told of every epoch, and how many are planned.

    Returns:
        A candidate with a backbone of its own: the same graph with other weights. Its held-out logits are
        those of the rows `material.held`, (m, k). Without such rows the last epoch is kept. It has no
        features: most of what is judged is not kept, see `headstart.train.preparing.answers`.

    Raises:
        DataError: there is no row to learn from.
        BackboneError: the backbone's graph cannot be trained.
        ConfigError: CutMix is wanted of activations that are no map.
    """
    from headstart.train import norms
    from headstart.train.trainable import with_weights

    started = time.perf_counter()
    learn = to_learn(material)
    ready = prepared(material, config, say)
    start = _values(ready.module) if config.keep else {}
    changing = groups(ready.module, ready.layers)
    back = None
    if config.norms == "auto":
        back = norms.put_back(ready.module, ready.whole, changing, ready.source, learn)
    if back:
        changing, lr = back.groups(changing), normed or lr
    spent = time.perf_counter() - started
    settings = settings_of(material, config, lr, weight_decay, spent)
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
    if back and trained.history:
        back.fold()
    elif back:
        back.remove()
    if merge:
        merge(ready.module)
    for sentence in trained.notes:
        if say:
            say(sentence)
    if trained.history and start:
        move_back(ready.module, start, config.keep)
    held_out = trained.held_out
    if not len(material.held):
        held_out = np.zeros((0, material.n_classes), np.float32)
    elif not trained.history or start:  # no epoch fitted, or it was moved since the last one
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
        history=trained.history,
        notes=trained.notes,
    )


def loss_of(config: Common) -> Loss:
    """The loss that the settings name."""
    from headstart.train.losses import CrossEntropy, Focal

    if config.loss == "focal":
        return Focal(smoothing=config.smoothing)
    return CrossEntropy(config.smoothing)


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
    source: Rows,
    learn: np.ndarray,
    material: Material,
    *,
    groups: list[Group],
    loss: Loss,
    score: Score,
    settings: Settings,
    progress: OnEpoch | None = None,
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
        progress: told of every epoch, and how many are planned.
    """
    from headstart.train.loop import train

    lengths, order = source.lengths, _by_length(source, material.held)
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


def _values(module: nn.Module) -> dict[str, Tensor]:
    return {name: one.detach().clone() for name, one in module.named_parameters()}


def move_back(module: nn.Module, start: Mapping[str, Tensor], keep: float) -> None:
    """Move parameters back towards where they began, by a share of the way (WiSE-FT).

    Between a network and what was tuned from it lies no ridge: a mean of the two keeps what was pretrained where the
    rows said nothing, and is often better than either (Wortsman et al. 2022, arXiv:2109.01903).

    Args:
        module: tuned.
        start: its parameters, by name, as they were.
        keep: the share.
    """
    import torch

    with torch.no_grad():
        for name, one in module.named_parameters():
            one.lerp_(start[name], keep)


def _by_length(source: Rows, held: np.ndarray) -> np.ndarray:
    """(m,) places of rows, the short ones first, where they have lengths."""
    if source.lengths is None:
        return np.arange(len(held))
    return np.argsort(source.lengths[held], kind="stable")


def outputs(module: nn.Module, source: Rows, held: np.ndarray) -> np.ndarray:
    """What a module says of some rows, (m, k) float32.

    Args:
        module: inputs -> (n, k) outputs.
        source: what rows become.
        held: (m,) row numbers.
    """
    import torch

    if not len(held):
        return np.zeros((0, 0), np.float32)
    order = _by_length(source, held)
    rows = [held[order[i : i + _ROWS]] for i in range(0, len(held), _ROWS)]
    with torch.inference_mode():
        parts = [module(*source.batch(some, 0, 0, train=False)[0]) for some in rows]
    made: np.ndarray = torch.cat(parts).numpy()
    return made[np.argsort(order)]


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
