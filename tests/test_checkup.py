"""The doctor from data to findings and plan, with the tiny backbones."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps

import headstart as hs
from headstart import checkup
from headstart.errors import ConfigError, DataError
from tests_support import scene


def doctor(data, *arguments, **keywords):
    kind = "text" if str(data).endswith(".csv") else "image"
    return hs.doctor(data, *arguments, backbone=f"tiny:{kind}", **keywords)


def rows_of(found, kind):
    return [name for one in found.findings if one.kind == kind for name in one.rows]


@pytest.fixture
def scenes(tmp_path):
    """Two classes of unlike pictures, 15 each; some copied, mirrored, blank."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "scenes"
    for name, shift in (("bright", 60), ("dark", -60)):
        (folder / name).mkdir(parents=True)
        for i in range(15):
            pixels = np.asarray(scene(rng)).astype(int) // 2 + 64 + shift
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                folder / name / f"{i:02}.png"
            )
    return folder


def test_pictures(scenes):
    shutil.copy(scenes / "bright" / "00.png", scenes / "bright" / "copy.png")
    shutil.copy(scenes / "bright" / "01.png", scenes / "dark" / "wrong.png")
    ImageOps.mirror(Image.open(scenes / "dark" / "03.png")).save(scenes / "dark" / "mirror.jpg")
    Image.new("RGB", (160, 120), (9, 9, 9)).save(scenes / "dark" / "flat.png")
    (scenes / "dark" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    found = doctor(scenes)
    assert rows_of(found, "duplicates") == [
        "bright/00.png", "bright/copy.png", "bright/01.png", "dark/wrong.png",
    ]  # fmt: skip
    assert rows_of(found, "conflicting-labels") == ["bright/01.png", "dark/wrong.png"]
    assert rows_of(found, "near-duplicates") == ["dark/03.png", "dark/mirror.jpg"]
    assert rows_of(found, "blank") == ["dark/flat.png"]
    assert [skip.input for skip in found.skipped] == ["dark/broken.png"]
    by_name = {line.name: line for line in found.plan}
    assert by_name["bright/copy.png"].action == "drop"
    assert by_name["dark/flat.png"].action == "drop"
    assert by_name["dark/wrong.png"].action == "keep"  # a person decides
    assert "bright/00.png" not in by_name
    assert found.counts["blank"] == 1
    assert found.rows == 35
    assert {"read", "bytes", "features", "duplicates", "suspects"} <= set(found.seconds)


def test_findings_count_the_rows_of_the_data(scenes):
    (scenes / "bright" / "000-broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    shutil.copy(scenes / "dark" / "05.png", scenes / "dark" / "z.png")
    ImageOps.flip(Image.open(scenes / "dark" / "04.png")).save(scenes / "dark" / "y.png")
    found = doctor(scenes)
    names = hs.read(scenes).names
    for one in found.findings:
        assert tuple(names[i] for i in one.numbers) in (one.rows, ())
    assert rows_of(found, "near-duplicates") == ["dark/04.png", "dark/y.png"]


def test_a_later_fit_computes_nothing(scenes, monkeypatch):
    assert doctor(scenes).computed == 30
    assert doctor(scenes).computed == 0

    def refuse(*_):
        raise AssertionError("computed again")

    from headstart.features import extract

    monkeypatch.setattr(extract._Run, "_local", refuse)
    hs.fit(scenes, backbone="tiny:image")


def test_leaks_within_the_data_and_into_a_test_set(scenes, tmp_path):
    test = tmp_path / "test"
    shutil.copytree(scenes, test)
    for path in [*test.rglob("0[3-9].png"), *test.rglob("1*.png")]:
        path.unlink()
    for path in test.rglob("02.png"):
        ImageOps.mirror(Image.open(path)).save(path)
    found = doctor(scenes, test)
    assert found.tested == 6
    assert rows_of(found, "leak") == [
        "bright/00.png",
        "bright/01.png",
        "dark/00.png",
        "dark/01.png",
    ]
    assert rows_of(found, "near-leak") == ["bright/02.png", "dark/02.png"]
    assert found.findings[0].severity == "error"
    assert {line.name for line in found.plan if line.action == "drop"} >= {
        "bright/00.png",
        "dark/02.png",
    }
    both = tmp_path / "both"
    both.mkdir()
    scenes.rename(both / "train")
    test.rename(both / "test")
    found = doctor(both)
    assert rows_of(found, "leak")[0] == "train/bright/00.png"
    assert not [line for line in found.plan if line.name.startswith("test/")]
    quick = hs.doctor(both, features=False)
    assert rows_of(quick, "leak") == rows_of(found, "leak")
    assert rows_of(quick, "near-leak") == rows_of(found, "near-leak")
    assert quick.backbone == ""


def test_texts_with_a_flipped_label_and_a_telling_column(reviews):
    rows = list(csv.DictReader(reviews.read_text("utf-8").splitlines()))
    wrong = (4, 31, 77)
    for i, row in enumerate(rows):
        row["mood"] = {"good": "1", "bad": "0"}[row["label"]]
        if i in wrong:
            row["label"] = {"good": "bad", "bad": "good"}[row["label"]]
    with reviews.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    found = doctor(reviews, input="text", target="label")
    finding = next(one for one in found.findings if one.kind == "wrong-labels")
    assert set(finding.numbers[:3]) == set(wrong)
    assert "leaking-column" not in found.counts  # right in 97.5 % of the rows only
    assert found.plan[0].label != found.plan[0].suggestion
    json.dumps(found.to_json(), allow_nan=False)


def test_few_rows_and_no_features(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\none text,a\none text!,a\n")
    found = doctor(path)
    assert set(found.counts) >= {"duplicates", "one-class"}
    assert any("labels were not checked" in note for note in found.notes)
    quick = hs.doctor(path, features=False)
    assert set(quick.counts) == {"duplicates", "one-class"}
    assert quick.computed == 0


def test_what_is_refused(scenes, tmp_path):
    with pytest.raises(DataError, match="is the data itself"):
        hs.doctor(scenes, str(scenes))
    with pytest.raises(ConfigError, match="there is no such setting") as error:
        hs.doctor(scenes, colour="red")
    assert "doctor --help" in error.value.fix
    with pytest.raises(DataError, match="no labels"):
        hs.doctor(hs.read(scenes).take(range(4)).__class__(
            inputs=("a",), targets=None, names=("a",), modality="text",
            roles=hs.read(scenes).roles, source="x",
        ))  # fmt: skip
    for path in scenes.rglob("*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="None of the 30 inputs"):
        doctor(scenes)


def test_a_plan_is_carried_out(scenes, tmp_path):
    shutil.copy(scenes / "bright" / "00.png", scenes / "bright" / "copy.png")
    found = doctor(scenes)
    found.save_plan(tmp_path / "plan.csv")
    config = checkup.configure({})
    made = checkup.apply(scenes, tmp_path / "plan.csv", tmp_path / "clean.csv", config)
    assert made.dropped == found.actions["drop"] == 1
    assert len(hs.read(tmp_path / "clean.csv")) == 30
    assert (scenes / "bright" / "copy.png").exists()
    scene(np.random.default_rng(9)).save(scenes / "bright" / "copy.png")
    with pytest.raises(DataError, match=r"bright/copy\.png is not the row"):
        checkup.apply(scenes, tmp_path / "plan.csv", tmp_path / "clean.csv", config)
