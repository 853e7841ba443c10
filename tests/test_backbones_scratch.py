"""Networks with random weights: drawn as they should be, the same for a seed, and the same in both engines."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

import headstart as hs
from headstart.backbones import SOURCES, scratch
from headstart.backbones.choose import backbone_for, backbone_named
from headstart.backbones.random_weights import is_random
from headstart.data import table as tables
from headstart.engine.ort import OrtEngine
from headstart.errors import BackboneError
from headstart.preprocess import image
from headstart.preprocess.text import TextEncoder, pad

TEXTS = scratch.NETWORKS[1:]


@pytest.fixture
def reader():
    return backbone_named("tiny:text")


@pytest.fixture
def wide(reader, tmp_path):
    """A reader with a vocabulary larger than there are vectors."""
    from dataclasses import replace

    words = {f"w{i}": i for i in range(scratch._BUCKETS + 50)}
    made = Tokenizer(models.WordLevel(words, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    (tmp_path / "tokenizer.json").write_text(made.to_str(), "utf-8")
    return replace(reader, tokenizer=tmp_path / "tokenizer.json")


def weights(backbone):
    model = onnx.load(str(backbone.graph))
    return [numpy_helper.to_array(t) for t in model.graph.initializer]


def read(backbone, texts):
    encoder = TextEncoder(backbone.tokenizer.read_bytes(), backbone.preprocess.steps)
    return encoder.encode(texts)[0]


def pictures(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, scratch.SIZE, scratch.SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("network", scratch.NETWORKS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    network, reader, tmp_path, monkeypatch
):
    one = scratch.made(network, reader=reader, seed=3)
    first = one.graph.read_bytes()
    other = scratch.made(network, reader=reader, seed=4)
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "elsewhere"))
    again = scratch.made(network, reader=reader, seed=3)
    assert again.graph != one.graph
    assert again.graph.read_bytes() == first
    assert other.graph.read_bytes() != first
    assert one.graph_id == again.graph_id != other.graph_id
    assert one.sha256 == again.sha256 != other.sha256
    assert len(first) < 20_000_000


@pytest.mark.parametrize("network", scratch.NETWORKS)
def test_it_is_a_backbone_like_any_other_and_says_what_it_is(network, reader):
    made = scratch.made(network, reader=reader, seed=7)
    assert made.name == f"scratch:{network}"
    assert made.why == "random weights, seed 7: nothing in it was pretrained"
    assert is_random(made)
    assert not is_random(reader)
    assert made == scratch.made(network, reader=reader, seed=7)  # from the shelf
    engine = OrtEngine(made.graph)
    if made.modality == "image":
        pixels, _ = image.prepare(pictures(1)[0][:50], made.preprocess.steps)
        found = engine.run({"pixels": pixels[None]})["features"]
    else:
        assert made.tokenizer.read_bytes() == reader.tokenizer.read_bytes()
        found = engine.run(pad(read(made, ["a text"])))["features"]
    assert found.shape == (1, made.dim)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@pytest.mark.parametrize("network", TEXTS)
def test_a_text_has_the_same_features_alone_and_beside_a_longer_one(network, reader):
    made = scratch.made(network, reader=reader)
    model = onnx.load(str(made.graph))
    for tensor in model.graph.initializer:  # biases as after a training: not 0
        if len(tensor.dims) == 1 and tensor.data_type == 1:
            value = np.random.default_rng(0).normal(0.3, 0.2, tuple(tensor.dims))
            tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32), tensor.name))
    engine = OrtEngine(model.SerializeToString())
    rows = read(made, ["short", "x", "a very much longer text than all of the others"])
    together = engine.run(pad(rows))["features"]
    for row, expected in zip(rows, together):
        alone = engine.run(pad([row]))["features"][0]
        np.testing.assert_allclose(alone, expected, atol=1e-5)


@pytest.mark.parametrize("network", TEXTS)
def test_the_order_of_the_words_matters_and_a_text_of_nothing_has_an_answer(network, reader):
    made = scratch.made(network, reader=reader)
    engine = OrtEngine(made.graph)
    one, other = read(made, ["not good but bad", "not bad but good"])
    first, second = engine.run(pad([one, other]))["features"]
    assert np.abs(first - second).max() > 1e-3
    nothing = {name: np.zeros((2, 3), np.int64) for name in ("input_ids", "attention_mask")}
    assert np.isfinite(engine.run(nothing)["features"]).all()


def test_weights_are_drawn_as_the_papers_say(reader):
    cnn = scratch.made("cnn")
    for kernel in (w for w in weights(cnn) if w.ndim == 4):
        fan = kernel[0].size
        assert kernel.std() == pytest.approx(np.sqrt(2 / fan), rel=0.08)
        assert abs(kernel.mean()) < 5 * kernel.std() / np.sqrt(kernel.size)
    for network, gates in (("rnn", 1), ("gru", 3), ("lstm", 4)):
        _, w, r, b = [
            one for one in weights(scratch.made(network, reader=reader))
            if one.dtype == np.float32 and one.ndim > 1
        ]  # fmt: skip
        h = scratch._STATE
        limit = np.sqrt(6 / (w.shape[2] + h))
        assert np.abs(w).max() <= limit
        assert w.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)
        for rotation in r.reshape(-1, h, h):
            np.testing.assert_allclose(rotation @ rotation.T, np.eye(h), atol=1e-5)
        assert r.shape == (2, gates * h, h)
        assert b.sum() == (2 * h if network == "lstm" else 0)
        if network == "lstm":  # the bias of the forget gate: i, o, f, c
            assert (b[:, 2 * h : 3 * h] == 1).all()


def test_features_of_pictures_keep_their_size_through_the_layers():
    """He's initialisation: neither nothing nor overflow comes out of ten layers, and pictures differ."""
    found = OrtEngine(scratch.made("cnn").graph).run({"pixels": pictures(6)})["features"]
    assert 0.05 < found.mean() < 10
    assert np.linalg.norm(found[0] - found[1]) > 1e-3


