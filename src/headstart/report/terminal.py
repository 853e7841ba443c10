"""What `headstart fit` and `headstart evaluate` print at their end: plain text, aligned."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from headstart.report.advice import advice, bundle_name
from headstart.report.content import Report
from headstart.report.trials_terminal import table
from headstart.report.trials_words import called, compared, decided, heading, remark
from headstart.report.trust_words import leak, sentences
from headstart.report.view import protocol, warnings
from headstart.report.words import LOSSES, Words, clip, columns, visible
from headstart.scores import ClassScore, Evaluation, Metric

_METRICS = (
    "accuracy",
    "macro_f1",
    "balanced_accuracy",
    "log_loss",
)  # as many as fit, in this order
_GAP = 2  # columns between two cells
_INDENT = 2
_LISTED = 5  # classes and pieces of advice
# a break may come at a space, before and after a wide character, but not before its punctuation
_WIDE = r"\u2e80-\u9fff\uac00-\ud7af\uff00-\uffef"
_PIECES = re.compile(rf"\s+|[{_WIDE}][，。、；：！？）”]*|[^\s{_WIDE}]+[，。、；：！？）”]*")


def summary(report: Report, lang: str = "en", width: int = 80) -> str:
    """The end of `headstart fit`: data, backbone, scores beside the baselines, what to do next.

    Args:
        report: what was made.
        lang: "en" or "zh".
        width: columns of the terminal; Chinese characters take two.

    Raises:
        ConfigError: there is no such language.
    """
    w = Words(lang)
    evaluation = report.evaluation
    facts = [
        (w("t.data"), _data(report, w)),
        (w("t.backbone"), _backbone(report, w)),
        (w("t.measured"), _sentence(protocol(report, w), w)),
    ]
    if report.n_skipped:
        facts.append((w("t.skipped"), w("skipped.some", n=report.n_skipped)))
    lines = [_safe(report.title), *_facts(facts, width), ""]
    lines += _table(evaluation, w, width)
    told = [*warnings(report, w), *sentences(evaluation, w, report.decision)]
    lines += ["", *(line for one in told for line in _wrapped(one, width, _INDENT))] if told else []
    lines += _tried(evaluation, w, width)
    lines += ["", w("t.next")]
    for sentence in advice(report, w)[:_LISTED]:
        lines += _wrapped(sentence, width, _INDENT + 2, first=" " * _INDENT + "- ")
    inputs = "new/" if report.modality == "image" else "new.csv"
    lines.append(" " * _INDENT + f"$ headstart predict {_safe(bundle_name(report))} {inputs}")
    return "\n".join(line.rstrip() for line in lines)


def _tried(evaluation: Evaluation, w: Words, width: int) -> list[str]:
    """What was tried, and what is kept; nothing where nothing was compared."""
    trials = compared(evaluation)
    if trials is None:
        return []
    rows = table(evaluation, w, width - _INDENT)
    first = _wrapped(w("t.tried", n=trials.rows), width, 0) if rows else []
    told = _wrapped(decided(trials, w), width, _INDENT)
    for one in trials.tried:
        if one.score is None and one.note:
            why = w("colon").join((heading(one.method, w), w.inner(remark(one.note, w)[0])))
            told += _wrapped(clip(why, 300), width, _INDENT)
    return ["", *first, *(" " * _INDENT + row for row in rows), *told]


def evaluation_summary(evaluation: Evaluation, lang: str = "en") -> str:
    """The end of `headstart evaluate`: scores with intervals, the worst classes, what to know.

    Args:
        evaluation: what was measured.
        lang: "en" or "zh".

    Raises:
        ConfigError: there is no such language.
    """
    w, width = Words(lang), 80
    protocol_said = w.said(evaluation.protocol)
    facts = [(w("t.measured"), w("t.rows", n=evaluation.n, text=protocol_said))]
    if evaluation.skipped:
        facts.append((w("t.skipped"), w("skipped.some", n=len(evaluation.skipped))))
    facts += [(w("t.note"), _sentence(w.said(note), w)) for note in evaluation.notes]
    lines = [*_facts(facts, width), "", *_table(evaluation, w, width)]
    told = [*filter(None, [leak(evaluation, w)]), *sentences(evaluation, w)]
    lines += ["", *(line for one in told for line in _wrapped(one, width, _INDENT))] if told else []
    lines += _worst(evaluation.per_class, w)
    return "\n".join(line.replace("\u00a0", " ").rstrip() for line in lines)


def _data(report: Report, w: Words) -> str:
    n = report.n_train + report.evaluation.n
    things = w.things(report.modality, n)
    classes = w("data.classes.value", n=len(report.evaluation.labels))
    source = clip(report.source, 60) + (
        f" + {clip(report.test_source, 60)}" if report.test_source else ""
    )
    first = w("t.from", things=things, classes=classes, source=source)
    return first + w("t.split", train=report.n_train, test=report.evaluation.n)


def _backbone(report: Report, w: Words) -> str:
    known = report.backbone.licence not in ("", "unknown")
    licence = clip(report.backbone.licence) if known else w("licence.none")
    total = w("seconds.total", total=w.seconds(sum(report.seconds.values())))
    return w("comma").join(
        [f"{clip(report.backbone.name)} ({licence})", called(report.method, w), total]
    )


def _sentence(text: str, w: Words) -> str:
    return clip(w.capital(text), 400)


def _facts(facts: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Names in one column, values beside them, wrapped."""
    broad = max(columns(name) for name, _ in facts)
    start = _INDENT + broad + _GAP
    lines = []
    for name, value in facts:
        first = " " * _INDENT + _pad(name, broad + _GAP)
        lines += _wrapped(value, width, start, first=first)
    return lines


