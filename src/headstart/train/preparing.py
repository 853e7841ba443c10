"""A backbone made ready to be trained: cut at the wanted depth, and what lies below run once.

Imports torch inside its functions only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from headstart.hashing import hash_bytes
from headstart.train.common import Common
from headstart.train.material import Material
from headstart.types import Backbone

if TYPE_CHECKING:
    from onnx import ModelProto

    from headstart.engine.ort import OrtEngine
    from headstart.train.between import Between, Mixed
    from headstart.train.sources import Pictures, Texts
    from headstart.train.trainable import Layers
    from headstart.train.tuned import Tuned

T = TypeVar("T")

AUGMENT = "trivial"  # for pictures, where nothing else is said
_MIXUP = 0.2  # alpha of Zhang et al. 2018
_CUTMIX = 1.0  # alpha of Yun et al. 2019


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
    from headstart.train import between, sources, trainable
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
        return between.between(rows, bottom, top.inputs, config.views)

    bottom = hash_bytes(halves.bottom.SerializeToString())  # the same under any tuned top
    told = [bottom, at, config.views, config.augment, material.seed, len(material.codes)]
    texts = rows if isinstance(rows, sources.Texts) else None
    kept = run() if other else _once(material, f"kept {told}", run)
    kept = replace(kept, targets=rows.targets, texts=texts)
    source = _mixed(kept, material, config)
    return Ready(whole, found, below, halves.top, Tuned(top, material.head), source)


def engine_of(ready: Ready) -> OrtEngine:
    """The layers above the cut, as they are now, in the engine."""
    from headstart.engine.ort import OrtEngine
    from headstart.train.trainable import with_weights

    graph = with_weights(ready.upper, dict(ready.module.top.weights()))
    return OrtEngine(graph.SerializeToString())


def features_of(
    ready: Ready, engine: OrtEngine | None = None, some: np.ndarray | None = None
) -> np.ndarray:
    """(m, d) float32 features of rows by the backbone as it is now, through the engine.

    Args:
        ready: the backbone, and the rows.
        engine: of `engine_of`, where it is at hand.
        some: (m,) row numbers; None: all.
    """
    from headstart.train.sources import through

    source, names = ready.source, ready.module.top.inputs
    rows = np.arange(len(source.targets)) if some is None else some
    lengths = None if source.lengths is None else source.lengths[rows]

    def feeds(places: np.ndarray) -> dict[str, np.ndarray]:
        inputs, _ = source.batch(rows[places], 0, 0, train=False)
        return {name: one.numpy() for name, one in zip(names, inputs)}

    return through(engine or engine_of(ready), feeds, len(rows), lengths)


def answers(
    material: Material, backbone: Backbone, config: Common, some: np.ndarray | None = None
) -> np.ndarray:
    """(m, d) float32 features of rows by a backbone that was made of the material's own.

    Args:
        material: what was learned from.
        backbone: what came of it.
        config: how much of it was tuned: what lies below need not be run again.
        some: (m,) row numbers; None: all.
    """
    tuned = replace(material, backbone=backbone, prepared=dict(material.prepared))
    return features_of(prepared(tuned, config), some=some)


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
    from headstart.train import between, sources
    from headstart.train.mix import Mix

    if config.mix == "none" or material.backbone.modality != "image":
        return source
    assert not isinstance(source, sources.Texts)
    mixup = _MIXUP if config.mix in ("mixup", "both") else 0.0
    cutmix = _CUTMIX if config.mix in ("cutmix", "both") else 0.0
    return between.mixed(source, material.n_classes, Mix(mixup, cutmix), material.seed)
