"""Logits -> label, calibrated probability, prediction set, abstention with a reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.metrics import prediction_set, softmax
from headstart.types import Decision, Prediction


def probabilities(logits: np.ndarray, decision: Decision) -> np.ndarray:
    """(n, k) calibrated probabilities of (n, k) logits."""
    return softmax(np.asarray(logits, dtype=np.float64) / decision.temperature)


def decide(
    logits: np.ndarray, names: Sequence[str], labels: Sequence[str], decision: Decision
) -> list[Prediction]:
    """Answers for n inputs.

    Args:
        logits: (n, k).
        names: n names of the inputs.
        labels: k labels.
        decision: temperature and thresholds.
    """
    p = probabilities(logits, decision)
    sets = prediction_sets(p, decision)
    order = np.argsort(-p, axis=1, kind="stable")
    predictions = []
    for i, name in enumerate(names):
        top = int(order[i, 0])
        certain = float(p[i, top])
        withheld = certain < decision.abstain_below
        predictions.append(
            Prediction(
                input=name,
                label=labels[top],
                probability=certain,
                set=tuple(labels[j] for j in order[i] if sets[i, j]),
                abstained=withheld,
                reason=f"probability below {decision.abstain_below:g}" if withheld else "",
                probabilities={label: float(value) for label, value in zip(labels, p[i])},
            )
        )
    return predictions


def unreadable(name: str, reason: str) -> Prediction:
    """The answer for an input that could not be read."""
    return Prediction(input=name, label=None, probability=None, abstained=True, reason=reason)


def prediction_sets(probabilities: np.ndarray, decision: Decision) -> np.ndarray:
    """Which labels belong to each row's prediction set, (n, k) bool.

    Args:
        probabilities: (n, k), calibrated.
        decision: how sets are made.
    """
    return prediction_set(probabilities, decision.set_threshold)
