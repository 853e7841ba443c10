"""The guard: a costlier candidate is kept only where it beats the simplest by more than noise.

All candidates answer the same held-out rows. The score is the mean of accuracy and macro-F1, so that neither
the frequent classes nor the rare ones decide alone. A candidate's lead is judged by a paired bootstrap over
the rows (Efron 1979; Berg-Kirkpatrick et al. 2012), and as several candidates have several chances to be
lucky, the level is shared among them (Bonferroni). Of those that lead beyond noise the best is kept, unless a
cheaper one is within noise of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.types import Metric

LEVEL = 0.05
"""How often a candidate that is no better may be kept, at most."""

_DRAWS = 4000
_SENTENCES = {
    "en": (
        "{name}: {lead:+.1f} points over {simple} ({low:+.1f} to {high:+.1f}, p {p}), {cost}",
        "not beyond noise",
        "beyond noise",
        "{times:.3g} times the cost",
        "{name} is kept",
    ),
    "zh": (
        "{name}：比 {simple} {lead:+.1f} 个百分点（{low:+.1f} 至 {high:+.1f}，p {p}），{cost}",
        "在噪声之内",
        "超出噪声",
        "耗时为 {times:.3g} 倍",
        "采用 {name}",
    ),
}


@dataclass(frozen=True)
class Entry:
    """A candidate in the comparison.

    Attributes:
        name: of the method.
        logits: (m, k) for the held-out rows, by a model that has not seen them.
        seconds: what it cost.
    """

    name: str
    logits: np.ndarray
    seconds: float


@dataclass(frozen=True)
class Tried:
    """A candidate and how it did.

    Attributes:
        name: of the method.
        score: mean of accuracy and macro-F1, with a 95 % interval.
        lead: the score minus that of the simplest candidate, with a 95 % interval of the paired difference.
        p: one-sided, of "it is no better than the simplest"; 1 for that one itself.
        seconds: what it cost.
        beyond: whether its lead is beyond noise.
    """

    name: str
    score: Metric
    lead: Metric
    p: float
    seconds: float
    beyond: bool

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "name": self.name,
            "score": self.score.to_json(),
            "lead": self.lead.to_json(),
            "p": self.p,
            "seconds": round(self.seconds, 3),
            "beyond_noise": self.beyond,
        }


@dataclass(frozen=True)
class Verdict:
    """What was tried, and what is kept.

    Attributes:
        kept: name of the candidate that is kept.
        tried: all candidates, the simplest first, as they were given.
        rows: how many rows they were compared on.
    """

    kept: str
    tried: tuple[Tried, ...]
    rows: int

    def sentences(self, lang: str = "en") -> tuple[str, ...]:
        """Why: one sentence for each candidate beside the simplest, in "en" or "zh"."""
        told, within, beyond, cost, kept = _SENTENCES[lang]
        simple, *others = self.tried
        comma = "，" if lang == "zh" else ", "
        return tuple(
            told.format(
                name=one.name,
                simple=simple.name,
                lead=100 * one.lead.value,
                low=100 * one.lead.low,
                high=100 * one.lead.high,
                p=f"= {one.p:.2g}" if one.p >= 0.001 else "< 0.001",
                cost=comma.join(
                    [
                        beyond if one.beyond else within,
                        cost.format(times=one.seconds / max(simple.seconds, 1e-3)),
                        *([kept.format(name=one.name)] if one.name == self.kept else []),
                    ]
                ),
            )
            for one in others
        )


def guard(codes: np.ndarray, entries: Sequence[Entry], rng: np.random.Generator) -> Verdict:
    """Decide which candidate is kept.

    Args:
        codes: (m,) true class numbers of the held-out rows.
        entries: the simplest candidate first, then others by rising cost.
        rng: draws the bootstrap's rows.

    Raises:
        ValueError: there is no entry or no row, or an entry's shape is another.
    """
    truth = np.asarray(codes)
    if not entries or not len(truth):
        raise ValueError("there is nothing to compare")
    k = entries[0].logits.shape[1]
    if any(one.logits.shape != (len(truth), k) for one in entries):
        raise ValueError(f"every candidate has to answer the {len(truth)} rows with {k} logits")
    said = np.stack([one.logits.argmax(axis=1) for one in entries])  # (e, m)
    cells, counts = np.unique(np.vstack([truth, said]), axis=1, return_counts=True)
    drawn = rng.multinomial(len(truth), counts / len(truth), size=_DRAWS)  # (draws, cells)
    level = LEVEL / max(len(entries) - 1, 1)
    here = [_scores(cells[0], one, counts[None], k)[0] for one in cells[1:]]
    there = [_scores(cells[0], one, drawn, k) for one in cells[1:]]
    tried: list[Tried] = []
    for entry, value, draws in zip(entries, here, there):
        leads = draws - there[0]
        p = _p(leads) if tried else 1.0
        lead = Metric(value - here[0], *_middle(leads))
        score = Metric(value, *_middle(draws))
        tried.append(Tried(entry.name, score, lead, p, entry.seconds, p < level and lead.value > 0))
    return Verdict(tried[_keep(tried, here, there, level)].name, tuple(tried), len(truth))


def _keep(
    tried: Sequence[Tried], here: Sequence[float], there: Sequence[np.ndarray], level: float
) -> int:
    """The place of the candidate that is kept."""
    leading = [place for place, one in enumerate(tried) if one.beyond]
    if not leading:
        return 0
    best = max(leading, key=lambda place: (here[place], -place))
    cheaper = sorted((place for place in leading if place != best), key=lambda i: tried[i].seconds)
    for place in cheaper:
        if tried[place].seconds < tried[best].seconds and _p(there[best] - there[place]) >= level:
            return place
    return best


def _p(leads: np.ndarray) -> float:
    """One-sided p-value of "no better": the share of draws without a lead, never 0."""
    return float((1 + (leads <= 0).sum()) / (1 + len(leads)))


def _middle(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _scores(truth: np.ndarray, said: np.ndarray, counts: np.ndarray, k: int) -> np.ndarray:
    """Mean of accuracy and macro-F1 of each draw.

    Args:
        truth: (cells,) class numbers.
        said: (cells,) answers.
        counts: (draws, cells) how often each cell was drawn.
        k: number of classes.

    Returns:
        (draws,); a class that a draw lacks on both sides does not count.
    """
    each = np.eye(k)
    of_truth, of_said = counts @ each[truth], counts @ each[said]  # (draws, k)
    right = counts @ (each[truth] * (truth == said)[:, None])
    both = of_truth + of_said
    f1 = np.divide(2 * right, both, out=np.zeros_like(both, dtype=float), where=both > 0)
    macro = f1.sum(axis=1) / np.maximum((both > 0).sum(axis=1), 1)
    return (right.sum(axis=1) / counts.sum(axis=1) + macro) / 2
