"""Augmentation of sounds by its formulas; the same for a sample in every batch and at every padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

torch = pytest.importorskip("torch")

from headstart.errors import ConfigError  # noqa: E402
from headstart.train.augment_sounds import (  # noqa: E402
    Sounds,
    Spectrograms,
    augment_sounds,
    mask_spectrograms,
    noisy,
    shifted,
)
from headstart.train.draws import Stream, draws  # noqa: E402

pytestmark = pytest.mark.train

EVERYTHING = Sounds(gain=6.0, shift=0.4, noise=0.5)


def made(n: int, t: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (n, t)).astype(np.float32))


def test_a_shift_fills_with_zeros_and_does_not_go_round():
    wave = np.arange(1, 6, dtype=np.float32)
    assert shifted(wave, 2).tolist() == [0, 0, 1, 2, 3]
    assert shifted(wave, -2).tolist() == [3, 4, 5, 0, 0]
    assert shifted(wave, 0).tolist() == wave.tolist()
    assert shifted(wave, 5).tolist() == shifted(wave, -5).tolist() == [0] * 5


@pytest.mark.parametrize("ratio", [-6.0, 0.0, 20.0])
def test_noise_has_the_power_asked_for(ratio):
    wave = np.sin(np.arange(200_000) / 7).astype(np.float32)
    noise = noisy(wave, ratio, np.random.default_rng(0)) - wave
    found = 10 * np.log10(np.mean(wave.astype(float) ** 2) / np.mean(noise.astype(float) ** 2))
    assert abs(found - ratio) < 0.05
    assert stats.kstest(noise[::20] / noise.std(), "norm").pvalue > 1e-3


def test_silence_stays_silent():
    out = augment_sounds(torch.zeros(3, 50), np.arange(3), 0, 0, Sounds(noise=1.0, gain=10))
    assert out.abs().max() == 0


def test_gains_are_uniform_in_decibels():
    waves = torch.ones(2000, 3)
    out = augment_sounds(waves, np.arange(2000), 0, 0, Sounds(gain=12.0))
    assert torch.equal(out[:, 0], out[:, 2])
    decibels = 20 * np.log10(out[:, 0].double().numpy())
    assert stats.kstest(decibels, "uniform", (-12, 24)).pvalue > 1e-3


def test_shifts_are_uniform_in_both_directions():
    waves = torch.zeros(2000, 201)
    waves[:, 100] = 1
    out = augment_sounds(waves, np.arange(2000), 0, 0, Sounds(shift=0.25))
    moved = out.argmax(1).numpy() - 100
    assert moved.min() == -50
    assert moved.max() == 50
    assert stats.kstest((moved + 50.5) / 101, "uniform").statistic < 0.04


def test_noise_comes_as_often_and_as_loud_as_asked_for():
    waves = made(400, 4000)
    out = augment_sounds(waves, np.arange(400), 0, 0, Sounds(noise=0.3, noise_low=5, noise_high=25))
    power = (out - waves).double().square().mean(1)
    noisy_ones = (power > 0).numpy()
    assert 85 < noisy_ones.sum() < 155
    ratios = (10 * torch.log10(waves.double().square().mean(1) / power)).numpy()[noisy_ones]
    assert stats.kstest(ratios, "uniform", (5, 20)).pvalue > 1e-3


def test_all_together_are_the_formulas_one_after_the_other():
    waves, rows = made(5, 300), np.array([9, 2, 40, 7, 8])
    out = augment_sounds(waves, rows, 3, 1, Sounds(gain=6.0, shift=0.4))
    shift = draws(1, 3, rows, Stream.SHIFT, 1)[:, 0]
    gain = draws(1, 3, rows, Stream.GAIN, 1)[:, 0]
    for wave, s, g, got in zip(waves.numpy(), shift, gain, out.numpy()):
        steps = round(0.4 * (2 * s - 1) * 300)
        rolled = np.roll(wave, steps)
        rolled[:steps] = 0 if steps > 0 else rolled[:steps]
        if steps < 0:
            rolled[steps:] = 0
        np.testing.assert_allclose(got, rolled * 10 ** (6 * (2 * g - 1) / 20), rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_sound_is_changed_the_same_in_every_batch_and_at_every_padding(data):
    lengths = np.array(data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=6)))
    n = len(lengths)
    waves = made(n, 60)
    waves[torch.arange(60)[None] >= torch.from_numpy(lengths)[:, None]] = 0
    rows = np.arange(n) * 3
    out = augment_sounds(waves, rows, 1, 2, EVERYTHING, lengths)
    order = np.array(data.draw(st.permutations(range(n))))
    assert torch.equal(
        augment_sounds(waves[order], rows[order], 1, 2, EVERYTHING, lengths[order]), out[order]
    )
    for i, length in enumerate(lengths):
        alone = augment_sounds(waves[i : i + 1, :length], rows[i : i + 1], 1, 2, EVERYTHING)
        assert torch.equal(alone[0], out[i, :length])
        assert (out[i, length:] == 0).all()


def test_the_input_stays_and_the_defaults_change_nothing():
    waves = made(3, 40)
    before = waves.clone()
    assert augment_sounds(waves, np.arange(3), 0, 0, EVERYTHING).dtype == torch.float32
    assert torch.equal(waves, before)
    assert torch.equal(augment_sounds(waves, np.arange(3), 0, 0, Sounds()), waves)


def runs(line: np.ndarray) -> list[int]:
    """Lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def test_masks_are_whole_bands_of_uniform_width_and_place():
    pictures = torch.ones(3000, 40, 90)
    policy = Spectrograms(frequency_width=8, time_width=20)
    out = mask_spectrograms(pictures, np.arange(3000), 0, 0, policy, fill=-2.0)
    assert set(out.unique().tolist()) == {-2.0, 1.0}
    hidden = (out == -2.0).numpy()
    bands, stretches = hidden.all(axis=2), hidden.all(axis=1)
    assert np.array_equal(hidden, bands[:, :, None] | stretches[:, None, :])
    assert all(len(runs(line)) <= 1 for line in (*bands, *stretches))
    for found, widest, size in ((bands, 8, 40), (stretches, 20, 90)):
        widths = found.sum(1)
        assert stats.chisquare(np.bincount(widths, minlength=widest + 1)).pvalue > 1e-3
        starts = found[widths == widest].argmax(1)
        assert stats.chisquare(np.bincount(starts, minlength=size - widest + 1)).pvalue > 1e-3
    lowest = bands[bands.sum(1) == 8].argmax(1)
    assert (lowest.min(), lowest.max()) == (0, 40 - 8)  # both edges of the spectrogram are reached


