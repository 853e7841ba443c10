"""Learning curves: nested shares, no leak from the held-out fold, and the extrapolation on known curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.evaluation import learning
from headstart.evaluation.learning import LEAST, MOST, learning_curve, round_number
from headstart.methods import probe
from headstart.solver_rows import rotate
from headstart.types import Candidate, Head


def case(n, k=3, noise=2.0, seed=0, d=20):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(n) % k)
    return codes, (np.eye(k, d)[codes] * 2 + rng.normal(size=(n, d)) * noise).astype(np.float32)


def folds_of(codes, count=5):
    folds = np.empty(len(codes), dtype=np.int64)
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        folds[rows] = np.arange(len(rows)) % count
    return folds


def probed(features, codes, folds, k, *, start=None):
    return probe.fit(features, codes, folds, k, probe.Config(penalty=0.03), start=start)


class Spy:
    """Learns nothing; remembers what it was given. The first feature of a row is its number."""

    def __init__(self):
        self.calls = []

    def __call__(self, features, codes, folds, k, *, start=None):
        assert (folds == -1).all()
        self.calls.append((features[:, 0].astype(int).tolist(), codes, start))
        head = Head(np.zeros((features.shape[1], k), np.float32), np.zeros(k, np.float32))
        return Candidate("spy", head, np.zeros((len(codes), k), np.float32), {}, 0.0)


def numbered(n):
    return np.stack([np.arange(n), np.ones(n)], axis=1).astype(np.float32)


def test_accuracy_rises_and_agrees_with_cross_validation():
    codes, features = case(600)
    folds = folds_of(codes)
    found = learning_curve(features, codes, folds, 3, probed, np.random.default_rng(0))
    assert found.rows == (60, 120, 240, 480)
    values = [metric.value for metric in found.accuracy]
    assert values[0] < values[2]
    assert all(m.low <= m.value <= m.high for m in found.accuracy)
    right = []
    for fold in range(3):  # no more are held out
        held = folds == fold
        head = probed(features[~held], codes[~held], np.full((~held).sum(), -1), 3).head
        right.append((features[held] @ head.weight + head.bias).argmax(1) == codes[held])
    assert values[-1] == pytest.approx(np.concatenate(right).mean(), abs=0.004)
    assert found.more == 500
    assert found.gain.low <= found.gain.value <= found.gain.high
    assert -0.02 < found.gain.value < 0.1
    assert "a + b n^-c" in found.note


def test_the_candidate_gives_the_last_point_without_a_fit():
    codes, features = case(300)
    folds = folds_of(codes)
    candidate = probed(features, codes, folds, 3)
    spy = Spy()
    x = numbered(300)
    found = learning_curve(x, codes, folds, 3, spy, np.random.default_rng(0), candidate=candidate)
    assert found.accuracy[-1].value == pytest.approx(
        np.mean((candidate.held_out.argmax(axis=1) == codes)[folds < 3])
    )
    assert max(len(rows) for rows, _, _ in spy.calls) == 120
    few = Candidate(
        "probe", candidate.head, candidate.held_out[folds < 2], {}, 0.0, np.flatnonzero(folds < 2)
    )
    spy = Spy()
    found = learning_curve(x, codes, folds, 3, spy, np.random.default_rng(0), candidate=few)
    assert len(spy.calls) == 2 * 2 * 3  # two folds, two draws each, three shares
    assert found.accuracy[-1].value == pytest.approx(
        np.mean((candidate.held_out.argmax(axis=1) == codes)[folds < 2])
    )


def test_shares_are_nested_stratified_and_never_of_the_held_out_fold():
    codes = np.repeat([0, 1, 2], [160, 80, 40])
    folds, spy = folds_of(codes), Spy()
    learning_curve(numbered(280), codes, folds, 3, spy, np.random.default_rng(0))
    assert len(spy.calls) == 3 * 4
    for fold in range(3):
        mine = spy.calls[4 * fold : 4 * fold + 4]
        assert mine[0][2] is None
        assert all(start is not None for _, _, start in mine[1:])
        rows = [set(numbers) for numbers, _, _ in mine]
        assert rows[0] < rows[1] < rows[2] < rows[3]
        assert rows[3] == set(np.flatnonzero(folds != fold).tolist())
        for (numbers, told, _), share in zip(mine, learning.SHARES):
            assert (codes[numbers] == told).all()
            counts = np.bincount(told, minlength=3)
            assert (np.abs(counts - share * np.array([128, 64, 32])) <= 1.5).all()


def test_rows_of_a_group_are_drawn_together():
    codes = np.repeat(np.arange(60) % 2, 4)
    groups = np.repeat(np.arange(60), 4)
    folds = np.repeat(np.arange(60) // 12, 4)
    spy = Spy()
    learning_curve(numbered(240), codes, folds, 2, spy, np.random.default_rng(0), groups=groups)
    for rows, _, _ in spy.calls:
        counts = np.bincount(groups[rows], minlength=60)
        assert (~np.isin(counts, [0, 4])).sum() <= 1  # the last group may be cut


def test_rotated_rows_give_the_same_curve():
    codes, features = case(300)
    folds = folds_of(codes)
    plain = learning_curve(features, codes, folds, 3, probed, np.random.default_rng(0))
    turned = learning_curve(
        features, codes, folds, 3, probed, np.random.default_rng(0), rows=rotate(features)
    )
    assert turned.rows == plain.rows
    for one, other in zip(plain.accuracy, turned.accuracy):
        assert one.value == pytest.approx(
            other.value, abs=0.03
        )  # standardised by all rows, not by some


def test_the_same_generator_gives_the_same_curve():
    codes, features = case(200)
    folds = folds_of(codes)
    one, same = (
        learning_curve(features, codes, folds, 3, probed, np.random.default_rng(5))
        for _ in range(2)
    )
    assert one == same


def exact(sizes, a, b, c, rows=1000, seed=0):
    """Folds whose errors lie on a known curve, up to the noise of the rows."""
    rng = np.random.default_rng(seed)
    errors = a + b * np.asarray(sizes, float) ** -c
    luck = rng.random((5, rows // 5, 1))  # one row is as hard for every size: nested
    return [learning._Fold(np.asarray(sizes), (one > errors).astype(float)) for one in luck]


@pytest.mark.parametrize(
    ("a", "b", "c"), [(0.0, 2.0, 0.5), (0.1, 1.0, 0.3), (0.05, 4.0, 0.8), (0.2, 0.0, 0.5)]
)
def test_a_known_curve_is_read_off_within_the_interval(a, b, c):
    sizes, n = (50, 100, 200, 400), 500
    truth = b * (n**-c - (2 * n) ** -c)
    inside, off = 0, []
    for seed in range(20):
        errors = 1 - learning._resampled(
            exact(sizes, a, b, c, seed=seed), np.random.default_rng(seed)
        )
        gain = learning._gain(np.array(sizes, float), errors, n, 2 * n)
        inside += gain.low <= truth <= gain.high
        off.append(gain.value - truth)
    assert inside >= 19
    assert abs(np.mean(off)) < 0.01


def test_perfect_scores_promise_nothing():
    folds = [learning._Fold(np.array([10, 20, 40]), np.ones((20, 3))) for _ in range(3)]
    found = learning._curve(folds, 50, 3, np.random.default_rng(0))
    assert found.gain.value == pytest.approx(0, abs=1e-12)
    assert [metric.value for metric in found.accuracy] == [1, 1, 1]


@given(st.integers(1, 10**6))
@settings(deadline=None)
def test_a_round_number_is_not_above_and_near(n):
    found = round_number(n)
    assert n / 2.5 < found <= n
    assert str(found).rstrip("0") in ("1", "2", "5")


def test_skipped_with_a_note():
    codes, features = case(LEAST - 1)
    few = learning_curve(features, codes, folds_of(codes), 3, Spy(), np.random.default_rng(0))
    assert (few.rows, few.gain) == ((), None)
    assert few.note == "no learning curve: fewer than 40 training rows"
    many = np.zeros(MOST + 1, dtype=np.int64)
    found = learning_curve(many[:, None], many, many, 1, Spy(), np.random.default_rng(0))
    assert found.note == "no learning curve: more than 50,000 training rows"
    codes, features = case(60)
    never = learning_curve(features, codes, np.full(60, -1), 3, Spy(), np.random.default_rng(0))
    assert never.note == "no learning curve: too few rows of each class"
    codes, features = case(200, k=50, d=60)
    short = learning_curve(
        features, codes, folds_of(codes, 4), 50, probed, np.random.default_rng(0)
    )
    assert (len(short.rows), short.more, short.gain) == (2, 0, None)
    assert "too few rows" in short.note
