"""What was tried, in sentences: for the page, the terminal, the card and the notebook."""

from __future__ import annotations

import math
import re

from headstart.report.words import Words, clip, points
from headstart.scores import Evaluation, Trial, Trials

_CHANCE = 0.05  # a p below it looks sure to who does not know how many were compared
_NOTE = 600  # characters of a remark
_SENTENCE = re.compile(r"(?<=\.) (?=[A-Z])")
_NBSP = "\u00a0"
_SAME = 0.1  # costs this near to each other are about the same


def compared(evaluation: Evaluation) -> Trials | None:
    """What was tried, where there was more than one thing to try."""
    trials = evaluation.trials
    return trials if trials is not None and len(trials.tried) > 1 else None


def called(method: str, w: Words) -> str:
    """The word for a method; the name itself of one that nobody knows."""
    return clip(w.name("method.short", method), 40)


def heading(method: str, w: Words) -> str:
    """The word where a line begins; the name of a method that nobody knows stays as it is."""
    return w.capital(called(method, w)) if w.has(f"method.short.{method}") else called(method, w)


def the(method: str, w: Words) -> str:
    """The method inside a sentence: "the probe"."""
    return w("tried.the", name=called(method, w)) if method == "probe" else called(method, w)


def kept(trials: Trials) -> Trial | None:
    """The candidate that is kept; None where none has its name."""
    return next((one for one in trials.tried if one.method == trials.kept), None)


def number(p: float) -> str:
    """A p-value: "0.31", "< 0.001"."""
    if not math.isfinite(p):
        return "–"
    return f"<{_NBSP}0.001" if p < 0.001 else f"{p:.3f}" if p < 0.01 else f"{p:.2f}"


def chance(p: float) -> str:
    """A p-value with its name: "p = 0.31", "p < 0.001"."""
    value = number(p)
    return f"p{_NBSP}{value}" if value.startswith("<") else f"p{_NBSP}={_NBSP}{value}"


def times(one: Trial, first: Trial) -> str:
    """How many times the cost of the simplest: "40", "2.5"; empty where that says nothing."""
    if not (first.seconds > 0 and one.seconds > 0 and math.isfinite(one.seconds / first.seconds)):
        return ""
    share = one.seconds / first.seconds
    return f"{share:,.0f}" if share >= 9.95 else f"{share:.2g}" if share < 0.95 else f"{share:.1f}"


def compared_with(one: Trial, trials: Trials, w: Words) -> str:
    """ "+0.4 points over the probe (-1.1 to +1.9), not beyond noise (p = 0.31), 40 times the cost"."""
    first = trials.tried[0]
    if one.score is None or one.lead is None or not math.isfinite(one.lead.value):
        return w("trial.not")
    if one is first:
        return w("trial.first")
    lead, size = one.lead, points(abs(one.lead.value))
    ends = {"low": points(lead.low, sign=True), "high": points(lead.high, sign=True)}
    key = "trial.even" if size == "0.0" else "trial.over" if lead.value > 0 else "trial.under"
    told = [w(key, first=the(first.method, w), **ends, **({} if size == "0.0" else {"size": size}))]
    if surer(one, trials):
        assert one.gain is not None
        told.append(w(_doubt(one, trials), p=chance(one.p)))
        told.append(w("trial.surer", loss=lower(one.gain.value), p=chance(one.p_gain)))
    elif lead.value > 0:
        key = "trial.beyond" if one.beyond else _doubt(one, trials)
        told.append(w(key, p=chance(one.p)))
    cost = times(one, first)
    if cost:
        even = abs(one.seconds / first.seconds - 1) < _SAME
        told.append(w("trial.cost.even") if even else w("trial.cost", times=cost))
    return w("comma").join(told)


def _doubt(one: Trial, trials: Trials) -> str:
    """Which words say that a lead is within noise; a small p that is not small enough is explained."""
    if not one.p < _CHANCE:
        return "trial.noise"
    if sum(other.lead is not None for other in trials.tried) > 2:
        return "trial.noise.several"
    return "trial.noise" if one.gain is None else "trial.noise.both"


