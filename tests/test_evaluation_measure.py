"""Scores with honest intervals."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart import metrics
from headstart.errors import DataError
from headstart.evaluation import measure as measuring
from headstart.evaluation.measure import interval_of_accuracy, mcnemar, measure, paired
from headstart.scores import Baseline
from headstart.types import Decision, Skipped

LABELS = ("a", "b", "c")


def _measure(p, codes, labels=LABELS, seed=0, **more):
    return measure(
        p, codes, labels, split="test", protocol="as given", rng=np.random.default_rng(seed), **more
    )


def _case(n, k, skill, seed=0):
    rng = np.random.default_rng(seed)
    codes, z = rng.integers(0, k, n), rng.normal(size=(n, k))
    z[np.arange(n), codes] += skill
    return metrics.softmax(z), codes


def _sure(predicted, k=3):
    return np.eye(k)[predicted]


def test_values_are_the_metrics_of_the_rows():
    p, codes = _case(300, 3, 1.5)
    found = _measure(p, codes)
    counts = metrics.confusion(codes, p.argmax(axis=1), 3)
    assert found.metrics["accuracy"].value == pytest.approx(np.mean(p.argmax(axis=1) == codes))
    assert found.metrics["balanced_accuracy"].value == pytest.approx(
        metrics.balanced_accuracy(counts)
    )
    assert found.metrics["macro_f1"].value == pytest.approx(metrics.macro_f1(counts))
    assert found.metrics["log_loss"].value == pytest.approx(metrics.log_loss(p, codes))
    assert list(found.metrics) == ["accuracy", "balanced_accuracy", "macro_f1", "log_loss"]
    np.testing.assert_array_equal(found.confusion, counts)
    assert (found.n, found.split, found.protocol, found.labels) == (300, "test", "as given", LABELS)
    assert [row.n for row in found.per_class] == np.bincount(codes).tolist()
    assert found.per_class[1].recall == pytest.approx(counts[1, 1] / counts[1].sum())
    assert found.coverage is None
    assert found.set_size is None
    json.dumps([metric.to_json() for metric in found.metrics.values()])


def test_intervals_equal_a_bootstrap_that_draws_rows():
    p, codes = _case(400, 3, 1.0)
    predicted = p.argmax(axis=1)
    rng = np.random.default_rng(7)
    slow = {name: [] for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")}
    for _ in range(3000):
        rows = rng.integers(0, 400, 400)
        counts = metrics.confusion(codes[rows], predicted[rows], 3)
        slow["accuracy"].append(metrics.accuracy(counts))
        slow["balanced_accuracy"].append(metrics.balanced_accuracy(counts))
        slow["macro_f1"].append(metrics.macro_f1(counts))
        slow["log_loss"].append(metrics.log_loss(p[rows], codes[rows]))
    found = _measure(p, codes, resamples=3000).metrics
    for name, draws in slow.items():
        low, high = np.quantile(draws, (0.025, 0.975))
        width = high - low
        assert found[name].low == pytest.approx(low, abs=0.06 * width), name
        assert found[name].high == pytest.approx(high, abs=0.06 * width), name


def test_tallies_of_draws_are_those_of_whole_matrices():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3, size=(6, 6)) * (rng.random((6, 6)) < 0.4)
    counts[2] = 0  # a class without truth
    counts[:, 4] = 0  # one without predictions
    n = int(counts.sum())
    cells = np.nonzero(counts)
    (found,) = measuring._draw_tallies(counts, 50, np.random.default_rng(1))
    draws = np.random.default_rng(1).multinomial(n, counts[cells] / n, size=50)
    for i, draw in enumerate(draws):
        whole = np.zeros((6, 6), dtype=np.int64)
        whole[cells] = draw
        np.testing.assert_array_equal(found.hits[i], np.diag(whole))
        np.testing.assert_array_equal(found.truth[i], whole.sum(axis=1))
        np.testing.assert_array_equal(found.predicted[i], whole.sum(axis=0))


def test_intervals_hold_the_true_scores_as_often_as_they_say():
    """Rare classes and few errors included: the cases in which a plain bootstrap is too narrow."""
    for n, shares, recalls in (
        (20, (0.5, 0.5), (0.95, 0.95)),
        (100, (0.9, 0.1), (0.99, 0.9)),
        (200, (0.8, 0.2), (0.8, 0.7)),
    ):
        truth = {"accuracy": np.dot(shares, recalls), "balanced_accuracy": np.mean(recalls)}
        held = dict.fromkeys(truth, 0)
        for seed in range(200):
            rng = np.random.default_rng([seed, n])
            codes = rng.choice(2, n, p=shares)
            predicted = np.where(rng.random(n) < np.take(recalls, codes), codes, 1 - codes)
            found = _measure(_sure(predicted, 2), codes, "ab", seed=seed, resamples=200).metrics
            for name, value in truth.items():
                held[name] += found[name].low <= value <= found[name].high
        assert min(held.values()) >= 0.91 * 200, (n, shares, held)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_values_lie_in_their_intervals_within_the_range(seed, n, k):
    rng = np.random.default_rng(seed)
    p = metrics.softmax(rng.normal(size=(n, k)) * rng.uniform(0, 6))
    codes = rng.integers(0, k, n)
    found = _measure(p, codes, [str(i) for i in range(k)], resamples=50).metrics
    for name, metric in found.items():
        assert metric.low <= metric.value <= metric.high, name
        assert metric.low >= 0, name
        assert name == "log_loss" or (metric.high <= 1 and metric.high - metric.low > 0), name


def test_all_right_and_all_wrong_are_not_certain():
    codes = np.arange(20) % 2
    right, wrong = (_measure(_sure(x, 2), codes, "ab").metrics for x in (codes, 1 - codes))
    z = 1.959963984540054
    assert right["accuracy"].low == pytest.approx(20 / (20 + z * z))
    assert wrong["accuracy"].high == pytest.approx(z * z / (20 + z * z))
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert right[name].value == right[name].high == 1
        # equal classes: a balanced accuracy is an accuracy
        assert right[name].low <= right["accuracy"].low + 1e-12
        assert wrong[name].value == wrong[name].low == 0
        assert wrong[name].high >= wrong["accuracy"].high - 1e-12


def test_a_rare_class_makes_balanced_accuracy_less_sure():
    codes = np.repeat([0, 1], [18, 2])
    found = _measure(_sure(codes, 2), codes, "ab").metrics
    effective = 4 / (1 / 18 + 1 / 2)
    assert found["balanced_accuracy"].low == pytest.approx(
        effective / (effective + 1.959964**2), rel=1e-5
    )
    assert found["macro_f1"].low == pytest.approx(found["balanced_accuracy"].low)
    assert found["accuracy"].low > found["balanced_accuracy"].low + 0.1


def test_fewer_errors_never_lower_the_lower_end():
    codes = np.zeros(40, dtype=np.int64)
    lows = []
    for errors in range(10):
        predicted = codes.copy()
        predicted[:errors] = 1
        lows.append(_measure(_sure(predicted, 2), codes, "ab").metrics["accuracy"].low)
    assert lows == sorted(lows, reverse=True)


def test_a_single_row_says_next_to_nothing():
    found = _measure(np.array([[0.9, 0.05, 0.05]]), np.array([0]))
    assert found.metrics["accuracy"].low < 0.25
    assert found.metrics["log_loss"].low == 0
    assert found.metrics["log_loss"].high > 30
    assert found.notes == ("only 1 row was measured: the intervals are rough",)


def test_unseen_labels_are_left_out_and_counted():
    p, codes = _case(60, 3, 1.0)
    some = codes.copy()
    some[:12] = -1
    found = _measure(p, some, notes=("first",), unseen=["oos"] * 12, decision=Decision())
    alone = _measure(p[12:], codes[12:], decision=Decision())
    assert found.metrics == alone.metrics
    assert (found.n, found.set_size) == (48, 3.0)
    assert found.notes == (
        "first",
        "12 rows have labels that the model never saw ('oos'): left out of the scores",
    )
    some[1:12] = codes[1:12]
    assert _measure(p, some).notes == (
        "1 row has a label that the model never saw: left out of the scores",
    )


def test_nothing_to_measure_is_the_callers_error():
    with pytest.raises(DataError, match="no rows"):
        _measure(np.zeros((0, 3)), np.zeros(0, dtype=int))
    with pytest.raises(DataError, match="None of the 2 rows") as caught:
        _measure(_sure([0, 1]), np.array([-1, -1]))
    assert caught.value.fix


@pytest.mark.parametrize(
    ("p", "codes", "message"),
    [
        (np.zeros((2, 2)), np.array([0, 1]), r"floats \(n, 3\), not \(2, 2\)"),
        (np.zeros((2, 3), dtype=int), np.array([0, 1]), "floats"),
        (np.eye(3)[:2], np.array([0]), r"integers \(2,\), not \(1,\)"),
        (np.eye(3)[:2], np.array([0.0, 1.0]), "integers"),
        (np.eye(3)[:2], np.array([0, 3]), r"within -1\.\.2"),
        (np.eye(3)[:2], np.array([0, -2]), r"within -1\.\.2"),
        (np.eye(3)[:2] * 5, np.array([0, 1]), "no probabilities"),
        (np.full((2, 3), np.nan), np.array([0, 1]), "no probabilities"),
    ],
)
def test_wrong_shapes_say_so(p, codes, message):
    with pytest.raises(ValueError, match=message):
        _measure(p, codes)


def test_sets_and_what_is_passed_on():
    p = np.array([[0.6, 0.3, 0.1], [0.5, 0.3, 0.2], [0.9, 0.05, 0.05], [0.1, 0.2, 0.7]])
    rival, skipped = Baseline("majority", None), Skipped("x.jpg", "empty file")
    found = _measure(
        p,
        np.array([1, 2, 0, 2]),
        decision=Decision(set_threshold=0.25),
        baselines=[rival],
        skipped=[skipped],
    )
    assert found.coverage == 0.75
    assert found.set_size == 1.5
    assert found.baselines == (rival,)
    assert found.skipped == (skipped,)


def test_same_generator_same_numbers_and_inputs_untouched():
    p, codes = _case(200, 3, 1.0)
    p.flags.writeable = codes.flags.writeable = False
    one, same, other = _measure(p, codes), _measure(p, codes), _measure(p, codes, seed=1)
    assert one.metrics == same.metrics
    assert one.metrics["log_loss"] != other.metrics["log_loss"]


def test_blocks_do_not_change_the_draws(monkeypatch):
    p, codes = _case(50, 3, 1.0)
    whole = _measure(p, codes, resamples=101)
    monkeypatch.setattr(measuring, "_BLOCK", 170)
    assert _measure(p, codes, resamples=101).metrics == whole.metrics


def test_wilson_equals_its_published_values():
    """Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for correct, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert interval_of_accuracy(correct, n) == pytest.approx((low, high), abs=5e-5)


