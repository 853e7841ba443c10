"""What every method promises, run over the whole table of methods."""

import numpy as np
import pytest

from headstart.methods import METHODS


@pytest.fixture(params=METHODS.names())
def method(request):
    return METHODS.get(request.param)


def problem(n, d, k, seed=0, spread=3.0, shares=None):
    rng = np.random.default_rng(seed)
    codes = rng.choice(k, n, p=shares) if shares else np.arange(n) % k
    centres = rng.normal(size=(k, d)) * spread / np.sqrt(d)
    features = (centres[codes] * 2 + rng.normal(size=(n, d))).astype("f4")
    folds = np.zeros(n, np.int64)
    for c in range(k):
        rows = np.flatnonzero(codes == c)
        folds[rows] = np.arange(len(rows)) % 5 if len(rows) > 1 else -1
    return features, codes.astype(np.int64), folds


def test_learns_and_keeps_shapes(method):
    features, codes, folds = problem(300, 24, 4)
    before = features.copy(), codes.copy(), folds.copy()
    made = method(features, codes, folds, 4, None)
    assert made.head.weight.shape == (24, 4)
    assert made.head.bias.shape == (4,)
    assert made.held_out.shape == (300, 4)
    logits = features @ made.head.weight + made.head.bias
    assert (logits.argmax(1) == codes).mean() > 0.9
    assert (made.held_out.argmax(1) == codes).mean() > 0.8
    for was, now in zip(before, (features, codes, folds)):
        assert np.array_equal(was, now)
    assert made.chosen["by"]
    assert made.seconds >= 0


def test_the_same_again_gives_the_same_bytes(method):
    features, codes, folds = problem(120, 30, 3)
    one, two = (method(features, codes, folds, 3, None) for _ in range(2))
    assert one.head.weight.tobytes() == two.head.weight.tobytes()
    assert one.held_out.tobytes() == two.held_out.tobytes()


def test_held_out_logits_are_honest(method):
    """On pure noise nothing can be known: out-of-fold accuracy has to stay at chance."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(400, 200)).astype("f4")
    codes = np.arange(400) % 2
    made = method(features, codes, (np.arange(400) // 2) % 5, 2, None)
    held = np.isfinite(made.held_out[:, 0])
    assert abs((made.held_out[held].argmax(1) == codes[held]).mean() - 0.5) < 0.11


def test_rows_that_are_never_held_out_have_no_held_out_logits(method):
    features, codes, folds = problem(50, 8, 5)
    folds[codes == 4] = -1
    made = method(features, codes, folds, 5, None)
    assert np.isnan(made.held_out[codes == 4]).all()
    assert np.isfinite(made.held_out[codes != 4]).all()


@pytest.mark.parametrize(("n", "k"), [(2, 2), (6, 6), (400, 200), (8, 2)])
def test_very_little_data(method, n, k):
    rng = np.random.default_rng(1)
    codes = np.arange(n) % k
    features = (rng.normal(size=(k, 16))[codes] + 0.1 * rng.normal(size=(n, 16))).astype("f4")
    folds = np.full(n, -1) if n == k else np.arange(n) // k % 2
    made = method(features, codes, folds, k, None)
    logits = features @ made.head.weight + made.head.bias
    assert np.isfinite(logits).all()
    assert (logits.argmax(1) == codes).mean() > 0.9


def test_constant_and_huge_features(method):
    features, codes, folds = problem(60, 6, 2)
    features[:, 0] = 7.0
    features[:, 1] *= 1e6
    made = method(features, codes, folds, 2, None)
    assert np.isfinite(made.head.weight).all()
    assert ((features @ made.head.weight + made.head.bias).argmax(1) == codes).mean() > 0.8
