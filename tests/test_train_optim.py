"""Schedules, groups, averages and losses, each against torch or the formula of its paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from headstart.errors import ConfigError  # noqa: E402
from headstart.train import losses, optim  # noqa: E402
from headstart.train.settings import Settings  # noqa: E402
from train_for_tests import network  # noqa: E402

pytestmark = pytest.mark.train


def torch_rates(steps: int, make: object) -> list[float]:
    """What one of torch's schedulers does to a learning rate of 1."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    scheduler = make(optimiser)  # type: ignore[operator]
    rates = []
    for step in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if step < steps - 1:
            scheduler.step()
    return rates


@pytest.mark.parametrize("steps", [1, 2, 10, 137])
def test_cosine_is_torchs(steps: int) -> None:
    settings = Settings(schedule="cosine", warm_up=0.0)
    mine = [optim.share(settings, step, steps) for step in range(steps)]
    wanted = torch_rates(
        steps, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=steps)
    )
    np.testing.assert_allclose(mine, wanted, atol=1e-12)


@pytest.mark.parametrize(("steps", "warm_up"), [(10, 0.3), (137, 0.1), (50, 0.5), (20, 0.25)])
def test_one_cycle_is_torchs(steps: int, warm_up: float) -> None:
    settings = Settings(schedule="one-cycle", warm_up=warm_up)
    mine = [optim.share(settings, step, steps) for step in range(steps)]
    wanted = torch_rates(
        steps,
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, max_lr=1.0, total_steps=steps, pct_start=warm_up, cycle_momentum=False
        ),
    )
    np.testing.assert_allclose(mine, wanted, atol=1e-12)


def test_warm_up_rises_in_a_straight_line() -> None:
    settings = Settings(schedule="constant", warm_up=0.4)
    rates = [optim.share(settings, step, 10) for step in range(10)]
    np.testing.assert_allclose(rates, [0.2, 0.4, 0.6, 0.8, *[1.0] * 6])
    cosine = [optim.share(Settings(warm_up=0.4), step, 10) for step in range(10)]
    falling = [0.5 * (1 + math.cos(math.pi * t / 6)) for t in range(6)]
    np.testing.assert_allclose(cosine, [0.2, 0.4, 0.6, 0.8, *falling])


@given(
    st.sampled_from(["cosine", "one-cycle", "constant"]),
    st.floats(0, 0.9),
    st.integers(1, 400),
    st.data(),
)
def test_a_rate_is_a_share(schedule: str, warm_up: float, steps: int, draw: st.DataObject) -> None:
    step = draw.draw(st.integers(0, steps - 1))
    share = optim.share(Settings(schedule=schedule, warm_up=warm_up), step, steps)
    assert 0 < share <= 1 + 1e-12


def test_an_average_is_the_weighted_sum_of_all_values() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (30, 4))
    average = {"w": torch.from_numpy(values[0].copy())}
    for t in range(1, 30):
        decay = optim.average_decay(0.8, t - 1)
        optim.update_average(average, {"w": torch.from_numpy(values[t])}, decay)
    decays = [min(0.8, t / (9 + t)) for t in range(1, 30)]  # of value t, t = 1 ... 29
    weights = [np.prod(decays)]
    weights += [(1 - decays[t]) * np.prod(decays[t + 1 :]) for t in range(29)]
    assert sum(weights) == pytest.approx(1)
    np.testing.assert_allclose(average["w"].numpy(), np.array(weights) @ values, atol=1e-12)


def test_vectors_are_not_decayed() -> None:
    matrices, vectors = optim.plain_groups(network(norm=True), factor=0.5, free_from=2)
    assert matrices.names == ("0.weight", "4.weight")
    assert vectors.names == ("0.bias", "2.weight", "2.bias", "4.bias")
    assert (matrices.decay, vectors.decay) == (True, False)
    assert {(group.factor, group.free_from) for group in (matrices, vectors)} == {(0.5, 2)}
    assert [g.names for g in optim.plain_groups(network(), "4.b")] == [("3.bias",)][:0]
    assert [g.names for g in optim.plain_groups(network(), "3.b")] == [("3.bias",)]


