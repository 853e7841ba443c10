"""Metrics against scikit-learn, and against slow loops where it has none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart import metrics


def _frozen(*arrays):
    for array in arrays:
        array.flags.writeable = False
    return arrays


def _random_case(seed):
    """Few or many rows and classes; some classes without truth, some without predictions."""
    rng = np.random.default_rng(seed)
    k, n = int(rng.integers(2, 12)), int(rng.integers(1, 60))
    z = rng.normal(size=(n, k)) * rng.uniform(0.1, 5)
    z[:, rng.random(k) < 0.2] -= 8
    codes = rng.choice(rng.integers(0, k, size=int(rng.integers(1, k + 1))), n)
    return metrics.softmax(z), codes.astype(np.int64), k


def test_random_cases_equal_scikit_learn():
    sk = pytest.importorskip("sklearn.metrics")
    for seed in range(100):
        p, codes, k = _random_case(seed)
        predicted = p.argmax(axis=1)
        counts = metrics.confusion(codes, predicted, k)
        classes = np.arange(k)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # classes without truth
            expected = {
                "confusion": sk.confusion_matrix(codes, predicted, labels=classes),
                "accuracy": sk.accuracy_score(codes, predicted),
                "balanced": sk.balanced_accuracy_score(codes, predicted),
                "f1": sk.f1_score(codes, predicted, average="macro", zero_division=0),
                "loss": sk.log_loss(codes, p, labels=classes),
                "brier": np.mean(np.sum((p - np.eye(k)[codes]) ** 2, axis=1)),
                "per_class": sk.precision_recall_fscore_support(
                    codes, predicted, labels=classes, zero_division=0
                )[:3],
            }
        found = {
            "confusion": counts,
            "accuracy": metrics.accuracy(counts),
            "balanced": metrics.balanced_accuracy(counts),
            "f1": metrics.macro_f1(counts),
            "loss": metrics.log_loss(p, codes),
            "brier": metrics.brier(p, codes),
            "per_class": metrics.precision_recall_f1(counts),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=1e-9, err_msg=f"{name}, {seed}")


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_a_stack_and_its_tallies_score_as_each_matrix(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 7))
    stack = rng.integers(0, 4, size=(5, k, k)) * (rng.random((5, k, k)) < 0.5)
    for score in (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1):
        one_by_one = [float(score(matrix)) for matrix in stack]
        np.testing.assert_allclose(score(stack), one_by_one, atol=1e-12)
        np.testing.assert_allclose(score(metrics.tally(stack)), one_by_one, atol=1e-12)


def test_an_empty_matrix_scores_zero_and_not_nan():
    empty = np.zeros((3, 3), dtype=np.int64)
    assert (
        metrics.accuracy(empty) == metrics.balanced_accuracy(empty) == metrics.macro_f1(empty) == 0
    )


def test_confusion_has_the_truth_in_rows():
    counts = metrics.confusion(np.array([0, 0, 1]), np.array([2, 0, 1]), 3)
    assert counts.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert counts.dtype == np.int64


def test_softmax_does_not_overflow_and_ignores_a_shift():
    p = metrics.softmax(np.array([[1e4, 0.0], [-1e4, -1e4]], dtype=np.float32))
    np.testing.assert_allclose(p, [[1, 0], [0.5, 0.5]])
    assert p.dtype == np.float64
    z = np.random.default_rng(0).normal(size=(20, 5))
    np.testing.assert_allclose(metrics.softmax(z), metrics.softmax(z + 100), atol=1e-12)


def test_an_impossible_truth_costs_the_clipped_loss():
    p = np.array([[1.0, 0.0], [0.5, 0.5]])
    expected = (-np.log(1e-15) + np.log(2)) / 2
    assert metrics.log_loss(p, np.array([1, 0])) == pytest.approx(expected)
    assert metrics.row_losses(p, np.array([0, 0])) == pytest.approx([0, np.log(2)])


def test_ece_equals_the_sum_over_bins():
    for seed in range(50):
        p, codes, _ = _random_case(seed)
        top, total = p.argmax(axis=1), 0.0
        for m in range(1, 16):
            inside = [i for i in range(len(p)) if (m - 1) / 15 < p[i, top[i]] <= m / 15]
            if inside:
                right = np.mean([top[i] == codes[i] for i in inside])
                total += len(inside) / len(p) * abs(right - np.mean([p[i, top[i]] for i in inside]))
        assert metrics.ece(p, codes) == pytest.approx(total, abs=1e-12)


def test_ece_of_a_sure_model_is_its_share_of_errors():
    p = np.eye(2)[[0, 0, 0, 0]]
    assert metrics.ece(p, np.array([0, 0, 0, 1])) == pytest.approx(0.25)


def test_ece_counts_an_edge_to_the_lower_bin():
    p, codes = np.array([[0.5, 0.5], [0.75, 0.25]]), np.array([0, 1])
    assert metrics.ece(p, codes, bins=2) == pytest.approx((0.5 + 0.75) / 2)
    assert metrics.ece(p, codes, bins=1) == pytest.approx(0.25 / 2)


def test_prediction_sets_hold_what_reaches_the_threshold_and_the_top_label():
    p = np.array([[0.6, 0.3, 0.1], [0.4, 0.3, 0.3], [0.5, 0.5, 0.0]])
    assert metrics.prediction_set(p, 0.3).tolist() == [
        [True, True, False],
        [True, True, True],
        [True, True, False],
    ]
    assert metrics.prediction_set(p, 0.9).tolist() == [[True, False, False]] * 3
    assert metrics.prediction_set(p, 0.0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_temperature_equals_a_brute_force_grid(dtype):
    for seed in range(6):
        rng = np.random.default_rng(seed)
        k, n = int(rng.integers(2, 8)), int(rng.integers(30, 200))
        truth_logits = rng.normal(size=(n, k)) * 2
        codes = (truth_logits + rng.gumbel(size=(n, k))).argmax(axis=1)
        logits = (truth_logits * np.exp(rng.uniform(-2, 2))).astype(dtype)
        found, loss = metrics.temperature(logits, codes)
        grid = np.exp(np.arange(np.log(0.05), np.log(20), 1e-3))
        z = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
        losses = [
            float(np.mean(np.log(np.exp(z / t).sum(axis=1)) - z[np.arange(n), codes] / t))
            for t in grid
        ]
        assert found == pytest.approx(grid[int(np.argmin(losses))], rel=1e-3)
        assert loss == pytest.approx(min(losses), abs=1e-5)


def test_temperature_stays_within_its_bounds():
    right, wrong = np.eye(3)[[0, 1, 2]] * 4, np.eye(3)[[1, 2, 0]] * 4
    codes = np.arange(3)
    assert metrics.temperature(right, codes)[0] == pytest.approx(0.05)
    assert metrics.temperature(wrong, codes)[0] == pytest.approx(20)
    assert metrics.temperature(np.zeros((3, 3)), codes)[1] == pytest.approx(np.log(3))


def test_temperature_in_blocks_equals_in_one_piece(monkeypatch):
    rng = np.random.default_rng(3)
    z, codes = rng.normal(size=(197, 4)), rng.integers(0, 4, 197)
    z[np.arange(197), codes] += 1
    whole = metrics.temperature(z, codes)
    monkeypatch.setattr(metrics, "_BLOCK", 28)
    assert metrics.temperature(z, codes) == pytest.approx(whole, rel=1e-9)


def test_inputs_stay_as_they_are():
    rng = np.random.default_rng(0)
    z, codes = _frozen(rng.normal(size=(40, 4)), rng.integers(0, 4, 40))
    (p,) = _frozen(metrics.softmax(z))
    counts = metrics.confusion(codes, p.argmax(axis=1), 4)
    _frozen(counts)
    for score in (
        metrics.accuracy,
        metrics.balanced_accuracy,
        metrics.macro_f1,
        metrics.precision_recall_f1,
    ):
        score(counts)
    for score in (metrics.log_loss, metrics.brier, metrics.ece, metrics.temperature):
        score(p, codes)
    metrics.prediction_set(p, 0.2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: metrics.confusion(np.array([0.0, 1.0]), np.array([0, 1]), 2),
            "codes has to be .*int",
        ),
        (
            lambda: metrics.confusion(np.array([0, 2]), np.array([0, 1]), 2),
            r"codes .*within 0\.\.1",
        ),
        (lambda: metrics.confusion(np.array([0]), np.array([-1]), 2), r"predicted .*within 0\.\.1"),
        (
            lambda: metrics.confusion(np.array([0]), np.array([0, 1]), 2),
            "codes has 1 rows, predicted 2",
        ),
        (lambda: metrics.accuracy(np.zeros((2, 3))), r"\(2, 3\)"),
        (lambda: metrics.softmax(np.zeros(3)), r"logits has to be \(n, k\)"),
        (lambda: metrics.log_loss(np.zeros((0, 2)), np.zeros(0, dtype=int)), "no rows"),
        (lambda: metrics.log_loss(np.ones((2, 2)), np.zeros(3, dtype=int)), "has 2 rows, codes 3"),
        (lambda: metrics.ece(np.ones((1, 1)), np.zeros(1, dtype=int), bins=0), "bins is 0"),
        (
            lambda: metrics.temperature(np.full((1, 2), np.nan), np.zeros(1, dtype=int)),
            "not finite",
        ),
    ],
)
def test_wrong_shapes_say_so(call, message):
    with pytest.raises(ValueError, match=message):
        call()
