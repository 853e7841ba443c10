"""A head solved on the features of a tuned backbone.

Without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headstart.metrics import temperature
from headstart.solver import Solution, solve
from headstart.solver_rows import rotate, unrotate
from headstart.types import Head

_TOLERANCE = 1e-5  # of the solver: rows are few


@dataclass(frozen=True)
class Solved:
    """A head, and how it was chosen.

    Attributes:
        head: the head.
        penalty: of its squared weights.
        tried: penalties, and the log losses of the rows that judged them.
    """

    head: Head
    penalty: float
    tried: tuple[tuple[float, float], ...] = ()


def solved(
    features: np.ndarray,
    codes: np.ndarray,
    n_classes: int,
    penalties: Sequence[float],
    held: tuple[np.ndarray, np.ndarray] | None = None,
) -> Solved:
    """Multinomial logistic regression on standardised features, with one penalty of several.

    The penalty is judged by rows that neither the backbone nor the head has learned from: rows that a
    backbone was tuned on lie so far apart that they would call for none. What counts is the log loss after
    the best temperature, since calibration follows.

    Args:
        features: (n, d) of the rows to learn from.
        codes: (n,) their class numbers.
        n_classes: k.
        penalties: from strong to weak; each solution is where the next search begins.
        held: features (m, d) and class numbers (m,) of the rows that judge; without them the last
            penalty counts.
    """
    rows = rotate(np.ascontiguousarray(features, np.float32))
    weights = np.full((1, len(codes)), 1 / len(codes))
    best: tuple[float, Head, float] | None = None
    tried: list[tuple[float, float]] = []
    start: Solution | None = None
    for penalty in penalties:
        start = solve(rows, codes, weights, n_classes, penalty, start=start, tolerance=_TOLERANCE)
        head = Head(*unrotate(rows, start.weight[0], start.bias[0]))
        loss = -float(len(tried))
        if held is not None:
            said = (held[0] @ head.weight + head.bias).astype(np.float32)
            loss = float(temperature(said, held[1])[1])
        tried.append((penalty, loss))
        if best is None or loss < best[0]:
            best = (loss, head, penalty)
    assert best is not None
    return Solved(best[1], best[2], tuple(tried) if held is not None else ())
