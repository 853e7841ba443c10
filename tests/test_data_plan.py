"""Plans: proposed, written, edited, read back, and refused where they do not fit."""

from __future__ import annotations

import codecs
import csv
from dataclasses import replace

import pytest

from headstart.data import plan
from headstart.errors import DataError
from headstart.types import Finding, Roles, Table

TEXTS = ("one text", "two texts", "One text!", "four texts", "five texts")


@pytest.fixture
def data() -> Table:
    names = tuple(f"a.csv:{i}" for i in range(2, 7))
    return Table(
        TEXTS, ("a", "b", "a", "b", "=c"), names, "text", Roles("x", "y"), "a.csv",
        split=("train", "train", "train", "train", "test"),
    )  # fmt: skip


def finding(kind, numbers, suggestions=(), sure=(), confidence=None) -> Finding:
    names = tuple(f"a.csv:{i + 2}" for i in numbers)
    return Finding(kind, "warning", "m", "", names, confidence, tuple(numbers), suggestions, sure)


@pytest.fixture
def made(data):
    return plan.make(
        data,
        [
            finding("duplicates", (0, 2), ("", "a.csv:2"), confidence=1.0),
            finding("wrong-labels", (3, 1, 4), ("a", "a", "a"), (0.99, 0.7, 0.99)),
            finding("far-out", (3,)),
            finding("imbalance", ()),
        ],
    )


def test_what_is_proposed(made):
    assert [(one.row, one.action, one.suggestion, one.confidence) for one in made] == [
        (1, "keep", "a", 0.7),
        (2, "drop", "", 1.0),
        (3, "relabel", "a", 0.99),
    ]  # row 0 is the one that stays, row 4 a test row
    assert made[2].finding == "wrong-labels+far-out"
    assert made[1].reason == "repeats a.csv:2"


def test_copies_with_other_labels_are_left_to_a_person(data):
    torn = [
        finding("duplicates", (0, 2), ("", "a.csv:2"), confidence=1.0),
        finding("conflicting-labels", (0, 2), confidence=1.0),
    ]
    assert [one.action for one in plan.make(data, torn)] == ["keep", "keep"]


def test_written_and_read_back(tmp_path, made, data):
    path = tmp_path / "plan.csv"
    plan.write(path, made)
    assert path.read_bytes().startswith(codecs.BOM_UTF8)
    assert plan.read(path) == made
    assert plan.settle(made, data) == {2: None, 3: "a"}


def test_hostile_names_and_labels(tmp_path, data):
    odd = replace(
        data, names=("=1+1", "-x\n\"'", "'=x", "@a", "b"), targets=("+a", "=b", "'", "a,b", "c")
    )
    made = plan.make(odd, [finding("blank", (0, 1, 2, 3))])
    plan.write(tmp_path / "p.csv", made)
    assert plan.read(tmp_path / "p.csv") == made
    with (tmp_path / "p.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize(
    ("encoding", "comma"), [("utf-8", ","), ("utf-8-sig", ";"), ("utf-16", "\t")]
)
def test_as_a_spreadsheet_saves_it(tmp_path, made, encoding, comma):
    plan.write(tmp_path / "p.csv", made)
    rows = list(csv.reader((tmp_path / "p.csv").read_text("utf-8-sig").splitlines()))
    with (tmp_path / "q.csv").open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=comma, lineterminator="\r\n").writerows(rows)
    assert plan.read(tmp_path / "q.csv") == made


def test_a_person_edits(made, data):
    one, two, three = made
    assert plan.settle([replace(one, action="relabel"), two, three], data)[1] == "a"
    assert plan.settle([replace(one, action="relabel", label="=c")], data) == {1: "=c"}
    assert plan.settle([replace(three, action="keep")], data) == {}


@pytest.mark.parametrize(
    ("change", "message", "fix"),
    [
        (
            {"action": "relabel", "suggestion": "A", "label": "b"},
            "to 'A'",
            "did you mean|one of: =c, a, b",
        ),
        ({"action": "relabel", "suggestion": "", "label": "b"}, "no suggestion", "suggestion"),
        ({"label": "a"}, "the action keep", "relabel"),
        ({"row": 0}, "a.csv:3 is not the row", "anew"),
        ({"row": 99}, "a.csv:3 is not the row", "anew"),
        ({"check": "0" * 16}, "a.csv:3 is not the row", "anew"),
        ({"row": 4, "name": "a.csv:6", "action": "drop"}, "a.csv:6, which is a test row", "remove"),
    ],
)
def test_what_does_not_fit_is_refused(made, data, change, message, fix):
    with pytest.raises(DataError, match=message) as error:
        plan.settle([replace(made[0], **change)], data)
    assert any(one in error.value.fix for one in fix.split("|"))


def test_rows_of_a_test_set_of_its_own_are_refused(made, data):
    test = replace(data, names=tuple(f"test.csv:{i}" for i in range(5)))
    line = replace(made[1], name="test.csv:3")
    with pytest.raises(DataError, match=r"test\.csv:3, which is a test row"):
        plan.settle([line], data, test)


def test_two_minds_about_a_row(made, data):
    with pytest.raises(DataError, match="two things"):
        plan.settle([made[1], replace(made[1], action="relabel", suggestion="b")], data)


def test_changed_content_or_label_is_noticed(made, data):
    for changed in (
        replace(data, inputs=("x", "two texts.", *TEXTS[2:])),
        replace(data, targets=("a", "a", "a", "b", "=c")),
    ):
        with pytest.raises(DataError, match=r"a\.csv:3 is not the row"):
            plan.settle(made, changed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("row,name\n0,x\n", "no column 'finding'"),
        (
            ",".join(plan.COLUMNS) + "\n0,n,f,delete,a,,,,c\n",
            "p.csv:2: there is no action 'delete'",
        ),
        (",".join(plan.COLUMNS) + "\nzero,n,f,drop,a,,,,c\n", "p.csv:2: row 'zero'"),
    ],
)
def test_files_that_are_no_plans(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        plan.read(tmp_path / "p.csv")


def test_no_such_file_and_no_such_folder(tmp_path, made):
    with pytest.raises(DataError, match="cannot be read"):
        plan.read(tmp_path / "p.csv")
    with pytest.raises(DataError, match="cannot be written"):
        plan.write(tmp_path / "none" / "p.csv", made)
