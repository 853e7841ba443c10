"""What was tried, as it is kept in a page, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headstart.report.kept_trust import metric_from, real
from headstart.scores import Trial, Trials
from headstart.types import Epoch


def brief(value: Any) -> Any:
    """A JSON value whose numbers have six digits: more cannot be seen, and pages stay light."""
    if isinstance(value, dict):
        return {key: brief(one) for key, one in value.items()}
    if isinstance(value, list):
        return [brief(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def trials_from(data: Mapping[str, Any]) -> Trials:
    """The inverse of `Trials.to_json`; what is not finite and was kept as None is NaN, or None, again."""
    tried = tuple(_trial(one) for one in data["tried"])
    return Trials(
        kept=str(data["kept"]),
        tried=tried,
        rows=int(data["rows"]),
        budget=float(data["budget"]),
        asked=bool(data.get("asked", False)),
        seconds=real(data.get("seconds", 0.0)),
    )


def thinned(trials: Trials, most: int = 200) -> Trials:
    """The same with at most so many epochs of each training, drawn evenly; those that are used stay.

    Args:
        trials: what was tried.
        most: epochs, at least 3.
    """
    return replace(
        trials,
        tried=tuple(
            replace(one, history=_some(one, most)) if len(one.history) > most else one
            for one in trials.tried
        ),
    )


def used(one: Trial) -> Epoch | None:
    """The epoch whose weights are used; None without any."""
    number = one.chosen.get("best")
    if isinstance(number, int) and number > 0:
        return next((epoch for epoch in one.history if epoch.epoch == number - 1), None)
    return next((epoch for epoch in reversed(one.history) if epoch.best), None)


def _some(one: Trial, most: int) -> tuple[Epoch, ...]:
    last = len(one.history) - 1
    places = {round(i * last / (most - 2)) for i in range(most - 1)}
    chosen = used(one)
    if chosen is not None:
        places.add(one.history.index(chosen))
    return tuple(one.history[place] for place in sorted(places))


def _trial(data: Mapping[str, Any]) -> Trial:
    score, lead, gain = data["score"], data["lead"], data["gain"]
    return Trial(
        method=str(data["method"]),
        seconds=real(data["seconds"]),
        score=None if score is None else metric_from(score),
        lead=None if lead is None else metric_from(lead),
        p=real(data["p"]),
        gain=None if gain is None else metric_from(gain),
        p_gain=real(data["p_gain"]),
        beyond=bool(data["beyond_noise"]),
        note=str(data["note"]),
        chosen=dict(data["chosen"]),
        history=tuple(_epoch(one) for one in data["history"]),
    )


def _epoch(data: Mapping[str, Any]) -> Epoch:
    held, score = data["held_loss"], data["score"]
    return Epoch(
        epoch=int(data["epoch"]),
        train_loss=real(data["train_loss"]),
        held_loss=None if held is None else float(held),
        score=None if score is None else float(score),
        lr=real(data["lr"]),
        seconds=real(data["seconds"]),
        best=bool(data["best"]),
    )
