"""Backbone graph + head -> one graph, and back."""

from __future__ import annotations

import numpy as np

from headstart.types import Head


def add_head(graph: bytes, head: Head) -> bytes:
    """The backbone's graph with "logits" (n, k) beside its "features" (n, d).

    Args:
        graph: serialised ONNX model with the output "features".
        head: the linear head.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(graph)
    weight, bias = head.weight.astype(np.float32), head.bias.astype(np.float32)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.ascontiguousarray(weight), "head.weight"),
            numpy_helper.from_array(bias, "head.bias"),
        ]
    )
    model.graph.node.extend(
        [
            helper.make_node(
                "Gemm", ["features", "head.weight", "head.bias"], ["logits"], name="head"
            )
        ]
    )
    shape: list[str | int | None] = ["n", len(bias)]
    model.graph.output.extend(
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, shape)]
    )
    return model.SerializeToString()


def without_head(graph: bytes) -> bytes:
    """The backbone's graph again, of one that has a head.

    Args:
        graph: what `add_head` made.
    """
    import onnx

    model = onnx.load_from_string(graph)
    for kept, name in (
        (model.graph.node, "head"),
        (model.graph.output, "logits"),
        (model.graph.initializer, "head.weight"),
        (model.graph.initializer, "head.bias"),
    ):
        (place,) = (i for i, one in enumerate(kept) if one.name == name)
        del kept[place]
    return model.SerializeToString()
