"""Smaller students made of a teacher's own graph: smaller pictures, or fewer of its layers.

A convolution costs in proportion to the pixels it passes over: half the side is a quarter of the products,
and the weights stay what they are. A network of equal blocks, such as a transformer, can do without some of
them, as each only adds to the stream that passes through all (DistilBERT, Sanh et al. 2019,
https://arxiv.org/abs/1910.01108; Sajjad et al. 2023, https://arxiv.org/abs/2004.03844).

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto

from headstart.engine.ort import OrtEngine
from headstart.errors import BackboneError
from headstart.train.trainable import layers, part, unpacked
from headstart.types import Backbone, Preprocess

_EVEN = 16  # sides are multiples of it where they are at least four times as long


@dataclass(frozen=True)
class Student:
    """A smaller graph.

    Attributes:
        graph: weights as numbers.
        preprocess: how inputs are prepared for it.
        how: {"size": [h, w]} of its pictures, {"layers": [...]} of the blocks that were kept, or nothing
            where it is as it was given.
    """

    graph: ModelProto
    preprocess: Preprocess
    how: Mapping[str, Any]


def smaller(teacher: Backbone, cost: float) -> Student:
    """A student of about the wanted cost: of pictures smaller ones, where the graph takes them, else blocks.

    Args:
        teacher: what it is made of.
        cost: share of the teacher's cost.

    Raises:
        BackboneError: the graph takes no smaller pictures and has no blocks to leave out.
    """
    whole = unpacked(onnx.load(str(teacher.graph)))
    if teacher.modality == "image":
        resized = smaller_pictures(whole, teacher.preprocess, cost)
        if accepts(resized, teacher.dim):
            return resized
    return fewer_blocks(whole, teacher.preprocess, cost)


def smaller_pictures(model: ModelProto, preprocess: Preprocess, cost: float) -> Student:
    """The same weights on smaller pictures.

    Args:
        model: a graph of pictures.
        preprocess: of the graph.
        cost: share of the pixels.
    """
    before = picture_size(preprocess)
    height, width = (_side(side, math.sqrt(cost)) for side in before)
    steps = []
    for step in preprocess.steps:
        step = dict(step)
        if "size" in step:
            size = step["size"]
            if isinstance(size, int):
                step["size"] = round(size * height / before[0])
            elif tuple(size) == before:
                step["size"] = [height, width]
            else:
                step["size"] = [
                    round(size[0] * height / before[0]), round(size[1] * width / before[1])
                ]  # fmt: skip
        steps.append(step)
    changed = ModelProto()
    changed.CopyFrom(model)
    changed.graph.ClearField("value_info")
    shape = changed.graph.input[0].type.tensor_type.shape
    for place, side in ((1, height), (2, width)):
        shape.dim[place].dim_value = side
    made = replace(preprocess, steps=tuple(steps))
    return Student(changed, made, {"size": [height, width]})


def picture_size(preprocess: Preprocess) -> tuple[int, int]:
    """Height and width of what a graph of pictures takes."""
    size = next(step["size"] for step in reversed(preprocess.steps) if "size" in step)
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _side(side: int, share: float) -> int:
    even = _EVEN if side >= 4 * _EVEN else 1
    return max(round(side * share / even) * even, even)


def accepts(student: Student, dim: int) -> bool:
    """Whether a graph runs on pictures of its preprocessing's size, and gives as many features.

    Args:
        student: of pictures.
        dim: how many features are meant.
    """
    height, width = picture_size(student.preprocess)
    pixels = np.full((2, height, width, 3), 127, np.uint8)
    try:
        engine = OrtEngine(student.graph.SerializeToString())
        features = engine.run({engine.inputs[0]: pixels})["features"]
    except BackboneError:
        return False
    return features.shape == (2, dim) and bool(np.isfinite(features).all())


def fewer_blocks(model: ModelProto, preprocess: Preprocess, cost: float) -> Student:
    """A graph without some of its equal blocks.

    What stands before the first block and after the last one stays, and with it one layer of a text's
    network: the stream begins within it. So `layers` counts from 1, as that layer is 0.

    Args:
        model: a graph, weights as numbers.
        preprocess: of the graph.
        cost: share of the weights of all products.

    Raises:
        BackboneError: it has no equal blocks.
    """
    found = blocks(model)
    if len(found) < 2:
        raise BackboneError(
            "No smaller student can be made of this backbone: it takes pictures of one size, and no "
            "layers can be left out.",
            fix="name a smaller backbone as the student",
        )
    count = len(found) - 1
    total = _weight(model)
    each = (total - _weight(without(model, found, []))) / count
    kept = min(range(count), key=lambda n: (abs(1 - (count - n) * each / total - cost), -n))
    chosen = range(
        kept
    )  # the lowest ones: those above are made for what the teacher was trained on
    return Student(
        without(model, found, chosen), preprocess, {"layers": [0, *(1 + i for i in chosen)]}
    )


def blocks(model: ModelProto) -> tuple[str, ...]:
    """The tensors between equal blocks: block i takes the i-th and gives the next one; () without any.

    Blocks are equal where their operators, attributes and shapes of weights are. Of all ways to divide the
    graph, the one that covers most nodes is taken, in the shortest blocks, as late as possible: a network
    that normalises after adding is then divided after its norms.

    Args:
        model: a graph, weights as numbers.
    """
    outputs = {value.name for value in model.graph.output}
    cuts = [name for name, _ in layers(model).cuts if name not in outputs]
    segments = _segments(model, cuts)
    best: tuple[int, int, int, int] = (0, 0, 0, 0)  # nodes covered, -period, first, repeats
    for period in range(1, len(segments) // 2 + 1):
        for first in range(len(segments) - 2 * period + 1):
            repeats = _repeats(segments, first, period)
            covered = sum(len(one) for one in segments[first : first + repeats * period])
            if repeats > 1 and _has_weights(segments[first : first + period]):
                best = max(best, (covered, -period, first, repeats))
    _, minus, first, repeats = best
    return tuple(cuts[first + i * -minus] for i in range(repeats + 1)) if repeats else ()


def _repeats(segments: Sequence[Any], first: int, period: int) -> int:
    block = segments[first : first + period]
    count = 1
    while segments[first + count * period : first + (count + 1) * period] == block:
        count += 1
    return count


def _has_weights(segments: Sequence[Sequence[Any]]) -> bool:
    return any(len(shape) > 1 for one in segments for *_, shapes in one for shape in shapes)


def _segments(model: ModelProto, cuts: Sequence[str]) -> list[tuple[Any, ...]]:
    """What happens between each two neighbouring cuts, in a form that can be compared."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    place = {name: i for i, node in enumerate(model.graph.node) for name in node.output}
    segments = []
    for one, other in itertools.pairwise(cuts):
        reached, told = {one}, []
        for node in model.graph.node[place[one] + 1 : place[other] + 1]:
            if reached.intersection(node.input):
                reached.update(node.output)
                told.append(_told(node, shapes))
        segments.append(tuple(told))
    return segments


def _told(node: NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> tuple[Any, ...]:
    attributes = tuple(sorted(one.SerializeToString() for one in node.attribute))
    return node.op_type, attributes, tuple(shapes[name] for name in node.input if name in shapes)


def without(model: ModelProto, between: Sequence[str], kept: Sequence[int]) -> ModelProto:
    """The graph with some of its blocks alone: a copy.

    Args:
        model: the whole graph.
        between: what `blocks` gave.
        kept: numbers of the blocks that stay.
    """
    leads: dict[str, str] = {}  # the output of a block that goes -> what stands in for it
    for i, (start, end) in enumerate(itertools.pairwise(between)):
        if i not in set(kept):
            leads[end] = leads.get(start, start)
    changed = ModelProto()
    changed.CopyFrom(model)
    for node in changed.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = leads.get(name, name)
    return part(changed, set(), list(changed.graph.output))


def _weight(model: ModelProto) -> int:
    """Numbers in the weights of all products: what they cost, in a network of tokens."""
    used = {
        name
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul")
        for name in node.input
    }
    return sum(
        math.prod(one.dims)
        for one in model.graph.initializer
        if one.name in used and one.data_type == TensorProto.FLOAT
    )
