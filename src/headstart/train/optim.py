"""Steps: groups of parameters, the course of the learning rate, the running average of the weights.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from headstart.train.settings import Group, Settings

_FUSED = ("cpu", "cuda")  # where torch changes all parameters in one pass, five times as fast


def plain_groups(
    module: nn.Module, prefix: str = "", *, factor: float = 1.0, free_from: int = 0
) -> tuple[Group, ...]:
    """The parameters below a name: matrices with weight decay; biases and norms, which are vectors, without.

    Args:
        module: whose parameters.
        prefix: how their names start; empty: all.
        factor: of the learning rate.
        free_from: first epoch in which they change.

    Returns:
        One or two groups; none where nothing has such a name.
    """
    found = [(name, p.ndim > 1) for name, p in module.named_parameters() if name.startswith(prefix)]
    parts = (tuple(name for name, wide in found if wide == decay) for decay in (True, False))
    return tuple(
        Group(names, factor, decay, free_from)
        for names, decay in zip(parts, (True, False))
        if names
    )


def optimiser(
    parameters: Mapping[str, nn.Parameter], groups: Sequence[Group], settings: Settings
) -> torch.optim.Optimizer:
    """Torch's own optimiser with one parameter group for each of ours, in their order.

    Args:
        parameters: the module's, by name.
        groups: which of them change.
        settings: which optimiser, and its constants.
    """
    parts = [
        {
            "params": [parameters[name] for name in group.names],
            "lr": settings.lr * group.factor,
            "weight_decay": settings.weight_decay if group.decay else 0.0,
        }
        for group in groups
    ]
    fused = all(parameters[name].device.type in _FUSED for one in groups for name in one.names)
    if settings.optimiser == "sgd":
        return torch.optim.SGD(parts, lr=settings.lr, momentum=settings.momentum, fused=fused)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimiser]
    return kind(parts, lr=settings.lr, betas=settings.betas, fused=fused)


def share(settings: Settings, step: int, steps: int) -> float:
    """The learning rate of a step, as a share of the largest.

    "cosine" falls to 0 (Loshchilov and Hutter 2017, arXiv:1608.03983), "constant" stays; both rise
    in a straight line first. "one-cycle" rises from 1/25 and falls to 1/250000 along cosines (Smith and
    Topin 2018, arXiv:1708.07120), as torch's `OneCycleLR` does.

    Args:
        settings: with the schedule, and the share of the steps in which the rate rises.
        step: counted from 0.
        steps: of the whole training.
    """
    if settings.schedule == "one-cycle":
        return _one_cycle(settings.warm_up, step, steps)
    warm = round(settings.warm_up * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    if settings.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


def _one_cycle(warm_up: float, step: int, steps: int) -> float:
    top, low, end = warm_up * steps - 1, 1 / 25, 1 / 25 / 1e4
    last = max(steps - 1, top + 1)
    if step <= top:
        first, then, part = low, 1.0, step / top if top else 1.0
    else:
        first, then, part = 1.0, end, (step - top) / (last - top)
    return then + (first - then) / 2 * (1 + math.cos(math.pi * part))


def average_decay(decay: float, updates: int) -> float:
    """How much of the average stays at an update.

    The first updates count more, min(decay, (1 + t) / (10 + t)), so that the start is soon forgotten.

    Args:
        decay: in the long run.
        updates: updates t done before this one.
    """
    return min(decay, (1 + updates) / (10 + updates))


@torch.no_grad()
def update_average(
    average: Mapping[str, Tensor], values: Mapping[str, Tensor], decay: float
) -> None:
    """Move an average in place: average = decay * average + (1 - decay) * value.

    Args:
        average: by name.
        values: the current ones, by the same names.
        decay: what of the average stays.
    """
    for name, kept in average.items():
        kept.lerp_(values[name], 1 - decay)
