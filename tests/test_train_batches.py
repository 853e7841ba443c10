"""Batches and dropout depend on counters only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from headstart.train.chance import own_random  # noqa: E402
from headstart.train.order import batches  # noqa: E402

pytestmark = pytest.mark.train

SEEDS = st.integers(0, 2**63)


@given(st.integers(1, 300), st.integers(1, 70), SEEDS)
def test_batches_hold_every_row_once_and_are_even(n: int, size: int, seed: int) -> None:
    made = batches(np.arange(n) * 7, size, seed, None, None, 3)
    np.testing.assert_array_equal(np.sort(np.concatenate(made)), np.arange(n) * 7)
    lengths = [len(one) for one in made]
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1
    assert len(made) == -(-n // size)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=120), SEEDS, st.integers(0, 9))
def test_balanced_batches_hold_every_class_equally_often(
    codes: list[int], seed: int, epoch: int
) -> None:
    classes = np.array(codes)
    drawn = np.concatenate(batches(np.arange(len(codes)), 16, seed, classes, None, epoch))
    assert len(drawn) == len(classes)
    counts = [(classes[drawn] == name).sum() for name in np.unique(classes)]
    assert max(counts) - min(counts) <= 1


@given(st.lists(st.integers(1, 99), min_size=1, max_size=400), st.integers(1, 30), SEEDS)
def test_rows_of_one_length_come_together(lengths: list[int], size: int, seed: int) -> None:
    of = np.array(lengths)
    made = batches(np.arange(len(of)), size, seed, None, of, 1)
    np.testing.assert_array_equal(np.sort(np.concatenate(made)), np.arange(len(of)))
    mixed = batches(np.arange(len(of)), size, seed, None, None, 1)
    assert sorted(map(len, made)) == sorted(map(len, mixed))
    padded, meant = (sum(of[one].max() * len(one) for one in kind) for kind in (made, mixed))
    if len(of) <= 32 * size:  # one window: nothing is padded less
        ordered = np.array_split(np.sort(of), len(made))
        assert padded == sum(one.max() * len(one) for one in ordered) <= meant + size * 99
    again = batches(np.arange(len(of)), size, seed, None, of, 1)
    assert all((a == b).all() for a, b in zip(made, again))


def test_dropout_depends_on_the_counters_and_leaves_the_callers_numbers_alone() -> None:
    before = torch.get_rng_state()
    drawn = []
    for counters in ((1, 2), (1, 2), (1, 3)):
        with own_random(torch.device("cpu"), *counters):
            drawn.append(torch.rand(5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), before)
