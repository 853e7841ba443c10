"""What transfer bought: both ways see the same rows, and what is read off the curves is on the curves."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.evaluation import transfer
from headstart.evaluation.transfer import _reached, compare_scratch
from headstart.methods import probe
from headstart.scores import Metric, Transfer

K = 3


def world(n=600, m=300):
    codes = np.random.default_rng(0).integers(0, K, n)
    return codes, np.sort(np.random.default_rng(1).permutation(n)[:m])


class Answers:
    """Right on a given share of the held-out rows, by the number of rows it was given."""

    def __init__(self, codes, held, curve):
        self.truth, self.curve, self.calls = codes[held], curve, []

    def __call__(self, rows):
        self.calls.append(rows)
        right = np.arange(len(self.truth)) < round(self.curve(len(rows)) * len(self.truth))
        said = np.where(right, self.truth, (self.truth + 1) % K)
        return np.eye(K)[said]


def compared(with_, without, seed=0, **rest):
    codes, held = world()
    ways = [Answers(codes, held, curve) for curve in (with_, without)]
    return compare_scratch(codes, held, K, *ways, np.random.default_rng(seed), **rest), ways


def test_both_learn_from_the_same_growing_rows_and_never_from_held_out_ones():
    codes, held = world()
    found, (one, other) = compared(lambda n: 0.9, lambda n: 0.5)
    assert found.rows == (38, 75, 150, 300)
    assert [len(rows) for rows in one.calls] == list(found.rows)
    for a, b in zip(one.calls, other.calls):
        np.testing.assert_array_equal(a, b)
        assert (np.diff(a) > 0).all()
        assert not np.intersect1d(a, held).size
    for small, large in zip(one.calls, one.calls[1:]):
        assert np.isin(small, large).all()
    whole = np.bincount(codes[np.setdiff1d(np.arange(600), held)]) / 300
    np.testing.assert_allclose(np.bincount(codes[one.calls[0]]) / 38, whole, atol=0.03)


def test_rows_of_a_group_stand_together():
    groups = np.arange(600) // 4
    codes, held = world()
    held = np.flatnonzero(np.isin(groups, np.unique(groups)[::2]))
    ways = [Answers(codes, held, lambda n: 0.5) for _ in range(2)]
    compare_scratch(codes, held, K, *ways, np.random.default_rng(0), groups=groups)
    for rows in ways[0].calls:
        _, counts = np.unique(groups[rows], return_counts=True)
        assert (counts < 4).sum() <= 1  # the share may end within one


def test_the_labels_it_saves_are_read_off_the_scratch_curve():
    # from scratch it rises by 0.1 with every doubling from 0.4 at 38 rows
    found, _ = compared(lambda n: 0.6, lambda n: 0.4 + 0.1 * np.log2(n / 38), seed=1)
    assert found.needed.value == pytest.approx(152, rel=0.02)
    assert found.saves.value == pytest.approx(114, abs=4)
    assert found.needed.low <= found.needed.value <= found.needed.high
    assert found.more_than == 0
    assert found.lead[0].value == pytest.approx(0.2, abs=0.01)
    assert found.lead[-1].high < 0


def test_where_scratch_never_gets_there_only_a_bound_is_told():
    found, _ = compared(lambda n: 0.95, lambda n: 0.4)
    assert found.needed is None
    assert found.saves is None
    assert found.more_than == 300


def test_where_the_end_of_the_curve_is_within_noise_nothing_is_claimed_beyond_it():
    """The same rows are right at the end for both but for a few: half of the draws reach, half do not."""
    codes, held = world()
    rng = np.random.default_rng(4)

    def noisy(share):
        def answer(rows):
            right = rng.permutation(len(held)) < share(len(rows)) * len(held)
            return np.eye(K)[np.where(right, codes[held], (codes[held] + 1) % K)]

        return answer

    found = compare_scratch(
        codes, held, K, noisy(lambda n: 0.7), noisy(lambda n: 0.5 + 0.2 * (n >= 300)), rng
    )
    assert found.needed is None
    assert 150 <= found.more_than < 300


def test_where_scratch_is_as_good_nothing_is_saved():
    found, _ = compared(lambda n: 0.7, lambda n: 0.7)
    assert found.saves == Metric(0.0, 0.0, 0.0)


def test_the_interval_is_that_of_the_binomial():
    found, _ = compared(lambda n: 0.8, lambda n: 0.5)
    for metric, p in ((found.with_[0], 0.8), (found.without[0], 0.5)):
        half = 1.96 * np.sqrt(p * (1 - p) / 300)
        assert metric.value == pytest.approx(p)
        assert metric.high - p == pytest.approx(half, rel=0.15)
        assert p - metric.low == pytest.approx(half, rel=0.15)


def test_intervals_hold_the_truth_as_often_as_they_say(monkeypatch):
    """Over many held-out sets, of the accuracy and of the rows needed, where both are known."""
    monkeypatch.setattr(transfer, "_DRAWS", 300)
    inside_accuracy = inside_needed = told = 0
    truth_with = 0.7  # what scratch comes to with 160 rows
    repeats = 100
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        luck = rng.random(400)  # a row is easy or hard for both

        def answer(p, luck=luck, rng=rng):
            mixed = np.where(rng.random(400) < 0.5, luck, rng.random(400))
            return np.eye(2)[(mixed >= p).astype(int)]

        codes, held = np.zeros(720, int), np.arange(400)
        codes[400:] = np.arange(320) % 2
        found = compare_scratch(
            codes, held, 2,
            lambda rows, answer=answer: answer(truth_with),
            lambda rows, answer=answer: answer(0.5 + 0.1 * np.log2(len(rows) / 40)),
            rng,
        )  # fmt: skip
        inside_accuracy += found.with_[0].low <= truth_with <= found.with_[0].high
        if found.needed is not None:
            told += 1
            inside_needed += found.needed.low <= 160 <= found.needed.high
        else:
            inside_needed += found.more_than <= 160
    assert inside_accuracy / repeats > 0.9
    assert inside_needed / repeats > 0.9
    assert told / repeats > 0.5


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.1, 1), min_size=2, max_size=6),
    st.floats(0.05, 1.05),
    st.floats(0, 0.3),
)
def test_a_higher_aim_needs_no_fewer_rows(accuracy, wanted, more):
    sizes = 10 * 2 ** np.arange(len(accuracy))
    curve = np.array(accuracy)
    easy, hard = _reached(sizes, curve, wanted), _reached(sizes, curve, wanted + more)
    assert sizes[0] <= easy <= hard
    assert np.isinf(easy) or easy <= sizes[-1]
    assert np.isinf(easy) == (curve.max() < wanted)


def test_with_a_real_method():
    codes, held = world()
    features = (np.eye(K, 12)[codes] + np.random.default_rng(2).normal(0, 1, (600, 12))).astype(
        np.float32
    )
    blurred = features.copy()
    blurred[:, :K] *= 0.3  # what tells the classes apart is faint
    blurred += np.random.default_rng(3).normal(0, 0.3, blurred.shape).astype(np.float32)

    def by(x):
        def learn(rows):
            none = np.full(len(rows), -1)
            head = probe.fit(x[rows], codes[rows], none, K, probe.Config(penalty=0.1)).head
            return x[held] @ head.weight + head.bias

        return learn

    found = compare_scratch(codes, held, K, by(features), by(blurred), np.random.default_rng(0))
    assert found.with_[-1].value > found.without[-1].value > 0.4
    assert found.lead[-1].low > 0


def test_the_same_seed_gives_the_same():
    first, _ = compared(lambda n: 0.8, lambda n: 0.6, seed=3)
    second, _ = compared(lambda n: 0.8, lambda n: 0.6, seed=3)
    assert first == second
    assert compared(lambda n: 0.8, lambda n: 0.6, seed=4)[0] != first


def test_too_few_rows():
    codes = np.arange(12) % K
    found = compare_scratch(codes, np.arange(3), K, None, None, np.random.default_rng(0))
    assert (found.rows, found.with_, found.needed) == ((), (), None)
    assert "too few rows" in found.note
    assert found.saves is None
    held = np.zeros(0, int)
    assert not compare_scratch(codes, held, K, None, None, np.random.default_rng(0)).rows


def test_answers_of_another_shape_are_refused():
    codes, held = world()
    with pytest.raises(ValueError, match="held-out rows"):
        compare_scratch(
            codes, held, K, lambda rows: np.zeros((3, K)), None, np.random.default_rng(0)
        )


def test_it_can_be_written_as_json():
    found, _ = compared(lambda n: 0.6, lambda n: 0.4 + 0.1 * np.log2(n / 38))
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert data["rows"] == list(found.rows)
    assert len(data["with"]) == len(data["without"]) == len(data["lead"]) == 4
    assert data["saves"]["value"] == pytest.approx(found.needed.value - 38)
    assert data["held"] == 300
    known = {field.name.rstrip("_") for field in dataclasses.fields(Transfer)}
    assert set(data) == known | {"saves"}
    bound, _ = compared(lambda n: 0.95, lambda n: 0.4)
    assert json.loads(json.dumps(bound.to_json(), allow_nan=False))["saves"] is None
