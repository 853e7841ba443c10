"""headstart evaluate from end to end: reliability, what was withheld, one model against another."""

import dataclasses
import json

import numpy as np
import pytest

import headstart as hs
from headstart.errors import DataError
from tests_support import COLOURS, paint


@pytest.fixture
def fresh(tmp_path):
    """Pictures to measure on, duller than those that are learned from, so that some answers are wrong."""
    rng = np.random.default_rng(8)
    for name, colour in COLOURS.items():
        for i in range(12):
            dull = np.array(colour) * 0.15 + 105
            paint(tmp_path / "fresh" / name / f"{i}.png", dull, rng)
    return tmp_path / "fresh"


@pytest.fixture
def two(photos, tmp_path):
    """Two bundles of the same classes: one from good labels, one that mixes two classes up."""
    good = hs.fit(photos, backbone="tiny:image").save(tmp_path / "good.headstart")
    for i in range(20):
        (photos / "red" / f"red{i:02}.png").rename(photos / "green" / f"swap{i:02}.png")
        (photos / "green" / f"green{i:02}.png").rename(photos / "red" / f"red{i:02}.png")
    bad = hs.fit(photos, backbone="tiny:image").save(tmp_path / "bad.headstart")
    return good, bad


def test_json_has_what_is_known_of_trust(run, two, fresh):
    status, out, err = run("evaluate", two[0], fresh, "--json", "--quiet")
    assert status == 0, err
    told = json.loads(out)
    assert told["n"] == 36
    assert {
        "reliability",
        "risk",
        "answered",
        "learning",
        "repeats",
        "leaked",
        "without_leaked",
    } <= set(told)
    assert set(told["reliability"]) == {"ece", "before", "noise", "bins"}
    assert told["risk"]["answered"][-1] == 1
    decision = hs.load(two[0]).predictor.decision
    withholds = decision.abstain_below > 0 or decision.familiar_above is not None
    assert (told["answered"] is not None) == withholds
    assert told["leaked"] == 0


def _with_copies(source, fresh):
    """Data to measure on that holds two of the training rows."""
    if source.is_dir():
        for name in ("red", "blue"):
            content = (source / name / f"{name}00.png").read_bytes()
            (fresh / name / "copy.png").write_bytes(content)
        return fresh
    lines = source.read_text("utf-8").splitlines()
    more = [
        f"{words} as never before,{label}"
        for words, label in (("lovely", "good"), ("awful", "bad"))
    ]
    fresh = source.with_name("fresh.csv")
    fresh.write_text("\n".join([*lines[:3], *more]) + "\n", "utf-8")
    return fresh


@pytest.mark.parametrize("kind", ["image", "text"])
def test_copies_of_training_rows_are_counted(run, photos, reviews, fresh, tmp_path, kind):
    source = photos if kind == "image" else reviews
    other = _other(source, tmp_path)  # all of the data is learned from
    bundle = hs.fit(source, test=other, backbone=f"tiny:{kind}").save(tmp_path / "m.headstart")
    data = _with_copies(source, fresh)
    status, out, err = run("evaluate", bundle, data, "--json", "--quiet")
    assert status == 0, err
    told = json.loads(out)
    assert told["leaked"] == 2
    assert told["n"] == (38 if kind == "image" else 4)
    assert set(told["without_leaked"]) == set(told["metrics"])
    assert "also learned from" in run("evaluate", bundle, data, "--quiet")[1]


def _other(source, tmp_path):
    if source.is_dir():
        rng = np.random.default_rng(9)
        for name, colour in COLOURS.items():
            for i in range(3):
                paint(tmp_path / "other" / name / f"{i}.png", np.array(colour) * 0.5 + 60, rng)
        return tmp_path / "other"
    path = tmp_path / "other.csv"
    path.write_text("text,label\nso happy today,good\nso useless today,bad\n")
    return path


@pytest.mark.parametrize("found", [True, False])
def test_a_sample_of_the_training_rows_knows_some_copies_only(two, photos, fresh, found):
    model = hs.load(two[0])
    reference = model.predictor.reference
    some = np.arange(10)
    model.predictor.reference = dataclasses.replace(
        reference,
        features=reference.features[some],
        codes=reference.codes[some],
        names=reference.names[:10],
    )
    evaluation = hs.evaluate(model, photos if found else fresh)
    assert evaluation.leaked == (10 if found else None)
    assert f"among 10 of the {len(reference)}: there may be more" in evaluation.notes[-1]


