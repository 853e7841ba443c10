"""mixup, CutMix and soft targets by their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch")

from headstart.errors import ConfigError  # noqa: E402
from headstart.train.mix import Mix, cutmix, mix, mixup, soft_targets  # noqa: E402

pytestmark = pytest.mark.train

N = 6


def batch(dtype=torch.float32):
    """Pictures of one value each, so that a value names its picture; targets one-hot."""
    values = torch.arange(N, dtype=torch.float32) * 40
    return values.view(N, 1, 1, 1).expand(N, 16, 20, 3).to(dtype), torch.eye(N)


def share_and_partners(targets):
    """From the targets of pairs that differ: the share that stayed, and who the partner is."""
    own = targets.diagonal()
    other = targets - torch.diag(own)
    partners = torch.where(own > 1 - 1e-6, torch.arange(N), other.argmax(1))
    paired = partners != torch.arange(N)
    return (float(own[paired][0]) if paired.any() else 1.0), partners


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_mixup_is_the_papers_formula(dtype):
    inputs, targets = batch(dtype)
    for step in range(20):
        mixed, soft = mixup(inputs, targets, 0, step, 0, alpha=1.0)
        w, partners = share_and_partners(soft)
        assert sorted(partners.tolist()) == list(range(N))
        wanted = w * inputs.double() + (1 - w) * inputs[partners].double()
        assert mixed.dtype == dtype
        atol = 1e-4 if dtype == torch.float32 else 0.501
        assert torch.allclose(mixed.double(), wanted, rtol=0, atol=atol)
        assert torch.allclose(soft, w * targets + (1 - w) * targets[partners], atol=1e-6)


def test_mixups_share_comes_from_the_beta_distribution():
    targets = torch.eye(2)
    inputs = torch.zeros(2, 1)
    shares = []
    for step in range(4000):
        _, soft = mixup(inputs, targets, 0, step, 0, alpha=0.4)
        if soft[0, 1] > 0:  # two in a batch: half of the permutations pair them
            shares.append(float(soft[0, 0]))
    assert 1850 < len(shares) < 2150
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_cutmix_pastes_one_rectangle_and_mixes_targets_by_its_area(dtype):
    inputs, targets = batch(dtype)
    cut = 0
    for step in range(40):
        mixed, soft = cutmix(inputs, targets, 0, step, 0)
        assert mixed.dtype == dtype
        assert torch.allclose(soft.sum(1), torch.ones(N), atol=1e-6)
        w, partners = share_and_partners(soft)
        changed = (mixed != inputs).any(dim=3)
        moved = changed[partners != torch.arange(N)]
        if not changed.any():
            continue
        cut += 1
        assert (moved == moved[0]).all()  # one rectangle for the batch
        lines, columns = moved[0].any(1), moved[0].any(0)
        assert torch.equal(moved[0], lines[:, None] & columns[None])
        assert abs(float(moved[0].float().mean()) - (1 - w)) < 1e-6
        wanted = torch.where(moved[0][None, ..., None], inputs[partners], inputs)
        assert torch.equal(mixed, wanted)
    assert cut > 30


def test_cutmix_takes_channels_first_as_well():
    inputs, targets = batch()
    last, soft = cutmix(inputs, targets, 0, 3, 0)
    first, soft_too = cutmix(inputs.permute(0, 3, 1, 2), targets, 0, 3, 0, axes=(2, 3))
    assert torch.equal(first.permute(0, 2, 3, 1), last)
    assert torch.equal(soft, soft_too)
    assert not torch.equal(last, inputs)


def test_cutmixs_area_follows_the_beta_distribution_where_nothing_is_cut_off():
    """Alpha 1: the share 1 - w is uniform; a rectangle inside the picture has that area."""
    inputs, targets = torch.zeros(2, 400, 400, 1), torch.eye(2)
    inputs[1] = 1
    kept = []
    for step in range(1500):
        mixed, _ = cutmix(inputs, targets, 0, step, 0)
        lit = mixed[0, ..., 0] > 0
        if lit.any() and not (lit[0].any() or lit[-1].any() or lit[:, 0].any() or lit[:, -1].any()):
            kept.append(float(lit.float().mean()))
    # it lies inside with the chance (1 - side)**2, so its side has the density 12 s (1 - s)**2
    assert len(kept) > 80
    assert stats.kstest(np.sqrt(kept), stats.beta(2, 3).cdf).pvalue > 1e-3


def test_a_mix_belongs_to_seed_epoch_and_step():
    inputs, targets = batch()
    first = mixup(inputs, targets, 1, 2, 3)
    again = mixup(inputs, targets, 1, 2, 3)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    for epoch, step, seed in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not torch.equal(mixup(inputs, targets, epoch, step, seed)[1], first[1])


def test_settings_choose_the_way():
    inputs, targets = batch()
    both = Mix(mixup=0.3, cutmix=1.0)
    ways = []
    for step in range(200):
        got = mix(inputs, targets, 0, step, 0, both)[0]
        one, two = (f(inputs, targets, 0, step, 0, a)[0] for f, a in ((mixup, 0.3), (cutmix, 1.0)))
        assert torch.equal(got, one) or torch.equal(got, two)
        if not torch.equal(one, two):
            ways.append(torch.equal(got, one))
    assert 0.38 < np.mean(ways) < 0.62
    same = mix(inputs, targets, 0, 0, 0, Mix())
    assert torch.equal(same[0], inputs)
    assert torch.equal(same[1], targets)


def test_inputs_stay_as_they_are():
    inputs, targets = batch()
    before = inputs.clone(), targets.clone()
    for step in range(5):
        mix(inputs, targets, 0, step, 0, Mix(mixup=1, cutmix=1))
    assert torch.equal(inputs, before[0])
    assert torch.equal(targets, before[1])


def test_soft_targets_give_the_loss_of_torchs_own_smoothing():
    random = torch.Generator().manual_seed(0)
    logits, codes = torch.randn(50, 7, generator=random), torch.arange(50) % 7
    for smoothing in (0.0, 0.1, 1.0):
        soft = soft_targets(codes, 7, smoothing)
        ours = torch.nn.functional.cross_entropy(logits, soft)
        other = torch.nn.functional.cross_entropy(logits, codes, label_smoothing=smoothing)
        assert torch.allclose(ours, other, atol=1e-6)
        assert torch.allclose(soft.sum(1), torch.ones(50))


def test_wrong_input_is_refused():
    inputs, targets = batch()
    with pytest.raises(ConfigError, match="mixup has the alpha 0"):
        mixup(inputs, targets, 0, 0, 0, alpha=0)
    with pytest.raises(ConfigError, match="6 inputs came with targets of shape"):
        cutmix(inputs, targets[:3], 0, 0, 0)
    with pytest.raises(ConfigError, match="int64"):
        mixup(inputs, torch.eye(N).long(), 0, 0, 0)
    with pytest.raises(ConfigError, match=r"label smoothing is 1\.5"):
        soft_targets(torch.arange(3), 3, 1.5)
