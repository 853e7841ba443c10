"""Batch norms that were folded away: put back, trained, and folded again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper

torch = pytest.importorskip("torch")

from headstart.backbones import graph as graphs  # noqa: E402
from headstart.backbones.quiet import quiet  # noqa: E402
from headstart.backbones.wrappers import PixelModule  # noqa: E402
from headstart.methods import bitfit, finetune, lora  # noqa: E402
from headstart.train import loop, norms, preparing, tuning  # noqa: E402
from headstart.train.settings import Group  # noqa: E402
from test_methods_finetune import CONFIG, answers, material, world  # noqa: E402, F401  fixtures
from test_train_trainable import Net  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def picture():
    """A network without a norm of its own, as is left of one whose batch norms were folded away."""
    torch.manual_seed(0)
    net = Net()
    net.norm = torch.nn.Identity()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.3)
    module = PixelModule(net, [0.5, 0.4, 0.3], [0.2, 0.2, 0.3]).eval()
    with quiet():
        data = graphs.export(module, {"pixels": graphs.made_pixels(16, 12, 2)}, graphs.IMAGE_AXES)
    return module, onnx.load_from_string(data)


@pytest.fixture
def begun(material):  # noqa: F811
    """The network with norms put back, its groups before, and what it is trained on."""
    ready = preparing.prepared(material, CONFIG)
    groups = finetune.groups(ready.module, ready.layers, CONFIG, 1.0)
    rows = tuning.to_learn(material)
    back = norms.put_back(ready.module, ready.whole, groups, ready.source, rows)
    assert back is not None
    return ready, groups, back


def pixels(ready, rows):
    return ready.source.batch(rows, 0, 0, train=False)[0]


def logits(ready, rows):
    with torch.no_grad():
        return ready.module.eval()(*pixels(ready, rows)).numpy()


def test_they_change_nothing_at_first(material, begun):  # noqa: F811
    ready, _, _ = begun
    rows = np.arange(20)
    features = answers(material.backbone, [material.inputs[row] for row in rows])
    expected = features @ material.head.weight + material.head.bias
    np.testing.assert_allclose(logits(ready, rows), expected, atol=1e-3, rtol=1e-3)


def test_they_begin_with_the_mean_and_spread_of_what_comes(begun):
    ready, _, back = begun
    first = ready.module.top.graph.get_submodule(str(back.nodes[0].target))
    seen = []
    first.register_forward_hook(lambda norm, given, answer: seen.append(given[0]))
    learn = np.setdiff1d(np.arange(150), np.arange(0, 150, 4))
    logits(ready, learn)
    spread, mean = torch.var_mean(seen[0], (0, 2, 3), correction=0)
    torch.testing.assert_close(first.running_mean, mean, rtol=0.1, atol=0.05)
    torch.testing.assert_close(first.running_var, spread, rtol=0.1, atol=0.05)


def test_scale_and_shift_are_tuned_in_place_of_the_bias(begun):
    ready, groups, back = begun
    changed = back.groups(groups)
    before = {name for one in groups for name in one.names}
    after = {name for one in changed for name in one.names}
    assert after <= {name for name, _ in ready.module.named_parameters()}
    assert len(after - before) == 2 * len(back.nodes)
    assert len(before - after) == len(back.nodes)
    for old, new in zip(groups, changed):
        assert (old.factor, old.decay, old.free_from) == (new.factor, new.decay, new.free_from)


def test_after_a_training_folding_changes_no_answer_and_leaves_no_trace(begun):
    ready, groups, back = begun
    module, rows = ready.module, np.arange(150)
    names = set(dict(module.named_parameters()))
    norm_names = {name for name in names if ".norm" in name}
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05)
    module.train()
    for start in range(0, 96, 32):
        inputs, targets = ready.source.batch(rows[start : start + 32], 0, 0, train=True)
        torch.nn.functional.cross_entropy(module(*inputs), targets).backward()
        optimiser.step()
        optimiser.zero_grad()
    before = logits(ready, rows)
    back.fold()
    np.testing.assert_allclose(logits(ready, rows), before, atol=2e-3, rtol=2e-3)
    assert set(dict(module.named_parameters())) == names - norm_names
    assert not [name for name, _ in module.named_buffers() if "running" in name]


def test_taken_away_untrained_every_weight_is_as_it_was(material, begun):  # noqa: F811
    ready, _, back = begun
    back.remove()
    fresh = preparing.prepared(replace(material, prepared={}), CONFIG)
    for (name, one), (other, two) in zip(
        ready.module.top.weights(), fresh.module.top.weights(), strict=True
    ):
        assert name == other
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("method", "config", "there"),
    [
        (finetune, CONFIG, True),
        (finetune, replace(CONFIG, norms="off"), False),
        (bitfit, bitfit.Config(depth=1.0, epochs=1), False),
        (lora, lora.Config(depth=1.0, epochs=1), False),
    ],
)
def test_they_are_there_where_weights_and_biases_are_tuned(
    material,  # noqa: F811
    monkeypatch,
    method,
    config,
    there,
):
    seen, real = [], loop.train

    def train(module, *given, **more):
        seen.append(any(isinstance(one, torch.nn.BatchNorm2d) for one in module.modules()))
        return real(module, *given, **more)

    monkeypatch.setattr(loop, "train", train)
    made = method.fit(material, replace(config, epochs=1))
    assert seen == [there]
    graph = onnx.load(str(made.backbone.graph))
    assert not [node for node in graph.graph.node if node.op_type == "BatchNormalization"]
    found = answers(made.backbone, [material.inputs[row] for row in material.held])
    got = found @ made.head.weight + made.head.bias
    np.testing.assert_allclose(got, made.held_out, atol=5e-3, rtol=5e-3)


def test_a_network_with_norms_of_its_own_and_few_rows_are_left_alone(material):  # noqa: F811
    ready = preparing.prepared(material, CONFIG)
    groups = finetune.groups(ready.module, ready.layers, CONFIG, 1.0)
    rows = tuning.to_learn(material)
    before = str(ready.module.top.graph.graph)
    normed = onnx.ModelProto()
    normed.CopyFrom(ready.whole)
    normed.graph.node.append(helper.make_node("LayerNormalization", ["a", "b"], ["c"]))
    assert norms.put_back(ready.module, normed, groups, ready.source, rows) is None
    assert norms.put_back(ready.module, ready.whole, groups, ready.source, rows[:63]) is None
    head = [Group(("weight", "bias"))]
    assert norms.put_back(ready.module, ready.whole, head, ready.source, rows) is None
    assert str(ready.module.top.graph.graph) == before
