"""The loop against plain hand-written ones, and what it does when something goes wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from headstart.errors import ConfigError  # noqa: E402
from headstart.train import checkpoint, loop, passes, plan  # noqa: E402
from headstart.train.optim import average_decay, plain_groups  # noqa: E402
from headstart.train.order import plain_order  # noqa: E402
from headstart.train.settings import Group, Settings  # noqa: E402
from headstart.types import Epoch  # noqa: E402
from train_for_tests import (  # noqa: E402
    CLASSES,
    HELD,
    ROWS,
    WIDTH,
    Memory,
    accuracy,
    bits,
    data,
    network,
    run,
)

pytestmark = pytest.mark.train

X, CODES = data()
HELD_ROWS = np.arange(ROWS, ROWS + HELD)


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def close(one: nn.Module, other: nn.Module, tolerance: float = 1e-6) -> None:
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=tolerance, rtol=0)


class Plain:
    """Training as one would write it by hand: torch's optimiser, scheduler and nothing else."""

    def __init__(self, settings: Settings, module: nn.Module) -> None:
        self.settings, self.module, self.losses, self.learnt = settings, module, [], []
        self.average = {n: p.detach().clone() for n, p in module.named_parameters()}
        wide = [p for p in module.parameters() if p.ndim > 1]
        flat = [p for p in module.parameters() if p.ndim == 1]
        parts = [{"params": wide}, {"params": flat, "weight_decay": 0.0}]
        more: dict[str, Any] = {
            "lr": settings.lr,
            "weight_decay": settings.weight_decay,
            "fused": True,
        }
        kind: Any = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        if settings.optimiser == "sgd":
            more["momentum"] = settings.momentum
        self.optimiser = kind[settings.optimiser](parts, **more)

    def train(self, epochs: int) -> None:
        steps, done = -(-ROWS // self.settings.batch) * epochs, 0
        for epoch in range(epochs):
            rows = plain_order(ROWS, epoch, self.settings.seed)
            self.learnt.append(0.0)
            for batch in np.array_split(rows, -(-ROWS // self.settings.batch)):
                for part in self.optimiser.param_groups:
                    part["lr"] = self.settings.lr * 0.5 * (1 + math.cos(math.pi * done / steps))
                logits = self.module(torch.from_numpy(X[batch]))
                loss = functional.cross_entropy(logits, torch.from_numpy(CODES[batch]))
                self.learnt[-1] += loss.item() * len(batch) / ROWS
                self.optimiser.zero_grad()
                loss.backward()
                if self.settings.clip:
                    nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip)
                self.optimiser.step()
                for name, parameter in self.module.named_parameters():
                    decay = average_decay(self.settings.ema, done)
                    moved = decay * self.average[name] + (1 - decay) * parameter.detach()
                    self.average[name] = moved
                done += 1
            self.module.eval()
            with torch.no_grad():
                logits = self.module(torch.from_numpy(X[ROWS:]))
            self.losses.append(
                functional.cross_entropy(logits, torch.from_numpy(CODES[ROWS:])).item()
            )
            self.module.train()


SETTINGS = Settings(epochs=4, lr=0.03, batch=20, warm_up=0.0, weight_decay=0.1)


@pytest.mark.parametrize("clip", [0.0, 0.5])
@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw"])
def test_it_ends_with_the_bits_of_a_plain_loop(optimiser: str, clip: float) -> None:
    settings = replace(SETTINGS, optimiser=optimiser, clip=clip)
    plain = Plain(settings, network(norm=True))
    plain.train(4)
    no_held = np.zeros(0, np.int64)  # so that the last epoch is kept
    module, trained = run(settings, module=network(norm=True), held=no_held)
    assert same(module, plain.module)
    assert [e.train_loss for e in trained.history] == pytest.approx(plain.learnt)
    assert trained.best == 3
    assert trained.held_out.shape == (0, CLASSES)
    assert [epoch.held_loss for epoch in trained.history] == [None] * 4


def test_the_best_epoch_by_held_out_loss_is_kept() -> None:
    settings = replace(SETTINGS, epochs=40, lr=0.1, batch=10)
    plain = Plain(settings, network())
    plain.train(40)
    best = int(np.argmin(plain.losses))
    assert best < 39
    told: list[Epoch] = []
    module, trained = run(settings, progress=lambda epoch, of: told.append(epoch))
    assert trained.best == best
    assert [e.held_loss for e in trained.history] == pytest.approx(plain.losses, abs=1e-6)
    lowest = np.minimum.accumulate([math.inf, *plain.losses])[:-1]
    assert [e.best for e in told] == list(np.array(plain.losses) < lowest)
    with torch.no_grad():
        logits = module(torch.from_numpy(X[ROWS:])).numpy()
    np.testing.assert_allclose(logits, trained.held_out, atol=1e-6)
    assert trained.history[best].score == accuracy(logits, CODES[ROWS:])
    assert not module.training
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


def test_where_the_last_epoch_is_kept_the_held_out_rows_choose_nothing() -> None:
    settings = replace(SETTINGS, epochs=40, lr=0.1, batch=10, patience=2, select="last")
    plain = Plain(settings, network())
    plain.train(40)
    assert int(np.argmin(plain.losses)) < 30  # the best epoch is another, and patience would end it
    module, trained = run(settings)
    assert (trained.best, trained.stopped, len(trained.history)) == (39, "done", 40)
    assert same(module, plain.module)
    assert [e.held_loss for e in trained.history] == pytest.approx(plain.losses, abs=1e-6)
    scores = [e.score for e in trained.history]
    marked = [i for i, e in enumerate(trained.history) if e.best]
    assert marked == [i for i, score in enumerate(scores) if score > max([0.0, *scores[:i]])]
    assert 0 < len(marked) < 39
    with torch.no_grad():
        logits = module(torch.from_numpy(X[ROWS:])).numpy()
    np.testing.assert_allclose(logits, trained.held_out, atol=1e-6)


def test_an_average_is_what_a_plain_loop_averages() -> None:
    settings = replace(SETTINGS, ema=0.7)
    plain = Plain(settings, network())
    plain.train(4)
    module, _ = run(settings, held=np.zeros(0, np.int64))
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.detach(), plain.average[name], atol=1e-6, rtol=0)
        assert not torch.equal(parameter, plain.module.get_parameter(name))


@pytest.mark.parametrize("pieces", [2, 3, 20, 64])
def test_pieces_give_what_the_whole_batch_gives(pieces: int) -> None:
    whole, trained = run(replace(SETTINGS, optimiser="sgd"))
    cut, again = run(replace(SETTINGS, optimiser="sgd", accumulate=pieces))
    close(whole, cut, 1e-5)
    np.testing.assert_allclose(trained.held_out, again.held_out, atol=1e-4)


def test_long_texts_pass_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = np.arange(ROWS) % 3
    settings = replace(SETTINGS, optimiser="sgd")
    whole, trained = run(settings, lengths=lengths)
    monkeypatch.setattr(passes, "_TOKENS", 3 * X.shape[1])
    sizes: list[int] = []
    module = network()
    module.register_forward_pre_hook(
        lambda module, given: sizes.append(len(given[0])) if module.training else None
    )
    cut, again = run(settings, module=module, lengths=lengths)
    assert max(sizes) == 3
    close(whole, cut, 1e-5)
    np.testing.assert_allclose(trained.held_out, again.held_out, atol=1e-4)
    sizes.clear()
    run(settings, module=module)
    assert 3 < max(sizes) <= settings.batch, "pictures have no length"


def test_soft_targets_and_noise_do_not_depend_on_pieces() -> None:
    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(logits, targets)

    source = Memory(X, np.eye(CLASSES, dtype=np.float32)[CODES], noise=0.5)
    ends = [
        run(replace(SETTINGS, optimiser="sgd", accumulate=pieces), source=source, loss=loss,
            score=lambda logits, targets: 0.0)[0]
        for pieces in (1, 4)
    ]  # fmt: skip
    close(*ends, 1e-5)


def test_dropout_is_the_same_in_every_run_and_the_callers_numbers_go_on() -> None:
    one, two, three = (network(dropout=0.5) for _ in range(3))
    before = torch.get_rng_state()
    first = run(SETTINGS, module=one)
    again = run(SETTINGS, module=two)
    assert bits(*first) == bits(*again)
    assert bits(*first) != bits(*run(replace(SETTINGS, seed=1), module=three))
    assert torch.equal(torch.get_rng_state(), before)


def test_it_stops_early_after_some_epochs_without_a_better_loss() -> None:
    settings = replace(SETTINGS, epochs=200, lr=0.1, batch=10, schedule="constant", patience=3)
    _, trained = run(settings)
    losses = [epoch.held_loss for epoch in trained.history]
    assert trained.stopped == "early"
    assert len(losses) == trained.best + 4
    assert min(losses) == losses[trained.best]  # type: ignore[type-var]


# --- groups --------------------------------------------------------------------------------------


def test_what_is_in_no_group_stays_and_gets_its_flag_back() -> None:
    module, start = network(), network()
    module[0].bias.requires_grad_(False)
    run(SETTINGS, module=module, groups=plain_groups(module, "3."))
    assert torch.equal(module[0].weight, start[0].weight)
    assert not torch.equal(module[3].weight, start[3].weight)
    assert [p.requires_grad for p in module.parameters()] == [True, False, True, True]


def test_groups_become_free_at_their_epoch(tmp_path: Path) -> None:
    class Watched(Memory):
        def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Any:
            if train:
                moved.append((epoch, not torch.equal(module[0].weight, start[0].weight)))
            return Memory.batch(self, rows, epoch, step, train=train)

    module, start, moved = network(), network(), []
    groups = (
        Group(("3.weight", "3.bias")),
        Group(("0.weight", "0.bias"), factor=0.1, free_from=2),
    )
    run(SETTINGS, module=module, groups=groups, source=Watched(X, CODES))
    assert moved == [(e, e > 2 or (e == 2 and s > 0)) for e in range(4) for s in range(5)]


def test_before_any_group_is_free_nothing_changes() -> None:
    groups = (Group(("3.weight",), free_from=4),)
    module, trained = run(SETTINGS, groups=groups)
    assert same(module, network())
    assert trained.stopped == "done"


def test_a_group_has_its_own_rate_and_decay() -> None:
    module = network()
    groups = (Group(("0.weight",), factor=0.25), Group(("3.weight",), decay=False))
    run(replace(SETTINGS, epochs=1, batch=ROWS, optimiser="sgd"), module=module, groups=groups)
    start = network()
    functional.cross_entropy(
        start(torch.from_numpy(X[:ROWS])), torch.from_numpy(CODES[:ROWS])
    ).backward()
    for index, factor, decay in ((0, 0.25, 0.1), (3, 1.0, 0.0)):
        old = start[index].weight
        assert old.grad is not None
        wanted = old - SETTINGS.lr * factor * (old.grad + decay * old)
        torch.testing.assert_close(module[index].weight, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"groups": ()}, "nothing can change"),
        ({"groups": (Group(("4.weight",)),)}, "has no parameter 4.weight"),
        ({"groups": (Group(("0.bias",)), Group(("0.bias",)))}, "two groups"),
        ({"learn": np.zeros(0, np.int64)}, "no row to learn"),
        ({"settings": Settings(balanced=True)}, "needs classes"),
    ],
)
def test_what_cannot_be_trained_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(**{"settings": SETTINGS} | more)


