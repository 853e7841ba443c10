"""What is printed at the end of `fit` and `evaluate`."""

import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import report_examples as ex
from headstart.errors import ConfigError
from headstart.report.terminal import evaluation_summary, summary
from headstart.report.words import columns
from headstart.types import Skipped


@pytest.mark.parametrize("width", [40, 60, 80, 100])
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", ["waste", "intents", "reviews", "spam", "tiny"])
def test_lines_fit_the_terminal(name, lang, width):
    rows = {"intents": (30, 90), "waste": (60,), "reviews": (60,), "spam": (60,), "tiny": ()}[name]
    text = summary(getattr(ex, name)(*rows), lang, width)
    lines = [line for line in text.split("\n") if "$ headstart" not in line and "http" not in line]
    assert max(map(columns, lines)) <= max(width, 42)  # the first score stands in any case
    assert "\u00a0" not in text


def test_the_scores_stand_beside_the_baselines_in_columns():
    report = ex.waste()
    lines = summary(report, width=100).split("\n")
    rows = [line for line in lines if re.search(r"\d\.\d %  \d", line)]
    assert [row.split("  ")[1] for row in rows] == [
        "This model",
        "Nearest neighbours",
        "Largest class",
    ]
    assert len({next(m.start() for m in re.finditer("%", row)) for row in rows}) == 1
    accuracy = report.evaluation.metrics["accuracy"]
    assert (
        f"{100 * accuracy.value:.1f} %  {100 * accuracy.low:.1f}–{100 * accuracy.high:.1f}"
        in rows[0]
    )


def test_wide_characters_are_aligned():
    lines = summary(ex.reviews(), "zh").split("\n")
    rows = [line for line in lines if re.search(r"\d\.\d%  \d", line)]
    assert len(rows) == 3
    assert len({columns(row[: row.index("%")]) for row in rows}) == 1


def test_the_summary_says_what_was_done_and_what_to_do():
    text = summary(ex.waste())
    for part in ("1,657 pictures in 6 classes", "starter:lite0 (Apache-2.0)", "3 inputs were left out",
                 "Label more of “trash”", "headstart predict waste.headstart new/"):  # fmt: skip
        assert part in " ".join(text.split())


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_evaluation_has_its_scores_and_worst_classes(lang):
    evaluation = dataclasses.replace(
        ex.waste().evaluation, skipped=(Skipped("a.jpg", "empty file"),)
    )
    text = evaluation_summary(evaluation, lang)
    worst = min(evaluation.per_class, key=lambda one: one.f1)
    assert f"{100 * worst.f1:.1f} %  n = {worst.n}" in text
    assert "340" in text
    assert "91.2" in text
    assert ("1 input was left out" if lang == "en" else "跳过了 1 个输入") in text


def test_an_evaluation_without_sets_and_baselines():
    evaluation = dataclasses.replace(
        ex.reviews().evaluation, baselines=(), coverage=None, set_size=None
    )
    assert "Accuracy" in evaluation_summary(evaluation, "en")


SMALL = ex.hostile(k=3, n=9, skipped=2)


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50), st.sampled_from(["en", "zh"])
)
def test_no_control_character_reaches_the_terminal(name, lang):
    labels = (name, *SMALL.evaluation.labels[1:])
    evaluation = dataclasses.replace(
        SMALL.evaluation,
        labels=labels,
        per_class=tuple(dataclasses.replace(one, label=name) for one in SMALL.evaluation.per_class),
        protocol=name,
        notes=(name,),
    )
    report = dataclasses.replace(
        SMALL,
        title=name,
        source=name,
        protocol=name,
        evaluation=evaluation,
        command=f"headstart fit {name}",
    )
    for text in (summary(report, lang), evaluation_summary(evaluation, lang)):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


def test_an_unknown_language_is_refused():
    with pytest.raises(ConfigError):
        summary(SMALL, "xx")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_score_without_leaked_rows_has_a_row_of_its_own(lang):
    report = ex.spam()
    title = "Without leaked" if lang == "en" else "去掉泄漏数据"
    value = f"{100 * report.evaluation.without_leaked['accuracy'].value:.1f}"
    for text in (summary(report, lang), evaluation_summary(report.evaluation, lang)):
        (row,) = [line for line in text.split("\n") if line.strip().startswith(title)]
        assert value in row
        assert "40" in text.replace(row, "")  # how many they are


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_is_known_of_trust_is_said_in_sentences(lang):
    report = ex.waste()
    evaluation = report.evaluation
    for text in (summary(report, lang, 200), evaluation_summary(evaluation, lang)):
        for value in (
            100 * evaluation.coverage,
            100 * evaluation.reliability.ece,
            100 * evaluation.answered.share.value,
            100 * evaluation.answered.accuracy.value,
            100 * evaluation.repeats.metrics["accuracy"].value,
        ):
            assert f"{value:.1f}" in text
        assert "+3" in text
