"""Nouns of a report as plain JSON values, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from headstart.report.kept_transfer import transfer_from
from headstart.report.kept_trials import brief, trials_from
from headstart.report.kept_trust import (
    metrics_from,
    metrics_json,
    number,
    real,
    trust_from,
    trust_json,
)
from headstart.scores import Baseline, ClassScore, Evaluation
from headstart.types import Finding


def plain(value: Any) -> Any:
    """A value as plain JSON: numpy numbers become Python's, what is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """As plain JSON values; the confusion matrix as its non-zero cells [truth, answer, count]."""
    trials, transfer = evaluation.trials, evaluation.transfer
    matrix = np.asarray(evaluation.confusion)
    rows, columns = np.nonzero(matrix)
    return {
        "metrics": metrics_json(evaluation.metrics),
        "per_class": [
            {
                "label": c.label,
                "precision": number(c.precision),
                "recall": number(c.recall),
                "f1": number(c.f1),
                "n": int(c.n),
            }
            for c in evaluation.per_class
        ],
        "labels": list(evaluation.labels),
        "confusion": [
            [int(i), int(j), int(matrix[i, j])] for i, j in zip(rows.tolist(), columns.tolist())
        ],
        "n": int(evaluation.n),
        "split": evaluation.split,
        "protocol": evaluation.protocol,
        "baselines": [
            {
                "name": one.name,
                "metrics": None if one.metrics is None else metrics_json(one.metrics),
                "note": one.note,
            }
            for one in evaluation.baselines
        ],
        "coverage": None if evaluation.coverage is None else number(evaluation.coverage),
        "set_size": None if evaluation.set_size is None else number(evaluation.set_size),
        "notes": list(evaluation.notes),
        **trust_json(evaluation),
        "trials": None if trials is None else brief(plain(trials.to_json())),
        "transfer": None if transfer is None else brief(plain(transfer.to_json())),
    }


def evaluation_from(data: Mapping[str, Any]) -> Evaluation:
    """The inverse of `evaluation_json`."""
    trials, transfer = data.get("trials"), data.get("transfer")  # not in earlier versions
    labels = texts(data["labels"])
    matrix = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for i, j, count in data["confusion"]:
        if not (0 <= i < len(labels) and 0 <= j < len(labels)):
            raise IndexError("a cell outside of the confusion matrix")
        matrix[i, j] = count
    return Evaluation(
        metrics=metrics_from(data["metrics"]),
        per_class=tuple(
            ClassScore(
                str(c["label"]),
                real(c["precision"]),
                real(c["recall"]),
                real(c["f1"]),
                int(c["n"]),
            )
            for c in data["per_class"]
        ),
        labels=labels,
        confusion=matrix,
        n=int(data["n"]),
        split=str(data["split"]),
        protocol=str(data["protocol"]),
        baselines=tuple(
            Baseline(
                str(b["name"]),
                None if b["metrics"] is None else metrics_from(b["metrics"]),
                str(b["note"]),
            )
            for b in data["baselines"]
        ),
        coverage=None if data["coverage"] is None else float(data["coverage"]),
        set_size=None if data["set_size"] is None else float(data["set_size"]),
        notes=texts(data["notes"]),
        **trust_from(data),
        trials=None if trials is None else trials_from(trials),
        transfer=None if transfer is None else transfer_from(transfer),
    )


def texts(values: Iterable[Any]) -> tuple[str, ...]:
    """All values as texts."""
    return tuple(str(value) for value in values)


def finding_json(finding: Finding, n_rows: int) -> dict[str, Any]:
    """As plain JSON values, with the number of rows concerned."""
    sure = finding.confidence
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "message": finding.message,
        "fix": finding.fix,
        "rows": list(finding.rows),
        "n_rows": n_rows,
        "confidence": None if sure is None else number(sure),
    }


def finding_from(data: Mapping[str, Any]) -> Finding:
    """The inverse of `finding_json`, but for the number of rows."""
    severity, sure = data["severity"], data.get("confidence")
    if severity not in ("info", "warning", "error"):
        raise ValueError(f"severity {severity!r}")
    return Finding(
        str(data["kind"]),
        severity,
        str(data["message"]),
        str(data["fix"]),
        texts(data["rows"]),
        confidence=None if sure is None else float(sure),
    )


def encodable(value: Any) -> Any:
    """Lone surrogates (file names that are not UTF-8) as visible escapes, so that all can be written."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {encodable(key): encodable(one) for key, one in value.items()}
    return [encodable(one) for one in value] if isinstance(value, list) else value