def test_mcnemar_equals_the_binomial_sum():
    for a in range(12):
        for b in range(12):
            n, few = a + b, min(a, b)
            expected = min(1.0, 2 * sum(math.comb(n, i) for i in range(few + 1)) / 2**n)
            assert mcnemar(a, b) == pytest.approx(expected), (a, b)
    assert mcnemar(30_000, 30_500) == pytest.approx(0.0425, abs=0.001)  # a long sum


def test_paired_finds_a_difference_and_its_noise():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 500)
    a, b = codes.copy(), codes.copy()
    a[:50] = (a[:50] + 1) % 3
    b[:100] = (b[:100] + 1) % 3
    found = paired(codes, a, b, np.random.default_rng(1))
    assert found.difference == pytest.approx(0.1)
    assert 0.06 < found.low < 0.1 < found.high < 0.14
    assert found.p < 1e-9
    swapped = paired(codes, b, a, np.random.default_rng(1))
    assert swapped.difference == pytest.approx(-0.1)
    assert swapped.p == found.p


def test_paired_says_that_equal_models_may_differ():
    codes = np.array([0, 1] * 10 + [-1])
    difference, low, high, p = paired(codes, codes, codes, np.random.default_rng(0))
    assert (difference, p) == (0, 1)
    assert low < -0.1
    assert high > 0.1


