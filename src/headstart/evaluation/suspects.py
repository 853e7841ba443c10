"""What features tell about the data: near duplicates, labels that are probably wrong, rows far out.

Probably wrong labels. Two witnesses are heard for each row, and neither has seen the row's label: the
probe's out-of-fold probabilities, and the labels of the nearest neighbours in feature space, copies of
the row left out. Their probabilities are multiplied (a product of experts; Hinton 2002), as what two
witnesses agree on is surer than what either says. They saw labels of which some are wrong, so a label that
they find unlikely may be a mistake or a hard row. How many are mistakes is estimated: a share e of the
labels is taken to be replaced by any other one, and e and the temperature of the product are those that
make the given labels most likely (a noise model as in Lawrence and Schoelkopf 2001, with one parameter).
Each row then has a probability that its label is wrong, and rows where it is over a half are flagged.
As in confident learning (Northcutt, Jiang and Chuang 2021) rows rank by the probability of the given
label; ranking by its margin over the best other one puts rows between two classes too far up.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from headstart.compute import generator, threads
from headstart.data import doctor
from headstart.evaluation import copies, duplicates
from headstart.evaluation.calibrate import fit_temperature
from headstart.evaluation.duplicates import MOST
from headstart.evaluation.near_pictures import unit
from headstart.metrics import softmax
from headstart.types import Finding, Table
from headstart.wording import counted, share

NEIGHBOURS = (10, 50)
"""Neighbours that are heard: a twentieth of the rows, within these bounds."""

_SOFTNESS = 0.1  # a neighbour's vote weighs exp(cosine / 0.1)
_SPREAD = 0.1  # share of a row's votes that is spread by the classes' sizes
_BLOCK = 512  # rows compared with all others at a time
_HALF = 0.5
_LARGEST = 0.15  # share of the rows that are flagged at most
_HEATS = tuple(np.geomspace(0.4, 6, 15))  # temperatures that are tried
_SHARES = (0.05, 1e-4, 0.45)  # of wrong labels: where the search begins, and its bounds
_STEPS = 40  # of expectation maximisation
_TINY = 1e-12
_FEW = 20  # rows; with fewer there is no telling what is usual
_FAR = 4.0  # interquartile ranges below the lower quartile of the nearest neighbours' cosines
_FARTHEST = 0.01  # share of the rows that are called far out at most


@dataclass(frozen=True)
class Doubts:
    """How doubtful each label is.

    Attributes:
        wrong: (n,) probability that the label is wrong.
        other: (n,) class number of the best other label.
        flagged: (n,) bool: more probably wrong than right; of very many the most doubtful.
        share: the estimated share of wrong labels.
    """

    wrong: np.ndarray
    other: np.ndarray
    flagged: np.ndarray
    share: float

    @property
    def ranking(self) -> np.ndarray:
        """(n,) row numbers, the most doubtful first."""
        return np.argsort(-self.wrong, kind="stable")


@dataclass(frozen=True)
class Near:
    """The nearest other rows of each row.

    Attributes:
        rows: (n, j) row numbers, the nearest first; -1 where there are fewer.
        cosine: (n, j) their cosines in centred features.
        sampled: among how many rows they were looked for, where not among all; else 0.
    """

    rows: np.ndarray
    cosine: np.ndarray
    sampled: int = 0


def examine(
    table: Table,
    features: np.ndarray,
    codes: np.ndarray,
    held_out_logits: np.ndarray,
    labels: Sequence[str],
    folds: np.ndarray | None = None,
    *,
    held_out_rows: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    exact: np.ndarray | None = None,
) -> tuple[Finding, ...]:
    """What the features of the training rows tell about them.

    Args:
        table: n training rows.
        features: (n, d).
        codes: (n,) class numbers.
        held_out_logits: (n, k) out-of-fold logits; NaN in rows that were never held out, which only
            their neighbours speak for.
        labels: k labels.
        folds: (n,) fold of each row: no row has a say in the temperature of its own logits.
        held_out_rows: as of `headstart.types.Candidate`.
        groups: (n,) of `duplicates.near_groups`; made here when None.
        exact: (n,) of `headstart.data.doctor.duplicate_groups`; made here when None.

    Returns:
        Findings of the kinds "near-duplicates", "near-conflicts", "wrong-labels", "far-out" and
        "sampled", those that apply.
    """
    if exact is None:
        exact = doctor.duplicate_groups(table)
    if groups is None:
        groups = duplicates.near_groups(table, features, exact=exact)
    near = neighbours(features, groups)
    doubts = doubt(codes, spread(held_out_logits, held_out_rows, len(codes)), near, folds)
    return (
        *copies.within(table, exact, groups),
        *_wrong(table, doubts, labels),
        *_far(table, near, codes),
        *_sampled(near),
    )


def spread(logits: np.ndarray, rows: np.ndarray | None, n: int) -> np.ndarray:
    """Held-out logits among those of all n rows: (n, k), NaN where never held out."""
    if rows is None:
        return logits
    out = np.full((n, logits.shape[1]), np.nan, dtype=np.float32)
    out[rows] = logits
    return out


def neighbours(features: np.ndarray, groups: np.ndarray | None = None, many: int = 0) -> Near:
    """The nearest other rows, by cosine of centred features; copies of the row do not count.

    Args:
        features: (n, d).
        groups: (n,) group numbers; rows of one group are copies of each other.
        many: how many neighbours; 0 takes as many as `NEIGHBOURS` says.
    """
    n = len(features)
    groups = np.arange(n) if groups is None else np.asarray(groups)
    vectors = unit(np.asarray(features))
    base = np.arange(n)
    if n > MOST:
        base = np.sort(generator(0, 13).choice(n, MOST, replace=False))
    many = min(many or int(np.clip(n // 20, *NEIGHBOURS)), max(len(base) - 1, 1))
    found, cosine = np.full((n, many), -1, np.int64), np.full((n, many), -1, np.float32)
    others, own = vectors[base], groups[base]

    def block(start: int) -> None:
        rows = slice(start, start + _BLOCK)
        likeness = vectors[rows] @ others.T  # (b, m)
        likeness[groups[rows, None] == own[None, :]] = -2
        width = min(many, likeness.shape[1])
        near = np.argpartition(likeness, -width, axis=1)[:, -width:]
        value = np.take_along_axis(likeness, near, axis=1)
        order = np.argsort(-value, axis=1, kind="stable")
        value = np.take_along_axis(value, order, axis=1)
        near = base[np.take_along_axis(near, order, axis=1)]
        found[rows, :width] = np.where(value > -2, near, -1)
        cosine[rows, :width] = np.maximum(value, -1)

    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(block, range(0, n, _BLOCK)))
    return Near(found, cosine, MOST if n > MOST else 0)


def doubt(
    codes: np.ndarray,
    held_out_logits: np.ndarray,
    near: Near,
    folds: np.ndarray | None = None,
) -> Doubts:
    """How doubtful each label is, by the probe and by the neighbours.

    Args:
        codes: (n,) class numbers.
        held_out_logits: (n, k), NaN where never held out.
        near: the neighbours of the n rows.
        folds: (n,), so that no row has a say in its own temperature.
    """
    codes = np.asarray(codes)
    n, k = held_out_logits.shape
    seen = _calibrated(held_out_logits, codes, folds) * votes(codes, near, k)
    share, logs = _noise(np.log(np.maximum(seen, _TINY)), codes)
    p = softmax(logs)
    rows = np.arange(n)
    wrong = _wrong_given(p[rows, codes], share, k)
    p[rows, codes] = -1
    flagged = wrong > _HALF
    most = int(_LARGEST * n)
    if flagged.sum() > most:
        flagged = np.isin(rows, np.argsort(-wrong, kind="stable")[:most])
    return Doubts(wrong, p.argmax(axis=1), flagged, share)


def _noise(logs: np.ndarray, codes: np.ndarray) -> tuple[float, np.ndarray]:
    """The share of wrong labels, and log probabilities at the temperature that suits it best.

    For each of a few temperatures the share is found by expectation maximisation.

    Args:
        logs: (n, k) log probabilities, up to a constant in each row.
        codes: (n,) the given labels.
    """
    n, k = logs.shape
    found = []
    for heat in _HEATS:
        given = softmax(logs / heat)[np.arange(n), codes]
        share = _SHARES[0]
        for _ in range(_STEPS):
            mean = float(_wrong_given(given, share, k).mean())
            share = float(np.clip(mean, _SHARES[1], _SHARES[2]))
        likely = (1 - share) * given + share * (1 - given) / (k - 1)
        found.append((float(np.log(likely + _TINY).mean()), share, heat))
    _, share, heat = max(found)
    return share, logs / heat


def _wrong_given(given: np.ndarray, share: float, k: int) -> np.ndarray:
    """(n,) probability that a label is wrong, from the one that it had before it was given."""
    slipped = share * (1 - given) / (k - 1)
    return slipped / ((1 - share) * given + slipped + _TINY)


def votes(codes: np.ndarray, near: Near, k: int) -> np.ndarray:
    """(n, k) class probabilities by the neighbours' labels; the more alike, the more a vote weighs."""
    n, many = near.rows.shape
    weight = np.exp((near.cosine - near.cosine[:, :1]) / _SOFTNESS) * (near.rows >= 0)
    out = np.zeros((n, k))
    for j in range(many):
        np.add.at(out, (np.arange(n), codes[near.rows[:, j]]), weight[:, j])
    total = out.sum(axis=1, keepdims=True)
    prior = np.bincount(codes, minlength=k) / max(n, 1)
    return np.where(
        total > 0, (1 - _SPREAD) * out / np.maximum(total, 1e-12) + _SPREAD * prior, prior
    )


