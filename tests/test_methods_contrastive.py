"""Tuning by pairs: it learns what the probe cannot, holds out honestly, and what ships says the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from headstart.backbones import graph_bert, shelf  # noqa: E402
from headstart.engine.ort import OrtEngine  # noqa: E402
from headstart.errors import ConfigError, DataError  # noqa: E402
from headstart.methods import contrastive, probe  # noqa: E402
from headstart.metrics import temperature  # noqa: E402
from headstart.preprocess.text import TextEncoder  # noqa: E402
from headstart.train.heads import best, solved  # noqa: E402
from headstart.train.material import Material  # noqa: E402
from headstart.train.trainable import layers  # noqa: E402
from headstart.types import Head, Preprocess  # noqa: E402
from test_backbones_graph_bert import made, plain  # noqa: E402
from test_methods_finetune import K, answers, material, world  # noqa: E402, F401  fixtures
from test_train_trainable import picture  # noqa: E402, F401  a fixture

pytestmark = pytest.mark.train

CONFIG = contrastive.Config(depth=1.0, epochs=20, lr=0.03, augment="none", batch=48)
WORDS = ("good", "fine", "great", "bad", "poor", "awful", "so", "it", "is", "was", "the", "and")


@pytest.mark.parametrize("loss", ["prototypes", "rows"])
def test_it_learns_what_the_probe_cannot_and_ships_the_same(material, loss):  # noqa: F811
    found = contrastive.fit(material, replace(CONFIG, loss=loss))
    features = answers(material.backbone, material.inputs)[material.held]
    before = features @ material.head.weight + material.head.bias
    truth = material.codes[material.held]
    right = (found.held_out.argmax(1) == truth).mean()
    assert right > (before.argmax(1) == truth).mean() + 0.05
    assert (found.held_out_rows == material.held).all()
    assert found.chosen["stopped"] == "done"
    assert found.history[-1].train_loss < found.history[0].train_loss
    shipped = answers(found.backbone, material.inputs)
    np.testing.assert_allclose(shipped, found.features, atol=5e-3, rtol=5e-3)
    logits = shipped[material.held] @ found.head.weight + found.head.bias
    assert (logits.argmax(1) == truth).mean() >= right  # this head has seen them
    assert found.backbone.graph_id != material.backbone.graph_id
    assert found.backbone.preprocess == material.backbone.preprocess


def test_held_out_rows_take_no_part_in_what_answers_them(material):  # noqa: F811
    config = replace(CONFIG, epochs=2, penalty=0.1)
    found = contrastive.fit(material, config)
    wrong = material.codes.copy()
    wrong[material.held] = (wrong[material.held] + 1) % K
    other = contrastive.fit(replace(material, codes=wrong), config)
    assert found.backbone.graph_id == other.backbone.graph_id
    assert found.held_out.tobytes() == other.held_out.tobytes()
    assert not np.array_equal(found.head.weight, other.head.weight)


def test_the_held_out_answers_are_those_of_a_head_on_the_other_rows(material):  # noqa: F811
    linear = pytest.importorskip("sklearn.linear_model")
    found = contrastive.fit(material, replace(CONFIG, epochs=1, lr=0.001, penalty=0.3))
    learn = np.setdiff1d(np.arange(len(material.codes)), material.held)
    every = np.arange(len(material.codes))
    of_all = found.features[material.held] @ found.head.weight + found.head.bias
    both = [found.held_out, of_all]
    for rows, answered in zip((learn, every), both):
        mean, scale = found.features[rows].mean(0), found.features[rows].std(0)
        standard = (found.features - mean) / scale
        oracle = linear.LogisticRegression(C=1 / (0.3 * len(rows)), tol=1e-8, max_iter=2000)
        oracle.fit(standard[rows], material.codes[rows])
        meant = oracle.decision_function(standard[material.held])
        answered = answered - answered.mean(1, keepdims=True)
        np.testing.assert_allclose(answered, meant - meant.mean(1, keepdims=True), atol=0.03)
    assert not np.allclose(*both, atol=0.06)


def test_all_rows_can_be_learned_from(material):  # noqa: F811
    found = contrastive.fit(
        replace(material, held=np.empty(0, np.int64)), replace(CONFIG, epochs=2)
    )
    assert found.held_out.shape == (0, K)
    assert len(found.history) == 2


def test_held_out_rows_choose_the_penalty_also_where_none_is_held_out_later(material):  # noqa: F811
    config = replace(CONFIG, epochs=1, lr=0.001)
    nobody = replace(material, held=np.empty(0, np.int64), prepared={})
    assert contrastive.fit(nobody, config).chosen["penalty"] == contrastive._PENALTY
    shared = replace(material, prepared={})
    trial = contrastive.fit(shared, config)
    truth, learn = material.codes[material.held], np.delete(np.arange(150), material.held)
    losses = []
    for penalty in contrastive._PENALTIES:
        one = contrastive.fit(shared, replace(config, penalty=penalty))
        assert one.chosen["penalty"] == penalty
        losses.append(temperature(one.held_out, truth)[1])
    meant = contrastive._PENALTIES[int(np.argmax(np.array(losses) <= 1.01 * min(losses)))]
    assert trial.chosen["penalty"] == meant != contrastive._PENALTY
    assert (
        contrastive.fit(replace(nobody, prepared=shared.prepared), config).chosen["penalty"]
        == meant
    )
    # what the rows that are learned from say themselves does not count
    weakest = solved(trial.features[learn], material.codes[learn], K, contrastive._PENALTIES,
                     (trial.features[learn], material.codes[learn]))  # fmt: skip
    assert weakest.penalty <= meant


def test_of_penalties_that_cannot_be_told_apart_the_strongest_counts():
    assert best(np.array([0.9, 0.504, 0.5, 0.51])) == 1
    assert best(np.array([0.5, 0.4, 0.3])) == 2


def test_what_lies_below_the_cut_does_not_change(material):  # noqa: F811
    found = contrastive.fit(material, replace(CONFIG, depth=0.67, epochs=2))
    assert found.chosen["depth"] == pytest.approx(2 / 3)
    before, after = (onnx.load(str(one.graph)) for one in (material.backbone, found.backbone))
    depth = layers(before).depth
    for one, other in zip(before.graph.initializer, after.graph.initializer):
        if depth.get(one.name, -1) < 1:
            assert one.raw_data == other.raw_data, one.name


@pytest.mark.parametrize("depth", [1.0, 0.67])
def test_the_same_again_and_another_seed(material, depth):  # noqa: F811
    config = replace(CONFIG, epochs=2, augment="standard", depth=depth, views=4)
    one, other = contrastive.fit(material, config), contrastive.fit(material, config)
    assert one.held_out.tobytes() == other.held_out.tobytes()
    assert one.backbone.graph_id == other.backbone.graph_id
    assert contrastive.fit(replace(material, seed=1), config).held_out.tobytes() != (
        one.held_out.tobytes()
    )


def test_it_goes_on_from_where_it_was_cut_off(material, tmp_path):  # noqa: F811
    config = replace(CONFIG, epochs=4, augment="standard")
    whole = contrastive.fit(material, config)

    def stop(epoch, of):
        if epoch.epoch == 1:
            raise KeyboardInterrupt

    cut = replace(material, folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        contrastive.fit(cut, config, progress=stop)
    told = []
    found = contrastive.fit(cut, config, progress=lambda epoch, of: told.append(epoch.epoch))
    assert told == [2, 3]
    assert found.backbone.graph_id == whole.backbone.graph_id
    assert found.held_out.tobytes() == whole.held_out.tobytes()


def test_steps_bound_the_epochs(material):  # noqa: F811
    # 112 rows in batches of 48: three steps an epoch
    assert len(contrastive.fit(material, replace(CONFIG, steps=7)).history) == 3
    assert len(contrastive.fit(material, replace(CONFIG, steps=1)).history) == 1


def test_nothing_to_learn_from(material):  # noqa: F811
    with pytest.raises(DataError, match="no row to learn from"):
        contrastive.fit(replace(material, held=np.arange(len(material.codes))), CONFIG)


def test_settings_without_a_part_are_refused():
    from headstart.config import build

    assert build(contrastive.Config, {"patience": 0, "balanced": True}) == contrastive.Config()
    for name, value in (
        ("patience", 3),
        ("smoothing", 0.1),
        ("mix", "cutmix"),
        ("balanced", False),
    ):
        with pytest.raises(ConfigError, match=name):
            build(contrastive.Config, {name: value})


def few(material, each):  # noqa: F811
    """So many rows of each class to learn from; the other rows that are held out."""
    learn = np.concatenate([np.flatnonzero(material.codes == code)[:each] for code in range(K)])
    rows = np.concatenate([learn, np.setdiff1d(np.arange(60), learn)])
    head = Head(np.zeros((12, K), np.float32), np.zeros(K, np.float32))
    return replace(
        material,
        inputs=[material.inputs[row] for row in rows],
        codes=material.codes[rows],
        held=np.arange(len(learn), len(rows)),
        head=head,
    )


def test_pictures_with_one_label_a_class_are_paired_with_themselves(material):  # noqa: F811
    said = []
    found = contrastive.fit(
        few(material, 1), replace(CONFIG, epochs=3, augment="light"), say=said.append
    )
    assert any("3 rows have no other row of the same class" in one for one in said)
    assert any("augmented view" in one for one in found.notes)
    assert np.isfinite(found.held_out).all()
    assert found.backbone.graph_id != material.backbone.graph_id
    assert contrastive.fit(few(material, 2), replace(CONFIG, epochs=1)).notes == ()


@pytest.fixture(scope="module")
def reviews():
    """Texts whose class is which of two kinds of words they hold."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2} | {word: i + 3 for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, "[PAD]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    rng = np.random.default_rng(0)
    codes = np.arange(80) % 2
    texts = [
        " ".join([*rng.choice(WORDS[6:], rng.integers(2, 7)), rng.choice(WORDS[3 * code :][:3])])
        for code in codes
    ]
    return texts, codes, tokenizer.to_str()


