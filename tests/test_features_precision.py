"""Reduced precision is taken only where the features still do what they are for."""

import numpy as np
import pytest

import headstart as hs
from headstart.backbones.choose import backbone_named
from headstart.data import table as tables
from headstart.errors import DataError
from headstart.features import precision
from headstart.features.extract import How, extract, store_id
from headstart.features.precision import compare, settle
from headstart.features.store import Store
from test_engine_auto import only  # noqa: F401  a fixture


def made(n=300, d=32, k=4, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % k
    return (rng.normal(size=(n, d)) + rng.normal(size=(k, d))[codes]).astype("f4"), codes


def test_the_same_features_are_the_same():
    features, codes = made()
    found = compare(features, features, codes)
    assert found.overlap == 1
    assert found.cosine == pytest.approx(1, abs=1e-6)
    assert found.accuracy == found.reduced
    assert found.accuracy > 0.9
    assert found.harmless


def test_the_overlap_is_what_a_plain_count_gives():
    features, _ = made(60)
    other = features + np.random.default_rng(1).normal(size=features.shape).astype("f4") * 0.3
    shares = []
    for i in range(60):
        near = []
        for values in (features, other):
            moved = values - values.mean(axis=0)
            likeness = [
                moved[i] @ moved[j] / np.linalg.norm(moved[i]) / np.linalg.norm(moved[j])
                if j != i
                else -9
                for j in range(60)
            ]
            near.append(set(np.argsort(likeness)[-10:]))
        shares.append(len(near[0] & near[1]) / 10)
    assert compare(features, other, None).overlap == pytest.approx(np.mean(shares))
    assert np.isnan(compare(features, other, None).accuracy)


def test_lost_classes_and_lost_neighbours_are_harm():
    features, codes = made()
    rng = np.random.default_rng(2)
    noise = rng.normal(size=features.shape).astype("f4")
    assert not compare(features, noise, codes).harmless
    blurred = features + 0.25 * noise
    found = compare(features, blurred, codes)
    assert found.overlap < 0.9
    assert not found.harmless


def test_two_inputs_are_needed():
    with pytest.raises(DataError, match="Too few"):
        compare(np.ones((1, 3), "f4"), np.ones((1, 3), "f4"), None)


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(precision, "_WORTH", 20)
    monkeypatch.setattr(precision, "_FASTER", 0.0)  # the stand-ins are not quicker, only different


@pytest.mark.parametrize(("name", "kept"), [("rounded", True), ("ruined", False)])
def test_auto_takes_bfloat16_only_where_it_does_no_harm(only, many, photos, name, kept):  # noqa: F811
    only(name)
    table, backbone = tables.read(photos), backbone_named("tiny:image")
    said = []
    chosen, how, findings = settle(table, backbone, Store(), How(), "auto", said.append)
    assert chosen == backbone
    assert how.precision == ("bfloat16" if kept else "float32")
    assert ("float32 is kept" in said[-1]) != kept
    assert len(findings) == kept


def test_precisions_do_not_meet_in_the_store(only, photos):  # noqa: F811
    only("rounded")
    table, backbone = tables.read(photos), backbone_named("tiny:image")
    store = Store()
    full = extract(table, backbone, store=store)
    less = extract(table, backbone, store=store, how=How(precision="bfloat16"))
    assert less.computed == full.computed == 60
    assert store_id(backbone) == backbone.graph_id != store_id(backbone, "bfloat16")
    assert np.abs(full.values - less.values).max() > 0
    assert extract(table, backbone, store=store).values.tobytes() == full.values.tobytes()


def test_a_fit_in_bfloat16_is_measured_in_full_and_says_so(only, photos):  # noqa: F811
    only("rounded")
    model = hs.fit(photos, backbone="tiny:image", precision="bfloat16")
    manifest = model.predictor.files.manifest
    assert manifest["features"]["precision"] == "bfloat16"
    assert "precision" in [finding.kind for finding in model.findings]
    plain = hs.fit(photos, backbone="tiny:image", precision="float32", engine="onnxruntime")
    assert plain.predictor.files.manifest["features"]["precision"] == "float32"
    assert model.evaluation.metrics["accuracy"].value == 1.0
