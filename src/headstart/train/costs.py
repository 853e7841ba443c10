"""What a method would cost here: measured on a few rows before it is begun.

Imports torch inside its functions only.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from headstart.compute import generator
from headstart.train import common, preparing
from headstart.train.material import Material
from headstart.train.memory import freed_memory_kept

if TYPE_CHECKING:
    from torch import Tensor

_FEW, _MORE = 8, 24  # rows: the difference in time is that of the rows alone
_LOOKED = 1_000  # texts whose lengths are looked at
_STEPS = 2  # after one to warm up


@dataclass(frozen=True)
class Cost:
    """Measured seconds.

    Attributes:
        prepare: before the first epoch: loading, and what is kept below the tuned layers.
        epoch: one pass over the rows that are learned from, and the held-out ones.
        answer: features of one new input by the tuned network, through the engine.
        again: of one of these rows, whose values below the tuned layers are kept.
    """

    prepare: float
    epoch: float
    answer: float
    again: float

    def at(self, share: float) -> Cost:
        """With so much less of the backbone tuned: what is not tuned is only run once."""
        return replace(self, epoch=share * self.epoch)


def measured(material: Material, config: common.Common) -> Cost:
    """What tuning would cost, from a few rows and steps.

    Args:
        material: what would be learned from.
        config: how much of the backbone would be tuned, and in which batches.
    """
    n, some = len(material.codes), _typical(material)
    plain = replace(config, views=1)
    few, began = some[:_FEW], time.perf_counter()
    preparing.prepared(_part(material, few), plain)
    first = time.perf_counter() - began
    began = time.perf_counter()
    ready = preparing.prepared(_part(material, some), plain)
    second = time.perf_counter() - began
    least = 0.2 * second if ready.below else 0.0  # loading takes longer the first time
    each = max(second - first, least) / max(len(some) - len(few), 1)
    view = each
    if config.views > 1 and ready.below:
        began = time.perf_counter()
        preparing.prepared(_part(material, some), replace(config, views=3))
        # two views more, and the larger picture that crops are taken from
        view = max(time.perf_counter() - began - second, 0.0) / (2 * len(some))
    views = config.views if ready.below else 1
    with freed_memory_kept():
        back, forth = _step(ready, min(config.batch, len(some)))
    held, again = len(material.held), _again(ready)
    moved = held * forth if config.keep else 0.0  # they are answered once more
    return Cost(
        prepare=max(first - len(few) * each, 0.0) + n * (each + (views - 1) * view) + moved,
        epoch=(n - held) * back + held * forth,
        answer=each + again,
        again=again,
    )


def _typical(material: Material) -> np.ndarray:
    """Some rows; of texts such as are of about the mean length, as texts of one length pass together."""
    rows = generator(material.seed, 17).permutation(len(material.codes))
    if material.backbone.modality != "text":
        return rows[:_MORE]
    rows = rows[:_LOOKED]
    length = np.array([len(str(material.inputs[row])) for row in rows.tolist()])
    return rows[np.argsort(np.abs(length - length.mean()), kind="stable")[:_MORE]]


def _part(material: Material, rows: np.ndarray) -> Material:
    """Some of the rows."""
    inputs = [material.inputs[row] for row in rows.tolist()]
    nothing = np.empty(0, np.int64)
    return replace(material, inputs=inputs, codes=material.codes[rows], held=nothing)


def _step(ready: preparing.Ready, batch: int) -> tuple[float, float]:
    """Seconds a row of one step forth and back, and of one forth, in the quicker kind of numbers.

    What a few texts are padded with does not count.
    """
    rows = np.arange(batch)
    inputs, targets = ready.source.batch(rows, 0, 0, train=True)
    took = [_timed(ready, inputs, targets, short=False)]
    with suppress(RuntimeError):  # not every network runs in bfloat16
        took.append(_timed(ready, inputs, targets, short=True))
    full = _full(ready, rows)
    back, forth = (full * one / batch for one in min(took))
    return back, forth


def _again(ready: preparing.Ready) -> float:
    """Seconds a row of features through the engine, at the second time."""
    engine, took = preparing.engine_of(ready), 0.0
    for _ in range(2):
        began = time.perf_counter()
        made = preparing.features_of(ready, engine)
        took = time.perf_counter() - began
    rows = np.arange(len(made))
    return _full(ready, rows) * took / len(rows)


def _full(ready: preparing.Ready, rows: np.ndarray) -> float:
    """The share of some rows' lengths in what they are padded to, when they pass together."""
    lengths = ready.source.lengths
    return 1.0 if lengths is None else float(lengths[rows].mean() / lengths[rows].max())


def _timed(
    ready: preparing.Ready, inputs: tuple[Tensor, ...], targets: Tensor, *, short: bool
) -> tuple[float, float]:
    """Seconds of the quickest step forth and back, and of its way forth."""
    import torch

    took: list[tuple[float, float]] = []
    for _ in range(1 + _STEPS):
        began = time.perf_counter()
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=short):
            logits = ready.module(*inputs)
        forth = time.perf_counter() - began
        torch.nn.functional.cross_entropy(logits.float(), targets).backward()
        took.append((time.perf_counter() - began, forth))
    return min(took[1:])