def test_balanced_drawing_gives_rare_classes_their_share() -> None:
    class Counted(Memory):
        def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Any:
            seen.extend(CODES[rows] if train else [])
            return Memory.batch(self, rows, epoch, step, train=train)

    rare = np.flatnonzero(CODES[:ROWS] == 0)[:3]
    learn = np.concatenate([rare, np.flatnonzero(CODES[:ROWS] > 0)])
    seen: list[int] = []
    settings = replace(SETTINGS, balanced=True)
    run(settings, source=Counted(X, CODES), learn=learn, classes=CODES[learn])
    counts = np.bincount(seen)
    assert counts.max() - counts.min() <= 4  # one an epoch


# --- what goes wrong -----------------------------------------------------------------------------


class Spoilt(Memory):
    """Rows whose inputs are no numbers in some steps, as often as asked."""

    def __init__(self, steps: set[int], times: int) -> None:
        super().__init__(X, CODES)
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "left", [times])

    def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Any:
        (x,), targets = super().batch(rows, epoch, step, train=train)
        if train and step in self.steps and self.left[0]:  # type: ignore[attr-defined]
            self.left[0] -= 1  # type: ignore[attr-defined]
            x = x * math.nan
        return (x,), targets


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, ema=0.5, optimiser="sgd")])
def test_a_loss_that_is_no_number_sends_it_back_with_a_tenth_of_the_rate(
    settings: Settings,
) -> None:
    module, trained = run(settings, module=network(norm=True), source=Spoilt({12}, 1))
    assert len(trained.notes) == 1
    assert "In epoch 3, at step 13, " in trained.notes[0]
    assert trained.stopped == "done"
    assert trained.steps == 20
    clean = run(settings, module=network(norm=True))[1]
    rates = [e.lr / c.lr for e, c in zip(trained.history, clean.history)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1])
    assert [e.held_loss for e in trained.history[:2]] == [e.held_loss for e in clean.history[:2]]
    assert all(torch.isfinite(value).all() for value in module.state_dict().values())


