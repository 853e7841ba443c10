"""Findings as a person sees them: the gravest first, with the rows to look at and the way to mend them."""

import dataclasses
import shlex

import numpy as np
import pytest

import report_examples as ex
from headstart.report import page
from headstart.report.card import model_card
from headstart.report.content import Report
from headstart.report.examples import KINDS, examples
from headstart.report.findings_view import commands, groups
from headstart.report.words import Words
from headstart.types import Finding, Roles, Table

W = Words("en")


def table(n=12, modality="text", source="t.csv"):
    inputs = [f"text number {i}" for i in range(n)]
    if modality == "image":
        inputs = [ex.picture(i) for i in range(n)]
    return Table(
        tuple(inputs), tuple("ab"[i % 2] for i in range(n)), tuple(f"r{i}" for i in range(n)),
        modality, Roles("text", "label"), source,
    )  # fmt: skip


def test_findings_are_grouped_by_how_grave_they_are():
    report = ex.spam()
    made = groups(report, W)
    assert [group["severity"] for group in made] == ["error", "warning"]
    assert sum(len(group["findings"]) for group in made) == len(report.findings)
    wrong = made[1]["findings"][1]
    assert wrong["title"] == "Probably wrong labels"
    assert wrong["sure"].replace("\u00a0", " ") == "how sure: 91 %"
    assert wrong["rows"].n == 3
    leak = made[0]["findings"][0]
    assert leak["sure"] == ""  # a plain fact needs no such word
    text = page.render(report)
    assert text.index("Serious") < text.index("Warnings")


def test_examples_show_the_row_its_label_and_what_is_suggested():
    finding = Finding(
        "wrong-labels", "warning", "m", "f", ("r3", "r1"), suggestions=("a", "a"), sure=(0.97, 0.8)
    )
    ((first, second),) = examples([finding], table(), table())
    assert (first.name, first.label, first.suggestion, first.sure) == ("r3", "b", "a", 0.97)
    assert first.text == "text number 3"
    assert second.sure == 0.8
    report = dataclasses.replace(
        ex.spam(), findings=(finding,), finding_rows=(2,), finding_examples=((first, second),)
    )
    told = page.render(report).replace("\u00a0", " ")
    assert "probably a, 97 %" in told
    assert Report.from_json(report.to_json()).finding_examples == ((first, second),)


def test_pictures_are_small_and_kinds_that_need_no_look_have_none():
    rows = tuple(f"r{i}" for i in range(10))
    findings = [Finding("imbalance", "warning", "m", "", rows), Finding("far-out", "info", "m", "", rows)]  # fmt: skip
    none, some = examples(findings, table(modality="image"), table(modality="image"))
    assert none == ()
    assert [one.name for one in some] == list(rows[:6])
    assert all(one.image.startswith("data:image/jpeg;base64,") for one in some)
    assert all(len(one.image) < 12_000 for one in some)


def test_however_many_findings_there_are_few_rows_are_shown_the_telling_kinds_first():
    rows = tuple(f"r{i}" for i in range(12))
    findings = [Finding(kind, "info", "m", "", rows) for kind in reversed(KINDS)] * 2
    shown = examples(findings, table(), table())
    assert sum(map(len, shown)) == 24
    assert {findings[i].kind for i, one in enumerate(shown) if one} == set(KINDS[:2])


def test_noisy_pictures_do_not_make_the_page_heavy():
    rng = np.random.default_rng(0)
    noise = tuple(rng.integers(0, 256, (112, 112, 3), dtype=np.uint8) for _ in range(24))
    noisy = dataclasses.replace(
        table(24, "image"), inputs=noise, names=tuple(f"r{i}" for i in range(24))
    )
    findings = [
        Finding(kind, "info", "m", "", tuple(f"r{i}" for i in range(4 * j, 4 * j + 6)))
        for j, kind in enumerate(KINDS[:4])
    ]
    shown = examples(findings, noisy, noisy)
    assert sum(len(one.image) for each in shown for one in each) <= 150_000
    assert sum(map(len, shown)) == 24  # rows without a picture keep their names


def test_rows_of_the_training_data_are_shown_where_both_have_the_name():
    train = table()
    test = dataclasses.replace(
        table(), inputs=("tested",) * 12, names=tuple(f"r{i + 6}" for i in range(12))
    )
    ((first, second),) = examples(
        [Finding("leak", "error", "m", "", ("r7", "r13", "gone"))], train, test
    )
    assert first.text == "text number 7"
    assert second.text == "tested"


def test_an_unreadable_picture_has_a_name_all_the_same():
    broken = dataclasses.replace(table(modality="image"), inputs=(b"",) * 12)
    ((one,),) = examples([Finding("far-out", "info", "m", "", ("r1",))], broken, broken)
    assert (one.name, one.image) == ("r1", "")


@pytest.mark.parametrize("source", ["photos/", "my data.csv", ex.HOSTILE, "--help", "a'b\"c"])
def test_the_command_names_the_data_as_a_shell_takes_it(source):
    report = dataclasses.replace(ex.spam(), source=source, command=shlex.join(["headstart", "fit", source, "--target", "the label"]))  # fmt: skip
    first, second = commands(report)
    words = shlex.split(first)
    assert shlex.split(second)[:-4] == words[:-2]
    assert words[:2] == ["headstart", "doctor"]
    assert words[2] == (f"./{source}" if source[0] == "-" else source)
    assert words[-2:] == ["--fix", "plan.csv"]
    assert words[words.index("--target") + 1] == "the label"


def test_data_in_memory_has_no_name_to_type_and_plain_findings_no_plan():
    report = dataclasses.replace(ex.spam(), source="the pandas table", command="headstart.fit(...)")
    assert commands(report) == (
        "headstart doctor DATA --fix plan.csv",
        "headstart doctor DATA --apply plan.csv --out cleaned.csv",
    )
    plain = dataclasses.replace(
        report, findings=(Finding("imbalance", "warning", "m"),), finding_rows=(0,)
    )
    assert commands(plain) == ()
    assert "--fix" not in page.render(plain).partition('id="next"')[0]


def test_the_card_lists_the_gravest_findings_first_with_their_count():
    card = model_card(ex.spam()).replace("\u00a0", " ")
    assert card.index("40 of 240 test rows") < card.index("2 rows have the same content")
    assert "(3 rows, how sure: 91 %)" in card
    assert "?." not in model_card(ex.waste(40))
