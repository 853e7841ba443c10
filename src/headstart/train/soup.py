"""One network of several that began at the same weights and learned from different rows: the mean of their weights.

Fine-tuned networks that begin at one place mostly stay in one basin of the loss, and their mean answers better
than they do on average, at the cost of one (model soups; Wortsman et al. 2022, arXiv:2203.05482). Those that were
trained to be judged, each with other rows held out, are such networks: together they have seen all rows, and
nothing has to be trained again.

Imports onnx inside its functions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.train.common import Common
from headstart.train.material import Material
from headstart.train.preparing import answers
from headstart.train.tuning import scoring, shelved
from headstart.types import Candidate, Head

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto


def mean_of(
    judged: Candidate,
    made: Sequence[Candidate],
    material: Material,
    config: Common,
    some: np.ndarray,
) -> Candidate | None:
    """The mean of several trainings of one method.

    Args:
        judged: with the held-out logits of all of them.
        made: what they made of the backbone of `material`, at least two.
        material: what they learned from.
        config: the method's settings.
        some: (m,) rows whose features are wanted, ascending; held-out ones among them check the mean.

    Returns:
        `judged` with the mean's head, backbone and features of those rows; None where there is no mean, or
        where the networks do not lie in one basin: it then answers the held-out rows, of which most of them
        have learned, worse than each did that had not seen them.
    """
    import onnx

    models = [onnx.load(str(one.backbone.graph)) for one in made if one.backbone]
    if len(models) < len(made) or not _alike(models):
        return None
    head = Head(_mean([one.head.weight for one in made]), _mean([one.head.bias for one in made]))
    backbone = shelved(material.backbone, _mean_graph(models))
    features = answers(material, backbone, config, some)
    assert judged.held_out_rows is not None
    both, of_held, of_some = np.intersect1d(judged.held_out_rows, some, return_indices=True)
    score, truth = scoring(material.n_classes), material.codes[both]
    said = features[of_some] @ head.weight + head.bias
    if score(said, truth) < score(judged.held_out[of_held], truth):
        return None
    return replace(judged, head=head, backbone=backbone, features=features, feature_rows=some)


def _alike(models: Sequence[ModelProto]) -> bool:
    """Whether graphs differ in the values of float32 weights alone."""

    def form(model: ModelProto) -> list[object]:
        nodes: list[object] = [node.SerializeToString() for node in model.graph.node]
        return nodes + [
            (t.name, tuple(t.dims), b"" if _trained(t) else t.SerializeToString())
            for t in model.graph.initializer
        ]

    first = form(models[0])
    return all(form(one) == first for one in models[1:])


def _mean_graph(models: Sequence[ModelProto]) -> ModelProto:
    from onnx import ModelProto, numpy_helper

    made = ModelProto()
    made.CopyFrom(models[0])
    for place, tensor in enumerate(made.graph.initializer):
        if _trained(tensor):
            values = [numpy_helper.to_array(one.graph.initializer[place]) for one in models]
            tensor.CopyFrom(numpy_helper.from_array(_mean(values), tensor.name))
    return made


def _trained(tensor: TensorProto) -> bool:
    return bool(tensor.data_type == tensor.FLOAT)


def _mean(values: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.mean(values, axis=0, dtype=np.float64), np.float32)
