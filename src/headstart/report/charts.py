"""The report's pictures: small SVG written by hand.

Positions are percentages of the width, so a chart fills its place on a phone and on a desk without
stretching its text or its dots.
"""

from __future__ import annotations

import math

import numpy as np
from markupsafe import Markup

from headstart.scores import Metric

_STEPS = 4  # shades of the heat map


def _place(value: float, top: float) -> str:
    share = value / top if top > 0 and math.isfinite(value) else 0.0
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"


def _width(low: float, high: float, top: float) -> str:
    start, end = (min(max(value / top, 0.0), 1.0) if top > 0 else 0.0 for value in (low, high))
    return f"{100 * max(end - start, 0.0):.2f}%"


def interval(metric: Metric, title: str, *, top: float = 1.0, tick: float | None = None) -> Markup:
    """A value with its interval on a line from 0 to `top`.

    Args:
        metric: what to show.
        title: what a screen reader says.
        top: the right end.
        tick: a value to compare with.
    """
    if not math.isfinite(metric.value):
        return Markup("")
    mark = "" if tick is None or not 0 <= tick <= top else _line("tick", tick, top, 3, 17)
    return Markup(
        '<svg class="bar" height="20" role="img" aria-label="{title}"><title>{title}</title>'
        '<line class="axis" x1="0" x2="100%" y1="10" y2="10"/>{mark}'
        '<line class="range" x1="{low}" x2="{high}" y1="10" y2="10"/>'
        '<circle class="dot" cx="{value}" cy="10" r="4.5"/></svg>'
    ).format(
        title=title,
        mark=mark,
        low=_place(metric.low, top),
        high=_place(metric.high, top),
        value=_place(metric.value, top),
    )


def _line(kind: str, value: float, top: float, y1: int, y2: int) -> Markup:
    x = _place(value, top)
    return Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(kind, x, x, y1, y2)


def row(metric: Metric, band: Metric, title: str, *, ours: bool) -> Markup:
    """One row of the comparison: grid lines, the model's band, a dot with its interval.

    Args:
        metric: the row's value.
        band: the model's interval, drawn behind every row.
        title: what a screen reader says.
        ours: whether the row is the model itself.
    """
    if not math.isfinite(metric.value):
        return Markup("")
    grid = Markup("").join(_line("grid", i / 5, 1.0, 0, 32) for i in range(6))
    return Markup(
        '<svg class="row{ours}" height="32" role="img" aria-label="{title}"><title>{title}</title>'
        '<rect class="band" x="{x}" width="{width}" y="0" height="32"/>{grid}'
        '<line class="range" x1="{low}" x2="{high}" y1="16" y2="16"/>'
        '<circle class="dot" cx="{value}" cy="16" r="5"/></svg>'
    ).format(
        ours=" ours" if ours else "",
        title=title,
        x=_place(band.low, 1.0),
        width=_width(band.low, band.high, 1.0),
        grid=grid,
        low=_place(metric.low, 1.0),
        high=_place(metric.high, 1.0),
        value=_place(metric.value, 1.0),
    )


def axis() -> Markup:
    """The labels below the rows: 0 to 100 %."""
    anchors = ("start", *("middle",) * 4, "end")
    texts = Markup("").join(
        Markup('<text x="{}%" y="12" text-anchor="{}">{}</text>').format(20 * i, anchor, 20 * i)
        for i, anchor in enumerate(anchors)
    )
    return Markup('<svg class="scale" height="16" aria-hidden="true">{}</svg>').format(texts)


def heat_map(matrix: np.ndarray, title: str) -> Markup:
    """All cells of a large confusion matrix, as shares of their row; errors in another colour.

    Cells of the same shade are one path: a matrix of 200 classes takes some 30 kB.

    Args:
        matrix: (k, k) counts.
        title: what a screen reader says.
    """
    k = len(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    paths = []
    for kind, on_diagonal in (("hit", True), ("miss", False)):
        for step in range(_STEPS):
            low, high = step / _STEPS, (step + 1) / _STEPS
            cells = (shares > low) & (shares <= high) & (np.eye(k, dtype=bool) == on_diagonal)
            rows, columns = np.nonzero(cells)
            drawn = "".join(f"M{j} {i}h1v1h-1z" for i, j in zip(rows[:20_000], columns[:20_000]))
            if drawn:
                paths.append(Markup('<path class="{} s{}" d="{}"/>').format(kind, step, drawn))
    return Markup(
        '<svg class="heat" viewBox="0 0 {k} {k}" role="img" aria-label="{title}">'
        '<title>{title}</title><rect class="ground" width="{k}" height="{k}"/>{paths}</svg>'
    ).format(k=k, title=title, paths=Markup("").join(paths))
