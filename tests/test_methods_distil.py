"""Distillation: a smaller student of one teacher, taught by what it says of the same views."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from sklearn.metrics import accuracy_score, f1_score

torch = pytest.importorskip("torch")

from headstart.backbones import graph_bert, shelf  # noqa: E402
from headstart.engine.ort import OrtEngine  # noqa: E402
from headstart.errors import BackboneError, ConfigError  # noqa: E402
from headstart.methods import distil, finetune, probe  # noqa: E402
from headstart.preprocess import image, text  # noqa: E402
from headstart.train import augment_images, distilling, sources, students  # noqa: E402
from headstart.train.distilling import Distillation  # noqa: E402
from headstart.train.material import Material  # noqa: E402
from headstart.types import Head, Preprocess  # noqa: E402
from test_backbones_graph_bert import made, packed, plain  # noqa: E402
from test_methods_finetune import K, material, world  # noqa: E402, F401  fixtures
from test_train_sources import STEPS, scenes  # noqa: E402, F401  a fixture
from test_train_trainable import TOKENS, picture, run  # noqa: E402, F401  a fixture

pytestmark = pytest.mark.train

CONFIG = distil.Config(depth=1.0, epochs=3, lr=0.01, augment="none", cost=0.5, head_factor=1.0)


# ---- the loss


def plainly(outputs, targets, k, temperature, labels, features, spread):
    """The formula of the docstring, row by row in float64."""
    total = []
    for out, target in zip(outputs.astype(np.float64), targets.astype(np.float64)):
        soft = [np.exp(one / temperature) for one in (target[1 : k + 1], out[:k])]
        p, q = (one / one.sum() for one in soft)
        loss = (1 - labels) * temperature**2 * (p * np.log(p / q)).sum()
        code = int(target[0])
        if code >= 0:
            loss -= labels * np.log(np.exp(out[code]) / np.exp(out[:k]).sum())
        if features:
            loss += features * ((out[k:] - target[k + 1 :]) ** 2).mean() / spread
        total.append(loss)
    return np.mean(total)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(2, 5), st.sampled_from([1.0, 2.5]),
    st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 2.0]),
)  # fmt: skip
def test_the_loss_is_the_formula_and_pieces_add_up(seed, n, k, temperature, labels, features):
    rng = np.random.default_rng(seed)
    d = 4 if features else 0
    outputs = rng.normal(0, 2, (n, k + d)).astype(np.float32)
    codes = rng.integers(-1, k, (n, 1))
    targets = np.concatenate([codes, rng.normal(0, 2, (n, k + d))], 1).astype(np.float32)
    loss = Distillation(k, temperature, labels, features, 1.7)
    found = loss(torch.from_numpy(outputs), torch.from_numpy(targets)).item()
    meant = plainly(outputs, targets, k, temperature, labels, features, 1.7)
    assert found == pytest.approx(meant, rel=1e-4, abs=1e-5)
    pieces = [
        len(part)
        / n
        * loss(torch.from_numpy(outputs[part]), torch.from_numpy(targets[part])).item()
        for part in np.array_split(np.arange(n), min(n, 3))
    ]
    assert sum(pieces) == pytest.approx(found, rel=1e-4, abs=1e-5)


def test_rows_without_a_label_have_no_part_in_the_labels_loss():
    outputs = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.cat([torch.tensor([[0.0], [-1], [2], [-1], [1], [-1]]), torch.zeros(6, 3)], 1)
    Distillation(3, labels=1.0)(outputs, targets).backward()
    assert outputs.grad is not None
    assert outputs.grad.abs().sum(1).bool().tolist() == [True, False] * 3


# ---- the linear map


def test_the_linear_map_is_the_ridge_that_leaves_one_out_best():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (25, 6)) * [5, 1, 1, 0.3, 0.1, 1] + 2
    y = x @ rng.normal(0, 1, (6, 2)) + rng.normal(0, 3, (25, 2)) + 7

    def ridge(x, y, strength):
        a = x - x.mean(0)
        weight = np.linalg.solve(a.T @ a + strength * np.eye(6), a.T @ (y - y.mean(0)))
        return weight, y.mean(0) - x.mean(0) @ weight

    scale = np.square(x - x.mean(0)).sum() / 6

    def left_out(strength):
        errors = []
        for i in range(len(x)):
            rest = np.arange(len(x)) != i
            weight, bias = ridge(x[rest], y[rest], strength)
            errors.append((x[i] @ weight + bias - y[i]) ** 2)
        return np.mean(errors)

    strengths = distilling._STRENGTHS * scale
    best = strengths[np.argmin([left_out(one) for one in strengths])]
    weight, bias = distilling.linear(x, y)
    meant = ridge(x, y, best)
    np.testing.assert_allclose(weight, meant[0], rtol=1e-4)
    np.testing.assert_allclose(bias, meant[1], rtol=1e-4)


# ---- what the student sees and the teacher says


def test_teacher_and_student_see_the_same_views(scenes, picture):  # noqa: F811
    _, model = picture
    graph = model.SerializeToString()
    rng = np.random.default_rng(1)
    head = Head(rng.normal(0, 1, (12, K)).astype(np.float32), np.ones(K, np.float32))
    teacher = Preprocess("image", STEPS)
    student = students.smaller_pictures(model, teacher, 0.25).preprocess
    given = augment_images.preset("trivial")
    n = len(scenes)
    views, told = distilling.pictures(
        scenes, np.arange(n), graph, head, teacher, student, given, 3, 4
    )
    assert views.values.shape == (4, n, 8, 6, 3)
    for row, scene in enumerate(scenes):
        np.testing.assert_array_equal(views.values[0, row], image.prepare(scene, student.steps)[0])
    source = sources.pictures(scenes, np.arange(n), teacher, given, 3)
    for view in range(4):
        shown = source.pixels(np.arange(n), view, train=view > 0)
        features = OrtEngine(graph).run({"pixels": shown.numpy()})["features"]
        np.testing.assert_allclose(told.features[view], features, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(
            told.logits[view], features @ head.weight + head.bias, rtol=1e-4, atol=1e-4
        )
        if view:
            small = torch.nn.functional.interpolate(
                shown.permute(0, 3, 1, 2).float(), (8, 6), mode="bilinear", antialias=True
            )
            far = small.permute(0, 2, 3, 1).numpy() - views.values[view]
            assert np.abs(far).max() <= 1.01
    # ... and targets belong to the view that is shown
    codes = np.array([0, -1, 2, 1, -1, 0, 1])
    taught = distilling.Taught(views, codes, told, True)
    rows = np.array([4, 0, 5])
    for epoch in range(4):
        (pixels,), targets = taught.batch(rows, epoch, 0, train=True)
        assert targets.dtype == torch.float32
        for place, row in enumerate(rows):
            view = next(v for v in (1, 2, 3) if np.array_equal(views.values[v, row], pixels[place]))
            assert view == 1 + (epoch + row) % 3
            meant = [codes[row], *told.logits[view, row], *told.features[view, row]]
            np.testing.assert_allclose(targets[place], meant)


def test_a_student_with_larger_pictures_is_not_shown_enlarged_ones(scenes, picture):  # noqa: F811
    _, model = picture
    large = Preprocess("image", STEPS)
    small = students.smaller_pictures(model, large, 0.25)
    head = Head(np.ones((12, K), np.float32), np.zeros(K, np.float32))
    given = augment_images.preset("light")
    views, _ = distilling.pictures(
        scenes, np.arange(7), small.graph.SerializeToString(), head, small.preprocess, large, given, 0, 2
    )  # fmt: skip
    source = sources.pictures(scenes, np.arange(7), large, given, 0)
    np.testing.assert_array_equal(views.values[1], source.pixels(np.arange(7), 1, train=True))
    np.testing.assert_array_equal(views.values[0], source.plain)


# ---- students


def test_smaller_pictures_keep_their_shape_and_their_share(picture):  # noqa: F811
    _, model = picture
    steps = (
        {"step": "decode", "max_pixels": 1000, "margin": 2},
        {"step": "resize", "size": 256, "mode": "shortest"},
        {"step": "center_crop", "size": [224, 224], "joined": True},
    )
    made = students.smaller_pictures(model, Preprocess("image", steps), 0.25)
    assert [step.get("size") for step in made.preprocess.steps] == [None, 128, [112, 112]]
    assert made.how == {"size": [112, 112]}
    image.check_steps(made.preprocess.steps)
    assert steps[1]["size"] == 256
    third = students.smaller_pictures(model, Preprocess("image", steps), 1 / 3)
    assert third.how == {"size": [128, 128]}


@pytest.mark.parametrize("kind", [plain, packed])
@pytest.mark.parametrize("kept", [[], [0], [1], [0, 2], [0, 1, 2]])
def test_a_graph_without_blocks_is_the_network_without_those_layers(kind, kept):
    whole = made(kind, 4)
    model = students.unpacked(onnx.load_from_string(graph_bert.bert(whole)))
    between = students.blocks(model)
    assert len(between) == 4
    fewer = replace(whole, layers=tuple(whole.layers[i] for i in [0, *(1 + i for i in kept)]))
    meant = run(onnx.load_from_string(graph_bert.bert(fewer)), TOKENS)
    found = students.without(model, between, kept)
    np.testing.assert_allclose(run(found, TOKENS), meant, atol=1e-6)
    weights = {tensor.name for tensor in found.graph.initializer}
    assert weights <= {name for node in found.graph.node for name in node.input}


@pytest.mark.parametrize(("cost", "layers"), [(0.01, 1), (0.3, 1), (0.4, 2), (0.6, 2), (1.0, 4)])
def test_as_many_layers_stay_as_the_cost_allows(cost, layers):
    model = onnx.load_from_string(graph_bert.bert(made(plain, 4)))
    found = students.fewer_blocks(model, Preprocess("text", ()), cost)
    assert len(found.how["layers"]) == layers - (cost == 1.0)  # one goes at least


def fixed(picture):  # noqa: F811
    """The net with something added that has the size of the picture it was made for."""
    _, model = picture
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    conv = next(i for i, node in enumerate(changed.graph.node) if node.op_type == "Conv")
    out = changed.graph.node[conv].output[0]
    changed.graph.node[conv].output[0] = "before"
    changed.graph.node.insert(conv + 1, helper.make_node("Add", ["before", "places"], [out]))
    places = np.zeros((1, 8, 8, 6), np.float32)
    changed.graph.initializer.append(numpy_helper.from_array(places, "places"))
    return changed


def test_a_graph_of_one_size_without_blocks_makes_no_student(material, picture):  # noqa: F811
    graph = fixed(picture).SerializeToString()
    OrtEngine(graph)
    backbone = shelf.keep(
        "fixed", graph=graph, name="tiny:fixed", modality="image", dim=12, licence="CC0-1.0",
        sha256="0" * 64, preprocess=Preprocess("image", STEPS),
    )  # fmt: skip
    with pytest.raises(BackboneError, match="No smaller student"):
        distil.fit(replace(material, backbone=backbone), CONFIG)


# ---- pictures


def features_of(backbone, inputs):
    pixels = np.stack([image.prepare(one, backbone.preprocess.steps)[0] for one in inputs])
    return OrtEngine(backbone.graph).run({"pixels": pixels})["features"]


def answers(backbone, head, inputs):
    return features_of(backbone, inputs) @ head.weight + head.bias


@pytest.fixture(scope="module")
def taught(world, picture):  # noqa: F811
    """Material whose teacher was fine-tuned on labels of which only some are left."""
    pictures, codes, held = world
    _, model = picture
    backbone = shelf.keep(
        "a net for tests", graph=model.SerializeToString(), name="tiny:net", modality="image", dim=12,
        licence="CC0-1.0", sha256="0" * 64, preprocess=Preprocess("image", STEPS),
    )  # fmt: skip
    learn = np.setdiff1d(np.arange(len(codes)), held)
    features = features_of(backbone, pictures)[learn]
    head = probe.fit(features, codes[learn], np.arange(len(learn)) % 3, K).head
    whole = Material(pictures, codes, K, held, backbone, head)
    tuned = finetune.Config(
        depth=1.0, epochs=25, lr=0.01, augment="none", head_factor=1.0, select="best"
    )
    best = finetune.fit(whole, tuned)
    rows = np.concatenate([learn[:40], held])
    return replace(
        whole,
        inputs=[pictures[row] for row in rows],
        codes=codes[rows],
        held=np.arange(40, len(rows)),
        spare=[pictures[row] for row in learn[40:]],
        teacher=(best.backbone, best.head),
    )


def score_of(logits, truth):
    said = logits.argmax(1)
    return (accuracy_score(truth, said) + f1_score(truth, said, average="macro")) / 2


PICTURES = replace(CONFIG, epochs=25, cost=0.25)


def test_a_smaller_student_comes_close_and_ships_what_it_says(taught):
    found = distil.fit(taught, PICTURES)
    held = [taught.inputs[row] for row in taught.held]
    logits = answers(found.backbone, found.head, held)
    np.testing.assert_allclose(logits, found.held_out, atol=0.02, rtol=0.01)
    assert (found.held_out_rows == taught.held).all()
    assert found.held_out.shape == (len(taught.held), K)
    teacher, head = taught.teacher
    small = students.smaller(teacher, 0.25)
    assert found.chosen["size"] == small.how["size"] == [8, 6]
    assert found.backbone.preprocess == small.preprocess != teacher.preprocess
    assert OrtEngine(found.backbone.graph).run({"pixels": np.zeros((1, 8, 6, 3), np.uint8)})
    truth = taught.codes[taught.held]
    right = {
        "teacher": (answers(teacher, head, held).argmax(1) == truth).mean(),
        "student": (found.held_out.argmax(1) == truth).mean(),
        "first epoch": found.history[0].score,
    }
    assert right["teacher"] > 0.9
    assert right["student"] >= 0.9 * right["teacher"]
    assert right["student"] > right["first epoch"]
    meant = score_of(answers(teacher, head, held), truth)
    assert found.chosen["teacher_score"] == pytest.approx(meant)
    assert found.chosen["spare"] == len(taught.spare)
    assert 0 < found.chosen["cost"] < 1
    assert found.chosen["stopped"] == "done"


def start_of(material):  # noqa: F811
    """What a student says whose head is the linear map to the teacher's logits, and its graph."""
    teacher, head = material.teacher
    small = students.smaller(teacher, 0.25)
    learn = [*material.inputs[:40], *material.spare]
    inputs = [*learn, *material.inputs[40:]]
    pixels = np.stack([image.prepare(one, small.preprocess.steps)[0] for one in inputs])
    features = OrtEngine(small.graph.SerializeToString()).run({"pixels": pixels})["features"]
    weight, bias = distilling.linear(features[: len(learn)], answers(teacher, head, learn))
    return features[len(learn) :] @ weight + bias, small.graph


