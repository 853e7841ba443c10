"""A trainable graph with one prototype a label: outputs are cosines, as sharp as a temperature says.

The normalised softmax of metric learning (Zhai and Wu 2019, arXiv:1811.12649), and the cosine classifier of
few-label learning (Gidaris and Komodakis 2018, arXiv:1804.09458). A prototype stands for all rows of its label,
so a batch compares each row with every label, not only with the rows that happen to be in it.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.train.trainable import Trainable


class Prototypes(nn.Module):
    """Inputs -> scaled cosines with the prototypes, (n, k).

    Args:
        top: gives features (n, d).
        prototypes: (k, d), where they start; none is zero.
        temperature: that cosines are divided by.
    """

    def __init__(self, top: Trainable, prototypes: np.ndarray, temperature: float) -> None:
        super().__init__()
        self.top = top
        self.prototypes = nn.Parameter(torch.from_numpy(np.array(prototypes, np.float32)))
        self.temperature = temperature

    def forward(self, *inputs: Tensor) -> Tensor:
        """Scaled cosines (n, k)."""
        features = functional.normalize(self.top(*inputs), dim=1)  # (n, d)
        return features @ functional.normalize(self.prototypes, dim=1).T / self.temperature


def means(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Where prototypes start: the mean direction of each label's rows.

    Args:
        features: (n, d).
        labels: (n, k) which row has which label; each label has a row.

    Returns:
        (k, d) float32 of length 1, unless the rows' directions cancel out.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    mean = labels.T.astype(np.float32) @ unit / labels.sum(0)[:, None]  # (k, d)
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    # rows that cancel out have no direction, and a zero has no gradient: any row's will do
    some = unit[labels.argmax(0)]
    return np.where(length > 1e-3, mean / np.maximum(length, 1e-12), some).astype(np.float32)
