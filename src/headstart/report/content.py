"""What a report shows, as one noun: made once while fitting, kept as JSON inside the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from headstart.errors import BundleError
from headstart.report.examples import Example, examples
from headstart.report.kept import (
    encodable,
    evaluation_from,
    evaluation_json,
    finding_from,
    finding_json,
    plain,
    texts,
)
from headstart.report.kept_trials import thinned
from headstart.report.kept_trust import decision_from, decision_json
from headstart.report.mistakes import Mistake
from headstart.scores import Evaluation
from headstart.types import (
    Backbone,
    Candidate,
    Decision,
    Finding,
    Modality,
    Roles,
    Skipped,
    Split,
    Table,
)

SCHEMA = 1


@dataclass(frozen=True)
class ClassCount:
    """How many rows a class has, to learn from and to measure on."""

    label: str
    train: int
    test: int


@dataclass(frozen=True)
class BackboneFacts:
    """What a reader must know of the backbone; see `headstart.types.Backbone`."""

    name: str
    dim: int
    licence: str
    sha256: str
    why: str = ""


@dataclass(frozen=True, eq=False)
class Report:
    """All that the report shows. Compare two with `to_json`.

    Attributes:
        title: a short name of the data.
        modality: what the inputs are.
        source: what was read.
        test_source: what was read to measure on; empty where rows were held out of `source`.
        roles: which column was taken for what.
        classes: rows of each class, in label order.
        n_train: rows learned from.
        folds: cross-validation folds.
        protocol: how the rows were divided, one sentence.
        data_notes: what was guessed or repaired while reading and splitting.
        skipped: every input that was left out, with the reason.
        unlisted: reason -> how many more were left out that `skipped` does not name; only in a
            report that was read back from a page, which names a limited number.
        findings: what was noticed about the data.
        finding_rows: how many rows each finding concerns (its `rows` are limited in a page, too).
        finding_examples: the first rows of each finding, shown, where looking at them helps.
        backbone: which one, with licence and checksum.
        method: how it was learned.
        chosen: what was chosen and by what.
        evaluation: how good it is, on which rows; its `skipped` are in `skipped`.
        decision: how logits become an answer.
        mistakes: the most confident ones.
        seconds: what each stage took.
        command: what was typed.
        version: of Headstart.
        created: ISO 8601, UTC.
    """

    title: str
    modality: Modality
    source: str
    test_source: str
    roles: Roles
    classes: tuple[ClassCount, ...]
    n_train: int
    folds: int
    protocol: str
    data_notes: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    findings: tuple[Finding, ...]
    finding_rows: tuple[int, ...]
    backbone: BackboneFacts
    method: str
    chosen: Mapping[str, Any]
    evaluation: Evaluation
    decision: Decision
    mistakes: tuple[Mistake, ...]
    seconds: Mapping[str, float]
    command: str
    version: str
    created: str
    unlisted: Mapping[str, int] = field(default_factory=dict)
    finding_examples: tuple[tuple[Example, ...], ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the data, the split and the numbers, each once."""
        return tuple(dict.fromkeys((*self.data_notes, *self.evaluation.notes)))

    @property
    def n_skipped(self) -> int:
        """How many inputs were left out."""
        return len(self.skipped) + sum(self.unlisted.values())

    def noticed(self) -> list[tuple[Finding, int, tuple[Example, ...]]]:
        """Each finding with the number of its rows and those of them that are shown."""
        shown = (*self.finding_examples, *((),) * len(self.findings))
        return list(zip(self.findings, self.finding_rows, shown))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        roles = self.roles
        return {
            "schema": SCHEMA,
            "title": self.title,
            "modality": self.modality,
            "source": self.source,
            "test_source": self.test_source,
            "roles": {
                "input": roles.input,
                "target": roles.target,
                "split": roles.split,
                "group": roles.group,
                "time": roles.time,
            },
            "classes": [{"label": c.label, "train": c.train, "test": c.test} for c in self.classes],
            "n_train": self.n_train,
            "folds": self.folds,
            "protocol": self.protocol,
            "data_notes": list(self.data_notes),
            "skipped": [skip.to_json() for skip in self.skipped],
            "unlisted": dict(self.unlisted),
            "findings": [
                {**finding_json(finding, n), "examples": [one.to_json() for one in shown]}
                for finding, n, shown in self.noticed()
            ],
            "backbone": {
                "name": self.backbone.name,
                "dim": self.backbone.dim,
                "licence": self.backbone.licence,
                "sha256": self.backbone.sha256,
                "why": self.backbone.why,
            },
            "method": self.method,
            "chosen": plain(self.chosen),
            "evaluation": evaluation_json(self.evaluation),
            "decision": decision_json(self.decision),
            "mistakes": [mistake.to_json() for mistake in self.mistakes],
            "seconds": {stage: round(spent, 3) for stage, spent in self.seconds.items()},
            "command": self.command,
            "version": self.version,
            "created": self.created,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Report:
        """The inverse of `to_json`.

        Raises:
            BundleError: it is damaged, or written by a newer version.
        """
        schema = data.get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise BundleError(
                f"The report was written by a newer version (its schema is {schema}, not {SCHEMA}).",
                fix="pip install --upgrade headstart",
            )
        try:
            return _report(data)
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            IndexError,
            OverflowError,
        ) as error:
            raise BundleError(
                f"The report is damaged ({type(error).__name__}: {error}).",
                fix="copy the file again from where it was made",
            ) from error