def test_the_start_is_the_linear_map_to_the_teachers_logits(taught):
    found = distil.fit(taught, replace(CONFIG, epochs=1, lr=1e-9, cost=0.25))
    np.testing.assert_allclose(found.held_out, start_of(taught)[0], atol=0.02, rtol=0.01)


def test_a_training_that_only_does_harm_leaves_the_start(taught):
    found = distil.fit(taught, replace(CONFIG, epochs=1, lr=0.5, cost=0.25))
    said, graph = start_of(taught)
    assert found.chosen["best"] == 0
    np.testing.assert_allclose(found.held_out, said, atol=0.02, rtol=0.01)
    shipped = onnx.load(str(found.backbone.graph))
    for one, other in zip(graph.graph.initializer, shipped.graph.initializer):
        assert one.raw_data == other.raw_data
    held = [taught.inputs[row] for row in taught.held]
    logits = answers(found.backbone, found.head, held)
    np.testing.assert_allclose(logits, found.held_out, atol=0.02, rtol=0.01)


def test_inputs_without_labels_help(taught):
    without = distil.fit(replace(taught, spare=()), PICTURES)
    found = distil.fit(taught, PICTURES)
    assert found.history[-1].held_loss < without.history[-1].held_loss
    assert without.chosen["spare"] == 0


