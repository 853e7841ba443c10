"""What was noticed about the data, as the page, the card and the advice show it: the gravest first."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from headstart.report.content import Report
from headstart.report.examples import Example
from headstart.report.words import Words, clip
from headstart.types import Finding

_SEVERITIES = ("error", "warning", "info")
_FINDINGS, _ROWS = 100, 60
_PLANNED = frozenset(
    {"duplicates", "near-duplicates", "conflicting-labels", "near-conflicts", "wrong-labels", "leak",
     "near-leak", "blank", "no-letters", "lengths", "sizes", "far-out"}
)  # fmt: skip
"""Findings whose rows `headstart doctor --fix` writes a plan for."""
_CARRIED = ("--input", "--target", "--split", "--group", "--backbone")


@dataclass(frozen=True)
class Listing:
    """Names under one heading, as many as are shown, and how many there are."""

    heading: str
    n: int
    shown: tuple[tuple[str, str], ...]  # name, and what sets it apart from the heading
    foreign: bool = False

    @property
    def brief(self) -> bool:
        """Whether the names are so few that they stand in the line itself."""
        return 0 < self.n == len(self.shown) <= 3

    @property
    def more(self) -> int:
        """How many are not shown."""
        return self.n - len(self.shown)


def ordered(report: Report) -> list[tuple[Finding, int, tuple[Example, ...]]]:
    """The findings with the numbers of their rows and examples: serious ones first."""
    return sorted(report.noticed(), key=lambda entry: _SEVERITIES.index(entry[0].severity))


def groups(report: Report, w: Words) -> list[dict[str, Any]]:
    """The findings of each severity there are."""
    every, made = ordered(report)[:_FINDINGS], []
    for severity in _SEVERITIES:
        found = [_shown(report, w, *entry) for entry in every if entry[0].severity == severity]
        if found:
            title = w(f"severity.{severity}")
            made.append({"severity": severity, "title": title, "findings": found})
    return made


def _shown(
    report: Report, w: Words, finding: Finding, n: int, examples: tuple[Example, ...]
) -> dict[str, Any]:
    sure, other = finding.confidence, w("findings.other")
    return {
        "severity": finding.severity,
        "title": w.name("kind", finding.kind) if w.has(f"kind.{finding.kind}") else other,
        "sure": "" if sure is None or sure >= 1 else w("findings.sure", value=w.percent(sure, 0)),
        "message": w.said(finding.message),
        "foreign": w.foreign(finding.message),
        "fix": w.said(finding.fix),
        "fix_foreign": w.foreign(finding.fix),
        "rows": Listing("", n, tuple((clip(row, 120), "") for row in finding.rows[:_ROWS])),
        "examples": [(one, _said(finding.kind, one, w)) for one in examples],
        "pictured": any(one.image for one in examples),
    }


def _said(kind: str, one: Example, w: Words) -> list[str]:
    """What stands below an example: its label, and what is suggested for it."""
    label, suggestion = clip(one.label, 40), clip(one.suggestion, 40)
    told = [w("example.label", label=label)] if label else []
    if not suggestion:
        return told
    if kind != "wrong-labels":
        return [*told, w("example.like", suggestion=suggestion)]
    if one.sure is None:
        return [*told, w("example.wrong", suggestion=suggestion)]
    return [*told, w("example.sure", suggestion=suggestion, sure=w.percent(one.sure, 0))]


def count(report: Report, kind: str) -> int:
    """How many rows the findings of a kind concern."""
    return sum(n for finding, n, _ in report.noticed() if finding.kind == kind)


def commands(report: Report) -> tuple[str, ...]:
    """What mends the rows of the findings; empty where no finding has rows that a plan can mend."""
    if not any(finding.kind in _PLANNED for finding in report.findings):
        return ()
    return plan(report), doctor(report, "--apply", "plan.csv", "--out", "cleaned.csv")


def plan(report: Report) -> str:
    """The command that writes a plan for the rows of the findings."""
    return doctor(report, "--fix", "plan.csv")


def doctor(report: Report, *options: str) -> str:
    """The command that looks at the data again, as a shell takes it, with more options."""
    try:
        typed = shlex.split(report.command)
    except ValueError:
        typed = []
    by_hand = typed[:1] == ["headstart"]
    source = report.source if by_hand or not report.source.startswith("the ") else "DATA"
    # a name that begins with a dash would be read as an option
    words = ["headstart", "doctor", f"./{source}" if source.startswith("-") else source]
    for i, word in enumerate(typed if by_hand else ()):
        if word in _CARRIED and i + 1 < len(typed):
            words += [word, typed[i + 1]]
        elif word.split("=")[0] in _CARRIED:
            words.append(word)
    if by_hand and report.test_source:
        words += ["--test", report.test_source]
    return shlex.join([*words, *options])
