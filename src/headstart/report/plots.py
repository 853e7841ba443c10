"""Curves and dots on two axes: small SVG by hand, as `charts`, whose places are percentages.

A plot fills its width while its text, dots and lines keep their size, on a phone as on a desk. What a
picture shows is also said in words, in its <desc>.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

_HIGH, _LINE = 272.0, 18.0  # pixels of a plot, and of a line of its text
_MOST = 120  # pieces of a curve; more cannot be seen
_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25)  # between two lines of a scale of shares


@dataclass(frozen=True)
class Axis:
    """A scale.

    Attributes:
        low: its first value.
        high: its last value.
        ticks: values with a line, and what stands beside each.
        title: what it counts.
        ratio: whether equal distances are equal ratios, as on a logarithmic scale; values are above 0.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    title: str
    ratio: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, from 0 to 1; beyond the ends it is at them."""
        low, high = self.low, self.high
        if self.ratio:
            low, high, value = math.log(low), math.log(high), math.log(max(value, low))
        return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.0


def shares(values: Iterable[float], title: str, *, full: bool = False, least: float = 0.1) -> Axis:
    """A scale in percent around the values, at least `least` wide.

    Args:
        values: what has to be on it; what is not finite is not looked at.
        title: what it counts.
        full: whether it ends at 100 % in any case.
        least: width of the scale where the values lie close together.
    """
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = max(min(known), 0.0), 1.0 if full else min(max(known), 1.0)
    step = next((one for one in _STEPS if max(high - low, least) / one <= 5), 0.25)
    low = math.floor(low / step + 1e-9) * step
    high = math.ceil(high / step - 1e-9) * step
    upward = False
    while high - low < least - 1e-9:  # to both sides in turn, as far as there is room
        upward = high + step <= 1 + 1e-9 and (not upward or low - step < -1e-9)
        high, low = (high + step, low) if upward else (high, low - step)
    low = max(low, 0.0)
    n = round((high - low) / step)
    digits = 1 if step < 0.01 else 0
    ticks = tuple((low + i * step, f"{100 * (low + i * step):.{digits}f}") for i in range(n + 1))
    return Axis(low, high, ticks, title)


def counts(high: float, title: str) -> Axis:
    """A scale of whole numbers from 0, with three to six lines."""
    high = max(high, 1.0)
    size = 10.0 ** math.floor(math.log10(high))
    steps = (size * one for one in (0.2, 0.5, 1.0, 2.0, 5.0))
    step = max(next(one for one in steps if high / one <= 5), 1.0)
    ticks = tuple((i * step, f"{i * step:,.0f}") for i in range(int(high / step + 1e-9) + 1))
    return Axis(0.0, high, ticks, title)


def ratios(values: Sequence[int], title: str, *, least: float = 0.14) -> Axis:
    """A logarithmic scale of whole numbers, which have a line each where there is room.

    Args:
        values: ascending, above 0.
        title: what it counts.
        least: share of the width between two lines.
    """
    low, high = (values[0], values[-1]) if len(values) > 1 else (values[0] / 2, values[0] * 2)
    far = math.log(high / low)
    shown = [values[-1]]  # the last one is said, and then as many as fit before it
    for value in reversed(values[:-1]):
        if math.log(shown[-1] / value) >= least * far:
            shown.append(value)
    ticks = tuple((float(value), f"{value:,}") for value in reversed(shown))
    return Axis(low, high, ticks, title, ratio=True)


def numbers(values: Iterable[float], title: str) -> Axis:
    """A scale of any numbers around the values, with two to six lines."""
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    far = max(abs(low), abs(high))
    large = far >= 5e4  # then labels have three digits
    span = max(high - low, (0.05 if large else 1e-3) * far, 1e-6)
    size = 10.0 ** math.floor(math.log10(span))
    step = next(size * one for one in (0.2, 0.5, 1.0, 2.0, 5.0) if span / (size * one) <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    digits = max(-math.floor(math.log10(step) + 1e-9), 0)
    form = ".3g" if large else f",.{digits}f"
    ticks = tuple((i * step, f"{i * step:{form}}") for i in range(first, last + 1))
    return Axis(first * step, last * step, ticks, title)


def frame(x: Axis, y: Axis, marks: Iterable[Markup], title: str, told: str) -> Markup:
    """A plot: its grid, the scales with their titles, and what is drawn on it.

    Args:
        x: the scale from left to right.
        y: the scale from bottom to top.
        marks: what `curve`, `dot`, `span`, ... give, in the order of drawing.
        title: what a screen reader calls it.
        told: what it shows, in words.
    """
    lines = [
        Markup('<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>'
               '<text class="at-y" x="0" y="{y}" dx="-8" dy="4" text-anchor="end">{text}</text>')
        .format(y=_down(y, value), text=text)
        for value, text in y.ticks
    ]  # fmt: skip
    lines += [
        Markup('<line class="notch" x1="{x}" x2="{x}" y1="100%" y2="100%"/>'
               '<text class="at-x" x="{x}" y="100%" dy="20" text-anchor="{anchor}">{text}</text>')
        .format(x=_across(x, value), text=text, anchor=_anchor(x, value))
        for value, text in x.ticks
    ]  # fmt: skip
    return Markup(
        '<svg class="plot" role="img" aria-label="{title}"><title>{title}</title><desc>{told}</desc>'
        '{lines}<text class="of" x="0" y="0" dx="-34" dy="-14">{of_y}</text>'
        '<text class="of" x="100%" y="100%" dy="38" text-anchor="end">{of_x}</text>{marks}</svg>'
    ).format(
        title=title,
        told=told,
        lines=Markup("").join(lines),
        of_y=y.title,
        of_x=x.title,
        marks=Markup("").join(marks),
    )


def strip(
    x: Axis,
    values: Sequence[float],
    mean: tuple[float, float, float],
    title: str,
    *,
    meant: float = math.nan,
) -> Markup:
    """One row of dots, a value each, under their mean with its interval.

    Args:
        x: the scale.
        values: a dot each.
        mean: value, low and high.
        title: what a screen reader says.
        meant: a value to compare with.
    """
    value, low, high = mean
    grid = [_line("grid", (_across(x, at), "0"), (_across(x, at), "100%")) for at, _ in x.ticks]
    if math.isfinite(meant):
        grid.append(_line("even", (_across(x, meant), "0"), (_across(x, meant), "100%")))
    dots = [
        Markup('<circle class="each" cx="{}" cy="27" r="4"/>').format(_across(x, one))
        for one in values
        if math.isfinite(one)
    ]
    return Markup(
        '<svg class="strip" height="{height}" role="img" aria-label="{title}"><title>{title}</title>{grid}'
        '<line class="range" x1="{low}" x2="{high}" y1="12" y2="12"/>'
        '<circle class="dot" cx="{value}" cy="12" r="4.5"/>{dots}</svg>'
    ).format(
        height=38 if dots else 24,
        title=title,
        grid=Markup("").join(grid),
        low=_across(x, low),
        high=_across(x, high),
        value=_across(x, value),
        dots=Markup("").join(dots),
    )


def interval(
    x: Axis, mean: tuple[float, float, float], title: str, *, meant: float = math.nan
) -> Markup:
    """A value with its interval in the middle of a cell, as high as that is.

    Args:
        x: the scale, whose lines go from top to bottom.
        mean: value, low and high; the lines alone where they are not known.
        title: what a screen reader says.
        meant: a value to compare with.
    """
    value, low, high = mean
    grid = [_line("grid", (_across(x, at), "0"), (_across(x, at), "100%")) for at, _ in x.ticks]
    if math.isfinite(meant):
        grid.append(_line("even", (_across(x, meant), "0"), (_across(x, meant), "100%")))
    if not all(map(math.isfinite, mean)):
        return Markup('<svg class="interval" aria-hidden="true">{}</svg>').format(
            Markup("").join(grid)
        )
    return Markup(
        '<svg class="interval" role="img" aria-label="{title}"><title>{title}</title>{grid}'
        '<line class="range" x1="{low}" x2="{high}" y1="50%" y2="50%"/>'
        '<circle class="dot" cx="{value}" cy="50%" r="5"/></svg>'
    ).format(
        title=title,
        grid=Markup("").join(grid),
        low=_across(x, low),
        high=_across(x, high),
        value=_across(x, value),
    )


def scale(x: Axis) -> Markup:
    """The labels below rows of `strip`."""
    texts = [
        Markup('<text x="{}" y="12" text-anchor="{}">{}</text>').format(
            _across(x, value), _anchor(x, value), text
        )
        for value, text in x.ticks
    ]
    return Markup('<svg class="scale" height="16" aria-hidden="true">{}</svg>').format(
        Markup("").join(texts)
    )


def diagonal(x: Axis, y: Axis) -> Markup:
    """Where both scales say the same."""
    low, high = max(x.low, y.low), min(x.high, y.high)
    return _line("even", (_across(x, low), _down(y, low)), (_across(x, high), _down(y, high)))


def curve(kind: str, x: Axis, y: Axis, points: Sequence[tuple[float, float]]) -> Markup:
    """Straight pieces from point to point; of very many points as many as can be seen."""
    known = [point for point in points if all(map(math.isfinite, point))]
    if len(known) > _MOST:
        known = [known[round(i * (len(known) - 1) / (_MOST - 1))] for i in range(_MOST)]
    places = [(_across(x, one), _down(y, other)) for one, other in known]
    return Markup("").join(_line(kind, a, b) for a, b in pairwise(places))


def band(kind: str, x: Axis, y: Axis, ends: Sequence[tuple[float, float, float]]) -> Markup:
    """The area between two curves.

    Args:
        kind: its class.
        x: the scale from left to right.
        y: the scale from bottom to top.
        ends: where, low and high, from left to right.
    """
    known = [one for one in ends if all(map(math.isfinite, one))]
    if len(known) < 2:
        return Markup("")
    around = [(at, high) for at, _, high in known] + [(at, low) for at, low, _ in reversed(known)]
    places = "L".join(
        f"{100 * x.place(at):.2f} {100 - 100 * y.place(value):.2f}" for at, value in around
    )
    return Markup(
        '<svg width="100%" height="100%" viewBox="0 0 100 100" preserveAspectRatio="none">'
        '<path class="{}" d="M{}z"/></svg>'
    ).format(kind, places)


def ends(y: Axis, named: Sequence[tuple[str, str, float]]) -> Markup:
    """Names of curves to the right of the plot, where they end; they do not lie upon each other.

    Args:
        y: the scale from bottom to top.
        named: class, name, and the value at the end of the curve.
    """
    known = sorted((one for one in named if math.isfinite(one[2])), key=lambda one: -one[2])
    shifts = [4.0] * len(known)
    if len(known) == 2:
        near = _LINE - _HIGH * (y.place(known[0][2]) - y.place(known[1][2]))
        shifts = [4.0 - max(near, 0.0) / 2, 4.0 + max(near, 0.0) / 2]
    return Markup("").join(
        Markup('<text class="{}" x="100%" y="{}" dx="10" dy="{}">{}</text>').format(
            kind, _down(y, value), f"{shift:.1f}", name
        )
        for (kind, name, value), shift in zip(known, shifts)
    )


def dot(kind: str, x: Axis, y: Axis, at: tuple[float, float], size: float = 4.0) -> Markup:
    """A round mark; nothing where the place is not known."""
    if not all(map(math.isfinite, at)):
        return Markup("")
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>').format(
        kind, _across(x, at[0]), _down(y, at[1]), size
    )


def span(kind: str, x: Axis, y: Axis, at: float, low: float, high: float) -> Markup:
    """An upright interval."""
    if not all(map(math.isfinite, (at, low, high))):
        return Markup("")
    return _line(kind, (_across(x, at), _down(y, low)), (_across(x, at), _down(y, high)))


def drop(kind: str, x: Axis, y: Axis, at: tuple[float, float]) -> Markup:
    """A line from a point down to the scale below it."""
    return span(kind, x, y, at[0], y.low, at[1]) if math.isfinite(at[1]) else Markup("")


def _across(axis: Axis, value: float) -> str:
    return f"{100 * axis.place(value):.2f}%"


def _down(axis: Axis, value: float) -> str:
    return f"{100 - 100 * axis.place(value):.2f}%"


def _anchor(axis: Axis, value: float) -> str:
    """Labels at the ends stay within the plot."""
    place = axis.place(value)
    return "start" if place < 0.02 else "end" if place > 0.98 else "middle"


def _line(kind: str, a: tuple[str, str], b: tuple[str, str]) -> Markup:
    return Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
        kind, a[0], b[0], a[1], b[1]
    )
