"""The model card: front matter that parses, Markdown that shows the data and does nothing else."""

import dataclasses
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import report_examples as ex
from headstart.report.card import model_card, scalar, text
from headstart.types import Decision

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(ex.ATTACKS)


def front_matter(card):
    """A tiny reader of the YAML that a card may hold: texts and lists of texts."""
    assert card.startswith("---\n")
    matter, _, body = card[4:].partition("\n---\n")
    found, key = {}, ""
    for line in matter.split("\n"):
        if line.startswith("- "):
            found[key].append(_scalar(line[2:]))
        else:
            key, _, value = line.partition(":")
            found[key] = _scalar(value.strip()) if value.strip() else []
    return found, body


def _scalar(value):
    if value.startswith('"'):
        return json.loads(value)
    assert re.fullmatch(r"[a-z][a-z0-9_.-]*", value)
    return value


@pytest.mark.parametrize("name", ["waste", "intents", "reviews", "spam", "tiny", "hostile"])
def test_the_front_matter_is_what_hubs_read(name):
    report = getattr(ex, name)()
    found, body = front_matter(model_card(report))
    assert found["library_name"] == "headstart"
    assert found["pipeline_tag"] == f"{report.modality}-classification"
    assert found["metrics"] == ["accuracy", "f1"]
    assert report.backbone.name in found["tags"]
    assert "More Information Needed" not in body
    assert "\n# " in body
    yaml = pytest.importorskip("yaml", reason="PyYAML checks the tiny reader")
    assert yaml.safe_load(model_card(report).split("\n---\n")[0]) == found


@pytest.mark.parametrize(
    ("backbone", "base"),
    [
        ("starter:lite0", None),
        ("timm:resnet18", "timm/resnet18"),
        ("hf:google-bert/bert-base-chinese", "google-bert/bert-base-chinese"),
        ("hf:/models/mine", None),
        ("hf:./mine", None),
        ("hf:a: b\n- evil", None),
    ],
)
def test_only_a_name_on_the_hub_is_a_base_model(backbone, base):
    report = ex.waste(40)
    report = dataclasses.replace(
        report, backbone=dataclasses.replace(report.backbone, name=backbone)
    )
    found, _ = front_matter(model_card(report))
    assert found.get("base_model") == base


def test_the_licence_is_the_weights_licence_or_said_to_be_unknown():
    assert front_matter(model_card(ex.waste(40)))[0]["license"] == "apache-2.0"
    card = model_card(ex.reviews(40))
    assert front_matter(card)[0]["license"] == "unknown"
    assert "find out before you publish" in card


def test_the_numbers_are_those_of_the_evaluation():
    report = ex.waste()
    card = model_card(report).replace("\u00a0", " ")
    metric = report.evaluation.metrics["macro_f1"]
    line = next(line for line in card.split("\n") if line.startswith("| Macro"))
    value, low, high = (f"{100 * one:.1f} %" for one in (metric.value, metric.low, metric.high))
    assert f"{value} ({low} to {high})" in line
    for one in report.evaluation.per_class:
        assert re.search(rf"^\| {one.label} \|.*\| {one.n} \|", card, re.MULTILINE)
    assert "headstart predict waste.headstart new/" in card
    assert "hs.load('waste.headstart')" in card


@settings(max_examples=200)
@given(words)
def test_a_yaml_scalar_reads_back(value):
    yaml = pytest.importorskip("yaml")
    from headstart.report.words import visible

    assert yaml.safe_load(f"key: {scalar(value)}") == {"key": visible(value)}
    assert "\n" not in scalar(value)


@settings(max_examples=200)
@given(words)
def test_text_is_one_line_without_live_markdown(value):
    shown = text(value)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>|`*_\[\]]", shown.replace("\\\\", ""))
    assert not re.match(r"[#+=-]|\d+[.)]", shown)


def test_hostile_names_cannot_leave_their_place():
    card = model_card(ex.hostile(k=12, n=24, skipped=24))
    _, body = front_matter(card)
    prose = re.sub(r"(?s)(`{3,})\w*\n.*?\n\1", "", body)
    assert "<img" not in prose.replace("\\<", "")
    assert "\n---" not in prose
    rows = [line for line in prose.split("\n") if line.startswith("| ") and "%" in line]
    rows = [line for line in rows if not re.match(r"\| (Accuracy|Balanced|Macro|Log)", line)]
    table = [line for line in rows if len(re.findall(r"(?<!\\)\|", line)) == 7]
    assert len(table) == 12


def test_the_scores_without_leaked_rows_have_a_column():
    report = ex.spam()
    card = model_card(report).replace("\u00a0", " ")
    (head,) = [line for line in card.split("\n") if line.startswith("| Metric")]
    assert head.split(" | ")[1:3] == ["This model", "Without the 40 leaked rows |"]
    (row,) = [line for line in card.split("\n") if line.startswith("| Accuracy")]
    assert f"{100 * report.evaluation.without_leaked['accuracy'].value:.1f} %" in row


def test_the_card_says_how_far_to_trust_it():
    card = model_card(ex.waste()).replace("\u00a0", " ")
    part = card.partition("## How far to trust it")[2].partition("##")[0]
    for said in ("Prediction sets hold the truth 91.2 %", "points off on average", "It answers", "200 more labels",
                 "Over 5 splits", "withheld", "the temperature"):  # fmt: skip
        assert said in part
    assert "How far to trust it" not in model_card(
        dataclasses.replace(
            ex.reviews(40),
            evaluation=dataclasses.replace(ex.reviews(40).evaluation, coverage=None),
            decision=Decision(),
        )
    )


def test_a_model_that_withholds_answers_does_not_answer_whatever_it_is_given():
    assert "classes, or withholds the answer." in model_card(ex.waste(40))
    assert "classes, whatever it is given." in model_card(ex.spam(40))