def test_after_three_times_it_is_given_up_with_the_best_weights() -> None:
    module, trained = run(SETTINGS, source=Spoilt({12}, 99))
    assert trained.stopped == "diverged"
    assert len(trained.history) == 2
    assert len(trained.notes) == 3
    losses = [epoch.held_loss for epoch in trained.history]
    logits = module(torch.from_numpy(X[ROWS:]))
    loss = functional.cross_entropy(logits, torch.from_numpy(CODES[ROWS:])).item()
    assert loss == pytest.approx(min(losses), abs=1e-6)  # type: ignore[type-var]


def test_given_up_in_the_first_epoch_it_is_as_it_was() -> None:
    module, trained = run(SETTINGS, module=network(norm=True), source=Spoilt({1}, 99))
    assert trained.stopped == "diverged"
    assert trained.best == -1
    assert same(module, network(norm=True))
    assert trained.held_out.shape == (HELD, CLASSES)


def test_a_held_out_loss_far_above_the_first_sends_it_back() -> None:
    wild = replace(
        SETTINGS, optimiser="sgd", lr=100.0, momentum=0.0, weight_decay=0.0, schedule="constant"
    )
    module, trained = run(wild, groups=(Group(("3.weight", "3.bias"), factor=3.0),))
    assert trained.notes[0].startswith("In epoch 1, at step 5, the held-out loss rose from")
    assert trained.history[0].lr == pytest.approx(100 / 10 ** len(trained.notes))
    assert all(e.held_loss is not None and e.held_loss < 40 for e in trained.history)


