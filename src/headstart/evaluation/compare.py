"""Two models on the same rows: which is better, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import DataError
from headstart.evaluation.measure import paired
from headstart.scores import Evaluation, Metric

_LEVEL = 0.05
_SENTENCES = {
    "en": (
        "accuracy of {a} minus that of {b} on the same {n:,} rows: {difference:+.1f} points "
        "({low:+.1f} to {high:+.1f}, McNemar p {p}), {verdict}",
        "beyond noise: {better} is better",
        "within noise: neither is shown to be better",
    ),
    "zh": (
        "在同样的 {n:,} 行上，{a} 的准确率减去 {b} 的准确率：{difference:+.1f} 个百分点"
        "（{low:+.1f} 至 {high:+.1f}，McNemar 检验 p {p}），{verdict}",
        "超出噪声：{better} 更好",
        "在噪声之内：不能说明哪个更好",
    ),
}


@dataclass(frozen=True)
class Comparison:
    """Two models on the same rows.

    Attributes:
        names: what the two are called.
        evaluations: of both, on the rows that both could read.
        difference: accuracy of the first minus that of the second, with its 95 % interval.
        p: exact McNemar p-value of "they are equally often right".
        beyond: whether the difference is beyond noise: its interval leaves 0 out, and p < 0.05.
    """

    names: tuple[str, str]
    evaluations: tuple[Evaluation, Evaluation]
    difference: Metric
    p: float
    beyond: bool

    def sentence(self, lang: str = "en") -> str:
        """The difference and whether it is beyond noise, in English ("en") or Chinese ("zh")."""
        told, better, neither = _SENTENCES[lang]
        a, b = self.names
        return told.format(
            a=a,
            b=b,
            n=self.evaluations[0].n,
            difference=100 * self.difference.value,
            low=100 * self.difference.low,
            high=100 * self.difference.high,
            p=f"= {self.p:.2g}" if self.p >= 0.001 else "< 0.001",
            verdict=better.format(better=a if self.difference.value > 0 else b)
            if self.beyond
            else neither,
        )

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain JSON values, without the evaluations."""
        return {
            "names": list(self.names),
            "n": self.evaluations[0].n,
            "accuracy_difference": self.difference.to_json(),
            "mcnemar_p": self.p,
            "beyond_noise": self.beyond,
            "sentence": self.sentence(),
        }

    def __str__(self) -> str:
        return self.sentence()


def comparison(
    codes: np.ndarray,
    predicted: tuple[np.ndarray, np.ndarray],
    evaluations: tuple[Evaluation, Evaluation],
    names: tuple[str, str],
    rng: np.random.Generator,
) -> Comparison:
    """Compare the answers of two models row by row.

    Args:
        codes: (n,) true class numbers; rows with -1 are left out.
        predicted: (n,) class numbers that each of the two answers with.
        evaluations: of the two on these rows.
        names: what the two are called.
        rng: draws the bootstrap's rows.

    Raises:
        DataError: no row is left to compare on.
    """
    found = paired(codes, *predicted, rng)
    apart = not found.low <= 0 <= found.high
    difference = Metric(found.difference, found.low, found.high)
    return Comparison(names, evaluations, difference, found.p, apart and found.p < _LEVEL)


def same_labels(a: Sequence[str], b: Sequence[str], names: tuple[str, str]) -> None:
    """Refuse to compare models that do not answer with the same labels.

    Raises:
        DataError: naming the labels that only one of them knows.
    """
    only = [(name, sorted(set(x) - set(y))) for name, x, y in zip(names, (a, b), (b, a))]
    told = [f"only {name} knows {_some(labels)}" for name, labels in only if labels]
    if told:
        raise DataError(
            f"{names[0]} and {names[1]} do not answer with the same labels: {'; '.join(told)}.",
            fix="compare models that were fitted on the same classes",
        )


def _some(labels: Sequence[str], limit: int = 8) -> str:
    more = f" and {len(labels) - limit:,} more" if len(labels) > limit else ""
    return ", ".join(repr(label) for label in labels[:limit]) + more