def test_all_settings_that_are_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError) as error:
        Settings(lr=-1, optimiser="lion", ema=1.0, betas=(0.9, 1.0))
    for name in ("lr", "optimiser", "ema", "betas"):
        assert f"{name}: " in error.value.message


# --- losses --------------------------------------------------------------------------------------

RNG = np.random.default_rng(1)
LOGITS = RNG.normal(0, 3, (7, 4))
CODES = RNG.integers(0, 4, 7)
SOFT = RNG.dirichlet(np.ones(4), 7)
HOT = np.eye(4)[CODES]


def value(loss: losses.CrossEntropy | object, logits: np.ndarray, targets: np.ndarray) -> float:
    return loss(torch.from_numpy(logits), torch.from_numpy(targets)).item()  # type: ignore[operator]


def logs(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy(smoothing: float) -> None:
    loss = losses.CrossEntropy(smoothing)
    for targets, shares in ((CODES, HOT), (SOFT, SOFT)):
        wanted = shares * (1 - smoothing) + smoothing / 4
        assert value(loss, LOGITS, targets) == pytest.approx(-(wanted * logs(LOGITS)).sum(1).mean())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal(gamma: float) -> None:
    p = np.exp(logs(LOGITS))
    for targets, shares in ((CODES, HOT), (SOFT, SOFT)):
        wanted = -(shares * (1 - p) ** gamma * np.log(p)).sum(1).mean()
        assert value(losses.Focal(gamma), LOGITS, targets) == pytest.approx(wanted)
        smooth = shares * 0.8 + 0.2 / p.shape[1]
        wanted = -(smooth * (1 - p) ** gamma * np.log(p)).sum(1).mean()
        assert value(losses.Focal(gamma, 0.2), LOGITS, targets) == pytest.approx(wanted)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_has_a_finite_gradient_where_a_row_is_certain(gamma: float) -> None:
    logits = torch.tensor([[80.0, 0.0, 0.0]], requires_grad=True)
    losses.Focal(gamma)(logits, torch.tensor([0])).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_binary_cross_entropy() -> None:
    p = 1 / (1 + np.exp(-LOGITS))
    wanted = -(SOFT * np.log(p) + (1 - SOFT) * np.log(1 - p)).mean()
    assert value(losses.BinaryCrossEntropy(), LOGITS, SOFT) == pytest.approx(wanted)
    smooth = SOFT * 0.9 + 0.05
    wanted = -(smooth * np.log(p) + (1 - smooth) * np.log(1 - p)).mean()
    assert value(losses.BinaryCrossEntropy(0.1), LOGITS, SOFT) == pytest.approx(wanted)
    hot = value(losses.BinaryCrossEntropy(), LOGITS, HOT)
    assert value(losses.BinaryCrossEntropy(), LOGITS, CODES) == pytest.approx(hot)
    one = value(losses.BinaryCrossEntropy(), LOGITS[:, :1], (CODES > 1).astype(float)[:, None])
    assert value(losses.BinaryCrossEntropy(), LOGITS[:, :1], (CODES > 1) * 1) == pytest.approx(one)


def test_squared_error_and_huber() -> None:
    outputs, wanted = LOGITS[:, :1], RNG.normal(0, 3, 7)
    off = np.abs(outputs[:, 0] - wanted)
    assert value(losses.SquaredError(), outputs, wanted) == pytest.approx((off**2).mean())
    bent = np.where(off < 1.5, 0.5 * off**2, 1.5 * (off - 0.75)).mean()
    assert value(losses.Huber(1.5), outputs, wanted) == pytest.approx(bent)


@given(st.integers(1, 6))
def test_losses_of_pieces_add_up_to_the_whole(cut: int) -> None:
    for loss in (losses.CrossEntropy(0.1), losses.Focal(), losses.BinaryCrossEntropy()):
        whole = value(loss, LOGITS, SOFT)
        pieces = [value(loss, LOGITS[part], SOFT[part]) for part in (slice(cut), slice(cut, None))]
        assert np.average(pieces, weights=[cut, 7 - cut]) == pytest.approx(whole)