def test_spare_rows_and_rows_whose_code_is_missing_are_the_same(taught):
    config = replace(CONFIG, epochs=2, lr=1e-3)
    few = replace(taught, spare=taught.spare[:20])
    found = distil.fit(few, config)
    n = len(few.codes)
    other = replace(
        few,
        inputs=[*few.inputs, *few.spare],
        codes=np.concatenate([few.codes, np.full(20, -1)]),
        spare=(),
    )
    assert distil.fit(other, config).held_out.tobytes() == found.held_out.tobytes()
    assert len(other.codes) == n + 20


def test_the_same_again_and_another_seed(taught):
    config = replace(CONFIG, epochs=4, lr=3e-3, cost=0.25, features=0.0)
    one, other = distil.fit(taught, config), distil.fit(taught, config)
    assert one.chosen["best"] > 0
    assert one.held_out.tobytes() == other.held_out.tobytes()
    assert one.head.weight.tobytes() == other.head.weight.tobytes()
    assert one.backbone.graph_id == other.backbone.graph_id
    seeded = distil.fit(replace(taught, seed=1), config)
    assert seeded.backbone.graph_id != one.backbone.graph_id


def test_a_training_that_was_kept_is_taken_up(taught, tmp_path):
    config = replace(CONFIG, epochs=2)
    kept = replace(taught, folder=tmp_path)
    first = distil.fit(kept, config)
    told = []
    again = distil.fit(kept, config, progress=lambda epoch, of: told.append(epoch))
    assert told == []  # all epochs were there
    assert again.backbone.graph_id == first.backbone.graph_id
    assert again.held_out.tobytes() == first.held_out.tobytes()