class Narrow(nn.Module):
    """Has memory for a few rows only."""

    def __init__(self, most: int, said: type[Exception] = RuntimeError) -> None:
        super().__init__()
        self.inner, self.most, self.said = network(norm=True), most, said

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.inner(x)  # before the failure, so that the norm has already counted
        if len(x) > self.most:
            raise self.said("CUDA out of memory. Tried to allocate 2.00 GiB")
        return made


@pytest.mark.parametrize("said", [RuntimeError, MemoryError, torch.OutOfMemoryError])
def test_without_memory_the_batch_passes_in_pieces(said: type[Exception]) -> None:
    settings = replace(SETTINGS, optimiser="sgd", batch=18)
    narrow, trained = run(settings, module=Narrow(5, said))
    assert len(trained.notes) == 1
    assert "4 pieces" in trained.notes[0]
    asked, _ = run(replace(settings, accumulate=4), module=Narrow(99))
    assert same(narrow, asked)


def test_if_one_row_does_not_fit_the_error_is_raised() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        run(SETTINGS, module=Narrow(0))


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    class Broken(Narrow):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        run(SETTINGS, module=Broken(1))


def test_a_class_may_be_missing_among_the_held_out_rows() -> None:
    held = HELD_ROWS[CODES[HELD_ROWS] != 1]
    _, trained = run(SETTINGS, held=held, score=lambda logits, codes: math.nan)
    assert trained.held_out.shape == (len(held), CLASSES)
    assert [epoch.score for epoch in trained.history] == [None] * 4


# --- time and the machine ------------------------------------------------------------------------


class Clock:
    """A clock that only modules move, so that no other program's work is measured."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (checkpoint, loop, plan):
        monkeypatch.setattr(module, "time", made)
    return made


class Slow(nn.Module):
    """Takes a known time for a pass."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        super().__init__()
        self.inner, self.seconds, self.slower = network(norm=True), seconds, 1.0
        self.clock = clock

    def forward(self, x: Tensor) -> Tensor:
        self.clock.now += self.seconds * self.slower
        made: Tensor = self.inner(x)
        return made


BUDGET = Settings(epochs=100_000, batch=30, warm_up=0.0, budget=3.0, lr=0.01)


@pytest.mark.parametrize("seconds", [0.003, 0.02])
def test_a_budget_is_kept_and_used(seconds: float, tmp_path: Path, clock: Clock) -> None:
    planned: set[int] = set()
    _, trained = run(
        BUDGET,
        module=Slow(seconds, clock),
        folder=tmp_path,
        progress=lambda epoch, of: planned.add(of),
    )
    assert planned == {len(trained.history)}
    assert 2.7 < clock.now < 3.3
    assert trained.seconds == pytest.approx(clock.now, abs=0.1)
    assert trained.stopped == "done"
    # the schedule was laid over the steps that were planned
    wanted = 0.01 * 0.5 * (1 + math.cos(math.pi * (trained.steps - 1) / trained.steps))
    assert trained.history[-1].lr == pytest.approx(wanted)


