"""How good a model is on some rows, and how sure that is.

Intervals are 95 % percentile bootstrap intervals over rows (Efron 1979): the rows are drawn again
with replacement, every score is computed on each draw, and the middle 95 % of its values is the
interval. Two identities make that fast: drawing rows is drawing the counts of the occupied cells of
the confusion matrix from a multinomial distribution, and the mean log loss of a draw needs the
rows' losses only.

The bootstrap knows only what it has seen: of 20 right rows every draw is all right, and its
interval has no width. Where fewer than `FEW` rows are right, or fewer than `FEW` are wrong, the
intervals are therefore widened to hold Wilson's (1927) score interval, which needs neither. For
balanced accuracy and macro-F1 it is taken at Kish's (1965) effective number of rows: a mean over
classes in which few rows of a rare class weigh much is as unsure as an accuracy of that many rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from headstart import metrics
from headstart.errors import DataError
from headstart.evaluation.reliability import reliability, risk_curve
from headstart.runtime.decide import prediction_sets
from headstart.scores import Answered, Baseline, ClassScore, Evaluation, Metric
from headstart.types import Decision, Skipped

FEW = 10
"""With fewer right or fewer wrong rows the bootstrap alone is not believed."""

_Z = 1.959963984540054  # the normal distribution's 97.5 % point
_BLOCK = 1 << 21  # numbers drawn at a time: bounds the memory


class Paired(NamedTuple):
    """Two models on the same rows.

    Attributes:
        difference: accuracy of a minus accuracy of b.
        low: lower end of its 95 % interval.
        high: upper end.
        p: exact McNemar p-value of "they are equally often right".
    """

    difference: float
    low: float
    high: float
    p: float


def measure(
    probabilities: np.ndarray,
    codes: np.ndarray,
    labels: Sequence[str],
    *,
    split: str,
    protocol: str,
    rng: np.random.Generator,
    decision: Decision | None = None,
    baselines: Sequence[Baseline] = (),
    skipped: Sequence[Skipped] = (),
    notes: Sequence[str] = (),
    resamples: int = 1000,
    unseen: Sequence[str] = (),
    logits: np.ndarray | None = None,
    withheld: Sequence[str] | None = None,
    leaked: np.ndarray | None = None,
) -> Evaluation:
    """Score probabilities against the truth.

    Args:
        probabilities: (n, k), each row sums to 1.
        codes: (n,) true class numbers; -1 for a label that the model never saw: such rows are left
            out of the scores, and a note counts them.
        labels: k labels.
        split: "test" or "held-out".
        protocol: one sentence that says how these rows were set apart.
        rng: draws the bootstrap's rows.
        decision: makes the prediction sets, whose coverage and size are measured.
        baselines: simple rivals on the same rows, passed on.
        skipped: rows that could not be measured, passed on.
        notes: sentences a reader of the numbers must know; more may be added.
        resamples: number of bootstrap draws.
        unseen: the labels behind the -1s, for the note.
        logits: (n, k) of the same rows, for the calibration error before calibration; without them
            the probabilities themselves stand for it.
        withheld: n reasons why the answer is withheld, "" where it is given; None where the model
            withholds none. The scores count all rows, withheld or not.
        leaked: (n,) bool, rows that were also learned from; the scores are given without them too. None
            where that is not known.

    Raises:
        DataError: no row is left to measure on.
        ValueError: the shapes do not fit, or these are no probabilities.
    """
    names = tuple(labels)
    p, truth, known = _checked(probabilities, codes, len(names))
    _require_rows(truth, known)
    _same_rows(len(truth), logits=logits, withheld=withheld, leaked=leaked)
    added = _notes(known, unseen)
    p, truth = p[known], truth[known]
    seen = np.zeros(len(truth), bool) if leaked is None else np.asarray(leaked, bool)[known]
    before = p if logits is None else metrics.softmax(np.asarray(logits)[known])
    counts = metrics.confusion(truth, p.argmax(axis=1), len(names))
    coverage, set_size = (None, None) if decision is None else _sets(p, truth, decision)
    # keyword arguments draw in their order: the intervals first, whatever else is wanted
    return Evaluation(
        metrics=scores(p, truth, len(names), rng, resamples),
        per_class=_per_class(counts, names),
        labels=names,
        confusion=counts,
        n=len(truth),
        split=split,
        protocol=protocol,
        baselines=tuple(baselines),
        coverage=coverage,
        set_size=set_size,
        skipped=tuple(skipped),
        notes=(*notes, *added),
        reliability=reliability(p, truth, before=before, rng=rng),
        risk=risk_curve(p, truth),
        answered=_answered(p.argmax(axis=1) == truth, withheld, known),
        leaked=None if leaked is None else int(seen.sum()),
        without_leaked=scores(p[~seen], truth[~seen], len(names), rng, resamples)
        if 0 < seen.sum() < len(seen)
        else {},
    )


def scores(
    probabilities: np.ndarray,
    codes: np.ndarray,
    k: int,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> dict[str, Metric]:
    """The metrics of `measure`, with their intervals.

    Args:
        probabilities: (n, k), n >= 1, each row sums to 1.
        codes: (n,) true class numbers in 0..k-1.
        k: number of classes.
        rng: draws the bootstrap's rows.
        resamples: number of bootstrap draws.
    """
    counts = metrics.confusion(codes, probabilities.argmax(axis=1), k)
    return _intervals(counts, metrics.row_losses(probabilities, codes), resamples, rng)


def paired(
    codes: np.ndarray,
    predicted_a: np.ndarray,
    predicted_b: np.ndarray,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Paired:
    """Is a better than b by more than noise? Both are compared row by row, not by their intervals.

    The interval is a 95 % percentile bootstrap of the difference in accuracy. Where the two
    disagree on fewer than `FEW` rows it is widened to hold the interval that combines the Wilson
    intervals of "only a is right" and "only b is right" (Newcombe 1998; Zou and Donner 2008). The
    p-value is McNemar's (1947), from the binomial distribution, two-sided.

    Args:
        codes: (n,) true class numbers; rows with -1 are left out.
        predicted_a: (n,) class numbers.
        predicted_b: (n,) class numbers.
        rng: draws the bootstrap's rows.
        resamples: number of bootstrap draws.

    Raises:
        DataError: no row is left to compare on.
        ValueError: the shapes differ.
    """
    truth, a, b = (np.asarray(array) for array in (codes, predicted_a, predicted_b))
    if truth.ndim != 1 or truth.shape != a.shape or truth.shape != b.shape:
        raise ValueError(
            f"codes and predictions have to be (n,), not {truth.shape}, {a.shape}, {b.shape}"
        )
    known = truth >= 0
    _require_rows(truth, known)
    right_a, right_b = (a == truth)[known], (b == truth)[known]
    n = len(right_a)
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    draws = rng.multinomial(n, [only_a / n, only_b / n, 1 - (only_a + only_b) / n], size=resamples)
    difference = (only_a - only_b) / n
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / n, (0.025, 0.975))
    if only_a + only_b < FEW:
        low_a, high_a = interval_of_accuracy(only_a, n)
        low_b, high_b = interval_of_accuracy(only_b, n)
        low = min(low, difference - np.hypot(only_a / n - low_a, high_b - only_b / n))
        high = max(high, difference + np.hypot(high_a - only_a / n, only_b / n - low_b))
    return Paired(
        difference,
        max(-1.0, min(float(low), difference)),
        min(1.0, max(float(high), difference)),
        mcnemar(only_a, only_b),
    )


def interval_of_accuracy(correct: float, n: float) -> tuple[float, float]:
    """Wilson's (1927) 95 % score interval of a share: `correct` right rows out of `n` > 0.

    Never of zero width, and within 0..1, also where all rows are right or wrong.
    """
    share = correct / n
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    arm = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    return float(min(share, max(0.0, centre - arm))), float(max(share, min(1.0, centre + arm)))


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of McNemar's test (1947) for two counts of rows that one alone gets right."""
    n, few = only_a + only_b, min(only_a, only_b)
    if 2 * few >= n:
        return 1.0
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])  # log i!
    i = np.arange(few + 1)
    terms = logs[n] - logs[i] - logs[n - i] - n * np.log(2)
    return min(1.0, float(2 * np.exp(terms).sum()))


