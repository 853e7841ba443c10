"""Temperature and prediction sets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headstart import metrics
from headstart.evaluation.calibrate import calibrate, fit_temperature, set_threshold
from headstart.types import Decision


def _draw(n, k, spread, rng, over=1.0):
    """Logits that are too sure by `over`, and truths drawn from the honest probabilities."""
    z = rng.normal(size=(n, k)) * spread
    codes = (z + rng.gumbel(size=(n, k))).argmax(axis=1)
    return z * over, codes


@pytest.mark.parametrize("over", [0.3, 1.0, 3.0])
def test_temperature_undoes_what_the_logits_overstate(over):
    found = [
        calibrate(*_draw(800, 5, 2.0, np.random.default_rng(seed), over)).temperature
        for seed in range(20)
    ]
    assert np.mean(found) == pytest.approx(over, rel=0.03)
    assert np.std(found) < 0.15 * over


def test_temperature_equals_a_brute_force_grid():
    for seed in range(5):
        z, codes = _draw(120, 4, 2.0, np.random.default_rng(seed), 2.5)
        grid = np.exp(np.arange(np.log(0.5), np.log(8), 1e-3))
        losses = [metrics.log_loss(metrics.softmax(z / t), codes) for t in grid]
        assert calibrate(z, codes).temperature == pytest.approx(grid[np.argmin(losses)], rel=1e-3)


def test_expected_calibration_error_falls():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        z, codes = _draw(6000, 5, 1.5, rng, 4.0)
        decision = calibrate(z[:1000], codes[:1000])
        new, truth = z[1000:], codes[1000:]
        before = metrics.ece(metrics.softmax(new), truth)
        after = metrics.ece(metrics.softmax(new / decision.temperature), truth)
        assert before > 0.15
        assert after < 0.03


@pytest.mark.parametrize(("n", "with_folds"), [(39, False), (200, True)])
def test_sets_hold_the_truth_as_often_as_promised(n, with_folds):
    """200 exchangeable splits; expected: ceil((n + 1) * 0.9) / (n + 1), 0.90 for both."""
    held = []
    for seed in range(200):
        z, codes = _draw(n + 500, 6, 2.0, np.random.default_rng([seed, n]), 2.0)
        folds = np.arange(n) % 5 if with_folds else None
        decision = calibrate(z[:n], codes[:n], coverage=0.9, folds=folds)
        p = metrics.softmax(z[n:] / decision.temperature)
        sets = metrics.prediction_set(p, decision.set_threshold)
        held.append(sets[np.arange(500), codes[n:]].mean())
        assert sets.any(axis=1).all()
    assert np.mean(held) == pytest.approx(0.9, abs=0.015)


def test_threshold_is_the_finite_sample_quantile():
    p = np.arange(1, 20)[:, None] / 20  # 19 rows, the truth has 0.05 .. 0.95
    codes = np.zeros(19, dtype=int)
    for coverage in (0.5, 0.8, 0.9, 0.95):
        rank = math.ceil(round(20 * coverage, 6))
        found = set_threshold(p, codes, coverage)
        assert found == pytest.approx(sorted(p[:, 0], reverse=True)[rank - 1])
        assert (p[:, 0] >= found).sum() == rank
    assert set_threshold(p, codes, 0.96) == 0  # 20 of 19 rows
    # in floating point 100 * 0.55 is a little more than 55: still 55 rows, not 56
    many = np.arange(1, 100)[:, None] / 100
    assert (many >= set_threshold(many, np.zeros(99, dtype=int), 0.55)).sum() == 55


@pytest.mark.parametrize("n", [0, 1, 8])
def test_too_few_rows_promise_nothing(n):
    z, codes = np.eye(3)[np.arange(n) % 3].reshape(n, 3) * 9, np.arange(n) % 3
    decision = calibrate(z, codes)
    assert decision == Decision(temperature=1.0, coverage=0.9, set_threshold=0.0, abstain_below=0.0)
    assert metrics.prediction_set(np.array([[0.99, 0.01, 0.0]]), decision.set_threshold).all()


def test_right_rows_are_no_certainty():
    """n right rows allow (n + 1) / (n + 2), however sure the logits are."""
    for n in (10, 30, 500):
        for spread in (0.1, 5.0, 60.0):
            codes = np.arange(n) % 3
            z = np.eye(3)[codes] * spread + np.random.default_rng(0).normal(size=(n, 3)) * 1e-3
            p = metrics.softmax(z / fit_temperature(z, codes))
            if fit_temperature(z, codes) * 0.999 > 0.05 and fit_temperature(z, codes) < 19.9:
                assert p[np.arange(n), codes].mean() == pytest.approx((n + 1) / (n + 2), abs=1e-4)
            assert p[np.arange(n), codes].mean() < (n + 1) / (n + 2) + 1e-4


def test_rows_that_were_never_held_out_do_not_count():
    rng = np.random.default_rng(0)
    z, codes = _draw(300, 4, 2.0, rng, 2.0)
    folds = np.arange(300) % 5
    more = np.concatenate([z, np.full((40, 4), np.nan), z[:20] * 50])
    more_codes = np.concatenate([codes, np.zeros(40, dtype=int), np.full(20, -1)])
    more_folds = np.concatenate([folds, np.full(40, -1), np.zeros(20, dtype=int)])
    assert calibrate(more, more_codes) == calibrate(z, codes)
    assert calibrate(more, more_codes, folds=more_folds) == calibrate(z, codes, folds=folds)


def test_folds_keep_a_row_out_of_its_own_temperature():
    z, codes = _draw(60, 4, 2.0, np.random.default_rng(5), 2.0)
    folds = np.arange(60) % 3
    p = np.empty((60, 4))
    for fold in range(3):
        others = folds != fold
        p[~others] = metrics.softmax(z[~others] / fit_temperature(z[others], codes[others]))
    found = calibrate(z, codes, folds=folds)
    assert found.set_threshold == pytest.approx(set_threshold(p, codes, 0.9))
    assert found.set_threshold != calibrate(z, codes).set_threshold
    assert found.temperature == calibrate(z, codes).temperature


def test_float32_logits_do_and_inputs_stay_as_they_are():
    z, codes = _draw(200, 4, 2.0, np.random.default_rng(1), 2.0)
    single = z.astype(np.float32)
    for array in (z, single, codes):
        array.flags.writeable = False
    one, other = calibrate(z, codes), calibrate(single, codes)
    assert other.temperature == pytest.approx(one.temperature, rel=1e-4)
    assert other.set_threshold == pytest.approx(one.set_threshold, rel=1e-3)
    assert calibrate(z, codes) == one


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coverage": 1.0}, "between 0 and 1, not 1"),
        ({"held_out": np.zeros((4, 2), dtype=int)}, "floats"),
        ({"held_out": np.zeros(4)}, r"floats \(n, k\), not \(4,\)"),
        ({"codes": np.zeros(3, dtype=int)}, r"integers \(4,\), not \(3,\)"),
        ({"codes": np.zeros(4)}, "integers"),
        ({"folds": np.zeros(3, dtype=int)}, r"folds have to be \(4,\), not \(3,\)"),
    ],
)
def test_wrong_shapes_say_so(arguments, message):
    given = {"held_out": np.zeros((4, 2)), "codes": np.zeros(4, dtype=int), **arguments}
    with pytest.raises(ValueError, match=message):
        calibrate(given.pop("held_out"), given.pop("codes"), **given)


def test_overflowed_logits_are_refused_not_used():
    z = np.zeros((20, 2))
    z[3, 0] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        calibrate(z, np.arange(20) % 2)
