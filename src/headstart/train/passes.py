"""Rows through the module: gradients of a batch, logits of held-out rows, in as many pieces as memory asks.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headstart.train import multi
from headstart.train.chance import own_random
from headstart.train.settings import Job
from headstart.train.weights import fill

_TOKENS = 4096  # padding included, in a piece: whole batches of long texts take many gigabytes
_ALIGNED = 64  # bytes; products round differently in memory that starts elsewhere


@dataclass(frozen=True)
class Way:
    """How the module is run.

    Attributes:
        job: the arguments of the training.
        forward: the module, or what torch compiled of it.
        bfloat16: products in bfloat16.
    """

    job: Job
    forward: Callable[..., Tensor]
    bfloat16: bool

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return next(self.job.module.parameters()).device

    def logits(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """(n, k) float32 outputs."""
        placed = [_placed(one, self.device, self.job.settings.channels_last) for one in inputs]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return self.forward(*placed).float()


def _placed(tensor: Tensor, device: torch.device, channels_last: bool) -> Tensor:
    tensor = tensor.to(device)
    if channels_last and tensor.ndim == 4:
        tensor = tensor.contiguous(memory_format=torch.channels_last)
    return tensor.clone() if tensor.data_ptr() % _ALIGNED else tensor


def gradients(
    way: Way, rows: np.ndarray, epoch: int, step: int, accumulate: int
) -> tuple[float, int]:
    """Leave the gradients of a batch's mean loss in the parameters.

    The source is asked for the whole batch once, so what it draws does not depend on the pieces or on
    which process has which rows; dropout and batch norms see pieces.

    Args:
        way: how the module is run.
        rows: (n,) row numbers.
        epoch: counted from 0.
        step: steps done before.
        accumulate: number of pieces to begin with; doubled while memory is short.

    Returns:
        The mean loss, and the number of pieces it took.

    Raises:
        RuntimeError, MemoryError: one row alone does not fit.
    """
    job = way.job
    job.module.train(True)
    inputs, targets = job.source.batch(rows, epoch, step, train=True)
    buffers = [(buffer, buffer.clone()) for buffer in job.module.buffers()]

    def attempt(pieces: int) -> float:
        try:
            return _accumulated(way, own, inputs, targets, step, pieces)
        except BaseException:  # also Ctrl-C: the module is as before
            _forget(way, buffers)
            raise

    own = np.arange(len(rows))[multi.share(job.team, len(rows))]
    begun = max(-(-accumulate // job.team.count), _long(job, inputs))
    most = max(len(own), 1)
    loss, pieces = _with_less(attempt, min(begun, most), begun, most)
    weight = len(own) / len(rows)
    loss, pieces = multi.summed(job.team, job.module, buffers, weight, loss, pieces)
    return loss, accumulate if pieces == begun else pieces * job.team.count


def _long(job: Job, inputs: tuple[Tensor, ...]) -> int:
    """In how many pieces a process's rows of a batch pass where texts are long."""
    if job.lengths is None:
        return 1
    rows, tokens = inputs[0].shape[:2]
    return -(-(-(-rows // job.team.count) * tokens) // _TOKENS)


def _accumulated(
    way: Way, own: np.ndarray, inputs: tuple[Tensor, ...], targets: Tensor, step: int, pieces: int
) -> float:
    """Gradients of this process's part of the mean loss; `own` are the places of its rows in the batch."""
    job, total, loss = way.job, len(targets), 0.0
    for parameter in job.module.parameters():
        parameter.grad = None
    for piece in np.array_split(own, pieces) if len(own) else ():
        first = int(piece[0])
        here = slice(first, first + len(piece))
        with own_random(way.device, job.settings.seed, step, first):
            logits = way.logits(tuple(one[here] for one in inputs))
        value = job.loss(logits, targets[here].to(way.device))
        value = value if len(piece) == total else value * (len(piece) / total)
        if value.requires_grad:  # not where all groups are still frozen
            value.backward()
        loss += value.item()
    return loss


def _with_less(
    attempt: Callable[[int], float], pieces: int, accumulate: int, most: int
) -> tuple[float, int]:
    while True:
        try:
            return attempt(pieces), max(pieces, accumulate)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or pieces >= most:
                raise
        # here the error, and with it the frames that hold tensors, is gone
        torch.cuda.empty_cache()
        pieces = accumulate = min(2 * pieces, most)


def _forget(way: Way, buffers: list[tuple[Tensor, Tensor]]) -> None:
    for parameter in way.job.module.parameters():
        parameter.grad = None
    for buffer, kept in buffers:
        fill(buffer, kept)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short, on a card or on the processor."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(sign in said for sign in signs)


@torch.no_grad()
def held_out(
    way: Way, rows: np.ndarray, epoch: int, accumulate: int, check: Callable[[], None]
) -> tuple[Tensor, Tensor, int]:
    """Logits and targets of rows, without augmentation or dropout, on the processor.

    Args:
        way: how the module is run.
        rows: (m,) row numbers, one at least.
        epoch: passed on to the source.
        accumulate: as of `gradients`: with the batch size it says how many rows pass at once.
        check: called before every piece; may raise.

    Returns:
        (m, k) float32 logits, the targets, and the number of pieces of a batch that fitted.

    Raises:
        RuntimeError, MemoryError: one row alone does not fit.
    """
    way.job.module.train(False)
    batch, logits, targets, place = way.job.settings.batch, [], [], 0
    while place < len(rows):
        check()
        size = -(-batch // accumulate)
        inputs, wanted = way.job.source.batch(rows[place : place + size], epoch, 0, train=False)
        try:
            logits.append(way.logits(inputs).cpu())
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or size == 1:
                raise
            accumulate = min(2 * accumulate, batch)
            continue
        targets.append(wanted)
        place += len(wanted)
    return torch.cat(logits), torch.cat(targets), accumulate


@dataclass(frozen=True)
class Judged:
    """What the held-out rows say.

    Attributes:
        logits: (m, k) float32.
        loss: of all of them at once; None without rows.
        score: None without rows, or where it is not finite.
        accumulate: pieces of a batch that fitted into memory.
    """

    logits: Tensor
    loss: float | None
    score: float | None
    accumulate: int


def _nothing() -> None:
    """Do nothing."""


@torch.no_grad()
def judged(way: Way, epoch: int, accumulate: int, check: Callable[[], None] = _nothing) -> Judged:
    """Pass the held-out rows, dealt out to the processes; the arguments are those of `held_out`."""
    job, team = way.job, way.job.team
    own = job.held[team.rank :: team.count]  # in turns, as they may be sorted by length
    rows = own if len(own) else job.learn[:1]  # for the number of outputs
    if team.count > 1:  # the others would wait for one that stops here
        check = _nothing
    logits, targets, accumulate = held_out(way, rows, epoch, accumulate, check)
    accumulate = int(multi.told(team, [accumulate]).max())
    if not len(job.held):
        return Judged(logits[:0], None, None, accumulate)
    logits = multi.joined(team, logits[: len(own)], len(job.held))
    targets = multi.joined(team, targets[: len(own)], len(job.held))
    loss = job.loss(logits.to(way.device), targets.to(way.device)).item()
    score = float(job.score(logits.numpy(), targets.cpu().numpy())) if math.isfinite(loss) else 0.0
    loss, score = multi.told(team, [loss, score])[0].tolist()
    return Judged(logits, loss, score if math.isfinite(score) else None, accumulate)
