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
_ALIKE = 0.01  # log losses that differ by no larger share are taken for the same


@dataclass(frozen=True)
class Solved:
    """A head, and how it was chosen.

    Attributes:
        head: the head.
        penalty: of its squared weights.
        losses: (p,) log losses of the rows that judged each penalty; empty without any.
    """

    head: Head
    penalty: float
    losses: np.ndarray


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
        penalties: p of them, from strong to weak; each solution is where the next search begins.
        held: features (m, d) and class numbers (m,) of the rows that judge; without them the last
            penalty counts.
    """
    rows = rotate(np.ascontiguousarray(features, np.float32))
    weights = np.full((1, len(codes)), 1 / len(codes))
    heads: list[Head] = []
    losses: list[float] = []
    start: Solution | None = None
    for penalty in penalties:
        start = solve(rows, codes, weights, n_classes, penalty, start=start, tolerance=_TOLERANCE)
        heads.append(Head(*unrotate(rows, start.weight[0], start.bias[0])))
        if held is not None:
            said = (held[0] @ heads[-1].weight + heads[-1].bias).astype(np.float32)
            losses.append(float(temperature(said, held[1])[1]))
    at = best(np.array(losses)) if held is not None else len(heads) - 1
    return Solved(heads[at], float(penalties[at]), np.array(losses))


def best(losses: np.ndarray) -> int:
    """The first, and so the strongest penalty, of those that few rows cannot tell from the best."""
    return int(np.flatnonzero(losses <= (1 + _ALIKE) * losses.min())[0])
