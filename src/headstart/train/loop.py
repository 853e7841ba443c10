"""The one training loop: every method that changes weights calls it, and it knows none of them.

A training is a course of states; `_advance` makes the next one: a step, the end of an epoch, or a way
back. A step depends on counters only, so a course that was kept can be taken up anywhere.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from headstart.train import course as courses
from headstart.train import multi, optim, order, passes, plan
from headstart.train.checkpoint import Keeper, identity, shared
from headstart.train.course import Course, State
from headstart.train.interrupt import deferred
from headstart.train.lock import only_one
from headstart.train.memory import freed_memory_kept
from headstart.train.settings import Group, Job, Loss, Score, Settings, Source, Trained
from headstart.train.weights import Weights, borrowed
from headstart.types import OnEpoch


def train(
    module: nn.Module, source: Source, learn: np.ndarray, held: np.ndarray, *,
    groups: Sequence[Group], loss: Loss, score: Score, settings: Settings,
    folder: Path | None = None, progress: OnEpoch | None = None,
    classes: np.ndarray | None = None, lengths: np.ndarray | None = None,
) -> Trained:  # fmt: skip
    """Train a module; afterwards it predicts, with the weights of the epoch that `settings.select` names.

    Killed at any moment and called again with the same arguments, the module as it was at first, it ends
    with the same bytes, unless the clock decides: a budget that is exceeded. Under torchrun all processes
    train together (see `multi`).

    Args:
        module: inputs -> (n, k) outputs; on the device where it is to be trained.
        source: what rows become.
        learn: (n,) int64 rows to learn from.
        held: (m,) int64 rows that judge every epoch; empty: the last epoch is kept.
        groups: which parameters change, and how.
        loss: outputs and targets -> mean over the rows.
        score: outputs and targets -> a number for the history.
        settings: how to train.
        folder: where the state and `metrics.jsonl` are kept; None: nowhere.
        progress: called after every epoch, with how many are planned.
        classes: (n,) class of each row to learn from, for balanced drawing.
        lengths: (n,) length of each row to learn from, where batches are padded to the longest.

    Raises:
        ConfigError: nothing to learn, a group of what the module lacks, or a folder that is in use.
        KeyboardInterrupt, SystemExit: Ctrl-C was pressed, or SIGTERM came; the state has been kept.
    """
    began, team = time.monotonic(), multi.team(module)
    folder, progress = (None, None) if team.rank else (folder, progress)
    job = Job(module, source, learn, held, classes, groups, loss, score, settings, lengths, team)
    with only_one(folder), freed_memory_kept(), borrowed(module, settings.channels_last):
        weights, keeper = Weights(job), Keeper(folder, identity(job) if folder else "", began)
        course, note = keeper.load(weights)
        course = shared(team, course, weights) or _begun(job, weights, keeper, note)
        course = _finished(job, weights, keeper, course, progress)
        weights.serve(course.best)
    return courses.ended(course, team)


def _begun(job: Job, weights: Weights, keeper: Keeper, note: str) -> Course:
    """The course before the first step: planned, measured and kept."""
    saving = keeper.saving(weights.snapshot()) if job.settings.budget else 0.0
    made = plan.plan(job, weights, keeper.seconds, saving)
    state = courses.noted(State(made, made.accumulate), note, *made.notes)
    if not made.steps:
        state = replace(state, stopped="budget", seconds=keeper.seconds())
        return Course(state, {}, weights.served() | {"held_out": torch.zeros(0, 0)})
    judged = passes.judged(plan.way(job, made.bfloat16, made.compiled), 0, state.accumulate)
    served = weights.served() | {"held_out": judged.logits}
    course = Course(courses.started(state, judged), weights.snapshot(), served)
    return keeper.kept(course, course.anchor)


def _finished(
    job: Job, weights: Weights, keeper: Keeper, course: Course,
    progress: OnEpoch | None,
) -> Course:  # fmt: skip
    """The loop."""
    made = course.state.plan
    way = plan.way(job, made.bfloat16, made.compiled)
    fixed = (job.learn, job.settings.batch, job.settings.seed, job.drawn, job.lengths)
    rows = functools.lru_cache(maxsize=1)(functools.partial(order.batches, *fixed))
    with deferred(lambda number: int(multi.told(job.team, [number]).max())) as check:
        try:
            while not course.state.stopped:
                check()
                finished = len(course.state.history)
                course = _advance(way, weights, keeper, course, rows, check)
                ended = len(course.state.history) > finished
                if course.state.stopped or keeper.due():
                    between = ended or course.state.stopped  # no step since the anchor
                    now = course.anchor if between else weights.snapshot()
                    course = keeper.kept(course, now)
                if ended and progress:
                    progress(course.state.history[-1], made.epochs)
        except (KeyboardInterrupt, SystemExit):
            if weights.at == course.state.step:  # not in the middle of a change
                keeper.kept(course, weights.snapshot())
            raise
    return course


def _advance(
    way: passes.Way, weights: Weights, keeper: Keeper, course: Course,
    rows: Callable[[int], list[np.ndarray]], check: Callable[[], None],
) -> Course:  # fmt: skip
    """The next state: after a step, after an epoch, back at its start, or stopped."""
    state, settings = course.state, way.job.settings
    late = plan.late(state.plan, settings.budget, keeper.seconds(), way.job.team)
    if late and not state.done:
        return replace(course, state=replace(state, stopped="budget"))
    if not late and state.done < state.plan.steps_in(state.epoch):
        batch = rows(state.epoch)[state.done]
        weights.free(state.epoch)
        loss, pieces = passes.gradients(way, batch, state.epoch, state.step, state.accumulate)
        state = courses.in_pieces(state, pieces)
        share = state.factor * optim.share(settings, state.step, state.plan.steps)
        if math.isfinite(loss) and weights.step(share, state.step):
            after = courses.after_step(state, loss, len(batch), settings.lr * share)
            return replace(course, state=after)
        return _back(weights, course, state, "the loss or a gradient was not a finite number")
    with weights.averaged():
        judged, served = passes.judged(way, state.epoch, state.accumulate, check), weights.served()
    if courses.far_off(state, judged.loss):
        why = f"the held-out loss rose from {state.first:.3g} to {judged.loss:.3g}"
        return _back(weights, course, state, why)
    after = courses.after_epoch(state, judged, keeper.seconds(), settings, late)
    best = served | {"held_out": judged.logits} if after.best == state.epoch else course.best
    return Course(after, weights.snapshot(), best)


def _back(weights: Weights, course: Course, state: State, why: str) -> Course:
    weights.restore(course.anchor, state.step - state.done)
    return replace(course, state=courses.gone_back(state, why))
