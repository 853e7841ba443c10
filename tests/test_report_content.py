"""The report as a noun: what it gathers, and that nothing is lost on the way through JSON."""

import dataclasses
import json

import numpy as np
import pytest

import report_examples as ex
from headstart.errors import BundleError
from headstart.report.content import Report, build, shortened
from headstart.types import (
    Backbone,
    Candidate,
    Decision,
    Finding,
    Head,
    Preprocess,
    Roles,
    Skipped,
    Split,
    Table,
)


def make(**changes):
    """A small report built from nouns; what is given replaces its part."""
    codes = np.array([0, 1, 1])
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    labels = ("no", "yes")
    table = Table(
        inputs=tuple("abcdefg"),
        targets=("no", "no", "yes", "yes", "no", "yes", "yes"),
        names=tuple(f"t.csv:{i}" for i in range(2, 9)),
        modality="text",
        roles=Roles("text", "label"),
        source="t.csv",
        skipped=(Skipped("t.csv:9", "empty text"),),
        notes=("a note",),
    )
    values = {
        "title": "t",
        "table": table,
        "split": Split(
            np.array([0, 1, 2, 3]),
            np.array([4, 5, 6]),
            "protocol",
            "held-out",
            np.array([0, 1, 0, -1]),
        ),
        "features_skipped": (),
        "backbone": Backbone(
            "starter:minilm",
            "text",
            384,
            "Apache-2.0",
            "ab" * 32,
            Preprocess("text", ()),
            ex.Path("m"),
            "0",
            why="w",
        ),
        "candidate": Candidate(
            "probe",
            Head(np.zeros((1, 2)), np.zeros(2)),
            np.zeros((4, 2)),
            {"penalty": np.float32(0.5)},
            1.0,
        ),
        "evaluation": ex.evaluation(p, codes, labels),
        "decision": Decision(temperature=1.5),
        "findings": (Finding("duplicates", "info", "m", "f", ("t.csv:2", "t.csv:3")),),
        "mistakes": (),
        "seconds": {"fit": 1.25},
        "command": "headstart fit t.csv",
        "version": "0.1",
        "created": "2026-01-02T03:04:05+00:00",
    } | changes
    values.setdefault("test", values["table"].take(values["split"].test))
    return build(**values)


@pytest.mark.parametrize("name", ["waste", "intents", "reviews", "spam", "tiny", "hostile"])
def test_a_report_survives_json(name):
    report = getattr(ex, name)()
    text = json.dumps(report.to_json(), allow_nan=False)
    again = Report.from_json(json.loads(text))
    assert again.to_json() == report.to_json()
    assert again.notes == report.notes
    assert again.n_skipped == report.n_skipped
    np.testing.assert_array_equal(again.evaluation.confusion, report.evaluation.confusion)


def test_counts_are_those_of_the_split():
    report = make()
    counts = {one.label: (one.train, one.test) for one in report.classes}
    assert counts == {"no": (2, 1), "yes": (2, 2)}
    assert (report.n_train, report.folds, report.test_source) == (4, 2, "")
    assert report.chosen == {"penalty": 0.5}
    assert report.finding_rows == (2,)
    assert report.notes == ("a note",)


def test_skipped_inputs_of_held_out_rows_are_counted_once():
    # `take` keeps what was skipped while reading, so the test rows know of it a second time
    report = make(features_skipped=(Skipped("t.csv:5", "broken"),))
    assert report.skipped == (Skipped("t.csv:9", "empty text"), Skipped("t.csv:5", "broken"))


def test_skipped_inputs_of_given_test_data_are_counted_too():
    report = make()
    table = dataclasses.replace(_table_of(report), skipped=(Skipped("a.jpg", "empty file"),))
    test = dataclasses.replace(table, source="other.csv", notes=("of the test",))
    evaluation = dataclasses.replace(
        report.evaluation, skipped=(*test.skipped, Skipped("b.jpg", "damaged"))
    )
    none = np.array([], dtype=int)
    given = make(
        table=table,
        test=test,
        split=Split(np.arange(2), none, "p", "test", np.zeros(2, int)),
        evaluation=evaluation,
    )
    # one empty a.jpg in each of the two, and the damaged b.jpg that only the evaluation knows
    assert sorted(one.input for one in given.skipped) == ["a.jpg", "a.jpg", "b.jpg"]
    assert given.test_source == "other.csv"
    assert given.notes == ("of the test",)


def _table_of(report):
    return Table(("x", "y"), ("no", "yes"), ("r1", "r2"), "text", report.roles, report.source)


def test_a_label_that_only_the_test_rows_have_is_listed():
    table = _table_of(make())
    test = dataclasses.replace(table, targets=("no", "maybe"))
    none = np.array([], dtype=int)
    report = make(
        table=table, test=test, split=Split(np.arange(2), none, "p", "test", np.zeros(2, int))
    )
    assert [(c.label, c.train, c.test) for c in report.classes][-1] == ("maybe", 0, 1)


def test_names_that_are_not_utf8_can_be_written():
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    report = make(features_skipped=(Skipped(name, "damaged"),))
    assert report.skipped[-1].input == "caf\\udce9.jpg"
    json.dumps(report.to_json(), ensure_ascii=False).encode()


def test_what_is_not_finite_becomes_null_and_comes_back_as_nan():
    report = ex.waste(40)
    one = dataclasses.replace(report.evaluation.per_class[0], precision=float("nan"))
    broken = dataclasses.replace(
        report,
        evaluation=dataclasses.replace(report.evaluation, per_class=(one,)),
    )
    data = json.loads(json.dumps(broken.to_json(), allow_nan=False))
    assert np.isnan(Report.from_json(data).evaluation.per_class[0].precision)


def test_a_shortened_report_keeps_the_counts():
    report = ex.hostile(k=6, n=20, skipped=500)
    short = shortened(report, characters=5000)
    assert 0 < len(short.skipped) < 500
    assert short.n_skipped == report.n_skipped == 500
    assert short.finding_rows == report.finding_rows
    assert len(short.findings[0].rows) < len(report.findings[0].rows)
    assert Report.from_json(short.to_json()).n_skipped == 500
    assert shortened(report, 10**9).to_json() == report.to_json()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.pop("title"),
        lambda data: data.update(modality="sound"),
        lambda data: data.update(evaluation=[]),
        lambda data: data["evaluation"].update(confusion=[[0, 99, 1]]),
        lambda data: data["evaluation"].update(confusion=[[-1, 0, 1]]),
        lambda data: data["findings"][0].update(severity="fatal"),
        lambda data: data.update(mistakes=[{}]),
        lambda data: data.update(schema=None, classes=3),
    ],
)
def test_a_damaged_report_is_a_mistake_of_the_caller(damage):
    data = ex.waste(40).to_json()
    damage(data)
    with pytest.raises(BundleError, match="damaged"):
        Report.from_json(data)


def test_a_newer_report_is_refused_with_the_way_out():
    with pytest.raises(BundleError, match="newer") as raised:
        Report.from_json({"schema": 99})
    assert "upgrade" in raised.value.fix
