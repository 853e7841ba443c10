"""How many steps a time allows."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from headstart.train import plan as plans  # noqa: E402
from headstart.train.losses import CrossEntropy  # noqa: E402
from headstart.train.optim import plain_groups  # noqa: E402
from headstart.train.order import steps_per_epoch  # noqa: E402
from headstart.train.plan import Plan, late, plan, steps_within  # noqa: E402
from headstart.train.settings import Job, Settings  # noqa: E402
from headstart.train.weights import Weights  # noqa: E402
from train_for_tests import Memory, accuracy, data, network  # noqa: E402

pytestmark = pytest.mark.train


@given(
    st.integers(1, 50),
    st.integers(1, 500),
    st.floats(1e-4, 5),
    st.floats(0, 20),
    st.floats(0, 5000),
)
def test_what_is_planned_fits_and_little_more_would(
    per_epoch: int, epochs: int, step: float, held: float, left: float
) -> None:
    made = Plan(per_epoch * epochs, per_epoch, 1, step_seconds=step, held_seconds=held)
    steps = steps_within(made, left)
    assert 0 <= steps <= made.steps
    if steps:
        assert steps >= per_epoch
        assert held + steps * step + steps_per_epoch(steps, per_epoch) * held <= left * (1 + 1e-9)
    if steps < made.steps:
        spare = left - held - steps * step - steps_per_epoch(steps, per_epoch) * held
        assert spare <= max(step + held, per_epoch * step + held if not steps else 0) + 1e-6


def test_the_last_epoch_may_be_shorter() -> None:
    made = Plan(23, 10, 1)
    assert [made.steps_in(epoch) for epoch in range(3)] == [10, 10, 3]


def test_late_is_when_another_step_would_end_after_the_budget() -> None:
    made = Plan(100, 10, 1, step_seconds=1.0, held_seconds=2.0)
    assert not late(made, 0.0, 1e9)
    assert not late(made, 100.0, 98.0)
    assert late(made, 100.0, 99.5)


def job(settings: Settings) -> Job:
    module, (x, codes) = network(norm=True, dropout=0.5), data()
    learn, held = torch.arange(90).numpy(), torch.arange(90, 120).numpy()
    groups = plain_groups(module)
    return Job(
        module, Memory(x, codes), learn, held, None, groups, CrossEntropy(), accuracy, settings
    )


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_measuring_puts_the_module_back_exactly(optimiser: str) -> None:
    made = job(Settings(budget=60, optimiser=optimiser, ema=0.9, epochs=3, precision="auto"))
    weights = Weights(made)
    before, numbers = weights.snapshot(), torch.get_rng_state()
    planned = plan(made, weights, lambda: 0.0, 0.0)
    after = weights.snapshot()
    assert planned.steps == 9
    assert planned.step_seconds > 0
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in made.module.parameters())
    assert torch.equal(numbers, torch.get_rng_state())


def test_without_a_budget_nothing_is_measured() -> None:
    made = job(Settings(epochs=3))
    planned = plan(made, Weights(made), lambda: 0.0, 0.0)
    assert planned == Plan(9, 3, 1)


def test_it_compiles_on_a_processor_only_with_a_compiler_and_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiling = plans._compiling
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert compiling(Settings(budget=1801), "cpu")
    assert not compiling(Settings(budget=1799), "cpu")
    assert not compiling(Settings(), "cpu")
    assert not compiling(Settings(budget=1801, compile="off"), "cpu")
    assert compiling(replace(Settings(), compile="on"), "cpu")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not compiling(Settings(budget=1801), "cpu")
