"""Writes ONNX graphs from numpy arrays: nodes and constants in the order in which they are added.

Only the standard operators (domain ai.onnx), so that every engine runs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

OPSET = 20  # Gelu and LayerNormalization; every onnxruntime that Headstart accepts has it
FLOAT = 1  # the number of float32 in ONNX, for Cast
_IR_VERSION = 9


class GraphBuilder:
    """Collects nodes; `finish` gives the model's bytes. The same calls give the same bytes."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._count = 0

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator with one output; returns the output's name."""
        return self.add_many(op, 1, *inputs, **attributes)[0]

    def add_many(self, op: str, outputs: int, *inputs: str, **attributes: Any) -> tuple[str, ...]:
        """Add an operator with several outputs; returns their names."""
        from onnx import helper

        self._count += 1
        names = tuple(f"{op.lower()}_{self._count}_{i}" for i in range(outputs))
        self._nodes.append(helper.make_node(op, inputs, names, f"{op}_{self._count}", **attributes))
        return names

    def constant(self, value: np.ndarray | Sequence[int] | float) -> str:
        """Add a constant; ints become int64, a float float32, arrays keep their type."""
        from onnx import numpy_helper

        self._count += 1
        if isinstance(value, float):
            array = np.array(value, dtype=np.float32)
        else:
            array = np.asarray(value, dtype=None if isinstance(value, np.ndarray) else np.int64)
        name = f"constant_{self._count}"
        self._constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def finish(
        self, inputs: Mapping[str, tuple[Any, Sequence[int | str]]], output: str, dim: int
    ) -> bytes:
        """The serialised model.

        Args:
            inputs: name -> (numpy type, shape with names for sizes that vary).
            output: name of the (n, dim) float32 result; it is called "features" in the model.
            dim: length of a feature vector.
        """
        from onnx import TensorProto, checker, helper

        self._nodes.append(helper.make_node("Identity", [output], ["features"], "features"))
        graph = helper.make_graph(
            self._nodes,
            "headstart",
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape
                )
                for name, (kind, shape) in inputs.items()
            ],
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", dim])],
            self._constants,
        )
        model = helper.make_model(
            graph,
            producer_name="headstart",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
        )
        checker.check_model(model)
        return model.SerializeToString(deterministic=True)
