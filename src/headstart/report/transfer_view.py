"""The two curves of what a pretrained backbone bought."""

from __future__ import annotations

import math

from markupsafe import Markup

from headstart.report import plots
from headstart.report.words import Words
from headstart.scores import Metric, Transfer

_Place = tuple[int, Metric]


def figure(one: Transfer, w: Words) -> Markup:
    """Accuracy by labelled rows, with the pretrained backbone and from scratch; empty without any."""
    ours, theirs = _known(one, one.with_), _known(one, one.without)
    if not ours or not theirs:
        return Markup("")
    x = plots.ratios(one.rows, w("transfer.axis"))
    both = [metric for _, metric in (*ours, *theirs)]
    y = plots.shares(
        [end for m in both for end in (m.low, m.value, m.high)], w("axis.accuracy"), least=0.2
    )
    marks = [_band(kind, x, y, curve) for kind, curve in (("scratch", theirs), ("ours", ours))]
    marks.append(_reading(one, x, y))
    for kind, curve in (("scratch", theirs), ("ours", ours)):
        places = [(n, m.value) for n, m in curve]
        marks.append(plots.curve(f"curve {kind}", x, y, places))
        marks += [plots.dot(f"dot {kind}", x, y, place) for place in places]
    names = (
        ("end ours", w("transfer.with"), ours[-1][1].value),
        ("end scratch", w("transfer.without"), theirs[-1][1].value),
    )
    marks.append(plots.ends(y, names))
    told = [
        w("transfer.point", n=n, ours=w.percent(a.value), theirs=w.percent(b.value))
        for n, a, b in zip(one.rows, one.with_, one.without)
    ]
    drawn = plots.frame(x, y, marks, w("transfer.title"), w("sep").join(told))
    return Markup('<div class="ended">{}</div>').format(drawn)


def read_off(one: Transfer) -> bool:
    """Whether the plot shows how many rows the network from scratch needs."""
    return one.needed is not None and bool(one.rows) and one.needed.value > one.rows[0]


def _known(one: Transfer, curve: tuple[Metric, ...]) -> list[_Place]:
    return [(n, m) for n, m in zip(one.rows, curve) if math.isfinite(m.value)]


def _band(kind: str, x: plots.Axis, y: plots.Axis, curve: list[_Place]) -> Markup:
    area = plots.band(f"area {kind}", x, y, [(n, m.low, m.high) for n, m in curve])
    if area:
        return area
    return Markup("").join(plots.span(f"whisker {kind}", x, y, n, m.low, m.high) for n, m in curve)


def _reading(one: Transfer, x: plots.Axis, y: plots.Axis) -> Markup:
    """From the pretrained backbone's first point across to the other curve, and down to the scale."""
    if not read_off(one) or one.needed is None:
        return Markup("")
    value, at = one.with_[0].value, one.needed.value
    across = plots.curve("drop", x, y, [(one.rows[0], value), (at, value)])
    return across + plots.drop("drop", x, y, (at, value))
