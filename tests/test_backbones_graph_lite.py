"""The EfficientNet-Lite0 graph against convolutions written out in numpy, with made-up weights."""

import numpy as np
import onnx
import onnxruntime
import pytest

from headstart.backbones import graph_lite

# channels in, channels out, widening, kernel, stride, repeats: table 1 of the EfficientNet paper
STAGES = (
    (32, 16, 1, 3, 1, 1), (16, 24, 6, 3, 2, 2), (24, 40, 6, 5, 2, 2), (40, 80, 6, 3, 2, 3),
    (80, 112, 6, 5, 1, 3), (112, 192, 6, 5, 2, 4), (192, 320, 6, 3, 1, 1),
)  # fmt: skip


def blocks():
    """(in, out, widening, kernel, stride) of the 16 blocks."""
    for entering, leaving, widening, kernel, stride, repeats in STAGES:
        yield entering, leaving, widening, kernel, stride
        for _ in range(repeats - 1):
            yield leaving, leaving, widening, kernel, 1


def made():
    rng = np.random.default_rng(3)
    weights = {}

    def conv(name, norm, leaving, entering, kernel):
        shape = (leaving, entering, kernel, kernel)
        spread = np.sqrt(2 / (entering * kernel * kernel))
        weights[name + ".weight"] = rng.normal(0, spread, shape).astype(np.float32)
        weights[norm + ".weight"] = rng.uniform(0.7, 1.3, leaving).astype(np.float32)
        weights[norm + ".bias"] = rng.normal(0, 0.3, leaving).astype(np.float32)
        weights[norm + ".running_mean"] = rng.normal(0, 0.3, leaving).astype(np.float32)
        weights[norm + ".running_var"] = rng.uniform(0.5, 1.5, leaving).astype(np.float32)
        weights[norm + ".num_batches_tracked"] = np.array(1)

    conv("_conv_stem", "_bn0", 32, 3, 3)
    for i, (entering, leaving, widening, kernel, _) in enumerate(blocks()):
        at, wide = f"_blocks.{i}.", entering * widening
        if widening > 1:
            conv(at + "_expand_conv", at + "_bn0", wide, entering, 1)
        conv(at + "_depthwise_conv", at + "_bn1", wide, 1, kernel)
        conv(at + "_project_conv", at + "_bn2", leaving, wide, 1)
    conv("_conv_head", "_bn1", 1280, 320, 1)
    weights["_fc.weight"] = np.zeros((1000, 1280), np.float32)
    weights["_fc.bias"] = np.zeros(1000, np.float32)
    return weights


def convolve(x, kernel, stride):
    """TensorFlow's SAME convolution, (c, h, w) to (o, h / stride, w / stride)."""
    k, size = kernel.shape[2], x.shape[1]
    out = -(-size // stride)
    missing = max((out - 1) * stride + k - size, 0)
    around = (missing // 2, missing - missing // 2)
    padded = np.pad(x, ((0, 0), around, around))
    each = kernel.shape[1] == 1 and len(kernel) == len(x)
    result = np.zeros((len(kernel), out, out))
    for i in range(k):
        for j in range(k):
            part = padded[
                :, i : i + (out - 1) * stride + 1 : stride, j : j + (out - 1) * stride + 1 : stride
            ]
            if each:
                result += kernel[:, 0, i, j, None, None] * part
            else:
                result += np.tensordot(kernel[:, :, i, j], part, 1)
    return result


def expected(weights, picture):
    """One picture (224, 224, 3), float64."""

    def layer(x, name, norm, stride=1, relu=True):
        mean, var, gain, bias = (
            weights[f"{norm}.{part}"].astype(np.float64)[:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        y = convolve(x, weights[name + ".weight"].astype(np.float64), stride)
        y = (y - mean) / np.sqrt(var + 1e-3) * gain + bias
        return np.clip(y, 0, 6) if relu else y

    x = ((picture / 255 - 0.5) / 0.5).transpose(2, 0, 1)
    x = layer(x, "_conv_stem", "_bn0", 2)
    for i, (entering, leaving, widening, _, stride) in enumerate(blocks()):
        at, y = f"_blocks.{i}.", x
        if widening > 1:
            y = layer(y, at + "_expand_conv", at + "_bn0")
        y = layer(y, at + "_depthwise_conv", at + "_bn1", stride)
        y = layer(y, at + "_project_conv", at + "_bn2", relu=False)
        x = x + y if stride == 1 and entering == leaving else y
    return layer(x, "_conv_head", "_bn1").mean((1, 2))


@pytest.fixture(scope="module")
def graph():
    return graph_lite.lite0(made())


def run(graph, pixels):
    engine = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return engine.run(None, {"pixels": pixels})[0]


def relative(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def test_equals_the_convolutions_written_out(graph):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    found = run(graph, pixels)
    assert found.shape == (2, 1280)
    assert found.dtype == np.float32
    wanted = expected(made(), pixels[0])
    assert wanted.std() > 0.01  # a dead network would equal anything
    assert relative(found[0], wanted) < 1e-5
    assert relative(run(graph, pixels[1:])[0], found[1]) < 1e-5


def test_the_graph_is_standard_sound_and_always_the_same(graph):
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 20)]
    assert [one.name for one in model.graph.input] == ["pixels"]
    assert [one.name for one in model.graph.output] == ["features"]
    assert len(graph) < 20_000_000
    assert graph == graph_lite.lite0(made())
