"""Temperature, vector scaling and the thresholds that rest on them."""

from __future__ import annotations

import numpy as np
import pytest

from headstart import metrics
from headstart.errors import ConfigError, DataError
from headstart.evaluation import calibrate as room
from headstart.evaluation.calibrate import calibrate, fit_temperature, fit_vector
from headstart.evaluation.sets import KINDS, set_threshold
from headstart.runtime.decide import prediction_sets, probabilities
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
        after = metrics.ece(probabilities(new, decision), truth)
        assert before > 0.15
        assert after < 0.03


@pytest.mark.parametrize(("n", "with_folds"), [(39, False), (100, True)])
def test_sets_hold_the_truth_as_often_as_promised(n, with_folds):
    """200 exchangeable splits; expected: ceil((n + 1) * 0.9) / (n + 1), 0.90 for both."""
    held = []
    for seed in range(200):
        z, codes = _draw(n + 500, 6, 2.0, np.random.default_rng([seed, n]), 2.0)
        folds = np.arange(n) % 5 if with_folds else None
        decision = calibrate(z[:n], codes[:n], coverage=0.9, folds=folds)
        p = probabilities(z[n:], decision)
        sets = prediction_sets(p, decision)
        held.append(sets[np.arange(500), codes[n:]].mean())
        assert sets.any(axis=1).all()
    assert np.mean(held) == pytest.approx(0.9, abs=0.015)


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


# --- vector scaling ------------------------------------------------------------------------------


def _biased(n, rng, k=4):
    """Logits whose classes are shifted and stretched, each by its own."""
    z, codes = _draw(n, k, 2.0, rng)
    return z * np.array([0.5, 1.0, 2.0, 3.0]) + np.array([2.0, 0.0, -1.0, 0.0]), codes


def test_vector_scaling_is_the_least_penalised_log_loss():
    """Beside scipy's minimiser on the formula of the docstring."""
    optimize = pytest.importorskip("scipy.optimize")
    for strength in room.STRENGTHS:
        z, codes = _biased(150, np.random.default_rng(1))

        def loss(at, strength=strength, z=z, codes=codes):
            p = metrics.softmax(z * at[:4] + at[4:])
            away = at - np.repeat([1.0, 0.0], 4)
            return -np.log(p[np.arange(150), codes]).sum() + strength / 2 * (away**2).sum()

        start = np.repeat([1.0, 0.0], 4)
        best = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-6})
        found = np.concatenate(fit_vector(z, codes, strength))
        assert loss(found) <= best.fun + 1e-6
        np.testing.assert_allclose(found, best.x, atol=1e-3)


def test_vector_scaling_mends_what_a_temperature_cannot():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        z, codes = _biased(4600, rng)
        decision = calibrate(z[:600], codes[:600], folds=np.arange(600) % 5)
        assert len(decision.scale) == len(decision.shift) == 4
        new, truth = z[600:], codes[600:]
        tempered = metrics.softmax(new / decision.temperature)
        scaled = probabilities(new, decision)
        assert metrics.log_loss(scaled, truth) < metrics.log_loss(tempered, truth) - 0.05
        assert metrics.ece(scaled, truth) < 0.05


def test_vector_scaling_is_not_taken_for_noise():
    """Where a temperature is all there is to mend: one draw in twenty at most, as the test says."""
    taken = sum(
        bool(calibrate(*_draw(300, 4, 2.0, np.random.default_rng([seed, 4]), 2.0)).scale)
        for seed in range(30)
    )
    assert taken <= 4


def test_few_rows_of_a_class_have_one_temperature():
    z, codes = _biased(600, np.random.default_rng(0))
    assert calibrate(z, codes).scale
    few = np.concatenate([np.flatnonzero(codes != 3), np.flatnonzero(codes == 3)[:19]])
    assert calibrate(z[few], codes[few]).scale == ()


