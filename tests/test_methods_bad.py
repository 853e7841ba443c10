"""What goes wrong in a training, seen from a method: it ends with a sound candidate and says what happened."""

from __future__ import annotations

import errno
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from headstart.errors import ConfigError  # noqa: E402
from headstart.methods import finetune, lora  # noqa: E402
from headstart.train import checkpoint, losses, plan  # noqa: E402
from headstart.train.lock import only_one  # noqa: E402
from test_methods_finetune import CONFIG, answers, material, world  # noqa: E402, F401  fixtures
from test_train_trainable import picture  # noqa: E402, F401  a fixture

pytestmark = pytest.mark.train

SHORT = replace(CONFIG, epochs=3)


def start(material) -> np.ndarray:  # noqa: F811
    features = answers(material.backbone, material.inputs)[material.held]
    return features @ material.head.weight + material.head.bias


def sound(found) -> None:
    assert np.isfinite(found.held_out).all()
    assert np.isfinite(found.head.weight).all()
    assert all(sentence.endswith(".") for sentence in found.notes)


@pytest.mark.parametrize("method", [finetune, lora])
def test_a_rate_far_too_high_goes_back_and_says_so(material, method):  # noqa: F811
    said: list[str] = []
    config = replace(SHORT, lr=10.0, head_factor=1000.0)
    if method is lora:
        config = lora.Config(lr=10.0, alpha=10_000.0, epochs=3, augment="none")
    found = method.fit(material, config, say=said.append)
    sound(found)
    assert found.notes[0].startswith("In epoch 1, at step ")
    assert "a tenth of the learning rate" in found.notes[0]
    assert set(found.notes) <= set(said)
    losses_seen = [epoch.held_loss for epoch in found.history]
    assert all(loss is not None and math.isfinite(loss) for loss in losses_seen)


class NoNumber(losses.CrossEntropy):
    """A loss that is no number from some call on, so many times."""

    calls: list[int]
    first, times = 4, 1

    def __call__(self, logits, targets):
        made = super().__call__(logits, targets)
        if not torch.is_grad_enabled():
            return made
        self.calls.append(1)
        return made * (math.nan if 0 <= len(self.calls) - self.first < self.times else 1)


def test_a_loss_that_is_no_number_costs_a_part_of_an_epoch(material, monkeypatch):  # noqa: F811
    monkeypatch.setattr(NoNumber, "calls", [], raising=False)
    monkeypatch.setattr(losses, "CrossEntropy", NoNumber)
    found = finetune.fit(material, SHORT)
    sound(found)
    assert found.notes == (
        "In epoch 1, at step 4, the loss or a gradient was not a finite number. The training went back to "
        "the start of the epoch, with a tenth of the learning rate.",
    )
    assert len(found.history) == 3


def test_a_loss_that_never_is_a_number_leaves_the_probe(material, monkeypatch):  # noqa: F811
    monkeypatch.setattr(NoNumber, "calls", [], raising=False)
    monkeypatch.setattr(NoNumber, "first", 1)
    monkeypatch.setattr(NoNumber, "times", 10**9)
    monkeypatch.setattr(losses, "CrossEntropy", NoNumber)
    found = finetune.fit(material, SHORT)
    sound(found)
    assert found.chosen["stopped"] == "diverged"
    assert found.notes[-1].endswith("given up; the weights are as they were before.")
    np.testing.assert_allclose(found.held_out, start(material), atol=5e-3, rtol=5e-3)


def test_a_class_missing_among_the_held_out_rows_leaves_the_score_a_number(material):  # noqa: F811
    held = material.held[material.codes[material.held] != 1]
    found = finetune.fit(replace(material, held=held), SHORT)
    sound(found)
    assert len(found.held_out) == len(held)
    scores = [epoch.score for epoch in found.history]
    assert all(score is not None and 0 <= score <= 1 for score in scores)


def test_a_budget_too_small_for_an_epoch_is_told(material, monkeypatch):  # noqa: F811
    monkeypatch.setattr(plan, "_step_seconds", lambda job, weights, made: (1e4, 1))
    found = finetune.fit(replace(material, budget=60.0), SHORT)
    sound(found)
    assert found.chosen["stopped"] == "budget"
    assert not found.history
    assert found.notes[-1].startswith(
        "Not even one epoch fits the time: it takes about 4e+04 s, and "
    )
    assert found.notes[-1].endswith(" s are left. The weights stay as they were.")
    np.testing.assert_allclose(found.held_out, start(material), atol=5e-3, rtol=5e-3)


def damage(state: Path) -> None:
    state.write_bytes(state.read_bytes()[:-9])


def other_version(state: Path) -> None:
    state.write_text(state.read_text("utf-8").replace('"version": 1', '"version": 99'), "utf-8")


@pytest.mark.parametrize(
    ("spoil", "why"), [(damage, "it is damaged"), (other_version, "it is of another version")]
)
def test_a_state_that_is_no_use_is_put_aside(material, tmp_path, spoil, why):  # noqa: F811
    kept = replace(material, folder=tmp_path / "run")
    meant = finetune.fit(kept, SHORT)
    spoil(tmp_path / "run" / "state" / "state.json")
    found = finetune.fit(kept, SHORT)
    assert found.notes == (
        f"The training began anew: there is an earlier state of it, but {why}. It was moved to state-aside.",
    )
    assert found.held_out.tobytes() == meant.held_out.tobytes()


def test_a_full_disk_is_told_once_and_the_training_goes_on(material, tmp_path, monkeypatch):  # noqa: F811
    def full(path: Path, content: bytes | str) -> None:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} (0.1 MB needed, 0.0 MB free)")

    meant = finetune.fit(material, SHORT)
    monkeypatch.setattr(checkpoint, "atomic_write", full)
    found = finetune.fit(replace(material, folder=tmp_path / "run"), SHORT)
    assert found.notes == (
        "The state of the training cannot be kept: No space left on device (0.1 MB needed, 0.0 MB free). "
        "The training goes on; if it is cut off, what it learned since the last state is lost.",
    )
    assert found.held_out.tobytes() == meant.held_out.tobytes()


def test_the_same_training_twice_at_once_is_refused(material, tmp_path):  # noqa: F811
    with only_one(tmp_path), pytest.raises(ConfigError, match=f"process {os.getpid()}"):
        finetune.fit(replace(material, folder=tmp_path), SHORT)