def test_a_training_that_becomes_slower_stops_in_time(clock: Clock) -> None:
    module = Slow(0.01, clock)

    def slow_down(epoch: Epoch, of: int) -> None:
        module.slower = 4.0

    _, trained = run(BUDGET, module=module, progress=slow_down)
    assert 2.5 < clock.now < 3.3
    assert trained.stopped == "budget"
    assert trained.history


def test_a_budget_for_less_than_an_epoch_changes_nothing(clock: Clock) -> None:
    module, trained = run(replace(BUDGET, budget=0.6), module=Slow(0.15, clock))
    assert clock.now < 1.2
    assert trained.stopped == "budget"
    assert (trained.steps, trained.best, trained.history) == (0, -1, ())
    assert same(module, Slow(0, clock))


def test_planning_leaves_no_trace() -> None:
    """With time for all epochs, a budget does not change the result."""
    settings = replace(SETTINGS, epochs=2, ema=0.9)
    module = network(dropout=0.3, norm=True)
    other = network(dropout=0.3, norm=True)
    free, timed = run(settings, module=module), run(replace(settings, budget=60), module=other)
    assert bits(*free) == bits(*timed)


def test_bfloat16_is_taken_where_it_is_faster_and_kept_in_the_plan(
    tmp_path: Path, clock: Clock
) -> None:
    import json

    class Quick(Slow):
        def forward(self, x: Tensor) -> Tensor:
            short = torch.is_autocast_enabled("cpu")
            used.append(short)
            self.clock.now += 0.0 if short is fast else 0.05
            made: Tensor = self.inner(x)
            return made

    for fast in (True, False):
        used: list[bool] = []
        folder = tmp_path / str(fast)
        run(replace(SETTINGS, precision="auto", epochs=1), module=Quick(0, clock), folder=folder)
        assert used[-1] is fast
        plan = json.loads((folder / "state" / "state.json").read_text("utf-8"))["state"]["plan"]
        assert plan["bfloat16"] is fast


def test_bfloat16_comes_close_to_float32() -> None:
    _, exact = run(SETTINGS)
    _, short = run(replace(SETTINGS, precision="bfloat16"))
    assert short.held_out.dtype == np.float32
    assert 0 < np.abs(exact.held_out - short.held_out).max() < 0.3


@pytest.mark.parametrize("settings", ["on", "auto"])
def test_a_module_that_cannot_be_compiled_is_run_as_it_is(
    settings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(module: nn.Module, **how: Any) -> Any:
        def forward(*inputs: Tensor) -> Tensor:
            raise RuntimeError("backend failed")

        return forward

    monkeypatch.setattr(torch, "compile", broken)
    chosen = replace(SETTINGS, compile=settings)
    module, trained = run(chosen)
    plain, _ = run(replace(SETTINGS, compile="off"))
    assert same(module, plain)
    assert ["torch.compile" in note for note in trained.notes] == [True] * (settings == "on")


def test_a_compiled_module_is_used_where_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def compiled(module: nn.Module, *, dynamic: bool) -> Any:
        def forward(*inputs: Tensor) -> Any:
            calls.append(len(inputs[0]))
            return module(*inputs)

        return forward

    monkeypatch.setattr(torch, "compile", compiled)
    module, _ = run(replace(SETTINGS, compile="on"))
    assert len(calls) > 20
    assert same(module, run(replace(SETTINGS, compile="off"))[0])


def test_channels_last_gives_the_same_picture_network() -> None:
    def convolution() -> nn.Module:
        made = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(8, CLASSES),
        )  # fmt: skip
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in made.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
        return made

    x = np.random.default_rng(0).normal(0, 1, (ROWS + HELD, 3, 8, 8)).astype(np.float32)
    ends = []
    for last in (False, True):
        settings = replace(SETTINGS, optimiser="sgd", channels_last=last)
        ends.append(run(settings, module=convolution(), source=Memory(x, CODES))[0])
    assert ends[1][0].weight.is_contiguous(memory_format=torch.channels_last)
    close(ends[0], ends[1], 1e-4)


def test_one_row_is_enough() -> None:
    _, trained = run(replace(SETTINGS, epochs=2), learn=np.array([3]), held=np.array([4]))
    assert trained.steps == 2
    assert trained.held_out.shape == (1, CLASSES)
    assert X.shape[1] == WIDTH
