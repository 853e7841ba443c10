"""What the section "How far to trust it" shows: plots, and what is to be read off them, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from headstart.report import plots, transfer_view
from headstart.report.content import Report
from headstart.report.transfer_words import ended, remark, saved
from headstart.report.trust_words import (
    answered,
    calibrated,
    flat,
    gain_words,
    off,
    rules,
    scores,
    share,
    wilson,
    withholds,
)
from headstart.report.words import LOSSES, Words, clip, points
from headstart.scores import Evaluation, LearningCurve, Metric, Repeats, Transfer
from headstart.types import Decision

_REASONS = 12
_NOWHERE = (math.nan, math.nan)
_NOTHING = Markup("")


@dataclass(frozen=True)
class Block:
    """One heading of the section.

    Attributes:
        title: the heading.
        figure: the plot; empty where there is none.
        caption: what stands below it.
        told: sentences beside it.
        facts: terms with their values.
        reasons: why answers were withheld: the reason, how many, whether it is in another language.
        quiet: a remark of another room, and whether it is in another language.
        wide: whether the figure takes the whole width.
    """

    title: str
    figure: Markup = _NOTHING
    caption: str = ""
    told: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    reasons: tuple[tuple[str, int, bool], ...] = ()
    quiet: tuple[str, bool] = ("", False)
    wide: bool = False


def blocks(report: Report, w: Words) -> list[Block]:
    """What there is to show, in the order of reading."""
    evaluation, decision = report.evaluation, report.decision
    made = (
        _calibration(evaluation, decision, w),
        _withholding(evaluation, decision, w),
        _sets(evaluation, decision, w),
        _learning(evaluation, w),
        _transfer(evaluation.transfer, w),
        _repeats(evaluation.repeats, w),
    )
    return [block for block in made if block is not None]


def _calibration(evaluation: Evaluation, decision: Decision, w: Words) -> Block | None:
    told = calibrated(decision, w)
    one = evaluation.reliability
    if one is None or not math.isfinite(one.ece):
        return Block(w("calibration"), told=tuple(told)) if told else None
    first = [
        w("calibration.off", ece=points(one.ece), before=points(one.before)),
        w("calibration.above" if off(one) else "calibration.below", noise=points(one.noise)),
    ]
    bins = [(mean, right, n) for mean, right, n in one.bins if n and math.isfinite(mean + right)]
    if not bins:
        return Block(w("calibration"), told=(*first, *told))
    ends = [wilson(right, n) for _, right, n in bins]
    lowest = min(min(mean, low) for (mean, _, _), (low, _) in zip(bins, ends))
    x = plots.shares([lowest], w("axis.promised"), full=True)
    y = plots.shares([lowest], w("axis.kept"), full=True)
    marks = [plots.diagonal(x, y)]
    for (mean, right, _), (low, high) in zip(bins, ends):
        marks.append(plots.span("whisker", x, y, mean, low, high))
        marks.append(plots.dot("dot", x, y, (mean, right)))
    desc = w("sep").join(
        w("calibration.point", promised=w.percent(mean, 0), right=w.percent(right, 0), n=n)
        for mean, right, n in bins
    )
    each = round(sum(n for *_, n in bins) / len(bins))
    return Block(
        w("calibration"),
        plots.frame(x, y, marks, w("calibration.title"), desc),
        w("calibration.caption", bins=len(bins), n=each),
        (*first, *told),
    )


def _withholding(evaluation: Evaluation, decision: Decision, w: Words) -> Block | None:
    one, curve = evaluation.answered, evaluation.risk
    told = []
    if one is not None or (curve is not None and not withholds(decision)):
        told.append(answered(evaluation, w))
    told += [*rules(decision, w), *_choices(evaluation, w)]
    reasons = []
    if one is not None:
        most = sorted(one.reasons.items(), key=lambda entry: -entry[1])[:_REASONS]
        reasons = [(clip(w.said(why), 120), n, w.foreign(why)) for why, n in most if n > 0]
    figure = _risk_figure(evaluation, w)
    if not (told or figure):
        return None
    marked = one is not None and one.accuracy is not None
    caption = w("withheld.caption", mark=w("withheld.mark") if marked else "") if figure else ""
    return Block(w("withholding"), figure, caption, told=tuple(told), reasons=tuple(reasons))


def _points_of(evaluation: Evaluation) -> list[tuple[float, float]]:
    """The places of the risk curve: share answered, accuracy of the answers."""
    curve = evaluation.risk
    both = zip(curve.answered, curve.accuracy) if curve else ()
    return [(x, y) for x, y in both if math.isfinite(x + y)]


def _choices(evaluation: Evaluation, w: Words) -> list[str]:
    """What other thresholds would do: everything answered, or the surest half."""
    known = _points_of(evaluation)
    if not known:
        return []
    told = []
    most, value = max(known)
    if evaluation.answered is not None and most > 0.999 and evaluation.answered.share.value < 1:
        told.append(w("withheld.all", value=w.percent(value)))
    half, better = min(known, key=lambda point: abs(point[0] - 0.5))
    if half < 0.95:
        told.append(w("withheld.if", share=w.percent(half, 0), value=w.percent(better)))
    return told


def _risk_figure(evaluation: Evaluation, w: Words) -> Markup:
    known, one = _points_of(evaluation), evaluation.answered
    if len(known) < 2:
        return _NOTHING
    here = _NOWHERE
    if one is not None and one.accuracy is not None:
        here = (one.share.value, one.accuracy.value)
    x = plots.Axis(0.0, 1.0, tuple((i / 4, f"{25 * i}") for i in range(5)), w("axis.answered"))
    y = plots.shares([*(value for _, value in known), here[1]], w("axis.accuracy"), full=True)
    marks = [
        plots.curve("curve", x, y, known),
        plots.drop("drop", x, y, here),
        plots.dot("dot", x, y, here, 6),
    ]
    told = [
        w("withheld.point", share=w.percent(at, 0), value=w.percent(value))
        for at, value in [*known[: -1 : max(len(known) // 8, 1)], known[-1]]
    ]
    if math.isfinite(sum(here)):
        told.append(w("withheld.here", share=w.percent(here[0]), value=w.percent(here[1])))
    return plots.frame(x, y, marks, w("withheld.title"), w("sep").join(told))


def _sets(evaluation: Evaluation, decision: Decision, w: Words) -> Block | None:
    coverage, size = evaluation.coverage, evaluation.set_size
    if coverage is None or size is None or not math.isfinite(coverage):
        return None
    measured = Metric(coverage, *wilson(coverage, evaluation.n))
    said = scores("coverage", measured, w)
    held = w("sets.size.value", size=w.decimal(size), n=len(evaluation.labels))
    facts = (
        (w("sets.kind"), _kind(decision, w)),
        (w("sets.meant"), share(decision.coverage, w)),
        (w("sets.measured"), w("sets.between", **said)),
        (w("sets.size"), held),
    )
    title = w("interval.title", name=w("sets.measured"), **said)
    x = plots.shares([measured.low, coverage, measured.high, decision.coverage], "")
    mean = (coverage, measured.low, measured.high)
    bar = plots.strip(x, (), mean, title, meant=decision.coverage) + plots.scale(x)
    return Block(w("sets"), bar, w("sets.caption"), told=(w("sets.intro"),), facts=facts)


def _kind(decision: Decision, w: Words) -> str:
    """How the sets are made."""
    if decision.sets == "class":
        return w("sets.class")
    if decision.sets == "lac" and decision.set_threshold <= 0:
        return w("sets.lac.all")
    return w(f"sets.{decision.sets}", value=w.percent(decision.set_threshold))


def _learning(evaluation: Evaluation, w: Words) -> Block | None:
    one = evaluation.learning
    if one is None:
        return None
    told = [gain] if (gain := gain_words(evaluation, w)) else []
    told += [w("learning.flat")] if flat(evaluation) else []
    quiet = (w.capital(clip(w.said(one.note), 400)), w.foreign(one.note))
    figure = _learning_figure(one, w)
    if not (told or figure or one.note):
        return None
    more = w("learning.dashed") if math.isfinite(_ahead(one)[0]) else ""
    caption = w("learning.caption", more=more) if figure else ""
    return Block(w("learning"), figure, caption, told=tuple(told), quiet=quiet)


def _measured(one: LearningCurve) -> list[tuple[int, Metric]]:
    return [(n, m) for n, m in zip(one.rows, one.accuracy) if math.isfinite(m.value)]


def _ahead(one: LearningCurve) -> tuple[float, float]:
    """Where the extrapolation ends: labels and accuracy."""
    known = _measured(one)
    if one.gain is None or one.more < 1 or not known or not math.isfinite(one.gain.value):
        return _NOWHERE
    last, reached = known[-1]
    return last + one.more, min(reached.value + one.gain.value, 1.0)


def _learning_figure(one: LearningCurve, w: Words) -> Markup:
    known, ahead = _measured(one), _ahead(one)
    if not known:
        return _NOTHING
    last, reached = known[-1]
    low, high = _NOWHERE
    if one.gain is not None and math.isfinite(ahead[0]):
        low, high = (min(reached.value + end, 1.0) for end in (one.gain.low, one.gain.high))
    x = plots.counts(ahead[0] if math.isfinite(ahead[0]) else last, w("axis.labels"))
    ends = [end for _, m in known for end in (m.low, m.value, m.high)]
    y = plots.shares([*ends, low, high], w("axis.accuracy"))
    marks = [
        plots.curve("dashed", x, y, [(last, reached.value), ahead]),
        plots.span("whisker ahead", x, y, ahead[0], low, high),
        plots.dot("hollow", x, y, ahead),
    ]
    marks += [plots.span("whisker", x, y, n, m.low, m.high) for n, m in known]
    marks.append(plots.curve("curve", x, y, [(n, m.value) for n, m in known]))
    marks += [plots.dot("dot", x, y, (n, m.value)) for n, m in known]
    told = [w("learning.point", n=n, **scores("accuracy", m, w)) for n, m in known]
    return plots.frame(x, y, marks, w("learning.title"), w("sep").join(told))


def _transfer(one: Transfer | None, w: Words) -> Block | None:
    if one is None:
        return None
    told = tuple(filter(None, (saved(one, w), ended(one, w))))
    figure, quiet = transfer_view.figure(one, w), remark(one, w)
    if not (told or figure or one.note):
        return None
    read = w("transfer.read") if transfer_view.read_off(one) else ""
    caption = w("transfer.caption", n=one.held, held=one.held, read=read) if figure else ""
    return Block(w("transfer"), figure, caption, told=told, quiet=quiet)


def _repeats(one: Repeats | None, w: Words) -> Block | None:
    if one is None:
        return None
    names = [name for name in one.metrics if name not in LOSSES and one.values.get(name)]
    if not names:
        return None
    spread = [value for name in names for value in one.values[name]]
    spread += [end for name in names for end in (one.metrics[name].low, one.metrics[name].high)]
    x = plots.shares(spread, "")
    rows = [_repeats_row(name, one, x, w) for name in names]
    rows.append(
        Markup('<div class="rival"><span class="name"></span>{}<span></span></div>')
        .format(plots.scale(x))
    )  # fmt: skip
    told = (w("repeats.intro", n=one.n),)
    caption = w("repeats.caption")
    return Block(w("repeats"), Markup("").join(rows), caption, told=told, wide=True)


def _repeats_row(name: str, one: Repeats, x: plots.Axis, w: Words) -> Markup:
    metric = one.metrics[name]
    said = scores(name, metric, w)
    title = w("interval.title", name=w.name("metric", name), **said)
    mean = (metric.value, metric.low, metric.high)
    return Markup(
        '<div class="rival ours"><span class="name">{title}</span>{drawn}'
        '<span class="num"><b>{value}</b> <span class="quiet">{interval}</span></span></div>'
    ).format(
        title=clip(w.name("metric", name), 40),
        drawn=plots.strip(x, one.values[name], mean, title),
        value=said["value"],
        interval=w.interval(name, metric),
    )
