"""The command line from end to end, with tiny backbones: what is typed, printed, written and returned."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from headstart.data import table as tables
from tests_support import paint


def fit_json(run, *arguments):
    status, out, err = run("fit", *arguments, "--json", "--quiet")
    assert status == 0, err
    return json.loads(out)


def test_pictures_from_folder_to_predictions(run, photos, tmp_path):
    out = tmp_path / "colours.headstart"
    status, printed, _ = run("fit", photos, "--backbone", "tiny:image", "--out", out)
    assert status == 0
    assert str(out) in printed
    page = tmp_path / "colours.report.html"
    assert str(page) in printed
    assert "</html>" in page.read_text(encoding="utf-8")
    written = tmp_path / "predictions.csv"
    status, printed, _ = run(
        "predict", out, photos / "red", photos / "blue" / "blue00.png", "--out", written
    )
    assert status == 0
    assert printed == ""
    rows = list(csv.DictReader(io.StringIO(written.read_text(encoding="utf-8"))))
    assert list(rows[0]) == ["input", "label", "probability", "set", "abstained", "reason"]
    assert [row["label"] for row in rows] == ["red"] * 20 + ["blue"]
    assert all("red" in row["set"].split("|") for row in rows[:20])
    status, printed, _ = run("evaluate", out, photos, "--json", "--quiet")
    measured = json.loads(printed)
    assert measured["metrics"]["accuracy"]["value"] == 1.0
    assert measured["n"] == 60
    assert measured["bundle"] == str(out)
    status, printed, _ = run("report", out, "--lang", "zh", "--out", tmp_path / "zh.html")
    assert printed.strip() == str(tmp_path / "zh.html")
    assert 'lang="zh' in (tmp_path / "zh.html").read_text(encoding="utf-8")


def test_the_json_of_fit_has_the_forms_that_others_build_on(run, photos, tmp_path):
    (photos / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    made = fit_json(run, photos, "--backbone", "tiny:image", "--out", tmp_path / "m.headstart")
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss"):
        metric = made["metrics"][name]
        assert set(metric) == {"value", "low", "high"}
        assert metric["low"] <= metric["value"] <= metric["high"]
    assert made["n"] == 12
    assert made["split"] == "held-out"
    assert [skip["input"] for skip in made["skipped"]] == ["red/broken.png"]
    assert made["skipped"][0]["reason"]
    assert {"read", "backbone", "features", "fit", "evaluate", "save"} <= set(made["seconds"])
    assert made["bundle"] == str(tmp_path / "m.headstart")
    assert set(made["baselines"]) == {"majority", "knn"}


def test_a_table_of_texts(run, reviews, tmp_path):
    out = tmp_path / "mood.headstart"
    made = fit_json(
        run,
        reviews,
        "--input",
        "text",
        "--target",
        "label",
        "--backbone",
        "tiny:text",
        "--out",
        out,
    )
    assert made["metrics"]["accuracy"]["value"] > 0.8
    status, printed, _ = run("predict", out, "lovely perfect 好", "=broken awful 坏", "--json")
    answers = json.loads(printed)
    assert [one["label"] for one in answers] == ["good", "bad"]
    assert set(answers[0]) == {"input", "label", "probability", "set", "abstained", "reason"}
    assert answers[1]["input"] == "=broken awful 坏"
    status, printed, _ = run("predict", out, reviews, "=broken awful 坏")
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert len(rows) == 121
    assert rows[0]["row"] == f"{reviews.name}:2"
    assert rows[-1]["input"] == "'=broken awful 坏"  # a spreadsheet must not run it


def test_python_flags_and_toml_are_the_same_call(run, photos, tmp_path):
    import headstart as hs

    (tmp_path / "fit.toml").write_text(
        'backbone = "tiny:image"\nseed = 5\ntest_size = 0.3\n[probe]\npenalty = 0.01\n'
    )
    by_toml = fit_json(
        run, photos, "--config", tmp_path / "fit.toml", "--out", tmp_path / "a.headstart"
    )
    by_flags = fit_json(
        run, photos, "--backbone", "tiny:image", "--seed", 5, "--test-size", 0.3, "--probe-penalty", 0.01,
        "--out", tmp_path / "b.headstart",
    )  # fmt: skip
    by_python = hs.fit(
        photos, backbone="tiny:image", seed=5, test_size=0.3, probe={"penalty": 0.01}
    )
    assert by_toml["metrics"] == by_flags["metrics"]
    assert by_toml["metrics"]["log_loss"] == by_python.evaluation.metrics["log_loss"].to_json()
    assert by_flags["method"]["chosen"]["penalty"] == 0.01
    (tmp_path / "zh.toml").write_text('backbone = "tiny:image"\nlang = "zh"\n')
    run("fit", photos, "--config", tmp_path / "zh.toml", "--out", tmp_path / "zh.headstart")
    assert 'lang="zh' in (tmp_path / "zh.report.html").read_text(encoding="utf-8")
    status, _, err = run("fit", photos, "--config", tmp_path / "fit.toml", "--probe-penalty", "-1")
    assert status == 2
    assert "probe.penalty" in err


def test_a_second_fit_computes_nothing(run, photos, tmp_path, monkeypatch):
    fit_json(run, photos, "--backbone", "tiny:image", "--out", tmp_path / "a.headstart")

    def refuse(*_):
        raise AssertionError("the engine ran although every feature is in the store")

    from headstart.features import extract

    monkeypatch.setattr(extract._Run, "_local", refuse)
    again = fit_json(run, photos, "--backbone", "tiny:image", "--out", tmp_path / "b.headstart")
    assert again["metrics"]["accuracy"]["value"] == 1.0
    paint(photos / "red" / "new.png", (210, 50, 40), np.random.default_rng(77))
    with pytest.raises(AssertionError, match="the engine ran"):
        run("fit", photos, "--backbone", "tiny:image", "--out", tmp_path / "c.headstart")


def test_awkward_pictures_get_the_right_result_or_are_listed(run, photos, tmp_path):
    rng = np.random.default_rng(3)
    red = Image.open(paint(tmp_path / "one.png", (210, 50, 40), rng))
    folder = photos / "red"
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "words.jpg").write_text("I am a text file")
    (folder / "cut.jpg").write_bytes((tmp_path / "one.png").read_bytes()[:900])
    Image.new("L", (2000, 2000)).save(
        folder / "giant.png"
    )  # the tiny backbone's limit is 1 megapixel
    red.save(folder / "png_inside.jpg", "PNG")
    red.convert("CMYK").save(folder / "cmyk.jpg")
    red.save(folder / "moving.gif", save_all=True, append_images=[red.rotate(90)])
    Image.fromarray((np.asarray(red.convert("L")).astype(np.uint16)) * 257).save(
        folder / "deep.png"
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    red.save(folder / "turned.jpg", exif=exif)
    made = fit_json(run, photos, "--backbone", "tiny:image", "--out", tmp_path / "m.headstart")
    reasons = {skip["input"]: skip["reason"] for skip in made["skipped"]}
    assert set(reasons) == {"red/empty.jpg", "red/words.jpg", "red/cut.jpg", "red/giant.png"}
    assert "empty" in reasons["red/empty.jpg"]
    assert "text file" in reasons["red/words.jpg"]
    assert "pixels" in reasons["red/giant.png"]
    assert [f["rows"] for f in made["findings"] if f["kind"] == "animated"] == [["red/moving.gif"]]
    page = (tmp_path / "m.report.html").read_text(encoding="utf-8")
    assert all(name in page for name in reasons)
    status, out, err = run(
        "fit", photos, "--backbone", "tiny:image", "--out", tmp_path / "n.headstart", "--strict"
    )
    assert status == 3
    assert "empty.jpg" in err


BAD_TABLES = {
    "a missing column": ("text,label\na,x\n", ["--target", "lable"], ["lable", "text", "label"]),
    "one class only": (
        "text,label\n" + "".join(f"word {i},x\n" for i in range(9)),
        [],
        ["only one class", "'x'"],
    ),
    "only a header": ("text,label\n", [], ["rows"]),
    "empty": ("", [], ["empty"]),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_hopeless_tables_are_refused_with_a_fix(run, tmp_path, kind):
    content, flags, parts = BAD_TABLES[kind]
    path = tmp_path / "data.csv"
    path.write_text(content)
    status, out, err = run(
        "fit", path, *flags, "--backbone", "tiny:text", "--out", tmp_path / "m.headstart"
    )
    assert status == 2
    assert out == ""
    lines = err.strip().splitlines()
    assert lines[-2].startswith("error: ")
    assert lines[-1].startswith("  fix: ")
    for part in parts:
        assert part in err
    assert "Traceback" not in err
    assert not (tmp_path / "m.headstart").exists()


def rows(n, words=("lovely good", "awful bad")):
    return "".join(f"{words[i % 2]} {i},{'yn'[i % 2]}\n" for i in range(n))


AWKWARD_TABLES = {
    "a BOM": (b"\xef\xbb\xbf" + ("text,label\n" + rows(40)).encode(), 0),
    "latin-1 bytes": (("text,label\n" + rows(40) + "caf\xe9 tr\xe8s bon,y\n").encode("latin-1"), 0),
    "GB18030": (("text,label\n" + rows(40) + "这个很好,y\n我不喜欢,n\n").encode("gb18030"), 0),
    "ragged rows": (("text,label\n" + rows(40) + "a,b,c,d\nlonely\n").encode(), 2),
    "empty texts": (("text,label\n" + rows(40) + ",y\n  ,n\n").encode(), 2),
    "empty labels": (("text,label\n" + rows(40) + "words,\n").encode(), 1),
    "a class with one example": (("text,label\n" + rows(40) + "unique thing,z\n").encode(), 0),
}


@pytest.mark.parametrize("kind", AWKWARD_TABLES)
def test_awkward_tables_give_a_model_and_a_list(run, tmp_path, kind):
    content, skipped = AWKWARD_TABLES[kind]
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    made = fit_json(run, path, "--backbone", "tiny:text", "--out", tmp_path / "m.headstart")
    assert len(made["skipped"]) == skipped
    assert all(skip["input"].startswith("data.csv:") and skip["reason"] for skip in made["skipped"])
    if kind == "a class with one example":
        assert "z" in made["labels"]


def test_two_hundred_classes_of_two(run, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(
        "text,label\n"
        + "".join(
            f"{'abcdefghij'[i % 10] * (1 + i // 10)} {j},c{i}\n" for i in range(200) for j in "xy"
        )
    )
    made = fit_json(run, path, "--backbone", "tiny:text", "--out", tmp_path / "m.headstart")
    assert len(made["labels"]) == 200
    assert made["n"] > 0


def test_places_that_are_no_data(run, tmp_path, photos):
    (tmp_path / "hollow").mkdir()
    loose = tmp_path / "loose"
    loose.mkdir()
    paint(loose / "a.png", (1, 2, 3), np.random.default_rng(0))
    (tmp_path / "x.docx").write_bytes(b"PK")
    for source, part in (
        (tmp_path / "hollow", "hollow"),
        (loose, "class"),
        (tmp_path / "photo", "photos"),
        (tmp_path / "x.docx", "x.docx"),
    ):
        status, _, err = run(
            "fit", source, "--backbone", "tiny:image", "--out", tmp_path / "m.headstart"
        )
        assert status == 2, err
        assert part in err
        assert "  fix: " in err
    status, _, err = run("fit", photos, "--test", f"{photos}/", "--backbone", "tiny:image")
    assert status == 2
    assert "The test data is the training data" in err


def test_everything_unreadable_is_an_error(run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "p" / name).mkdir(parents=True)
        for i in range(4):
            (tmp_path / "p" / name / f"{i}.jpg").write_text("no picture")
    status, _, err = run(
        "fit", tmp_path / "p", "--backbone", "tiny:image", "--out", tmp_path / "m.headstart"
    )
    assert status == 2
    assert "None of the 8 inputs" in err


def test_usage_errors(run, photos, tmp_path):
    for arguments, part in (
        (["fti"], "did you mean 'fit'"),
        (["--frobnicate"], "no option"),
        (["fit"], "DATA"),
        (["fit", photos, "--no-such-flag"], "no-such-flag"),
        (["fit", photos, "--backbone", "resnet18"], "SOURCE:NAME"),
        (["fit", photos, "--backbone", "tiny:text"], "takes texts"),
        (["fit", photos, "--backbone", "timmy:resnet18"], "did you mean 'timm'"),
        (["fit", photos, "--backbone", "tiny:image", "--method", "prob"], "did you mean 'probe'"),
        (["fit", photos, "--lang", "fr"], "'fr' is not one of en, zh"),
        (["predict", tmp_path / "none.headstart", "x"], "There is no bundle"),
        (["evaluate", photos, photos], "not a Headstart bundle"),
        (["cache", "--trim", "lots"], "not a size"),
        (["cache", "--clear", "everything"], "no such part"),
    ):
        status, _, err = run(*arguments)
        assert status == 2, (arguments, err)
        assert part in err, (arguments, err)
        assert "Traceback" not in err


def test_errors_as_json(run, tmp_path):
    status, out, _ = run("fit", tmp_path / "nowhere", "--json")
    assert status == 2
    assert set(json.loads(out)["error"]) == {"message", "fix"}


def test_help_of_every_command(run):
    from headstart.cli import COMMANDS

    for name in COMMANDS:
        status, out, _ = run(name, "--help")
        assert status == 0
        assert "--json" in out
        assert "Example: headstart" in out


def test_the_cache_is_shown_trimmed_and_cleared(run, photos, tmp_path):
    fit_json(run, photos, "--backbone", "tiny:image", "--out", tmp_path / "m.headstart")
    held = json.loads(run("cache", "--json")[1])
    assert held["entries"] == 120  # features, and what the pictures look like
    assert held["bytes"]["features"] >= 60 * 192 * 2
    run("cache", "--trim", "0")
    assert json.loads(run("cache", "--json")[1])["entries"] == 0
    run("cache", "--clear", "all")
    assert sum(json.loads(run("cache", "--json")[1])["bytes"].values()) < 100_000
    fit_json(run, photos, "--backbone", "tiny:image", "--out", tmp_path / "m.headstart")


def test_leaked_test_rows_are_found(run, photos, tmp_path):
    rng = np.random.default_rng(9)
    for name, colour in (("red", (210, 50, 40)), ("blue", (40, 60, 200))):
        for i in range(5):
            paint(tmp_path / "test" / name / f"{i}.png", colour, rng)
    (tmp_path / "test" / "red" / "copy.png").write_bytes(
        (photos / "red" / "red00.png").read_bytes()
    )
    made = fit_json(
        run,
        photos,
        "--test",
        tmp_path / "test",
        "--backbone",
        "tiny:image",
        "--out",
        tmp_path / "m.headstart",
    )
    assert made["n"] == 11
    assert made["split"] == "test"
    leaks = [finding for finding in made["findings"] if finding["kind"] == "leak"]
    assert leaks
    assert leaks[0]["rows"] == ["red/red00.png"]  # what may be removed
    assert leaks[0]["suggestions"] == ["red/copy.png"]
    assert made["leaked"] == 1
    assert set(made["without_leaked"]) == set(made["metrics"])


def test_duplicates_stay_on_one_side_of_the_split(photos):
    from headstart.data import doctor, split

    for i in range(10):
        original = photos / "red" / f"red{i:02}.png"
        (photos / "red" / f"copy{i}.png").write_bytes(original.read_bytes())
    table = tables.read(photos)
    groups = doctor.duplicate_groups(table)
    for seed in range(5):
        made = split.make_split(table, groups=groups, seed=seed)
        assert not set(groups[made.train]) & set(groups[made.test])
