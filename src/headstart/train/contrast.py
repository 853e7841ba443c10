"""Contrastive losses: rows whose labels agree come together, others part; several labels a row are allowed.

How far two rows agree is the Jaccard index of their labels: 1 for the same ones, 0 for none in common. A pair
with some labels in common attracts by that share and never repels.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_NEVER = -1e9  # a cosine, divided by its temperature, that no row has


def agreement(labels: Tensor) -> Tensor:
    """Jaccard index of the labels of every two rows.

    Args:
        labels: (n, k) 0 and 1.

    Returns:
        (n, n) 0 ... 1; rows without labels agree with none.
    """
    common = labels @ labels.T
    sizes = labels.sum(1)
    either = sizes[:, None] + sizes[None, :] - common
    return common / either.clamp_min(1)


def told_apart(scaled: Tensor, agree: Tensor, weight: Tensor) -> Tensor:
    """How badly each row tells what it agrees with from all that it does not agree with.

    Args:
        scaled: (n, m) cosines, divided by a temperature.
        agree: (n, m) more than 0 where a row agrees.
        weight: (n, m) how much each choice counts; 0 where a row does not agree.

    Returns:
        The cross-entropy of the choices, each between one that agrees and all that do not: the mean over
        the rows that have a choice, 0 without any.
    """
    # not -inf: where a row agrees with all, its gradient would not be a number
    apart = torch.logsumexp(scaled.masked_fill(agree > 0, _NEVER), 1, keepdim=True)  # (n, 1)
    each = torch.logaddexp(scaled, apart) - scaled
    total = weight.sum(1)
    rows = (weight * each).sum(1) / total.clamp_min(1e-9)
    return rows.sum() / (total > 0).sum().clamp_min(1)


@dataclass(frozen=True)
class ToPrototypes:
    """Each row tells the prototypes of its labels from all others; with one label a row, cross-entropy.

    Two labels of one row are no rivals.
    """

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Outputs (n, k) of `headstart.train.prototypes.Prototypes`; labels (n, k) 0 and 1."""
        labels = labels.to(outputs.dtype)
        return told_apart(outputs, labels, labels)


@dataclass(frozen=True)
class ToRows:
    """Supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362) without repulsion among friends.

    Each row tells each of its positives from the rows that share no label with it. The other positives are
    left out of that choice, as in SINCERE (Feeney and Hughes 2023, arXiv:2309.14277): in the loss of 2020
    they stand among the negatives, and rows of one class repel each other. With several labels a row, a
    positive counts by its agreement.

    Attributes:
        temperature: of the cosines.
    """

    temperature: float = 0.1

    def __call__(self, features: Tensor, labels: Tensor) -> Tensor:
        """Features (n, d); labels (n, k) 0 and 1. The mean over the rows that have a positive; 0 without."""
        unit = functional.normalize(features, dim=1)
        agree = agreement(labels.to(unit.dtype))
        others = agree - torch.diag(agree.diagonal())  # a row is not its own positive
        return told_apart(unit @ unit.T / self.temperature, agree, others)