@pytest.mark.parametrize("config", [
    replace(CONFIG, epochs=3, labels=0.0),  # no label counts at all, so none can choose the epoch
    replace(CONFIG, epochs=1, labels=0.7, select="last"),  # nothing is chosen
])  # fmt: skip
def test_labels_of_held_out_rows_teach_nothing(taught, config):
    codes = taught.codes.copy()
    codes[taught.held] = np.roll(codes[taught.held], 1)
    one, other = distil.fit(taught, config), distil.fit(replace(taught, codes=codes), config)
    assert one.backbone.graph_id == other.backbone.graph_id
    assert one.head.weight.tobytes() == other.head.weight.tobytes()
    assert one.held_out.tobytes() == other.held_out.tobytes()
    assert one.chosen["score"] != other.chosen["score"]


def test_the_lower_layers_may_stay(taught):
    found = distil.fit(taught, replace(CONFIG, depth=0.67, epochs=6, lr=3e-3, cost=0.25))
    assert found.chosen["best"] > 0
    assert found.chosen["depth"] == pytest.approx(2 / 3)
    before = students.smaller(taught.teacher[0], 0.25).graph
    after = onnx.load(str(found.backbone.graph))
    depth = students.layers(before).depth
    for one, other in zip(before.graph.initializer, after.graph.initializer):
        changed = one.raw_data != other.raw_data
        assert changed == (depth.get(one.name, -1) >= 1), one.name
    held = [taught.inputs[row] for row in taught.held]
    logits = answers(found.backbone, found.head, held)
    np.testing.assert_allclose(logits, found.held_out, atol=0.02, rtol=0.01)


