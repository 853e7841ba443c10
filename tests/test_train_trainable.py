"""A graph as a module and back: the same features, gradients that are right, halves that make the whole."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from headstart.backbones import graph as graphs  # noqa: E402
from headstart.backbones import graph_bert  # noqa: E402
from headstart.backbones.quiet import quiet  # noqa: E402
from headstart.backbones.wrappers import PixelModule  # noqa: E402
from headstart.errors import BackboneError  # noqa: E402
from headstart.train.trainable import Trainable, cut, layers, unpacked, with_weights  # noqa: E402
from test_backbones_graph_bert import made, packed, plain  # noqa: E402

pytestmark = pytest.mark.train


class Net(torch.nn.Module):
    """Two convolutions, a residual block, a norm and a pool."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.inner = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.last = torch.nn.Conv2d(8, 12, 1)
        self.norm = torch.nn.LayerNorm(12)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = x + torch.relu(self.inner(x))
        return self.norm(self.last(x).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def picture():
    generator = torch.Generator().manual_seed(0)
    net = Net()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    module = PixelModule(net, [0.5, 0.4, 0.3], [0.2, 0.2, 0.3]).eval()
    with quiet():
        data = graphs.export(module, {"pixels": graphs.made_pixels(16, 12, 2)}, graphs.IMAGE_AXES)
    return module, onnx.load_from_string(data)


@pytest.fixture(scope="module")
def texts():
    return {kind: onnx.load_from_string(graph_bert.bert(made(kind))) for kind in (plain, packed)}


TOKENS = {
    "input_ids": np.array([[1, 5, 9, 3], [2, 7, 0, 0], [8, 8, 1, 0]]),
    "attention_mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]),
}


def run(model, feeds):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


def given_to(module, feeds):
    return [torch.from_numpy(feeds[name]) for name in module.inputs]


def test_features_are_those_of_the_graph_and_gradients_those_of_the_original(picture):
    module, model = picture
    pixels = graphs.made_pixels(16, 12, 5, seed=1)
    trained = Trainable(model, layers(model).depth)
    features = trained(pixels)
    np.testing.assert_allclose(
        features.detach(), run(model, {"pixels": pixels.numpy()}), atol=1e-5, rtol=1e-4
    )
    target = torch.linspace(-1, 1, features.numel()).reshape(features.shape)
    (features * target).sum().backward()
    (module(pixels) * target).sum().backward()
    found = sorted(
        (p.grad.flatten() for _, p in trained.weights()), key=lambda g: (len(g), float(g.sum()))
    )
    meant = sorted(
        (p.grad.flatten() for p in module.parameters()), key=lambda g: (len(g), float(g.sum()))
    )
    assert len(found) == len(meant) == 8
    for one, other in zip(found, meant):
        np.testing.assert_allclose(one, other, atol=1e-3, rtol=1e-3)
    module.zero_grad()


def test_the_normalisation_of_the_input_is_no_weight(picture):
    module, model = picture
    shapes = {t.name: tuple(t.dims) for t in model.graph.initializer}
    assert sorted(shapes[name] for name in layers(model).depth) == sorted(
        tuple(p.shape) for p in module.model.parameters()
    )


def test_depth_counts_products_and_cuts_lie_where_one_tensor_passes(picture):
    _, model = picture
    found = layers(model)
    assert found.products == 3
    assert sorted(found.depth.values()) == [0, 0, 1, 1, 2, 2, 3, 3]
    depths = [depth for _, depth in found.cuts]
    assert depths == sorted(depths)
    assert {1, 2, 3} <= set(depths)
    # within the residual block two tensors are needed: it cannot be cut there
    inner = next(n.output[0] for n in model.graph.node if n.op_type == "Conv" and n.input[0] != "pixels"
                 and any(a.name == "group" and a.i == 8 for a in n.attribute))  # fmt: skip
    assert inner not in dict(found.cuts)
    with pytest.raises(BackboneError, match="cannot be cut"):
        cut(model, inner)


def test_the_halves_make_the_whole(picture):
    _, model = picture
    feeds = {"pixels": graphs.made_pixels(16, 12, 3).numpy()}
    whole, found = run(model, feeds), layers(model)
    for at, depth in found.cuts:
        halves = cut(model, at)
        middle = run(halves.bottom, feeds)
        top = Trainable(halves.top, found.depth)
        assert top.inputs == (at,)
        np.testing.assert_allclose(
            top(torch.from_numpy(middle)).detach(), whole, atol=1e-5, rtol=1e-4
        )
        free = [name for name, _ in top.weights()]
        assert sorted(free) == sorted(n for n, d in found.depth.items() if d >= depth and n in free)
        bottom = {t.name for t in halves.bottom.graph.initializer}
        assert not bottom & set(free)
        assert set(found.depth) <= bottom | set(free)


@pytest.mark.parametrize("kind", [plain, packed])
def test_texts_are_cut_at_the_residual_stream_and_keep_their_mask(texts, kind):
    model = unpacked(texts[kind])
    found = layers(model)
    whole = run(texts[kind], TOKENS)
    trained = Trainable(model, found.depth)
    np.testing.assert_allclose(trained(*given_to(trained, TOKENS)).detach(), whole, atol=1e-5)
    assert len(found.cuts) >= 4
    for at, _ in found.cuts[:-4]:
        halves = cut(model, at)
        top = Trainable(halves.top, found.depth)
        assert top.inputs == (at, "attention_mask")
        feeds = {at: run(halves.bottom, TOKENS), **TOKENS}
        np.testing.assert_allclose(top(*given_to(top, feeds)).detach(), whole, atol=1e-5)


def test_packed_weights_are_numbers_once_unpacked(texts):
    assert unpacked(texts[plain]) is texts[plain]
    model = unpacked(texts[packed])
    np.testing.assert_allclose(run(model, TOKENS), run(texts[packed], TOKENS), atol=1e-6)
    assert layers(model).products == layers(texts[plain]).products
    with pytest.raises(BackboneError, match="no weights"):
        layers(texts[packed])


@settings(max_examples=10, deadline=None)
@given(st.floats(0.5, 1.5), st.integers(0, 7))
def test_weights_go_back_into_the_graph(picture, factor, which):
    _, model = picture
    before = model.SerializeToString()
    trained = Trainable(model, layers(model).depth)
    name, parameter = sorted(trained.weights())[which]
    with torch.no_grad():
        parameter.mul_(factor)
    changed = with_weights(model, dict(trained.weights()))
    assert model.SerializeToString() == before
    pixels = graphs.made_pixels(16, 12, 2)
    np.testing.assert_allclose(
        run(changed, {"pixels": pixels.numpy()}), trained(pixels).detach(), atol=1e-4, rtol=1e-3
    )
    with pytest.raises(BackboneError, match="has the shape"):
        with_weights(model, {name: torch.zeros(3, 1, 4, 1, 5)})
    with pytest.raises(BackboneError, match="no weights called"):
        with_weights(model, {"nothing": torch.zeros(1)})


def test_a_graph_without_weights():
    from headstart.backbones.choose import backbone_named

    model = onnx.load(str(backbone_named("tiny:image").graph))
    with pytest.raises(BackboneError, match="no weights that can be trained"):
        layers(model)