def of_texts(reviews, each):
    texts, codes, tokenizer = reviews
    steps = ({"step": "tokenize", "max_length": 16},)
    backbone = shelf.keep(
        "a net for texts in tests", graph=graph_bert.bert(made(plain)), name="tiny:bert",
        modality="text", dim=64, licence="CC0-1.0", sha256="0" * 64,
        preprocess=Preprocess("text", steps), tokenizer=tokenizer,
    )  # fmt: skip
    learn = np.arange(2 * each)
    ids, _ = TextEncoder(tokenizer, steps).encode(texts)
    features = text_answers(backbone, ids)
    head = probe.fit(features[learn], codes[learn], np.arange(len(learn)) % 3, 2).head
    held = np.arange(2 * each, len(codes))
    return Material(texts, codes, 2, held, backbone, head), ids, features


def text_answers(backbone, ids):
    from headstart.preprocess.text import pad

    (output,) = OrtEngine(backbone.graph).outputs
    return OrtEngine(backbone.graph).run(pad(ids))[output]


@pytest.mark.parametrize(("loss", "lr"), [("prototypes", 3e-3), ("rows", 1e-3)])
def test_few_texts_teach_more_than_the_probe_learns(reviews, loss, lr):
    material, ids, features = of_texts(reviews, 8)  # noqa: F811
    config = contrastive.Config(depth=1.0, epochs=30, lr=lr, loss=loss)
    found = contrastive.fit(material, config)
    truth = material.codes[material.held]
    before = features[material.held] @ material.head.weight + material.head.bias
    assert (found.held_out.argmax(1) == truth).mean() >= (before.argmax(1) == truth).mean() + 0.1
    assert found.notes == ()
    np.testing.assert_allclose(text_answers(found.backbone, ids), found.features, atol=5e-3)


