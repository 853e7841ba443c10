"""What the page's template is filled with: the report's numbers, sorted, cut and put into words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.report.advice import (
    advice,
    allowing,
    beaten,
    bundle_name,
    pairs,
    python_example,
    rival,
)
from headstart.report.content import ClassCount, Report
from headstart.report.findings_view import Listing, commands, groups, plan
from headstart.report.trials_view import tried
from headstart.report.trust_view import blocks
from headstart.report.trust_words import leak, scores
from headstart.report.words import LOSSES, Words, clip
from headstart.scores import ClassScore, Metric

MATRIX_CLASSES = 20
"""With more, the confusion matrix is a map beside a list of pairs."""

_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
_TABLE_CLASSES, _WORST = 30, 15
_LISTED_NAMES, _LISTED_GROUPS, _LISTED_CLASSES = 200, 25, 1000
_PAIRS = 15
_NUMBER = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True)
class Card:
    """One headline metric."""

    name: str
    title: str
    about: str
    value: str
    interval: str
    spoken: str
    metric: Metric
    top: float
    tick: float | None
    without: Card | None = None  # the same without the rows that were also learned from


def page_view(report: Report, w: Words) -> dict[str, Any]:
    """All values of the page's template."""
    evaluation = report.evaluation
    return {
        "report": report,
        "evaluation": evaluation,
        "title": clip(report.title, 80),
        "verdict": verdict(report, w),
        "warnings": warnings(report, w),
        "measured": w.measured(report.modality, evaluation.split, evaluation.n),
        "cards": cards(report, w),
        "protocol": protocol(report, w),
        "roles": roles(report, w),
        "counts": _counts(report),
        "largest_count": max((c.train + c.test for c in report.classes), default=1) or 1,
        "skips": skip_groups(report, w),
        "findings": groups(report, w),
        "commands": commands(report),
        "chosen": chosen(report, w),
        "seconds": _seconds(report),
        "tried": tried(evaluation, w),
        "comparison": _comparison(report, w),
        "scores": _scores(report),
        "matrix": _matrix(report) if len(evaluation.labels) <= MATRIX_CLASSES else None,
        "pairs": pairs(evaluation, _PAIRS) if len(evaluation.labels) > MATRIX_CLASSES else (),
        "confusion": evaluation.confusion,
        "trust": blocks(report, w),
        "advice": _advice(report, w),
        "bundle": bundle_name(report),
        "python": python_example(report),
    }


def verdict(report: Report, w: Words) -> str:
    """How good the model is, in one or two plain sentences."""
    evaluation = report.evaluation
    accuracy = evaluation.metrics.get("accuracy")
    if accuracy is None:
        return w.measured(report.modality, evaluation.split, evaluation.n)
    digits = 1 if accuracy.value > 0.95 or evaluation.n >= 2000 else 0
    text = w(
        "verdict",
        correct=int(np.trace(evaluation.confusion)) or round(accuracy.value * evaluation.n),
        n=evaluation.n,
        split=w.name("split", evaluation.split),
        things=w(f"many.{report.modality}"),
        unit=w(f"unit.{report.modality}"),
        value=w.percent(accuracy.value, digits),
        low=w.percent(accuracy.low, digits),
        high=w.percent(accuracy.high, digits),
    )
    guess = _majority(report, "accuracy")
    if guess is not None:
        text += (" " if w.lang == "en" else "") + w(
            "verdict.majority", value=w.percent(guess, digits)
        )
    return text


def warnings(report: Report, w: Words) -> list[str]:
    """What must be known before the numbers are believed."""
    found = []
    known = any(finding.kind in ("leak", "near-leak") for finding in report.findings)
    told = leak(report.evaluation, w, found=known)
    found += [told] if told else []
    best = rival(report.evaluation)
    if best is not None and beaten(report.evaluation):
        baseline, name, ours, theirs = best
        found.append(
            w(
                "verdict.beaten",
                name=w.inner(w.name("baseline", baseline.name)),
                metric=w.inner(w.name("metric", name)),
                ours=w.score(name, ours.value),
                theirs=w.score(name, theirs.value),
            )
        )
    return found


