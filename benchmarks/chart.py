"""The picture of the comparisons: bars on a logarithmic axis of seconds, as an SVG written by hand.

    python benchmarks/chart.py runs/bench/results.json bench.svg

It is narrow on purpose: labels stand above their bars, so that it is legible on a phone as well.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from comparisons import COMPARISONS, HEADSTART
from summary import seconds, summarise, times

WIDTH, SHOWN = 420, 620  # of the drawing, and how wide a page shows it
_LEFT, _RIGHT = 18, 18
_HEAD, _TITLE, _ROW, _GAP, _FOOT = 104, 25, 30, 9, 34
_PAPER, _INK, _SOFT, _GRID, _CARD = "#fbfaf6", "#1d2733", "#5b6673", "#dedacf", "#ffffff"
_OURS, _OURS_LIGHT, _PEER = "#0b7a6f", "#5fb3a8", "#a9b2bd"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', Helvetica, Arial, sans-serif"


def svg(results: Mapping[str, Any]) -> str:
    """The drawing.

    Args:
        results: as in results.json.
    """
    groups = _groups(results)
    values = [side["seconds"] for _, sides in groups for side in sides.values()]
    low, high = _axis(values)
    parts: list[str] = []
    top = float(_HEAD)
    for title, sides in groups:
        height = _TITLE + _ROW * len(sides) + 6
        parts.append(_group(title, sides, top, height, low, high))
        top += height + _GAP
    bottom = top - _GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + _FOOT:.0f}" '
            f'width="{SHOWN}" height="{(bottom + _FOOT) * SHOWN / WIDTH:.0f}" role="img" '
            f'aria-labelledby="t d" font-family="{_FONT}">',
            '<title id="t">How long each job takes, with Headstart and with its peers</title>',
            f'<desc id="d">{escape(_spoken(groups))}</desc>',
            f'<rect width="{WIDTH}" height="{bottom + _FOOT:.0f}" rx="10" fill="{_PAPER}"/>',
            *_heading(results),
            *(_ticks(low, high, bottom) if values else []),
            *parts,
            "</svg>\n",
        ]
    )


def _groups(results: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Title and sides that ran, for each comparison."""
    groups = []
    for name, kept in results["comparisons"].items():
        found = summarise(COMPARISONS[name], kept["sides"])["sides"]
        sides = {tool: side for tool, side in found.items() if "seconds" in side}
        if sides:
            groups.append((COMPARISONS[name].title, sides))
    return groups


def _axis(values: list[float]) -> tuple[int, int]:
    """The powers of ten between which all values lie."""
    if not values:
        return -1, 3
    low = math.floor(math.log10(min(values)) - 0.15)  # even the shortest bar can be seen
    return low, max(low + 1, math.ceil(math.log10(max(values))))


def _place(value: float, low: int, high: int) -> float:
    share = (math.log10(value) - low) / (high - low)
    return _LEFT + 10 + share * (WIDTH - _LEFT - _RIGHT - 20)


def _text(x: float, y: float, size: float, fill: str, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"{more}>{text}</text>'


def _heading(results: Mapping[str, Any]) -> list[str]:
    box = results["machine"]
    where = f"{box['processors']} processors, no GPU, {box['date']}"
    if results.get("quick"):
        where += "; quick run: one measurement each"
    bold = ' font-weight="700"'
    return [
        _text(_LEFT, 31, 17, _INK, "How long each job takes", bold),
        _text(
            _LEFT,
            49,
            11.5,
            _SOFT,
            "Shorter is better. Each line of the axis is ten times the last.",
        ),
        _text(
            _LEFT,
            65,
            11.5,
            _SOFT,
            "9×: nine times Headstart's time. %: right answers on test data.",
        ),
        _text(_LEFT, 81, 11.5, _SOFT, escape(where)),
    ]


def _ticks(low: int, high: int, bottom: float) -> list[str]:
    """Labels above and below; the lines are drawn in each card."""
    parts = []
    for power in range(low, high + 1):
        label = {-3: "1 ms", -2: "10 ms", -1: "0.1 s"}.get(power, f"{10**power:,} s")
        x = _place(10.0**power, low, high)
        anchor = "start" if power == low else "end" if power == high else "middle"
        parts += [
            _text(x, y, 10.5, _SOFT, label, f' text-anchor="{anchor}"')
            for y in (_HEAD - 5, bottom + 17)
        ]
    return parts


def _group(
    title: str, sides: Mapping[str, Any], top: float, height: float, low: int, high: int
) -> str:
    bold = ' font-weight="700"'
    parts = [
        f'<rect x="{_LEFT - 8}" y="{top:.1f}" width="{WIDTH - _LEFT - _RIGHT + 16}" '
        f'height="{height:.1f}" rx="8" fill="{_CARD}" stroke="{_GRID}"/>'
    ]
    for power in range(low, high + 1):
        x = _place(10.0**power, low, high)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + _TITLE:.1f}" y2="{top + height - 4:.1f}" '
            f'stroke="{_GRID}"/>'
        )
    parts.append(_text(_LEFT + 2, top + 19, 12.5, _INK, escape(title), bold))
    for row, (tool, side) in enumerate(sides.items()):
        parts += _bar(tool, side, top + _TITLE + row * _ROW, low, high)
    return "\n".join(parts)


def _bar(tool: str, side: Mapping[str, Any], top: float, low: int, high: int) -> list[str]:
    own = tool == HEADSTART
    colour = _OURS if own else _OURS_LIGHT if tool.startswith(HEADSTART) else _PEER
    # a line of the axis behind a letter would make it hard to read
    halo = f' stroke="{_CARD}" stroke-width="3" paint-order="stroke" stroke-linejoin="round"'
    weight = ' font-weight="600"' if own else ""
    label = escape(tool)
    if "accuracy" in side:
        label += f'<tspan fill="{_SOFT}" font-weight="400">, {100 * side["accuracy"]:.1f} %</tspan>'
    told = escape(seconds(side["seconds"]))
    if "times" in side:
        told += f' <tspan fill="{_INK}" font-weight="700" dx="3">{times(side["times"])}</tspan>'
    left, start = _LEFT + 10, _place(side["seconds"], low, high)
    return [
        _text(left, top + 13, 12, _INK, label, halo + weight),
        _text(
            WIDTH - _RIGHT - 10, top + 13, 12, _INK if own else _SOFT, told,
            f' text-anchor="end"{halo}{weight}',
        ),
        f'<rect x="{left}" y="{top + 18:.1f}" width="{max(2.0, start - left):.1f}" height="9" rx="2" '
        f'fill="{colour}"/>',
    ]  # fmt: skip


def _spoken(groups: list[tuple[str, dict[str, Any]]]) -> str:
    """The picture in words, for those who cannot see it."""
    return " ".join(
        f"{title}: "
        + "; ".join(f"{tool} {seconds(side['seconds'])}" for tool, side in sides.items())
        + "."
        for title, sides in groups
    )


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:3])
    target.write_text(svg(json.loads(source.read_text("utf-8"))), "utf-8")
