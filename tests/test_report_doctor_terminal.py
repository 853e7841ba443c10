"""What the doctor prints: short, aligned, in two languages, and safe to show."""

from __future__ import annotations

import pytest

from headstart.data.cleaned import Cleaned
from headstart.data.plan import PlanRow
from headstart.errors import ConfigError
from headstart.report import doctor_terminal as terminal
from headstart.report.diagnosis import Checkup
from headstart.report.doctor_phrases import PHRASES
from headstart.report.words import columns
from headstart.types import Finding

HOSTILE = "a\x1b[31m\u202e" + "很长的名字" * 30


def checkup(**changes) -> Checkup:
    rows = tuple(f"{HOSTILE}{i}.png" for i in range(1234))
    findings = (
        Finding("leak", "error", "m", "f", rows[:2], 1.0, (0, 1), ("t0", "t1")),
        Finding(
            "wrong-labels",
            "warning",
            "m",
            "f",
            rows[:9],
            0.71,
            tuple(range(9)),
            ("dog",) * 9,
            (0.9,) * 9,
        ),
        Finding("far-out", "info", "m", "f", rows, numbers=tuple(range(1234))),
        Finding(
            "imbalance", "warning", "The classes are uneven: 'a' has 9,999 rows, 'b' has 2.", "f"
        ),
        Finding("brand-new", "info", "Something that has no phrase of its own was found here."),
    )
    plan = (PlanRow(0, rows[0], "leak", "drop", "cat", "", 1.0, "r", "c"),)
    made = {
        "source": "photos", "modality": "image", "rows": 1234, "labels": ("cat", "dog"),
        "findings": findings, "plan": plan, "seconds": {"read": 1.25}, "backbone": "starter:lite0",
        "tested": 12,
    }  # fmt: skip
    return Checkup(**{**made, **changes})


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [60, 80, 100])
def test_nothing_is_wider_than_the_terminal_and_nothing_runs_in_it(lang, width):
    text = terminal.summary(checkup(), lang, width, data="photos")
    assert max(columns(line) for line in text.splitlines() if "$" not in line) <= width
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "1,234" in text
    assert len(text.splitlines()) < 40


def test_what_stands_there():
    text = terminal.summary(checkup(), "en", 100, data="my photos/")
    assert "2  rows to learn from are also test rows" in text
    assert "9  labels are probably wrong (sure: 71 %)" in text
    assert "cat → dog" in text
    assert "The classes are uneven" in text
    assert "no phrase of its own" in text
    assert "A plan for 1 row: 1 to drop, 0 to relabel, 0 to look at." in text
    assert "headstart doctor 'my photos/' --fix plan.csv" in text
    assert text.index("test rows") < text.index("probably wrong")


@pytest.mark.parametrize(
    ("lang", "look"), [("en", "change the column action"), ("zh", "修改 action 列")]
)
@pytest.mark.parametrize("width", [60, 100])
def test_a_plan_that_is_written_is_to_be_looked_at_and_applied(lang, look, width):
    text = terminal.summary(checkup(), lang, width, data="photos", plan="my plan.csv")
    assert look in " ".join(text.split())
    assert "$ headstart doctor photos --apply 'my plan.csv' --out cleaned.csv" in text
    assert "--fix" not in text
    assert max(columns(line) for line in text.splitlines() if "$" not in line) <= width


def test_colours_only_where_they_are_wanted():
    plain = terminal.summary(checkup(), "en", 80)
    painted = terminal.summary(checkup(), "en", 80, colour=True)
    assert "\x1b[31m✗\x1b[0m" in painted
    assert len(painted.splitlines()) == len(plain.splitlines())


def test_healthy():
    text = terminal.summary(checkup(findings=(), plan=(), backbone="", tested=0), "zh", 80)
    assert "没有发现问题" in text
    assert "仅检查字节与表格" in text
    assert "$" not in text


def test_copies_and_unknown_languages():
    made = Cleaned("clean.csv", 90, 8, 2)
    assert terminal.applied(made).startswith("90 rows written to clean.csv: 8 left out, 2 with")
    assert "删除 8 行" in terminal.applied(made, "zh")
    assert "plan.csv" in terminal.written("plan.csv", "zh")
    with pytest.raises(ConfigError):
        terminal.summary(checkup(), "fr")


@pytest.mark.parametrize("key", PHRASES)
def test_both_languages_take_the_same_values(key):
    import re

    english, chinese = PHRASES[key]
    names = [set(re.findall(r"{(\w+)", one)) for one in (*english.split("|"), chinese)]
    assert all(one == names[-1] for one in names)
