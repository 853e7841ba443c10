"""All that changes during a training, as named tensors and back: parameters, buffers, moments, average.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from headstart.train import optim
from headstart.train.settings import Job

Tensors = dict[str, Tensor]


class Weights:
    """A module with its optimiser and, where wanted, the running average of its parameters.

    Args:
        job: the arguments of the training.
    """

    def __init__(self, job: Job) -> None:
        self.module, self.settings, self.groups = job.module, job.settings, tuple(job.groups)
        every = dict(job.module.named_parameters())
        named = {name for group in self.groups for name in group.names}
        # in the module's order, as the length of the gradient depends on it in the last bit
        self.parameters = {name: p for name, p in every.items() if name in named}
        self.optimiser = optim.optimiser(every, self.groups, job.settings)
        self.average: Tensors = _copies(self.parameters) if job.settings.ema else {}
        self.at = 0  # steps that went into the values; -1 while they are being changed

    def free(self, epoch: int) -> None:
        """Let the groups change whose epoch has come, and nothing else."""
        for parameter in self.module.parameters():
            parameter.requires_grad_(False)
        for group in self.groups:
            for name in group.names if epoch >= group.free_from else ():
                self.parameters[name].requires_grad_(True)

    def step(self, share: float, updates: int) -> bool:
        """One step along the gradients that are there.

        Args:
            share: of the largest learning rate.
            updates: steps done before.

        Returns:
            False where a gradient is not finite; then nothing has changed.
        """
        given = [p for p in self.parameters.values() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in given if p.grad is not None])
        if not math.isfinite(norm.item()):
            return False
        if self.settings.clip:
            torch.nn.utils.clip_grads_with_norm_(given, self.settings.clip, norm)
        for part, group in zip(self.optimiser.param_groups, self.groups):
            part["lr"] = self.settings.lr * group.factor * share
        self.at = -1
        self.optimiser.step()
        if self.average:
            decay = optim.average_decay(self.settings.ema, updates)
            optim.update_average(self.average, self.parameters, decay)
        self.at = updates + 1
        return True

    def snapshot(self) -> Tensors:
        """Copies of everything, by name; `restore` takes them."""
        kept: Tensors = {f"parameter/{name}": p for name, p in self.parameters.items()}
        kept |= {f"average/{name}": p for name, p in self.average.items()}
        kept |= {f"buffer/{name}": b for name, b in self.module.named_buffers()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                if value is not None:
                    kept[f"moment/{key}/{name}"] = value
        return _copies(kept)

    def restore(self, kept: Mapping[str, Tensor], updates: int) -> None:
        """Put everything back as it was at a snapshot; gradients are dropped.

        Args:
            kept: the snapshot.
            updates: steps that had been done then.
        """
        self.at = -1
        self._fill(kept)
        for name, value in self.average.items():
            value.copy_(kept[f"average/{name}"])
        self.optimiser.zero_grad(set_to_none=True)
        self.optimiser.state.clear()
        for full, value in kept.items():
            if full.startswith("moment/"):
                key, name = full.removeprefix("moment/").split("/", 1)
                parameter = self.parameters[name]
                # torch keeps the count of steps on the processor
                like = value if key == "step" else parameter
                moment = torch.empty_like(like, requires_grad=False)
                self.optimiser.state[parameter][key] = moment.copy_(value)
        self.at = updates

    def fit(self, kept: Mapping[str, Tensor]) -> bool:
        """Whether a snapshot is one of this module."""
        own = {name: (t.shape, t.dtype) for name, t in self.snapshot().items()}
        fixed = {name for name in own if not name.startswith("moment/")}
        rest = {name.split("/", 2)[2] for name in kept.keys() - fixed if name.count("/") > 1}
        same = all(
            name in kept and (kept[name].shape, kept[name].dtype) == own[name] for name in fixed
        )
        return same and rest <= self.parameters.keys()

    def served(self) -> Tensors:
        """Copies of what is to be used: parameters, averaged where there is an average, and buffers."""
        kept = {f"parameter/{n}": p for n, p in (self.average or self.parameters).items()}
        return _copies(kept | {f"buffer/{n}": b for n, b in self.module.named_buffers()})

    def serve(self, kept: Mapping[str, Tensor]) -> None:
        """Put what `served` gave into the module; gradients are dropped."""
        self._fill(kept)
        self.optimiser.zero_grad(set_to_none=True)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The module with averaged parameters; without an average, as it is."""
        own, at = _copies(self.parameters) if self.average else {}, self.at
        self.at = -1 if own else at
        try:
            for name, value in self.average.items():
                self.parameters[name].data.copy_(value)
            yield
        finally:
            for name, value in own.items():
                self.parameters[name].data.copy_(value)
            self.at = at

    @torch.no_grad()
    def _fill(self, kept: Mapping[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(kept[f"parameter/{name}"])
        for name, buffer in self.module.named_buffers():
            fill(buffer, kept[f"buffer/{name}"])


@torch.no_grad()
def fill(buffer: Tensor, value: Tensor) -> None:
    """Write into a buffer, unless it holds the value already: some share memory and cannot be written."""
    if not torch.equal(buffer, value.to(buffer.device)):
        buffer.copy_(value)


def _copies(tensors: Mapping[str, Tensor]) -> Tensors:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@contextmanager
def borrowed(module: nn.Module, channels_last: bool) -> Iterator[None]:
    """A module whose parameters get back, at the end, the flags they had; it is left for prediction.

    Args:
        module: what is trained.
        channels_last: lay kernels out with the channels last.
    """
    flags = [(p, p.requires_grad) for p in module.parameters()]
    if channels_last:
        for parameter in (p for p in module.parameters() if p.ndim == 4):
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        module.train(False)
