"""The solver against scikit-learn's, which minimises the same objective by other means."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.solver import logits, solve
from headstart.solver_rows import rotate, unrotate

sklearn_linear = pytest.importorskip("sklearn.linear_model")


def objective(x, codes, weights, weight, bias, penalty):
    logits = x @ weight + bias
    logits = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(x)), codes]
    return float(weights @ losses + 0.5 * penalty * np.square(weight).sum())


def reference(x, codes, weights, penalty):
    """scikit-learn minimises C * sum(w_i loss_i) + 1/2 ||W||^2."""
    model = sklearn_linear.LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=20_000)
    model.fit(x, codes, sample_weight=weights)
    if len(model.classes_) == 2:  # its binary model has one column: the symmetric two-column form
        return np.concatenate([-model.coef_, model.coef_]).T / 2, np.array(
            [-1, 1]
        ) * model.intercept_ / 2
    return model.coef_.T, model.intercept_


@pytest.mark.parametrize(("n", "d", "k"), [(200, 10, 3), (60, 100, 4), (300, 30, 2), (400, 20, 12)])
@pytest.mark.parametrize("penalty", [1.0, 1e-2, 1e-4])
def test_reaches_the_minimum(n, d, k, penalty):
    rng = np.random.default_rng(n + d)
    codes = np.arange(n) % k
    features = (
        rng.normal(size=(n, d)) * rng.gamma(2, 1, d) + rng.normal(size=(k, d))[codes]
    ).astype("f4")
    weights = rng.uniform(0.5, 2, n)
    weights /= weights.sum()
    rotated = rotate(features)
    found = solve(rotated, codes, weights[None], k, penalty, tolerance=1e-6, max_steps=1000)
    x = (features - rotated.mean) / rotated.scale
    weight, bias = unrotate(rotated, found.weight[0], found.bias[0])
    standard = weight * rotated.scale[:, None]
    mine = objective(x, codes, weights, standard, bias + rotated.mean @ weight, penalty)
    if k == 2:  # with two columns the penalty counts each half: the same optimum at half the weight
        theirs = objective(x, codes, weights, *reference(x, codes, weights, penalty / 2), penalty)
    else:
        theirs = objective(x, codes, weights, *reference(x, codes, weights, penalty), penalty)
    assert mine == pytest.approx(theirs, rel=2e-4, abs=2e-6)


def test_lockstep_equals_one_by_one():
    rng = np.random.default_rng(3)
    codes = np.arange(150) % 5
    rotated = rotate((rng.normal(size=(150, 40)) + rng.normal(size=(5, 40))[codes]).astype("f4"))
    weights = rng.uniform(0, 1, (4, 150))
    weights[2, :50] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    together = solve(rotated, codes, weights, 5, 0.05, tolerance=1e-5)
    for i in range(4):
        alone = solve(rotated, codes, weights[i : i + 1], 5, 0.05, tolerance=1e-5)
        np.testing.assert_allclose(together.weight[i], alone.weight[0], atol=2e-3)
        assert together.loss[i] == pytest.approx(alone.loss[0], rel=1e-5)


def test_warm_start_reaches_the_same_point():
    rng = np.random.default_rng(4)
    codes = np.arange(200) % 3
    rotated = rotate((rng.normal(size=(200, 20)) + rng.normal(size=(3, 20))[codes]).astype("f4"))
    weights = np.full((1, 200), 1 / 200)
    strong = solve(rotated, codes, weights, 3, 1.0)
    warm = solve(rotated, codes, weights, 3, 0.1, start=strong, tolerance=1e-6)
    cold = solve(rotated, codes, weights, 3, 0.1, tolerance=1e-6)
    assert warm.loss[0] == pytest.approx(cold.loss[0], rel=1e-5)
    np.testing.assert_allclose(warm.weight, cold.weight, atol=5e-3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 40), d=st.integers(1, 50))
def test_unrotated_weights_give_the_same_logits(seed, n, d):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, d)).astype("f4") * 10 ** rng.uniform(-2, 2)
    features[:, 0] = 3.25  # a constant feature must not blow up
    codes = np.arange(n) % 2
    rotated = rotate(features)
    found = solve(rotated, codes, np.full((1, n), 1 / n), 2, 0.1)
    weight, bias = unrotate(rotated, found.weight[0], found.bias[0])
    assert np.isfinite(weight).all()
    np.testing.assert_allclose(
        features @ weight + bias, logits(rotated, found.weight[0], found.bias[0]), atol=2e-3
    )


def test_identical_features_learn_the_shares():
    codes = np.array([0, 0, 0, 1])
    rotated = rotate(np.ones((4, 8), "f4"))
    found = solve(rotated, codes, np.full((1, 4), 0.25), 2, 0.1, tolerance=1e-6)
    odds = found.bias[0, 0] - found.bias[0, 1]
    assert odds == pytest.approx(np.log(3), abs=1e-3)
