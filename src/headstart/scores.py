"""What was measured: metrics with intervals, and all that an evaluation is made of.

Every noun is a frozen dataclass, as in `headstart.types`; k classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headstart.types import Epoch, Skipped

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Metric:
    """A value with its interval; `low` and `high` bound a 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """As `{"value", "low", "high"}`."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class ClassScore:
    """One class of the per-class table."""

    label: str
    precision: float
    recall: float
    f1: float
    n: int


@dataclass(frozen=True)
class Baseline:
    """A simple rival, measured on the same rows.

    Attributes:
        name: "majority", "tfidf" or "knn".
        metrics: as of `Evaluation`; None where it could not run.
        note: how it was made, or why it could not run.
    """

    name: str
    metrics: Mapping[str, Metric] | None
    note: str = ""


@dataclass(frozen=True)
class Reliability:
    """How far probabilities can be believed, on the rows measured.

    Attributes:
        ece: expected calibration error of the answers' probabilities: the mean gap between what they
            promise and how often they are right, over 15 bins of equally many rows.
        before: the same of the logits' plain softmax, before calibration.
        noise: what a perfectly calibrated model would show on so many rows: the 95 % point of its ece,
            simulated. A smaller ece than this is no sign of bad calibration.
        bins: for each bin, least probable first: mean probability, share of right answers, rows.
    """

    ece: float
    before: float
    noise: float
    bins: tuple[tuple[float, float, int], ...]


@dataclass(frozen=True)
class RiskCurve:
    """What withholding the least certain answers buys, on the rows measured.

    Attributes:
        answered: shares of the rows that are answered, from small to 1.
        accuracy: of those answers, one value for each share.
    """

    answered: tuple[float, ...]
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class LearningCurve:
    """How the accuracy grows with the labels, and what more of them would bring.

    Attributes:
        rows: numbers of training rows, ascending; the last is all that a held-out fold leaves.
        accuracy: on rows that were held out, one for each number, with intervals over draws.
        more: how many more labels the extrapolation is for; 0 where none is dared.
        gain: by how much the accuracy would rise with them, with a 95 % interval; None without one.
        note: how it was made, or why there is no extrapolation.
    """

    rows: tuple[int, ...]
    accuracy: tuple[Metric, ...]
    more: int = 0
    gain: Metric | None = None
    note: str = ""


@dataclass(frozen=True)
class Repeats:
    """The same model and protocol on several splits of the data.

    Attributes:
        metrics: name -> mean over the splits, with a 95 % interval for the mean (Nadeau and Bengio
            2003, as the splits share rows).
        n: splits.
        values: name -> one value a split.
    """

    metrics: Mapping[str, Metric]
    n: int
    values: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Answered:
    """What was answered and what was withheld, on the rows measured.

    Attributes:
        share: share of the rows that were answered, with its interval.
        accuracy: of the answers, with its interval; None where nothing was answered.
        reasons: reason -> rows withheld for it.
    """

    share: Metric
    accuracy: Metric | None
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """A candidate that the guard compared, or a method that could not be tried.

    Attributes:
        method: its name.
        seconds: what it cost.
        score: mean of accuracy and macro-F1 on the held-out rows, with a 95 % interval; None where it was
            not tried.
        lead: the score minus that of the simplest candidate, with a 95 % interval of the paired difference;
            None where it was not tried.
        p: one-sided, of "it is no better than the simplest"; 1 for that one itself.
        gain: by how much its log loss, after its own temperature, is lower than that of the simplest, with
            a 95 % interval; None where it was not tried.
        p_gain: one-sided, of "its log loss is no lower"; 1 for the simplest itself.
        beyond: whether it leads beyond noise, in the score or, with a score no lower, in log loss.
        note: why it was not tried, or what was noticed on the way; a sentence, empty where there is nothing.
        chosen: settings it was made with, as of `Candidate.chosen`.
        history: of its training; empty for a method that trains nothing.
    """

    method: str
    seconds: float
    score: Metric | None = None
    lead: Metric | None = None
    p: float = 1.0
    gain: Metric | None = None
    p_gain: float = 1.0
    beyond: bool = False
    note: str = ""
    chosen: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Epoch, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "method": self.method,
            "seconds": round(self.seconds, 3),
            "score": self.score and self.score.to_json(),
            "lead": self.lead and self.lead.to_json(),
            "p": self.p,
            "gain": self.gain and self.gain.to_json(),
            "p_gain": self.p_gain,
            "beyond_noise": self.beyond,
            "note": self.note,
            "chosen": dict(self.chosen),
            "history": [epoch.to_json() for epoch in self.history],
        }


@dataclass(frozen=True)
class Trials:
    """What was tried, and what is kept.

    Attributes:
        kept: method of the candidate that is kept.
        tried: the simplest first, then in the order in which they were tried.
        rows: how many held-out training rows they were compared on.
        budget: seconds the whole was allowed to take; 0 any.
        asked: it is kept because it was asked for, not because it is better beyond noise.
        seconds: that the fit took until the model was made, also for the rows that had judged it; 0 where
            that is not known.
    """

    kept: str
    tried: tuple[Trial, ...]
    rows: int
    budget: float = 0.0
    asked: bool = False
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "kept": self.kept,
            "rows": self.rows,
            "budget": self.budget,
            "asked": self.asked,
            "seconds": round(self.seconds, 3),
            "tried": [one.to_json() for one in self.tried],
        }


@dataclass(frozen=True)
class Transfer:
    """What a pretrained backbone bought: the same rows learned with one and from scratch.

    Attributes:
        rows: numbers of training rows, ascending; each holds the smaller ones.
        with_: accuracy on the held-out rows with the pretrained backbone, one for each number, with a 95 %
            bootstrap interval.
        without: the same of a network from scratch.
        lead: the first minus the second, with a 95 % interval of the paired difference.
        needed: how many rows the network from scratch needs to be as accurate as the pretrained one is with
            `rows[0]`, read off its curve, with a 95 % interval; None where it does not get there, or not
            beyond doubt.
        more_than: where `needed` is None: it needs more rows than this, with 97.5 % confidence; 0 where the
            curves do not tell.
        held: how many held-out rows both answered.
        note: how it was made, or why there is nothing to show.
    """

    rows: tuple[int, ...]
    with_: tuple[Metric, ...]
    without: tuple[Metric, ...]
    lead: tuple[Metric, ...] = ()
    needed: Metric | None = None
    more_than: int = 0
    held: int = 0
    note: str = ""

    @property
    def saves(self) -> Metric | None:
        """How many labels the pretrained backbone saves at its smallest number of rows; None: not known."""
        if self.needed is None:
            return None
        own, needed = self.rows[0], self.needed
        return Metric(needed.value - own, needed.low - own, needed.high - own)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "rows": list(self.rows),
            "with": [one.to_json() for one in self.with_],
            "without": [one.to_json() for one in self.without],
            "lead": [one.to_json() for one in self.lead],
            "needed": self.needed and self.needed.to_json(),
            "saves": self.saves and self.saves.to_json(),
            "more_than": self.more_than,
            "held": self.held,
            "note": self.note,
        }


@dataclass(frozen=True)
class Evaluation:
    """How good a model is, on which rows, and how sure.

    Attributes:
        metrics: name -> value with interval: accuracy, balanced_accuracy, macro_f1, log_loss.
        per_class: one row a class, in label order.
        labels: k labels, in the order of the confusion matrix.
        confusion: (k, k) counts, rows are the truth, columns the prediction.
        n: rows measured.
        split: name of the `Split`.
        protocol: one sentence that says how these rows were set apart.
        baselines: simple rivals on the same rows.
        coverage: share of rows whose prediction set holds the truth; None without sets.
        set_size: mean size of the prediction sets; None without sets.
        skipped: rows of this split that could not be measured, with the reason.
        notes: sentences a reader of the numbers must know.
        reliability: how far the probabilities can be believed.
        risk: what withholding the least certain answers buys.
        answered: what was answered, where the model withholds answers.
        learning: how the accuracy grows with the labels.
        repeats: the scores over several splits, where they were asked for.
        leaked: how many measured rows, or rows very like them, were also learned from; None where that
            was not or cannot be found out.
        without_leaked: the metrics without those rows; empty where there are none.
        trials: the candidates that were compared on held-out training rows; None where one was made.
        transfer: what the pretrained backbone bought, where that was asked for.
    """

    metrics: Mapping[str, Metric]
    per_class: tuple[ClassScore, ...]
    labels: tuple[str, ...]
    confusion: np.ndarray
    n: int
    split: str
    protocol: str
    baselines: tuple[Baseline, ...] = ()
    coverage: float | None = None
    set_size: float | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    reliability: Reliability | None = None
    risk: RiskCurve | None = None
    answered: Answered | None = None
    learning: LearningCurve | None = None
    repeats: Repeats | None = None
    leaked: int | None = None
    without_leaked: Mapping[str, Metric] = field(default_factory=dict)
    trials: Trials | None = None
    transfer: Transfer | None = None
