"""Trainings that are killed, told to end, or started twice (R1, R5, R7, R8).

The checks fork trainings from a process that has imported torch and trained nothing: `python -m
trust.training NAME COUNT FOLDER` is that process, and prints an outcome as JSON.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trust.table import ROOT, Outcome, environment, importable

CLASSES = 3
_ROWS = 48
_LONGEST = 120.0  # seconds that one training may take, on a busy machine
_HALT = 2.0  # seconds from a signal to the end
_KINDS = tuple(
    f"{modality} {method}"
    for modality in ("image", "text")
    for method in ("finetune", "upper layers", "lora", "bitfit", "head")
)


def killed(count: int, work: Path) -> Outcome:
    """Trainings killed with SIGKILL at random moments until one ends: the same bytes as without (R1)."""
    return _apart("killed", count, work)


def resumed(count: int, work: Path) -> Outcome:
    """Trainings stopped after a random step get the batches that they would have got (R5)."""
    return _apart("resumed", count, work)


def signalled(count: int, work: Path) -> Outcome:
    """Trainings told to end by SIGINT or SIGTERM at random moments: soon, kept, gone on with (R7)."""
    return _apart("signalled", count, work)


def raced(count: int, work: Path) -> Outcome:
    """Two trainings in one folder: the second is refused; what a killed one held is free (R8)."""
    return _apart("raced", count, work)


def _apart(name: str, count: int, work: Path) -> Outcome:
    if not hasattr(os, "fork"):
        return Outcome(0, skipped="no fork on this system")
    if importlib.util.find_spec("torch") is None:
        return Outcome(0, skipped="torch is not installed")
    surroundings = environment(OMP_NUM_THREADS="1", HEADSTART_CACHE=str(work / "cache"))
    done = subprocess.run(
        [sys.executable, "-m", "trust.training", name, str(count), str(work)],
        cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        return Outcome(0, (f"exit status {done.returncode}: {done.stderr[-800:]}",))
    told = json.loads(done.stdout.splitlines()[-1])
    return Outcome(**{**told, "bad": tuple(told["bad"])})


# --- what is trained -----------------------------------------------------------------------------


def _pictures() -> tuple[Any, list[Any]]:
    """A network of three products, and pictures of three colours."""
    import headstart_test_plugin as plugin
    from onnx import TensorProto, helper, numpy_helper

    from headstart.backbones import shelf
    from headstart.types import Preprocess

    rng = np.random.default_rng(20)
    shapes = {"w1": (8, 3, 5, 5), "b1": (8,), "w2": (8, 8, 3, 3), "b2": (8,), "w3": (12, 8, 1, 1)}
    values = {k: rng.normal(0, 0.3, v).astype(np.float32) for k, v in shapes.items()}
    node = helper.make_node
    nodes = [
        node("Cast", ["pixels"], ["whole"], to=TensorProto.FLOAT),
        node("Mul", ["whole", "scale"], ["scaled"]),
        node("Transpose", ["scaled"], ["x"], perm=[0, 3, 1, 2]),
        node("Conv", ["x", "w1", "b1"], ["c1"], kernel_shape=[5, 5], strides=[4, 4]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2", "b2"], ["c2"], kernel_shape=[3, 3]),
        node("Relu", ["c2"], ["r2"]),
        node("Conv", ["r2", "w3"], ["c3"], kernel_shape=[1, 1]),
        node("GlobalAveragePool", ["c3"], ["pooled"]),
        node("Flatten", ["pooled"], ["features"], axis=1),
    ]
    numbers = {**values, "scale": np.float32([1 / 255])}
    graph = helper.make_graph(
        nodes,
        "trained",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 32, 32, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 12])],
        [numpy_helper.from_array(value, name) for name, value in numbers.items()],
    )
    backbone = shelf.keep(
        "trust:image", graph=plugin._model(graph), name="trust:image", modality="image", dim=12,
        licence="CC0-1.0", sha256="0" * 64, preprocess=Preprocess("image", plugin.IMAGE_STEPS),
    )  # fmt: skip
    pixels = rng.integers(0, 150, (_ROWS, 32, 32, 3), dtype=np.uint8)
    for i in range(_ROWS):
        pixels[i, :, :, i % CLASSES] += 90
    return backbone, list(pixels)


def _texts() -> tuple[Any, list[Any]]:
    """A small transformer, and texts of three kinds of words."""
    import headstart_test_plugin as plugin

    from headstart.backbones import graph_bert, shelf
    from headstart.types import Preprocess
    from test_backbones_graph_bert import DIM, POSITIONS, WORDS, made, plain

    letters = "abcdefghijklmnopqr "
    tokenizer = json.loads(plugin._text().tokenizer.read_text("utf-8"))
    tokenizer["model"]["vocab"] = {"[UNK]": 0, **{c: i + 1 for i, c in enumerate(letters)}}
    assert len(letters) < WORDS
    backbone = shelf.keep(
        "trust:text", graph=graph_bert.bert(made(plain)), name="trust:text", modality="text", dim=DIM,
        licence="CC0-1.0", sha256="1" * 64, tokenizer=json.dumps(tokenizer),
        preprocess=Preprocess("text", ({"step": "tokenize", "max_length": POSITIONS - 2},)),
    )  # fmt: skip
    rng = np.random.default_rng(21)
    kinds = (letters[:9], letters[6:14], letters[9:])
    words = [rng.choice(list(kinds[i % CLASSES]), rng.integers(3, 8)) for i in range(_ROWS)]
    return backbone, ["".join(one) for one in words]


@dataclasses.dataclass(frozen=True)
class World:
    """What there is to learn from: for "image" and "text" a backbone and inputs."""

    given: dict[str, tuple[Any, list[Any]]]

    def train(self, kind: str, folder: Path) -> dict[str, Any]:
        """Train in a folder; all that comes out, but for times."""
        from headstart.hashing import hash_parts
        from headstart.train.material import Material
        from headstart.types import Head

        modality, _, method = kind.partition(" ")
        backbone, inputs = self.given[modality]
        rng = np.random.default_rng(22)
        start = rng.normal(0, 0.1, (backbone.dim, CLASSES)).astype(np.float32)
        head = Head(start, np.zeros(CLASSES, np.float32))
        codes, held = np.arange(_ROWS) % CLASSES, np.arange(0, _ROWS, 4)
        material = Material(inputs, codes, CLASSES, held, backbone, head, 3, folder=folder)
        found = _methods()[method](material)
        log = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
        parts = [found.held_out.tobytes(), found.head.weight.tobytes(), found.head.bias.tobytes()]
        return {
            "bits": hash_parts(
                [*parts, found.backbone.graph_id, repr(sorted(found.chosen.items()))]
            ),
            "history": [dataclasses.asdict(one) | {"seconds": 0} for one in found.history],
            "log": [json.loads(line)["epoch"] for line in log],
            "notes": list(found.notes),
        }


def _methods() -> dict[str, Callable[[Any], Any]]:
    from headstart.methods import bitfit, finetune, lora
    from headstart.train import common, tuning
    from headstart.train.settings import Group

    more: Any = {"epochs": 4, "batch": 8, "lr": 0.01, "patience": 0, "views": 2}
    common = common.Common(depth=1.0, **more)
    head = [Group(("weight", "bias"))]
    return {
        "finetune": lambda m: finetune.fit(m, finetune.Config(depth=1.0, **more)),
        "upper layers": lambda m: finetune.fit(m, finetune.Config(depth=0.5, unfreeze=1, **more)),
        "lora": lambda m: lora.fit(m, lora.Config(rank=2, **more)),
        "bitfit": lambda m: bitfit.fit(m, bitfit.Config(depth=1.0, **more)),
        "head": lambda m: tuning.tune("head", m, common, 0.01, lambda module, layers: head),
    }


# --- children ------------------------------------------------------------------------------------


def _started(world: World, kind: str, folder: Path) -> int:
    """The number of a new process that trains; beside the folder it writes what came out."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        told: dict[str, Any] = world.train(kind, folder)
        status = 0
    except KeyboardInterrupt:
        os._exit(130)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException as error:
        told = {"error": str(error)}
    partly = folder.with_suffix(".part")
    partly.write_text(json.dumps(told), "utf-8")
    partly.replace(_answer(folder))
    os._exit(status)


