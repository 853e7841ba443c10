"""A backbone's ONNX graph as a torch module whose weights can be trained, and back into a graph.

What is trained is the graph that ships: no other copy of the architecture exists that could differ from
it, and any backbone can be trained, wherever it came from. A graph can be cut in two where a single tensor
passes: the bottom stays as it is and runs through the fastest engine, the top becomes the module.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, fx

from headstart.engine.torch_graph import module_of
from headstart.errors import BackboneError

_RECURRENT = ("RNN", "GRU", "LSTM")
_PRODUCTS = ("Conv", "Gemm", "MatMul", *_RECURRENT)
# operators whose inputs, from this place on, are weights where they are initializers
_WEIGHTED = {
    **dict.fromkeys(_PRODUCTS, 0), "Add": 0, "Mul": 0, "LayerNormalization": 1, "RMSNormalization": 1,
    "BatchNormalization": 1, "InstanceNormalization": 1, "PRelu": 1, "Transpose": 0, "Gather": 0,
}  # fmt: skip
_STATISTICS = {
    "BatchNormalization": (3, 4)
}  # running means and variances are measured, not trained


@dataclass(frozen=True)
class Layers:
    """The weights of a graph by their depth, and the tensors where it can be cut.

    Attributes:
        depth: initializer -> how many products with weights come before the first node that uses it.
        cuts: (tensor, depth) in order: all that later nodes need of what weights made is this one tensor;
            `depth` products lie before it. None in recurrent and convolutional networks for texts: what
            passes there is not one vector for each token.
        products: products with weights in all.
    """

    depth: Mapping[str, int]
    cuts: tuple[tuple[str, int], ...]
    products: int


def layers(model: ModelProto) -> Layers:
    """What can be trained, and where the graph can be cut.

    Weights are float32 initializers of products, norms and embeddings, and what is added or multiplied
    after the first of them; the normalisation of the input stands before and is left alone, and so are
    quantised weights.

    Args:
        model: a graph with the one output "features".
    """
    floats = {
        t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and t.dims
    }
    last = _last_use(model)
    depth: dict[str, int] = {}
    made: set[str] = set()  # tensors that depend on a weight
    live: set[str] = set()
    cuts: list[tuple[str, int]] = []
    products = 0
    for place, node in enumerate(model.graph.node):
        own = _weights(node, floats, begun=bool(products))
        for name in own:
            depth.setdefault(name, products)
        products += bool(own) and node.op_type in _PRODUCTS
        if own or any(name in made for name in node.input):
            made.update(node.output)
            live.update(node.output)
        live = {name for name in live if last.get(name, -1) > place}
        if len(live) == 1 and node.output[0] in live and products:
            cuts.append((node.output[0], products))
    if not products:
        raise BackboneError(
            "This graph has no weights that can be trained.",
            fix="take another backbone, or the probe",
        )
    return Layers(depth, () if _across_tokens(model) else tuple(cuts), products)


def _across_tokens(model: ModelProto) -> bool:
    """Whether a graph for texts has operators that lay the tokens along another axis than the second."""
    texts = any(value.name == "input_ids" for value in model.graph.input)
    return texts and any(n.op_type in ("Conv", *_RECURRENT) for n in model.graph.node)


def unpacked(model: ModelProto) -> ModelProto:
    """The graph with everything that depends on constants alone computed: a copy.

    Some graphs keep their products' weights in a few bits and unpack them when they are loaded. To be
    trained they have to stand there as numbers. What is looked up by an input, such as embeddings, stays
    packed.
    """
    constants = {t.name for t in model.graph.initializer}
    packed: list[NodeProto] = []
    rest: list[NodeProto] = []
    for node in model.graph.node:
        alone = all(name in constants for name in node.input if name)
        (packed if alone else rest).append(node)
        if alone:
            constants.update(node.output)
    made = {name for node in packed for name in node.output}
    needed = sorted({name for node in rest for name in node.input if name in made})
    if not needed:
        return model
    outputs = [onnx.ValueInfoProto(name=name) for name in needed]
    values = _computed(part(model, set(), outputs))
    changed = ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:]
    changed.graph.node.extend(rest)
    used = {name for node in rest for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del changed.graph.initializer[:]
    changed.graph.initializer.extend(kept)
    changed.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in zip(needed, values)
    )
    return changed


def _computed(model: ModelProto) -> list[np.ndarray]:
    """The outputs of a graph without inputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {}))


