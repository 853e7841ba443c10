"""Made-up but consistent trust for the examples of reports: computed from made-up probabilities."""

from __future__ import annotations

import dataclasses

import numpy as np

from headstart.evaluation.transfer import Answers, compare_scratch
from headstart.scores import (
    Answered,
    Evaluation,
    LearningCurve,
    Metric,
    Reliability,
    Repeats,
    RiskCurve,
    Transfer,
)
from headstart.types import Decision, Finding

UNLIKE = "unlike the training data"
DECIDED = Decision(
    temperature=1.31,
    coverage=0.9,
    set_threshold=0.07,
    abstain_below=0.42,
    familiar_above=0.31,
    at_precision=0.9,
)


def calm(p: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The probabilities scaled by the temperature with the least loss."""

    def scaled(heat: float) -> np.ndarray:
        q = np.maximum(p, 1e-12) ** (1 / heat)
        return q / q.sum(axis=1, keepdims=True)

    rows = np.arange(len(p))
    return scaled(
        min(np.arange(0.6, 6, 0.1), key=lambda heat: -np.log(scaled(heat)[rows, codes]).mean())
    )


def reliability(p: np.ndarray, codes: np.ndarray, bins: int = 15) -> Reliability:
    """Bins of equally many answers, as the evaluation makes them; the noise floor is rough."""
    sure, right = p.max(axis=1), p.argmax(axis=1) == codes
    parts = np.array_split(np.argsort(sure, kind="stable"), min(bins, len(sure)))
    found = tuple((float(sure[b].mean()), float(right[b].mean()), len(b)) for b in parts)
    ece = sum(abs(mean - hit) * n for mean, hit, n in found) / len(sure)
    noise = 1.1 * float(np.sqrt((sure * (1 - sure)).mean() * len(found) / len(sure)))
    return Reliability(ece, ece + 0.061, noise, found)


def risk(p: np.ndarray, codes: np.ndarray, points: int = 50) -> RiskCurve:
    """Accuracy of the surest answers."""
    order = np.argsort(-p.max(axis=1), kind="stable")
    right = (p.argmax(axis=1) == codes)[order]
    counts = np.unique(np.ceil(len(right) * np.arange(1, points + 1) / points).astype(int))
    hits = np.cumsum(right)[counts - 1]
    return RiskCurve(tuple((counts / len(right)).tolist()), tuple((hits / counts).tolist()))


def share(hits: int, n: int) -> Metric:
    """With a rough interval."""
    value = hits / n
    half = 1.96 * float(np.sqrt(max(value * (1 - value), 1e-4) / n))
    return Metric(value, max(value - half, 0.0), min(value + half, 1.0))


def answered(p: np.ndarray, codes: np.ndarray, below: float, unlike: int = 4) -> Answered:
    """Answers above a probability, but for a few inputs that are unlike all others."""
    sure, right = p.max(axis=1), p.argmax(axis=1) == codes
    given = sure >= below
    unsure = int((~given).sum())
    given[:unlike] = False
    reasons = {f"probability below {below:g}": unsure, UNLIKE: min(unlike, len(p))}
    n = int(given.sum())
    accuracy = share(int(right[given].sum()), n) if n else None
    return Answered(share(n, len(p)), accuracy, {k: v for k, v in reasons.items() if v})


def learning(rows: int, top: float, more: int = 200, gain: float = 0.03) -> LearningCurve:
    """A curve that rises to `top`."""
    numbers = sorted({max(2, rows // 16), max(3, rows // 8), max(4, rows // 4), rows // 2, rows})
    scores = []
    for n in numbers:
        value = max(top - 0.35 * (n**-0.5 - rows**-0.5) * 4, 0.02)
        half = 0.5 * n**-0.5 * 0.8
        scores.append(Metric(value, max(value - half, 0.0), min(value + half, 1.0)))
    note = (
        "learned from growing shares of the training rows, scored on held-out folds, 3 draws of each; "
        "the gain extrapolates error = a + b n^-c"
    )
    return LearningCurve(
        tuple(numbers), tuple(scores), more, Metric(gain, gain - 0.02, gain + 0.02), note
    )


def transfer(rows: int = 1053, held: int = 264, slope: float = 0.11) -> Transfer:
    """Both ways learn; the one from scratch by so much more with every doubling."""
    rng = np.random.default_rng(5)
    held_rows = np.arange(rows, rows + held)
    codes = np.arange(rows + held) % 6
    hard = rng.random(held)

    def answers(first: float, gain: float) -> Answers:
        def learned(own: np.ndarray) -> np.ndarray:
            right = hard < first + gain * np.log2(len(own) / rows * 8)
            truth = codes[held_rows]
            return np.eye(6)[np.where(right, truth, (truth + 1) % 6)]

        return learned

    return compare_scratch(
        codes, held_rows, 6, answers(0.7, 0.045), answers(0.42, slope), np.random.default_rng(0)
    )


def repeats(metrics: dict[str, Metric], n: int = 5, spread: float = 0.012) -> Repeats:
    """Splits around the scores."""
    rng = np.random.default_rng(3)
    values = {
        name: tuple(np.clip(metric.value + rng.normal(0, spread, n), 0, 1).tolist())
        for name, metric in metrics.items()
        if name != "log_loss"
    }
    means = {
        name: Metric(
            float(np.mean(v)), float(np.mean(v)) - 0.02, min(float(np.mean(v)) + 0.02, 1.0)
        )
        for name, v in values.items()
    }
    return Repeats(means, n, values)


def trusted(evaluation: Evaluation, p: np.ndarray, codes: np.ndarray, rows: int) -> Evaluation:
    """The evaluation with all that says how far to believe it."""
    p = calm(p, codes)
    return dataclasses.replace(
        evaluation,
        reliability=reliability(p, codes),
        risk=risk(p, codes),
        answered=answered(p, codes, DECIDED.abstain_below),
        learning=learning(rows, evaluation.metrics["accuracy"].value),
        repeats=repeats(dict(evaluation.metrics)),
    )


def leaky(evaluation: Evaluation, leaked: int, loss: float = 0.06) -> Evaluation:
    """The evaluation with rows that were also learned from."""
    without = {
        name: Metric(m.value - loss, m.low - loss - 0.01, m.high - loss + 0.01)
        if name != "log_loss"
        else Metric(m.value + 0.2, m.low + 0.2, m.high + 0.2)
        for name, m in evaluation.metrics.items()
    }
    return dataclasses.replace(evaluation, leaked=leaked, without_leaked=without)


def suspects(names: tuple[str, ...], labels: tuple[str, ...], others: tuple[str, ...]) -> tuple[Finding, ...]:  # fmt: skip
    """What features tell of some rows, in the words of the rooms that find it."""
    n = len(names)
    sure = tuple(round(0.99 - 0.05 * i, 3) for i in range(n))
    return (
        Finding(
            "wrong-labels",
            "warning",
            f"{n:,} of 1,657 labels are probably wrong, e.g. {names[0]} is {labels[0]!r} and looks like {others[0]!r}.",
            "look at these rows and mend their labels: headstart doctor --fix plan.csv lists them",
            names,
            confidence=0.91,
            suggestions=others,
            sure=sure,
        ),
        Finding(
            "far-out",
            "info",
            f"{len(names[:2]):,} pictures are unlike all others, e.g. {names[0]}.",
            "look at them: do they belong here?",
            names[:2],
        ),
        Finding(
            "leaking-column",
            "warning",
            "Column 'material' alone gives 99.2 % of the labels of rows that were set aside.",
            'never put it into the input; if its rows belong together, keep them so: --group "material"',
            confidence=0.992,
            suggestions=("material",),
        ),
    )
