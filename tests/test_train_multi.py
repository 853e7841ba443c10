"""Processes that train together end with what one process ends with, and go on after they were killed."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import train_together  # noqa: E402
from headstart.errors import MissingExtra  # noqa: E402
from headstart.manifest import load_tensors  # noqa: E402
from headstart.train import multi  # noqa: E402
from train_for_tests import network  # noqa: E402

pytestmark = pytest.mark.train
several = pytest.mark.skipif(
    importlib.util.find_spec("accelerate") is None,
    reason="accelerate is not installed: pip install 'headstart[train]'",
)

TESTS = Path(__file__).parent
SETTINGS = {"epochs": 4, "lr": 0.02, "batch": 24, "clip": 1.0, "ema": 0.8}  # 23 and 22 rows a step
PIECES = SETTINGS | {"accumulate": 2, "ema": 0.0}
LONG = SETTINGS | {"epochs": 10_000, "budget": 1.5}
KEPT = {"settings": SETTINGS, "folder": "whole"}


@dataclass(frozen=True)
class Ended:
    """What one process ended with."""

    weights: dict[str, np.ndarray]
    told: dict[str, Any]


def start(place: Path, asked: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Two processes that train what is asked, in turn."""
    paths = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")}
    environment |= {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--master_addr", "127.0.0.1", "--master_port", str(port)]
    return subprocess.run(
        [*command, str(TESTS / "train_together.py"), str(place), json.dumps(asked)],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def both(place: Path, name: str) -> list[Ended]:
    """What each of the two processes ended with."""
    paths = [place / f"{name} {rank}" for rank in (0, 1)]
    return [
        Ended(
            load_tensors(path.read_bytes(), name),
            json.loads(path.with_suffix(".json").read_text("utf-8")),
        )
        for path in paths
    ]


def alone(place: Path, asked: dict[str, Any]) -> Ended:
    """What one process ends with."""
    module, result = train_together.trained(place, asked)
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    told = json.loads(json.dumps(asdict(result) | {"held_out": None}))
    return Ended(weights | {"held": result.held_out}, told)


def identical(one: Ended, other: Ended) -> None:
    assert one.weights.keys() == other.weights.keys()
    for name, value in one.weights.items():
        assert value.tobytes() == other.weights[name].tobytes(), name


def close(one: Ended, other: Ended) -> None:
    assert one.weights.keys() == other.weights.keys()
    for name in one.weights:
        np.testing.assert_allclose(one.weights[name], other.weights[name], atol=1e-4, err_msg=name)
    for key in ("best", "steps", "stopped"):
        assert one.told[key] == other.told[key]
    for a, b in zip(one.told["history"], other.told["history"], strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=1e-4)
        assert (a["held_loss"] is None) == (b["held_loss"] is None)
        assert (a["held_loss"] or 0) == pytest.approx(b["held_loss"] or 0, abs=1e-4)
        assert (a["score"], a["lr"], a["best"]) == (b["score"], b["lr"], b["best"])


CASES: dict[str, dict[str, Any]] = {
    "shares of unequal size": {"settings": SETTINGS},
    "fewer rows a step than processes": {"settings": SETTINGS | {"batch": 1, "epochs": 1}},
    "fewer held-out rows than processes": {"settings": SETTINGS, "held": 1},
    "nothing held out": {"settings": SETTINGS, "held": 0},
}
OTHERS: dict[str, dict[str, Any]] = {
    "pieces": {"settings": PIECES, "dropout": 0.3, "norm": True, "held": 0, "apart": True},
    "narrow": {"settings": SETTINGS | {"ema": 0.0}, "narrow": 4},
    "budget": {"settings": LONG, "slow": 0.004},
    "kept": KEPT,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ends of all that two processes trained."""
    made = tmp_path_factory.mktemp("together")
    done = start(made, CASES | OTHERS)
    assert done.returncode == 0, done.stderr[-3000:]
    return made


@several
@pytest.mark.parametrize("case", CASES)
def test_two_processes_end_with_the_weights_of_one(place: Path, case: str) -> None:
    one, other = both(place, case)
    close(one, alone(place, CASES[case]))
    identical(one, other)
    assert one.told == other.told


@several
def test_two_processes_are_two_pieces_also_for_dropout_and_norms(place: Path) -> None:
    one, other = both(place, "pieces")
    identical(one, other)  # though they began with other weights
    meant = alone(place, OTHERS["pieces"])
    start = network(dropout=0.3, norm=True).state_dict()
    for name, value in meant.weights.items():
        if "running_" in name:  # averaged over processes, and over pieces one after the other
            assert (
                np.abs(one.weights[name] - start[name.removeprefix("inner.")].numpy()).max() > 0.1
            )
            np.testing.assert_allclose(one.weights[name], value, atol=0.5, err_msg=name)
        elif not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(one.weights[name], value, atol=2e-4, err_msg=name)


@several
def test_a_process_short_of_memory_takes_the_other_along(place: Path) -> None:
    one, other = both(place, "narrow")
    close(one, alone(place, {"settings": SETTINGS | {"ema": 0.0}}))
    identical(one, other)
    assert one.told["notes"] == other.told["notes"]
    assert one.told["notes"][0].startswith("Out of memory in epoch 1: batches pass in ")


@several
def test_a_budget_is_the_same_for_both(place: Path) -> None:
    one, other = both(place, "budget")
    assert one.told == other.told
    assert 0 < one.told["steps"] < 40_000
    assert one.told["stopped"] in ("done", "budget")
    identical(one, other)


@several
def test_killed_or_told_to_end_they_go_on_with_the_same_bytes(place: Path) -> None:
    whole = both(place, "kept")
    cut, stopped = KEPT | {"folder": "cut"}, KEPT | {"folder": "stopped"}
    assert start(place, {"cut": cut | {"cut": 2}}).returncode
    state = json.loads((place / "cut" / "state" / "state.json").read_text("utf-8"))["state"]
    assert state["step"] == 8
    # taken up, found finished, and then another that is told to end
    done = start(place, {"again": cut, "finished": cut, "stop": stopped | {"stop": 2}})
    for name in ("again", "finished"):
        for one, other in zip(whole, both(place, name)):
            identical(one, other)
            assert len(other.told["history"]) == 4
            assert not other.told["notes"]
    assert both(place, "finished")[0].told == both(place, "again")[1].told
    assert "exitcode  : 143" in done.stderr
    assert "Connection" not in done.stderr  # both had stopped at the same place
    state = json.loads((place / "stopped" / "state" / "state.json").read_text("utf-8"))["state"]
    assert state["step"] == 8
    assert start(place, {"gone on": stopped}).returncode == 0
    identical(both(place, "gone on")[1], whole[0])


# --- one process ---------------------------------------------------------------------------------


def test_every_row_is_dealt_out_once() -> None:
    for count in range(1, 6):
        for n in range(20):
            teams = [multi.Alone(rank, count) for rank in range(count)]
            dealt = [np.arange(n)[multi.share(team, n)] for team in teams]
            assert np.concatenate(dealt).tolist() == list(range(n))
            sizes = [len(rows) for rows in dealt]
            assert max(sizes) - min(sizes) <= 1


def test_alone_there_is_nothing_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert multi.team(network()) is multi.ALONE
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert multi.team(network()) is multi.ALONE


def test_without_accelerate_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtra, match=r"accelerate.* is not installed") as told:
        multi.team(network())
    assert "headstart[train]" in told.value.fix
