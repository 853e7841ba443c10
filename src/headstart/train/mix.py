"""Mixing the inputs of a batch and their targets: mixup and CutMix; soft targets.

A mix belongs to a batch, so its draws are keyed by (seed, epoch, step).

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from headstart.config import note
from headstart.errors import ConfigError
from headstart.train.draws import Stream, generators


@dataclass(frozen=True)
class Mix:
    """How batches are mixed. The defaults change nothing.

    Where both are on, each batch is mixed in one of the two ways, drawn with equal chances.
    """

    mixup: float = field(
        default=0.0, metadata=note("mixup's alpha, e.g. 0.2; 0: no mixup", low=0.0, high=100.0)
    )
    cutmix: float = field(
        default=0.0, metadata=note("CutMix's alpha, e.g. 1; 0: no CutMix", low=0.0, high=100.0)
    )


def mix(
    inputs: Tensor,
    targets: Tensor,
    epoch: int,
    step: int,
    seed: int,
    settings: Mix,
    axes: tuple[int, int] = (1, 2),
) -> tuple[Tensor, Tensor]:
    """A batch after mixup, CutMix or neither; see `mixup` and `cutmix`."""
    both = settings.mixup > 0 and settings.cutmix > 0
    random = _random(seed, epoch, step)
    first = random.random() < 0.5  # drawn always, so that a setting does not move the other draws
    if settings.mixup > 0 and (first or not both):
        return _mixed(inputs, targets, *_pairing(random, len(inputs), settings.mixup))
    if settings.cutmix > 0:
        pairing = _pairing(random, len(inputs), settings.cutmix)
        return _pasted(inputs, targets, *pairing, random, axes)
    return inputs, targets


def mixup(
    inputs: Tensor, targets: Tensor, epoch: int, step: int, seed: int, alpha: float = 0.2
) -> tuple[Tensor, Tensor]:
    """Each input and target drawn towards those of a partner: x = w x_i + (1 - w) x_j.

    Zhang et al. 2018, "mixup: beyond empirical risk minimization". The share w comes from Beta(alpha,
    alpha), one for the batch; partners from a permutation.

    Args:
        inputs: (n, ...) float or uint8, on any device; bytes are rounded.
        targets: (n, k) float, soft targets.
        epoch: the epoch's number.
        step: the batch's number within the epoch.
        seed: the run's seed.
        alpha: above 0; the larger, the nearer w is to a half.

    Returns:
        inputs and targets of the same shapes and types.

    Raises:
        ConfigError: alpha is not above 0, or the numbers of inputs and targets differ.
    """
    return mix(inputs, targets, epoch, step, seed, _only("mixup", alpha))


def cutmix(
    inputs: Tensor,
    targets: Tensor,
    epoch: int,
    step: int,
    seed: int,
    alpha: float = 1.0,
    axes: tuple[int, int] = (1, 2),
) -> tuple[Tensor, Tensor]:
    """A rectangle of each picture replaced by its partner's; targets mixed by the area that stayed.

    Yun et al. 2019, "CutMix: regularization strategy to train strong classifiers with localizable
    features". The rectangle has the picture's shape and the share 1 - w of its area, w from Beta(alpha,
    alpha), its middle is uniform, and what lies outside is cut off; one rectangle for the batch.

    Args:
        inputs: (n, ...) float or uint8, on any device.
        targets: (n, k) float, soft targets.
        epoch: the epoch's number.
        step: the batch's number within the epoch.
        seed: the run's seed.
        alpha: above 0.
        axes: which dimensions are height and width: (1, 2) with channels last, (2, 3) with them first.

    Returns:
        inputs and targets of the same shapes and types.

    Raises:
        ConfigError: alpha is not above 0, or the numbers of inputs and targets differ.
    """
    return mix(inputs, targets, epoch, step, seed, _only("cutmix", alpha), axes)


def soft_targets(codes: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """One-hot targets, smoothed: (1 - s) y + s / k (Szegedy et al. 2016, label smoothing).

    Args:
        codes: (n,) int64 class numbers.
        classes: how many classes.
        smoothing: s, from 0 to 1.

    Returns:
        (n, classes) float32; rows sum to 1.

    Raises:
        ConfigError: the smoothing is outside its range.
    """
    if not 0 <= smoothing <= 1:
        raise ConfigError(
            f"The label smoothing is {smoothing}.", fix="choose one from 0 to 1, e.g. 0.1"
        )
    one_hot = torch.nn.functional.one_hot(codes, classes).float()
    return one_hot * (1 - smoothing) + smoothing / classes


def _only(name: str, alpha: float) -> Mix:
    if not alpha > 0:
        raise ConfigError(f"{name} has the alpha {alpha}.", fix="choose one above 0")
    return Mix(**{name: alpha})


def _random(seed: int, epoch: int, step: int) -> np.random.Generator:
    return generators(seed, epoch, np.array([step]), Stream.MIX)[0]


def _pairing(random: np.random.Generator, n: int, alpha: float) -> tuple[Tensor, float]:
    """Each input's partner, and the share that stays its own."""
    return torch.from_numpy(random.permutation(n)), float(random.beta(alpha, alpha))


def _mixed(
    inputs: Tensor, targets: Tensor, partners: Tensor, share: float
) -> tuple[Tensor, Tensor]:
    _check(inputs, targets)
    return _between(inputs, partners, share), _between(targets, partners, share)


def _pasted(
    inputs: Tensor,
    targets: Tensor,
    partners: Tensor,
    share: float,
    random: np.random.Generator,
    axes: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    _check(inputs, targets)
    where = [slice(None)] * inputs.ndim
    stays = 1.0
    for axis, middle in zip(axes, random.random(2)):
        size = inputs.shape[axis]
        centre, half = int(middle * size), int(size * (1 - share) ** 0.5) // 2
        where[axis] = slice(max(centre - half, 0), min(centre + half, size))
        stays *= (where[axis].stop - where[axis].start) / size
    out = inputs.clone()
    out[tuple(where)] = inputs[tuple(where)][partners.to(inputs.device)]
    return out, _between(targets, partners, 1 - stays)


def _between(values: Tensor, partners: Tensor, share: float) -> Tensor:
    other = values[partners.to(values.device)]
    if values.is_floating_point():
        return values * share + other * (1 - share)
    return (values.float() * share + other.float() * (1 - share)).round_().to(values.dtype)


def _check(inputs: Tensor, targets: Tensor) -> None:
    if len(inputs) != len(targets) or targets.ndim != 2 or not targets.is_floating_point():
        raise ConfigError(
            f"{len(inputs)} inputs came with targets of shape {tuple(targets.shape)} and type "
            f"{targets.dtype}.",
            fix="give soft targets (inputs, classes), e.g. from soft_targets",
        )