def _calibrated(logits: np.ndarray, codes: np.ndarray, folds: np.ndarray | None) -> np.ndarray:
    """(n, k) probabilities of rows that were held out, 1 / k in the others."""
    n, k = logits.shape
    usable = np.isfinite(logits).all(axis=1)
    out = np.full((n, k), 1 / k)
    part = np.zeros(n, dtype=np.int64) if folds is None else np.asarray(folds)
    for fold in np.unique(part[usable]):
        inside = usable & (part == fold)
        others = usable & (part != fold)
        others = others if others.any() else inside
        heat = fit_temperature(logits[others], codes[others])
        out[inside] = softmax(logits[inside].astype(np.float64) / heat)
    return out


def _wrong(table: Table, doubts: Doubts, labels: Sequence[str]) -> list[Finding]:
    rows = [int(row) for row in doubts.ranking if doubts.flagged[row]]
    if not rows:
        return []
    sure = [float(doubts.wrong[row]) for row in rows]
    first = rows[0]
    assert table.targets is not None
    message = (
        f"{share(len(rows), len(table), 'label', 'is', 'are')} probably wrong, e.g. {table.names[first]} is "
        f"{table.targets[first]!r} and looks like {labels[doubts.other[first]]!r}."
    )
    return [
        Finding(
            "wrong-labels",
            "warning",
            message,
            "look at these rows and mend their labels: headstart doctor --fix plan.csv lists them",
            tuple(table.names[row] for row in rows),
            confidence=round(float(np.mean(sure)), 3),
            numbers=tuple(rows),
            suggestions=tuple(labels[doubts.other[row]] for row in rows),
            sure=tuple(round(one, 3) for one in sure),
        )
    ]


