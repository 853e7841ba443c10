"""A backbone source from outside: two tiny graphs without weights, so that tests need no downloads."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from headstart.backbones import shelf
from headstart.types import Preprocess

IMAGE_STEPS = (
    {"step": "decode", "max_pixels": 1_000_000},
    {"step": "resize", "size": [32, 32], "mode": "exact", "interpolation": "bilinear"},
)
TEXT_STEPS = ({"step": "tokenize", "max_length": 32},)


def load(name, *, offline=False, say=None):
    kept = shelf.take(f"tiny:{name}")
    return kept or {"image": _image, "text": _text, "net": _net}[name]()


def _image():
    """Mean colour of 4 x 4 blocks: pixels (n, 32, 32, 3) -> features (n, 192)."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["nchw"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["pooled"], ["flat"], axis=1),
        helper.make_node("Mul", ["flat", "scale"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 192])],
        [numpy_helper.from_array(np.float32([1 / 255]), "scale")],
    )
    return shelf.keep(
        "tiny:image", graph=_model(graph), name="tiny:image", modality="image", dim=192,
        licence="CC0-1.0", sha256="0" * 64, preprocess=Preprocess("image", IMAGE_STEPS),
    )  # fmt: skip


def _net():
    """Three convolutions with random weights, that can be trained: pixels (n, 32, 32, 3) -> (n, 24)."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "scale"], ["at0"]),
    ]
    weights = [numpy_helper.from_array(np.float32([1 / 255]), "scale")]
    for i, (before, after) in enumerate([(3, 8), (8, 16), (16, 24)]):
        kernel = rng.normal(0, (2 / (9 * before)) ** 0.5, (after, before, 3, 3))
        weights.append(numpy_helper.from_array(kernel.astype(np.float32), f"w{i}"))
        weights.append(numpy_helper.from_array(np.zeros(after, np.float32), f"b{i}"))
        own = [f"at{i}", f"w{i}", f"b{i}"]
        nodes += [
            helper.make_node("Conv", own, [f"c{i}"], strides=[2, 2], pads=[1] * 4),
            helper.make_node("Relu", [f"c{i}"], [f"at{i + 1}"]),
        ]
    nodes += [
        helper.make_node("GlobalAveragePool", ["at3"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 24])],
        weights,
    )
    return shelf.keep(
        "tiny:net", graph=_model(graph), name="tiny:net", modality="image", dim=24, licence="CC0-1.0",
        sha256="2" * 64, preprocess=Preprocess("image", IMAGE_STEPS),
    )  # fmt: skip


def _text():
    """Mean of fixed random token vectors: a bag of characters, (n, t) -> (n, 64)."""
    characters = [chr(i) for i in range(32, 127)] + list("好坏很的不是了我喜欢差")
    vocabulary = {"[UNK]": 0, **{c: i + 1 for i, c in enumerate(characters)}}
    table = np.random.default_rng(0).normal(size=(len(vocabulary), 64)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["mask2"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask2", "two"], ["mask"]),
        helper.make_node("Mul", ["vectors", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "one"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "one"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 64])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.int64([1]), "one"),
            numpy_helper.from_array(np.int64([2]), "two"),
        ],
    )
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": ""}, "behavior": "Isolated", "invert": False},
        "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }  # fmt: skip
    return shelf.keep(
        "tiny:text", graph=_model(graph), name="tiny:text", modality="text", dim=64, licence="CC0-1.0",
        sha256="1" * 64, preprocess=Preprocess("text", TEXT_STEPS), tokenizer=json.dumps(tokenizer),
    )  # fmt: skip


def _model(graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