def _advice(report: Report, w: Words) -> list[tuple[str, str, str]]:
    """What to do next; where a sentence holds a command, the parts before it, itself and after it."""
    commands = (plan(report), allowing(report))
    return [
        sentence.partition(next((one for one in commands if one in sentence), commands[0]))
        for sentence in advice(report, w)
    ]


def _majority(report: Report, metric: str) -> float | None:
    for one in report.evaluation.baselines:
        if one.name == "majority" and one.metrics and metric in one.metrics:
            return one.metrics[metric].value
    return None


def cards(report: Report, w: Words) -> list[Card]:
    """The headline metrics: the known ones first, in their order."""
    metrics = report.evaluation.metrics
    names = [name for name in _METRICS if name in metrics]
    names += [name for name in metrics if name not in _METRICS]
    without = report.evaluation.without_leaked
    made = [_card(report, name, metrics[name], w) for name in names]
    return [
        replace(one, without=_card(report, one.name, without[one.name], w, one.top))
        if one.name in without
        else one
        for one in made
    ]


def _card(report: Report, name: str, metric: Metric, w: Words, top: float | None = None) -> Card:
    """`top` is the right end of its line; found if not given."""
    title, tick = w.name("metric", name), _majority(report, name)
    if top is None and name in LOSSES:
        guess = math.log(max(len(report.evaluation.labels), 2))
        ends = [value for value in (tick, metric.high, guess) if value is not None]
        top = max(filter(math.isfinite, ends), default=1.0) * 1.04
    said = scores(name, metric, w)
    return Card(
        name=name,
        title=title,
        about=w(f"about.{name}") if w.has(f"about.{name}") else "",
        value=said["value"],
        interval=w.interval(name, metric),
        spoken=w("interval.title", name=title, **said),
        metric=metric,
        top=1.0 if top is None else top,
        tick=tick,
    )


def protocol(report: Report, w: Words) -> str:
    """How the rows were divided, in the page's language where it can be told."""
    said = w.said(report.protocol)
    if w.lang == "en" or said != report.protocol:
        return said[:1].upper() + said[1:]
    n, split = report.evaluation.n, report.evaluation.split
    if split == "held-out":
        return w("protocol.held-out", test=n, all=n + report.n_train)
    if report.test_source:
        return w("protocol.test", source=clip(report.test_source))
    return w("protocol.data")


def roles(report: Report, w: Words) -> str:
    """Which column was taken for what."""
    own = report.roles
    if (own.input, own.target) == ("file", "folder"):
        return w("data.folder")
    named = (
        ("input", own.input),
        ("target", own.target),
        ("split", own.split),
        ("group", own.group),
        ("time", own.time),
    )
    told = [w(f"role.{role}", name=w("quote", text=clip(name, 40))) for role, name in named if name]
    return w("sep").join(told)


def _counts(report: Report) -> dict[str, Sequence[ClassCount]]:
    """Classes by size: all of few, or the ends of many and the whole list apart."""
    ordered = sorted(report.classes, key=lambda one: (-one.train - one.test, one.label))
    if len(ordered) <= _TABLE_CLASSES:
        return {"all": ordered, "largest": (), "smallest": ()}
    return {"all": ordered[:_LISTED_CLASSES], "largest": ordered[:8], "smallest": ordered[-8:]}


