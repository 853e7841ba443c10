"""Where a training stands, and how one state follows from another: plain functions of numbers.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headstart.train.multi import Team
from headstart.train.passes import Judged
from headstart.train.plan import Plan, plan_of
from headstart.train.settings import Settings, Trained
from headstart.train.weights import Tensors
from headstart.types import Epoch

RETURNS = 2  # with a tenth of the learning rate each, before a training counts as diverged


@dataclass(frozen=True)
class State:
    """Where a training stands, in numbers.

    Attributes:
        plan: what was decided before the first step.
        accumulate: pieces in which a batch passes.
        first: held-out loss before the first step; None without held-out rows, or where not finite.
        step: optimiser steps done.
        epoch: the current one, counted from 0.
        done: steps done in it.
        loss_sum: sum of the losses of the rows seen in it.
        seen: rows seen in it.
        lr: learning rate of the last step.
        factor: what divergence left of the learning rate.
        returns: how often the training went back.
        history: the epochs that are finished.
        best: the one whose weights are kept; -1 without one.
        notes: what was noticed.
        seconds: taken so far.
        stopped: why it ended; empty before that.
    """

    plan: Plan
    accumulate: int
    first: float | None = None
    step: int = 0
    epoch: int = 0
    done: int = 0
    loss_sum: float = 0.0
    seen: int = 0
    lr: float = 0.0
    factor: float = 1.0
    returns: int = 0
    history: tuple[Epoch, ...] = ()
    best: int = -1
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    stopped: str = ""


@dataclass(frozen=True)
class Course:
    """A state with the weights it may have to return to.

    Attributes:
        state: the numbers.
        anchor: everything as it was when the current epoch began.
        best: what is to be used, of the epoch that is kept, and its "held_out" logits.
    """

    state: State
    anchor: Tensors
    best: Tensors


def state_of(value: Mapping[str, Any]) -> State:
    """The inverse of `dataclasses.asdict`, also after JSON turned tuples into lists.

    Raises:
        KeyError, TypeError, ValueError: it is not one.
    """
    history = tuple(Epoch(**epoch) for epoch in value["history"])
    made = {"plan": plan_of(value["plan"]), "history": history, "notes": tuple(value["notes"])}
    return State(**{**value, **made})


def noted(state: State, *notes: str) -> State:
    """With some more notes; empty ones are left out."""
    return replace(state, notes=(*state.notes, *filter(None, notes)))


def in_pieces(state: State, accumulate: int) -> State:
    """After memory allowed a batch in so many pieces only."""
    if accumulate == state.accumulate:
        return state
    note = f"Out of memory in epoch {state.epoch + 1}: batches pass in {accumulate} pieces from here on."
    return replace(noted(state, note), accumulate=accumulate)


def after_step(state: State, loss: float, rows: int, lr: float) -> State:
    """After an optimiser step on so many rows with this mean loss."""
    return replace(
        state, step=state.step + 1, done=state.done + 1, lr=lr,
        loss_sum=state.loss_sum + loss * rows, seen=state.seen + rows,
    )  # fmt: skip


def far_off(state: State, loss: float | None) -> bool:
    """Whether a held-out loss is no number, or so high that the training has run away.

    So high: ten times the first one and ten more. Overfitting alone stays far below that.
    """
    if loss is None or not math.isfinite(loss):
        return loss is not None
    return state.first is not None and loss > state.first + 9 * abs(state.first) + 10


def started(state: State, judged: Judged) -> State:
    """After the held-out rows have passed once, before the first step."""
    finite = judged.loss is not None and math.isfinite(judged.loss)
    return replace(in_pieces(state, judged.accumulate), first=judged.loss if finite else None)


def gone_back(state: State, why: str) -> State:
    """At the start of the epoch again with a tenth of the learning rate, or at the end."""
    step = state.step + (
        state.done < state.plan.steps_in(state.epoch)
    )  # under way, or the last one
    note = f"In epoch {state.epoch + 1}, at step {step}, {why}."
    back = replace(state, step=state.step - state.done, done=0, loss_sum=0.0, seen=0)
    if state.returns == RETURNS:
        kept = "those of the best epoch" if state.best >= 0 else "as they were before"
        note += f" The training was given up; the weights are {kept}."
        return replace(noted(back, note), stopped="diverged")
    note += " The training went back to the start of the epoch, with a tenth of the learning rate."
    return replace(noted(back, note), factor=state.factor / 10, returns=state.returns + 1)


def after_epoch(
    state: State, judged: Judged, seconds: float, settings: Settings, late: bool
) -> State:
    """After the held-out rows of an epoch.

    Where the last epoch is to be kept, each one replaces the one before: the held-out rows choose
    nothing, not even when to stop, so what they say of the result is not flattered.

    Args:
        state: with all steps of the epoch.
        judged: what the held-out rows say.
        seconds: taken so far.
        settings: which epoch is kept, and how many without a better loss may pass.
        late: the budget allows no further step.
    """
    lowest = state.history[state.best].held_loss if state.best >= 0 else None
    nothing_better = judged.loss is None or lowest is None or judged.loss < lowest
    last = settings.select == "last"
    entry = Epoch(
        epoch=state.epoch, train_loss=state.loss_sum / state.seen, held_loss=judged.loss,
        score=judged.score, lr=state.lr, seconds=seconds,
        best=_leads(state, judged.score) if last else nothing_better,
    )  # fmt: skip
    best = state.epoch if last or nothing_better else state.best
    stopped = ""
    if state.step >= state.plan.steps:
        stopped = "done"
    elif late:
        stopped = "budget"
    elif settings.patience and state.epoch - best >= settings.patience:
        stopped = "early"
    return replace(
        in_pieces(state, judged.accumulate), epoch=state.epoch + 1, done=0, loss_sum=0.0, seen=0,
        history=(*state.history, entry), best=best, seconds=seconds, stopped=stopped,
    )  # fmt: skip


def _leads(state: State, score: float | None) -> bool:
    """Whether a score is higher than that of all epochs before."""
    return score is not None and all(score > (one.score or 0.0) for one in state.history)


def ended(course: Course, team: Team) -> Trained:
    """What came of a training; times and notes are the first process's."""
    end = state_of(team.agree(dataclasses.asdict(course.state)))
    logits = course.best["held_out"].numpy()
    return Trained(end.history, end.best, logits, end.step, end.seconds, end.stopped, end.notes)