def _table(evaluation: Evaluation, w: Words, width: int) -> list[str]:
    """A row for the model and one for each baseline; a column for each metric that fits the width."""
    rows = [(w("this_model"), evaluation.metrics)]
    if evaluation.without_leaked:
        rows.append((w("t.without"), evaluation.without_leaked))
    rows += sorted(
        ((_rival(one.name, w), one.metrics) for one in evaluation.baselines if one.metrics),
        key=lambda entry: -_first_value(entry[1]),
    )
    names = [name for name in _METRICS if name in evaluation.metrics]
    names += [name for name in evaluation.metrics if name not in _METRICS]
    cells = [[w("t.interval"), *(clip(w.name("metric", name), 24) for name in names)]]
    cells += [[title, *(_score(name, m.get(name), w) for name in names)] for title, m in rows]
    broad = [max(columns(row[i]) for row in cells) for i in range(len(names) + 1)]
    kept, used = [0], _INDENT + broad[0]
    for i, wide in enumerate(broad[1:], 1):
        if used + _GAP + wide <= width or len(kept) == 1:
            kept.append(i)
            used += _GAP + wide
    return [
        " " * _INDENT
        + _pad(row[0], broad[0])
        + "".join(" " * _GAP + _pad(row[i], broad[i]) for i in kept[1:])
        for row in cells
    ]


def _score(name: str, metric: Metric | None, w: Words) -> str:
    if metric is None or not math.isfinite(metric.value):
        return "–"
    if name in LOSSES:
        return f"{metric.value:.2f}  {metric.low:.2f}–{metric.high:.2f}"
    value, low, high = (f"{100 * one:.1f}" for one in (metric.value, metric.low, metric.high))
    sign = "%" if w.lang == "zh" else " %"
    return f"{value:>4}{sign}  {low}–{high}"


def _rival(name: str, w: Words) -> str:
    return clip(
        w(f"t.baseline.{name}") if w.has(f"t.baseline.{name}") else w.name("baseline", name), 30
    )


def _first_value(metrics: Mapping[str, Metric]) -> float:
    value = next((metrics[name].value for name in _METRICS if name in metrics), 0.0)
    return value if math.isfinite(value) else 0.0


def _worst(per_class: Sequence[ClassScore], w: Words) -> list[str]:
    scored = [one for one in per_class if one.n and math.isfinite(one.f1)]
    if len(scored) < 3:
        return []
    worst = sorted(scored, key=lambda one: (one.f1, one.label))[:_LISTED]
    broad = max(columns(clip(one.label, 40)) for one in worst)
    return ["", " " * _INDENT + w("t.worst")] + [
        " " * 2 * _INDENT
        + _pad(clip(one.label, 40), broad)
        + f"  {100 * one.f1:5.1f} %  n = {one.n:,}"
        for one in worst
    ]


def _pad(text: str, wide: int) -> str:
    return text + " " * (wide - columns(text))


def _wrapped(text: str, width: int, indent: int, *, first: str | None = None) -> list[str]:
    """Lines of at most `width` columns; Chinese breaks between characters."""
    lines, line, used = [], first if first is not None else " " * indent, indent
    empty = True
    for piece in _PIECES.findall(_safe(text)):
        wide = columns(piece)
        if piece.isspace():
            if not empty:
                line, used = line + " ", used + 1
            continue
        if not empty and used + wide > width:
            lines.append(line.rstrip())
            line, used = " " * indent, indent
        line, used, empty = line + piece, used + wide, False
    return [*lines, line]


def _safe(text: str) -> str:
    """No control character reaches the terminal; no-break spaces become plain ones."""
    return visible(" ".join(text.split("\n"))).replace("\t", " ").replace("\u00a0", " ")
