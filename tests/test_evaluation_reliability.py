"""Calibration error, its noise floor, and the risk curve, against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart import metrics
from headstart.evaluation.reliability import BINS, reliability, risk_curve


def case(n, k, seed, sharpness=1.0, ties=False):
    """Probabilities, and a truth that is drawn from them: perfectly calibrated."""
    rng = np.random.default_rng(seed)
    p = metrics.softmax(rng.normal(size=(n, k)) * 2)
    if ties:
        p = np.round(p * 5) + 0.1
        p /= p.sum(axis=1, keepdims=True)
    codes = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return metrics.softmax(np.log(p) * sharpness), codes


def slow_bins(p, codes):
    """Rows sorted by probability, cut where every fifteenth begins, equal ones kept together."""
    rows = sorted((float(row.max()), int(row.argmax() == code)) for row, code in zip(p, codes))
    n = len(rows)
    bins = min(BINS, n)
    starts = []
    for i in range(bins):
        at = i * n // bins
        while at > 0 and rows[at - 1][0] == rows[at][0]:
            at -= 1
        if at not in starts:
            starts.append(at)
    found = []
    for start, stop in zip(starts, [*starts[1:], n]):
        part = rows[start:stop]
        found.append(
            (sum(c for c, _ in part) / len(part), sum(h for _, h in part) / len(part), len(part))
        )
    return found


def slow_ece(p, codes):
    found = slow_bins(p, codes)
    n = sum(size for _, _, size in found)
    return sum(size * abs(promised - kept) for promised, kept, size in found) / n


@given(st.integers(1, 200), st.integers(2, 6), st.integers(0, 999), st.booleans())
@settings(deadline=None, max_examples=60)
def test_bins_and_error_equal_a_slow_loop(n, k, seed, ties):
    p, codes = case(n, k, seed, 1.7, ties)
    before, _ = case(n, k, seed + 1)
    found = reliability(p, codes, before=before, rng=np.random.default_rng(0))
    assert found.ece == pytest.approx(slow_ece(p, codes), abs=1e-12)
    assert found.before == pytest.approx(slow_ece(before, codes), abs=1e-12)
    np.testing.assert_allclose(found.bins, slow_bins(p, codes), atol=1e-12)
    assert sum(size for _, _, size in found.bins) == n
    assert 0 <= found.noise <= 1


@given(st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_the_order_of_the_rows_does_not_matter(seed):
    p, codes = case(120, 3, seed, ties=True)
    order = np.random.default_rng(seed).permutation(120)
    one = reliability(p, codes, before=p, rng=np.random.default_rng(1))
    other = reliability(p[order], codes[order], before=p[order], rng=np.random.default_rng(1))
    assert one.ece == pytest.approx(other.ece)
    np.testing.assert_allclose(one.bins, other.bins)
    assert one.noise == other.noise
    assert risk_curve(p, codes) == risk_curve(p[order], codes[order])


@pytest.mark.parametrize("n", [40, 300, 2000])
def test_a_calibrated_model_lies_under_its_noise_floor_in_95_of_100(n):
    under = 0
    for seed in range(200):
        p, codes = case(n, 4, seed)
        found = reliability(p, codes, before=p, rng=np.random.default_rng([seed, 1]))
        under += found.ece <= found.noise
    assert 180 <= under <= 198  # 190 expected; the binomial's 99.9 % range


def test_an_overconfident_model_lies_above_it():
    p, codes = case(2000, 4, 0, sharpness=3.0)
    mended, _ = case(2000, 4, 0)
    found = reliability(mended, codes, before=p, rng=np.random.default_rng(0))
    assert found.before > 3 * found.noise
    assert found.ece <= found.noise
    assert found.before == reliability(p, codes, before=p, rng=np.random.default_rng(0)).ece


def test_bins_hold_equally_many_rows():
    p, codes = case(1000, 3, 0)
    sizes = [
        size for _, _, size in reliability(p, codes, before=p, rng=np.random.default_rng(0)).bins
    ]
    assert len(sizes) == BINS
    assert max(sizes) - min(sizes) <= 1
    certain = np.tile([[1.0, 0.0]], (30, 1))
    found = reliability(certain, np.zeros(30, int), before=certain, rng=np.random.default_rng(0))
    assert found.bins == ((1.0, 1.0, 30),)
    assert (found.ece, found.noise) == (0, 0)


def slow_risk(p, codes):
    rows = sorted(((float(r.max()), r.argmax() == c) for r, c in zip(p, codes)), reverse=True)
    points = {}
    for threshold in {certain for certain, _ in rows}:
        answered = [right for certain, right in rows if certain >= threshold]
        points[len(answered) / len(rows)] = sum(answered) / len(answered)
    return points


@given(st.integers(1, 150), st.integers(0, 999), st.booleans())
@settings(deadline=None, max_examples=50)
def test_every_point_of_the_risk_curve_is_a_threshold_that_exists(n, seed, ties):
    p, codes = case(n, 3, seed, ties=ties)
    found, wanted = risk_curve(p, codes), slow_risk(p, codes)
    assert list(found.answered) == sorted(set(found.answered))
    assert len(found.answered) == len(found.accuracy) <= 51
    assert found.answered[-1] == 1.0
    for share, accuracy in zip(found.answered, found.accuracy):
        assert wanted[share] == pytest.approx(accuracy)
    if n <= 50:
        assert set(found.answered) == set(wanted)


def test_the_risk_curve_falls_where_probabilities_tell_right_from_wrong():
    p, codes = case(5000, 3, 0)
    found = risk_curve(p, codes)
    assert len(found.answered) == 50
    assert found.answered[0] == pytest.approx(0.02)
    assert found.accuracy[0] > 0.95 > found.accuracy[-1] + 0.1
    assert found.accuracy[-1] == pytest.approx(np.mean(p.argmax(axis=1) == codes))


def test_shapes_that_do_not_fit():
    p, codes = case(5, 3, 0)
    for wrong in ((p, codes[:4]), (p[:0], codes[:0]), (p[0], codes)):
        with pytest.raises(ValueError, match="do not fit"):
            risk_curve(*wrong)
        with pytest.raises(ValueError, match="do not fit"):
            reliability(*wrong, before=p, rng=np.random.default_rng(0))
