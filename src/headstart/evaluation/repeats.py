"""The same model and protocol on several splits: how much of a score is the luck of one split.

The splits share rows, so the scores are not independent, and the usual interval of a mean would be too
narrow. Nadeau and Bengio (2003) correct the variance: (1/n + test rows / training rows) times the
variance between the scores, where the usual one has 1/n alone. Every split counts; none is picked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from headstart import metrics
from headstart.data.split import make_split
from headstart.errors import ConfigError
from headstart.evaluation.calibrate import calibrate
from headstart.runtime.decide import probabilities
from headstart.scores import Metric, Repeats
from headstart.tasks.classification import Classification
from headstart.types import Candidate, Table

Fit = Callable[[np.ndarray, np.ndarray, np.ndarray, int], Candidate]
"""A method: features (m, d), class numbers (m,), folds (m,), number of classes -> candidate."""

# the Student t distribution's 97.5 % points for 1 to 10 degrees of freedom
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
_Z = 1.959963984540054


def repeats(
    table: Table,
    features: np.ndarray,
    groups: np.ndarray | None,
    k: int,
    fit: Fit,
    seeds: Sequence[int],
    test_size: float = 0.2,
) -> Repeats:
    """Fit and measure on several splits of the data.

    Each split is drawn anew from all rows (a split of the data's own is not kept), the method chooses
    its settings anew, and its probabilities are calibrated anew.

    Args:
        table: n labelled rows.
        features: (n, d).
        groups: (n,) integers; rows with the same number stay together. `table.groups` when None.
        k: number of classes.
        fit: the method.
        seeds: of the splits, at least two.
        test_size: share of the rows to hold out.

    Raises:
        ConfigError: fewer than two seeds, or the rows have times: there is but one split by time.
        DataError: the rows cannot be split.
    """
    if len(set(seeds)) < 2 or len(set(seeds)) < len(seeds):
        raise ConfigError(
            f"{len(set(seeds))} split{'s' * (len(set(seeds)) != 1)}: nothing to compare.",
            fix="take --repeats 2 or more",
        )
    if table.times is not None:
        raise ConfigError(
            "Repeats draw rows at random, and --time forbids that.", fix="leave one of them out"
        )
    if table.targets is None:
        raise ValueError("repeats need a labelled table")
    codes = Classification.from_targets(table.targets).encode(table.targets)
    if int(codes.max()) + 1 != k or len(features) != len(table):
        raise ValueError(f"{k} classes, {len(features)} rows, but the table has others")
    whole = replace(table, split=None)
    values: dict[str, list[float]] = {}
    ratios = []
    for seed in seeds:
        split = make_split(whole, groups=groups, seed=seed, test_size=test_size)
        candidate = fit(features[split.train], codes[split.train], split.folds, k)
        scored = _scores(
            candidate, codes[split.train], split.folds, features[split.test], codes[split.test]
        )
        for name, value in scored.items():
            values.setdefault(name, []).append(value)
        ratios.append(len(split.test) / len(split.train))
    ratio = float(np.mean(ratios))
    return Repeats(
        {name: mean_interval(found, ratio, name) for name, found in values.items()},
        len(seeds),
        {name: tuple(found) for name, found in values.items()},
    )


def mean_interval(values: Sequence[float], ratio: float, name: str = "") -> Metric:
    """The mean over splits with its corrected 95 % interval (Nadeau and Bengio 2003, section 3).

    Args:
        values: one a split, at least two.
        ratio: test rows / training rows.
        name: of the metric; a loss has no upper end.
    """
    n, mean = len(values), float(np.mean(values))
    arm = t_point(n - 1) * float(np.sqrt((1 / n + ratio) * np.var(values, ddof=1)))
    return Metric(
        mean, max(0.0, mean - arm), mean + arm if name == "log_loss" else min(1.0, mean + arm)
    )


def t_point(df: int) -> float:
    """The 97.5 % point of Student's t distribution (Abramowitz and Stegun 1964, 26.7.5, for df > 10)."""
    if df <= len(_T):
        return _T[df - 1]
    z = _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / df + second / df**2 + third / df**3


def _scores(
    candidate: Candidate,
    codes: np.ndarray,
    folds: np.ndarray,
    tested: np.ndarray,
    truth: np.ndarray,
) -> Mapping[str, float]:
    """The metrics of one split, with probabilities calibrated as those of a fit are."""
    decision = calibrate(candidate.held_out, codes, folds=folds, rows=candidate.held_out_rows)
    p = probabilities(tested @ candidate.head.weight + candidate.head.bias, decision)
    counts = metrics.confusion(truth, p.argmax(axis=1), p.shape[1])
    return {
        "accuracy": float(metrics.accuracy(counts)),
        "balanced_accuracy": float(metrics.balanced_accuracy(counts)),
        "macro_f1": float(metrics.macro_f1(counts)),
        "log_loss": metrics.log_loss(p, truth),
    }
