"""What to do next follows from the numbers."""

import dataclasses

import numpy as np
import pytest

import report_examples as ex
from headstart.report.advice import advice, pairs
from headstart.report.content import ClassCount
from headstart.report.words import Words
from headstart.types import Baseline, Finding, Metric, Skipped

W = Words("en")


def told(report):
    return " ".join(advice(report, W)).replace("\u00a0", " ")


def perfect():
    """A report in which nothing deserves a word."""
    codes = np.arange(2000) % 4
    p = np.full((2000, 4), 0.01)
    p[np.arange(2000), codes] = 0.97
    labels = ("a", "b", "c", "d")
    rivals = (("majority", 0.25, 0.1, ""),)
    return dataclasses.replace(
        ex.waste(40),
        classes=tuple(ClassCount(label, 500, 500) for label in labels),
        evaluation=ex.evaluation(p, codes, labels, rivals=rivals),
        skipped=(),
        findings=(),
        finding_rows=(),
        mistakes=(),
    )


def with_rival(value, note=""):
    report = perfect()
    metrics = {**report.evaluation.metrics, "macro_f1": Metric(0.8, 0.76, 0.84)}
    rival = Baseline("knn", {"macro_f1": Metric(value, value - 0.03, value + 0.03)}, note)
    return dataclasses.replace(
        report,
        evaluation=dataclasses.replace(report.evaluation, metrics=metrics, baselines=(rival,)),
    )


def test_a_good_model_is_left_alone():
    assert advice(perfect(), W) == [W("next.fine")]


@pytest.mark.parametrize(
    ("value", "note", "expected"),
    [
        (0.81, "", "may be chance"),
        (0.95, "", "Before you rely on this model"),
        (0.78, "", "small enough to be noise"),
        (0.70, "", ""),
        (
            0.78,
            "x; accuracy of the model minus this: +2.0 points (+0.5 to +3.5, p = 0.01), beyond noise",
            "",
        ),
        (
            0.70,
            "x; accuracy of the model minus this: +1.0 points (-1.0 to +3.0, p = 0.4), within noise",
            "noise",
        ),
    ],
)
def test_a_rival_that_is_as_good_is_named(value, note, expected):
    text = told(with_rival(value, note))
    assert expected in text
    assert ("nearest neighbours" in text.lower()) == bool(expected)


def test_findings_and_numbers_speak():
    report = perfect()
    few = tuple(ClassCount(label, 12 if label == "d" else 500, 500) for label in "abcd")
    worst = tuple(
        dataclasses.replace(one, f1=0.4) if one.label == "d" else one
        for one in report.evaluation.per_class
    )
    evaluation = dataclasses.replace(report.evaluation, per_class=worst, coverage=0.7)
    report = dataclasses.replace(
        report,
        classes=(*few, ClassCount("new", 0, 3)),
        evaluation=evaluation,
        findings=(Finding("leak", "error", "m"), Finding("conflicting-labels", "warning", "m")),
        finding_rows=(0, 0),
    )
    sentences = advice(report, W)
    assert len(sentences) == 6
    text = " ".join(sentences).replace("\u00a0", " ")
    for part in ("Remove them from one side", "different labels", "“new” is in the test rows",
                 "Label more of “d”: it has the worst F1 (40.0 %) and only 12 examples",
                 "42 times as many rows", "less often than meant (70.0 %, not 90 %)"):  # fmt: skip
        assert part in text


def test_a_class_with_many_examples_is_looked_at_rather_than_labelled():
    report = perfect()
    worst = (
        dataclasses.replace(report.evaluation.per_class[0], f1=0.4),
        *report.evaluation.per_class[1:],
    )
    report = dataclasses.replace(
        report, evaluation=dataclasses.replace(report.evaluation, per_class=worst)
    )
    assert "Look at “a”" in told(report)


def test_wide_intervals_ask_for_rows():
    report = perfect()
    metrics = {**report.evaluation.metrics, "accuracy": Metric(0.8, 0.68, 0.92)}
    report = dataclasses.replace(
        report, evaluation=dataclasses.replace(report.evaluation, metrics=metrics, n=43)
    )
    assert "with 43 the accuracy is only known within 24 points. About 700 would" in told(report)


def test_skipped_inputs_are_named_with_their_commonest_reason():
    skipped = (Skipped("a", "empty file"), Skipped("b", "no such file"), Skipped("c", "empty file"))
    assert "the 3 inputs that were left out (most often: empty file)" in told(
        dataclasses.replace(perfect(), skipped=skipped)
    )


def test_pairs_are_the_largest_cells_off_the_diagonal():
    report = ex.waste()
    found = pairs(report.evaluation, 5)
    matrix = report.evaluation.confusion.copy()
    np.fill_diagonal(matrix, 0)
    assert [one.count for one in found] == sorted(matrix.ravel().tolist(), reverse=True)[:5]
    labels = report.evaluation.labels
    for one in found:
        i, j = labels.index(one.truth), labels.index(one.answer)
        assert matrix[i, j] == one.count
        assert one.share == one.count / report.evaluation.confusion[i].sum()