def skip_groups(report: Report, w: Words) -> list[Listing]:
    """What was left out, by reason; reasons that differ in their numbers alone are one group."""
    groups: dict[str, list[tuple[str, str]]] = {}
    totals: Counter[str] = Counter()
    for skip in report.skipped:
        key = _NUMBER.sub("#", skip.reason)
        groups.setdefault(key, []).append((skip.input, skip.reason))
        totals[key] += 1
    for reason, n in report.unlisted.items():
        key = _NUMBER.sub("#", reason)
        groups.setdefault(key, [])
        totals[key] += n
    reasons = {_NUMBER.sub("#", reason): reason for reason in report.unlisted}
    listed, room = [], _LISTED_NAMES
    for key, n in totals.most_common(_LISTED_GROUPS):
        names = groups[key]
        heading = names[0][1] if names else reasons[key]
        take = min(len(names), max(room // 2, 10) if len(totals) > 1 else room)
        room = max(room - take, 0)
        shown = tuple(
            (clip(name, 120), "" if reason == heading else clip(w.said(reason), 80))
            for name, reason in names[:take]
        )
        told = clip(w.said(heading), 160)
        if any(apart for _, apart in shown):
            told = _NUMBER.sub("…", told)  # the numbers stand beside the names
            shown = tuple(
                (clip(name, 120), clip(w.said(reason), 80)) for name, reason in names[:take]
            )
        listed.append(Listing(told, n, shown, w.foreign(heading)))
    rest = sum(totals.values()) - sum(one.n for one in listed)
    if rest:
        listed.append(Listing(w("skipped.other"), rest, ()))
    return listed


def chosen(report: Report, w: Words) -> list[tuple[str, str]]:
    """What was chosen, as (name, value); lists, such as the path of penalties, are left out."""
    told = []
    for key, value in report.chosen.items():
        if key == "by" or isinstance(value, (list, dict)) or value is None:
            continue
        if isinstance(value, float):
            text = f"{value:.4g}"
        else:
            text = w.name("value", str(value))
        told.append((w.name("chosen", key), clip(text)))
    return told


def _seconds(report: Report) -> list[tuple[str, float]]:
    return [(stage, spent) for stage, spent in report.seconds.items() if spent >= 0]


def _comparison(report: Report, w: Words) -> list[dict[str, Any]]:
    """One panel a metric, each with a row for the model and one for every baseline."""
    evaluation = report.evaluation
    ran = [one for one in evaluation.baselines if one.metrics]
    if not ran:
        return []
    panels = []
    for name in ("accuracy", "macro_f1"):
        ours = evaluation.metrics.get(name)
        if ours is None or not math.isfinite(ours.value):
            continue
        rivals = [
            (w.name("baseline", one.name), one.metrics[name])
            for one in ran
            if one.metrics and name in one.metrics
        ]
        rivals.sort(key=lambda entry: -entry[1].value)
        rows = [(w("this_model"), ours, True), *((title, m, False) for title, m in rivals)]
        panels.append(
            {
                "title": w.name("metric", name),
                "band": ours,
                "rows": [_row(title, name, m, own, w) for title, m, own in rows],
            }
        )
    return panels


def _row(title: str, name: str, metric: Metric, ours: bool, w: Words) -> dict[str, Any]:
    said = scores(name, metric, w)
    return {
        "title": title,
        "metric": metric,
        "ours": ours,
        "value": said["value"],
        "interval": w.interval(name, metric),
        "spoken": w("interval.title", name=title, **said),
    }


def _scores(report: Report) -> dict[str, Any]:
    """The per-class table: worst first; of many classes the worst, and the others apart."""
    trained = {one.label: one.train for one in report.classes}
    ordered = sorted(report.evaluation.per_class, key=_worst_first)
    rows = [(one, trained.get(one.label, 0)) for one in ordered]
    cut = len(rows) if len(rows) <= _TABLE_CLASSES else _WORST
    return {
        "first": rows[:cut],
        "rest": rows[cut : cut + _LISTED_CLASSES],
        "n": len(rows),
        "small": any(one.n < 10 for one in ordered),
    }


def _worst_first(one: ClassScore) -> tuple[bool, float, str]:
    known = one.n > 0 and math.isfinite(one.f1)
    return (not known, one.f1 if known else 0.0, one.label)


def _matrix(report: Report) -> list[dict[str, Any]]:
    """Rows of the confusion matrix with the share of each cell in its row."""
    matrix, labels = report.evaluation.confusion, report.evaluation.labels
    rows = []
    for i, label in enumerate(labels):
        total = int(matrix[i].sum())
        cells = [
            {
                "n": int(n),
                "share": round(int(n) / total, 3) if total else 0.0,
                "hit": i == j,
                "j": j,
            }
            for j, n in enumerate(matrix[i])
        ]
        rows.append({"label": label, "total": total, "cells": cells})
    return rows
