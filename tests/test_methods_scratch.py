"""Learning from scratch: from nothing to what can be learned, and what ships says the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

torch = pytest.importorskip("torch")

from headstart.backbones import scratch as networks  # noqa: E402
from headstart.backbones.choose import backbone_named  # noqa: E402
from headstart.backbones.random_weights import is_random, random_weights  # noqa: E402
from headstart.engine.ort import OrtEngine  # noqa: E402
from headstart.errors import BackboneError  # noqa: E402
from headstart.methods import scratch  # noqa: E402
from headstart.preprocess import image  # noqa: E402
from headstart.preprocess.text import TextEncoder, pad  # noqa: E402
from headstart.train.material import Material  # noqa: E402
from headstart.train.trainable import layers  # noqa: E402
from headstart.types import Head  # noqa: E402

pytestmark = pytest.mark.train

NOTHING = Head(np.full((1, 2), np.nan, np.float32), np.full(2, np.nan, np.float32))


@pytest.fixture
def texts():
    """Texts whose class is the order of two words, which counts of words cannot tell."""
    rng = np.random.default_rng(0)
    rows, codes = [], []
    for i in range(96):
        first, second = ("ab", "ba")[i % 2]
        rows.append("cd"[rng.integers(2)] + first + second + "cd"[rng.integers(2)])
        codes.append(i % 2)
    return Material(
        rows, np.array(codes), 2, np.arange(0, 96, 3), backbone_named("tiny:text"), NOTHING
    )


@pytest.fixture
def pictures():
    """Pictures with stripes that run one way or the other; their colours say nothing."""
    rng = np.random.default_rng(0)
    rows, codes = [], []
    for i in range(48):
        pixels = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
        turned = pixels if i % 2 else pixels.transpose(1, 0, 2)
        turned[rng.integers(0, 4) :: 4] += 130
        rows.append(pixels)
        codes.append(i % 2)
    return Material(
        rows, np.array(codes), 2, np.arange(0, 48, 3), backbone_named("tiny:image"), NOTHING
    )


def answers(found, inputs):
    backbone = found.backbone
    if backbone.modality == "image":
        feeds = {
            "pixels": np.stack([image.prepare(x, backbone.preprocess.steps)[0] for x in inputs])
        }
    else:
        encoder = TextEncoder(backbone.tokenizer.read_bytes(), backbone.preprocess.steps)
        feeds = pad(encoder.encode(inputs)[0])
    features = OrtEngine(backbone.graph).run(feeds)["features"]
    return features @ found.head.weight + found.head.bias


def checked(found, material):
    """It learned, it ships what it learned, and it says what it is."""
    truth = material.codes[material.held]
    assert (found.held_out.argmax(1) == truth).mean() > 0.9
    held = [material.inputs[row] for row in material.held]
    np.testing.assert_allclose(answers(found, held), found.held_out, atol=1e-3, rtol=1e-3)
    assert found.method == "scratch"
    assert found.chosen["depth"] == 1.0
    assert not is_random(found.backbone)
    assert "learned from these rows alone" in found.backbone.why


@pytest.mark.parametrize("network", networks.NETWORKS[1:])
def test_a_text_network_learns_and_ships_the_same(texts, network):
    config = scratch.Config(network=network, epochs=6, lr=4e-3, batch=8, patience=0)
    found = scratch.fit(texts, config)
    checked(found, texts)
    assert found.chosen["network"] == f"scratch:{network}"
    start = networks.made(network, reader=texts.backbone, seed=0)
    before, after = (onnx.load(str(one.graph)) for one in (start, found.backbone))
    assert [node.op_type for node in before.graph.node] == [n.op_type for n in after.graph.node]
    trained = layers(before).depth
    for one, other in zip(before.graph.initializer, after.graph.initializer):
        changed = not np.array_equal(numpy_helper.to_array(one), numpy_helper.to_array(other))
        assert changed == (one.name in trained), one.name


def test_a_picture_network_learns_and_ships_the_same(pictures):
    config = scratch.Config(epochs=8, batch=8, lr=1e-3, augment="none", patience=0)
    found = scratch.fit(pictures, config)
    checked(found, pictures)
    assert found.chosen["network"] == "scratch:cnn"


def test_it_starts_with_a_head_that_says_nothing(texts):
    found = scratch.fit(texts, scratch.Config(epochs=1, lr=1e-9))
    np.testing.assert_allclose(found.held_out, 0, atol=1e-6)
    assert np.abs(found.head.weight).max() < 1e-6


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(texts):
    config = scratch.Config(epochs=1)
    one, same, other = (scratch.fit(replace(texts, seed=seed), config) for seed in (0, 0, 1))
    assert one.held_out.tobytes() == same.held_out.tobytes()
    assert one.backbone.graph_id == same.backbone.graph_id
    assert one.held_out.tobytes() != other.held_out.tobytes()
    assert one.backbone.graph_id != other.backbone.graph_id


def test_settings_that_are_left_open_suit_the_inputs():
    for modality in ("image", "text"):
        found = scratch.settled(scratch.Config(), modality)
        assert found.epochs > 0
        assert found.lr > 0
        assert found.augment == "standard"
        given = scratch.Config(epochs=3, lr=0.5, augment="light", batch=7)
        assert scratch.settled(given, modality) == given
    assert scratch.settled(scratch.Config(), "image").epochs > found.epochs


def test_what_it_starts_from(texts, pictures):
    tiny = texts.backbone
    assert scratch.start(tiny).name == "scratch:textcnn"
    assert scratch.start(tiny).tokenizer.read_bytes() == tiny.tokenizer.read_bytes()
    assert scratch.start(pictures.backbone).name == "scratch:cnn"
    assert scratch.start(tiny, "lstm", seed=3) == networks.made("lstm", reader=tiny, seed=3)
    drawn = random_weights(tiny, 0)
    assert scratch.start(drawn) is drawn  # an architecture of a hub without its weights
    assert scratch.start(drawn, "rnn").name == "scratch:rnn"
    assert scratch.start(tiny, "given") is tiny
    with pytest.raises(BackboneError, match="scratch:cnn takes images, the data holds texts"):
        scratch.start(tiny, "cnn")
    with pytest.raises(BackboneError, match="needs a tokenizer"):
        scratch.start(pictures.backbone, "lstm")


def test_weight_decay_is_for_weights_and_not_for_biases_and_norms(texts):
    from headstart.train.trainable import Trainable
    from headstart.train.tuned import Tuned

    model = onnx.load(str(networks.made("cnn").graph))
    found = layers(model)
    head = Head(np.zeros((192, 2), np.float32), np.zeros(2, np.float32))
    module = Tuned(Trainable(model, found.depth), head)
    made = scratch.groups(module, found)
    assert [(one.decay, one.factor, one.free_from) for one in made] == [
        (False, 1.0, 0), (True, 1.0, 0), (False, 1.0, 0),
    ]  # fmt: skip
    assert all(module.get_parameter(name).ndim == 4 for name in made[1].names)
    assert all(module.get_parameter(name).ndim == 1 for name in made[2].names)
    named = sorted(name for one in made for name in one.names)
    assert named == sorted(name for name, _ in module.named_parameters())


def test_the_whole_network_learns_always(texts):
    found = scratch.fit(texts, scratch.Config(epochs=1, depth=0.5))
    assert found.chosen["depth"] == 1.0


@pytest.mark.parametrize("network", ["gru", "lstm"])
def test_a_recurrent_network_in_shorter_numbers(texts, network):
    """What a budget may choose: products in bfloat16 where the processor is quicker with them."""
    from headstart.train.trainable import Trainable, layers

    model = onnx.load(str(networks.made(network, reader=texts.backbone).graph))
    module = Trainable(model, layers(model).depth)
    encoder = TextEncoder(texts.backbone.tokenizer.read_bytes(), texts.backbone.preprocess.steps)
    feeds = pad(encoder.encode(list(texts.inputs[:8]))[0])
    inputs = [torch.from_numpy(feeds[name]) for name in module.inputs]
    exact = module(*inputs).detach()
    with torch.autocast("cpu", torch.bfloat16):
        rough = module(*inputs)
    rough.float().sum().backward()
    assert (rough.float() - exact).abs().max() < 0.05
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_a_text_network_is_never_cut_where_no_vector_stands_for_a_token(texts):
    from headstart.methods import finetune

    for network in ("textcnn", "lstm"):
        backbone = networks.made(network, reader=texts.backbone)
        head = Head(np.zeros((backbone.dim, 2), np.float32), np.zeros(2, np.float32))
        given = replace(texts, backbone=backbone, head=head)
        found = finetune.fit(given, finetune.Config(depth=0.1, epochs=1))
        assert found.chosen["depth"] == 1.0
