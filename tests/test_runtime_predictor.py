"""A bundle that keeps training rows: it refuses what is unlike them, here, in pieces and elsewhere."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from headstart.backbones.choose import backbone_named
from headstart.bundle import save
from headstart.errors import BundleError
from headstart.evaluation.familiarity import reference_of
from headstart.hashing import hash_bytes
from headstart.manifest import dump_tensors
from headstart.runtime import predictor as module
from headstart.runtime.decide import UNFAMILIAR, decide, probabilities
from headstart.runtime.familiar import familiarity
from headstart.runtime.pipeline import Batch
from headstart.runtime.predictor import BundlePredictor
from headstart.runtime.reader import manifest_checksum
from headstart.scores import Evaluation, Metric
from headstart.tasks.classification import Classification
from headstart.types import Decision, Head

LABELS = ("blue", "green", "red")
COLOURS = np.array([(40, 60, 200), (50, 190, 70), (210, 50, 40)])


def pictures(n, seed=0):
    """Noisy pictures of three colours, and their class numbers."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    noise = rng.normal(0, 20, (n, 32, 32, 3))
    return list((COLOURS[codes][:, None, None] + noise).clip(0, 255).astype(np.uint8)), codes


def strange(n, seed=0):
    """Pictures of stripes."""
    rng = np.random.default_rng(seed)
    stripes = (np.arange(32) % 16 < 8)[None, :, None, None] * 255
    return list((stripes + rng.normal(0, 20, (n, 32, 32, 3))).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A backbone, its features of the training pictures, and a head by least squares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))
        backbone = backbone_named("tiny:image")
        graph = backbone.graph.read_bytes()
    kept = tmp_path_factory.mktemp("graph") / "graph.onnx"
    kept.write_bytes(graph)
    backbone = dataclasses.replace(backbone, graph=kept)
    from headstart.engine.ort import OrtEngine
    from headstart.runtime.pipeline import Pipeline

    train, codes = pictures(90)
    batches = list(Pipeline(backbone.preprocess, OrtEngine(kept)).run([list(enumerate(train))]))
    features = np.concatenate([batch.values for batch in batches])
    x = np.hstack([features, np.ones((90, 1))])
    solved = np.linalg.lstsq(x, 8 * np.eye(3)[codes] - 4, rcond=None)[0]
    head = Head(solved[:-1].astype("f4"), solved[-1].astype("f4"))
    reference = reference_of(features, codes, [f"{i}.png" for i in range(90)], 3)
    return backbone, head, reference, features


def write(folder, world, decision, reference):
    backbone, head, _, _ = world
    measured = Evaluation(
        {"accuracy": Metric(1.0, 0.9, 1.0)}, (), LABELS, np.eye(3, dtype=int), 3, "test", ""
    )
    save.write_folder(
        folder,
        task=Classification(LABELS),
        backbone=backbone,
        head=head,
        decision=decision,
        evaluation=measured,
        provenance={},
        report="",
        card="",
        reference=reference,
    )
    return folder


@pytest.fixture
def refusing(world, tmp_path):
    """A bundle that refuses what is less familiar than the least familiar training picture."""
    return write(tmp_path / "model", world, Decision(familiar_above=0.97), world[2])


def test_strange_inputs_are_refused_and_familiar_ones_answered(refusing):
    predictor = BundlePredictor(refusing)
    assert predictor.refuses
    new, codes = pictures(30, seed=1)
    answers = predictor.predict(new)
    assert [one.label for one in answers] == [LABELS[c] for c in codes]
    assert not any(one.abstained for one in answers)
    for one in predictor.predict(strange(12)):
        assert one.abstained
        assert one.reason == UNFAMILIAR
        assert one.label in LABELS
        assert one.probability > 0


def test_the_bundle_decides_as_the_rooms_do(refusing, world):
    """Familiarity from the saved file, found in pieces, is that of the reference in memory."""
    predictor = BundlePredictor(refusing)
    inputs = [*pictures(40, seed=2)[0], *strange(9)]
    given = predictor.outputs(inputs)
    assert given.features.shape == (49, world[3].shape[1])
    logits, _ = predictor.logits(inputs)
    np.testing.assert_array_equal(given.logits, logits)
    p = probabilities(given.logits, predictor.decision)
    known = familiarity(world[2], given.features, p)
    wanted = decide(given.logits, list(map(str, range(49))), LABELS, predictor.decision, known)
    found = predictor.predict(inputs, list(map(str, range(49))))
    assert found == wanted


@pytest.mark.parametrize("together", [1, 5, 8, 1000])
def test_pieces_do_not_change_the_answers(refusing, together, monkeypatch):
    inputs = [*pictures(20, seed=3)[0], b"no picture", *strange(9), b""]
    expected = BundlePredictor(refusing).predict(inputs)
    monkeypatch.setattr(module, "_TOGETHER", together)
    found = BundlePredictor(refusing).predict(inputs)
    assert [(one.label, one.reason) for one in found] == [
        (one.label, one.reason) for one in expected
    ]
    assert [one.label is None for one in found] == [False] * 20 + [True] + [False] * 9 + [True]
    assert sum(one.reason == UNFAMILIAR for one in found) == 9
    assert BundlePredictor(refusing).predict([]) == []
    assert BundlePredictor(refusing).predict([b""])[0].label is None


