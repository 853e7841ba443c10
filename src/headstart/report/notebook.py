"""What a notebook shows of a model and of predictions: small HTML fragments with their own styles."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from headstart.report.content import Report
from headstart.report.trials_words import compared, decided
from headstart.report.trust_words import sentences
from headstart.report.view import cards, verdict, warnings
from headstart.report.words import Words, clip
from headstart.scores import Evaluation
from headstart.types import Prediction

_MATRIX_CLASSES = 8
_ROWS = 100

# Colours with transparency and the notebook's own text colour: legible on light and dark grounds.
_TABLE = "border-collapse:collapse;margin:.5em 0;font-variant-numeric:tabular-nums"
_CELL = "padding:.25em .75em .25em 0;text-align:{};border:0;border-bottom:1px solid rgba(128,128,128,.3)"
_QUIET = "opacity:.75;font-size:.9em"
_BOX = "font-family:system-ui,sans-serif;line-height:1.5;max-width:48em"


def card(report: Report) -> str:
    """A model's card: the verdict, the metrics with their intervals, a small confusion matrix."""
    w = Words("en")
    rows = Markup("").join(
        _row(one.title, Markup("<b>{}</b>").format(one.value), one.interval, one.about)
        for one in cards(report, w)
    )
    alerts = Markup("").join(
        Markup('<p style="margin:.4em 0;font-weight:600">⚠ {}</p>').format(one)
        for one in warnings(report, w)
    )
    trials = compared(report.evaluation)
    chosen = [] if trials is None else [decided(trials, w)]
    told = Markup("").join(
        Markup('<p style="margin:.2em 0;{}">{}</p>').format(_QUIET, one)
        for one in (*sentences(report.evaluation, w, report.decision), *chosen)
    )
    small = len(report.evaluation.labels) <= _MATRIX_CLASSES
    return str(
        Markup(
            '<div style="{box}"><div style="{quiet}">Headstart model, {backbone}</div>'
            '<p style="margin:.2em 0"><b>{title}</b></p><p style="margin:.4em 0">{verdict}</p>{alerts}'
            '<table style="{table}"><caption style="{hidden}">Metrics with 95 % intervals</caption>'
            "<tbody>{rows}</tbody></table>{told}{matrix}</div>"
        ).format(
            box=_BOX,
            quiet=_QUIET,
            backbone=clip(report.backbone.name),
            title=clip(report.title, 80),
            verdict=verdict(report, w),
            alerts=alerts,
            table=_TABLE,
            hidden="text-align:left;" + _QUIET,
            rows=rows,
            told=told,
            matrix=_matrix(report.evaluation, w) if small else "",
        )
    )


def predictions(predictions: Sequence[Prediction]) -> str:
    """A table of predictions; at most 100 rows."""
    w = Words("en")
    head = Markup("").join(
        Markup('<th scope="col" style="{}">{}</th>').format(
            _CELL.format("right" if key == "n.probability" else "left"), w(key)
        )
        for key in ("n.input", "n.answer", "n.probability", "n.set")
    )
    rows = Markup("").join(_prediction(one, w) for one in predictions[:_ROWS])
    rest = len(predictions) - _ROWS
    more = w("more", n=rest) if rest > 0 else ""
    return str(
        Markup(
            '<div style="{}"><table style="{}"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>'
            '<div style="{}">{}</div></div>'
        ).format(_BOX, _TABLE, head, rows, _QUIET, more)
    )


def _row(*values: str | Markup) -> Markup:
    cells = [
        Markup('<th scope="row" style="{};font-weight:400">{}</th>').format(
            _CELL.format("left"), values[0]
        )
    ]
    cells += [
        Markup('<td style="{}">{}</td>').format(
            _CELL.format("right" if i == 0 else "left")
            + (";white-space:nowrap" if i < 2 else ";" + _QUIET),
            value,
        )
        for i, value in enumerate(values[1:])
    ]
    return Markup("<tr>{}</tr>").format(Markup("").join(cells))


def _prediction(one: Prediction, w: Words) -> Markup:
    label = "–" if one.label is None else clip(one.label)
    answer = Markup("<b>{}</b>").format(label)
    if one.abstained:
        reason = f" ({clip(one.reason)})" if one.reason else ""
        answer = Markup('<span style="{}">{} {}{}</span>').format(
            _QUIET, label, w("n.withheld"), reason
        )
    probability = "–" if one.probability is None else w.percent(one.probability)
    several = ", ".join(clip(label, 30) for label in one.set[:8]) + (
        " …" if len(one.set) > 8 else ""
    )
    cells = [
        (clip(one.input, 80), "left"),
        (answer, "left"),
        (probability, "right"),
        (several, "left"),
    ]
    return Markup("<tr>{}</tr>").format(
        Markup("").join(
            Markup('<td style="{}">{}</td>').format(_CELL.format(side), value)
            for value, side in cells
        )
    )


def _matrix(evaluation: Evaluation, w: Words) -> Markup:
    """The confusion matrix, shaded by the share of a row: blue where right, orange where wrong."""
    centre = "padding:.3em .6em;border:0;text-align:center"
    head = Markup("").join(
        Markup('<th scope="col" style="{};font-weight:400">{}</th>').format(centre, clip(label, 14))
        for label in evaluation.labels
    )
    body = []
    for i, label in enumerate(evaluation.labels):
        row = evaluation.confusion[i]
        total = max(int(row.sum()), 1)
        cells = Markup("").join(
            Markup('<td style="{};background:rgba({},{:.2f})">{}</td>').format(
                centre,
                "70,140,210" if i == j else "225,120,50",
                0.1 * bool(n) + 0.45 * int(n) / total,
                int(n) or "",
            )
            for j, n in enumerate(row)
        )
        body.append(
            Markup(
                '<tr><th scope="row" style="{};font-weight:400;text-align:right">{}</th>{}</tr>'
            ).format(centre, clip(label, 24), cells)
        )
    return Markup(
        '<table style="{}"><caption style="text-align:left;{}">{}</caption><thead><tr><td style="border:0"></td>{}</tr>'
        "</thead><tbody>{}</tbody></table>"
    ).format(_TABLE, _QUIET, w("confusion.caption"), head, Markup("").join(body))
