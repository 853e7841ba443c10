"""A trainable graph with a linear head on it.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from headstart.train.trainable import Trainable
from headstart.types import Head


class Tuned(nn.Module):
    """Inputs -> logits, (n, k).

    Args:
        top: gives features (n, d).
        head: where the head starts.
    """

    def __init__(self, top: Trainable, head: Head) -> None:
        super().__init__()
        self.top = top
        self.weight = nn.Parameter(torch.from_numpy(np.array(head.weight, np.float32)))
        self.bias = nn.Parameter(torch.from_numpy(np.array(head.bias, np.float32)))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits (n, k)."""
        return self.top(*inputs) @ self.weight + self.bias

    def head(self) -> Head:
        """The head as it is now."""
        return Head(self.weight.detach().numpy().copy(), self.bias.detach().numpy().copy())

    def origins(self) -> dict[str, str]:
        """Parameter of the top, by its name in this module -> initializer of the graph."""
        return {f"top.graph.{name}": origin for name, origin in self.top.origin.items()}