def far_rows(near: Near, codes: np.ndarray) -> np.ndarray:
    """Rows unlike all others: their nearest neighbour is far below what is usual in their class.

    Usual is what lies within `_FAR` interquartile ranges of the lower quartile (Tukey's fences, wide)
    of the angles to the nearest neighbour; of all rows where the class has fewer than `_FEW`.

    Returns:
        Row numbers, the farthest first; at most one in a hundred.
    """
    n = len(codes)
    if n < _FEW:
        return np.zeros(0, dtype=np.int64)
    angle = np.arccos(np.clip(near.cosine[:, 0].astype(np.float64), -1, 1))
    excess = np.full(n, -np.inf)
    for code in [-1, *np.unique(codes).tolist()]:
        own = np.ones(n, bool) if code < 0 else codes == code
        if own.sum() < _FEW:
            continue
        low, high = np.quantile(angle[own], (0.25, 0.75))
        over = (angle - high) / max(high - low, 1e-3)
        excess[own] = over[own] if code < 0 else np.minimum(excess[own], over[own])
    far = np.flatnonzero(excess > _FAR)
    far = far[np.argsort(-excess[far], kind="stable")]
    return far[: max(1, int(_FARTHEST * n))]


def _far(table: Table, near: Near, codes: np.ndarray) -> list[Finding]:
    rows = far_rows(near, np.asarray(codes))
    if not len(rows):
        return []
    what = "picture" if table.modality == "image" else "text"
    told = counted(len(rows), f"{what} is", f"{what}s are")
    return [
        Finding(
            "far-out",
            "info",
            f"{told} unlike all others, e.g. {table.names[rows[0]]}.",
            "look at them: do they belong here?",
            tuple(table.names[row] for row in rows),
            numbers=tuple(int(row) for row in rows),
        )
    ]


def _sampled(near: Near) -> list[Finding]:
    if not near.sampled:
        return []
    message = (
        f"Neighbours and near duplicates were looked for among {near.sampled:,} rows, drawn evenly."
    )
    return [Finding("sampled", "info", message)]
