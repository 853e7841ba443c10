"""What to do next, derived from the numbers; the most useful first."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.report.content import Report
from headstart.report.findings_view import count, plan
from headstart.report.trust_words import flat, gain_words, off
from headstart.report.words import Words, clip, points
from headstart.scores import Baseline, Evaluation, Metric, Trial, Trials

_MOST = 6  # pieces of advice; more would not be read
_WIDE = 0.12  # width of an accuracy interval that deserves a word
_GOAL = 0.03  # half width worth aiming at
_FEW = 30  # training rows
_SMALL_CLASS = 5  # measured rows; with fewer, a class's F1 says nothing
_UNEVEN = 10  # largest class over smallest
_SURE = 0.9
_SINGLE = 5  # pairs that happened only once, where none happened more often
_GOOD = 0.99  # accuracy that other methods can hardly better
_FEW_JUDGES = "not tried: "  # why it was not where too few rows could judge
# why a method was not tried for want of time
_LATE = ("not begun: ", "one epoch fits", "No epoch was finished")
_WITHHELD = 0.25  # share of the answers; less needs no word


@dataclass(frozen=True)
class Pair:
    """Two classes that are confused.

    Attributes:
        truth: the label in the data.
        answer: the label that was answered.
        count: how often.
        share: of the rows of `truth`.
    """

    truth: str
    answer: str
    count: int
    share: float


def pairs(evaluation: Evaluation, limit: int) -> list[Pair]:
    """The cells off the diagonal of the confusion matrix with the most rows."""
    matrix = np.array(evaluation.confusion)
    sizes = matrix.sum(axis=1)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[:limit]
    found: list[Pair] = []
    for i, j in zip(*np.unravel_index(order, matrix.shape)):
        count = int(matrix[i, j])
        if count >= 2 or (count and len(found) < _SINGLE):
            labels = evaluation.labels
            found.append(Pair(labels[i], labels[j], count, count / int(sizes[i])))
    return found


def rival(evaluation: Evaluation) -> tuple[Baseline, str, Metric, Metric] | None:
    """The strongest baseline: itself, the metric compared by, the model's value and its value.

    Classes of uneven size are compared by macro-F1, for accuracy flatters whoever always answers
    with the largest one.
    """
    name = "macro_f1" if "macro_f1" in evaluation.metrics else "accuracy"
    ours = evaluation.metrics.get(name)
    others = [
        (one, one.metrics[name])
        for one in evaluation.baselines
        if one.metrics and name in one.metrics
    ]
    if ours is None or not others:
        return None
    best, theirs = max(others, key=lambda entry: entry[1].value)
    return best, name, ours, theirs


def beaten(evaluation: Evaluation) -> bool:
    """Whether a baseline does at least as well."""
    found = rival(evaluation)
    return found is not None and found[3].value >= found[2].value


def advice(report: Report, w: Words) -> list[str]:
    """Sentences that say what to do, at most six."""
    found = [w.capital(w(key, **values)) for key, values in _all(report, w)]
    return found[:_MOST] or [w("next.fine")]


def _all(report: Report, w: Words) -> Iterator[tuple[str, dict[str, Any]]]:
    kinds = {finding.kind for finding in report.findings}
    yield from _leaks(report, kinds, w)
    yield from _rivals(report.evaluation, w)
    if "wrong-labels" in kinds:
        yield "next.wrong-labels", {"n": count(report, "wrong-labels"), "command": plan(report)}
    if kinds & {"conflicts", "conflicting-labels", "near-conflicts"}:
        yield "next.conflict", {}
    if "leaking-column" in kinds:
        yield "next.leaking-column", {}
    yield from _unlearned(report)
    yield from _worst_class(report, w)
    yield from _budget(report)
    yield from _trust(report, w)
    yield from _confused(report.evaluation)
    if "wrong-labels" not in kinds:  # it names those mistakes already
        yield from _sure_mistakes(report, w)
    yield from _uneven(report)
    yield from _coverage(report, w)
    yield from _wide(report.evaluation)
    if report.n_skipped:
        reasons = Counter(skip.reason for skip in report.skipped) + Counter(report.unlisted)
        reason = clip(w.said(reasons.most_common(1)[0][0]))
        yield "next.skipped", {"n": report.n_skipped, "reason": reason}


def _leaks(report: Report, kinds: set[str], w: Words) -> Iterator[tuple[str, dict[str, Any]]]:
    evaluation = report.evaluation
    without = evaluation.without_leaked.get("accuracy")
    if evaluation.leaked and without is not None:
        value = w.percent(without.value)
        n = evaluation.leaked
        yield "next.leaked", {"n": n, "value": value, "command": plan(report)}
    elif evaluation.leaked or kinds & {"leak", "near-leak"}:
        yield "next.leak", {}


def allowing(report: Report) -> str:
    """The option that lets more methods be tried, as it was or would be typed."""
    return _option(report, "budget", "10m")


def _option(report: Report, name: str, value: str) -> str:
    """An option as it would be typed, on a command line or in Python."""
    typed = _typed(report)[:1] == ["headstart"]
    return f"--{name} {value}" if typed else f'{name}="{value}"'


def _budget(report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    """More methods where only the probe was tried, more time where it was short."""
    accuracy, trials = report.evaluation.metrics.get("accuracy"), report.evaluation.trials
    if accuracy is None or not accuracy.value < _GOOD:
        return
    if trials is None:
        named = {word.split("=")[0] for word in _typed(report)} & {"--budget", "--method"}
        if report.method == "probe" and not named:
            yield "next.budget", {"option": allowing(report)}
        return
    if any(one.note.startswith(_FEW_JUDGES) for one in trials.tried):
        yield "next.unjudged", {"option": _option(report, "method", "contrastive")}
    late = sum(_late(one) for one in trials.tried)
    if _half(report, trials):
        yield "next.longer.half", {"n": trials.rows}
    elif late:
        yield "next.longer", {"n": late}
    elif report.chosen.get("stopped") == "budget":
        yield "next.longer", {"n": 1}


def _late(one: Trial) -> bool:
    """Whether a longer budget would have let it learn longer."""
    if one.score is None:
        return any(reason in one.note for reason in _LATE)
    return one.chosen.get("stopped") == "budget"


def _half(report: Report, trials: Trials) -> bool:
    """Whether the model is certainly the one that was judged, which did not learn from the judging rows.

    One that learned from all rows has as many epochs as the best of the trial had.
    """
    judged = next((one for one in trials.tried if one.method == trials.kept), None)
    if judged is None or judged is trials.tried[0]:
        return False
    best, epochs = judged.chosen.get("best"), judged.chosen.get("epochs")
    if not isinstance(best, int) or not isinstance(epochs, int) or report.chosen.get("trainings"):
        return False
    return 0 < best < epochs == report.chosen.get("epochs")


def _trust(report: Report, w: Words) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the calibration, the withheld answers and the learning curve ask for."""
    evaluation = report.evaluation
    if evaluation.reliability is not None and off(evaluation.reliability):
        yield "next.calibration", {"ece": points(evaluation.reliability.ece)}
    yield from _withheld(report, w)
    if flat(evaluation):
        yield "next.flat", {}
    elif evaluation.learning and evaluation.learning.gain and evaluation.learning.gain.low > 0:
        yield "next.more", {"told": gain_words(evaluation, w)}