def test_paired_checks_its_rows():
    codes = np.array([0, 1])
    with pytest.raises(ValueError, match=r"\(2,\), \(3,\)"):
        paired(codes, np.zeros(3, dtype=int), codes, np.random.default_rng(0))
    with pytest.raises(DataError, match="None of the 2 rows"):
        paired(np.array([-1, -1]), codes, codes, np.random.default_rng(0))


def test_the_intervals_do_not_depend_on_what_else_is_measured():
    p, codes = _case(200, 3, 1.0)
    plain = _measure(p, codes)
    more = _measure(
        p, codes, decision=Decision(), logits=np.log(p), withheld=[""] * 200, leaked=codes == 0
    )
    assert more.metrics == plain.metrics


def test_reliability_and_risk_are_those_of_the_rows_measured():
    p, codes = _case(300, 3, 1.0)
    logits = np.log(p) * 3 + 7  # too sure, before calibration; a constant changes nothing
    some = codes.copy()
    some[:20] = -1
    found, alone = (
        _measure(p, some, logits=logits),
        _measure(p[20:], codes[20:], logits=logits[20:]),
    )
    assert found.reliability == alone.reliability
    assert found.risk == alone.risk
    assert sum(n for _, _, n in found.reliability.bins) == 280
    before = _measure(metrics.softmax(logits), codes).reliability
    assert _measure(p, codes, logits=logits).reliability.before == pytest.approx(before.ece)
    assert before.ece == before.before > found.reliability.ece
    assert found.risk.accuracy[-1] == pytest.approx(found.metrics["accuracy"].value)