def test_the_share_of_time_and_the_lengths_bound_the_masks():
    pictures, lengths = torch.ones(500, 10, 80), np.repeat([10, 80], 250)
    policy = Spectrograms(frequency_masks=0, time_masks=2, time_width=100, time_share=0.2)
    out = mask_spectrograms(pictures, np.arange(500), 0, 0, policy, lengths)
    hidden = (out == 0).all(dim=1).numpy()
    assert not hidden[:250, 10:].any()
    assert hidden[:250].sum(1).max() == 4  # two stretches of at most a fifth
    assert 28 <= hidden[250:].sum(1).max() <= 32
    assert not (out == 0).all(dim=2).any()


def test_a_mask_wider_than_the_spectrogram_is_cut_down():
    out = mask_spectrograms(torch.ones(200, 5, 6), np.arange(200), 0, 0, Spectrograms())
    assert (out == 0).all(dim=1).all(dim=1).any()  # all of the frames can go
    assert (out == 1).any()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_spectrogram_is_masked_the_same_in_every_batch_and_at_every_padding(data):
    lengths = np.array(data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=6)))
    n = len(lengths)
    pictures, rows = torch.rand(n, 12, 50) + 1, np.arange(n) * 5
    policy = Spectrograms(frequency_masks=2, frequency_width=4, time_masks=2, time_width=9)
    out = mask_spectrograms(pictures, rows, 1, 2, policy, lengths)
    order = np.array(data.draw(st.permutations(range(n))))
    again = mask_spectrograms(pictures[order], rows[order], 1, 2, policy, lengths[order])
    assert torch.equal(again, out[order])
    for i, length in enumerate(lengths):
        cut = pictures[i : i + 1, :, :length]
        alone = mask_spectrograms(cut, rows[i : i + 1], 1, 2, policy)
        assert torch.equal(alone[0], out[i, :, :length])


def test_wrong_input_is_refused():
    with pytest.raises(ConfigError, match="int64"):
        augment_sounds(torch.zeros(2, 5).long(), np.arange(2), 0, 0, Sounds())
    with pytest.raises(ConfigError, match="in 3 dimensions"):
        mask_spectrograms(torch.zeros(2, 5), np.arange(2), 0, 0, Spectrograms())
    with pytest.raises(ConfigError, match="3 row numbers"):
        augment_sounds(torch.zeros(2, 5), np.arange(3), 0, 0, Sounds())
    with pytest.raises(ConfigError, match="from 4 to 6"):
        augment_sounds(torch.zeros(2, 5), np.arange(2), 0, 0, Sounds(), np.array([4, 6]))
