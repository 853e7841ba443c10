"""States of a training on the disk: killed anywhere it ends with the same bytes; what is unsound is not used."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from headstart.train import checkpoint  # noqa: E402
from headstart.train.between import Mixed  # noqa: E402
from headstart.train.mix import Mix  # noqa: E402
from headstart.train.settings import Settings  # noqa: E402
from headstart.types import Epoch, OnEpoch  # noqa: E402
from train_for_tests import CLASSES, ROWS, Memory, bits, data, network, run  # noqa: E402

pytestmark = pytest.mark.train

TESTS = Path(__file__).parent
KILLS = int(os.environ.get("HEADSTART_KILLS", "16"))  # a larger run: HEADSTART_KILLS=500
SETTINGS = {"epochs": 6, "lr": 0.02, "batch": 16, "ema": 0.9, "clip": 1.0, "accumulate": 2}


class Server:
    """Forks trainings that can be killed."""

    def __init__(self) -> None:
        paths = [str(TESTS.parent / "src"), str(TESTS)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(TESTS / "train_killed.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def train(
        self, folder: Path, at: list[Any] | None = None, after: float | None = None
    ) -> dict[str, Any] | None:
        """What a training ends with; None where it was killed first, by itself or after some seconds."""
        command = {"folder": str(folder), "settings": SETTINGS, "at": at, "after": after}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    made = Server()
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A training that was never killed."""
    ended = server.train(tmp_path_factory.mktemp("whole") / "run")
    assert ended is not None
    assert ended["epochs"] == list(range(6))
    return ended


def test_two_trainings_end_with_the_same_bytes(
    server: Server, whole: dict[str, Any], tmp_path: Path
) -> None:
    assert server.train(tmp_path / "run") == whole


