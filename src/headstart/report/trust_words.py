"""How far to trust the numbers, in sentences: for the page, the terminal, the card and the notebook."""

from __future__ import annotations

import math

from headstart.report.transfer_words import line
from headstart.report.words import Words, points
from headstart.scores import Evaluation, Metric, Reliability
from headstart.types import Decision

_Z = 1.959963984540054  # the normal distribution's 97.5 % point
_SLIGHT = 0.05  # a temperature this near to 1 changes nothing that is worth a word
_FLAT = 0.01  # a gain that is surely smaller is none
_WIDE = 0.0399  # an interval in which tenths of a point say nothing


def sentences(evaluation: Evaluation, w: Words, decision: Decision | None = None) -> list[str]:
    """What the section "How far to trust it" says, for places without pictures.

    Args:
        evaluation: what was measured.
        w: the language.
        decision: how logits become an answer, where it is known.
    """
    told = covered(evaluation, decision, w)
    one = evaluation.reliability
    if one is not None and math.isfinite(one.ece):
        key = "calibration.short.above" if off(one) else "calibration.short"
        told.append(w(key, ece=points(one.ece), noise=points(one.noise)))
    if evaluation.answered is not None:
        told.append(answered(evaluation, w))
    gain = gain_words(evaluation, w)
    told += [gain] if gain else []
    told += [line(evaluation.transfer, w)] if evaluation.transfer is not None else []
    repeats = evaluation.repeats
    if repeats is not None and "accuracy" in repeats.metrics:
        said = scores("accuracy", repeats.metrics["accuracy"], w)
        told.append(
            w("repeats.short", n=repeats.n, metric=w.inner(w.name("metric", "accuracy")), **said)
        )
    return [one for one in told if one]


def scores(name: str, metric: Metric, w: Words) -> dict[str, str]:
    """A metric's value and the ends of its interval in words."""
    return {
        "value": w.score(name, metric.value),
        "low": w.score(name, metric.low),
        "high": w.score(name, metric.high),
    }


def wilson(share: float, n: float) -> tuple[float, float]:
    """A 95 % interval of a share of n rows (Wilson 1927)."""
    if not (n > 0 and math.isfinite(share)):
        return math.nan, math.nan
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def off(reliability: Reliability) -> bool:
    """Whether the probabilities are further off than chance explains."""
    return reliability.ece > reliability.noise


def flat(evaluation: Evaluation) -> bool:
    """Whether more labels will hardly help."""
    one = evaluation.learning
    return one is not None and one.gain is not None and one.gain.high < _FLAT


def leak(evaluation: Evaluation, w: Words, *, found: bool = False) -> str:
    """That rows were both learned from and measured, with the score without them; empty if none were.

    Args:
        evaluation: what was measured.
        w: the language.
        found: whether a finding says so, in a report that does not count them.
    """
    without = evaluation.without_leaked.get("accuracy")
    if evaluation.leaked and without is not None:
        said = scores("accuracy", without, w)
        return w("verdict.leaked", n=evaluation.leaked, all=evaluation.n, **said)
    if (evaluation.leaked or 0) >= evaluation.n > 0:
        return w("verdict.leaked.all")
    return w("verdict.leak") if evaluation.leaked or found else ""


def gain_words(evaluation: Evaluation, w: Words) -> str:
    """ "200 more labels: about +3 points (+1 to +5)."; empty without an extrapolation."""
    one = evaluation.learning
    if one is None or one.gain is None or one.more < 1:
        return ""
    gain = one.gain
    digits = 0 if gain.high - gain.low >= _WIDE else 1  # rounding must not hide the width
    ends = {
        name: points(value, sign=True, digits=digits)
        for name, value in (("gain", gain.value), ("low", gain.low), ("high", gain.high))
    }
    return w("learning.gain", n=one.more, **ends)


def covered(evaluation: Evaluation, decision: Decision | None, w: Words) -> list[str]:
    """How often prediction sets hold the truth, and their size."""
    if evaluation.coverage is None or evaluation.set_size is None:
        return []
    value, size = w.percent(evaluation.coverage), w.decimal(evaluation.set_size)
    if decision is None:
        return [w("t.coverage", value=value, size=size)]
    return [w("coverage", value=value, meant=share(decision.coverage, w), size=size)]


def share(value: float, w: Words) -> str:
    """A share that somebody chose: "90 %", "99.5 %"."""
    return w.percent(value, 1 if round(100 * value, 6) % 1 else 0)


def answered(evaluation: Evaluation, w: Words) -> str:
    """What is answered, and how much of it is right."""
    one = evaluation.answered
    if one is None or (one.share.value >= 1 and not one.reasons):
        return w("withheld.none")
    if one.accuracy is None or not math.isfinite(one.accuracy.value):
        return w("withheld.every")
    return w(
        "withheld.some",
        share=w.percent(one.share.value),
        share_low=w.percent(one.share.low),
        share_high=w.percent(one.share.high),
        **scores("accuracy", one.accuracy, w),
    )


def calibrated(decision: Decision, w: Words) -> list[str]:
    """How probabilities were calibrated."""
    value = w.decimal(decision.temperature)
    if decision.scale or decision.shift:
        return [w("vector", value=value)]
    if decision.temperature == 1.0:
        return []
    told = w("temperature", value=value)
    if abs(decision.temperature - 1) > _SLIGHT:
        side = "over" if decision.temperature > 1 else "under"
        told += (" " if w.lang == "en" else "") + w(f"temperature.{side}")
    return [told]


def withholds(decision: Decision) -> bool:
    """Whether some answers may be withheld."""
    return decision.abstain_below > 0 or decision.familiar_above is not None


def rules(decision: Decision, w: Words) -> list[str]:
    """When answers are withheld, and what for."""
    told = []
    if decision.at_precision is not None:
        told.append(w("withheld.meant", meant=share(decision.at_precision, w)))
    if decision.abstain_below > 0:
        told.append(w("abstain", value=w.percent(decision.abstain_below)))
    if decision.familiar_above is not None:
        told.append(w("withheld.unlike"))
    return told
