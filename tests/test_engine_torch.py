"""The torch engine: each operator against ONNX's own reference, whole graphs against onnxruntime."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

torch = pytest.importorskip("torch")

from headstart.backbones import graph_bert  # noqa: E402
from headstart.backbones.choose import backbone_named  # noqa: E402
from headstart.backbones.graph import made_pixels  # noqa: E402
from headstart.engine import torch_gpu  # noqa: E402
from headstart.engine.ort import OrtEngine  # noqa: E402
from headstart.engine.torch_gpu import TorchEngine  # noqa: E402
from headstart.engine.torch_ops import OPERATORS  # noqa: E402
from headstart.errors import BackboneError  # noqa: E402

pytestmark = pytest.mark.train

RNG = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(0, 2, shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return RNG.uniform(0.1, 3, shape).astype(np.float32)


def ints(*values: Any) -> np.ndarray:
    return np.array(values, np.int64)


def whole(*shape: int, low: int = -9, high: int = 9) -> np.ndarray:
    return RNG.integers(low, high, shape)


def truth(*shape: int) -> np.ndarray:
    return RNG.random(shape) < 0.5


X, Y = floats(2, 3, 4), floats(2, 3, 4)
PICTURE = floats(2, 4, 9, 8)

CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    *((op, [X], {}) for op in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Mish")),
    *((op, [X], {}) for op in ("Neg", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus")),
    *((op, [positive(2, 3)], {}) for op in ("Log", "Reciprocal", "Sqrt")),
    *((op, [X, floats(3, 1)], {}) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum")),
    *((op, [X, np.round(Y), Y], {}) for op in ("Max", "Min", "Sum")),
    *((op, [whole(9), whole(9, low=1)], {}) for op in ("Div", "Mod", "Equal", "Greater", "Less")),
    *((op, [whole(9), -whole(9, low=1)], {}) for op in ("Div", "Mod")),
    *((op, [whole(9), whole(9)], {}) for op in ("GreaterOrEqual", "LessOrEqual")),
    *((op, [truth(3, 4), truth(4)], {}) for op in ("And", "Or", "Xor")),
    *(
        (op, [whole(3, 4, low=0).astype(np.uint8), np.array(6, np.uint8)], {})
        for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")
    ),
    ("BitwiseNot", [whole(5).astype(np.uint8)], {}),
    ("Not", [truth(5)], {}),
    ("IsNaN", [np.float32([1, np.nan, np.inf])], {}),
    ("Mod", [X, Y], {"fmod": 1}),
    ("Pow", [positive(2, 3), np.float32(1.7)], {}),
    ("Pow", [whole(4, low=0), np.float32(2)], {}),
    ("Where", [truth(3, 1), X, np.float32(-1)], {}),
    ("Tanh", [X], {}),
    ("Clip", [X, np.float32(-1), np.float32(0.5)], {}),
    ("Clip", [X, None, np.float32(0.5)], {}),
    ("Clip", [X], {}),
    ("Cast", [X], {"to": TensorProto.INT64}),
    ("Cast", [whole(4).astype(np.int8)], {"to": TensorProto.FLOAT}),
    ("Cast", [floats(4).astype(np.float16)], {"to": TensorProto.FLOAT}),
    ("CastLike", [X, ints(1)], {}),
    ("Identity", [X], {}),
    ("Dropout", [X], {}),
    ("Gelu", [X], {}),
    ("Gelu", [X], {"approximate": "tanh"}),
    ("HardSigmoid", [X], {}),
    ("HardSigmoid", [X], {"alpha": 1 / 6, "beta": 0.5}),
    ("LeakyRelu", [X], {"alpha": 0.3}),
    ("Elu", [X], {"alpha": 0.7}),
    ("PRelu", [X, positive(3, 1)], {}),
    *((op, [X], {"axis": axis}) for op in ("Softmax", "LogSoftmax") for axis in (-1, 1)),
    ("ConstantOfShape", [ints(2, 3)], {"value": numpy_helper.from_array(ints(7))}),
    ("ConstantOfShape", [ints(2, 3)], {}),
    ("Range", [np.int64(1), np.int64(9), np.int64(3)], {}),
    ("Reshape", [X, ints(0, -1)], {}),
    ("Reshape", [X, ints(4, 2, -1)], {}),
    *(("Flatten", [X], {"axis": axis}) for axis in (0, 1, 2, -1)),
    ("Transpose", [X], {}),
    ("Transpose", [X], {"perm": [1, 2, 0]}),
    ("Squeeze", [floats(1, 3, 1)], {}),
    ("Squeeze", [floats(1, 3, 1), ints(-1)], {}),
    ("Unsqueeze", [X, ints(0, 2, -1)], {}),
    ("Expand", [floats(3, 1), ints(2, 1, 4)], {}),
    ("Tile", [floats(2, 3), ints(2, 3)], {}),
    ("Concat", [X, Y], {"axis": -1}),
    ("Split", [X], {"axis": -1, "num_outputs": 2}),
    ("Split", [X, ints(1, 3)], {"axis": 2}),
    ("Slice", [X, ints(1, -3), ints(2, 2**63 - 1), ints(1, -1), ints(1, 2)], {}),
    ("Slice", [X, ints(-1, 3), ints(-(2**63), 0), ints(0, 2), ints(-1, -2)], {}),
    ("Slice", [X, ints(0, 1), ints(1, 3)], {}),
    ("Gather", [X, ints([0, -1], [2, 1])], {"axis": 1}),
    ("Gather", [X, np.int64(-1)], {"axis": 2}),
    ("GatherElements", [X, whole(2, 3, 4, low=-3, high=3)], {"axis": 1}),
    ("GatherND", [X, ints([0, 2], [1, -1])], {}),
    ("GatherND", [X, ints([1, 2], [2, -1])], {"batch_dims": 1}),
    ("Trilu", [floats(4, 5)], {}),
    ("Trilu", [floats(4, 5), np.int64(1)], {"upper": 0}),
    *(
        ("CumSum", [X, np.int64(1)], {"exclusive": exclusive, "reverse": reverse})
        for exclusive in (0, 1)
        for reverse in (0, 1)
    ),
    ("Pad", [X, ints(1, 0, 2, 0, 1, 1), np.float32(3)], {}),
    ("Pad", [X, ints(1, 2), None, ints(-1)], {}),
    *(("Pad", [PICTURE, ints(0, 0, 1, 2, 0, 0, 2, 1)], {"mode": m}) for m in ("reflect", "edge")),
    *(
        (op, [positive(2, 3, 4), ints(*axes)], {"keepdims": keep})
        for op in OPERATORS
        if op.startswith("Reduce")
        for axes, keep in (((1,), 1), ((0, -1), 0))
    ),
    ("ReduceMean", [X], {"keepdims": 0}),
    ("ReduceSum", [X], {"noop_with_empty_axes": 1}),
    *(
        ("ArgMax", [whole(3, 6, high=0)], {"axis": 1, "keepdims": 0, "select_last_index": last})
        for last in (0, 1)
    ),
    ("MatMul", [floats(2, 3, 4), floats(4, 5)], {}),
    ("Gemm", [floats(3, 4), floats(5, 4), floats(5)], {"transB": 1}),
    ("Gemm", [floats(4, 3), floats(4, 5)], {"transA": 1, "alpha": 0.5}),
    ("Gemm", [floats(3, 4), floats(4, 5), floats(3, 1)], {"beta": 0.3}),
    ("Einsum", [X, floats(4, 5)], {"equation": "bij,jk->bik"}),
    ("Conv", [PICTURE, floats(6, 4, 3, 3), floats(6)], {"pads": [0, 1, 2, 1], "strides": [2, 1]}),
    ("Conv", [PICTURE, floats(8, 2, 3, 2)], {"group": 2, "dilations": [2, 1], "pads": [1] * 4}),
    ("Conv", [PICTURE, floats(4, 1, 3, 3)], {"group": 4, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", [PICTURE, floats(4, 4, 3, 2)], {"auto_pad": "SAME_LOWER"}),
    ("Conv", [X, floats(2, 3, 2)], {"auto_pad": "VALID"}),
    ("MaxPool", [PICTURE], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}),
    ("MaxPool", [PICTURE], {"kernel_shape": [3, 2], "pads": [0, 0, 1, 1], "strides": [2, 2]}),
    ("MaxPool", [PICTURE], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    *(
        ("AveragePool", [PICTURE], {"kernel_shape": [3, 3], "pads": pads, "count_include_pad": c})
        for pads in ([1] * 4, [0, 1, 1, 1])
        for c in (0, 1)
    ),
    ("AveragePool", [PICTURE], {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("GlobalAveragePool", [PICTURE], {}),
    ("GlobalMaxPool", [PICTURE], {}),
    ("BatchNormalization", [PICTURE, floats(4), floats(4), floats(4), positive(4)], {"epsilon": 0.01}),
    ("LayerNormalization", [X, floats(4), floats(4)], {"epsilon": 1e-3}),
    ("LayerNormalization", [X, floats(3, 4)], {"axis": 1}),
    ("RMSNormalization", [X, floats(4)], {}),
    ("InstanceNormalization", [PICTURE, floats(4), floats(4)], {}),
    ("QuantizeLinear", [X, np.float32(0.03), np.uint8(120)], {}),
    ("QuantizeLinear", [X, positive(3), whole(3).astype(np.int8)], {"axis": 1}),
    ("DequantizeLinear", [whole(2, 3).astype(np.int8), positive(3), np.zeros(3, np.int8)], {}),
    ("DequantizeLinear", [whole(3, 2).astype(np.int32), positive(3)], {"axis": 0}),
]  # fmt: skip


def model_of(op: str, inputs: list[Any], attributes: dict[str, Any], constant: set[int]) -> bytes:
    names = [f"in{i}" if value is not None else "" for i, value in enumerate(inputs)]
    outputs = ["out0", "out1"] if op == "Split" else ["out0"]
    given, held = [], []
    for i, value in enumerate(inputs):
        if value is not None and i in constant:
            held.append(numpy_helper.from_array(np.asarray(value), names[i]))
        elif value is not None:
            kind = helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype)
            given.append(helper.make_tensor_value_info(names[i], kind, np.shape(value)))
    graph = helper.make_graph(
        [helper.make_node(op, names, outputs, **attributes)],
        "one",
        given,
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        held,
    )
    opset = 23 if op == "RMSNormalization" else 20
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10
    ).SerializeToString()


@pytest.mark.parametrize(
    ("op", "inputs", "attributes"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_every_operator_against_the_reference(op, inputs, attributes) -> None:
    feeds = {f"in{i}": np.asarray(v) for i, v in enumerate(inputs) if v is not None}
    expected = ReferenceEvaluator(
        onnx.load_from_string(model_of(op, inputs, attributes, set()))
    ).run(None, feeds)
    everything = set(range(len(inputs)))
    for constant in (set(), everything - {0}, everything):  # run, run with constants, folded
        engine = TorchEngine(model_of(op, inputs, attributes, constant), device="cpu")
        found = engine.run({name: feeds[name] for name in engine.inputs})
        for want, got in zip(expected, found.values()):
            assert got.shape == want.shape
            assert got.dtype == (np.float32 if want.dtype == np.float16 else want.dtype)
            np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
LENGTHS = np.array([5, 2, 4], np.int32)
RECURRENCES: list[tuple[str, str, dict[str, Any]]] = [
    *((op, direction, {}) for op in GATES for direction in ("forward", "reverse", "bidirectional")),
    *(("GRU", d, {"linear_before_reset": 1}) for d in ("forward", "reverse", "bidirectional")),
    ("RNN", "bidirectional", {"activations": ["Relu", "Relu"]}),
]


def recurrence(
    op: str, direction: str, extra: dict[str, Any], given: str, constant: bool
) -> tuple[bytes, dict[str, np.ndarray]]:
    """A recurrent layer of 4 inputs and 3 units over 5 steps of 3 sequences, with all its outputs.

    `given` holds b for a bias, l for lengths and s for states to begin with.
    """
    rng = np.random.default_rng(3)
    d, g = 2 if direction == "bidirectional" else 1, GATES[op]

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.7, shape).astype(np.float32)

    feeds = {"x": draw(5, 3, 4), "w": draw(d, g * 3, 4), "r": draw(d, g * 3, 3)}
    feeds |= {"b": draw(d, 2 * g * 3)} if "b" in given else {}
    feeds |= {"lengths": LENGTHS} if "l" in given else {}
    feeds |= {"state": draw(d, 3, 3)} if "s" in given else {}
    feeds |= {"cell": draw(d, 3, 3)} if "s" in given and op == "LSTM" else {}
    places = ["x", "w", "r", "b", "lengths", "state", *(["cell"] if op == "LSTM" else [])]
    outputs = ["all", "last", *(["cells"] if op == "LSTM" else [])]
    node = helper.make_node(
        op, [p if p in feeds else "" for p in places], outputs,
        hidden_size=3, direction=direction, **extra,
    )  # fmt: skip
    held = [name for name in ("w", "r", "b") if name in feeds and constant]
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in feeds.items()
            if name not in held
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(feeds[name], name) for name in held],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return model.SerializeToString(), {n: v for n, v in feeds.items() if n not in held}


@pytest.mark.parametrize("given", ["", "b", "bl", "bs", "bls"])
@pytest.mark.parametrize(("op", "direction", "extra"), RECURRENCES)
def test_every_recurrence_against_onnxruntime(op, direction, extra, given) -> None:
    for constant in (True, False):
        graph, feeds = recurrence(op, direction, extra, given, constant)
        expected = OrtEngine(graph).run(feeds)
        found = TorchEngine(graph, device="cpu").run(feeds)
        assert found.keys() == expected.keys()
        for name, want in expected.items():
            np.testing.assert_allclose(found[name], want, rtol=1e-5, atol=1e-5, err_msg=name)


def test_a_recurrence_of_constants_is_computed_once() -> None:
    graph, feeds = recurrence("LSTM", "bidirectional", {}, "bl", True)
    model = onnx.load_from_string(graph)
    held = [numpy_helper.from_array(value, name) for name, value in feeds.items()]
    model.graph.initializer.extend(held)
    del model.graph.input[:]
    engine = TorchEngine(model.SerializeToString(), device="cpu")
    expected = OrtEngine(graph).run(feeds)
    for name, got in engine.run({}).items():
        np.testing.assert_allclose(got, expected[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op", GATES)
def test_a_recurrence_of_which_one_output_is_wanted(op) -> None:
    graph, feeds = recurrence(op, "bidirectional", {}, "bl", True)
    expected = OrtEngine(graph).run(feeds)["last"]
    model = onnx.load_from_string(graph)
    model.graph.node[0].output[:] = ["", "last"]
    del model.graph.output[2:], model.graph.output[0]
    found = TorchEngine(model.SerializeToString(), device="cpu").run(feeds)["last"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("op", "direction", "extra"), RECURRENCES)
def test_a_recurrence_can_be_differentiated(op, direction, extra) -> None:
    from headstart.engine.torch_graph import module_of

    graph, feeds = recurrence(op, direction, extra, "bl", True)
    free = {name: f"free_{name}" for name in "wrb"}
    device = torch.device("cpu")
    module = module_of(onnx.load_from_string(graph), device, torch.float32, free)
    inputs = [torch.from_numpy(value) for value in feeds.values()]
    ascent = torch.linspace(-1, 1, module(*inputs)[0].numel())

    def value() -> torch.Tensor:
        return (module(*inputs)[0].flatten() * ascent).sum()

    value().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        place = int(parameter.grad.abs().argmax())
        with torch.no_grad():
            flat = parameter.view(-1)
            flat[place] += 1e-2
            above = value().item()
            flat[place] -= 2e-2
            below = value().item()
            flat[place] += 1e-2
        slope = (above - below) / 2e-2
        assert slope == pytest.approx(parameter.grad.flatten()[place].item(), rel=0.02, abs=0.01)


@pytest.mark.parametrize("given", ["", "bl"])
@pytest.mark.parametrize(("op", "direction", "extra"), RECURRENCES)
def test_a_recurrence_stays_in_float32(op, direction, extra, given) -> None:
    graph, feeds = recurrence(op, direction, extra, given, True)
    expected = OrtEngine(graph).run(feeds)
    with torch.autocast("cpu", torch.bfloat16):
        found = TorchEngine(graph, device="cpu").run(feeds)
    for name, want in expected.items():
        np.testing.assert_allclose(found[name], want, rtol=1e-5, atol=1e-5)
    short = TorchEngine(graph, device="cpu", precision="bfloat16").run(feeds)
    for name, want in expected.items():  # its weights alone are rounded
        assert short[name].dtype == np.float32
        np.testing.assert_allclose(short[name], want, atol=0.1)


def test_a_clip_has_the_derivative_of_a_clip() -> None:
    x = torch.tensor([-1.0, 0.5, 3.0, 5.9, 7.0], requires_grad=True)
    OPERATORS["Clip"].run(x, 0.0, 6.0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]
    assert OPERATORS["Clip"].run(torch.tensor([-3, 9]), 0, 6).tolist() == [0, 6]


@pytest.mark.parametrize(("group", "exact"), [(1, False), (4, True)])
def test_convolutions_by_groups_stay_in_float32_on_a_processor(group, exact) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 9, 9, requires_grad=True)
    weight = torch.randn(8, 4 // group, 3, 3, requires_grad=True)
    bias = torch.randn(8)
    expected = torch.conv2d(x, weight, bias, groups=group)
    wanted = torch.autograd.grad(expected.square().sum(), (x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        found = OPERATORS["Conv"].run(x, weight, bias, group=group)
    got = torch.autograd.grad(found.float().square().sum(), (x, weight))
    assert found.dtype == (torch.float32 if exact else torch.bfloat16)
    assert torch.equal(found, expected) == exact
    for one, other in zip(got, wanted):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05 * other.abs().max().item())


def test_an_empty_sequence_gives_nothing() -> None:
    for op in GATES:
        graph, feeds = recurrence(op, "bidirectional", {}, "bl", True)
        feeds["lengths"] = np.array([5, 0, 4], np.int32)
        found = TorchEngine(graph, device="cpu").run(feeds)
        assert not found["all"][:, :, 1].any()
        assert not found["last"][:, 1].any()
        assert found["all"][:, :, 0].all()


def test_a_recurrence_that_torch_lacks_is_named() -> None:
    graph, feeds = recurrence("RNN", "forward", {"activations": ["Softsign"]}, "", True)
    with pytest.raises(BackboneError, match="RNN with Softsign"):
        TorchEngine(graph, device="cpu").run(feeds)
    graph, _ = recurrence("GRU", "forward", {"clip": 1.0}, "", True)
    with pytest.raises(BackboneError, match=r"GRU with .*clip"):
        TorchEngine(graph, device="cpu")


def test_the_whole_table_is_tested() -> None:
    TorchEngine(model_of("Identity", [X], {}, set()), device="cpu")  # fills the table
    assert {case[0] for case in CASES} | set(GATES) == set(OPERATORS)


def text_graph() -> bytes:
    """A random encoder of our own kind: all that the text starters are made of."""
    rng = np.random.default_rng(1)

    def dense(rows: int, columns: int) -> graph_bert.Dense:
        weights = graph_bert.Packed4(
            rng.integers(0, 256, (rows, columns // 32, 16), dtype=np.uint8),
            rng.uniform(0.01, 0.03, (rows, columns // 32)).astype(np.float16),
        )
        return weights, rng.normal(size=rows).astype(np.float32)

    def norm() -> graph_bert.Norm:
        return rng.uniform(0.5, 1, 32).astype(np.float32), rng.normal(size=32).astype(np.float32)

    def layer() -> graph_bert.Layer:
        return graph_bert.Layer(
            dense(96, 32), dense(32, 32), norm(), dense(64, 32), dense(32, 64), norm()
        )

    words = graph_bert.Int8Rows.of(rng.normal(size=(50, 32)).astype(np.float32))
    positions = rng.normal(size=(20, 32)).astype(np.float32)
    return graph_bert.bert(graph_bert.Bert(4, 1e-6, words, positions, norm(), (layer(), layer())))


def texts(rows: int, length: int, tokens: int = 50) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows * length)
    mask = np.arange(length) < rng.integers(1, length + 1, (rows, 1))
    return {
        "input_ids": rng.integers(0, tokens, (rows, length)),
        "attention_mask": mask.astype(np.int64),
    }


def test_a_text_graph_of_any_length_and_its_inputs_stay() -> None:
    graph = text_graph()
    engine, other = TorchEngine(graph, device="cpu"), OrtEngine(graph)
    assert (engine.inputs, engine.outputs) == (other.inputs, other.outputs)
    for rows, length in ((1, 1), (3, 7), (2, 20)):
        feeds = texts(rows, length)
        before = {name: array.copy() for name, array in feeds.items()}
        for array in feeds.values():
            array.flags.writeable = False
        found, expected = engine.run(feeds)["features"], other.run(feeds)["features"]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        for name, array in feeds.items():
            np.testing.assert_array_equal(array, before[name])


def test_torch_compile_follows_the_sizes_without_breaks() -> None:
    engine = TorchEngine(text_graph(), device="cpu")
    compiled = torch.compile(engine._module, backend="eager", fullgraph=True, dynamic=True)
    for rows, length in ((2, 5), (3, 9)):
        feeds = texts(rows, length)
        with torch.inference_mode():
            (found,) = compiled(*(torch.from_numpy(feeds[name]) for name in engine.inputs))
        np.testing.assert_allclose(found.numpy(), engine.run(feeds)["features"], atol=1e-6)


def test_what_cannot_be_compiled_runs_as_it_is() -> None:
    engine = TorchEngine(text_graph(), device="cpu", compiled=True)
    assert engine._compiled is None  # on CUDA only

    def fail(*tensors: Any) -> None:
        raise RuntimeError("no compiler")

    expected = engine.run(texts(2, 5))["features"]
    engine._compiled = fail
    np.testing.assert_array_equal(engine.run(texts(2, 5))["features"], expected)
    assert engine._compiled is None


def test_bfloat16_keeps_the_direction_and_returns_float32() -> None:
    graph = text_graph()
    feeds = texts(4, 12)
    found = TorchEngine(graph, device="cpu", precision="bfloat16").run(feeds)["features"]
    expected = OrtEngine(graph).run(feeds)["features"]
    assert found.dtype == np.float32
    assert (found * expected).sum(1).min() > 0.995
    assert np.abs(found - expected).max() > 1e-5  # it did run in bfloat16
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_the_smallest_float32_stays_finite_in_bfloat16() -> None:
    lowest = np.full((1, 3), np.finfo(np.float32).min)
    graph = model_of("Mul", [np.zeros((2, 3), np.float32), lowest], {}, {1})
    found = TorchEngine(graph, device="cpu", precision="bfloat16").run(
        {"in0": np.zeros((2, 3), np.float32)}
    )
    assert not found["out0"].any()  # 0 * -inf would be NaN


def test_shapes_are_computed_on_the_host() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["n"], axis=0),
        helper.make_node("Gather", ["shape", "one"], ["t"], axis=0),
        helper.make_node("Mul", ["n", "t"], ["nt"]),
        helper.make_node("Unsqueeze", ["nt", "axes"], ["list"]),
        helper.make_node("Concat", ["list", "two"], ["asked"], axis=0),
        helper.make_node("Equal", ["asked", "two"], ["same"]),
        helper.make_node("Where", ["same", "two", "asked"], ["chosen"]),
        helper.make_node("Reshape", ["x", "chosen"], ["flat"]),
        helper.make_node("Range", ["zero", "nt", "one"], ["counted"]),
        helper.make_node("Cast", ["counted"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["float", "last"], ["column"]),
        helper.make_node("Add", ["flat", "column"], ["y"]),
    ]
    numbers = {
        "zero": np.int64(0),
        "one": np.int64(1),
        "axes": ints(0),
        "last": ints(1),
        "two": ints(2),
    }
    graph = helper.make_graph(
        nodes,
        "shapes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "t", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in numbers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    engine = TorchEngine(model.SerializeToString(), device="cpu")
    code = engine._module.code
    assert "_plain" not in code
    assert "_from_numbers" not in code
    x = floats(3, 5, 2)
    expected = x.reshape(15, 2) + np.arange(15)[:, None]
    np.testing.assert_allclose(engine.run({"x": x})["y"], expected, rtol=1e-6)


def test_an_exported_module_gives_the_same() -> None:
    pytest.importorskip("onnxscript")
    from headstart.backbones import graph as graphs
    from headstart.backbones.quiet import quiet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # layers draw from torch's own generator, forked above
        module = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.BatchNorm2d(8), torch.nn.Hardswish(),
            torch.nn.MaxPool2d(3, 2, 1), torch.nn.Flatten(2), torch.nn.Linear(16, 8),
            torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.nn.Flatten(),
        )  # fmt: skip
    pixels = torch.rand(2, 3, 16, 16)
    with quiet():
        graph = graphs.export(module, {"input": pixels}, {"input": {0: "n"}})
    with torch.inference_mode():
        for precision, least in (("float32", 0.999999), ("bfloat16", 0.995)):
            rows = torch.rand(3, 3, 16, 16)
            found = TorchEngine(graph, device="cpu", precision=precision).run(
                {"input": rows.numpy()}
            )
            a, b = found["features"], module.eval()(rows).numpy()
            cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
            assert cosine.min() > least


def test_what_it_does_not_know_is_named() -> None:
    for op, attributes, named in (
        ("Hardmax", {}, "Hardmax"),
        ("Gelu", {"sharpness": 2}, "Gelu with sharpness"),
    ):
        with pytest.raises(BackboneError, match=f"does not know the operator {named}") as caught:
            TorchEngine(model_of(op, [X], attributes, set()), device="cpu")
        assert caught.value.fix == "use --engine onnxruntime"


def test_what_is_no_graph_is_refused(tmp_path) -> None:
    dangling = onnx.load_from_string(model_of("Relu", [X], {}, set()))
    dangling.graph.node[0].input[0] = "nowhere"
    old = onnx.load_from_string(model_of("Relu", [X], {}, set()))
    old.opset_import[0].version = 11
    bad = [
        b"not a graph",
        b"",
        tmp_path / "absent.onnx",
        *(m.SerializeToString() for m in (dangling, old)),
    ]
    for graph in bad:
        with pytest.raises(BackboneError, match="cannot load the graph"):
            TorchEngine(graph, device="cpu")


def test_the_device_is_named_or_found(monkeypatch) -> None:
    graph = model_of("Relu", [X], {}, set())
    with pytest.raises(BackboneError, match="cannot use the device 'toaster'"):
        TorchEngine(graph, device="toaster")
    monkeypatch.setattr(torch_gpu, "_gpu", lambda: None)
    assert TorchEngine.missing() == "torch finds no CUDA or MPS device"
    with pytest.raises(BackboneError, match="no CUDA or MPS device") as caught:
        TorchEngine(graph)
    assert caught.value.fix == "use --engine onnxruntime"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert TorchEngine.missing().startswith("torch is not installed")


def test_importing_it_imports_no_torch() -> None:
    code = "import sys, headstart.engine.torch_gpu; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.starter
@pytest.mark.parametrize("name", ["lite0", "minilm", "e5"])
def test_the_starters_agree_with_onnxruntime(name) -> None:
    backbone = backbone_named(f"starter:{name}", offline=True)
    feeds = texts(4, 12, tokens=5000)
    if backbone.modality == "image":
        feeds = {"pixels": made_pixels(224, 224, 4).numpy()}
    expected = OrtEngine(backbone.graph).run(feeds)["features"]
    found = TorchEngine(backbone.graph, device="cpu").run(feeds)["features"]
    assert np.abs(found - expected).max() < 1e-4
    short = TorchEngine(backbone.graph, device="cpu", precision="bfloat16").run(feeds)["features"]
    cosine = (
        (short * expected).sum(1) / np.linalg.norm(short, axis=1) / np.linalg.norm(expected, axis=1)
    )
    # made pictures are harder on lite0 than photos, whose cosine is 0.998 in the mean
    assert cosine.min() > (0.95 if backbone.modality == "image" else 0.995)
