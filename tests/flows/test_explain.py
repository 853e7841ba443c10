"""headstart explain from end to end, with tiny backbones."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import explain_examples as ex
import headstart as hs
from headstart.backbones.choose import backbone_named
from headstart.data import table as tables
from headstart.errors import DataError
from headstart.features.extract import extract
from headstart.features.store import Store
from headstart.runtime.reader import open_bundle


def fitted(data, backbone, folder):
    """A bundle folder of a fit, with all rows of the data as its reference."""
    model = hs.fit(data, backbone=backbone)
    shutil.copytree(model.folder, folder)
    table = tables.read(data)
    features = extract(table, backbone_named(backbone), store=Store(folder.parent / "store"))
    codes = [model.labels.index(label) for label in table.targets]
    ex.with_reference(folder, ex.rows(features.values, codes, table.names))
    return folder


@pytest.fixture
def colours(photos, tmp_path):
    return fitted(photos, "tiny:image", tmp_path / "colours")


@pytest.fixture
def moods(reviews, tmp_path):
    return fitted(reviews, "tiny:text", tmp_path / "moods")


def test_a_picture(run, colours, photos, tmp_path):
    one = photos / "red" / "red03.png"
    status, printed, err = run("explain", colours, one)
    assert status == 0, err
    assert "red  " in printed
    assert "Place by place" in printed
    assert re.search(r"1\.000 +red +red/red03\.png", printed)
    assert "\x1b" not in printed
    page = tmp_path / "why.html"
    status, printed, err = run(
        "explain",
        colours,
        one,
        "--out",
        page,
        "--data",
        photos,
        "--json",
        "--lang",
        "zh",
        "--quiet",
    )
    assert status == 0, err
    (why,) = json.loads(printed)["explanations"]
    assert why["label"] == why["prediction"]["label"] == "red"
    assert why["neighbours"][0]["name"] == "red/red03.png"
    assert len(why["neighbours"]) == 5
    assert why["heat"]["height"] == 40
    assert why["passes"] <= 200
    html = page.read_text("utf-8")
    assert 'lang="zh-CN"' in html
    assert html.count("data:image/jpeg;base64,") == 6  # the picture and five neighbours
    drawn = tmp_path / "why.png"
    assert run("explain", colours, one, "--out", drawn)[0] == 0
    with Image.open(drawn) as opened:
        assert opened.size == (48, 40)


def test_a_text_and_why_not_the_other_label(run, moods, tmp_path):
    status, printed, err = run("explain", moods, "lovely perfect 好", "--label", "bad")
    assert status == 0, err
    assert "what speaks for and against “bad”" in printed
    assert "The nearest training examples" in printed
    status, printed, err = run(
        "explain", moods, "lovely perfect 好", "awful 坏 =awful terrible", "--json", "--budget", 50
    )
    shown = json.loads(printed)
    assert [one["label"] for one in shown["explanations"]] == ["good", "bad"]
    assert [s["text"] for s in shown["explanations"][1]["spans"]] == [
        "awful",
        "坏",
        "=awful",
        "terrible",
    ]
    assert shown["skipped"] == []


def test_neighbours_texts_are_shown_with_the_data(run, moods, reviews, tmp_path):
    page = tmp_path / "why.html"
    status, printed, err = run(
        "explain", moods, "lovely perfect", "--data", reviews, "--out", page, "--neighbours", 3
    )
    assert status == 0, err
    lines = reviews.read_text("utf-8").splitlines()
    rows = re.findall(r"reviews\.csv:(\d+)", printed)
    assert len(rows) == 3
    for row in rows:
        text = lines[int(row) - 1].rpartition(",")[0]
        assert text in printed
        assert text in page.read_text("utf-8")


def test_one_broken_input_costs_only_itself(run, colours, photos, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    page = tmp_path / "why.html"
    given = [photos / "red" / "red00.png", broken, photos / "blue" / "blue00.png"]
    status, printed, err = run("explain", colours, *given, "--out", page, "--json", "--budget", 40)
    assert status == 0
    shown = json.loads(printed)
    assert [one["label"] for one in shown["explanations"]] == ["red", "blue"]
    assert [one["input"] for one in shown["skipped"]] == [str(broken)]
    assert f"skipped {broken}: " in err
    assert "broken.png" in page.read_text("utf-8")
    assert "Not explained" in page.read_text("utf-8")
    assert run("explain", colours, *given, "--strict", "--budget", 40)[0] == 3


def test_mistakes_of_the_caller(run, colours, moods, photos, tmp_path):
    one = photos / "red" / "red00.png"
    for arguments, parts in (
        ([colours, tmp_path / "none.png"], ["cannot be explained: no such file"]),
        ([moods, "  "], ["empty text", "not empty"]),
        ([moods, "  ", ""], ["None of the 2 inputs can be read"]),
        ([colours, one, "--label", "gren"], ["no label 'gren'", "did you mean 'green'", "blue"]),
        ([colours, one, "--budget", 2], ["The budget is 2", "between 16 and"]),
        ([colours, one, "--lang", "fr"], ["'fr'", "en, zh"]),
        ([colours, one, "--out", tmp_path / "why.pdf"], ["neither a page nor a picture"]),
        ([colours, one, "--out", tmp_path / "no" / "why.html"], ["There is no folder"]),
        ([moods, "good", "--out", tmp_path / "why.png"], ["one picture only"]),
        ([colours, one, "--data", tmp_path / "nowhere"], ["nowhere"]),
        ([tmp_path / "none.headstart", one], ["There is no bundle"]),
        ([moods, *["good"] * 101], ["101 inputs", "at most 100"]),
    ):
        status, out, err = run("explain", *arguments)
        assert status == 2, (arguments, err)
        assert err.startswith("error: ")
        assert "  fix: " in err
        for part in parts:
            assert part in err, (part, err)
        assert "Traceback" not in err
        assert out == ""


def test_a_bundle_without_a_reference(run, photos, tmp_path):
    model = hs.fit(photos, backbone="tiny:image")
    folder = tmp_path / "old"
    shutil.copytree(model.folder, folder)
    manifest = dict(open_bundle(folder).manifest)
    manifest["files"] = {k: v for k, v in manifest["files"].items() if "reference" not in k}
    ex.write(folder, manifest, {})
    status, printed, err = run("explain", folder, photos / "red" / "red00.png")
    assert status == 0, err
    assert "keeps nothing of its training examples" in printed
    assert "Place by place" in printed


def test_in_python(colours, photos):
    model = hs.load(colours)
    why = model.explain(photos / "green" / "green01.png", neighbours=2, budget=60)
    assert why.label == "green"
    assert len(why.neighbours) == 2
    assert why.heat.shape == (40, 48)
    told = []
    array = np.asarray(Image.open(photos / "red" / "red01.png"))
    model.explain(array, label="blue", progress=lambda *one: told.append(one))
    assert {stage for stage, _, _ in told} == {"explain"}
    with pytest.raises(DataError, match="60 inputs"):
        model.explain(photos)
    assert model.explain("nowhere.png").label is None