def _withheld(report: Report, w: Words) -> Iterator[tuple[str, dict[str, Any]]]:
    one, meant = report.evaluation.answered, report.decision.at_precision
    if one is None:
        return
    if one.accuracy is not None and meant is not None and one.accuracy.high < meant:
        value = w.percent(one.accuracy.value)
        yield "next.missed", {"value": value, "meant": w.percent(meant, 0)}
    if 1 - one.share.value > _WITHHELD and one.reasons:
        reason = max(one.reasons, key=lambda name: one.reasons[name])
        share = w.percent(1 - one.share.value, 0)
        yield "next.withheld", {"share": share, "reason": clip(w.said(reason))}


def _rivals(evaluation: Evaluation, w: Words) -> Iterator[tuple[str, dict[str, Any]]]:
    found = rival(evaluation)
    if found is None:
        return
    baseline, name, ours, theirs = found
    key = "next.beaten" if theirs.value >= ours.value else "next.tie"
    if key == "next.beaten" and flat(evaluation):
        key = "next.beaten.flat"
    if key != "next.tie" and theirs.low <= ours.value and "beyond noise" not in baseline.note:
        key = "next.beaten.noise"
    if key == "next.tie" and not _close(baseline, ours, theirs):
        return
    yield (
        key,
        {
            "name": w.inner(w.name("baseline", baseline.name)),
            "metric": w.inner(w.name("metric", name)),
            "ours": w.score(name, ours.value),
            "theirs": w.score(name, theirs.value),
        },
    )


def _close(baseline: Baseline, ours: Metric, theirs: Metric) -> bool:
    """Whether the lead may be noise: by the paired comparison in the baseline's note, if it has one.

    Intervals of two models on the same rows overlap long before their difference is noise, so
    without a comparison row by row only a rival inside of the model's own interval counts.
    """
    if "beyond noise" in baseline.note:
        return False
    return "within noise" in baseline.note or theirs.value >= ours.low


