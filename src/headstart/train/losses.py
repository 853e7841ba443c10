"""Losses: logits (n, k) and targets -> their mean over the rows, one number.

All are plain means, so that pieces of a batch add up to the whole when weighted by their rows.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of softmax, with label smoothing (Szegedy et al. 2016, arXiv:1512.00567).

    Attributes:
        smoothing: share of the target that is spread over all classes.
    """

    smoothing: float = 0.0

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits (n, k); targets (n,) int64 codes or (n, k) probabilities."""
        return functional.cross_entropy(logits, targets, label_smoothing=self.smoothing)


@dataclass(frozen=True)
class Focal:
    """Focal loss: rows that are right already count less (Lin et al. 2017, arXiv:1708.02002).

    Attributes:
        gamma: how much less; 0 is cross-entropy.
        smoothing: share of the target that is spread over all classes.
    """

    gamma: float = 2.0
    smoothing: float = 0.0

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits (n, k); targets (n,) int64 codes or (n, k) probabilities."""
        logs = functional.log_softmax(logits, 1)
        # 1 - p without cancellation; its power has an infinite slope at 0 where gamma is below 1
        rest = (-torch.expm1(logs)).clamp_min(torch.finfo(logs.dtype).tiny)
        shares = _shares(targets, logits) * (1 - self.smoothing) + self.smoothing / logits.shape[1]
        return -(shares * rest**self.gamma * logs).sum(1).mean()


@dataclass(frozen=True)
class BinaryCrossEntropy:
    """Cross-entropy of each output by itself: several labels a row, or one against the rest.

    Attributes:
        smoothing: targets are drawn towards a half by this share.
    """

    smoothing: float = 0.0

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits (n, k); targets (n, k) in 0 ... 1, or (n,) int64 codes (0 and 1 where k is 1)."""
        shares = _shares(targets, logits)
        shares = shares * (1 - self.smoothing) + 0.5 * self.smoothing
        return functional.binary_cross_entropy_with_logits(logits, shares)


@dataclass(frozen=True)
class SquaredError:
    """Mean squared error."""

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Outputs (n, k); targets (n, k), or (n,) where k is 1."""
        return functional.mse_loss(logits, targets.to(logits.dtype).reshape(logits.shape))


@dataclass(frozen=True)
class Huber:
    """Squared near 0 and linear beyond, so that outliers do not rule (Huber 1964).

    Attributes:
        delta: where the one turns into the other, in units of the target.
    """

    delta: float = 1.0

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Outputs (n, k); targets (n, k), or (n,) where k is 1."""
        wanted = targets.to(logits.dtype).reshape(logits.shape)
        return functional.huber_loss(logits, wanted, delta=self.delta)


def _shares(targets: Tensor, logits: Tensor) -> Tensor:
    """Targets as (n, k) shares of the classes."""
    if targets.is_floating_point():
        return targets.to(logits.dtype).reshape(logits.shape)
    if logits.shape[1] == 1:
        return targets.to(logits.dtype)[:, None]
    return functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
