"""Methods that change weights: they start at the probe, learn what it cannot, and what ships says the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

torch = pytest.importorskip("torch")

from headstart.backbones import shelf  # noqa: E402
from headstart.engine.ort import OrtEngine  # noqa: E402
from headstart.methods import bitfit, finetune, lora, probe  # noqa: E402
from headstart.train import preparing  # noqa: E402
from headstart.train.material import Material  # noqa: E402
from headstart.train.trainable import layers  # noqa: E402
from headstart.types import Preprocess  # noqa: E402
from test_train_sources import STEPS  # noqa: E402
from test_train_trainable import picture  # noqa: E402, F401  a fixture

pytestmark = pytest.mark.train

K = 3


@pytest.fixture(scope="module")
def world():
    """Pictures whose class is where a bright stripe lies and which way it runs."""
    rng = np.random.default_rng(0)
    pictures, codes = [], []
    for i in range(150):
        pixels = rng.integers(0, 90, (20, 20, 3), dtype=np.uint8)
        place, code = rng.integers(3, 17), i % K
        if code == 0:
            pixels[place - 2 : place + 2] += 120
        elif code == 1:
            pixels[:, place - 2 : place + 2] += 120
        else:
            for j in range(20):
                pixels[j, (j + place) % 20] += 150
        pictures.append(pixels)
        codes.append(code)
    return pictures, np.array(codes), np.arange(0, 150, 4)


@pytest.fixture
def material(world, picture):  # noqa: F811
    pictures, codes, held = world
    _, model = picture
    backbone = shelf.keep(
        "a net for tests", graph=model.SerializeToString(), name="tiny:net", modality="image", dim=12,
        licence="CC0-1.0", sha256="0" * 64, preprocess=Preprocess("image", STEPS),
    )  # fmt: skip
    learn = np.setdiff1d(np.arange(len(codes)), held)
    features = answers(backbone, pictures)
    head = probe.fit(features[learn], codes[learn], np.arange(len(learn)) % 3, K).head
    return Material(pictures, codes, K, held, backbone, head)


def answers(backbone, pictures):
    from headstart.preprocess import image

    pixels = np.stack([image.prepare(one, STEPS)[0] for one in pictures])
    return OrtEngine(backbone.graph).run({"pixels": pixels})["features"]


CONFIG = finetune.Config(
    depth=1.0, epochs=12, lr=0.01, augment="none", patience=0, head_factor=1.0, keep=0.0
)


METHODS = {
    "finetune": (finetune, CONFIG),
    "the upper layers": (finetune, replace(CONFIG, depth=0.67)),
    "lora": (lora, lora.Config(rank=2, epochs=20, lr=0.03, augment="none", patience=0)),
    "bitfit": (bitfit, bitfit.Config(depth=1.0, epochs=20, lr=0.05, augment="none", select="best")),
}


@pytest.mark.parametrize("name", METHODS)
def test_it_learns_what_the_probe_cannot_and_ships_the_same(material, name):
    method, config = METHODS[name]
    found = method.fit(material, config)
    features = answers(material.backbone, material.inputs)[material.held]
    before = features @ material.head.weight + material.head.bias
    truth = material.codes[material.held]
    assert (found.held_out.argmax(1) == truth).mean() > (before.argmax(1) == truth).mean()
    assert (found.held_out_rows == material.held).all()
    assert found.chosen["stopped"] == "done"
    held = [material.inputs[row] for row in material.held]
    logits = answers(found.backbone, held) @ found.head.weight + found.head.bias
    np.testing.assert_allclose(logits, found.held_out, atol=0.02, rtol=0.01)
    assert found.backbone.graph_id != material.backbone.graph_id
    assert found.backbone.preprocess == material.backbone.preprocess


def test_what_lies_below_the_cut_does_not_change(material):
    found = finetune.fit(material, replace(CONFIG, depth=0.67, epochs=2))
    assert found.chosen["depth"] == pytest.approx(2 / 3)
    before, after = (onnx.load(str(one.graph)) for one in (material.backbone, found.backbone))
    depth = layers(before).depth
    for one, other in zip(before.graph.initializer, after.graph.initializer):
        changed = one.raw_data != other.raw_data
        assert changed == (depth.get(one.name, -1) >= 1), one.name


@pytest.mark.parametrize("name", METHODS)
def test_it_starts_at_the_probe(material, name):
    method, config = METHODS[name]
    found = method.fit(material, replace(config, epochs=1, lr=1e-9))
    features = answers(material.backbone, material.inputs)[material.held]
    np.testing.assert_allclose(
        found.held_out, features @ material.head.weight + material.head.bias, atol=5e-3, rtol=5e-3
    )


@pytest.mark.parametrize("name", ["finetune", "lora"])
def test_a_share_of_the_weights_as_they_were_is_mixed_in(material, name):
    method, config = METHODS[name]
    config = replace(config, epochs=3)
    tuned = method.fit(material, replace(config, keep=0.0))
    mixed = method.fit(material, replace(config, keep=0.25))
    nothing = method.fit(material, replace(config, keep=1.0))
    before, after, between = (weights(one) for one in (material, tuned, mixed))
    moved = [key for key in after if not np.array_equal(before[key], after[key])]
    assert moved
    for key in after:
        wanted = 0.25 * before[key].astype(np.float64) + 0.75 * after[key]
        np.testing.assert_allclose(between[key], wanted, atol=1e-6, err_msg=key)
    for key, value in weights(nothing).items():
        np.testing.assert_allclose(value, before[key], atol=1e-6, err_msg=key)
    held = [material.inputs[row] for row in material.held]
    logits = answers(mixed.backbone, held) @ mixed.head.weight + mixed.head.bias
    np.testing.assert_allclose(logits, mixed.held_out, atol=0.02, rtol=0.01)
    assert mixed.history[-1].score == tuned.history[-1].score, "the course is that of the tuning"


def weights(made):
    """Float32 weights of the graph and the head."""
    graph = onnx.load(str(made.backbone.graph)).graph
    found = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    found = {key: value for key, value in found.items() if value.dtype == np.float32}
    return found | {"head": made.head.weight, "bias": made.head.bias}


def test_only_biases_and_norms_change_with_bitfit(material):
    found = bitfit.fit(material, METHODS["bitfit"][1])
    before, after = (onnx.load(str(one.graph)) for one in (material.backbone, found.backbone))
    trained = layers(before).depth
    for one, other in zip(before.graph.initializer, after.graph.initializer):
        changed = one.raw_data != other.raw_data
        assert changed == (one.name in trained and len(one.dims) == 1), one.name


def test_low_rank_updates_are_merged_into_the_products(material):
    found = lora.fit(material, METHODS["lora"][1])
    before, after = (onnx.load(str(one.graph)) for one in (material.backbone, found.backbone))
    assert len(before.graph.node) == len(after.graph.node)
    for one, other in zip(before.graph.initializer, after.graph.initializer):
        moved = numpy_helper.to_array(other) - numpy_helper.to_array(one)
        if moved.any():
            assert moved.ndim > 1
            assert np.linalg.matrix_rank(moved.reshape(len(moved), -1), tol=1e-4) <= 2


def test_the_same_again_and_another_seed(material):
    config = replace(CONFIG, epochs=2, augment="standard")
    one, other = finetune.fit(material, config), finetune.fit(material, config)
    assert one.held_out.tobytes() == other.held_out.tobytes()
    assert one.backbone.graph_id == other.backbone.graph_id
    assert (
        finetune.fit(replace(material, seed=1), config).held_out.tobytes() != one.held_out.tobytes()
    )


def test_layers_learn_by_their_depth(material):
    from headstart.train.trainable import Trainable
    from headstart.train.tuned import Tuned

    model = onnx.load(str(material.backbone.graph))
    found = layers(model)
    module = Tuned(Trainable(model, found.depth), material.head)
    groups = finetune.groups(module, found, replace(CONFIG, layer_decay=0.5, unfreeze=2), 1.0)
    head, *others = groups
    assert (head.factor, head.decay, head.free_from) == (1.0, False, 0)
    origins = module.origins()
    by_depth = {found.depth[origins[one.names[0]]]: one for one in others}
    assert [by_depth[d].factor for d in (0, 1, 2)] == pytest.approx([0.5**12, 0.5**8, 0.5**4])
    assert by_depth[3].factor == 1.0
    assert [by_depth[d].free_from for d in (3, 2, 1, 0)] == [0, 2, 4, 6]
    assert sorted(name for one in groups for name in one.names) == sorted(
        name for name, _ in module.named_parameters()
    )


def test_a_budget_too_small_for_an_epoch_leaves_the_probe(material):
    found = finetune.fit(replace(material, budget=1e-3), replace(CONFIG, epochs=5000, batch=1))
    assert found.chosen["stopped"] in ("budget", "done")
    features = answers(material.backbone, material.inputs)[material.held]
    if found.chosen["epochs"] == 0:
        np.testing.assert_allclose(
            found.held_out,
            features @ material.head.weight + material.head.bias,
            atol=1e-3,
            rtol=1e-3,
        )


def test_nothing_held_out(material):
    """On all rows, as many epochs as were found before: the last one counts."""
    found = finetune.fit(replace(material, held=np.zeros(0, int)), replace(CONFIG, epochs=2))
    assert found.held_out.shape[0] == 0
    assert found.chosen["epochs"] == found.chosen["best"] == 2
    features = answers(found.backbone, material.inputs)
    assert found.features is None
    made = preparing.answers(material, found.backbone, CONFIG)
    np.testing.assert_allclose(made, features, atol=2e-2, rtol=2e-2)
    some = np.array([3, 5, 11])
    few = preparing.answers(material, found.backbone, CONFIG, some)
    np.testing.assert_allclose(few, made[some], atol=1e-5)


def test_what_is_left_open_suits_the_inputs():
    for modality, keep in (("image", 0.25), ("text", 0.0)):
        found = finetune.settled(finetune.Config(), modality)
        assert found.keep == keep
        assert min(found.depth, found.epochs) > 0
    given = finetune.Config(keep=0.0, depth=0.1, epochs=2)
    assert finetune.settled(given, "image") == given
