"""Draws keyed by their address: Philox's published answers, independence of company, orders of an epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from headstart.errors import ConfigError, DataError
from headstart.train.draws import Stream, draws, generators, philox, words
from headstart.train.order import balanced_order, plain_order

# counter, key, answer: the known answers that come with the paper's own implementation (Random123)
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip

addresses = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 99))


def numbers(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_philox_gives_the_published_answers(counter, key, answer):
    words_in = [np.array([number], np.uint64) for number in numbers(counter)]
    out = philox(words_in, tuple(numbers(key)))
    assert [int(word[0]) for word in out] == numbers(answer)


def test_the_address_fills_the_counter():
    seed, epoch, row, stream = 0x1234567890ABCDEF, 7, 4_000_000_000, 3
    counter = [np.array([word], np.uint64) for word in (row, epoch, stream, 1)]
    a, b, c, d = (int(word[0]) for word in philox(counter, (0x90ABCDEF, 0x12345678)))
    second_block = words(seed, epoch, np.array([row]), stream, 4)[0, 2:]
    assert second_block.tolist() == [a | b << 32, c | d << 32]


@given(addresses, st.lists(st.integers(0, 2**32 - 1), max_size=20), st.data())
def test_a_row_draws_the_same_in_any_company_and_any_number(address, rows, data):
    seed, epoch, stream = address
    rows = np.array(rows, np.int64)
    whole = draws(seed, epoch, rows, stream, 7)
    order = np.array(data.draw(st.permutations(range(len(rows)))), np.int64)
    assert np.array_equal(draws(seed, epoch, rows[order], stream, 7), whole[order])
    cut = data.draw(st.integers(0, len(rows)))
    halves = [draws(seed, epoch, part, stream, 7) for part in (rows[:cut], rows[cut:])]
    assert np.array_equal(np.concatenate(halves), whole)
    fewer = data.draw(st.integers(0, 7))
    assert np.array_equal(draws(seed, epoch, rows, stream, fewer), whole[:, :fewer])


def test_every_part_of_the_address_counts():
    base = {"seed": 5, "epoch": 6, "rows": np.array([7]), "stream": 8, "count": 4}
    first = draws(**base)
    others = [
        {"seed": 6},
        {"seed": 5 + 2**32},
        {"epoch": 7},
        {"rows": np.array([8])},
        {"stream": 9},
    ]
    for change in others:
        assert not np.isin(draws(**{**base, **change}), first).any(), change


def test_draws_are_uniform_and_independent():
    u = draws(1, 2, np.arange(20_000), 3, 3)
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    beside = np.corrcoef(np.column_stack([u, np.roll(u[:, 0], 1)]).T)  # columns, and the next row
    assert np.abs(beside - np.eye(4)).max() < 4 / np.sqrt(20_000)


def test_a_generator_belongs_to_its_row():
    alone = [generators(1, 2, np.array([row]), 3)[0].random(5) for row in (9, 4)]
    together = [random.random(5) for random in generators(1, 2, np.array([4, 9]), 3)]
    assert np.array_equal(alone, together[::-1])
    assert not np.isin(alone[0], alone[1]).any()


@pytest.mark.parametrize(
    ("seed", "epoch", "rows"), [(-1, 0, [0]), (2**64, 0, [0]), (0, -1, [0]), (0, 2**32, [0]),
                                (0, 0, [3, -1]), (0, 0, [2**32, 1])],
)  # fmt: skip
def test_an_address_that_does_not_fit_is_refused(seed, epoch, rows):
    with pytest.raises(ConfigError, match="outside 0 to"):
        draws(seed, epoch, np.array(rows), 1, 1)


def test_streams_are_distinct():
    assert len({int(stream) for stream in Stream}) == len(Stream.__members__)


@given(st.integers(0, 60), st.integers(0, 9), st.integers(0, 9))
def test_a_plain_order_is_a_permutation(n, epoch, seed):
    assert sorted(plain_order(n, epoch, seed)) == list(range(n))


def test_plain_orders_differ_between_epochs_and_seeds():
    orders = [plain_order(50, epoch, seed).tolist() for epoch in range(3) for seed in range(3)]
    assert len({tuple(order) for order in orders}) == 9
    assert plain_order(50, 1, 2).tolist() == plain_order(50, 1, 2).tolist()


def test_every_row_comes_to_every_place_equally_often():
    counts = np.zeros((4, 4))
    for epoch in range(2000):
        counts[np.arange(4), plain_order(4, epoch, 0)] += 1
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


@given(st.lists(st.integers(0, 6), min_size=1, max_size=80), st.integers(0, 9))
def test_a_balanced_order_gives_classes_the_same_and_goes_round_their_rows(codes, epoch):
    codes = np.array(codes)
    order = balanced_order(codes, epoch, 3)
    assert len(order) == len(codes)
    counts = np.bincount(codes[order], minlength=7)[np.unique(codes)]
    assert counts.max() - counts.min() <= 1
    times = np.bincount(order, minlength=len(codes))
    for code in np.unique(codes):
        own = times[codes == code]
        assert own.max() - own.min() <= 1


def test_what_is_left_over_is_shared_out_in_turn():
    codes = np.array([0] * 50 + [3] * 5 + [8] * 1)  # 56 draws for 3 classes: two get one more
    totals = np.zeros(9)
    seen = np.zeros(56, bool)
    for epoch in range(600):
        order = balanced_order(codes, epoch, 0)
        totals += np.bincount(codes[order], minlength=9)
        seen[order] = True
    assert seen.all()
    extra = totals[[0, 3, 8]] - 600 * 18  # 1200 in all
    assert extra.sum() == 1200
    assert np.abs(extra - 400).max() < 4 * np.sqrt(600 * 2 / 9)


def test_a_balanced_order_is_shuffled():
    codes = np.repeat([0, 1], 500)
    order = codes[balanced_order(codes, 0, 0)]
    assert 430 < (order[1:] != order[:-1]).sum() < 570  # 499.5 expected, deviation 16


def test_rows_without_a_label_are_refused():
    with pytest.raises(DataError, match="Row 1 has the class number -1"):
        balanced_order(np.array([0, -1, 2]), 0, 0)
    assert balanced_order(np.zeros(0, int), 0, 0).shape == (0,)
