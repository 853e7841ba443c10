"""Logits -> label, calibrated probability, prediction set, abstention with a reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.metrics import mass_up_to, prediction_set, softmax
from headstart.types import Decision, Prediction

UNFAMILIAR = "unlike the training data"
"""The reason of a refused input."""


def probabilities(logits: np.ndarray, decision: Decision) -> np.ndarray:
    """(n, k) calibrated probabilities of (n, k) logits: softmax((logits * scale + shift) / temperature)."""
    return softmax(scaled(logits, decision))


def scaled(logits: np.ndarray, decision: Decision) -> np.ndarray:
    """(n, k) float64 calibrated logits: (logits * scale + shift) / temperature, in this order.

    Args:
        logits: (n, k).
        decision: an empty scale is 1, an empty shift 0.
    """
    z = np.asarray(logits, dtype=np.float64)
    if decision.scale:
        z = z * np.array(decision.scale)
    if decision.shift:
        z = z + np.array(decision.shift)
    return z / decision.temperature


def prediction_sets(probabilities: np.ndarray, decision: Decision) -> np.ndarray:
    """Which labels belong to each row's prediction set, (n, k) bool; the top label always does.

    Args:
        probabilities: (n, k), calibrated.
        decision: how sets are made, and their thresholds (see `headstart.evaluation.sets`).
    """
    if decision.sets == "class":
        return prediction_set(probabilities, np.array(decision.class_thresholds))
    if decision.sets == "aps":
        inside = mass_up_to(probabilities) <= decision.set_threshold
        inside[np.arange(len(inside)), np.argmax(probabilities, axis=1)] = True
        return inside
    return prediction_set(probabilities, decision.set_threshold)


def reasons(
    probabilities: np.ndarray, decision: Decision, familiarity: np.ndarray | None = None
) -> list[str]:
    """Why each answer is withheld; empty where it is given.

    Args:
        probabilities: (n, k), calibrated.
        decision: its thresholds.
        familiarity: (n,) of `headstart.runtime.familiar.familiarity`; without it nothing is refused as
            unlike the training data.
    """
    unsure = probabilities.max(axis=1, initial=0.0) < decision.abstain_below
    told = f"probability below {decision.abstain_below:.4g}"
    found = [told if one else "" for one in unsure.tolist()]
    if familiarity is not None and decision.familiar_above is not None:
        for i in np.flatnonzero(familiarity < decision.familiar_above):
            found[i] = UNFAMILIAR
    return found


def decide(
    logits: np.ndarray,
    names: Sequence[str],
    labels: Sequence[str],
    decision: Decision,
    familiarity: np.ndarray | None = None,
) -> list[Prediction]:
    """Answers for n inputs; a withheld one keeps its label and probability.

    Args:
        logits: (n, k).
        names: n names of the inputs.
        labels: k labels.
        decision: scaling and thresholds.
        familiarity: (n,), as for `reasons`.
    """
    p = probabilities(logits, decision)
    sets = prediction_sets(p, decision)
    why = reasons(p, decision, familiarity)
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(sets, order, axis=1)
    predictions = []
    for i, (name, values) in enumerate(zip(names, p.tolist())):
        top = int(order[i, 0])
        predictions.append(
            Prediction(
                input=name,
                label=labels[top],
                probability=values[top],
                set=tuple(labels[j] for j in order[i, ranked[i]].tolist()),
                abstained=bool(why[i]),
                reason=why[i],
                probabilities=dict(zip(labels, values)),
            )
        )
    return predictions


def unreadable(name: str, reason: str) -> Prediction:
    """The answer for an input that could not be read."""
    return Prediction(input=name, label=None, probability=None, abstained=True, reason=reason)
