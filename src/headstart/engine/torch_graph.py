"""An ONNX graph as a torch.fx module: one torch call for each operator, constants computed once.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from onnx import (
    AttributeProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
    shape_inference,
)
from torch import Tensor, fx, nn

from headstart.engine import torch_layers, torch_recurrent  # noqa: F401  they join the table
from headstart.engine.torch_host import HOST, MEASURES
from headstart.engine.torch_ops import OPERATORS, Operator
from headstart.errors import BackboneError

_OLDEST = 13  # operator set: before, axes were attributes and Softmax flattened
_LIST = 64  # a longer list of integers is no shape
_SEVERAL = ("Split", "RNN", "GRU", "LSTM")  # operators with several outputs
_INTEGERS = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)


def module_of(
    model: ModelProto,
    device: torch.device,
    kind: torch.dtype,
    free: Mapping[str, str] | None = None,
) -> fx.GraphModule:
    """The graph as a module: its inputs as tensors in order, to a tuple of its outputs.

    Args:
        model: the graph with its weights.
        device: where it will run.
        kind: type of its float32 weights.
        free: weights that can be trained: initializer -> name of the parameter. They stay float32.

    Raises:
        BackboneError: it has an operator that is not in the table, or does not hold together.
    """
    version = max([o.version for o in model.opset_import if o.domain in ("", "ai.onnx")] or [0])
    if version < _OLDEST:
        raise BackboneError(
            f"torch cannot load the graph: its operators are of version {version}, not {_OLDEST} or later",
            fix="use --engine onnxruntime",
        )
    try:
        with torch.no_grad() if free else torch.inference_mode():
            return _Builder(model, device, kind, free or {}).build()
    except BackboneError:
        raise
    except Exception as error:
        line = (str(error).splitlines() or [""])[0][:300]
        raise BackboneError(
            f"torch cannot load the graph: {type(error).__name__}: {line}",
            fix="use --engine onnxruntime; if it stays, make the graph or the bundle again",
        ) from error


class _Builder:
    """A value of the graph is a constant, a tensor of the run, or numbers of the host (a shape)."""

    def __init__(
        self,
        model: ModelProto,
        device: torch.device,
        kind: torch.dtype,
        free: Mapping[str, str],
    ) -> None:
        self.model, self.device, self.kind = model, device, kind
        self.graph = fx.Graph()
        self.constants = {t.name: _tensor(t) for t in model.graph.initializer}
        self.tensors: dict[str, fx.Node] = {}
        self.numbers: dict[str, fx.Node] = {}
        self.held: dict[str, Tensor] = {}
        self.lists = _lists(model)
        self.parameters = {
            name: nn.Parameter(self.constants.pop(initializer).to(device))
            for initializer, name in free.items()
        }
        for initializer, name in free.items():
            self.tensors[initializer] = self.graph.get_attr(name)

    def build(self) -> fx.GraphModule:
        for value in self.model.graph.input:
            if value.name not in self.constants:
                self.tensors[value.name] = self.graph.placeholder(value.name)
        for node in self.model.graph.node:
            self.add(node)
        self.graph.output(tuple(self.tensor(value.name) for value in self.model.graph.output))
        self.graph.eliminate_dead_code()
        used = {node.target for node in self.graph.nodes if node.op == "get_attr"}
        held = {name: self.place(value) for name, value in self.held.items() if name in used}
        module = fx.GraphModule({**held, **self.parameters}, self.graph)
        return module.eval()

    def add(self, node: NodeProto) -> None:
        names, attributes = list(node.input), _attributes(node)
        if node.op_type == "Constant":
            self.constants[node.output[0]] = torch.as_tensor(next(iter(attributes.values())))
            return
        if node.op_type in MEASURES and not node.domain:
            if names[0] in self.constants:
                value = MEASURES[node.op_type](self.constants[names[0]], **attributes)
                self.constants[node.output[0]] = torch.tensor(value, dtype=torch.int64)
                return
            run, given = MEASURES[node.op_type], (self.tensor(names[0]),)
            self.numbers[node.output[0]] = self.graph.call_function(run, given, attributes)
            return
        row = _row(node, attributes)
        if all(name in self.constants or not name for name in names):
            self.fold(node, row, attributes)
        elif self.on_host(node, attributes):
            numbers = tuple(self.number(name) if name else None for name in names)
            self.numbers[node.output[0]] = self.graph.call_function(
                HOST[node.op_type], numbers, attributes
            )
        else:
            inputs = tuple(self.argument(name, i, row) for i, name in enumerate(names))
            where = {"device": self.device} if row.makes else {}
            result = self.graph.call_function(row.run, inputs, {**attributes, **where})
            if node.op_type not in _SEVERAL:
                self.tensors[node.output[0]] = result
                return
            for i, name in enumerate(node.output):
                self.tensors[name] = self.graph.call_function(_pick, (result, i))

    def fold(self, node: NodeProto, row: Operator, attributes: dict[str, Any]) -> None:
        """Compute what depends on constants alone, on the processor, in the graph's own types."""
        values: list[Any] = []
        for i, name in enumerate(node.input):
            if not name:
                values.append(None)
                continue
            value = self.constants[name]
            as_number = i in row.host or (i in row.plain and not value.ndim)
            values.append(_plain(value) if as_number else value)
        result = row.run(*values, **attributes, **({"device": "cpu"} if row.makes else {}))
        results = result if isinstance(result, tuple) else (result,)
        self.constants.update(zip(node.output, results))

    def on_host(self, node: NodeProto, attributes: dict[str, Any]) -> bool:
        """Whether the operator computes a shape: lists of integers in, one out."""
        return (
            node.op_type in HOST
            and node.output[0] in self.lists
            and all(not name or name in self.numbers or self.is_list(name) for name in node.input)
            and _fits(HOST[node.op_type], len(node.input), attributes)
        )

    def is_list(self, name: str) -> bool:
        value = self.constants.get(name)
        return (
            value is not None
            and not value.dtype.is_floating_point
            and value.ndim <= 1
            and value.numel() <= _LIST
        )

    def argument(self, name: str, place: int, row: Operator) -> Any:
        if not name:
            return None
        if place in row.host:
            return self.number(name)
        if place in row.plain and name in self.constants and not self.constants[name].ndim:
            return _plain(self.constants[name])
        return self.tensor(name)

    def number(self, name: str) -> Any:
        if name in self.constants:
            return _plain(self.constants[name])
        if name not in self.numbers:
            self.numbers[name] = self.graph.call_function(_plain, (self.tensors[name],))
        return self.numbers[name]

    def tensor(self, name: str) -> fx.Node:
        if name not in self.tensors:
            if name in self.constants:
                held = f"held{len(self.held)}"
                self.held[held] = self.constants[name]
                self.tensors[name] = self.graph.get_attr(held)
            else:
                self.tensors[name] = self.graph.call_function(
                    _from_numbers, (self.numbers[name], self.device)
                )
        return self.tensors[name]

    def place(self, value: Tensor) -> Tensor:
        """A constant as it will be used: its type, its device, channels last for convolutions."""
        if self.kind != value.dtype == torch.float32 and value.ndim:
            # numbers for "very small" stand near float32's end and must not become infinite
            limit = torch.finfo(self.kind).max
            finite = torch.isfinite(value)
            value = torch.where(finite, value.clamp(-limit, limit), value).to(self.kind)
        if value.ndim == 4 and self.device.type != "mps":
            return value.to(self.device, memory_format=torch.channels_last)
        return value.to(self.device)


