"""What every method that changes weights promises, run over their whole table."""

from __future__ import annotations

import importlib
from dataclasses import fields, replace

import numpy as np
import pytest

pytest.importorskip("torch")

import headstart_test_plugin

from headstart.engine.ort import OrtEngine
from headstart.errors import DataError
from headstart.fit_config import FitConfig
from headstart.methods import TUNING, probe
from headstart.preprocess import image
from headstart.report.words import Words
from headstart.train import preparing
from headstart.train.common import Common
from headstart.train.material import Material

pytestmark = pytest.mark.train

K, N = 3, 60
HELD = np.arange(0, N, 4)


@pytest.fixture
def material():
    """Pictures with stripes across, down or slanted, and a network with random weights."""
    rng = np.random.default_rng(0)
    pictures = []
    for number in range(N):
        y, x = np.mgrid[:32, :32]
        wave = (y, x, y + x)[number % K] + rng.integers(8)
        grey = 90 + 60 * (wave // 4 % 2) + rng.integers(0, 40, (32, 32))
        pictures.append(np.stack([grey] * 3, -1).astype(np.uint8))
    backbone = headstart_test_plugin.load("net")
    codes = np.arange(N) % K
    learn = np.setdiff1d(np.arange(N), HELD)
    head = probe.fit(answers(backbone, pictures)[learn], codes[learn], np.full(len(learn), -1), K)
    return Material(pictures, codes, K, HELD, backbone, head.head)


def answers(backbone, pictures):
    """Features as whoever runs the shipped graph gets them."""
    engine = OrtEngine(backbone.graph)
    pixels = np.stack([image.prepare(one, backbone.preprocess.steps)[0] for one in pictures])
    return engine.run({engine.inputs[0]: pixels})[engine.outputs[0]]


def features_of(found, material, config):
    """Those it comes with, or those that are made where they are wanted."""
    made = found.features
    return preparing.answers(material, found.backbone, config) if made is None else made


@pytest.fixture(params=TUNING.names())
def method(request):
    """Name, function, and settings for a short training."""
    module = importlib.import_module(f"headstart.methods.{request.param}")
    short = {"epochs": 2, "views": 2, "network": "given", "steps": 6, "batch": 16}
    known = {one.name for one in fields(module.Config)}
    config = module.Config(**{name: value for name, value in short.items() if name in known})
    return request.param, TUNING.get(request.param), config


def test_what_is_handed_back_is_what_ships(method, material):
    name, fit, config = method
    seen = []
    found = fit(
        material, config, say=lambda sentence: None, progress=lambda *told: seen.append(told)
    )
    assert found.method == name
    assert found.backbone.graph_id != material.backbone.graph_id
    assert found.backbone.graph.exists()
    features = answers(found.backbone, material.inputs)
    np.testing.assert_allclose(features_of(found, material, config), features, atol=3e-2, rtol=3e-2)
    assert found.head.weight.shape == (features.shape[1], K)
    assert found.head.bias.shape == (K,)
    assert found.held_out.shape == (len(HELD), K)
    assert np.isfinite(found.held_out).all()
    assert np.array_equal(found.held_out_rows, HELD)
    assert [one.epoch for one in found.history] == list(range(found.chosen["epochs"]))
    assert seen == [(one, len(found.history)) for one in found.history]
    assert 0 <= found.chosen["best"] <= found.chosen["epochs"]
    assert found.seconds > 0


def test_the_same_again_gives_the_same_bytes(method, material):
    _, fit, config = method
    before = material.codes.copy()
    one, two = fit(material, config), fit(replace(material, prepared={}), config)
    assert one.backbone.graph_id == two.backbone.graph_id
    assert one.head.weight.tobytes() == two.head.weight.tobytes()
    assert one.held_out.tobytes() == two.held_out.tobytes()
    assert np.array_equal(material.codes, before)


def test_all_rows_can_be_learned_from(method, material):
    _, fit, config = method
    found = fit(replace(material, held=np.empty(0, np.int64)), config)
    assert len(found.held_out) == len(found.held_out_rows) == 0
    features = answers(found.backbone, material.inputs)
    np.testing.assert_allclose(features_of(found, material, config), features, atol=3e-2, rtol=3e-2)


def test_what_can_go_on_begins_where_it_ended(method, material):
    """On the same kept activations: nothing below the tuned layers is run again."""
    _, fit, config = method
    if not config.goes_on:
        pytest.skip("it begins anew")
    found = fit(material, config)
    nothing, said = np.empty(0, np.int64), []
    start = replace(material, backbone=found.backbone, head=found.head, held=nothing)
    still = fit(start, replace(config, epochs=1, lr=1e-12), say=said.append)
    features = [features_of(one, material, config) for one in (still, found)]
    np.testing.assert_allclose(*features, atol=1e-4, rtol=1e-3)
    np.testing.assert_allclose(still.head.weight, found.head.weight, atol=1e-4)
    assert not any("run once and kept" in sentence for sentence in said)
    moved = fit(start, replace(config, epochs=1))
    assert moved.backbone.graph_id != found.backbone.graph_id


def test_nothing_to_learn_from_is_said(method, material):
    _, fit, config = method
    with pytest.raises(DataError, match="learn from"):
        fit(replace(material, held=np.arange(N)), config)


def test_labels_of_the_held_out_rows_are_not_learned(method, material):
    """Where no epoch is chosen by them, other labels there change nothing but how they are judged."""
    _, fit, config = method
    config = replace(config, select="last")
    other = material.codes.copy()
    other[HELD] = (other[HELD] + 1) % K
    one = fit(material, config)
    two = fit(replace(material, codes=other, prepared={}), config)
    assert one.backbone.graph_id == two.backbone.graph_id


def test_it_can_be_set_and_named(method):
    name, _, config = method
    assert isinstance(config, Common)
    assert isinstance(getattr(FitConfig(), name), type(config))
    for lang in ("en", "zh"):
        assert Words(lang).has(f"method.short.{name}")