def test_without_a_teacher_the_probe_teaches(material):  # noqa: F811
    found = distil.fit(material, replace(CONFIG, epochs=1))
    held = [material.inputs[row] for row in material.held]
    told = answers(material.backbone, material.head, held)
    meant = score_of(told, material.codes[material.held])
    assert found.chosen["teacher_score"] == pytest.approx(meant)
    assert found.chosen["teacher"] == material.backbone.name


def test_a_given_student_of_another_width(taught, picture):  # noqa: F811
    """Its features are matched through a map that does not ship."""
    _, model = picture
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    last = wide.graph.node[-1]
    last.output[0] = "narrow"
    rng = np.random.default_rng(0)
    kernel = rng.normal(0, 0.5, (12, 20)).astype(np.float32)
    wide.graph.initializer.append(numpy_helper.from_array(kernel, "kernel"))
    wide.graph.node.append(helper.make_node("MatMul", ["narrow", "kernel"], ["features"]))
    wide.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 20
    student = shelf.keep(
        "wide", graph=wide.SerializeToString(), name="tiny:wide", modality="image", dim=20,
        licence="CC0-1.0", sha256="0" * 64, preprocess=Preprocess("image", STEPS),
    )  # fmt: skip
    given = replace(taught, student=student)
    found = distil.fit(given, replace(CONFIG, epochs=15, student="tiny:wide"))
    assert found.head.weight.shape == (20, K)
    assert found.backbone.dim == 20
    assert found.backbone.name == "tiny:wide"
    assert not {"size", "layers"} & found.chosen.keys()
    assert found.chosen["score"] > 0.9
    shipped = onnx.load(str(found.backbone.graph))
    assert len(shipped.graph.initializer) == len(wide.graph.initializer)
    held = [taught.inputs[row] for row in taught.held]
    logits = answers(found.backbone, found.head, held)
    np.testing.assert_allclose(logits, found.held_out, atol=0.02, rtol=0.01)


