"""What was tried, as a table of plain text that fits the terminal."""

from __future__ import annotations

import math

from headstart.report.trials_words import (
    compared,
    heading,
    kept,
    loss_apart,
    losses_told,
    number,
    times,
)
from headstart.report.words import Words, columns, points
from headstart.scores import Evaluation, Metric, Trial, Trials

_GAP = 2  # columns between two cells


def table(evaluation: Evaluation, w: Words, width: int) -> list[str]:
    """A row for each candidate, the kept one with a star; columns that do not fit are left out.

    Args:
        evaluation: with what was tried; there is no table where nothing was compared.
        w: the language.
        width: columns of the terminal.
    """
    trials = compared(evaluation)
    if trials is None or all(one.lead is None for one in trials.tried[1:]):
        return []
    losses = w("tried.loss") if losses_told(trials) else ""
    head = ["", w("tried.score"), w("t.tried.lead"), w("tried.p"), losses, w("tried.cost"), ""]
    cells = [head, *(_cells(one, trials, w) for one in trials.tried)]
    broad = [max(columns(row[i]) for row in cells) for i in range(len(head))]
    fitting, used = [0], broad[0]
    for i in (1, 2, 4, 5, 6, 3):  # the most telling first
        if broad[i] and used + _GAP + broad[i] <= width:
            fitting.append(i)
            used += _GAP + broad[i]
    return [
        "".join(_set(row[i], broad[i], i) for i in sorted(fitting)).rstrip().replace("\u00a0", " ")
        for row in cells
    ]


def _cells(one: Trial, trials: Trials, w: Words) -> list[str]:
    first = trials.tried[0]
    title = ("* " if one is kept(trials) else "  ") + heading(one.method, w)
    cost = w.seconds(one.seconds) if one.seconds > 0 else ""
    if one.score is None:
        return [title, w("tried.not"), "", "", "", cost, ""]
    factor = times(one, first) if one is not first else ""
    apart = one.lead is not None and one is not first
    return [
        title,
        _interval(one.score, w),
        _lead(one.lead, w) if one.lead is not None and apart else "",
        number(one.p) if apart else "",
        loss_apart(one) if apart and losses_told(trials) else "",
        cost,
        w("tried.times", times=factor) if factor else "",
    ]


def _interval(score: Metric, w: Words) -> str:
    if not math.isfinite(score.value):
        return "–"
    return f"{w.percent(score.value):>6}  {100 * score.low:.1f}–{100 * score.high:.1f}"


def _lead(lead: Metric, w: Words) -> str:
    low, high = points(lead.low, sign=True), points(lead.high, sign=True)
    return w("sets.between", value=f"{points(lead.value, sign=True):>5}", low=low, high=high)


def _set(text: str, broad: int, place: int) -> str:
    """A cell in its column, numbers to the right."""
    gap = " " * (broad - columns(text))
    if place == 0:
        return text + gap
    return " " * _GAP + (gap + text if place >= 3 else text + gap)
