"""Rows that are streamed from where they lie give what rows in memory give."""

import tracemalloc

import numpy as np
import pytest

from headstart import solver
from headstart.methods import probe
from headstart.solver import logits, solve
from headstart.solver_rows import Rotated, Streamed, rerotate, rotate, unrotate


def data(n, d, k, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(n) % k)
    centres = rng.normal(size=(k, d)) * 0.5
    spread = rng.gamma(2, 1, d)
    mixed = (centres[codes] + rng.normal(size=(n, d))) * spread + 30 * rng.normal(size=d)
    return mixed.astype("f4"), codes


def objective(x, codes, weight, bias, penalty):
    z = x @ weight + bias
    z = z - z.max(axis=1, keepdims=True)
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(x)), codes]
    return float(losses.mean() + 0.5 * penalty * np.square(weight).sum())


def solved(features, codes, k, penalty, in_memory):
    rows = rotate(features, in_memory)
    weights = np.full((1, len(codes)), 1 / len(codes))
    found = solve(rows, codes, weights, k, penalty, tolerance=1e-7, max_steps=500)
    return rows, found


@pytest.mark.parametrize("penalty", [1.0, 1e-3])
def test_streamed_rows_reach_the_minimum_of_scikit_learn(penalty):
    linear = pytest.importorskip("sklearn.linear_model")
    features, codes = data(3000, 12, 4)
    rows, found = solved(features, codes, 4, penalty, in_memory=0)
    assert isinstance(rows, Streamed)
    mean, scale = features.mean(axis=0, dtype="f8"), features.std(axis=0, dtype="f8")
    x = (features - mean) / scale
    weight, bias = unrotate(rows, found.weight[0], found.bias[0])
    mine = objective(x, codes, weight * scale[:, None], bias + mean @ weight, penalty)
    model = linear.LogisticRegression(C=1 / penalty / len(x), tol=1e-10, max_iter=20_000)
    model.fit(x, codes)
    theirs = objective(x, codes, model.coef_.T, model.intercept_, penalty)
    assert mine == pytest.approx(theirs, rel=1e-4)


def test_streamed_rows_give_the_head_of_rows_in_memory():
    features, codes = data(5000, 20, 6)
    heads = []
    for in_memory in (0, 2**30):
        rows, found = solved(features, codes, 6, 0.01, in_memory)
        heads.append(unrotate(rows, found.weight[0], found.bias[0]))
        plain = features @ heads[-1][0] + heads[-1][1]
        np.testing.assert_allclose(
            logits(rows, found.weight[0], found.bias[0]), plain, atol=2e-3, rtol=1e-3
        )
    (weight, bias), (other, other_bias) = heads
    np.testing.assert_allclose(
        features @ weight + bias, features @ other + other_bias, atol=0.05, rtol=0.01
    )


def test_moments_are_those_of_numpy():
    features, _ = data(4999, 7, 2)
    features[:, 3] = 12.5  # constant: the scale is 1
    rows = rotate(features, in_memory=0)
    np.testing.assert_allclose(rows.mean, features.mean(axis=0, dtype="f8"), rtol=1e-6)
    expected = features.std(axis=0, dtype="f8")
    expected[3] = 1
    np.testing.assert_allclose(rows.scale, expected, rtol=1e-6)


@pytest.mark.parametrize("in_memory", [0, 4000, 2**30])
def test_some_rows_are_those_rows(in_memory):
    features, _ = data(300, 5, 2)
    rows = rotate(features, in_memory)
    index = np.arange(7, 290, 3)
    twice = rows.take(index).take(np.array([5, 1, 20]))
    assert isinstance(rows.take(np.arange(10)), Rotated if in_memory else Streamed)
    x = (features - rows.mean) / rows.scale
    wanted = x[index[[5, 1, 20]]] @ rows.basis
    np.testing.assert_allclose(twice.few(np.arange(3)), wanted, atol=1e-4)
    assert len(twice) == 3


@pytest.mark.parametrize("in_memory", [0, 2**30])
def test_a_head_and_back(in_memory):
    features, codes = data(400, 9, 3)
    rows, found = solved(features, codes, 3, 0.1, in_memory)
    head = unrotate(rows, found.weight[0], found.bias[0])
    weight, bias = rerotate(rows, *head)
    np.testing.assert_allclose(weight, found.weight[0], atol=1e-4)
    np.testing.assert_allclose(bias, found.bias[0], atol=1e-4)


@pytest.mark.parametrize("in_memory", [0, 2**30])
def test_the_number_of_threads_changes_no_byte(monkeypatch, in_memory):
    features, codes = data(40_000, 8, 10)
    made = []
    for count in (1, 3, 3):
        monkeypatch.setattr(solver, "threads", lambda count=count: count)
        rows, found = solved(features, codes, 10, 0.01, in_memory)
        made.append((found.weight.tobytes(), found.bias.tobytes()))
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_a_mapped_file_is_read_and_left_as_it_was(tmp_path, mode):
    features, codes = data(5000, 10, 4)
    path = tmp_path / "features.npy"
    np.save(path, features)
    before = path.read_bytes()
    mapped = np.load(path, mmap_mode=mode)
    if mode == "c":
        mapped[0] += 1  # a private change is in memory only: giving pages back would lose it
    held = np.array(mapped)
    folds = np.arange(5000) % 5
    streamed = probe.fit(mapped, codes, folds, 4, in_memory=0)
    assert path.read_bytes() == before
    assert np.array_equal(mapped, held)
    inside = probe.fit(features, codes, folds, 4)
    same = (features @ streamed.head.weight + streamed.head.bias).argmax(1) == (
        features @ inside.head.weight + inside.head.bias
    ).argmax(1)
    assert same.mean() > 0.99


def test_streaming_never_holds_the_features_in_memory(tmp_path):
    n, d = 60_000, 64
    path = tmp_path / "features.npy"
    np.save(path, np.random.default_rng(0).standard_normal((n, d), dtype=np.float32))
    mapped = np.load(path, mmap_mode="r")
    codes = np.random.default_rng(1).permutation(np.arange(n) % 3)
    tracemalloc.start()
    probe.fit(mapped, codes, np.arange(n) % 5, 3, in_memory=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.8 * mapped.nbytes