def _row(node: NodeProto, attributes: dict[str, Any]) -> Operator:
    """The table's row for a node, if it takes this node's inputs and attributes."""
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    row = None if domain else OPERATORS.get(node.op_type)
    what = f"{domain}{node.op_type}"
    if row is not None:
        outputs = [name for name in node.output if name]
        extra = {"device": None} if row.makes else {}
        if len(outputs) > 1 and node.op_type not in _SEVERAL:
            what += f" with {len(outputs)} outputs"
        elif _fits(row.run, len(node.input), {**attributes, **extra}):
            return row
        else:
            what += f" with {', '.join(attributes) or 'these inputs'}"
    raise BackboneError(
        f"The torch engine does not know the operator {what}.", fix="use --engine onnxruntime"
    )


def _fits(run: Callable[..., Any], inputs: int, attributes: dict[str, Any]) -> bool:
    try:
        inspect.signature(run).bind(*range(inputs), **attributes)
    except TypeError:
        return False
    except ValueError:  # torch's own functions have no signature, and take tensors only
        return not attributes
    return True


def _attributes(node: NodeProto) -> dict[str, Any]:
    found = {a.name: _attribute(a) for a in node.attribute}
    if node.op_type == "Split" and len(node.input) == 1:
        found.setdefault("num_outputs", len(node.output))
    if node.op_type == "ConstantOfShape" and "value" in found:
        value = found["value"].reshape(())
        found |= {"value": value.item(), "dtype": value.dtype}
    return found


def _attribute(attribute: AttributeProto) -> Any:
    if attribute.type == AttributeProto.TENSOR:
        return _tensor(attribute.t)
    if attribute.type == AttributeProto.STRING:
        return attribute.s.decode()
    if attribute.type == AttributeProto.STRINGS:
        return tuple(value.decode() for value in attribute.strings)
    if attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS):
        return tuple(attribute.ints or attribute.floats)
    if attribute.type in (AttributeProto.INT, AttributeProto.FLOAT):
        return attribute.i if attribute.type == AttributeProto.INT else attribute.f
    return attribute.name  # a graph, a sparse tensor: no operator of the table has one


def _tensor(proto: TensorProto) -> Tensor:
    array = numpy_helper.to_array(proto)
    if array.dtype.name in ("int4", "int2"):
        array = array.astype(np.int8)
    elif array.dtype.name in ("uint4", "uint2"):
        array = array.astype(np.uint8)
    elif array.dtype.name == "bfloat16":
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(array.copy())


def _lists(model: ModelProto) -> set[str]:
    """Names of the values that are an integer or a list of them, as far as ONNX can tell."""
    bare = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    bare.graph.name = model.graph.name
    bare.graph.node.extend(model.graph.node)
    bare.graph.input.extend(model.graph.input)
    bare.graph.output.extend(model.graph.output)
    for constant in model.graph.initializer:  # of the heavy ones only the shape matters
        if math.prod(constant.dims) <= _LIST:
            bare.graph.initializer.append(constant)
        else:
            kind = helper.make_tensor_value_info(
                constant.name, constant.data_type, list(constant.dims)
            )
            bare.graph.input.append(kind)
    try:
        inferred = shape_inference.infer_shapes(bare)
    except Exception:  # noqa: BLE001  a courtesy: without it shapes are computed as tensors
        return set()
    kinds = {value.name: value.type.tensor_type for value in inferred.graph.value_info}
    return {
        name
        for name, kind in kinds.items()
        if kind.elem_type in _INTEGERS and kind.HasField("shape") and len(kind.shape.dim) <= 1
    }


def _plain(value: Tensor) -> Any:
    """A tensor's numbers: one, or a tuple of them."""
    numbers = value.tolist()
    return tuple(numbers) if isinstance(numbers, list) else numbers


def _from_numbers(value: int | Sequence[int], device: torch.device) -> Tensor:
    return torch.tensor(value, dtype=torch.int64, device=device)


def _pick(values: Sequence[Any], place: int) -> Any:
    return values[place]