def test_rare_tokens_share_vectors_with_frequent_ones(wide):
    made = scratch.made("textcnn", reader=wide)
    engine = OrtEngine(made.graph)
    far = scratch._BUCKETS
    first, same, other = read(made, ["w5 w9", f"w{far + 5} w{far + 9}", "w6 w9"])
    found = engine.run(pad([first, same, other]))["features"]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 1e-3
    tables_of = [w for w in weights(made) if w.ndim == 2]
    assert tables_of[0].shape[0] == far


def test_it_has_no_statistics_of_batches():
    """A picture has the same features whatever stands beside it, and no operator keeps running means."""
    made = scratch.made("cnn")
    operators = {node.op_type for node in onnx.load(str(made.graph)).graph.node}
    assert "BatchNormalization" not in operators
    engine = OrtEngine(made.graph)
    together = engine.run({"pixels": pictures(4)})["features"]
    alone = engine.run({"pixels": pictures(4)[2:3]})["features"]
    np.testing.assert_allclose(alone[0], together[2], atol=1e-5)


def test_names_that_do_not_exist(reader):
    for name, fix in (
        ("textcn", "did you mean 'textcnn'"),
        ("vgg", "one of: cnn"),
        ("cnn@e5", "cnn"),
    ):
        with pytest.raises(BackboneError) as caught:
            scratch.load(name)
        assert fix in caught.value.fix
    with pytest.raises(BackboneError, match="no starter called"):
        scratch.load("lstm@bert")
    with pytest.raises(BackboneError, match="no network"):
        scratch.made("vgg")
    with pytest.raises(BackboneError, match="needs a tokenizer"):
        scratch.made("lstm")