def test_a_class_that_was_weighted_up_stays_so():
    """Logits of a head that favours a rare class: shifting it back would lower the log loss, and macro-F1."""
    rng = np.random.default_rng(0)
    codes = (rng.random(3000) < 0.08).astype(int)
    z = rng.normal(size=(3000, 2))
    z[np.arange(3000), codes] += 0.8
    z[:, 1] -= 1.5  # about where the mean of accuracy and macro-F1 is best
    weighted = calibrate(1.5 * z, codes)
    assert weighted.scale == ()
    found = probabilities(1.5 * z, weighted).argmax(axis=1)
    assert (found == (1.5 * z).argmax(axis=1)).all()


def test_a_strong_prior_is_the_temperature_itself():
    z, codes = _biased(200, np.random.default_rng(0))
    scale, shift = fit_vector(z, codes, 1e9)
    np.testing.assert_allclose(scale, 1, atol=1e-5)
    np.testing.assert_allclose(shift, 0, atol=1e-5)


def test_vector_scaling_copes_with_far_logits():
    rng = np.random.default_rng(0)
    z, codes = _draw(300, 3, 2.0, rng)
    z[:5] *= 1e4
    scale, shift = fit_vector(z, codes, 10.0)
    assert np.isfinite(scale).all()
    assert np.isfinite(shift).all()


def test_thresholds_rest_on_what_other_rows_gave(monkeypatch):
    """With a vector scaling too: each fold's probabilities come from the other folds' scaling."""
    z, codes = _biased(900, np.random.default_rng(2))
    folds = np.arange(900) % 3
    decision = calibrate(z, codes, folds=folds)
    assert decision.scale
    monkeypatch.setattr(room, "STRENGTHS", room.STRENGTHS[:0])
    assert calibrate(z, codes, folds=folds).scale == ()
    monkeypatch.undo()
    candidates = []
    for strength in room.STRENGTHS:
        p = np.empty((900, 4))
        for fold in range(3):
            others = folds != fold
            t = fit_temperature(z[others], codes[others])
            scale, shift = fit_vector(z[others] / t, codes[others], strength)
            p[~others] = metrics.softmax(z[~others] / t * scale + shift)
        candidates.append(set_threshold(p, codes, 0.9))
    assert min(abs(decision.set_threshold - one) for one in candidates) < 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_sets_are_passed_on(kind):
    z, codes = _draw(200, 3, 2.0, np.random.default_rng(0))
    decision = calibrate(z, codes, sets=kind, coverage=0.8)
    assert (decision.sets, decision.coverage) == (kind, 0.8)
    assert len(decision.class_thresholds) == (3 if kind == "class" else 0)
    assert all(type(value) is float for value in decision.class_thresholds)


# --- withholding ---------------------------------------------------------------------------------


def test_at_precision_and_at_cost_set_the_threshold():
    z, codes = _draw(3000, 4, 2.5, np.random.default_rng(0), 2.0)
    plain = calibrate(z, codes)
    assert (plain.abstain_below, plain.at_precision) == (0.0, None)
    precise = calibrate(z, codes, at_precision=0.9)
    assert precise.at_precision == 0.9
    new, truth = _draw(20_000, 4, 2.5, np.random.default_rng(1), 2.0)
    p = probabilities(new, precise)
    given = p.max(axis=1) >= precise.abstain_below
    assert 0.3 < given.mean() < 0.95
    assert 0.9 <= (p.argmax(axis=1) == truth)[given].mean() < 0.95
    assert calibrate(z, codes, at_cost=5).abstain_below == pytest.approx(0.8)
    with pytest.raises(ConfigError, match="at_precision and at_cost"):
        calibrate(z, codes, at_precision=0.9, at_cost=5)
    with pytest.raises(DataError, match=r"precision of 0\.999"):
        calibrate(z[:100], codes[:100], at_precision=0.999)


def test_one_fold_is_parted():
    """The probe holds out one fold only where there is much data."""
    z, codes = _biased(700, np.random.default_rng(3))
    folds = np.where(np.arange(700) < 600, 2, -1)
    z[600:] = np.nan
    found = calibrate(z, codes, folds=folds)
    assert found == calibrate(z[:600], codes[:600])
    assert found.scale
