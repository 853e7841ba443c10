"""Small trainings for the tests of `headstart.train`: a module, rows in memory, and what they end with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.hashing import hash_parts
from headstart.train.loop import train
from headstart.train.losses import CrossEntropy
from headstart.train.optim import plain_groups
from headstart.train.settings import Settings, Trained

ROWS, HELD, WIDTH, CLASSES = 90, 30, 6, 3


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(120, 6) float32 inputs and (120,) codes that a small network can learn."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, CLASSES, ROWS + HELD)
    x = rng.normal(0, 1, (ROWS + HELD, WIDTH)) + np.eye(CLASSES, WIDTH)[codes] * 2
    return x.astype(np.float32), codes


@dataclass(frozen=True)
class Memory:
    """Rows in memory; noise is added in training, keyed by the step as a source must do it."""

    x: np.ndarray
    targets: np.ndarray
    noise: float = 0.0

    def batch(
        self, rows: np.ndarray, epoch: int, step: int, *, train: bool
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        x = self.x[rows]
        if train and self.noise:
            rng = np.random.default_rng([epoch, step])
            x = x + rng.normal(0, self.noise, x.shape).astype(np.float32)
        return (torch.from_numpy(x),), torch.from_numpy(self.targets[rows])


def network(seed: int = 0, *, dropout: float = 0.0, norm: bool = False) -> nn.Sequential:
    """A small network whose weights depend on the seed only."""
    layers: list[nn.Module] = [nn.Linear(WIDTH, 16), nn.ReLU()]
    layers += [nn.BatchNorm1d(16)] if norm else []
    layers += [nn.Dropout(dropout), nn.Linear(16, CLASSES)]
    module = nn.Sequential(*layers)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module


def accuracy(logits: np.ndarray, codes: np.ndarray) -> float:
    return float((logits.argmax(1) == codes).mean())


def run(
    settings: Settings, *, module: nn.Module | None = None, folder: Path | None = None, **more: Any
) -> tuple[nn.Module, Trained]:
    """Train the small network on the small data."""
    module = network() if module is None else module
    x, codes = data()
    arguments: dict[str, Any] = {
        "source": Memory(x, codes),
        "learn": np.arange(ROWS),
        "held": np.arange(ROWS, ROWS + HELD),
        "groups": plain_groups(module),
        "loss": CrossEntropy(),
        "score": accuracy,
    } | more
    return module, train(module, settings=settings, folder=folder, **arguments)


def bits(module: nn.Module, trained: Trained) -> str:
    """A hash of all that a training ends with, but for times."""
    parts: list[bytes | str] = []
    for name, tensor in module.state_dict().items():
        parts += [name, tensor.numpy().tobytes()]
    parts += [trained.held_out.tobytes(), str(trained.best), str(trained.steps), trained.stopped]
    for e in trained.history:
        parts.append(repr((e.epoch, e.train_loss, e.held_loss, e.score, e.lr, e.best)))
    return hash_parts(parts)
