"""What an evaluation and a decision hold on trust, as plain JSON values, and back.

Every key is read with a default: pages of earlier versions have none of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from headstart.scores import (
    Answered,
    Evaluation,
    LearningCurve,
    Metric,
    Reliability,
    Repeats,
    RiskCurve,
)
from headstart.types import Decision

_SETS = ("lac", "aps", "class")


def number(value: float) -> float | None:
    """Six digits after the point; None for what is not finite, which JSON cannot hold."""
    return round(float(value), 6) if math.isfinite(value) else None


def real(value: Any) -> float:
    """The inverse of `number`."""
    return math.nan if value is None else float(value)


def metric_json(metric: Metric) -> dict[str, float | None]:
    """As `{"value", "low", "high"}`."""
    return {name: number(value) for name, value in metric.to_json().items()}


def metric_from(data: Mapping[str, Any]) -> Metric:
    """The inverse of `metric_json`."""
    return Metric(real(data["value"]), real(data["low"]), real(data["high"]))


def metrics_json(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Name -> metric."""
    return {name: metric_json(metric) for name, metric in metrics.items()}


def metrics_from(data: Mapping[str, Any]) -> dict[str, Metric]:
    """The inverse of `metrics_json`."""
    return {str(name): metric_from(metric) for name, metric in data.items()}


def trust_json(evaluation: Evaluation) -> dict[str, Any]:
    """The fields of an evaluation that say how far to believe it; None for what it has not."""
    return {
        "reliability": _reliability_json(evaluation.reliability),
        "risk": _risk_json(evaluation.risk),
        "answered": _answered_json(evaluation.answered),
        "learning": _learning_json(evaluation.learning),
        "repeats": _repeats_json(evaluation.repeats),
        "leaked": _maybe(int, evaluation.leaked),
        "without_leaked": metrics_json(evaluation.without_leaked),
    }


def trust_from(data: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `trust_json`, as keywords of `Evaluation`."""
    return {
        "reliability": _maybe(_reliability, data.get("reliability")),
        "risk": _maybe(_risk, data.get("risk")),
        "answered": _maybe(_answered, data.get("answered")),
        "learning": _maybe(_learning, data.get("learning")),
        "repeats": _maybe(_repeats, data.get("repeats")),
        "leaked": _maybe(int, data.get("leaked")),
        "without_leaked": metrics_from(data.get("without_leaked", {})),
    }


def decision_json(decision: Decision) -> dict[str, Any]:
    """As plain JSON values."""
    familiar, precision = decision.familiar_above, decision.at_precision
    return {
        "temperature": decision.temperature,
        "coverage": decision.coverage,
        "set_threshold": decision.set_threshold,
        "abstain_below": decision.abstain_below,
        "scale": [number(value) for value in decision.scale],
        "shift": [number(value) for value in decision.shift],
        "sets": decision.sets,
        "class_thresholds": [number(value) for value in decision.class_thresholds],
        "familiar_above": None if familiar is None else number(familiar),
        "at_precision": None if precision is None else number(precision),
    }


def decision_from(data: Mapping[str, Any]) -> Decision:
    """The inverse of `decision_json`."""
    sets = data.get("sets", "lac")
    if sets not in _SETS:
        raise ValueError(f"sets {sets!r}")
    return Decision(
        temperature=float(data["temperature"]),
        coverage=float(data["coverage"]),
        set_threshold=float(data["set_threshold"]),
        abstain_below=float(data["abstain_below"]),
        scale=_reals(data.get("scale", ())),
        shift=_reals(data.get("shift", ())),
        sets=sets,
        class_thresholds=_reals(data.get("class_thresholds", ())),
        familiar_above=_maybe(float, data.get("familiar_above")),
        at_precision=_maybe(float, data.get("at_precision")),
    )


def _maybe(read: Any, data: Any) -> Any:
    return None if data is None else read(data)


def _reals(values: Any) -> tuple[float, ...]:
    return tuple(real(value) for value in values)


def _reliability_json(one: Reliability | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "ece": number(one.ece),
        "before": number(one.before),
        "noise": number(one.noise),
        "bins": [[number(mean), number(right), int(n)] for mean, right, n in one.bins],
    }


def _reliability(data: Mapping[str, Any]) -> Reliability:
    return Reliability(
        real(data["ece"]),
        real(data["before"]),
        real(data["noise"]),
        tuple((real(mean), real(right), int(n)) for mean, right, n in data["bins"]),
    )


def _risk_json(one: RiskCurve | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "answered": [number(value) for value in one.answered],
        "accuracy": [number(value) for value in one.accuracy],
    }


def _risk(data: Mapping[str, Any]) -> RiskCurve:
    return RiskCurve(_reals(data["answered"]), _reals(data["accuracy"]))


def _answered_json(one: Answered | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "share": metric_json(one.share),
        "accuracy": None if one.accuracy is None else metric_json(one.accuracy),
        "reasons": {str(reason): int(n) for reason, n in one.reasons.items()},
    }


def _answered(data: Mapping[str, Any]) -> Answered:
    return Answered(
        metric_from(data["share"]),
        _maybe(metric_from, data["accuracy"]),
        {str(reason): int(n) for reason, n in data["reasons"].items()},
    )


def _learning_json(one: LearningCurve | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "rows": [int(n) for n in one.rows],
        "accuracy": [metric_json(metric) for metric in one.accuracy],
        "more": int(one.more),
        "gain": None if one.gain is None else metric_json(one.gain),
        "note": one.note,
    }


def _learning(data: Mapping[str, Any]) -> LearningCurve:
    return LearningCurve(
        tuple(int(n) for n in data["rows"]),
        tuple(metric_from(metric) for metric in data["accuracy"]),
        int(data["more"]),
        _maybe(metric_from, data["gain"]),
        str(data["note"]),
    )


def _repeats_json(one: Repeats | None) -> dict[str, Any] | None:
    if one is None:
        return None
    values = {str(name): [number(v) for v in each] for name, each in one.values.items()}
    return {"metrics": metrics_json(one.metrics), "n": int(one.n), "values": values}


def _repeats(data: Mapping[str, Any]) -> Repeats:
    values = {str(name): _reals(each) for name, each in data["values"].items()}
    return Repeats(metrics_from(data["metrics"]), int(data["n"]), values)
