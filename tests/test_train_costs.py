"""What a method would cost: from a few rows, by a clock that the test turns."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from headstart.train import costs  # noqa: E402
from headstart.train.costs import Cost  # noqa: E402

pytestmark = pytest.mark.train


@dataclass
class Source:
    lengths: np.ndarray | None

    def batch(self, rows, epoch, step, *, train):
        return (torch.ones(len(rows), 3),), torch.zeros(len(rows), dtype=torch.int64)


@dataclass
class Ready:
    source: Source
    module: torch.nn.Module


@pytest.mark.parametrize(
    ("lengths", "share"), [(None, 1.0), ([8, 8, 8, 8], 1.0), ([2, 2, 2, 10], 0.4)]
)
def test_padding_of_the_sample_does_not_count(monkeypatch, lengths, share):
    clock = itertools.count()  # a second passes from one look to the next
    monkeypatch.setattr(costs.time, "perf_counter", lambda: float(next(clock)))
    known = None if lengths is None else np.array(lengths)
    back, forth = costs._step(Ready(Source(known), torch.nn.Linear(3, 2)), 4)
    assert forth == pytest.approx(share * 1 / 4)
    assert back == pytest.approx(share * 2 / 4)


def test_less_of_the_backbone_makes_epochs_cheaper_and_nothing_else():
    cost = Cost(prepare=10.0, epoch=40.0, answer=0.1, again=0.05)
    assert cost.at(0.25) == Cost(10.0, 10.0, 0.1, 0.05)


@pytest.mark.parametrize(("lengths", "share"), [(None, 1.0), ([2, 2, 2, 10], 0.4)])
def test_features_of_a_row_once_more(monkeypatch, lengths, share):
    """The first of two passes warms the engine up."""
    clock = itertools.count()
    monkeypatch.setattr(costs.time, "perf_counter", lambda: float(next(clock)))
    passed = []

    def features_of(ready, engine):
        passed.append(engine)
        return np.zeros((4, 3), np.float32)

    monkeypatch.setattr(costs.preparing, "engine_of", lambda ready: "the engine")
    monkeypatch.setattr(costs.preparing, "features_of", features_of)
    known = None if lengths is None else np.array(lengths)
    again = costs._again(Ready(Source(known), torch.nn.Linear(3, 2)))
    assert again == pytest.approx(share / 4)
    assert passed == ["the engine"] * 2


def test_texts_of_about_the_mean_length_are_measured():
    lengths = np.random.default_rng(0).permutation(np.arange(1, 501))
    words = ["x" * int(length) for length in lengths]
    material = SimpleNamespace(
        codes=np.zeros(500), inputs=words, seed=0, backbone=SimpleNamespace(modality="text")
    )
    some = lengths[costs._typical(material)]
    assert sorted(abs(some - 250.5)) == sorted(abs(np.arange(239, 263) - 250.5))
    photos = SimpleNamespace(**{**vars(material), "backbone": SimpleNamespace(modality="image")})
    assert len(set(costs._typical(photos).tolist())) == 24


class Picky(torch.nn.Linear):
    """Runs in float32 only."""

    def forward(self, x):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("not implemented for 'BFloat16'")
        return super().forward(x)


def test_a_network_that_cannot_run_in_short_numbers_has_a_cost():
    back, forth = costs._step(Ready(Source(None), Picky(3, 2)), 4)
    assert 0 < forth < back
