"""Settings of all methods that change weights: each reaches the training, and a refit needs no held-out rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from headstart.errors import ConfigError, DataError  # noqa: E402
from headstart.methods import finetune  # noqa: E402
from headstart.train import loop, losses, sources, tuning  # noqa: E402
from headstart.train.mix import Mix  # noqa: E402
from test_methods_finetune import CONFIG, K, material, world  # noqa: E402, F401  fixtures
from test_train_trainable import picture  # noqa: E402, F401  a fixture

pytestmark = pytest.mark.train

EVERYTHING = replace(
    CONFIG, depth=0.67, epochs=2, ema=0.9, schedule="one-cycle", optimiser="sgd", loss="focal",
    mix="both", balanced=True, smoothing=0.1, select="last", augment="light", views=2,
)  # fmt: skip


@pytest.fixture
def told(monkeypatch):
    """What the loop is given."""
    calls = []
    real = loop.train

    def train(module, source, learn, held, **more):
        calls.append({"source": source, "learn": learn, "held": held, **more})
        return real(module, source, learn, held, **more)

    monkeypatch.setattr(loop, "train", train)
    return calls


def test_every_setting_reaches_the_training(material, told):  # noqa: F811
    found = finetune.fit(material, EVERYTHING)
    (call,) = told
    settings = call["settings"]
    for name in ("ema", "schedule", "optimiser", "balanced", "select", "epochs", "batch", "lr"):
        assert getattr(settings, name) == getattr(EVERYTHING, name), name
    assert call["loss"] == losses.Focal(smoothing=0.1)
    assert call["source"].settings == Mix(mixup=0.2, cutmix=1.0)
    assert call["classes"].tolist() == material.codes[call["learn"]].tolist()
    assert found.chosen["best"] == 2
    finetune.fit(material, replace(CONFIG, epochs=1))
    assert told[1]["loss"] == losses.CrossEntropy()
    assert isinstance(told[1]["source"], sources.Pictures)
    assert (told[1]["classes"], told[1]["settings"].select) == (None, "best")


@pytest.mark.parametrize(
    ("name", "wanted"), [("mixup", Mix(0.2)), ("cutmix", Mix(cutmix=1.0)), ("both", Mix(0.2, 1.0))]
)
def test_a_mix_has_the_constants_of_its_paper(material, name, wanted):  # noqa: F811
    source = tuning.prepared(material, replace(CONFIG, mix=name)).source
    assert isinstance(source, sources.Mixed)
    assert (source.settings, source.classes, source.axes) == (wanted, K, (1, 2))


def test_with_every_setting_the_same_again(material):  # noqa: F811
    one, other = (finetune.fit(material, EVERYTHING) for _ in range(2))
    assert one.backbone.graph_id == other.backbone.graph_id
    assert one.held_out.tobytes() == other.held_out.tobytes()
    for change in ({"mix": "none"}, {"ema": 0.0}, {"balanced": False}, {"schedule": "constant"}):
        changed = finetune.fit(material, replace(EVERYTHING, **change))
        assert changed.held_out.tobytes() != one.held_out.tobytes(), change


def test_a_refit_learns_from_all_rows(material, told):  # noqa: F811
    none = np.zeros(0, np.int64)
    found = finetune.fit(replace(material, held=none), replace(CONFIG, epochs=2))
    assert told[0]["learn"].tolist() == list(range(len(material.codes)))
    assert found.held_out.shape == (0, K)
    assert found.held_out_rows is not None
    assert len(found.held_out_rows) == 0
    assert (found.chosen["epochs"], found.chosen["best"]) == (2, 2)
    assert [one.held_loss for one in found.history] == [None, None]
    assert found.backbone.graph_id != material.backbone.graph_id


def test_a_refit_without_time_for_an_epoch(material):  # noqa: F811
    none = np.zeros(0, np.int64)
    config = replace(CONFIG, epochs=5000, batch=1)
    found = finetune.fit(replace(material, held=none, budget=1e-3), config)
    assert found.held_out.shape == (0, K)


def test_no_row_to_learn_from(material):  # noqa: F811
    with pytest.raises(DataError, match="No row is left"):
        finetune.fit(replace(material, held=np.arange(len(material.codes))), CONFIG)


def test_activations_that_are_no_map_cannot_be_pasted():
    values = np.zeros((1, 4, 5, 8), np.float16)  # four pictures of five tokens
    kept = sources.Between(values, np.arange(5), np.arange(4), None, ("tokens",))
    with pytest.raises(ConfigError, match="no height"):
        sources.mixed(kept, 4, Mix(cutmix=1.0), 0)
    assert sources.mixed(kept, 4, Mix(mixup=0.2), 0).settings == Mix(0.2)
