"""A larger starter is taken where the training rows say so, and only there."""

from __future__ import annotations

import time
from dataclasses import replace

import headstart_test_plugin
import numpy as np
import pytest

import headstart as hs
from headstart import fit_backbone, fitting
from headstart.errors import BackboneError
from headstart.fit_backbone import Rows, better
from headstart.fit_config import FitConfig
from headstart.stages import Stages
from headstart.types import Features, Roles, Table

N, D = 600, 8


class World:
    """Rows whose class the larger backbone tells well, and the one at hand to some degree."""

    def __init__(self, monkeypatch, strength):
        rng = np.random.default_rng(0)
        self.codes = rng.integers(0, 3, N)
        self.table = Table(
            inputs=tuple(f"text {i}" for i in range(N)),
            targets=tuple(f"c{code}" for code in self.codes),
            names=tuple(f"row {i}" for i in range(N)),
            modality="text",
            roles=Roles("text", "label"),
            source="here",
        )
        self.features, self.rich = (self.drawn(rng, one) for one in (0.5, strength))
        self.backbone = replace(headstart_test_plugin.load("text"), name="starter:minilm")
        self.rival = replace(self.backbone, name="starter:e5")
        self.asked, self.said, self.wait = [], [], 0.0
        monkeypatch.setattr(fit_backbone, "backbone_named", self.named)
        monkeypatch.setattr(fit_backbone, "readable", self.readable)

    def drawn(self, rng, strength):
        values = rng.normal(0, 1, (N, D))
        values[np.arange(N), self.codes] += 3 * strength
        return values.astype(np.float32)

    def named(self, name, *, offline, say):
        self.asked.append((name, offline))
        return self.rival

    def readable(self, table, backbone, store, how, stages):
        time.sleep(self.wait * len(table))
        rows = np.array([int(text.split()[1]) for text in table.inputs])
        return np.arange(len(rows)), Features(self.rich[rows], np.ones(len(rows), bool))

    def found(self, seconds=600.0, n=N, config=None, tuned=False):
        table = self.table.take(range(n))
        rows = Rows(table, self.features[:n], np.arange(n) // 2, 2 * n)
        stages = Stages(lambda stage, done, total: self.said.append(stage))
        until = time.monotonic() + seconds
        config = config or FitConfig()
        return better(rows, self.backbone, config, until, None, stages, tuned=tuned)


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch, 1.2)


def test_what_is_better_beyond_noise_is_taken_and_says_why(world):
    found = world.found()
    assert found.name == "starter:e5"
    assert found.why.startswith("+")
    assert "beside starter:minilm on 600 training rows" in found.why
    assert world.asked == [("starter:e5", False)]


@pytest.mark.parametrize("strength", [0.5, 0.2])
def test_what_is_not_is_left(monkeypatch, strength):
    world = World(monkeypatch, strength)
    assert world.found() is None
    assert "starter:minilm is kept" in world.said[-1]


def test_few_rows_cannot_tell(world):
    assert world.found(n=60) is None
    assert not world.asked


def test_what_would_take_too_long_is_not_tried(world):
    world.wait = 0.002  # 2.4 s for 1,200 rows
    assert world.found(seconds=3.0) is None
    assert "its features would take" in world.said[-1]
    assert world.found(seconds=15.0) is not None
    assert world.found(seconds=15.0, tuned=True) is None, "it is to leave time for what brings more"
    assert "more than 10%" in world.said[-1]


def test_nothing_is_fetched_where_the_time_is_short(world):
    world.found(seconds=60.0)
    world.found(config=FitConfig(offline=True))
    assert [offline for _, offline in world.asked] == [True, True]


def test_what_is_not_there_is_passed_over(world, monkeypatch):
    def absent(name, **told):
        raise BackboneError("It is not there.", fix="fetch it")

    monkeypatch.setattr(fit_backbone, "backbone_named", absent)
    assert world.found() is None


def test_a_backbone_without_a_larger_one(world):
    world.backbone = replace(world.backbone, name="starter:e5")
    assert world.found() is None
    assert not world.asked


@pytest.mark.parametrize(
    ("wish", "asked"),
    [({"budget": "5m"}, True), ({}, False), ({"budget": "5m", "backbone": "tiny:text"}, False)],
)
def test_a_fit_asks_only_within_a_budget_and_without_a_wish(reviews, monkeypatch, wish, asked):
    at_hand, other = (headstart_test_plugin.load("text") for _ in range(2))
    other = replace(other, name="tiny:other", why="much better")
    seen = []

    def chosen(table, name, **told):
        return at_hand

    def take(rows, backbone, *rest, tuned):
        seen.append(len(rows.table))
        return other

    monkeypatch.setattr(fitting, "backbone_for", chosen)
    monkeypatch.setattr(fitting, "better", take)
    model = hs.fit(reviews, **wish)
    assert bool(seen) == asked
    assert all(0 < count < 120 for count in seen), "training rows alone"
    assert model.report.backbone.name == ("tiny:other" if asked else at_hand.name)
