"""Low-rank updates in the place of a module's weights (LoRA; Hu et al. 2022).

A weight W (out x in, or a graph's in x out) becomes W + scale * B A with B and A of a small rank; B begins at
zero, so the module begins as it was. A library for this replaces layers; a graph has weights and no layers,
so the weight itself is given another way of being computed.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from headstart.compute import generator


class LowRank(nn.Module):
    """W -> W + scale * (left @ right), in W's shape.

    Args:
        shape: of the weight; all axes after the first count as one.
        rank: r.
        scale: of the update.
        rng: draws the right factor.
    """

    def __init__(
        self, shape: tuple[int, ...], rank: int, scale: float, rng: np.random.Generator
    ) -> None:
        super().__init__()
        rows, columns = shape[0], int(np.prod(shape[1:]))
        right = rng.normal(0, 1 / np.sqrt(columns), (rank, columns)).astype(np.float32)
        self.left = nn.Parameter(torch.zeros(rows, rank))
        self.right = nn.Parameter(torch.from_numpy(right))
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with the update."""
        return weight + self.scale * (self.left @ self.right).reshape(weight.shape)


def low_rank(
    module: nn.Module, names: list[str], rank: int, alpha: float, seed: int
) -> list[tuple[str, str]]:
    """Give some weights of a module low-rank updates.

    Args:
        module: whose parameters `names` are, each directly in one of its modules.
        names: parameters of two axes or more; those no larger than the update would be are left alone.
        rank: r.
        alpha: the update counts alpha / r.
        seed: of the right factors.

    Returns:
        Names of the two factors of each weight that has an update.
    """
    factors = []
    for place, name in enumerate(names):
        owner, _, own = name.rpartition(".")
        weight = module.get_parameter(name)
        rows, columns = weight.shape[0], weight[0].numel()
        if rank * (rows + columns) >= rows * columns:
            continue
        update = LowRank(tuple(weight.shape), rank, alpha / rank, generator(seed, 31, place))
        parametrize.register_parametrization(module.get_submodule(owner), own, update)
        inside = f"{owner}.parametrizations.{own}.0" if owner else f"parametrizations.{own}.0"
        factors.append((f"{inside}.left", f"{inside}.right"))
    return factors


def merge(module: nn.Module) -> None:
    """Put the updates into the weights: the module's parameters are its own again."""
    for inner in list(module.modules()):
        for name in list(getattr(inner, "parametrizations", {})):
            parametrize.remove_parametrizations(inner, name, leave_parametrized=True)