def test_what_was_answered_and_what_was_withheld():
    p = _sure([0, 1, 2, 0, 1, 2, 0, 1])
    codes = np.array([0, 1, 2, 0, 2, 1, -1, -1])
    reasons = ["", "", "", "", "", "unsure", "unlike", "unsure"]
    found = _measure(p, codes, withheld=reasons)
    assert found.answered.share.value == pytest.approx(5 / 6)
    assert (found.answered.share.low, found.answered.share.high) == interval_of_accuracy(5, 6)
    assert found.answered.accuracy.value == pytest.approx(4 / 5)
    assert found.answered.reasons == {"unsure": 1}  # rows with unknown labels are not measured
    assert found.metrics["accuracy"].value == pytest.approx(4 / 6)  # the scores count all rows
    nothing = _measure(p, codes, withheld=["unsure"] * 8).answered
    assert (nothing.share.value, nothing.accuracy, nothing.reasons) == (0, None, {"unsure": 6})
    assert _measure(p, codes).answered is None


def test_scores_without_the_rows_that_were_learned_from():
    p, codes = _case(200, 3, 0.5)
    leaked = np.arange(200) < 60
    easy = p.copy()
    easy[leaked] = _sure(codes[leaked])
    found = _measure(easy, codes, leaked=leaked)
    rest = _measure(p[~leaked], codes[~leaked])
    assert found.leaked == 60
    assert set(found.without_leaked) == set(found.metrics)
    for name, metric in found.without_leaked.items():
        assert metric.value == pytest.approx(rest.metrics[name].value)
        assert metric.low <= metric.value <= metric.high
    assert found.metrics["accuracy"].value > found.without_leaked["accuracy"].value
    whole = _measure(p, codes, leaked=np.ones(200, bool))
    assert (whole.leaked, whole.without_leaked) == (200, {})
    assert (_measure(p, codes).leaked, _measure(p, codes).without_leaked) == (None, {})


def test_sets_are_those_of_the_decision(monkeypatch):
    p, codes = _case(50, 3, 1.0)
    everything = np.ones((50, 3), dtype=bool)
    monkeypatch.setattr(measuring, "prediction_sets", lambda probabilities, decision: everything)
    found = _measure(p, codes, decision=Decision())
    assert (found.coverage, found.set_size) == (1.0, 3.0)


@pytest.mark.parametrize("name", ["logits", "withheld", "leaked"])
def test_values_for_other_rows_are_refused(name):
    p, codes = _case(10, 3, 1.0)
    values = {"logits": np.zeros((9, 3)), "withheld": [""] * 9, "leaked": np.zeros(9, bool)}
    with pytest.raises(ValueError, match=f"{name} has 9 rows, not 10"):
        _measure(p, codes, **{name: values[name]})
