"""The guard: a costlier candidate is kept only where it beats the simplest by more than noise.

All candidates answer the same held-out rows. The score is the mean of accuracy and macro-F1, so that neither
the frequent classes nor the rare ones decide alone. A candidate's lead is judged by a paired bootstrap over
the rows (Efron 1979; Berg-Kirkpatrick et al. 2012), and as several candidates have several chances to be
lucky, the level is shared among them (Bonferroni).

On a few hundred rows a gain of some points is within the noise of counting right answers, while the
probabilities, which say more than right or wrong, may have become better without doubt. So a candidate also
leads where its log loss is lower by more than noise, each after its own temperature, and its score is no
lower. Both looks share the level. Of those that lead the one with the best score is kept: what it cost is spent,
and it runs no slower than the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.metrics import temperature
from headstart.scores import Metric, Trial, Trials

LEVEL = 0.05
"""How often a candidate that is no better may be kept, at most."""

_DRAWS = 4000


@dataclass(frozen=True)
class Entry:
    """A candidate in the comparison.

    Attributes:
        method: its name.
        logits: (m, k) for the held-out rows, by a model that has not seen them.
        seconds: what it cost.
    """

    method: str
    logits: np.ndarray
    seconds: float


def guard(codes: np.ndarray, entries: Sequence[Entry], rng: np.random.Generator) -> Trials:
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
    level = _level(len(entries) - 1)
    losses = [_losses(one.logits, truth) for one in entries]
    here = [float(_scores(cells[0], one, counts[None], k)[0]) for one in cells[1:]]
    there = [_scores(cells[0], one, drawn, k) for one in cells[1:]]
    tried: list[Trial] = []
    for entry, value, draws, loss in zip(entries, here, there, losses):
        leads = draws - there[0]
        p = _p(leads) if tried else 1.0
        lead = Metric(value - here[0], *_middle(leads))
        score = Metric(value, *_middle(draws))
        gains = _means(losses[0] - loss, rng)
        p_loss = _p(gains) if tried else 1.0
        gain = Metric(float((losses[0] - loss).mean()), *_middle(gains))
        beyond = (p < level and lead.value > 0) or (p_loss < level and lead.value >= 0)
        tried.append(Trial(entry.method, entry.seconds, score, lead, p, gain, p_loss, beyond))
    leading = [place for place, one in enumerate(tried) if one.beyond]
    best = max(leading, key=lambda place: here[place], default=0)
    return Trials(tried[best].method, tuple(tried), len(truth))


def least_lead(rows: int, others: int = 1) -> float:
    """The smallest lead in accuracy that is beyond noise, of a candidate that loses no row to the simplest.

    A draw of the bootstrap without any of the j rows that it wins, of m, has the chance (1 - j / m)^m.

    Args:
        rows: m, to compare on.
        others: candidates beside the simplest.

    Returns:
        j / m.
    """
    won = np.arange(1, rows + 1)
    return float(won[(1 - won / rows) ** rows < _level(others)][0] / rows)


def _level(others: int) -> float:
    return LEVEL / max(2 * others, 1)  # two looks at each


def _losses(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(m,) log loss of each row, after the temperature that suits all of them best."""
    z = logits.astype(np.float64) / temperature(logits, truth)[0]
    z -= z.max(axis=1, keepdims=True)
    picked = z[np.arange(len(z)), truth]
    found: np.ndarray = np.log(np.exp(z).sum(axis=1)) - picked
    return found


def _means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(draws,) means of rows that are drawn with replacement."""
    m, part = len(values), 100
    drawn = [values[rng.integers(0, m, (part, m))].mean(axis=1) for _ in range(_DRAWS // part)]
    return np.concatenate(drawn)


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
