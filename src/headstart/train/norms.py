"""Batch norms that were folded into convolutions, put back while the network is trained.

A graph that ships has its batch norms (Ioffe and Szegedy 2015) multiplied into the convolutions before them. The
answers are the same, but tuned like that every step moves what all later layers get, and the scores of a training
jump about. So each convolution whose weights and bias are tuned gets a norm behind it, which begins with the mean
and the spread that some training rows have there, scale and shift such that it changes nothing; its scale and shift
are tuned in place of the bias. Afterwards all of it is folded again.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, fx, nn

from headstart.engine.torch_ops import OPERATORS
from headstart.train.settings import Group, Source
from headstart.train.tuned import Tuned

_ROWS = 256  # that the norms begin with
_BATCH = 32  # of them at a time
_LEAST = 64  # rows: with fewer a batch's mean and spread say little
# a network with one of these has norms of its own, or what is left of one that was taken apart
_NORMS = {
    "BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization",
    "LpNormalization", "RMSNormalization", "Sqrt",
}  # fmt: skip
_PLACE = "top.graph."  # of what the graph holds, in the whole module


@dataclass(frozen=True)
class Norms:
    """The norms that were put back.

    Attributes:
        graph: that they are in.
        nodes: where, each behind its convolution.
    """

    graph: fx.GraphModule
    nodes: tuple[fx.Node, ...]

    def groups(self, groups: Sequence[Group]) -> list[Group]:
        """The same groups with a norm's scale and shift in place of the bias before it."""
        instead = {
            _PLACE + _held(node.args[0], 2): tuple(  # type: ignore[arg-type]
                f"{_PLACE}{node.target}.{name}" for name in ("weight", "bias")
            )
            for node in self.nodes
        }
        return [
            replace(one, names=tuple(n for name in one.names for n in instead.get(name, (name,))))
            for one in groups
        ]

    @torch.no_grad()
    def fold(self) -> None:
        """Multiply them into the convolutions again; the module is as it was, with other weights."""
        for node in self.nodes:
            norm, conv = self.graph.get_submodule(str(node.target)), node.args[0]
            assert isinstance(norm, nn.BatchNorm2d)
            assert isinstance(conv, fx.Node)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            weight, bias = (self.graph.get_parameter(_held(conv, place)) for place in (1, 2))
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            weight.mul_(scale[:, None, None, None])
            bias.copy_((bias - norm.running_mean) * scale + norm.bias)
        self.remove()

    def remove(self) -> None:
        """Take them away again."""
        for node in self.nodes:
            node.replace_all_uses_with(node.args[0])  # type: ignore[arg-type]
            self.graph.graph.erase_node(node)
            self.graph.delete_submodule(str(node.target))
        self.graph.recompile()


def put_back(
    module: Tuned, model: ModelProto, groups: Sequence[Group], source: Source, learn: np.ndarray
) -> Norms | None:
    """Put a norm behind every convolution whose weight and bias are tuned.

    Args:
        module: in training; it answers as before.
        model: the whole graph that it comes from.
        groups: what is tuned.
        source: what rows become.
        learn: (n,) rows to learn from.

    Returns:
        None, and nothing is changed, where the network has norms of its own, or there are few rows.
    """
    if len(learn) < _LEAST or any(node.op_type in _NORMS for node in model.graph.node):
        return None
    graph, tuned = module.top.graph, {name for group in groups for name in group.names}
    found = [
        node
        for node in graph.graph.nodes
        if node.op == "call_function"
        and node.target is OPERATORS["Conv"].run
        and _alone(node, 1, tuned)
        and _alone(node, 2, tuned)
        and graph.get_parameter(_held(node, 1)).ndim == 4
    ]
    if not found:
        return None
    made = []
    for number, conv in enumerate(found):
        channels = len(graph.get_parameter(_held(conv, 2)))
        graph.add_module(f"norm{number}", nn.BatchNorm2d(channels))
        with graph.graph.inserting_after(conv):
            node = graph.graph.call_module(f"norm{number}", (conv,))
        conv.replace_all_uses_with(node)
        node.args = (conv,)
        made.append(node)
    graph.recompile()
    norms = [graph.get_submodule(str(node.target)) for node in made]
    _begin(module, [one for one in norms if isinstance(one, nn.BatchNorm2d)], source, learn)
    return Norms(graph, tuple(made))


@torch.no_grad()
def _begin(
    module: Tuned, norms: Sequence[nn.BatchNorm2d], source: Source, learn: np.ndarray
) -> None:
    """Give the norms the mean and spread of what comes to them, and the scale and shift that undo it."""
    seen: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {one: [] for one in norms}

    def passing(norm: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> Tensor:
        spread, mean = torch.var_mean(given[0].float(), (0, 2, 3), correction=0)
        seen[norm].append((mean, spread))
        return given[0]

    hooks = [one.register_forward_hook(passing) for one in norms]
    some = learn[np.linspace(0, len(learn) - 1, min(_ROWS, len(learn))).astype(int)]
    module.eval()
    for start in range(0, len(some), _BATCH):
        module(*source.batch(some[start : start + _BATCH], 0, 0, train=True)[0])
    for hook in hooks:
        hook.remove()
    for norm, parts in seen.items():
        assert isinstance(norm, nn.BatchNorm2d)
        means, spreads = (torch.stack(part) for part in zip(*parts))
        mean, spread = means.mean(0), spreads.mean(0) + means.var(0, correction=0)
        _fill(norm, mean, spread)


def _fill(norm: nn.BatchNorm2d, mean: Tensor, spread: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(spread)
    norm.weight.copy_((spread + norm.eps).sqrt())
    norm.bias.copy_(mean)


def _held(node: fx.Node, place: int) -> str:
    """The name of a node's weight or bias, empty where it is not a parameter of the graph."""
    given: Any = node.args[place] if len(node.args) > place else None
    return str(given.target) if isinstance(given, fx.Node) and given.op == "get_attr" else ""


def _alone(node: fx.Node, place: int, tuned: set[str]) -> bool:
    """Whether an input of a node is tuned, and no other node's."""
    name = _held(node, place)
    if not name or _PLACE + name not in tuned:
        return False
    given: Any = node.args[place]
    return len(given.users) == 1