def _unlearned(report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in report.classes:
        if one.test and not one.train:
            yield "next.unlearned", {"label": clip(one.label, 40)}
            return


def _worst_class(report: Report, w: Words) -> Iterator[tuple[str, dict[str, Any]]]:
    trained = {one.label: one.train for one in report.classes}
    measured = [
        one
        for one in report.evaluation.per_class
        if one.n >= _SMALL_CLASS and trained.get(one.label) and math.isfinite(one.f1)
    ]
    if len(measured) < 2:
        return
    worst = min(measured, key=lambda one: (one.f1, one.n))
    mean = sum(one.f1 for one in measured) / len(measured)
    if worst.f1 > 0.9 or worst.f1 > mean - 0.03:
        return
    n = trained[worst.label]
    median = sorted(trained.values())[len(trained) // 2]
    key = "next.few" if n < max(_FEW, median / 2) else "next.worst"
    yield key, {"label": clip(worst.label, 40), "f1": w.percent(worst.f1), "n": n}


def _confused(evaluation: Evaluation) -> Iterator[tuple[str, dict[str, Any]]]:
    both: Counter[tuple[str, str]] = Counter()
    if len(evaluation.labels) < 3:  # then every mistake is of this pair
        return
    for pair in pairs(evaluation, 200):
        first, second = sorted((pair.truth, pair.answer))
        both[first, second] += pair.count
    if not both:
        return
    (a, b), n = both.most_common(1)[0]
    errors = int(evaluation.confusion.sum() - np.trace(evaluation.confusion))
    if n >= 3 and n >= 0.1 * errors / max(1, len(evaluation.labels) / 10):
        yield "next.pair", {"a": clip(a, 40), "b": clip(b, 40), "n": n}


def _sure_mistakes(report: Report, w: Words) -> Iterator[tuple[str, dict[str, Any]]]:
    sure = sum(1 for one in report.mistakes if one.probability > _SURE)
    if sure >= 3:
        yield "next.sure", {"n": sure, "limit": w.percent(_SURE, 0)}


def _uneven(report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    counted = [one for one in report.classes if one.train]
    if len(counted) < 2:
        return
    large = max(counted, key=lambda one: one.train)
    small = min(counted, key=lambda one: one.train)
    if large.train >= _UNEVEN * small.train:
        yield (
            "next.imbalance",
            {
                "large": clip(large.label, 40),
                "small": clip(small.label, 40),
                "times": large.train / small.train,
            },
        )


def _coverage(report: Report, w: Words) -> Iterator[tuple[str, dict[str, Any]]]:
    got, meant, n = report.evaluation.coverage, report.decision.coverage, report.evaluation.n
    if got is None or not n:
        return
    if got < meant - 2 * math.sqrt(meant * (1 - meant) / n):
        yield "next.coverage", {"value": w.percent(got), "meant": w.percent(meant, 0)}


def _wide(evaluation: Evaluation) -> Iterator[tuple[str, dict[str, Any]]]:
    accuracy = evaluation.metrics.get("accuracy")
    if accuracy is None or not accuracy.high - accuracy.low > _WIDE:
        return
    p = min(max(accuracy.value, 0.05), 0.95)
    rows = p * (1 - p) * (1.96 / _GOAL) ** 2
    yield (
        "next.wide",
        {
            "n": evaluation.n,
            "width": f"{100 * (accuracy.high - accuracy.low):.0f}",
            "rows": max(math.ceil(rows / 50) * 50, 2 * evaluation.n),
            "goal": f"{100 * _GOAL:.0f}",
        },
    )


def bundle_name(report: Report) -> str:
    """The bundle's file name as a shell takes it: what was asked for, or the name made of the title."""
    words = _typed(report)
    for i, word in enumerate(words):
        if word == "--out" and i + 1 < len(words):
            return shlex.quote(words[i + 1])
        if word.startswith("--out="):
            return shlex.quote(word.removeprefix("--out="))
    name = report.title if words[:1] == ["headstart"] else "model"
    return shlex.quote((clip(name, 60).replace("/", "_") or "model") + ".headstart")


def _typed(report: Report) -> list[str]:
    """The words of the command line; none where it cannot be read."""
    try:
        return shlex.split(report.command)
    except ValueError:
        return []


def python_example(report: Report) -> str:
    """How to use the model from Python, three lines."""
    name = shlex.split(bundle_name(report))[0]
    example = "'new.jpg'" if report.modality == "image" else "'a new text'"
    return f"import headstart as hs\nmodel = hs.load({name!r})\nprint(model.predict([{example}]))"