def lower(gain: float) -> str:
    """By how much a log loss is lower: "0.031", "0.24"."""
    return f"{gain:.3f}" if abs(gain) < 0.0995 else f"{gain:.2f}"


def loss_apart(one: Trial) -> str:
    """Its log loss minus that of the simplest: "-0.031"; empty where it is not known."""
    if one.gain is None or not math.isfinite(one.gain.value):
        return ""
    size = lower(abs(one.gain.value))
    return size if not float(size) else f"{'-' if one.gain.value > 0 else '+'}{size}"


def losses_told(trials: Trials) -> bool:
    """Whether a table has to show the log loss: some candidate leads in its probabilities alone."""
    return any(surer(one, trials) for one in trials.tried[1:])


def mark(trials: Trials, w: Words) -> str:
    """The word beside what is kept: "kept", "kept for its probabilities", "kept as asked for"."""
    one = kept(trials)
    if trials.asked:
        return w("tried.kept.asked")
    return w("tried.kept.surer" if one is not None and surer(one, trials) else "tried.kept")


def surer(one: Trial, trials: Trials) -> bool:
    """Whether it leads in its probabilities alone: the lead of its answers is within noise."""
    others = sum(other.lead is not None for other in trials.tried) - 1
    return one.beyond and one.gain is not None and one.p >= _CHANCE / max(2 * others, 1)


def sentence(one: Trial, trials: Trials, w: Words) -> str:
    """What one candidate came to, as a sentence."""
    return w("trial.sentence", told=w.capital(compared_with(one, trials, w)))


def remark(note: str, w: Words) -> tuple[str, bool]:
    """What was noticed of a candidate, and whether it is in another language.

    It may be several sentences, and is translated where all of them are known.
    """
    parts = _SENTENCE.split(note)
    if note and any(w.foreign(part) for part in parts):
        return w.capital(clip(note, _NOTE)), True
    told = (" " if w.lang == "en" else "").join(w.capital(w.said(part)) for part in parts)
    return clip(told, _NOTE), False


def decided(trials: Trials, w: Words) -> str:
    """What is kept, with the numbers that decided."""
    first, winner = trials.tried[0], kept(trials)
    others = [one for one in trials.tried[1:] if one.lead is not None]
    if winner is None:
        return w("tried.decided.other", name=called(trials.kept, w))
    if winner is not first:
        told = compared_with(winner, trials, w)
        key = "tried.decided.asked" if trials.asked else "tried.decided.kept"
        return w(key, name=called(winner.method, w), told=told)
    if not others:
        return w("tried.decided.alone", first=the(first.method, w))
    closest = max(others, key=_lead)
    told = compared_with(closest, trials, w)
    said = {"name": called(closest.method, w), "told": told, "first": the(first.method, w)}
    if len(others) == 1:
        return w.capital(w("tried.decided.one", **said))
    return w("tried.decided.none", n=len(others), **said)


def why(trials: Trials, w: Words) -> list[str]:
    """Why that is kept, in sentences that need no statistics."""
    first, winner = trials.tried[0], kept(trials)
    if winner is first and any(one.lead is not None for one in trials.tried[1:]):
        return [w("tried.why.first")]
    if trials.asked:
        return [w("tried.why.asked"), *_mean(winner, w)]
    if winner is None or not winner.beyond:
        return []
    told = list[str]()
    leading = [one for one in trials.tried if one.beyond and one.lead is not None]
    if len(leading) > 1 and winner is max(leading, key=_lead):
        told.append(w("tried.leads", n=len(leading)))
    reason = "tried.why.surer" if surer(winner, trials) else "tried.why.lead"
    return [*told, w(reason, first=the(first.method, w)), *_mean(winner, w)]


def _mean(winner: Trial | None, w: Words) -> list[str]:
    """That several trainings are in what ships, where they are."""
    n = winner.chosen.get("trainings") if winner else None
    return [w("tried.why.mean", n=n)] if isinstance(n, int) and n > 1 else []


def _lead(one: Trial) -> float:
    value = -math.inf if one.lead is None else one.lead.value
    return value if math.isfinite(value) else -math.inf