def test_what_cannot_be(taught):
    with pytest.raises(ConfigError, match="timm:resnet10t is not there"):
        distil.fit(taught, replace(CONFIG, student="timm:resnet10t"))
    with pytest.raises(ConfigError, match="takes texts"):
        distil.fit(replace(taught, student=replace(taught.backbone, modality="text")), CONFIG)


# ---- texts


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """Texts whose class is which two words come together, and a network of four layers that reads them."""
    words = ["[PAD]", "[UNK]", *(f"w{i}" for i in range(48))]
    tokenizer = json.dumps(
        {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
            "model": {
                "type": "WordLevel", "vocab": {word: i for i, word in enumerate(words)}, "unk_token": "[UNK]",
            },
        }
    )  # fmt: skip
    rng = np.random.default_rng(0)
    inputs, codes = [], []
    for i in range(160):
        said = [f"w{j}" for j in rng.integers(9, 48, rng.integers(2, 9))]
        said += [f"w{3 * (i % 3) + j}" for j in rng.integers(0, 3, 2)]
        inputs.append(" ".join(rng.permutation(said)))
        codes.append(i % 3)
    graph = graph_bert.bert(made(plain, 4))
    backbone = shelf.keep(
        "sentences", graph=graph, name="tiny:bert", modality="text", dim=64, licence="CC0-1.0",
        sha256="0" * 64, preprocess=Preprocess("text", ({"step": "tokenize", "max_length": 20},)),
        tokenizer=tokenizer,
    )  # fmt: skip
    held = np.arange(0, 100, 4)
    learn = np.setdiff1d(np.arange(100), held)
    features = text_features(backbone, inputs)
    codes = np.array(codes)
    head = probe.fit(features[learn], codes[learn], np.arange(len(learn)) % 3, 3).head
    return Material(inputs[:100], codes[:100], 3, held, backbone, head, spare=inputs[100:])


def text_features(backbone, inputs):
    encoder = text.TextEncoder(backbone.tokenizer.read_bytes(), backbone.preprocess.steps)
    session = onnxruntime.InferenceSession(str(backbone.graph))
    ids, _ = encoder.encode(inputs)
    return np.concatenate([session.run(None, text.pad([one]))[0] for one in ids])


TEXTS = distil.Config(epochs=12, lr=1e-3, head_factor=3.0, cost=0.5)


@pytest.mark.parametrize("features", [0.0, 1.0])
def test_texts_are_learned_with_fewer_layers(sentences, features):
    found = distil.fit(sentences, replace(TEXTS, features=features))
    assert found.chosen["layers"] == [0, 1]
    before, after = (onnx.load(str(one.graph)) for one in (sentences.backbone, found.backbone))
    assert len(after.graph.node) < 0.7 * len(before.graph.node)
    held = [sentences.inputs[row] for row in sentences.held]
    made_of = text_features(found.backbone, held)
    # the end is still there: unit vectors
    np.testing.assert_allclose(np.linalg.norm(made_of, axis=1), 1, atol=1e-4)
    logits = made_of @ found.head.weight + found.head.bias
    np.testing.assert_allclose(logits, found.held_out, atol=0.02, rtol=0.01)
    meant = text_features(sentences.backbone, held)
    told = meant @ sentences.head.weight + sentences.head.bias
    assert (found.held_out.argmax(1) == told.argmax(1)).mean() >= 0.8
    truth = sentences.codes[sentences.held]
    assert found.chosen["score"] == pytest.approx(score_of(found.held_out, truth))
    assert found.chosen["teacher_score"] == pytest.approx(score_of(told, truth))
    assert found.backbone.preprocess == sentences.backbone.preprocess


def test_unlabelled_texts_count(sentences):
    config = replace(TEXTS, epochs=2, lr=1e-4)
    one, other = distil.fit(sentences, config), distil.fit(replace(sentences, spare=()), config)
    assert one.chosen["best"] > 0
    assert one.backbone.graph_id != other.backbone.graph_id
    again = distil.fit(sentences, config)
    assert again.backbone.graph_id == one.backbone.graph_id