def test_texts_with_one_label_a_class_are_paired_with_themselves(reviews):
    material, ids, _ = of_texts(reviews, 1)  # noqa: F811
    said = []
    config = contrastive.Config(depth=0.5, epochs=4, lr=3e-3)
    found = contrastive.fit(material, config, say=said.append)
    assert sum("2 rows have no other row of the same class" in one for one in said) == 1
    assert "words left out" in found.notes[0]
    assert found.features.shape == (80, 64)
    np.testing.assert_allclose(text_answers(found.backbone, ids), found.features, atol=5e-3)
    assert found.backbone.graph_id != material.backbone.graph_id
    again = contrastive.fit(material, config)
    assert again.backbone.graph_id == found.backbone.graph_id


@pytest.mark.parametrize("loss", ["prototypes", "rows"])
def test_a_class_that_is_held_out_as_a_whole(material, loss):  # noqa: F811
    held = np.flatnonzero(material.codes == 2)
    found = contrastive.fit(replace(material, held=held), replace(CONFIG, epochs=2, loss=loss))
    assert np.isfinite(found.held_out).all()
    assert not (found.held_out.argmax(1) == 2).any()  # what answers has never seen it
    said = found.features @ found.head.weight + found.head.bias
    assert (said.argmax(1)[held] == 2).mean() > 0.5  # what ships has