def _checked(
    probabilities: np.ndarray, codes: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities float64, codes, and which rows have a label the model knows."""
    p, truth = np.asarray(probabilities), np.asarray(codes)
    if p.ndim != 2 or p.shape[1] != k or p.dtype.kind != "f":
        raise ValueError(f"probabilities have to be floats (n, {k}), not {p.shape} {p.dtype}")
    if truth.shape != p.shape[:1] or (truth.dtype.kind not in "iu" and truth.size):
        raise ValueError(f"codes have to be integers ({len(p)},), not {truth.shape} {truth.dtype}")
    p = p.astype(np.float64)
    if p.size and not ((p >= 0).all() and np.abs(p.sum(axis=1) - 1).max() < 1e-3):
        raise ValueError("these are no probabilities: rows have to be >= 0 and sum to 1")
    if p.size and not (truth.min() >= -1 and truth.max() < k):
        raise ValueError(f"codes have to be within -1..{k - 1}, not {truth.min()}..{truth.max()}")
    return p, truth, truth >= 0


def _require_rows(truth: np.ndarray, known: np.ndarray) -> None:
    """Something has to be left to measure on."""
    if not len(truth):
        raise DataError(
            "There are no rows to measure on.",
            fix="give test data with at least one labelled, readable row",
        )
    if not known.any():
        raise DataError(
            f"None of the {len(truth):,} rows to measure on has a label that the model knows.",
            fix="compare the labels of the test data with those of the training data (spelling, "
            "capitals), and check --target",
        )


def _same_rows(n: int, **given: np.ndarray | Sequence[str] | None) -> None:
    """What is given beside the probabilities has a value for each row."""
    for name, values in given.items():
        if values is not None and len(values) != n:
            raise ValueError(f"{name} has {len(values)} rows, not {n}")


def _sets(p: np.ndarray, truth: np.ndarray, decision: Decision) -> tuple[float, float]:
    """Share of the prediction sets that hold the truth, and their mean size."""
    sets = prediction_sets(p, decision)
    return float(sets[np.arange(len(truth)), truth].mean()), float(sets.sum(axis=1).mean())


def _answered(
    right: np.ndarray, withheld: Sequence[str] | None, known: np.ndarray
) -> Answered | None:
    """What was answered: `right` (m,) belongs to the m known ones of the n rows of `withheld`."""
    if withheld is None:
        return None
    reasons = [reason for reason, one in zip(withheld, known.tolist()) if one]
    given = np.array([not reason for reason in reasons])
    n, answers, hits = len(given), int(given.sum()), int(right[given].sum())
    return Answered(
        share=Metric(answers / n, *interval_of_accuracy(answers, n)),
        accuracy=Metric(hits / answers, *interval_of_accuracy(hits, answers)) if answers else None,
        reasons=dict(Counter(reason for reason in reasons if reason).most_common()),
    )


def _notes(known: np.ndarray, unseen: Sequence[str]) -> Iterator[str]:
    left_out = int((~known).sum())
    if left_out:
        names = list(dict.fromkeys(unseen))
        shown = ", ".join(repr(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")
        which = f" ({shown})" if names else ""
        rows = "1 row has a label" if left_out == 1 else f"{left_out:,} rows have labels"
        yield f"{rows} that the model never saw{which}: left out of the scores"
    n = int(known.sum())
    if n < 30:
        yield f"only {n} row{'s were' if n > 1 else ' was'} measured: the intervals are rough"


def _per_class(counts: np.ndarray, labels: tuple[str, ...]) -> tuple[ClassScore, ...]:
    columns = (*metrics.precision_recall_f1(counts), counts.sum(axis=1))
    return tuple(
        ClassScore(label, float(precision), float(recall), float(f1), int(n))
        for label, precision, recall, f1, n in zip(labels, *columns)
    )


_SCORES = {
    "accuracy": metrics.accuracy,
    "balanced_accuracy": metrics.balanced_accuracy,
    "macro_f1": metrics.macro_f1,
}


def _intervals(
    counts: np.ndarray, losses: np.ndarray, resamples: int, rng: np.random.Generator
) -> dict[str, Metric]:
    """Every score of a confusion matrix (k, k) and row losses (n,), with its interval."""
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in _SCORES}
    for tallies in _draw_tallies(counts, resamples, rng):
        for name, score in _SCORES.items():
            drawn[name].append(score(tallies))
    found: dict[str, Metric] = {}
    for name, score in _SCORES.items():
        value = float(score(counts))
        low, high = np.quantile(np.concatenate(drawn[name]), (0.025, 0.975))
        low, high = _widened(value, low, high, counts, equal_classes=name != "accuracy")
        found[name] = Metric(value, min(float(low), value), max(float(high), value))
    found["log_loss"] = _loss_interval(losses, resamples, rng)
    return found


def _draw_tallies(
    counts: np.ndarray, resamples: int, rng: np.random.Generator
) -> Iterator[metrics.Tally]:
    """Bootstrap draws of a confusion matrix (k, k), some (b, k) tallies at a time."""
    n, k = int(counts.sum()), len(counts)
    truth, guess = np.nonzero(counts)  # occupied cells, sorted by truth
    by_guess = np.argsort(guess, kind="stable")
    rows, row_starts = np.unique(truth, return_index=True)
    columns, column_starts = np.unique(guess[by_guess], return_index=True)
    right = truth == guess
    shares = counts[truth, guess] / n
    for size in _blocks(resamples, len(shares) + 3 * k):
        draw = rng.multinomial(n, shares, size=size)  # (b, cells)
        hits, truths, guesses = (np.zeros((size, k), dtype=np.int64) for _ in range(3))
        hits[:, truth[right]] = draw[:, right]
        truths[:, rows] = np.add.reduceat(draw, row_starts, axis=1)
        guesses[:, columns] = np.add.reduceat(draw[:, by_guess], column_starts, axis=1)
        yield metrics.Tally(hits, truths, guesses)


def _loss_interval(losses: np.ndarray, resamples: int, rng: np.random.Generator) -> Metric:
    """The mean loss; a single row says nothing on the spread, so its interval is the whole range."""
    value, n = float(losses.mean()), len(losses)
    if n == 1:
        return Metric(value, 0.0, max(value, float(-np.log(metrics.SMALLEST))))
    means = chain.from_iterable(
        losses[rng.integers(0, n, size=(size, n), dtype=np.int32)].mean(axis=1)
        for size in _blocks(resamples, n)
    )
    low, high = np.quantile(np.fromiter(means, dtype=np.float64), (0.025, 0.975))
    return Metric(value, min(float(low), value), max(float(high), value))


def _blocks(total: int, width: int) -> Iterator[int]:
    """How many draws of `width` numbers to make at a time."""
    step = max(1, _BLOCK // width)
    for start in range(0, total, step):
        yield min(step, total - start)


def _widened(
    value: float, low: float, high: float, counts: np.ndarray, *, equal_classes: bool
) -> tuple[float, float]:
    """Where few rows are right or few are wrong, an interval that holds Wilson's as well."""
    n, hits = int(counts.sum()), int(np.trace(counts))
    if min(hits, n - hits) >= FEW:
        return low, high
    sizes = counts.sum(axis=1)
    sizes = sizes[sizes > 0]
    # Kish: a mean with row weights w is worth (sum w)^2 / sum w^2 rows; here w = 1 / (classes * size)
    effective = len(sizes) ** 2 / float((1 / sizes).sum()) if equal_classes else float(n)
    wilson_low, wilson_high = interval_of_accuracy(value * effective, effective)
    return min(low, wilson_low), max(high, wilson_high)
