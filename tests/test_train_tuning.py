"""Settings of all methods that change weights: each reaches the training, and a refit needs no held-out rows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from headstart.backbones import graph_bert, shelf  # noqa: E402
from headstart.errors import ConfigError, DataError  # noqa: E402
from headstart.methods import finetune  # noqa: E402
from headstart.train import between, loop, losses, preparing, sources  # noqa: E402
from headstart.train.material import Material  # noqa: E402
from headstart.train.mix import Mix  # noqa: E402
from headstart.types import Head, Preprocess  # noqa: E402
from test_backbones_graph_bert import DIM, made, plain  # noqa: E402
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
    assert (told[1]["classes"], told[1]["settings"].select) == (None, "last")


@pytest.mark.parametrize(
    ("name", "wanted"), [("mixup", Mix(0.2)), ("cutmix", Mix(cutmix=1.0)), ("both", Mix(0.2, 1.0))]
)
def test_a_mix_has_the_constants_of_its_paper(material, name, wanted):  # noqa: F811
    source = preparing.prepared(material, replace(CONFIG, mix=name)).source
    assert isinstance(source, between.Mixed)
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
    kept = between.Between(values, np.arange(5), np.arange(4), None, ("tokens",))
    with pytest.raises(ConfigError, match="no height"):
        between.mixed(kept, 4, Mix(cutmix=1.0), 0)
    assert between.mixed(kept, 4, Mix(mixup=0.2), 0).settings == Mix(0.2)


@pytest.fixture
def texts():
    """Twelve texts of a language of twenty words, for a small network of the BERT kind."""
    token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "pre_tokenizer": {"type": "Whitespace"}, "decoder": None,
        "added_tokens": [{"id": 0, "content": "?", "special": True, **token}],
        "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0}
                  | {f"w{i}": i for i in range(1, 20)}},
    }  # fmt: skip
    backbone = shelf.keep(
        "a net of texts for tests", graph=graph_bert.bert(made(plain)), name="tiny:bert", modality="text",
        dim=DIM, licence="CC0-1.0", sha256="1" * 64, tokenizer=json.dumps(tokenizer),
        preprocess=Preprocess("text", ({"step": "tokenize", "max_length": 16},)),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    words = [" ".join(f"w{i}" for i in rng.integers(1, 20, 8)) for _ in range(12)]
    head = Head(np.zeros((DIM, 2), np.float32), np.zeros(2, np.float32))
    codes, held = np.arange(12) % 2, np.array([0, 1, 2, 3])
    return Material(words, codes, 2, held, backbone, head, seed=7)


@pytest.mark.parametrize("depth", [0.5, 1.0])
def test_tokens_of_texts_disappear_at_the_wanted_rate(texts, depth):
    config = replace(CONFIG, depth=depth, drop=0.4, mix="both", epochs=2)  # nothing mixes texts
    source = preparing.prepared(texts, config).source
    assert isinstance(source, sources.Texts if depth == 1.0 else between.Between)
    kept = source if isinstance(source, sources.Texts) else source.texts
    assert (kept.drop, kept.special, kept.seed) == (0.4, {0}, 7)
    one, other = finetune.fit(texts, config), finetune.fit(texts, config)
    assert one.held_out.tobytes() == other.held_out.tobytes()
    without = finetune.fit(texts, replace(config, drop=0.0))
    assert without.held_out.tobytes() != one.held_out.tobytes()