def _answer(folder: Path) -> Path:
    return folder.with_suffix(".answer")


def _wait(child: int, seconds: float = _LONGEST) -> int:
    """The exit status of a child, negative for a signal; one that takes too long is killed."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -999


def _whole(world: World, kind: str, folder: Path) -> dict[str, Any] | None:
    """What a training ends with that nobody disturbs; None where it does not end well."""
    _answer(folder).unlink(missing_ok=True)
    status = _wait(_started(world, kind, folder))
    told = json.loads(_answer(folder).read_text("utf-8")) if status == 0 else None
    return told


def _references(world: World, kinds: list[str], work: Path) -> dict[str, tuple[Any, float]]:
    """For each kind what it ends with, and how long it takes."""
    found = {}
    for kind in kinds:
        began = time.monotonic()
        told = _whole(world, kind, work / "whole" / kind)
        if told is None:
            answer = _answer(work / "whole" / kind)
            raise RuntimeError(f"{kind}: {answer.read_text() if answer.exists() else 'no end'}")
        found[kind] = (told, time.monotonic() - began)
    return found


def _kinds(count: int) -> list[str]:
    """As many kinds as there are cases; a few of them from both ends, so that both inputs occur."""
    mixed = [kind for pair in zip(_KINDS[:5], _KINDS[7:] + _KINDS[5:7]) for kind in pair]
    return mixed[: max(2, min(count, len(mixed)))]


# --- checks --------------------------------------------------------------------------------------


def _killed(world: World, count: int, work: Path) -> Outcome:
    rng, bad, done, chain = np.random.default_rng(23), [], dict.fromkeys(_KINDS, 0), 0
    kinds = _kinds(count)
    whole = _references(world, kinds, work)
    while sum(done.values()) < count:
        kind, folder = kinds[chain % len(kinds)], work / f"run{chain}"
        meant, took = whole[kind]
        chain += 1
        for _ in range(4):
            child = _started(world, kind, folder)
            time.sleep(float(rng.uniform(0, 0.8 * took)))
            os.kill(child, signal.SIGKILL)  # not waited for yet, so the number is still its own
            done[kind] += _wait(child) == -signal.SIGKILL
        if _whole(world, kind, folder) != meant:
            bad.append(f"{kind}, run {chain}: it ended otherwise")
        if len(list((folder / "state").iterdir())) != 2:
            bad.append(f"{kind}, run {chain}: files were left behind")
        shutil.rmtree(folder)
    total = sum(done.values())
    shares = ", ".join(f"{name} {n}" for name, n in done.items() if n)
    told = f"{total} kills ({shares}), {chain - len(bad)} of {chain} ended alike"
    return Outcome(total, tuple(bad[:100]), told)


def _signalled(world: World, count: int, work: Path) -> Outcome:
    rng, bad, slowest, came = np.random.default_rng(24), [], 0.0, 0
    kinds = _kinds(count)
    whole = _references(world, kinds, work)
    for i in range(count):
        kind, folder = kinds[i % len(kinds)], work / f"run{i}"
        number, meant = (signal.SIGINT, signal.SIGTERM)[i // 2 % 2], (130, 143)[i // 2 % 2]
        child = _started(world, kind, folder)
        while not (folder / "state" / "state.json").exists() and not _answer(folder).exists():
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.2 * whole[kind][1])))
        began = time.monotonic()
        os.kill(child, number)
        status = _wait(child)
        if status == meant:
            slowest = max(slowest, time.monotonic() - began)
        if status not in (0, meant, -number):  # after the training a signal has its usual effect
            bad.append(f"{kind}, {number.name}: exit status {status}")
        came += status == meant
        if _whole(world, kind, folder) != whole[kind][0]:
            bad.append(f"{kind}, {number.name}: it went on otherwise")
        shutil.rmtree(folder)
    if slowest > _HALT:
        bad.append(f"it took {slowest:.1f} s to end")
    told = (
        f"{count} signals, {came} while it trained, slowest end {slowest:.2f} s, {len(bad)} faults"
    )
    return Outcome(count, tuple(bad[:100]), told)


def _raced(world: World, count: int, work: Path) -> Outcome:
    rng, bad = np.random.default_rng(25), []
    kinds = _kinds(count)
    whole = _references(world, kinds, work)
    for i in range(count):
        kind, folder = kinds[i % len(kinds)], work / f"run{i}"
        meant, took = whole[kind]
        first = _started(world, kind, folder)
        while not (folder / "state" / "state.json").exists():
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.2 * took)))
        os.kill(first, signal.SIGSTOP)
        if not _answer(folder).exists():
            second = _started(world, kind, folder)
            _wait(second)
            said = json.loads(_answer(folder).read_text("utf-8")).get("error", "it was let in")
            if not re.search(rf"process {first}\b", said):
                bad.append(f"{kind}: the second one: {said}")
            _answer(folder).unlink()
        os.kill(first, signal.SIGCONT if i % 2 else signal.SIGKILL)
        _wait(first)
        if _whole(world, kind, folder) != meant:  # finished already, or taken over
            bad.append(f"{kind}: it ended otherwise")
        shutil.rmtree(folder)
    return Outcome(count, tuple(bad[:100]), f"{count - len(bad)} of {count} refused and taken over")


def _resumed(world: World, count: int, work: Path) -> Outcome:
    """Texts that are drawn with their step, so that another order or another key shows."""
    from headstart.hashing import hash_parts
    from headstart.train import order
    from headstart.train.settings import Settings
    from train_for_tests import Memory, data, run

    class Seen(Memory):
        def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Any:
            if train and step == stop:
                raise KeyboardInterrupt
            made = Memory.batch(self, rows, epoch, step, train=train)
            if train:
                seen.append(
                    (epoch, step, hash_parts([rows.tobytes(), made[0][0].numpy().tobytes()]))
                )
            return made

    rng, bad, settings = np.random.default_rng(26), [], Settings(epochs=5, batch=7, lr=0.01)
    source = Seen(*data(), noise=0.1)
    seen: list[tuple[int, int, str]] = []
    stop = -1
    run(settings, source=source)
    whole, steps = list(seen), len(seen)
    for i in range(count):
        stop = int(rng.integers(1, steps))
        seen.clear()
        try:
            run(settings, source=source, folder=work / f"run{i}")
            bad.append(f"it did not stop before step {stop}")
        except KeyboardInterrupt:
            stop = -1
        run(settings, source=source, folder=work / f"run{i}")
        if seen != whole:
            bad.append(f"run {i}: {len(seen)} batches, not the {steps} that there were")
        shutil.rmtree(work / f"run{i}")
    rows, began = np.arange(100_000), time.perf_counter()
    far = order.batches(rows, 10, 3, None, None, 10)[0]  # the batch of step 100,000
    took = time.perf_counter() - began
    if took > 1 or len(far) != 10:
        bad.append(f"step 100,000 is found in {took:.2f} s")
    told = f"{count - len(bad)} of {count} got the same batches, step 100,000 in {took:.2f} s"
    return Outcome(count, tuple(bad[:100]), told)


def _world() -> World:
    """Load all that a training needs, but for the backward pass, which bears no fork."""
    import torch

    from headstart.train import checkpoint

    importable()
    torch.set_num_threads(1)
    one = torch.nn.Parameter(torch.zeros(1))
    one.grad = torch.zeros(1)
    torch.optim.AdamW([one]).step()
    _methods()
    checkpoint.EVERY, checkpoint.SHARE = 0.0, 0  # a state after every step
    return World({"image": _pictures(), "text": _texts()})


def main() -> None:
    """Run one check; see the module's docstring."""
    name, count, work = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    (work / "whole").mkdir(parents=True, exist_ok=True)
    check = {"killed": _killed, "resumed": _resumed, "signalled": _signalled, "raced": _raced}[name]
    outcome = check(_world(), count, work)
    sys.stdout.write("\n" + json.dumps(dataclasses.asdict(outcome)) + "\n")


if __name__ == "__main__":
    main()