def test_by_name_and_for_a_table(photos, reviews, monkeypatch):
    assert "scratch" in SOURCES.names()
    table = tables.read(photos)
    made = backbone_for(table, "scratch:cnn", seed=5)
    assert made == scratch.made("cnn", seed=5)
    assert backbone_for(table, pretrained=False, seed=5) == made
    asked = []

    def load(name, *, offline=False, say=None):
        asked.append((name, offline))
        return backbone_named("tiny:text")

    monkeypatch.setattr(scratch.starter, "load", load)
    texts = tables.read(reviews)
    found = backbone_for(texts, "scratch:lstm", offline=True, seed=2)
    assert (found.name, found.modality) == ("scratch:lstm", "text")
    assert "seed 2" in found.why
    assert backbone_for(texts, pretrained=False).name == "scratch:textcnn"
    assert backbone_for(texts, "scratch:gru@minilm").name == "scratch:gru"
    assert asked == [("e5", True), ("e5", False), ("minilm", False)]  # some reviews are Chinese
    with pytest.raises(BackboneError, match="takes texts, the data holds images"):
        backbone_for(table, "scratch:lstm")


def test_it_ships_like_any_other(photos, tmp_path):
    """Random features tell three colours apart, and the bundle answers as the model did."""
    model = hs.fit(photos, backbone="scratch:cnn", out=tmp_path / "colours.headstart")
    files = sorted(photos.glob("*/*.png"))[::7]
    loaded = hs.load(tmp_path / "colours.headstart")
    said, again = model.predict(files), loaded.predict(files)
    assert [one.label for one in said] == [one.label for one in again]
    assert [one.probability for one in said] == pytest.approx([o.probability for o in again])
    right = [one.label == file.parent.name for one, file in zip(said, files)]
    assert np.mean(right) > 0.6
    assert "nothing in it was pretrained" in model.html("en")
    assert "其中没有任何预训练" in model.html("zh")


def test_a_source_of_weights_alone_has_no_architecture_without_them():
    for name in ("starter:lite0", "tiny:image"):
        with pytest.raises(BackboneError, match="comes with its weights") as caught:
            backbone_named(name, pretrained=False)
        assert "scratch:cnn" in caught.value.fix


@pytest.mark.train
@pytest.mark.parametrize("network", scratch.NETWORKS)
def test_both_engines_say_the_same_and_every_weight_is_trained(network, reader):
    torch = pytest.importorskip("torch")
    from headstart.train.trainable import Trainable, layers

    made = scratch.made(network, reader=reader)
    model = onnx.load(str(made.graph))
    found = layers(model)
    module = Trainable(model, found.depth)
    if made.modality == "image":
        feeds = {"pixels": pictures(3)}
    else:
        feeds = pad(read(made, ["one", "two words", "three of the words"]))
    features = module(*(torch.from_numpy(feeds[name]) for name in module.inputs))
    expected = OrtEngine(made.graph).run(feeds)["features"]
    np.testing.assert_allclose(features.detach().numpy(), expected, atol=2e-5)
    (features * torch.linspace(-1, 1, made.dim)).sum().backward()
    trained = dict(module.weights())
    floats = {t.name for t in model.graph.initializer if t.data_type == 1 and t.dims}
    assert set(trained) == floats
    for name, parameter in trained.items():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    if made.modality == "text":
        assert found.cuts == ()
    else:
        assert found.products == 12


@pytest.mark.starter
@pytest.mark.parametrize("of", ["minilm", "e5"])
def test_the_tokenizers_of_the_starters(of):
    made = scratch.load(f"textcnn@{of}", offline=True)
    rows = read(made, ["The train was late.", "这家店的服务很好"])
    assert all(len(row) > 3 for row in rows)
    found = OrtEngine(made.graph).run(pad(rows))["features"]
    assert np.abs(found[0] - found[1]).max() > 1e-3
    assert json.loads(made.tokenizer.read_text("utf-8"))["model"]
    assert made.graph.stat().st_size < 20_000_000
