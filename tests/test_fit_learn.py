"""Which method a fit takes, and what is said where it cannot be had."""

from __future__ import annotations

from dataclasses import replace

import headstart_test_plugin
import numpy as np
import pytest

import headstart as hs
from headstart import fit_learn
from headstart.engine.ort import OrtEngine
from headstart.errors import BundleError, ConfigError
from headstart.fit_config import FitConfig
from headstart.fit_learn import Learning, checked
from headstart.methods import METHODS, TUNING
from headstart.preprocess.image import prepare
from headstart.runtime.predictor import BundlePredictor
from headstart.stages import Stages


@pytest.fixture
def no_torch(monkeypatch):
    monkeypatch.setattr(fit_learn, "_torch", lambda: False)


def test_without_a_budget_the_probe_is_taken():
    assert checked(FitConfig()) == "probe"
    assert checked(FitConfig(budget="10m")) == ""
    for name in (*METHODS.names(), *TUNING.names()):
        if name not in TUNING.names() or fit_learn._torch():
            assert checked(FitConfig(method=name)) == name


@pytest.mark.parametrize(
    ("settings", "said", "fix"),
    [
        ({"method": "prob"}, "There is no method 'prob'", "did you mean 'probe'"),
        ({"budget": "later"}, "'later' is not a length of time", "10m"),
        ({"method": "lora", "repeats": 3}, "--repeats is for methods", "--method probe"),
        ({"unlabelled": "more"}, "Only distillation", "--method distil"),
        ({"teacher": "a.headstart"}, "Only distillation", "leave --teacher out"),
    ],
)
def test_what_cannot_be_is_told(settings, said, fix):
    with pytest.raises(ConfigError, match=said) as told:
        checked(FitConfig(**settings))
    assert fix in told.value.fix


def test_without_torch_only_the_probe_is_tried(no_torch, photos):
    with pytest.raises(ConfigError, match="lora needs PyTorch") as told:
        checked(FitConfig(method="lora"))
    assert "headstart[train]" in told.value.fix
    said = []
    model = hs.fit(
        photos,
        backbone="tiny:image",
        budget="1m",
        progress=lambda stage, done, total: said.append(stage),
    )
    assert model.report.method == "probe"
    assert model.evaluation.trials is None
    assert any("need PyTorch" in sentence for sentence in said)
    with pytest.raises(ConfigError, match="--compare-scratch needs PyTorch"):
        hs.fit(photos, backbone="tiny:image", compare_scratch=True)


def test_a_backbone_with_random_weights_is_trained_from_scratch(monkeypatch):
    monkeypatch.setattr(fit_learn, "is_random", lambda backbone: backbone.why == "random")
    backbone = headstart_test_plugin.load("image")
    stages = Stages(lambda stage, done, total: None)
    for why, name in (("random", "scratch"), ("", "probe")):
        learning = Learning(FitConfig(), stages, replace(backbone, why=why), 0.0, None)
        assert learning.name == name


def test_several_processes_are_told_at_once(photos, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="torchrun started several"):
        hs.fit(photos, backbone="tiny:image")


@pytest.mark.train
def test_what_the_pretrained_backbone_bought(photos):
    pytest.importorskip("torch")
    model = hs.fit(
        photos, backbone="tiny:image", compare_scratch=True, scratch={"epochs": 1, "network": "cnn"}
    )
    found = model.evaluation.transfer
    assert len(found.rows) == len(found.with_) == len(found.without) > 0
    assert found.held > 0
    assert found.with_[-1].value > 0.9
    assert np.all(np.diff(found.rows) > 0)


@pytest.mark.train
def test_inputs_without_labels_reach_the_student(photos, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from headstart.methods import distil

    seen = []
    real = distil.fit

    def fit(material, config, **told):
        seen.append(len(material.spare))
        return real(material, config, **told)

    monkeypatch.setattr(distil, "fit", fit)
    model = hs.fit(
        photos, backbone="tiny:net", method="distil", unlabelled=str(photos / "red"),
        distil={"epochs": 1, "views": 2},
    )  # fmt: skip
    assert set(seen) == {20}
    assert model.report.method == "distil"
    assert model.predict([photos / "red" / "red00.png"])[0].label in ("red", "green", "blue")


@pytest.mark.train
def test_an_earlier_bundle_teaches(photos, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from headstart.bundle.earlier import known_model
    from headstart.methods import distil

    tuned = hs.fit(
        photos, backbone="tiny:net", method="finetune", finetune={"epochs": 1, "lr": 0.01}
    )
    path = tmp_path / "teacher.headstart"
    tuned.save(path)
    picture = photos / "red" / "red00.png"
    one = BundlePredictor(path)
    meant, _ = one.logits([picture])
    for labels in (["blue", "green", "red"], ["red", "blue"]):
        backbone, head = known_model(str(path), labels)
        assert backbone.graph_id != headstart_test_plugin.load("net").graph_id, "as it was tuned"
        pixels = prepare(picture, backbone.preprocess.steps)[0][None]
        features = OrtEngine(backbone.graph).run({"pixels": pixels})["features"]
        found = (features @ head.weight + head.bias)[0]
        places = [one.labels.index(label) for label in labels]
        np.testing.assert_allclose(found, meant[0][places], rtol=1e-4, atol=1e-4)
    with pytest.raises(BundleError, match="cannot teach 1 label that it does not know: 'pink'"):
        known_model(str(path), ["red", "pink"])

    seen = []
    real = distil.fit

    def fit(material, config, **told):
        seen.append(material.teacher[0].graph_id)
        return real(material, config, **told)

    monkeypatch.setattr(distil, "fit", fit)
    said = []
    model = hs.fit(
        photos, backbone="tiny:net", method="distil", teacher=str(path),
        distil={"epochs": 1, "views": 2}, progress=lambda stage, done, total: said.append(stage),
    )  # fmt: skip
    assert set(seen) == {backbone.graph_id}
    assert model.report.method == "distil"
    assert any("teacher.headstart teaches" in sentence for sentence in said)
    with pytest.raises(BundleError, match="There is no bundle at"):
        hs.fit(photos, backbone="tiny:net", method="distil", teacher=str(tmp_path / "nothing"))


@pytest.mark.train
def test_a_teacher_of_texts_cannot_teach_pictures(photos, reviews, tmp_path):
    pytest.importorskip("torch")
    path = tmp_path / "texts.headstart"
    hs.fit(reviews, backbone="tiny:text").save(path)
    rows = [
        {"image": str(one), "label": "good" if i % 2 else "bad"}
        for i, one in enumerate(sorted(photos.rglob("*.png")))
    ]
    with pytest.raises(ConfigError, match="takes texts, the data holds images"):
        hs.fit(rows, backbone="tiny:net", method="distil", teacher=str(path))
