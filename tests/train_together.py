"""Trainings for several processes, one after the other: started by torchrun, each writes what came out.

Arguments: a folder, and JSON with what is asked by name: `settings` and, where wanted, `cut` or `stop` (epochs
after which the first process is killed or told to end), `folder` (keep states, under this name), `dropout`,
`norm`, `apart` (begin with other weights on each), `held` (rows), `narrow` (rows that fit the second
process), `slow` (seconds a pass).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from headstart.manifest import dump_tensors
from headstart.train import checkpoint
from headstart.train.settings import Settings, Trained
from headstart.types import Epoch
from train_for_tests import HELD, ROWS, Memory, data, network, run


class Wrapped(nn.Module):
    """Has memory for some rows only, or takes its time."""

    def __init__(self, inner: nn.Module, narrow: int, slow: float) -> None:
        super().__init__()
        self.inner, self.narrow, self.slow = inner, narrow, slow

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.slow)
        if self.narrow and len(x) > self.narrow and os.environ.get("RANK", "1") == "1":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        made: Tensor = self.inner(x)
        return made


def trained(place: Path, asked: dict[str, Any]) -> tuple[nn.Module, Trained]:
    """Train as asked."""
    checkpoint.EVERY, checkpoint.SHARE = 0.0, 0  # a state after every step
    rank = int(os.environ.get("RANK", "0"))

    def progress(epoch: Epoch, of: int) -> None:
        assert rank == 0
        if asked.get("cut") == epoch.epoch + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if asked.get("stop") == epoch.epoch + 1:
            os.kill(os.getpid(), signal.SIGTERM)

    seed = rank if asked.get("apart") else 0
    inner = network(seed, dropout=asked.get("dropout", 0.0), norm=asked.get("norm", False))
    module = Wrapped(inner, asked.get("narrow", 0), asked.get("slow", 0.0))
    x, codes = data()
    return run(
        Settings(**asked["settings"]), module=module, source=Memory(x, codes, noise=0.1),
        held=np.arange(ROWS, ROWS + asked.get("held", HELD)),
        folder=place / asked["folder"] if asked.get("folder") else None, progress=progress,
    )  # fmt: skip


def main() -> None:
    """Train; every process writes its weights and what it was told."""
    place = Path(sys.argv[1])
    for name, asked in json.loads(sys.argv[2]).items():
        module, result = trained(place, asked)
        weights = {key: tensor.numpy() for key, tensor in module.state_dict().items()}
        path = place / f"{name} {os.environ['RANK']}"
        path.write_bytes(dump_tensors(weights | {"held": result.held_out}))
        told = asdict(result) | {"held_out": None}
        path.with_suffix(".json").write_text(json.dumps(told), "utf-8")


if __name__ == "__main__":
    main()
