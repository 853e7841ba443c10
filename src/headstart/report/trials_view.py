"""What the section "What was tried" shows: a table, sentences, and the course of each training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from headstart.report import plots
from headstart.report.kept_trials import used
from headstart.report.trials_words import (
    called,
    chance,
    compared,
    decided,
    heading,
    kept,
    loss_apart,
    losses_told,
    mark,
    number,
    remark,
    sentence,
    the,
    times,
    why,
)
from headstart.report.words import Words, clip, points
from headstart.scores import Evaluation, Metric, Trial, Trials

_NOTHING = Markup("")
_EACH = 40  # epochs whose dots can be told apart


@dataclass(frozen=True)
class Row:
    """One candidate of the table; empty texts where there is nothing to say.

    Attributes:
        name: the word for its method.
        code: the method's name on the command line, where the word is another.
        kept: whether it is kept.
        mark: says so, and why where that is not the lead.
        figure: its score on the common scale; empty where it was not tried.
        score: in percent.
        interval: of the score.
        lead: over the simplest, in points.
        bounds: of the lead.
        p: of "it is no better".
        loss: log loss minus that of the simplest; empty in a table that does not show it.
        loss_p: of "it is no lower".
        cost: time taken.
        times: how many times the simplest's.
    """

    name: str
    code: str
    kept: bool
    mark: str = ""
    figure: Markup = _NOTHING
    score: str = ""
    interval: str = ""
    lead: str = ""
    bounds: str = ""
    p: str = ""
    loss: str = ""
    loss_p: str = ""
    cost: str = ""
    times: str = ""


@dataclass(frozen=True)
class Told:
    """What one candidate came to: its name, a sentence, a remark and whether that is in another language."""

    name: str
    sentence: str
    note: tuple[str, bool]


@dataclass(frozen=True)
class Course:
    """How one training went: its name, plots by epoch, and which epoch is used."""

    name: str
    figures: tuple[Markup, ...]
    caption: str


@dataclass(frozen=True)
class Tried:
    """The section.

    Attributes:
        decided: what is kept, with the numbers that decided.
        why: why, in plain words.
        rows: of the table; none where there is nothing to compare.
        scale: below the scores.
        first: the simplest candidate, as a sentence names it.
        losses: whether the table shows log losses, as they decided something.
        told: a sentence for each candidate but the simplest; none where the decision has said it all.
        courses: of those that were trained.
        facts: terms with their values.
    """

    decided: str
    why: tuple[str, ...]
    rows: tuple[Row, ...]
    scale: Markup
    first: str
    losses: bool
    told: tuple[Told, ...]
    courses: tuple[Course, ...]
    facts: tuple[tuple[str, str], ...]


def tried(evaluation: Evaluation, w: Words) -> Tried | None:
    """What there is to show; None where nothing was compared."""
    trials = compared(evaluation)
    if trials is None:
        return None
    first = trials.tried[0]
    scores = [one.score for one in trials.tried if one.score is not None]
    several = any(one.lead is not None for one in trials.tried[1:])
    x = plots.shares([end for one in scores for end in (one.low, one.value, one.high)], "")
    return Tried(
        decided=decided(trials, w),
        why=tuple(why(trials, w)),
        rows=tuple(_row(one, trials, x, w) for one in trials.tried if several),
        scale=plots.scale(x),
        first=the(first.method, w),
        losses=losses_told(trials),
        told=_each(trials, w),
        courses=tuple(filter(None, (_course(one, w) for one in trials.tried))),
        facts=_facts(trials, w) if several else (),
    )


def bounds(metric: Metric, w: Words) -> str:
    """The interval of a lead in points: "-1.1 to +1.9"."""
    low, high = points(metric.low, sign=True), points(metric.high, sign=True)
    return w("card.interval", low=low, high=high)


def between(metric: Metric) -> str:
    """The interval of a score in percent: "72.8–80.5"; empty where it is not known."""
    if not math.isfinite(metric.low + metric.high):
        return ""
    return f"{100 * metric.low:.1f}–{100 * metric.high:.1f}"


def _row(one: Trial, trials: Trials, x: plots.Axis, w: Words) -> Row:
    first, word = trials.tried[0], called(one.method, w)
    code = clip(one.method, 40)
    known = w.has(f"method.short.{one.method}") and code != word
    row = Row(
        word,
        code if known else "",
        one is kept(trials),
        mark(trials, w) if one is kept(trials) else "",
        cost=w.seconds(one.seconds) if one.seconds > 0 else "",
    )
    meant = first.score.value if first.score is not None else math.nan
    if one.score is None:
        return replace(row, figure=plots.interval(x, (math.nan,) * 3, "", meant=meant))
    score, lead = one.score, one.lead
    shown = {"value": w.percent(score.value), "low": w.percent(score.low), "high": w.percent(score.high)}  # fmt: skip
    title = w("interval.title", name=w("tried.score.of", name=word), **shown)
    apart = one is not first and lead is not None
    cost = times(one, first) if one is not first else ""
    loss = loss_apart(one) if apart and losses_told(trials) else ""
    return replace(
        row,
        figure=plots.interval(x, (score.value, score.low, score.high), title, meant=meant),
        score=shown["value"],
        interval=between(score),
        lead=points(lead.value, sign=True) if apart and lead is not None else "",
        bounds=bounds(lead, w) if apart and lead is not None else "",
        p=number(one.p) if apart else "",
        loss=loss,
        loss_p=chance(one.p_gain) if loss else "",
        times=w("tried.times", times=cost) if cost else "",
    )


def _each(trials: Trials, w: Words) -> tuple[Told, ...]:
    """A sentence for each; of one rival alone the decision tells already."""
    first = trials.tried[0]
    if len(trials.tried) == 2 and not any(one.note for one in trials.tried):
        return ()
    return tuple(_told(one, trials, w) for one in trials.tried if one is not first or one.note)


def _told(one: Trial, trials: Trials, w: Words) -> Told:
    return Told(heading(one.method, w), sentence(one, trials, w), remark(one.note, w))


def _facts(trials: Trials, w: Words) -> tuple[tuple[str, str], ...]:
    each = sum(one.seconds for one in trials.tried if math.isfinite(one.seconds))
    used = trials.seconds if trials.seconds > 0 else each
    taken = w("tried.budget.any", used=w.seconds(used))
    if trials.budget > 0:
        share = w.percent(used / trials.budget, 0)
        budget = w.seconds(trials.budget)
        taken = w("tried.budget.of", used=w.seconds(used), budget=budget, share=share)
    join = " " if w.lang == "en" else ""
    held = join.join(w(f"tried.rows.{key}", n=trials.rows) for key in ("value", "chosen", "apart"))
    return (
        (w("tried.rows"), held),
        (w("tried.budget"), taken),
    )


def _course(one: Trial, w: Words) -> Course | None:
    """Plots of what was measured by epoch; None where nothing was."""
    word = heading(one.method, w)
    losses = [(e.epoch + 1, e.held_loss) for e in one.history if e.held_loss is not None]
    scores = [(e.epoch + 1, e.score) for e in one.history if e.score is not None]
    kept = used(one)
    share = all(0 <= value <= 1 for _, value in scores)
    drawn = []
    if losses:
        y = plots.numbers([value for _, value in losses], w("course.loss"))
        drawn.append(_drawn(word, losses, y, one, kept.held_loss if kept else None, w))
    if scores:
        of = w("course.score.percent" if share else "course.score")
        values = [value for _, value in scores]
        y = plots.shares(values, of) if share else plots.numbers(values, of)
        drawn.append(_drawn(word, scores, y, one, kept.score if kept else None, w))
    if not drawn:
        return None
    n = one.history[-1].epoch + 1
    told = w("course.last")
    if kept is not None and kept.epoch + 1 < n:
        told = w("course.best", best=kept.epoch + 1, n=n)
    return Course(word, tuple(drawn), told)


def _drawn(
    word: str,
    places: Sequence[tuple[int, float]],
    y: plots.Axis,
    one: Trial,
    at: float | None,
    w: Words,
) -> Markup:
    """One value by epoch, the epoch that is used marked."""
    x = plots.counts(one.history[-1].epoch + 1, w("course.epochs"))
    kept = used(one)
    here = (math.nan, math.nan) if kept is None or at is None else (kept.epoch + 1.0, at)
    marks = [plots.drop("drop", x, y, here), plots.curve("curve", x, y, places)]
    if len(places) <= _EACH:
        marks += [plots.dot("dot", x, y, point, 2.5) for point in places]
    marks.append(plots.dot("dot", x, y, here, 5.5))
    told = [
        w("course.point", n=n, value=w.decimal(value, 3))
        for n, value in [*places[: -1 : max(len(places) // 12, 1)], places[-1]]
    ]
    return plots.frame(x, y, marks, w("course.title", name=word, what=y.title), w("sep").join(told))
