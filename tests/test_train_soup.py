"""The mean of the weights of trainings that held out different rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

torch = pytest.importorskip("torch")

from headstart.backbones import shelf  # noqa: E402
from headstart.methods import finetune, lora  # noqa: E402
from headstart.metrics import log_loss, softmax  # noqa: E402
from headstart.train.soup import mean_of  # noqa: E402
from headstart.tried import joined  # noqa: E402
from test_methods_finetune import CONFIG, answers, material, world  # noqa: E402, F401  fixtures
from test_train_trainable import picture  # noqa: E402, F401  a fixture

pytestmark = pytest.mark.train


def trainings(material, method=finetune, config=CONFIG, n=3):  # noqa: F811
    """So many, each with another of four parts of the rows held out."""
    parts = [np.arange(start, len(material.codes), 4) for start in range(n)]
    return [method.fit(replace(material, held=part), config) for part in parts]


def weights(backbone):
    graph = onnx.load(str(backbone.graph)).graph
    return {one.name: numpy_helper.to_array(one) for one in graph.initializer}


def logits(made, pictures):
    return answers(made.backbone, pictures) @ made.head.weight + made.head.bias


@pytest.mark.parametrize(
    ("method", "config"),
    [
        (finetune, CONFIG),
        (finetune, replace(CONFIG, depth=0.67)),
        (lora, lora.Config(rank=2, epochs=20, lr=0.03, augment="none", patience=0)),
    ],
    ids=["finetune", "the upper layers", "lora"],
)
def test_every_weight_is_the_mean(material, method, config):  # noqa: F811
    made = trainings(material, method, config)
    found = mean_of(joined(made), made, material, config, np.arange(len(material.codes)))
    tables = [weights(one.backbone) for one in made]
    for name, value in weights(found.backbone).items():
        mean = np.mean([table[name].astype(np.float64) for table in tables], axis=0)
        assert np.allclose(value, mean, rtol=1e-6, atol=1e-7), name
    assert any((tables[0][name] != tables[1][name]).any() for name in tables[0])
    heads = [one.head.weight for one in made]
    assert np.allclose(found.head.weight, np.mean(heads, axis=0), atol=1e-6)


def test_what_ships_answers_as_its_features_say_and_better_than_the_worst(material):  # noqa: F811
    made = trainings(material)
    found = mean_of(joined(made), made, material, CONFIG, np.arange(len(material.codes)))
    shipped = logits(found, material.inputs)
    assert np.allclose(found.features @ found.head.weight + found.head.bias, shipped, atol=1e-3)
    apart = np.arange(3, len(material.codes), 4)  # rows that every training has learned from
    codes = material.codes
    each = [log_loss(softmax(logits(one, material.inputs)), codes) for one in made]
    assert log_loss(softmax(shipped), codes) < max(each)
    assert (shipped[apart].argmax(axis=1) == codes[apart]).mean() > 0.9
    held = np.concatenate([one.held_out_rows for one in made])
    assert np.array_equal(found.held_out_rows, held)
    assert np.array_equal(found.held_out, np.concatenate([one.held_out for one in made]))


def test_features_of_some_rows_and_the_same_weights(material):  # noqa: F811
    made = trainings(material, n=2)
    every = np.arange(len(material.codes))
    whole = mean_of(joined(made), made, material, CONFIG, every)
    few = every[::7]  # held-out ones and others
    found = mean_of(joined(made), made, material, CONFIG, few)
    assert np.array_equal(found.feature_rows, few)
    assert np.allclose(found.features, whole.features[few], atol=1e-5)
    assert found.backbone.graph_id == whole.backbone.graph_id


def test_networks_of_different_basins_have_no_mean(material):  # noqa: F811
    """Weights of the other sign: in the mean little of either is left."""
    made = trainings(material, n=2)
    graph = onnx.load(str(made[1].backbone.graph))
    codes = {one.name: one for one in graph.graph.initializer}
    for name in (name for name, one in codes.items() if one.data_type == 1 and one.dims):
        value = numpy_helper.to_array(codes[name])
        codes[name].CopyFrom(numpy_helper.from_array(-value, name))  # as far away as can be
    other = shelf.keep(
        "turned round", graph=graph.SerializeToString(), name="tiny:net", modality="image", dim=12,
        licence="CC0-1.0", sha256="0" * 64, preprocess=material.backbone.preprocess,
    )  # fmt: skip
    made[1] = replace(made[1], backbone=other)
    assert mean_of(joined(made), made, material, CONFIG, np.arange(len(material.codes))) is None


def test_other_graphs_and_what_has_no_backbone_have_no_mean(material):  # noqa: F811
    made = trainings(material, n=2)
    judged = joined(made)
    every = np.arange(len(material.codes))
    gone = [made[0], replace(made[1], backbone=None)]
    assert mean_of(judged, gone, material, CONFIG, every) is None
    graph = onnx.load(str(made[1].backbone.graph))
    graph.graph.node[0].name = "another"
    other = shelf.keep(
        "another net", graph=graph.SerializeToString(), name="tiny:net", modality="image", dim=12,
        licence="CC0-1.0", sha256="0" * 64, preprocess=material.backbone.preprocess,
    )  # fmt: skip
    changed = [made[0], replace(made[1], backbone=other)]
    assert mean_of(judged, changed, material, CONFIG, every) is None