def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    server: Server, whole: dict[str, Any], tmp_path: Path
) -> None:
    rng = np.random.default_rng(KILLS)
    began = time.monotonic()
    server.train(tmp_path / "timed")
    took = time.monotonic() - began
    killed = chain = 0
    while killed < KILLS:
        folder, chain = tmp_path / f"run{chain}", chain + 1
        ended = None
        for _ in range(4):
            ended = server.train(folder, after=rng.uniform(0, 0.6 * took))
            killed += ended is None
            if ended:
                break
        assert (ended or server.train(folder)) == whole
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["fsync", "replace", "unlink", "step"])
def test_killed_in_the_middle_of_a_save_it_ends_with_the_same_bytes(
    server: Server, whole: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    killed = 0
    for count in (1, 2, 3, 4, 5, 6, 11, 18, 29):
        killed += server.train(tmp_path / "run", at=[kind, count]) is None
    assert killed >= 4  # the training may have ended before the last
    assert server.train(tmp_path / "run") == whole
    left = [p.name for p in (tmp_path / "run" / "state").iterdir()]
    assert len(left) == 2  # the state and the best weights; nothing half written


# --- states that must not be used ----------------------------------------------------------------


class Cut(Exception):
    pass


def cut_after(epochs: int) -> OnEpoch:
    def stop(epoch: Epoch, of: int) -> None:
        if epoch.epoch == epochs - 1:
            raise Cut

    return stop


PLAIN = Settings(epochs=5, lr=0.02)


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a training that was cut off after two epochs, each of them kept."""
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 0)
    with pytest.raises(Cut):
        run(PLAIN, folder=tmp_path / "run", progress=cut_after(2))
    return tmp_path / "run"


def test_a_state_is_taken_up_where_it_was(cut: Path) -> None:
    asked: list[int] = []

    class Counted(Memory):
        def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Any:
            if train:
                asked.append(step)
            return Memory.batch(self, rows, epoch, step, train=train)

    Counted.__qualname__ = "Memory"
    again = bits(*run(PLAIN, folder=cut, source=Counted(*data())))
    assert asked == list(range(6, 15))
    assert again == bits(*run(PLAIN))
    assert not (cut / "state-aside").exists()


def damaged_state(folder: Path) -> None:
    path = folder / "state" / "state.json"
    path.write_text(path.read_text("utf-8").replace('"step": 6', '"step": 7'), "utf-8")


def cut_state(folder: Path) -> None:
    path = folder / "state" / "state.json"
    path.write_bytes(path.read_bytes()[:-40])


def damaged_tensors(folder: Path) -> None:
    path = max((folder / "state").glob("*.safetensors"), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def missing_tensors(folder: Path) -> None:
    next((folder / "state").glob("*.safetensors")).unlink()


def other_version(folder: Path) -> None:
    path = folder / "state" / "state.json"
    path.write_text(path.read_text("utf-8").replace('"version": 1', '"version": 99'), "utf-8")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (damaged_state, "damaged"),
        (cut_state, "damaged"),
        (damaged_tensors, "damaged"),
        (missing_tensors, "damaged"),
        (other_version, "another version"),
    ],
)
def test_an_unsound_state_is_set_aside(cut: Path, spoil: Callable[[Path], None], why: str) -> None:
    spoil(cut)
    module, trained = run(PLAIN, folder=cut)
    assert bits(module, trained) == bits(*run(PLAIN))
    assert [why in note for note in trained.notes] == [True]
    assert (cut / "state-aside" / "state.json").exists()
    assert len((cut / "metrics.jsonl").read_text("utf-8").splitlines()) == 5


@pytest.mark.parametrize(
    "other",
    [
        {"settings": replace(PLAIN, lr=0.03)},
        {"learn": np.arange(1, ROWS)},
        {"held": np.arange(ROWS, ROWS + 9)},
        {"module": network(1)},
        {"source": Memory(data(1)[0], data()[1])},
        {"source": Memory(*data(), noise=0.5)},  # the same rows, other batches
        {"source": Mixed(Memory(*data()), CLASSES, Mix(0.2), (1, 2))},  # type: ignore[arg-type]
        {"settings": replace(PLAIN, select="last")},
        {"loss": torch.nn.CrossEntropyLoss()},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_state_of_other_arguments_is_set_aside(cut: Path, other: dict[str, Any]) -> None:
    arguments = {"settings": PLAIN} | other
    _, trained = run(**arguments, folder=cut)
    assert ["other data" in note for note in trained.notes] == [True]
    assert trained.steps == 15


def test_a_mixed_source_within_is_told_from_others(cut: Path) -> None:
    def source(alpha: float) -> Mixed:
        return Mixed(Memory(*data()), CLASSES, Mix(alpha), (1, 2))  # type: ignore[arg-type]

    for alpha, epochs in ((0.2, 5), (0.2, 0), (0.4, 5)):
        told: list[int] = []
        run(
            PLAIN,
            folder=cut,
            source=source(alpha),
            progress=lambda *one, told=told: told.append(one[1]),
        )
        assert told == [PLAIN.epochs] * epochs


@pytest.mark.parametrize("settings", [replace(PLAIN, select="last"), replace(PLAIN, ema=0.9)])
def test_mixed_batches_go_on_with_the_same_bytes(tmp_path: Path, settings: Settings) -> None:
    memory: Any = Memory(*data(), noise=0.1)
    source = Mixed(memory, CLASSES, Mix(0.4), (1, 2), seed=3)
    with pytest.raises(Cut):
        run(settings, folder=tmp_path, progress=cut_after(2), source=source)
    again = run(settings, folder=tmp_path, source=source)
    assert not again[1].notes
    assert bits(*again) == bits(*run(settings, source=source))
    assert bits(*again) != bits(*run(settings, source=memory))


def test_another_number_of_threads_is_another_training(cut: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        _, trained = run(PLAIN, folder=cut)
    finally:
        torch.set_num_threads(threads)
    assert "other data" in trained.notes[0]


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    first = run(PLAIN, folder=tmp_path)
    told: list[Epoch] = []
    again = run(PLAIN, folder=tmp_path, progress=lambda epoch, of: told.append(epoch))
    assert not told
    assert bits(*again) == bits(*first)
    assert again[1].history == first[1].history  # with its times


def test_short_epochs_are_not_each_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    real = checkpoint.atomic_write

    def counted(path: Path, content: bytes | str) -> None:
        written.append(path)
        real(path, content)

    monkeypatch.setattr(checkpoint, "atomic_write", counted)
    monkeypatch.setattr(checkpoint, "EVERY", 60.0)
    run(PLAIN, folder=tmp_path / "run")
    states = [path for path in written if path.name == "state.json"]
    assert len(states) == 2, "the start and the end"
    lines = (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == PLAIN.epochs


def test_on_a_full_disk_it_goes_on_with_one_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes | str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(checkpoint, "atomic_write", full)
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    module, trained = run(PLAIN, folder=tmp_path / "run")
    assert bits(module, trained) == bits(*run(PLAIN))
    assert len(trained.notes) == 1
    assert "No space left" in trained.notes[0]


def test_a_disk_that_is_full_when_a_state_is_taken_up_does_not_spoil_it(
    cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes | str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(checkpoint, "atomic_write", full)
    assert bits(*run(PLAIN, folder=cut)) == bits(*run(PLAIN))


def test_ctrl_c_keeps_the_state_and_goes_on(tmp_path: Path) -> None:
    class Pressed(Memory):
        def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Any:
            if train and step == 7:
                raise KeyboardInterrupt
            return Memory.batch(self, rows, epoch, step, train=train)

    Pressed.__qualname__ = "Memory"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # test workers ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            run(PLAIN, folder=tmp_path, source=Pressed(*data()))
    finally:
        signal.signal(signal.SIGINT, before)
    state = json.loads((tmp_path / "state" / "state.json").read_text("utf-8"))["state"]
    assert state["step"] == 7
    assert bits(*run(PLAIN, folder=tmp_path)) == bits(*run(PLAIN))


@pytest.mark.skipif(os.name == "nt", reason="a process cannot send itself Ctrl-C there")
@pytest.mark.parametrize(
    ("number", "default", "raised"),
    [
        (signal.SIGINT, signal.default_int_handler, KeyboardInterrupt),
        (signal.SIGTERM, signal.SIG_DFL, SystemExit),
    ],
)
def test_a_signal_waits_for_the_end_of_a_step(
    tmp_path: Path, number: signal.Signals, default: Any, raised: type[BaseException]
) -> None:
    class Pressed(Memory):
        def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Any:
            if train and step == 7:
                os.kill(os.getpid(), number)
            return Memory.batch(self, rows, epoch, step, train=train)

    Pressed.__qualname__ = "Memory"
    before = signal.signal(number, default)  # test workers ignore Ctrl-C
    try:
        with pytest.raises(raised) as came:
            run(PLAIN, folder=tmp_path, source=Pressed(*data()))
    finally:
        signal.signal(number, before)
    assert getattr(came.value, "code", 143) == 143
    state = json.loads((tmp_path / "state" / "state.json").read_text("utf-8"))["state"]
    assert state["step"] == 8
    assert bits(*run(PLAIN, folder=tmp_path)) == bits(*run(PLAIN))


def test_metrics_hold_a_line_an_epoch(tmp_path: Path) -> None:
    _, trained = run(PLAIN, folder=tmp_path)
    lines = (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()
    assert [Epoch(**json.loads(line)) for line in lines] == list(trained.history)


def test_bfloat16_parameters_are_kept(tmp_path: Path) -> None:
    def module() -> torch.nn.Module:
        made = network()
        made[0].register_parameter(
            "shift", torch.nn.Parameter(torch.ones(16, dtype=torch.bfloat16))
        )
        made.forward = lambda x: made[3](made[1](made[0](x)) * made[0].shift)  # type: ignore[method-assign]
        return made

    def end(made: torch.nn.Module) -> list[Any]:
        return [p.detach().float().tolist() for p in made.parameters()]

    with pytest.raises(Cut):
        run(PLAIN, module=module(), folder=tmp_path, progress=cut_after(2))
    again, trained = run(PLAIN, module=module(), folder=tmp_path)
    assert not trained.notes
    assert end(again) == end(run(PLAIN, module=module())[0])
