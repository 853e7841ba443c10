"""Several splits: the corrected interval, and that every split counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.errors import ConfigError
from headstart.evaluation.repeats import mean_interval, repeats, t_point
from headstart.methods import probe
from headstart.types import Candidate, Head, Roles, Table


def table(codes, **more) -> Table:
    n = len(codes)
    return Table(
        inputs=tuple(f"text {i}" for i in range(n)),
        targets=tuple("abc"[code] for code in codes),
        names=tuple(f"r.csv:{i + 2}" for i in range(n)),
        modality="text",
        roles=Roles("text", "label"),
        source="r.csv",
        **more,
    )


def case(n=150, noise=1.6, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    return codes, (np.eye(3, 8)[codes] * 2 + rng.normal(size=(n, 8)) * noise).astype(np.float32)


def probed(features, codes, folds, k):
    return probe.fit(features, codes, folds, k, probe.Config(penalty=0.01))


def test_points_of_the_t_distribution():
    stats = pytest.importorskip("scipy.stats")
    for df in range(1, 200):
        assert t_point(df) == pytest.approx(stats.t.ppf(0.975, df), abs=4e-4), df


def test_the_interval_is_that_of_nadeau_and_bengio():
    values = [0.81, 0.84, 0.79, 0.86, 0.80]
    found = mean_interval(values, 0.25)
    s2 = sum((v - 0.82) ** 2 for v in values) / 4
    arm = 2.7764 * ((1 / 5 + 0.25) * s2) ** 0.5
    assert found.value == pytest.approx(0.82)
    assert (found.low, found.high) == pytest.approx((0.82 - arm, 0.82 + arm), abs=1e-6)
    assert mean_interval([0.99, 1.0], 0.25).high == 1
    assert mean_interval([1.0, 2.0], 0.25, "log_loss").high > 1
    assert mean_interval([0.0, 0.1], 0.25).low == 0


def test_each_value_is_that_of_its_own_split():
    codes, features = case()
    data = table(codes)
    found = repeats(data, features, None, 3, probed, range(4), 0.2)
    assert found.n == 4
    assert set(found.metrics) == {"accuracy", "balanced_accuracy", "macro_f1", "log_loss"}
    for name, values in found.values.items():
        assert len(values) == 4
        metric = found.metrics[name]
        assert metric.value == pytest.approx(np.mean(values))
        assert metric.low < metric.value < metric.high
    assert len(set(found.values["log_loss"])) == 4
    again = repeats(data, features, None, 3, probed, [2, 3], 0.2)
    assert again.values["log_loss"] == found.values["log_loss"][2:]


def test_a_wider_interval_than_that_of_independent_scores():
    values = np.random.default_rng(0).normal(0.8, 0.02, 10)
    found = mean_interval(values.tolist(), 0.25)
    naive = t_point(9) * values.std(ddof=1) / 10**0.5
    assert (found.high - found.low) / 2 == pytest.approx(naive * (1 + 10 * 0.25) ** 0.5)


def test_groups_are_kept_together_and_the_test_rows_unseen():
    codes, features = case()
    groups = np.arange(len(codes)) // 6
    seen = []

    def spy(x, y, folds, k):
        seen.append({float(row[0]) for row in x})
        head = Head(np.zeros((8, k), np.float32), np.zeros(k, np.float32))
        return Candidate("spy", head, np.zeros((len(y), k), np.float32), {}, 0.0)

    found = repeats(table(codes), features, groups, 3, spy, range(3), 0.2)
    group_of = {float(row[0]): int(group) for row, group in zip(features, groups)}
    for rows in seen:
        learned = {group_of[row] for row in rows}
        assert sum(g in learned for g in groups.tolist()) == len(rows) < len(codes)
    assert found.values["accuracy"] == pytest.approx([1 / 3] * 3)


def test_a_split_of_the_data_is_drawn_anew():
    codes, features = case()
    parts = ("train",) * 120 + ("test",) * 30
    found = repeats(table(codes, split=parts), features, None, 3, probed, range(2))
    assert found.values == repeats(table(codes), features, None, 3, probed, range(2)).values


def test_what_cannot_be_repeated():
    codes, features = case()
    data = table(codes)
    for seeds in ([1], [], [1, 1]):
        with pytest.raises(ConfigError, match="nothing to compare"):
            repeats(data, features, None, 3, probed, seeds)
    timed = replace(data, times=tuple(str(i) for i in range(len(codes))))
    with pytest.raises(ConfigError, match="--time forbids"):
        repeats(timed, features, None, 3, probed, range(2))
    with pytest.raises(ValueError, match="4 classes"):
        repeats(data, features, None, 4, probed, range(2))
