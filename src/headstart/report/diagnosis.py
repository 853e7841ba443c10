"""What the doctor found, as one value: for a person, for a program, and for the plan's file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.data import plan as plans
from headstart.types import Finding, Skipped


@dataclass(frozen=True)
class Checkup:
    """What the doctor found.

    Attributes:
        source: what was looked at.
        modality: what the inputs are.
        rows: how many rows it has.
        labels: its labels.
        findings: what was noticed, the most serious first; their `numbers` count the rows of the data.
        plan: what could be done about it, one line for each row concerned; test rows are never in it.
        skipped: inputs that could not be read, by name and reason.
        notes: what was guessed or left out, one sentence each.
        seconds: what each stage took.
        backbone: whose features were looked at; empty without.
        computed: how many feature vectors were computed now rather than found in the store.
        tested: how many test rows there are, among `rows` or in a test set of their own.
    """

    source: str
    modality: str
    rows: int
    labels: tuple[str, ...]
    findings: tuple[Finding, ...]
    plan: tuple[plans.PlanRow, ...]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    backbone: str = ""
    computed: int = 0
    tested: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """Kind of finding -> rows concerned; 0 for findings about no row."""
        counted: Counter[str] = Counter()
        for finding in self.findings:
            counted[finding.kind] += len(finding.rows)
        return dict(counted)

    @property
    def actions(self) -> dict[str, int]:
        """ "keep", "drop" and "relabel" -> lines of the plan."""
        counted = Counter(line.action for line in self.plan)
        return {action: counted[action] for action in plans.ACTIONS}

    def save_plan(self, path: str | Path) -> None:
        """Write the plan as CSV, for a person to edit.

        Raises:
            DataError: the file cannot be written.
        """
        plans.write(path, self.plan)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "source": self.source,
            "modality": self.modality,
            "rows": self.rows,
            "test_rows": self.tested,
            "labels": list(self.labels),
            "findings": [_finding(finding) for finding in self.findings],
            "counts": self.counts,
            "plan": {"lines": len(self.plan), **self.actions},
            "skipped": [skip.to_json() for skip in self.skipped],
            "notes": list(self.notes),
            "backbone": self.backbone,
            "computed": self.computed,
            "seconds": {stage: round(spent, 3) for stage, spent in self.seconds.items()},
        }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "message": finding.message,
        "fix": finding.fix,
        "confidence": finding.confidence,
        "rows": list(finding.rows),
        "suggestions": list(finding.suggestions),
        "sure": list(finding.sure),
    }