@pytest.mark.parametrize("precision", ["bfloat16", "int8", None])
def test_copies_are_not_counted_where_they_cannot_be_known(two, photos, precision):
    model = hs.load(two[0])
    model.predictor.files.manifest["features"] = {"precision": precision}
    assert hs.evaluate(model, photos).leaked is None
    model.predictor.files.manifest.pop("features")
    assert hs.evaluate(model, photos).leaked is None


def test_before_calibration_is_the_plain_softmax_of_the_logits(two, fresh):
    from headstart.data import table as tables
    from headstart.evaluation.reliability import reliability
    from headstart.metrics import softmax

    model = hs.load(two[0])
    found = hs.evaluate(model, fresh)
    table = tables.read(fresh)
    logits, _ = model.predictor.logits(table.inputs)
    codes = np.array([model.labels.index(label) for label in table.targets])
    p = softmax(logits)
    wanted = reliability(p, codes, before=p, rng=np.random.default_rng(0))
    assert found.reliability.before == pytest.approx(wanted.ece, abs=1e-6)
    assert found.reliability.ece != found.reliability.before


def test_withheld_answers_are_counted_with_their_reasons(two, fresh):
    model = hs.load(two[0])
    middle = float(np.median([one.probability for one in model.predict(str(fresh))]))
    model.predictor.decision = dataclasses.replace(model.predictor.decision, abstain_below=middle)
    found = hs.evaluate(model, fresh)
    predictions = model.predict(str(fresh))
    withheld = sum(one.abstained for one in predictions)
    assert 0 < withheld < 36
    assert found.n == 36
    assert found.answered.share.value == pytest.approx(1 - withheld / 36)
    assert sum(found.answered.reasons.values()) == withheld


def test_one_model_against_another(run, two, fresh):
    good, bad = two
    status, out, err = run("evaluate", good, fresh, "--against", bad, "--json", "--quiet")
    assert status == 0, err
    told = json.loads(out)
    against = told["against"]
    difference = told["metrics"]["accuracy"]["value"] - against["metrics"]["accuracy"]["value"]
    assert against["accuracy_difference"]["value"] == pytest.approx(difference)
    assert against["names"] == [str(good), str(bad)]
    assert against["beyond_noise"]
    assert against["mcnemar_p"] < 0.05
    found = hs.compare(good, hs.load(bad), fresh)
    assert found.difference.value == pytest.approx(difference)
    assert found.names == (str(good), "model b")
    assert str(found) == found.sentence()
    same = hs.compare(good, good, fresh)
    assert (same.difference.value, same.beyond) == (0, False)
    for lang, part in (("en", "beyond noise"), ("zh", "超出噪声")):
        status, out, err = run("evaluate", good, fresh, "--against", bad, "--lang", lang)
        assert status == 0, err
        assert part in out


def test_rows_that_one_of_the_two_cannot_read_are_left_out(two, fresh):
    (fresh / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    found = hs.compare(*two, fresh)
    assert found.evaluations[0].n == found.evaluations[1].n == 36
    assert [skip.input for skip in found.evaluations[1].skipped] == ["red/broken.png"]


def test_models_that_cannot_be_compared(run, two, reviews, photos, fresh, tmp_path):
    words = hs.fit(reviews, backbone="tiny:text").save(tmp_path / "words.headstart")
    with pytest.raises(DataError, match=r"takes images, .* takes texts"):
        hs.compare(two[0], words, fresh)
    (photos / "red").rename(photos / "scarlet")
    other = hs.fit(photos, backbone="tiny:image").save(tmp_path / "other.headstart")
    status, _, err = run("evaluate", two[0], fresh, "--against", other)
    assert status == 2
    assert "knows 'red'" in err
    assert "knows 'scarlet'" in err
    assert "  fix: " in err


def test_reliability_is_told_in_both_languages(run, two, fresh):
    for lang, part in (("en", "points off on average"), ("zh", "平均偏差")):
        status, out, err = run("evaluate", two[0], fresh, "--lang", lang)
        assert status == 0, err
        assert part in out


def test_a_table_with_times_is_measured_on_its_latest_rows(reviews):
    lines = reviews.read_text(encoding="utf-8").splitlines()
    days = [f"2024-{1 + i // 28:02}-{1 + i % 28:02}" for i in range(len(lines) - 1)]
    dated = [f"{line},{day}" for line, day in zip(lines[1:], days)]
    reviews.write_text("\n".join(["text,label,day", *dated]) + "\n", encoding="utf-8")
    model = hs.fit(hs.read(reviews, time="day"), backbone="tiny:text")
    assert model.evaluation.protocol.startswith(
        f"the latest 24 of 120 rows held out, {days[96]} to {days[-1]}"
    )
    assert model.evaluation.n == 24
