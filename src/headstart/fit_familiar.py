"""What new inputs are held against, and below which familiarity they are refused.

A tuned backbone has features of some of the rows alone, see `headstart.climb`.
"""

from __future__ import annotations

import numpy as np

from headstart.evaluation import familiarity
from headstart.fit_rows import Learned
from headstart.ladder import Climbed
from headstart.runtime.familiar import Reference
from headstart.types import Candidate


def reference_of(learned: Learned, candidate: Candidate, codes: np.ndarray, k: int) -> Reference:
    """The rows that new inputs are held against.

    Args:
        learned: n rows, with their features by the frozen backbone.
        candidate: what ships.
        codes: (n,) class numbers.
        k: number of classes.
    """
    features, names = candidate.features, learned.table.names
    if features is None:
        return familiarity.reference_of(learned.features.values, codes, names, k)
    rows = _rows_of(candidate, len(codes))
    return familiarity.reference_of(features, codes[rows], [names[row] for row in rows], k)


def threshold(
    learned: Learned,
    climbed: Climbed,
    codes: np.ndarray,
    answers: np.ndarray,
    keep: float,
    weight: float,
) -> float | None:
    """Below which familiarity an input is refused; see `headstart.evaluation.familiarity.threshold`.

    Args:
        learned: n rows, with their features by the frozen backbone.
        climbed: what ships, and the model that was judged.
        codes: (n,) class numbers.
        answers: (m, k) probabilities of the held-out rows.
        keep: share of the inputs that is to be answered.
        weight: of the reference.
    """
    held, judged = climbed.candidate.held_out_rows, climbed.judged
    if judged is None or judged.features is None:
        marked = np.array(learned.table.split or [""] * len(codes)) == "val"
        folds = familiarity.judging(learned.split.folds, marked)
        features = learned.features.values
        return familiarity.threshold(
            features, codes, folds, answers, keep, rows=held, weight=weight
        )
    # only the rows that this very backbone has not learned from
    rows = _rows_of(judged, len(codes))
    folds = np.where(np.isin(rows, climbed.unseen), 0, -1)
    held = np.arange(len(codes)) if held is None else held
    _, of_held, of_rows = np.intersect1d(held, rows, return_indices=True)
    return familiarity.threshold(
        judged.features, codes[rows], folds, answers[of_held], keep, rows=of_rows, weight=weight
    )


def _rows_of(candidate: Candidate, n: int) -> np.ndarray:
    """(m,) the training rows that its features are of."""
    return np.arange(n) if candidate.feature_rows is None else candidate.feature_rows
