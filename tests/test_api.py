"""The verbs from Python, on every kind of input."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.errors import BackboneError, ConfigError, DataError, HeadstartError
from tests_support import COLOURS, paint

PLUGIN = Path(__file__).parent / "plugin"

WORDS = {"good": "lovely great happy", "bad": "awful broken sad"}
ROWS = [(f"{WORDS[label]} {i}", label) for i in range(30) for label in WORDS]


def as_frame(kind):
    texts, labels = zip(*ROWS)
    columns = {"text": list(texts), "label": list(labels)}
    if kind == "dict":
        return columns
    if kind == "pairs":
        return ROWS
    if kind == "records":
        return [{"text": text, "label": label} for text, label in ROWS]
    if kind == "datasets":
        return pytest.importorskip("datasets").Dataset.from_dict(columns)
    module = pytest.importorskip({"pandas": "pandas", "polars": "polars", "arrow": "pyarrow"}[kind])
    return module.table(columns) if kind == "arrow" else module.DataFrame(columns)


@pytest.mark.parametrize(
    "kind", ["dict", "pairs", "records", "pandas", "polars", "arrow", "datasets"]
)
def test_every_kind_of_table_gives_the_same_model(kind):
    model = hs.fit(as_frame(kind), backbone="tiny:text")
    reference = hs.fit(as_frame("dict"), backbone="tiny:text")
    assert model.labels == ("bad", "good")
    assert model.evaluation.metrics == reference.evaluation.metrics
    assert [one.label for one in model.predict(["lovely happy", "sad broken"])] == ["good", "bad"]
    assert model.predict("lovely great")[0].label == "good"


def test_a_dataset_of_pictures():
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    rng = np.random.default_rng(0)
    names = list(COLOURS)
    pictures = [
        Image.fromarray(
            rng.normal(COLOURS[names[i % 3]], 45, (24, 32, 3)).clip(0, 255).astype(np.uint8)
        )
        for i in range(45)
    ]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    )
    data = datasets.Dataset.from_dict(
        {"image": pictures, "label": [i % 3 for i in range(45)]}, features
    )
    model = hs.fit(data, backbone="tiny:image")
    assert model.labels == tuple(sorted(names))
    assert model.predict([pictures[0]])[0].label == names[0]


def test_evaluate_agrees_with_what_fit_measured(photos, tmp_path):
    rng = np.random.default_rng(4)
    for name, colour in COLOURS.items():
        for i in range(8):
            paint(tmp_path / "test" / name / f"{i}.png", np.array(colour) * 0.5 + 60, rng)
    model = hs.fit(photos, tmp_path / "test", backbone="tiny:image")
    again = hs.evaluate(model, tmp_path / "test")
    assert again.n == model.evaluation.n == 24
    for name, metric in model.evaluation.metrics.items():
        assert again.metrics[name].value == pytest.approx(metric.value, abs=1e-4)
    assert (again.confusion == model.evaluation.confusion).all()
    from_file = hs.evaluate(model.save(tmp_path / "m.headstart"), tmp_path / "test")
    assert from_file.metrics == again.metrics


def test_the_split_of_the_data_is_used(tmp_path):
    rng = np.random.default_rng(0)
    for part, n in (("train", 8), ("val", 4), ("test", 5)):
        for name, colour in COLOURS.items():
            for i in range(n):
                paint(tmp_path / part / name / f"{i}.png", colour, rng)
    model = hs.fit(tmp_path, backbone="tiny:image")
    assert model.evaluation.n == 15
    assert model.evaluation.split == "test"
    assert "its test rows" in model.evaluation.protocol


def test_test_data_with_a_split_of_its_own_gives_its_test_rows(photos, tmp_path):
    rng = np.random.default_rng(0)
    for part, n in (("train", 8), ("test", 3)):
        for name, colour in COLOURS.items():
            for i in range(n):
                paint(tmp_path / "other" / part / name / f"{i}.png", colour, rng)
    model = hs.fit(photos, tmp_path / "other", backbone="tiny:image")
    assert model.evaluation.n == hs.evaluate(model, tmp_path / "other").n == 9


def test_labels_that_were_never_seen_are_named_and_left_out(photos, tmp_path):
    rng = np.random.default_rng(4)
    for name in ("red", "purple"):
        for i in range(5):
            paint(tmp_path / "test" / name / f"{i}.png", (210, 50, 40), rng)
    model = hs.fit(photos, tmp_path / "test", backbone="tiny:image")
    assert model.evaluation.n == 5
    assert any("purple" in note for note in model.evaluation.notes)


def test_notebooks_show_cards_with_everything_escaped(tmp_path):
    hostile = "<script>alert(1)</script>"
    columns = {
        "text": [f"{WORDS['good']} {i}" for i in range(20)]
        + [f"{WORDS['bad']} {i}" for i in range(20)]
    }
    columns["label"] = [hostile] * 20 + ["bad"] * 20
    model = hs.fit(columns, backbone="tiny:text")
    shown = model._repr_html_() + model.predict([hostile, "lovely"])._repr_html_()
    assert "<script" not in shown
    assert "&lt;script" in shown
    assert "accuracy" in repr(model)


def test_settings_are_checked_before_any_work():
    with pytest.raises(ConfigError, match=r"sead.*did you mean 'seed'"):
        hs.fit("no/such/folder", sead=1)
    with pytest.raises(DataError, match="no file or folder"):
        hs.fit("no/such/folder")
    with pytest.raises(BackboneError, match="SOURCE:NAME"):
        hs.fit(ROWS, backbone="resnet18")


def test_the_same_seed_gives_the_same_bytes_and_another_another_split():
    one, two, other = (hs.fit(ROWS, backbone="tiny:text", seed=seed) for seed in (3, 3, 4))
    for name in ("model.onnx", "weights.safetensors"):
        assert one.predictor.files.read(name) == two.predictor.files.read(name)
    assert one.evaluation.metrics == two.evaluation.metrics
    assert one.predictor.files.read("weights.safetensors") != other.predictor.files.read(
        "weights.safetensors"
    )


def test_groups_are_not_torn_apart():
    columns = {"text": [t for t, _ in ROWS], "label": [c for _, c in ROWS]}
    columns["writer"] = [f"w{i // 6}" for i in range(60)]
    table = hs.read(columns, group="writer")
    model = hs.fit(table, backbone="tiny:text")
    assert "groups" in model.evaluation.protocol or any(
        "groups" in note for note in model.report.notes
    )


def test_loading_and_predicting_load_nothing_heavy(photos, tmp_path):
    path = hs.fit(photos, backbone="tiny:image").save(tmp_path / "m.headstart")
    code = textwrap.dedent(
        """
        import sys
        from headstart.cli.main import main
        assert main(["predict", sys.argv[1], sys.argv[2]]) == 0
        heavy = {"torch", "onnx", "sklearn", "scipy", "pandas", "pyarrow", "timm", "transformers", "jinja2"}
        loaded = heavy & set(sys.modules)
        assert not loaded, loaded
        """
    )
    picture = photos / "red" / "red00.png"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(picture)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert ",red," in done.stdout


def test_the_runtime_needs_four_packages(photos, tmp_path):
    """numpy, onnxruntime, pillow and tokenizers; everything else is made impossible to import."""
    path = hs.fit(photos, backbone="tiny:image").save(tmp_path / "m.headstart")
    words = hs.fit(ROWS, backbone="tiny:text").save(tmp_path / "w.headstart")
    code = textwrap.dedent(
        """
        import sys
        for name in ("onnx", "jinja2", "markupsafe", "nanoarrow", "platformdirs", "typer", "rich",
                     "safetensors", "pyarrow", "sklearn", "torch"):
            sys.modules[name] = None
        from headstart.runtime.predictor import BundlePredictor
        assert BundlePredictor(sys.argv[1]).predict([sys.argv[2]])[0].label == "red"
        assert BundlePredictor(sys.argv[3]).predict(["lovely happy"])[0].label == "good"
        """
    )
    arguments = [str(path), str(photos / "red" / "red00.png"), str(words)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_fitting_loads_no_torch(photos, tmp_path):
    """What other tests see of torch in sys.modules is theirs: a fresh process tells."""
    code = textwrap.dedent(
        """
        import sys
        sys.path.insert(0, sys.argv[2])
        import headstart as hs
        hs.fit(sys.argv[1], backbone="tiny:image")
        loaded = {"torch", "timm", "transformers", "sklearn"} & set(sys.modules)
        assert not loaded, loaded
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(photos), str(PLUGIN)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_fit_can_start_from_an_earlier_bundle(photos, tmp_path):
    first = hs.fit(photos, backbone="tiny:image", out=tmp_path / "a.headstart")
    chosen = first.predictor.files.manifest["method"]["chosen"]
    (photos / "green").rename(photos / "verde")  # one label has another name now
    again = hs.fit(photos, backbone="tiny:image", start=str(tmp_path / "a.headstart"))
    assert again.evaluation.metrics["accuracy"].value == 1.0
    method = again.predictor.files.manifest["method"]["chosen"]
    assert method["penalty"] == chosen["penalty"]
    assert method["by"] == "the penalty was given"
    assert set(again.labels) == {"blue", "red", "verde"}


def test_a_start_on_another_backbone_is_refused(photos, reviews, tmp_path):
    hs.fit(reviews, backbone="tiny:text", out=tmp_path / "a.headstart")
    with pytest.raises(HeadstartError, match="its head does not fit") as caught:
        hs.fit(photos, backbone="tiny:image", start=str(tmp_path / "a.headstart"))
    assert caught.value.fix == "leave --start out"
    with pytest.raises(HeadstartError, match=r"none\.headstart"):
        hs.fit(photos, backbone="tiny:image", start=str(tmp_path / "none.headstart"))
