"""A server that imports torch once and forks trainings; reads one JSON command a line, answers likewise.

A command: {"folder": ..., "settings": {...}, "at": null | [kind, n], "after": null | seconds}. With `at`,
the child kills itself at the n-th call of what is named: "fsync", "replace", "unlink" or "step"; with
`after`, it is killed. The answer is its result, or null where it ended first.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from headstart.train import checkpoint, passes
from headstart.train.settings import Settings
from train_for_tests import Memory, bits, data, network, run

torch.set_num_threads(1)


def killing(kind: str, count: int) -> None:
    """Let this process die at the n-th call of a kind, half of the time just after it."""
    owner: Any = {"fsync": os, "replace": os, "unlink": os, "step": passes}[kind]
    owner, name = (passes, "gradients") if kind == "step" else (owner, kind)
    if kind in ("replace", "unlink"):  # pathlib calls these
        owner = Path
    real, calls = getattr(owner, name), [0]

    def counted(*args: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == count and count % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        done = real(*args, **more)
        if calls[0] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(owner, name, counted)


def trained(folder: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What a training ends with."""
    checkpoint.EVERY, checkpoint.SHARE = 0.0, 0  # a state after every step
    x, codes = data()
    module = network(dropout=0.2, norm=True)
    source = Memory(x, codes, noise=0.1)
    _, result = run(Settings(**settings), module=module, source=source, folder=Path(folder))
    metrics = (Path(folder) / "metrics.jsonl").read_text("utf-8").splitlines()
    epochs = [json.loads(line)["epoch"] for line in metrics]
    return {"bits": bits(module, result), "epochs": epochs, "notes": result.notes}


def warm_up() -> None:
    """Load what torch loads at the first step, but for the backward pass, which bears no fork."""
    module = network()
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    torch.optim.AdamW(module.parameters()).step()


def main() -> None:
    """Serve."""
    warm_up()
    for line in sys.stdin:
        command = json.loads(line)
        answer = Path(command["folder"]).with_suffix(".answer")
        answer.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            with contextlib.suppress(BrokenPipeError):
                if command["at"]:
                    killing(*command["at"])
                result = trained(command["folder"], command["settings"])
                answer.write_text(json.dumps(result), "utf-8")
            os._exit(0)
        if command["after"] is not None:
            time.sleep(command["after"])
            os.kill(child, signal.SIGKILL)  # not yet waited for, so the number is still its own
        os.waitpid(child, 0)
        print(answer.read_text("utf-8") if answer.exists() else "null", flush=True)


if __name__ == "__main__":
    main()
