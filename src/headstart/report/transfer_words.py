"""What a pretrained backbone bought, in sentences: for the page, the terminal, the card and the notebook."""

from __future__ import annotations

import math

from headstart.report.words import Words, clip, points
from headstart.scores import Metric, Transfer

_NOTE = 400  # characters of a remark


def line(one: Transfer, w: Words) -> str:
    """The sentence that decides, or why there is none: one line, for places without pictures."""
    return saved(one, w) or w.capital(clip(w.said(one.note), _NOTE))


def saved(one: Transfer, w: Words) -> str:
    """How many labels the pretrained backbone saves; empty where nothing was compared."""
    if not one.rows:
        return ""
    n, saves = one.rows[0], one.saves
    if one.needed is None or saves is None:
        more = one.more_than
        if more <= n:
            return w("transfer.unclear")
        if more != one.rows[-1]:  # between two numbers of rows: a bound, rounded down
            more = max(more // _step(more - n) * _step(more - n), n + 1)
        return w("transfer.more", n=n, more=more, saved=more - n)
    if saves.value <= 0:
        return w("transfer.none", n=n)
    step = _step(saves.value)
    about, needed, low, high = (
        round(value / step) * step for value in (saves.value, *_ends(one.needed))
    )
    key = "transfer.saves" if saves.low > 0 else "transfer.doubtful"
    return w(key, n=n, needed=needed, low=max(low, n), high=high, saved=max(about, 1))


def ended(one: Transfer, w: Words) -> str:
    """What is left of it with all rows; empty where nothing was compared, or with one number of rows."""
    if len(one.rows) < 2 or not one.lead or not math.isfinite(one.lead[-1].value):
        return ""
    lead = one.lead[-1]
    key = "over" if lead.low > 0 else "under" if lead.high < 0 else "even"
    ends = (-lead.high, -lead.low) if key == "under" else (lead.low, lead.high)
    low, high = (points(value, sign=key == "even") for value in ends)
    return w(
        f"transfer.end.{key}", n=one.rows[-1], size=points(abs(lead.value)), low=low, high=high
    )


def remark(one: Transfer, w: Words) -> tuple[str, bool]:
    """How it was made, or why there is nothing to show, and whether that is in another language."""
    return w.capital(clip(w.said(one.note), _NOTE)), w.foreign(one.note)


def _step(value: float) -> int:
    """Of rounding: no more than the first two digits is known of what is read off a curve."""
    return int(10 ** max(len(str(int(value))) - 2, 0))


def _ends(metric: Metric) -> tuple[float, float, float]:
    return metric.value, metric.low, metric.high
