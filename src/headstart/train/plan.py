"""How a training is run here: how many steps the time allows, in which precision, compiled or not.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from headstart.train import multi
from headstart.train.order import batches, steps_per_epoch
from headstart.train.passes import Way, gradients, held_out
from headstart.train.settings import Job, Settings
from headstart.train.weights import Weights

AIM = 0.97  # of the budget is planned
LATE = 1.02  # of the budget: nothing is begun that would end later
_TIMED = 3  # steps, after one to warm up ...
_SHORT = 20  # ... and of a short training no more than one in so many
_MEASURING = 0.05  # of the budget at most, but for the warm-up and one step each
# seconds of budget: compiling takes a minute or two, and saved an eighth of the time on a processor
_COMPILE_PAYS = {"cuda": 120.0, "cpu": 1800.0}
_WORTH = 0.95  # another way of running must need less than this share of the time


@dataclass(frozen=True)
class Plan:
    """What was decided before the first step; it stays for the whole training, also over a restart.

    Attributes:
        steps: optimiser steps in all; 0 where not even one epoch fits the budget.
        per_epoch: steps of a whole epoch; the last one may be shorter.
        accumulate: pieces of a batch to begin with.
        bfloat16: products in bfloat16.
        compiled: through torch.compile.
        step_seconds: of one step; 0 where not measured.
        held_seconds: of an epoch's end: held-out rows, copies, files; 0 where not measured.
        notes: what was noticed.
    """

    steps: int
    per_epoch: int
    accumulate: int
    bfloat16: bool = False
    compiled: bool = False
    step_seconds: float = 0.0
    held_seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """Of which the last one may be shorter."""
        return -(-self.steps // self.per_epoch)

    def steps_in(self, epoch: int) -> int:
        """Steps of an epoch, counted from 0."""
        return min(self.per_epoch, self.steps - epoch * self.per_epoch)


def plan_of(value: Mapping[str, Any]) -> Plan:
    """The inverse of `dataclasses.asdict`, also after JSON turned tuples into lists."""
    return Plan(**{**value, "notes": tuple(value["notes"])})


def way(job: Job, bfloat16: bool, compiled: bool) -> Way:
    """How the module is run, made anew in each process."""
    # sizes change from batch to batch: one program for all of them
    forward = torch.compile(job.module, dynamic=True) if compiled else job.module
    return Way(job, forward, bfloat16)


def plan(job: Job, weights: Weights, seconds: Callable[[], float], saving: float) -> Plan:
    """Decide how to train.

    Where something depends on time (a budget, "auto"), a few real steps are measured, with every group
    free, as most epochs are; then the module is put back exactly as it was. Of several processes each
    measures its share of the rows, and all follow the first one's plan.

    Args:
        job: the arguments of the training.
        weights: at the start.
        seconds: time taken so far.
        saving: seconds that writing the weights once takes.
    """
    settings = job.settings
    per_epoch = steps_per_epoch(len(job.learn), settings.batch)
    made = Plan(
        steps=settings.epochs * per_epoch,
        per_epoch=per_epoch,
        accumulate=settings.accumulate,
        bfloat16=settings.precision == "bfloat16",
    )
    compiling = _compiling(settings, next(job.module.parameters()).device.type)
    if not (settings.budget or settings.precision == "auto" or compiling):
        return made
    start = weights.snapshot()
    apart = dataclasses.replace(job, team=multi.Alone(job.team.rank, job.team.count))
    try:
        weights.free(max(group.free_from for group in job.groups))
        made = _timed_plan(apart, weights, made, compiling)
        if settings.budget:
            held = _held_seconds(apart, made) + _copying(weights) + 2 * saving
            made = dataclasses.replace(made, held_seconds=held)
        made = plan_of(job.team.agree(dataclasses.asdict(made)))
        if job.team.count > 1:
            made = dataclasses.replace(made, step_seconds=_together(job, made))
    finally:
        weights.restore(start, 0)
    if settings.budget:
        left = AIM * settings.budget - seconds()
        made = dataclasses.replace(made, steps=job.team.agree(steps_within(made, left)))
        if not made.steps:
            each = per_epoch * made.step_seconds + 2 * made.held_seconds
            note = f"Not even one epoch fits the time: it takes about {each:.3g} s, and {max(left, 0):.3g} s are"
            note += " left. The weights stay as they were."
            made = dataclasses.replace(made, notes=(*made.notes, note))
    return made


def steps_within(plan: Plan, left: float) -> int:
    """How many of the planned steps a time allows.

    Args:
        plan: with measured times.
        left: seconds, for the held-out rows at the start, the epochs, and the held-out rows after each.

    Returns:
        As many whole epochs as fit, and what fits of one more; 0 where not even one fits.
    """
    left -= plan.held_seconds
    each = plan.per_epoch * plan.step_seconds + plan.held_seconds
    if left < each:
        return 0
    epochs = int(left / each) if each else plan.steps
    rest = left - epochs * each - plan.held_seconds
    extra = max(0, int(rest / plan.step_seconds)) if plan.step_seconds else 0
    return min(plan.steps, epochs * plan.per_epoch + min(extra, plan.per_epoch - 1))


def late(plan: Plan, budget: float, seconds: float, team: multi.Team = multi.ALONE) -> bool:
    """Whether one more step, and the end of the epoch after it, would exceed a budget.

    Args:
        plan: with measured times.
        budget: seconds; 0: any.
        seconds: taken so far; the first process's count.
        team: the processes.
    """
    after = seconds + plan.step_seconds + plan.held_seconds
    return budget > 0 and bool(team.agree(LATE * budget < after))


def _timed_plan(job: Job, weights: Weights, made: Plan, compiling: bool) -> Plan:
    """The plan with the fastest of the ways that are allowed."""
    auto = job.settings.precision == "auto"
    best = _tried(job, weights, made, forced=True)
    if auto:
        best = _faster(best, _tried(job, weights, dataclasses.replace(made, bfloat16=True)))
    if compiling:
        other = _tried(job, weights, dataclasses.replace(best, compiled=True))
        forced = job.settings.compile == "on" and other.compiled
        best = other if forced else _faster(best, other)
    return best


def _faster(one: Plan, other: Plan) -> Plan:
    won = other.step_seconds < _WORTH * one.step_seconds
    return other if won else dataclasses.replace(one, notes=other.notes)


def _tried(job: Job, weights: Weights, made: Plan, *, forced: bool = False) -> Plan:
    """A plan with the time of its steps; where a way that is not forced fails, an endless time and a note."""
    try:
        took, accumulate = _step_seconds(job, weights, made)
    except (RuntimeError, OSError, ImportError) as error:
        if forced:
            raise
        name = "torch.compile" if made.compiled else "bfloat16"
        said = str(error).strip().partition("\n")[0][:200]
        notes = (*made.notes, f"This module does not run with {name} here: {said}")
        return dataclasses.replace(made, step_seconds=math.inf, compiled=False, notes=notes)
    return dataclasses.replace(made, step_seconds=took, accumulate=accumulate)


def _step_seconds(job: Job, weights: Weights, made: Plan) -> tuple[float, int]:
    """Median time of a step after the first, and the pieces that fitted into memory."""
    settings, took, accumulate = job.settings, [], made.accumulate
    run = way(job, made.bfloat16, made.compiled)
    rows = batches(job.learn, settings.batch, settings.seed, job.drawn, job.lengths, 0)
    timed = max(1, min(_TIMED, made.steps // _SHORT))
    for number in range(1 + timed):
        began = time.perf_counter()
        _, accumulate = gradients(run, rows[number % len(rows)], 0, number, accumulate)
        weights.step(0.0, number)
        if run.device.type == "cuda":
            torch.cuda.synchronize(run.device)
        took.append(time.perf_counter() - began)
        enough = number and sum(took) > _MEASURING * settings.budget
        if settings.budget and (enough or took[0] > settings.budget):
            break
    return statistics.median(took[1:] or took), accumulate


def _together(job: Job, made: Plan) -> float:
    """Time of a step with what processes tell each other, the second one; no less than was measured."""
    run = way(job, made.bfloat16, made.compiled)
    rows = batches(job.learn, job.settings.batch, job.settings.seed, job.drawn, job.lengths, 0)
    for number in range(2):
        began = time.perf_counter()
        gradients(run, rows[number % len(rows)], 0, number, made.accumulate)
        took = time.perf_counter() - began
    return max(made.step_seconds, took)


def _held_seconds(job: Job, made: Plan) -> float:
    """Time of the held-out rows, from one piece of them, after one to warm up."""
    if not len(job.held):
        return 0.0
    run = way(job, made.bfloat16, made.compiled)
    size = -(-job.settings.batch // made.accumulate)
    for _ in range(2):
        began = time.perf_counter()
        held_out(run, job.held[:size], 0, made.accumulate, lambda: None)
        took = time.perf_counter() - began
    own = -(-len(job.held) // job.team.count)
    return took * -(-own // size)


def _copying(weights: Weights) -> float:
    """Time of an epoch's two copies of the weights."""
    began = time.perf_counter()
    weights.snapshot()
    return 2 * (time.perf_counter() - began)


def _compiling(settings: Settings, device: str) -> bool:
    """Whether torch.compile is worth a try: on a card, or where a compiler is there and time enough."""
    if settings.compile != "auto":
        return settings.compile == "on"
    if device == "cuda":
        there = importlib.util.find_spec("triton") is not None
        return there and (not settings.budget or settings.budget >= _COMPILE_PAYS["cuda"])
    there = any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl"))
    return device == "cpu" and there and settings.budget >= _COMPILE_PAYS["cpu"]
