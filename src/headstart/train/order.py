"""What is random in a training, as functions of counters: nothing runs on, so nothing has to be kept.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def order(count: int, seed: int, epoch: int, classes: np.ndarray | None = None) -> np.ndarray:
    """Which rows an epoch takes, in which order.

    Args:
        count: number of rows n.
        seed: of the training.
        epoch: counted from 0.
        classes: (n,) classes that are to come equally often; None: every row comes once.

    Returns:
        (n,) int64 places 0 ... n - 1: a permutation, or with classes as many draws, each class's share
        differing by one at most, and no row a second time before all of its class have come.
    """
    key = np.array([seed, epoch], np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    if classes is None:
        return generator.permutation(count)
    names = generator.permutation(np.unique(classes))
    drawn = []
    for place, name in enumerate(names):
        own = np.flatnonzero(classes == name)
        share = count // len(names) + (place < count % len(names))
        rounds = [generator.permutation(own) for _ in range(-(-share // len(own)))]
        drawn.append(np.concatenate([*rounds, own[:0]])[:share])
    return generator.permutation(np.concatenate(drawn))


def steps_per_epoch(count: int, batch: int) -> int:
    """Steps that `count` rows make in batches of `batch` rows at most."""
    return -(-count // batch)


def batches(
    rows: np.ndarray, batch: int, seed: int, classes: np.ndarray | None, epoch: int
) -> list[np.ndarray]:
    """The rows of an epoch's steps.

    The batches differ by one row at most: no small leftover that a batch norm could not bear or that
    would count more than the rest.

    Args:
        rows: (n,) row numbers.
        batch: rows a step, at most.
        seed: of the training.
        classes: (n,) classes that are to come equally often, or None.
        epoch: counted from 0.

    Returns:
        One array of row numbers for each step.
    """
    places = order(len(rows), seed, epoch, classes)
    return np.array_split(rows[places], steps_per_epoch(len(rows), batch))


@contextmanager
def own_random(device: torch.device, *counters: int) -> Iterator[None]:
    """Random numbers of torch (dropout) that depend on counters only; the caller's go on untouched.

    Args:
        device: where the module is.
        counters: seed, step and the like.
    """
    number = int(np.random.SeedSequence(counters).generate_state(1, np.uint64)[0] >> 1)
    cuda = device.type == "cuda"
    places = [torch.cuda.current_device() if device.index is None else device.index] if cuda else []
    with torch.random.fork_rng(devices=places):
        torch.random.set_rng_state(torch.Generator().manual_seed(number).get_state())
        for place in places:
            state = torch.Generator(f"cuda:{place}").manual_seed(number).get_state()
            torch.cuda.set_rng_state(state, place)
        yield
