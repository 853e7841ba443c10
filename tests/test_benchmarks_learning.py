"""The arithmetic behind the table on learning curves; nothing is measured here."""

from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import learning

    return learning


def run(name, value, low, high, measured, noise=0.0):
    gain = {"value": value, "low": low, "high": high}
    return {"name": name, "n": 100, "more": 100, "gain": gain, "measured": measured, "noise": noise,
            "seconds": 1.0, "fit_seconds": 2.0}  # fmt: skip


def test_each_data_set_weighs_the_same(bench):
    results = [
        run("a", 0.02, 0.01, 0.03, 0.03),
        run("a", 0.02, 0.01, 0.03, 0.05),
        run("b", 0.00, -0.01, 0.01, 0.02, noise=0.02),
    ]
    a, b, both = bench.summary(results)
    assert (a["error"], a["no_change"], a["covered"]) == pytest.approx((0.02, 0.04, 0.5))
    assert (b["covered"], b["covered_with_noise"]) == (0, 1)
    assert both["error"] == pytest.approx((0.02 + 0.02) / 2)
    assert both["covered"] == pytest.approx(0.25)
    assert both["runs"] == 3
    assert "| all, equally |" in bench.table([a, b, both])


def test_every_beginning_holds_the_classes_by_their_shares(bench):
    codes = np.repeat([0, 1], [300, 100])
    order = bench._shuffled(codes, np.arange(400), np.random.default_rng(0))
    assert sorted(order) == list(range(400))
    for size in (40, 100, 200):
        assert abs(np.sum(codes[order[:size]] == 1) - size / 4) <= 1.5
