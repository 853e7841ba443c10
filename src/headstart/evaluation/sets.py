"""Prediction sets: thresholds from rows that the model had not seen (split conformal prediction).

Every kind gives each label of each row a score that is a fixed function of the row's probabilities, and
sets the threshold so that the truth's score meets it for the wanted share of held-out rows (Papadopoulos
et al. 2002; Vovk, Gammerman and Shafer 2005). The truth of an exchangeable new row then meets it with at
least that probability, whatever the model and however wrong its probabilities.

- "lac": the probability itself (Sadinle, Lei and Wasserman 2019): the smallest sets on average.
- "aps": the mass of probability down to the label (Romano, Sesia and Candes 2020): larger sets where the
  model is unsure, so that hard inputs are covered about as often as easy ones.
- "class": the probability, with a threshold for each class from its own rows (Vovk 2012; Sadinle et al.
  2019): each class is covered as stated, also a rare one.

How a decision becomes sets stands in `headstart.runtime.decide.prediction_sets`.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np

from headstart import metrics

Kind: TypeAlias = Literal["lac", "aps", "class"]
KINDS: tuple[Kind, ...] = ("lac", "aps", "class")


def thresholds(
    probabilities: np.ndarray, codes: np.ndarray, coverage: float, kind: Kind = "lac"
) -> dict[str, Any]:
    """The fields of a `Decision` that make its prediction sets.

    Args:
        probabilities: (n, k) of rows that the model had not seen.
        codes: (n,) true class numbers.
        coverage: share of sets meant to hold the truth, within 0..1, ends excluded.
        kind: one of `KINDS`.

    Returns:
        "coverage", "sets", "set_threshold" and, for "class", "class_thresholds". Where there are too few
        rows to promise the coverage, the threshold lets all labels in.

    Raises:
        ValueError: no such kind.
    """
    fields: dict[str, Any] = {"coverage": coverage, "sets": kind}
    if kind == "aps":
        fields["set_threshold"] = mass_threshold(probabilities, codes, coverage)
        return fields
    if kind not in KINDS:
        raise ValueError(f"sets has to be one of {', '.join(KINDS)}, not {kind!r}")
    fields["set_threshold"] = set_threshold(probabilities, codes, coverage)
    if kind == "class":
        p, truth = np.asarray(probabilities), np.asarray(codes)
        fields["class_thresholds"] = tuple(
            set_threshold(p[truth == c], truth[truth == c], coverage) for c in range(p.shape[1])
        )
    return fields


def set_threshold(probabilities: np.ndarray, codes: np.ndarray, coverage: float) -> float:
    """The probability that the truth of `coverage` of new rows reaches.

    It is the ceil((n + 1) * coverage)-th largest of the n held-out rows' probabilities of the truth;
    the + 1 counts the new row. 0 where n is too small to have so many: then all labels are in.

    Args:
        probabilities: (n, k) of rows that the model had not seen.
        codes: (n,) true class numbers.
        coverage: within 0..1, ends excluded.
    """
    n = len(codes)
    rank = _rank(n, coverage)
    if rank > n:
        return 0.0
    of_truth = np.asarray(probabilities)[np.arange(n), codes]
    return float(np.partition(of_truth, n - rank)[n - rank])


def mass_threshold(probabilities: np.ndarray, codes: np.ndarray, coverage: float) -> float:
    """The mass of probability within which the truth of `coverage` of new rows lies.

    It is the ceil((n + 1) * coverage)-th smallest of the n held-out rows' `metrics.mass_up_to` of the
    truth; 1 where n is too small to have so many: then all labels are in.

    Args:
        probabilities: as for `set_threshold`.
        codes: as for `set_threshold`.
        coverage: as for `set_threshold`.
    """
    n = len(codes)
    rank = _rank(n, coverage)
    if rank > n:
        return 1.0
    of_truth = metrics.mass_up_to(probabilities)[np.arange(n), codes]
    return float(np.partition(of_truth, rank - 1)[rank - 1])


def _rank(n: int, coverage: float) -> int:
    # in floating point 100 * 0.55 is a little more than 55
    return math.ceil(round((n + 1) * coverage, 9))