def test_the_graph_runs_once_for_logits_and_features(refusing):
    predictor = BundlePredictor(refusing)
    engine = predictor.pipeline.engine
    calls = []

    class Counting:
        name, parallel, batch = "counting", 1, 1

        def run(self, feeds):
            calls.append(len(next(iter(feeds.values()))))
            return engine.run(feeds)

    predictor.pipeline._engine = Counting()
    predictor.predict(pictures(24, seed=4)[0])
    assert sum(calls) == 24


def test_a_run_elsewhere_has_to_give_features(refusing):
    predictor = BundlePredictor(refusing)
    inputs, _ = pictures(20, seed=5)

    def backwards(packets):
        batches = [batch for packet in packets for batch in predictor.pipeline.run([packet])]
        yield from reversed(batches)

    assert predictor.predict(inputs, run=backwards) == predictor.predict(inputs)

    def without(packets):
        for batch in predictor.pipeline.run(packets):
            yield Batch(batch.rows, batch.values, batch.notes)

    with pytest.raises(ValueError, match="gives no features"):
        predictor.predict(inputs, run=without)
    predictor.logits(inputs, run=without)  # needs none


def test_a_reference_alone_refuses_nothing(world, tmp_path):
    """It is kept for explanations too; then schema 1 says all, and older readers may read it."""
    folder = write(tmp_path / "m", world, Decision(), world[2])
    assert json.loads((folder / "bundle.json").read_text())["schema"] == 1
    predictor = BundlePredictor(folder)
    assert not predictor.refuses
    assert predictor.reference.names == world[2].names
    assert not any(one.abstained for one in predictor.predict(strange(4)))
    assert predictor.outputs(strange(2)).features is not None
    bare = BundlePredictor(write(tmp_path / "n", world, Decision(), None))
    assert bare.reference is None
    assert bare.outputs(strange(2)).features is None


def test_the_schema_rises_only_where_an_older_reader_would_decide_otherwise(world, tmp_path):
    for number, (decision, schema) in enumerate(
        [
            (Decision(temperature=2.0, abstain_below=0.4, at_precision=0.9), 1),
            (Decision(familiar_above=0.3), 2),
            (Decision(scale=(1.0, 1.1, 0.9), shift=(0.0, 0.1, -0.1)), 2),
            (Decision(sets="aps", set_threshold=0.8), 2),
            (Decision(sets="class", class_thresholds=(0.1, 0.2, 0.3)), 2),
        ]
    ):
        folder = write(tmp_path / str(number), world, decision, world[2])
        assert json.loads((folder / "bundle.json").read_text())["schema"] == schema
        assert BundlePredictor(folder).decision == decision
        copy = tmp_path / f"{number}.headstart"
        save.copy(folder, copy)
        assert BundlePredictor(copy).decision == decision
        assert BundlePredictor(copy).reference.names == world[2].names


def test_a_decision_that_refuses_is_not_saved_without_its_rows(world, tmp_path):
    with pytest.raises(ValueError, match="needs a reference"):
        write(tmp_path / "m", world, Decision(familiar_above=0.3), None)
    assert not (tmp_path / "m").exists()


def change(folder, edit, tensors=None):
    """Change bundle.json, and the reference with it, as somebody would who can make checksums hold."""
    manifest = json.loads((folder / "bundle.json").read_text())
    if tensors is not None:
        data = dump_tensors(tensors)
        (folder / "reference.safetensors").write_bytes(data)
        entry = {"sha256": hash_bytes(data), "bytes": len(data)}
        manifest["files"]["reference.safetensors"] = entry
    edit(manifest)
    del manifest["checksum"]
    manifest["checksum"] = manifest_checksum(manifest)
    (folder / "bundle.json").write_text(json.dumps(manifest))


def test_unsound_bundles_are_refused_by_the_name_of_the_field(world, tmp_path):
    def bundle():
        folder = tmp_path / f"b{len(list(tmp_path.iterdir()))}"
        return write(folder, world, Decision(familiar_above=0.3), world[2])

    def fails(folder, message, inputs=()):
        with pytest.raises(BundleError, match=message) as caught:
            BundlePredictor(folder).predict(list(inputs))
        assert folder.name in caught.value.message

    tensors = world[2].to_tensors()
    lost = bundle()
    change(lost, lambda manifest: manifest["files"].pop("reference.safetensors"))
    fails(lost, "decision.familiar_above needs reference.safetensors")
    wrong = bundle()
    change(wrong, lambda manifest: manifest["decision"].update(familiar_above="high"))
    fails(wrong, "decision.familiar_above is 'high'")
    codes = bundle()
    change(codes, lambda _: None, {**tensors, "codes": tensors["codes"] + 1})
    fails(codes, "reference.safetensors: codes holds the class number 3, there are 3 labels")
    ragged = bundle()
    change(ragged, lambda _: None, {**tensors, "codes": tensors["codes"][:-1]})
    fails(ragged, "reference.safetensors: codes has")
    narrow = bundle()
    features = np.eye(len(tensors["features"]), 5, dtype=np.float16)
    change(narrow, lambda _: None, {**tensors, "features": features})
    fails(narrow, r"the graph's features are \(.*, not \(n, 5\)", pictures(3)[0])
    labels = bundle()
    change(labels, lambda manifest: manifest["task"].update(labels=list("abcd")))
    fails(labels, r"the graph's logits are \(.*, not \(n, 4\)", pictures(3)[0])
    damaged = bundle()
    data = bytearray((damaged / "reference.safetensors").read_bytes())
    data[-9] ^= 1
    (damaged / "reference.safetensors").write_bytes(data)
    fails(damaged, "reference.safetensors is damaged")
