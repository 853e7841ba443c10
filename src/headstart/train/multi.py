"""Several processes that train together, one device each: who does what, and what they agree on.

`python -m torch.distributed.run --nproc_per_node 2 ...` starts them; each makes the same calls. The rows of a
step are dealt out, gradients are summed, and what depends on a clock or a disk is decided by the first
process. `batch` counts the rows of a step in all processes, so however many there are, the weights are the
same up to rounding; with a batch norm, each process's rows are normalised by themselves, as pieces are.

Accelerate finds the devices and carries what passes between processes (Gugger et al. 2022); it is imported
only where there are several. Nothing is pickled: values pass as JSON, tensors as bytes.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import MissingExtra


class Team(Protocol):
    """The processes of a training, as one of them sees them."""

    @property
    def rank(self) -> int:
        """This one's number; 0 decides, keeps the states and tells the progress."""
        ...  # pragma: no cover

    @property
    def count(self) -> int:
        """How many there are."""
        ...  # pragma: no cover

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes; each passes a tensor of one shape."""
        ...  # pragma: no cover

    def agree(self, value: Any) -> Any:
        """What the first process passes, on all; plain JSON values."""
        ...  # pragma: no cover

    def copied(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the first process passes, on all."""
        ...  # pragma: no cover


@dataclass(frozen=True)
class Alone:
    """A process that asks no other.

    Attributes:
        rank: its number.
        count: among how many the rows are dealt out nevertheless, to measure its share of the work.
    """

    rank: int = 0
    count: int = 1

    def total(self, tensor: Tensor) -> Tensor:
        """The tensor."""
        return tensor

    def agree(self, value: Any) -> Any:
        """The value."""
        return value

    def copied(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors."""
        return dict(tensors)


ALONE = Alone()


@dataclass(frozen=True)
class Together:
    """A process among others, connected through Accelerate.

    Attributes:
        rank: its number.
        count: how many there are.
        device: where its module is.
    """

    rank: int
    count: int
    device: torch.device

    def total(self, tensor: Tensor) -> Tensor:
        """See `Team`."""
        from accelerate.utils import reduce

        return reduce(tensor.to(self.device), "sum").to(tensor.device)

    def agree(self, value: Any) -> Any:
        """See `Team`."""
        text = json.dumps(value).encode() if self.rank == 0 else b""
        size = int(self.total(torch.tensor([len(text)], dtype=torch.int64)).item())
        content = torch.frombuffer(bytearray(text or bytes(size)), dtype=torch.uint8)
        return json.loads(self._first(content).numpy().tobytes())

    def copied(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Team`; on the processor."""
        made = {}
        for name, dtype, shape in self.agree([_described(*item) for item in tensors.items()]):
            kind = getattr(torch, dtype)
            own = tensors[name] if self.rank == 0 else torch.empty(shape, dtype=kind)
            content = own.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            made[name] = self._first(content).view(kind).reshape(shape)
        return made

    def _first(self, content: Tensor) -> Tensor:
        from accelerate.utils import broadcast

        return broadcast(content.to(self.device)).cpu() if len(content) else content


def team(module: nn.Module) -> Alone | Together:
    """The processes that torchrun started, or this one alone; the module is put on this one's device.

    Raises:
        MissingExtra: there are several, and Accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE
    made = _connected(next(module.parameters()).device.type)
    module.to(made.device)
    return made


@functools.lru_cache(maxsize=1)
def _connected(device: str) -> Together:
    """Connect this process with the others, once."""
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise MissingExtra(
            "accelerate, which training in several processes needs,", "train"
        ) from error
    state = PartialState(cpu=device == "cpu")
    atexit.register(state.destroy_process_group)
    return Together(state.process_index, state.num_processes, torch.device(state.device))


def share(team: Team, n: int) -> slice:
    """Which of n rows of a step are this process's: as many as the others', or one more."""
    small, more = divmod(n, team.count)
    start = team.rank * small + min(team.rank, more)
    return slice(start, start + small + (team.rank < more))


def told(team: Team, numbers: Sequence[float]) -> np.ndarray:
    """(processes, numbers) float64: what each process says."""
    if team.count == 1:
        return np.array([numbers], np.float64)
    every = torch.zeros(team.count, len(numbers), dtype=torch.float64)
    every[team.rank] = torch.tensor(numbers, dtype=torch.float64)
    return team.total(every).numpy()


def joined(team: Team, own: Tensor, n: int) -> Tensor:
    """(n, ...) all rows, where this process has those numbered rank, rank + count, ... of them."""
    if team.count == 1:
        return own
    every = torch.zeros(n, *own.shape[1:], dtype=own.dtype)
    every[team.rank :: team.count] = own
    return team.total(every)


def summed(
    team: Team, module: nn.Module, before: Sequence[tuple[Tensor, Tensor]],
    weight: float, loss: float, pieces: int,
) -> tuple[float, int]:  # fmt: skip
    """Sum the gradients that the processes have of their rows; average what a batch norm counts.

    Args:
        team: the processes.
        module: with this one's gradients, of its part of the mean loss.
        before: its buffers, and what was in them before this step.
        weight: this process's share of the rows.
        loss: its part of the mean loss.
        pieces: in which its rows passed.

    Returns:
        The mean loss, and the most pieces.
    """
    if team.count == 1:
        return loss, pieces
    free = [p for p in module.parameters() if p.requires_grad]
    counted = [pair for pair in before if pair[0].is_floating_point()]
    there = [p.grad is not None for p in free] + [not torch.equal(*pair) for pair in counted]
    said = told(team, [loss, pieces, *there])
    anywhere = [bool(one) for one in said[:, 2:].max(axis=0, initial=0)]
    moved = [p for p, is_there in zip(free, anywhere) if is_there]
    changed = [buffer for (buffer, _), is_there in zip(counted, anywhere[len(free) :]) if is_there]
    own = [torch.zeros_like(p) if p.grad is None else p.grad for p in moved]
    own += [buffer * weight for buffer in changed]
    if own:
        kind = functools.reduce(torch.promote_types, [one.dtype for one in own])
        flat = team.total(torch.cat([one.detach().reshape(-1).to(kind) for one in own]))
        parts = flat.split([one.numel() for one in own])
        for parameter, part in zip(moved, parts):
            parameter.grad = part.to(parameter.dtype).reshape(parameter.shape).clone()
        with torch.no_grad():
            for buffer, part in zip(changed, parts[len(moved) :]):
                buffer.copy_(part.reshape(buffer.shape))
    return float(said[:, 0].sum()), int(said[:, 1].max())


def _described(name: str, tensor: Tensor) -> tuple[str, str, list[int]]:
    return name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)
