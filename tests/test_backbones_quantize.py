"""Static int8: the features stay close, names stay, the graph depends on the inputs it was made from."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest

from headstart.backbones import quantize, shelf
from headstart.backbones.choose import backbone_named
from headstart.backbones.graph_build import FLOAT, GraphBuilder
from headstart.backbones.quantize import static_int8
from headstart.engine.ort import OrtEngine
from headstart.errors import BackboneError
from headstart.types import Backbone, Preprocess

STEPS = Preprocess("image", ({"step": "resize", "size": [16, 16], "mode": "exact"},))


@pytest.fixture
def backbone() -> Backbone:
    """Two convolutions with random weights and their mean: pixels (n, 16, 16, 3) to (n, 24)."""
    rng, graph = np.random.default_rng(0), GraphBuilder()

    def weights(*shape: int) -> str:
        return graph.constant(rng.normal(0, 0.3, shape).astype(np.float32))

    x = graph.add("Transpose", graph.add("Cast", "pixels", to=FLOAT), perm=[0, 3, 1, 2])
    x = graph.add("Mul", x, graph.constant(1 / 255))
    x = graph.add("Relu", graph.add("Conv", x, weights(12, 3, 3, 3), weights(12)))
    x = graph.add("Relu", graph.add("Conv", x, weights(24, 12, 3, 3), weights(24)))
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x), axis=1)
    made = graph.finish({"pixels": (np.uint8, ("n", 16, 16, 3))}, x, 24)
    return shelf.keep(
        "two convolutions", graph=made, name="test:two", modality="image", dim=24,
        licence="CC0-1.0", sha256="0" * 64, preprocess=STEPS,
    )  # fmt: skip


def feeds(seed: int, batches: int = 3) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        {"pixels": rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)} for _ in range(batches)
    ]


def test_the_features_stay_close_and_all_else_stays(backbone, capfd, caplog) -> None:
    given = feeds(0)
    before, paths = [feed["pixels"].copy() for feed in given], list(sys.path)
    small = static_int8(backbone, iter(given))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert sys.path == paths
    assert all((feed["pixels"] == was).all() for feed, was in zip(given, before))
    assert small.graph_id != backbone.graph_id
    for field in ("name", "modality", "dim", "licence", "sha256", "preprocess", "tokenizer"):
        assert getattr(small, field) == getattr(backbone, field)
    a, b = OrtEngine(small.graph), OrtEngine(backbone.graph)
    assert (a.inputs, a.outputs) == (b.inputs, b.outputs) == (("pixels",), ("features",))
    (unseen,) = feeds(9, batches=1)
    x, y = a.run(unseen)["features"], b.run(unseen)["features"]
    assert x.dtype == np.float32
    cosine = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    assert cosine.min() > 0.999
    assert np.abs(x - y).max() > 0  # it is another graph
    onnx.checker.check_model(onnx.load(small.graph), full_check=True)
    kinds = {tensor.data_type for tensor in onnx.load(small.graph).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds


def test_it_is_made_once_for_the_same_inputs(backbone, monkeypatch) -> None:
    first, other = static_int8(backbone, feeds(0)), static_int8(backbone, feeds(1))
    assert first.graph_id != other.graph_id
    monkeypatch.setattr(quantize, "_quantise", lambda *anything: 1 / 0)
    assert static_int8(backbone, feeds(0)) == first


def test_what_cannot_be_quantised_is_refused_with_a_fix(backbone) -> None:
    with pytest.raises(BackboneError, match="without inputs") as caught:
        static_int8(backbone, [])
    assert "--precision int8" in caught.value.fix
    with pytest.raises(BackboneError, match="cannot be quantised"):
        static_int8(backbone, [{"nonsense": np.zeros((1, 2))}])
    texts = {"input_ids": np.ones((2, 3), np.int64), "attention_mask": np.ones((2, 3), np.int64)}
    with pytest.raises(BackboneError, match="nothing to quantise"):
        static_int8(backbone_named("tiny:text"), [texts])


@pytest.mark.train
def test_the_torch_engine_runs_it(backbone) -> None:
    pytest.importorskip("torch")
    from headstart.engine.torch_gpu import TorchEngine

    small = static_int8(backbone, feeds(0))
    (unseen,) = feeds(9, batches=1)
    found = TorchEngine(small.graph, device="cpu").run(unseen)["features"]
    expected = OrtEngine(small.graph).run(unseen)["features"]
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02)  # a step of 8 bits
