"""A BERT encoder as an ONNX graph, straight from its weights: token ids to one unit vector a text.

Devlin et al., "BERT", 2018 (https://arxiv.org/abs/1810.04805); the mean over the tokens and the unit
length as in Reimers and Gurevych, "Sentence-BERT", 2019 (https://arxiv.org/abs/1908.10084).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from headstart.backbones.graph_build import FLOAT, GraphBuilder

_MASKED = -10_000.0  # added to the attention scores of padding: their softmax is exactly 0
_SMALLEST = 1e-12  # keeps the division by the length of a vector defined


class Matrix(Protocol):
    """Weights (r, c), in the form in which the graph keeps them."""

    def rows(self, graph: GraphBuilder, ids: str) -> str:
        """Add what looks rows up: int64 (...,) ids to float32 (..., c)."""
        ...

    def whole(self, graph: GraphBuilder, gain: np.ndarray) -> str:
        """Add the transposed matrix with each row times its gain (r,): float32 (c, r)."""
        ...

    def array(self) -> np.ndarray:
        """The matrix, float32 (r, c)."""
        ...


@dataclass(frozen=True)
class Plain:
    """Kept as float32.

    Attributes:
        values: float32 (r, c).
    """

    values: np.ndarray

    def rows(self, graph: GraphBuilder, ids: str) -> str:
        """See `Matrix`."""
        return graph.add("Gather", graph.constant(self.values), ids)

    def whole(self, graph: GraphBuilder, gain: np.ndarray) -> str:
        """See `Matrix`."""
        return graph.constant(self.values.T * gain)

    def array(self) -> np.ndarray:
        """See `Matrix`."""
        return self.values


@dataclass(frozen=True)
class Int8Rows:
    """Kept as 8-bit numbers with a scale for each row: a quarter of the size.

    Attributes:
        steps: int8 (r, c).
        scales: float32 (r, 1).
    """

    steps: np.ndarray
    scales: np.ndarray

    @staticmethod
    def of(values: np.ndarray) -> Int8Rows:
        """Round a float32 matrix (r, c)."""
        scales = np.abs(values).max(axis=1, keepdims=True) / np.float32(127)
        scales = np.where(scales > 0, scales, 1).astype(np.float32)
        return Int8Rows(np.rint(values / scales).astype(np.int8), scales)

    def rows(self, graph: GraphBuilder, ids: str) -> str:
        """See `Matrix`."""
        steps = graph.add("Cast", graph.add("Gather", graph.constant(self.steps), ids), to=FLOAT)
        return graph.add("Mul", steps, graph.add("Gather", graph.constant(self.scales), ids))

    def whole(self, graph: GraphBuilder, gain: np.ndarray) -> str:
        """See `Matrix`."""
        return graph.constant(self.array().T * gain)

    def array(self) -> np.ndarray:
        """See `Matrix`."""
        return self.steps * self.scales


@dataclass(frozen=True)
class Packed4:
    """Kept as 4-bit numbers in blocks of 32 with a float16 scale: weight = (half - 8) * scale.

    Attributes:
        halves: uint8 (r, c / 32, 16): low halves are a block's weights 0 to 15, high ones 16 to 31.
        scales: float16 (r, c / 32).
    """

    halves: np.ndarray
    scales: np.ndarray

    def rows(self, graph: GraphBuilder, ids: str) -> str:
        """See `Matrix`."""
        n, blocks, _ = self.halves.shape
        flat = graph.constant(self.halves.reshape(n, -1))
        packed = graph.add("Gather", flat, ids)
        packed = graph.add("Reshape", packed, graph.constant([0, 0, blocks, 1, 16]))
        scales = graph.add("Gather", graph.constant(self.scales), ids)
        scales = graph.add("Cast", graph.add("Unsqueeze", scales, graph.constant([3, 4])), to=FLOAT)
        values = _unpack(graph, packed, scales, axis=3, dimensions=5)
        return graph.add("Reshape", values, graph.constant([0, 0, blocks * 32]))

    def whole(self, graph: GraphBuilder, gain: np.ndarray) -> str:
        """See `Matrix`; engines compute this once, when they load the graph."""
        n, blocks, _ = self.halves.shape
        # transposed beforehand, so that loading only unpacks: (blocks, 1, 16, r), (blocks, 1, 1, r)
        packed = graph.constant(self.halves.transpose(1, 2, 0)[:, None])
        scales = graph.add("Cast", graph.constant(self.scales.T[:, None, None]), to=FLOAT)
        scales = graph.add("Mul", scales, graph.constant(gain.astype(np.float32)))
        values = _unpack(graph, packed, scales, axis=1, dimensions=4)
        return graph.add("Reshape", values, graph.constant([blocks * 32, n]))

    def array(self) -> np.ndarray:
        """See `Matrix`."""
        steps = np.concatenate([self.halves & 15, self.halves >> 4], axis=-1).astype(np.float32) - 8
        return (steps * self.scales.astype(np.float32)[..., None]).reshape(len(steps), -1)


def _unpack(graph: GraphBuilder, packed: str, scales: str, *, axis: int, dimensions: int) -> str:
    """(half - 8) * scale of both halves of each byte, the low halves first along the axis.

    The high halves stay where they are, 16 times too large, and their scales are divided by 16: no
    rounding is involved, and shifts are what engines disagree on (OpenVINO's do not round down).
    """
    shape = [1] * dimensions
    shape[axis] = 2

    def pair(low: float, high: float) -> str:
        return graph.constant(np.array([low, high], np.float32).reshape(shape))

    low, high = (
        graph.add("BitwiseAnd", packed, graph.constant(np.array(bits, np.uint8)))
        for bits in (15, 240)
    )
    steps = graph.add("Cast", graph.add("Concat", low, high, axis=axis), to=FLOAT)
    steps = graph.add("Sub", steps, pair(8, 128))
    return graph.add("Mul", steps, graph.add("Mul", scales, pair(1, 1 / 16)))


Dense: TypeAlias = tuple[Matrix, np.ndarray]
"""A linear layer: weights (out, in) and bias (out,)."""

Norm: TypeAlias = tuple[np.ndarray, np.ndarray]
"""A layer normalisation: gain (c,) and bias (c,)."""


@dataclass(frozen=True)
class Layer:
    """One layer of the encoder: attention, then two linear layers with GELU between them.

    Attributes:
        qkv: makes queries, keys and values at once: (3c, c).
        out: what follows the attention: (c, c).
        norm: of the attention's output and its input.
        widen: before GELU: (4c, c).
        narrow: after GELU: (c, 4c).
        last_norm: of the layer's output.
    """

    qkv: Dense
    out: Dense
    norm: Norm
    widen: Dense
    narrow: Dense
    last_norm: Norm


@dataclass(frozen=True)
class Bert:
    """An encoder's weights.

    Attributes:
        heads: attention heads.
        eps: of the layer normalisations.
        words: vectors of the tokens (v, c).
        positions: vectors of the positions (p, c), that of token type 0 added.
        norm: of the sum of both.
        layers: first to last.
    """

    heads: int
    eps: float
    words: Matrix
    positions: np.ndarray
    norm: Norm
    layers: tuple[Layer, ...]


def bert(weights: Bert) -> bytes:
    """The graph: "input_ids" and "attention_mask" int64 (n, t) to unit vectors (n, c).

    Args:
        weights: the encoder.
    """
    graph = GraphBuilder()
    add, constant = graph.add, graph.constant
    dim = weights.positions.shape[1]
    mask = add("Cast", "attention_mask", to=FLOAT)
    masked = add("Mul", add("Sub", constant(1.0), mask), constant(_MASKED))
    masked = add("Unsqueeze", masked, constant([1, 2]))  # (n, 1, 1, t)
    length = add("Slice", add("Shape", "input_ids"), constant([1]), constant([2]))
    places = add("Slice", constant(weights.positions), constant([0]), length, constant([0]))
    x = add("Add", weights.words.rows(graph, "input_ids"), places)
    x = _norm(graph, x, weights.norm, weights.eps)
    for layer in weights.layers:
        attended = _attention(graph, x, masked, layer, weights.heads)
        x = _norm(graph, add("Add", attended, x), layer.norm, weights.eps)
        y = add("Gelu", _dense(graph, x, layer.widen))
        y = _dense(graph, y, layer.narrow)
        x = _norm(graph, add("Add", y, x), layer.last_norm, weights.eps)
    # the sum over the tokens: at unit length it is the same as their mean
    pooled = add("MatMul", add("Unsqueeze", mask, constant([1])), x)  # (n, 1, c)
    pooled = add("Squeeze", pooled, constant([1]))
    size = add("ReduceL2", pooled, constant([1]), keepdims=1)
    unit = add("Div", pooled, add("Max", size, constant(_SMALLEST)))
    inputs = dict.fromkeys(("input_ids", "attention_mask"), (np.int64, ("n", "t")))
    return graph.finish(inputs, unit, dim)


def _norm(graph: GraphBuilder, x: str, norm: Norm, eps: float) -> str:
    gain, bias = (graph.constant(part) for part in norm)
    return graph.add("LayerNormalization", x, gain, bias, axis=-1, epsilon=eps)


def _dense(graph: GraphBuilder, x: str, dense: Dense) -> str:
    weight, bias = dense
    product = graph.add("MatMul", x, weight.whole(graph, np.ones(len(bias), np.float32)))
    return graph.add("Add", product, graph.constant(bias))


def _attention(graph: GraphBuilder, x: str, masked: str, layer: Layer, heads: int) -> str:
    """Multi-head attention (n, t, c) to (n, t, c), one product for queries, keys and values.

    Two biases need no work for each token: that of the keys shifts all scores of a query alike, so
    the softmax drops it; that of the values passes through the averaging, as its weights sum to 1.
    """
    add, constant = graph.add, graph.constant
    (weight, bias), (out, out_bias) = layer.qkv, layer.out
    dim = len(out_bias)
    size = dim // heads
    scale = size**-0.5  # of the scores; in the queries' weights it costs nothing
    gain = np.repeat(np.array([scale, 1, 1], np.float32), dim)
    qkv = add("MatMul", x, weight.whole(graph, gain))
    q, k, v = graph.add_many("Split", 3, qkv, axis=-1, num_outputs=3)
    q = add("Add", q, constant((bias[:dim] * scale).astype(np.float32)))
    parts = constant([0, 0, heads, size])
    q = add("Transpose", add("Reshape", q, parts), perm=[0, 2, 1, 3])  # (n, heads, t, size)
    k = add("Transpose", add("Reshape", k, parts), perm=[0, 2, 3, 1])  # (n, heads, size, t)
    v = add("Transpose", add("Reshape", v, parts), perm=[0, 2, 1, 3])
    share = add("Softmax", add("Add", add("MatMul", q, k), masked), axis=-1)  # (n, heads, t, t)
    mixed = add("Transpose", add("MatMul", share, v), perm=[0, 2, 1, 3])
    mixed = add("Reshape", mixed, constant([0, 0, dim]))
    passed = out_bias + out.array().astype(np.float64) @ bias[2 * dim :]
    return _dense(graph, mixed, (out, passed.astype(np.float32)))


def from_checkpoint(tensors: Mapping[str, np.ndarray], *, heads: int, eps: float) -> Bert:
    """An encoder out of the tensors of a BertModel; the vectors of the tokens are rounded to 8 bits.

    Args:
        tensors: by the names of the original checkpoint.
        heads: attention heads.
        eps: of the layer normalisations.
    """

    def dense(*names: str) -> Dense:
        weight = np.concatenate([tensors[name + ".weight"] for name in names])
        return Plain(weight), np.concatenate([tensors[name + ".bias"] for name in names])

    def norm(name: str) -> Norm:
        return tensors[name + ".weight"], tensors[name + ".bias"]

    def layer(at: str) -> Layer:
        own = at + "attention.self."
        return Layer(
            qkv=dense(own + "query", own + "key", own + "value"),
            out=dense(at + "attention.output.dense"),
            norm=norm(at + "attention.output.LayerNorm"),
            widen=dense(at + "intermediate.dense"),
            narrow=dense(at + "output.dense"),
            last_norm=norm(at + "output.LayerNorm"),
        )

    table = "embeddings.{}_embeddings.weight"
    count = sum(name.endswith("intermediate.dense.bias") for name in tensors)
    return Bert(
        heads=heads,
        eps=eps,
        words=Int8Rows.of(tensors[table.format("word")]),
        positions=tensors[table.format("position")] + tensors[table.format("token_type")][0],
        norm=norm("embeddings.LayerNorm"),
        layers=tuple(layer(f"encoder.layer.{i}.") for i in range(count)),
    )