def build(
    *,
    title: str,
    table: Table,
    split: Split,
    test: Table,
    features_skipped: Sequence[Skipped],
    backbone: Backbone,
    candidate: Candidate,
    evaluation: Evaluation,
    decision: Decision,
    findings: Sequence[Finding],
    mistakes: Sequence[Mistake],
    seconds: Mapping[str, float],
    command: str,
    version: str,
    created: str,
) -> Report:
    """Gather what the report shows.

    Args:
        title: a short name of the data.
        table: the readable rows; `split` numbers them.
        split: which rows were learned from; its `test` is empty where test data was given.
        test: the rows measured.
        features_skipped: rows that could not be decoded.
        backbone: what computed the features.
        candidate: what the method made.
        evaluation: how good it is.
        decision: how logits become an answer.
        findings: what was noticed about the data.
        mistakes: the most confident ones.
        seconds: what each stage took.
        command: what was typed.
        version: of Headstart.
        created: ISO 8601, UTC.
    """
    given = not len(split.test)
    skipped = [*table.skipped, *features_skipped, *(test.skipped if given else ())]
    skipped += list((Counter(evaluation.skipped) - Counter(skipped)).elements())
    notes = (*table.notes, *(test.notes if given else ()), *split.notes)
    targets = table.targets or ()
    train_counts = Counter(targets[int(row)] for row in split.train)
    report = Report(
        title=title,
        modality=table.modality,
        source=table.source,
        test_source=test.source if given else "",
        roles=table.roles,
        classes=_counts(evaluation.labels, train_counts, Counter(test.targets or ())),
        n_train=len(split.train),
        folds=len({int(fold) for fold in split.folds if fold >= 0}),
        protocol=evaluation.protocol or split.protocol,
        data_notes=tuple(dict.fromkeys(notes)),
        skipped=tuple(skipped),
        findings=tuple(findings),
        finding_rows=tuple(len(finding.rows) for finding in findings),
        finding_examples=examples(findings, table, test),
        backbone=BackboneFacts(
            backbone.name, backbone.dim, backbone.licence, backbone.sha256, backbone.why
        ),
        method=candidate.method,
        chosen=plain(candidate.chosen),
        evaluation=replace(evaluation, skipped=()),
        decision=decision,
        mistakes=tuple(mistakes),
        seconds=dict(seconds),
        command=command,
        version=version,
        created=created,
    )
    return Report.from_json(encodable(report.to_json()))


def shortened(report: Report, characters: int = 250_000) -> Report:
    """The same report with fewer names: at most so many characters of skipped inputs and of findings' rows.

    The counts stay: see `Report.unlisted` and `Report.finding_rows`. Of a long training some epochs stay.
    """
    budget, kept, unlisted = characters, [], Counter(report.unlisted)
    for skip in report.skipped:
        budget -= len(skip.input) + len(skip.reason) + 30
        if budget >= 0:
            kept.append(skip)
        else:
            unlisted[skip.reason] += 1
    findings = []
    each = characters // 2 // max(len(report.findings), 1)
    for finding in report.findings:
        budget, rows = each, []
        for name in finding.rows:
            budget -= len(name) + 3
            if budget < 0:
                break
            rows.append(name)
        findings.append(replace(finding, rows=tuple(rows)))
    evaluation = report.evaluation
    if evaluation.trials is not None:
        evaluation = replace(evaluation, trials=thinned(evaluation.trials))
    return replace(
        report,
        skipped=tuple(kept),
        unlisted=dict(unlisted),
        findings=tuple(findings),
        evaluation=evaluation,
    )


def _report(data: Mapping[str, Any]) -> Report:
    roles, backbone = data["roles"], data["backbone"]
    if data["modality"] not in ("image", "text"):
        raise ValueError(f"modality {data['modality']!r}")
    return Report(
        title=str(data["title"]),
        modality=cast(Modality, data["modality"]),
        source=str(data["source"]),
        test_source=str(data["test_source"]),
        roles=Roles(
            str(roles["input"]),
            *(_maybe(roles.get(name)) for name in ("target", "split", "group", "time")),
        ),
        classes=tuple(
            ClassCount(str(c["label"]), int(c["train"]), int(c["test"])) for c in data["classes"]
        ),
        n_train=int(data["n_train"]),
        folds=int(data["folds"]),
        protocol=str(data["protocol"]),
        data_notes=texts(data["data_notes"]),
        skipped=tuple(Skipped(str(s["input"]), str(s["reason"])) for s in data["skipped"]),
        findings=tuple(finding_from(one) for one in data["findings"]),
        finding_rows=tuple(int(one["n_rows"]) for one in data["findings"]),
        finding_examples=tuple(
            tuple(Example.from_json(each) for each in one.get("examples", ()))
            for one in data["findings"]
        ),
        backbone=BackboneFacts(
            str(backbone["name"]),
            int(backbone["dim"]),
            str(backbone["licence"]),
            str(backbone["sha256"]),
            str(backbone["why"]),
        ),
        method=str(data["method"]),
        chosen=dict(data["chosen"]),
        evaluation=evaluation_from(data["evaluation"]),
        decision=decision_from(data["decision"]),
        mistakes=tuple(Mistake.from_json(one) for one in data["mistakes"]),
        seconds={str(stage): float(spent) for stage, spent in data["seconds"].items()},
        command=str(data["command"]),
        version=str(data["version"]),
        created=str(data["created"]),
        unlisted={str(reason): int(n) for reason, n in data["unlisted"].items()},
    )


def _counts(
    labels: Sequence[str], train: Mapping[str, int], test: Mapping[str, int]
) -> tuple[ClassCount, ...]:
    """Label order first, then labels that the model does not know but the test rows have."""
    known = set(labels)
    others = [label for label in sorted({*train, *test}) if label not in known]
    return tuple(
        ClassCount(label, train.get(label, 0), test.get(label, 0)) for label in (*labels, *others)
    )


def _maybe(value: Any) -> str | None:
    return None if value is None else str(value)
