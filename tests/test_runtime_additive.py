"""What parts add: exact Shapley values against their definition, drawn trials against known games."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.runtime import additive
from headstart.runtime.additive import Parts


def by_definition(value, n):
    """Shapley 1953: the mean of what a part adds over all orders; slow."""
    added = np.zeros(n)
    orders = list(itertools.permutations(range(n)))
    for order in orders:
        kept = np.zeros(n, bool)
        before = value(kept)
        for part in order:
            kept[part] = True
            after = value(kept)
            added[part] += after - before
            before = after
    return added / len(orders)


def game(n, seed, mixed=1.0):
    """Additive parts plus pairs that count together."""
    rng = np.random.default_rng(seed)
    alone, pairs = rng.normal(size=n), np.triu(rng.normal(size=(n, n)), 1) * mixed

    def ask(kept):
        on = kept.astype(float)
        return 0.3 + on @ alone + np.einsum("pi,ij,pj->p", on, pairs, on)

    return ask


def line(n):
    return Parts(np.arange(n, dtype=float)[:, None])


@pytest.mark.parametrize("n", [1, 2, 4, 5])
def test_shapley_values_are_those_of_the_definition(n):
    ask = game(n, seed=n)
    expected = by_definition(lambda kept: float(ask(kept[None])[0]), n)
    np.testing.assert_allclose(additive.shapley(ask(additive.subsets(n))), expected, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_shapley_values_add_up_and_a_part_that_does_nothing_gets_nothing(n, seed):
    ask = game(n, seed)

    def deaf(kept):  # to the last part
        return ask(kept & (np.arange(n) < n - 1))

    weights = additive.shapley(deaf(additive.subsets(n)))
    ends = deaf(np.array([[False] * n, [True] * n]))
    assert weights.sum() == pytest.approx(ends[1] - ends[0], abs=1e-9)
    assert weights[-1] == pytest.approx(0, abs=1e-12)


def test_few_parts_are_tried_in_every_combination():
    asked = []

    def ask(kept):
        asked.append(kept)
        return game(5, 1)(kept)

    found = additive.account(ask, line(5), 40, np.random.default_rng(0))
    assert found.fidelity == 1.0
    assert len(np.unique(np.vstack(asked), axis=0)) == 32
    expected = by_definition(lambda kept: float(game(5, 1)(kept[None])[0]), 5)
    np.testing.assert_allclose(found.weights, expected, atol=1e-12)


@pytest.mark.parametrize(("n", "budget"), [(12, 100), (40, 200), (64, 300)])
def test_what_only_adds_is_found_exactly(n, budget):
    ask = game(n, 3, mixed=0)
    found = additive.account(ask, line(n), budget, np.random.default_rng(0))
    expected = ask(np.eye(n, dtype=bool)) - 0.3
    np.testing.assert_allclose(found.weights, expected, atol=0.02)
    assert found.fidelity > 0.999


@pytest.mark.parametrize("seed", range(4))
def test_drawn_trials_come_near_the_shapley_values(seed):
    n, ask = 10, game(10, seed, mixed=0.3)
    expected = additive.shapley(ask(additive.subsets(n)))
    found = additive.account(ask, line(n), 200, np.random.default_rng(seed))
    assert np.corrcoef(found.weights, expected)[0, 1] > 0.97


def test_many_parts_are_tried_in_groups_and_then_the_heavy_ones_alone():
    n, trials = 120, []
    truth = np.zeros(n)
    truth[40:44] = 2.0

    def ask(kept):
        trials.append(kept)
        return kept @ truth

    groups = tuple((np.arange(n) + start) // 4 for start in range(4))
    parts = Parts(np.arange(n, dtype=float)[:, None], groups)
    found = additive.account(ask, parts, 150, np.random.default_rng(0))
    assert sum(map(len, trials)) <= 150
    assert set(np.argsort(-found.weights)[:4]) == {40, 41, 42, 43}
    away = ~np.vstack(trials[1:])
    assert 2 <= away.any(axis=0).sum() <= n // 3
    assert away[:, 40:44].any()


def test_noise_is_not_taken_for_an_account():
    rng = np.random.default_rng(5)
    found = additive.account(
        lambda kept: rng.normal(size=len(kept)), line(40), 150, np.random.default_rng(0)
    )
    assert found.fidelity < 0.2


def test_an_answer_that_never_changes_has_no_weights():
    found = additive.account(
        lambda kept: np.full(len(kept), 1.7), line(30), 100, np.random.default_rng(0)
    )
    assert not found.weights.any()


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 30), st.integers(0, 60), st.integers(0, 1000), st.booleans())
def test_trials_come_in_complementary_pairs(n, count, seed, bounded):
    rng = np.random.default_rng(seed)
    region = None
    if bounded:
        region = np.zeros(n, bool)
        region[rng.permutation(n)[: max(2, n // 3)]] = True
    drawn = additive.draw([np.arange(n), np.arange(n) // 2], count, rng, region)
    assert drawn.shape == (count, n)
    inside = np.ones(n, bool) if region is None else region
    for one, other in zip(drawn[::2], drawn[1::2]):
        assert (one[inside] == ~other[inside]).all()
        assert one[~inside].all()
        assert other[~inside].all()


def test_the_left_out_trials_are_really_left_out():
    """The closed form against fitting again and again without one trial."""
    rng = np.random.default_rng(0)
    kept = rng.random((30, 6)) < 0.5
    values = kept @ rng.normal(size=6) + rng.normal(0, 0.5, 30)
    found = additive.solve(kept, values, np.arange(6.0)[:, None])
    best = np.inf
    for root in additive._roots(np.arange(6.0)[:, None]):
        trials = kept - kept.mean(axis=0)
        scale = (np.linalg.svd(trials @ root)[1] ** 2).mean()
        for noise in additive._NOISE * scale:
            error = 0.0
            for i in range(30):
                rest = np.arange(30) != i
                a, y = kept[rest] @ root, values[rest]
                x, z = a - a.mean(axis=0), y - y.mean()
                w = np.linalg.solve(x.T @ x + noise * np.eye(6), x.T @ z)
                guess = y.mean() + (kept[i] @ root - a.mean(axis=0)) @ w
                error += (values[i] - guess) ** 2
            best = min(best, error)
    total = sum((values[i] - np.delete(values, i).mean()) ** 2 for i in range(30))
    assert found.fidelity == pytest.approx(1 - best / total, rel=0.02)