def _weights(node: NodeProto, floats: set[str], *, begun: bool) -> list[str]:
    """The initializers of a node that can be trained."""
    first = _WEIGHTED.get(node.op_type)
    if first is None or (node.op_type in ("Add", "Mul", "Transpose") and not begun):
        return []
    left_out = _STATISTICS.get(node.op_type, ())
    places = range(first, len(node.input))
    return [node.input[i] for i in places if i not in left_out and node.input[i] in floats]


def _last_use(model: ModelProto) -> dict[str, int]:
    """Tensor -> the last node that takes it; beyond the last node for the graph's outputs."""
    last = {name: place for place, node in enumerate(model.graph.node) for name in node.input}
    return last | {value.name: len(model.graph.node) for value in model.graph.output}


@dataclass(frozen=True)
class Halves:
    """A graph cut in two.

    Attributes:
        bottom: from the graph's inputs to the tensor `at`, its only output.
        top: from `at`, and those inputs of the graph that it needs besides, to "features".
        at: name of the tensor between.
    """

    bottom: ModelProto
    top: ModelProto
    at: str


def cut(model: ModelProto, at: str) -> Halves:
    """Cut a graph at a tensor of `layers(model).cuts`.

    Raises:
        BackboneError: the graph cannot be cut there.
    """
    if at not in {name for name, _ in layers(model).cuts}:
        raise BackboneError(f"The graph cannot be cut at {at!r}.", fix="take one of `layers`' cuts")
    inner = helper.make_tensor_value_info(at, TensorProto.FLOAT, None)
    bottom = part(model, set(), [inner])
    top = part(model, {at}, list(model.graph.output))
    top.graph.input.insert(0, inner)
    return Halves(bottom, top, at)


def part(model: ModelProto, given: set[str], outputs: list[onnx.ValueInfoProto]) -> ModelProto:
    """The nodes between given tensors and outputs, with what they need: a copy.

    Args:
        model: the whole graph.
        given: tensors that need not be computed.
        outputs: what is wanted.
    """
    wanted = {value.name for value in outputs}
    nodes: list[NodeProto] = []
    for node in reversed(model.graph.node):
        if any(name in wanted and name not in given for name in node.output):
            nodes.append(node)
            wanted.update(node.input)
    graph = helper.make_graph(
        nodes[::-1],
        model.graph.name,
        [value for value in model.graph.input if value.name in wanted],
        outputs,
        [tensor for tensor in model.graph.initializer if tensor.name in wanted],
    )
    part = helper.make_model(graph, opset_imports=model.opset_import)
    part.ir_version = model.ir_version
    return part


class Trainable(torch.nn.Module):
    """A graph as a module with parameters; its inputs in the graph's order, its output the features.

    Args:
        model: a graph, or the top half of one.
        names: initializers that become parameters; those that the graph lacks are passed over.
        device: where it runs.
    """

    def __init__(
        self, model: ModelProto, names: Collection[str], device: torch.device | None = None
    ) -> None:
        super().__init__()
        known = [t.name for t in model.graph.initializer if t.name in set(names)]
        self.origin = {f"weight{i}": name for i, name in enumerate(known)}
        """Parameter -> initializer."""
        self.inputs = tuple(value.name for value in model.graph.input)
        free = {name: parameter for parameter, name in self.origin.items()}
        self.graph: fx.GraphModule = module_of(
            model, device or torch.device("cpu"), torch.float32, free
        )

    def forward(self, *inputs: Tensor) -> Tensor:
        """Features (n, d) of the graph's inputs, in the order of `inputs`."""
        (features,) = self.graph(*inputs)
        return features

    def weights(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """(initializer, parameter) pairs."""
        for name, parameter in self.graph.named_parameters():
            yield self.origin[name], parameter


def with_weights(model: ModelProto, weights: Mapping[str, Tensor]) -> ModelProto:
    """The graph with other values of some initializers: a copy.

    Args:
        model: the whole graph.
        weights: initializer -> its new value, of the same shape.

    Raises:
        BackboneError: there is no such initializer, or its shape is another.
    """
    changed = ModelProto()
    changed.CopyFrom(model)
    left = dict(weights)
    for tensor in changed.graph.initializer:
        value = left.pop(tensor.name, None)
        if value is None:
            continue
        if tuple(tensor.dims) != tuple(value.shape):
            raise BackboneError(
                f"{tensor.name} has the shape {tuple(tensor.dims)}, not {tuple(value.shape)}.",
                fix="train the graph that the weights are to be put into",
            )
        array = value.detach().cpu().contiguous().float().numpy()
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    if left:
        raise BackboneError(
            f"The graph has no weights called {', '.join(sorted(left)[:3])}.",
            fix="train the graph that the weights are to be put into",
        )
    return changed
