"""Withholding answers: the stated precision is kept as often as stated, and no more is withheld than needed."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import ConfigError, DataError
from headstart.evaluation.abstain import GRID, at_most, for_cost, for_precision


def honest(n, rng, low=0.4):
    """Probabilities that are right as often as they say."""
    top = rng.uniform(low, 1, n)
    return top, rng.random(n) < top


def test_the_tail_is_that_of_the_binomial_distribution():
    stats = pytest.importorskip("scipy.stats")
    for n in (1, 7, 60, 900):
        for mistakes in {0, 1, n // 20, n // 2, n - 1, n}:
            for share in (0.001, 0.05, 0.3):
                assert at_most(mistakes, n, share) == pytest.approx(
                    stats.binom.cdf(mistakes, n, share), abs=1e-10
                )


def test_the_precision_is_kept_as_often_as_stated():
    """Fails in at most 5 % of the draws: above t, a share (1 + t) / 2 of such rows is right."""
    missed = answered = failed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        try:
            threshold = for_precision(*honest(1200, rng), 0.9)
        except DataError:
            failed += 1
            continue
        true = (1 + max(threshold, 0.4)) / 2
        missed += true < 0.9
        answered += (1 - threshold) / 0.6
    assert missed <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)
    # 0.8 would be exact: a third of the rows; the margin must not cost most of them
    assert answered / 200 > 0.18
    assert failed <= 20


def test_nothing_is_withheld_where_all_answers_are_good_enough():
    rng = np.random.default_rng(0)
    top = rng.uniform(0.5, 1, 2000)
    right = rng.random(2000) < 0.97
    assert for_precision(top, right, 0.9) == 0.0


def test_one_early_mistake_does_not_end_it():
    """The most certain row is wrong, all others down to 0.5 are right."""
    top = np.linspace(1, 0.5, 3000)
    right = np.arange(3000) > 0
    assert for_precision(top, right, 0.99) <= 0.5


def test_few_rows_reach_it_only_if_all_are_right():
    """0.95 ** n falls below 5 % at 59 rows."""
    top = np.full(59, 0.9)
    assert for_precision(top, np.ones(59, bool), 0.95) == 0.0
    with pytest.raises(DataError, match="58 rows are too few for that, at least 59") as caught:
        for_precision(top[1:], np.ones(58, bool), 0.95)
    assert "lower precision" in caught.value.fix
    with pytest.raises(DataError, match=r"of all 59, 98\.3% are right"):
        for_precision(top, np.arange(59) > 0, 0.95)
    with pytest.raises(DataError, match="0 rows are too few"):
        for_precision(np.empty(0), np.empty(0, bool), 0.95)


def test_a_mistake_that_costs_more_withholds_more():
    assert for_cost(10) == pytest.approx(0.9)
    assert for_cost(0.5) == for_cost(1) == 0.0
    # the expected cost of answering at the threshold is that of withholding
    for cost in (1.5, 4, 30):
        assert (1 - for_cost(cost)) * cost == pytest.approx(1)


@pytest.mark.parametrize("precision", [0.0, 1.0, -2.0, float("nan")])
def test_what_is_no_precision(precision):
    with pytest.raises(ConfigError, match="at_precision"):
        for_precision(np.ones(9), np.ones(9, bool), precision)


@pytest.mark.parametrize("cost", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_cost(cost):
    with pytest.raises(ConfigError, match="at_cost"):
        for_cost(cost)


def test_the_grid_goes_from_strict_to_lenient():
    assert list(GRID) == sorted(set(GRID), reverse=True)
    assert (GRID[0], GRID[-1]) == (0.9999, 0.0)
