"""Augmentation of waveforms and spectrograms, keyed by (seed, epoch, row).

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from headstart.config import note
from headstart.errors import ConfigError
from headstart.train.draws import Stream, draws, generators


@dataclass(frozen=True)
class Sounds:
    """What may happen to a waveform. The defaults change nothing."""

    gain: float = field(
        default=0.0, metadata=note("louder or softer by up to so many decibels", low=0.0, high=60.0)
    )
    shift: float = field(
        default=0.0,
        metadata=note("earlier or later by up to this share of the length", low=0.0, high=0.9),
    )
    noise: float = field(
        default=0.0, metadata=note("how likely white noise is added", low=0.0, high=1.0)
    )
    noise_low: float = field(
        default=10.0,
        metadata=note("loudest noise: signal over noise, in decibels", low=-20.0, high=100.0),
    )
    noise_high: float = field(
        default=40.0,
        metadata=note("softest noise: signal over noise, in decibels", low=-20.0, high=100.0),
    )


@dataclass(frozen=True)
class Spectrograms:
    """What is masked in a spectrogram. The defaults are those of the paper's policy "LB"."""

    frequency_masks: int = field(
        default=1, metadata=note("how many bands of frequencies are masked", low=0, high=10)
    )
    frequency_width: int = field(
        default=27, metadata=note("largest width of such a band, in bins", low=0, high=10_000)
    )
    time_masks: int = field(
        default=1, metadata=note("how many stretches of time are masked", low=0, high=10)
    )
    time_width: int = field(
        default=100, metadata=note("largest width of such a stretch, in frames", low=0, high=10**6)
    )
    time_share: float = field(
        default=1.0,
        metadata=note("a stretch is at most this share of all frames", low=0.0, high=1.0),
    )


def augment_sounds(
    waves: Tensor,
    rows: np.ndarray,
    epoch: int,
    seed: int,
    settings: Sounds,
    lengths: np.ndarray | None = None,
) -> Tensor:
    """Waveforms shifted, made louder or softer, and mixed with noise, in this order.

    Args:
        waves: (n, t) float32, on the processor, zero past its length.
        rows: (n,) row numbers in the table.
        epoch: the epoch's number.
        seed: the run's seed.
        settings: what may happen.
        lengths: (n,) samples each sound has before its padding; without it, t. With it a sound becomes
            the same at whatever length its batch is padded to.

    Returns:
        (n, t) float32; nothing is clipped, padding stays zero.

    Raises:
        ConfigError: the waveforms have another shape or type, or the numbers of rows do not agree.
    """
    known = _lengths(waves, rows, lengths, 2)
    shifts = _spread(seed, epoch, rows, Stream.SHIFT, settings.shift)
    decibels = _spread(seed, epoch, rows, Stream.GAIN, settings.gain)
    u = draws(seed, epoch, rows, Stream.NOISE, 2)  # whether, and how loud
    ratios = settings.noise_low + (settings.noise_high - settings.noise_low) * u[:, 1]
    noises = generators(seed, epoch, rows, Stream.NOISE_FILL)
    out = torch.zeros_like(waves)
    for i, length in enumerate(known.tolist()):
        wave = shifted(waves[i, :length].numpy(), round(shifts[i] * length))
        wave = wave * np.float32(10 ** (decibels[i] / 20))
        if u[i, 0] < settings.noise:
            wave = noisy(wave, ratios[i], noises[i])
        out[i, :length] = torch.from_numpy(wave)
    return out


def shifted(wave: np.ndarray, samples: int) -> np.ndarray:
    """A waveform (t,) later by so many samples (earlier if negative); zeros fill the gap."""
    out = np.zeros_like(wave)
    if samples > 0:
        out[samples:] = wave[:-samples]
    else:
        out[: len(wave) + samples] = wave[-samples:]
    return out


def noisy(wave: np.ndarray, ratio: float, random: np.random.Generator) -> np.ndarray:
    """A waveform (t,) with white noise; silence stays silent.

    Args:
        wave: (t,) float32.
        ratio: power of the signal over the expected power of the noise, in decibels.
        random: where the noise comes from.
    """
    power = float(np.mean(np.square(wave, dtype=np.float64))) if len(wave) else 0.0
    scale = np.float32((power / 10 ** (ratio / 10)) ** 0.5)
    return wave + scale * random.standard_normal(len(wave), np.float32)


def mask_spectrograms(
    spectrograms: Tensor,
    rows: np.ndarray,
    epoch: int,
    seed: int,
    settings: Spectrograms,
    lengths: np.ndarray | None = None,
    fill: float = 0.0,
) -> Tensor:
    """Bands of frequencies and stretches of time replaced by one value.

    SpecAugment (Park et al. 2019), without its warping of time, which its authors found to matter least.

    Args:
        spectrograms: (n, f, t) float, frequencies by frames.
        rows: (n,) row numbers in the table.
        epoch: the epoch's number.
        seed: the run's seed.
        settings: how many masks, how wide.
        lengths: (n,) frames each has before its padding; without it, t.
        fill: the value; the paper uses the mean, which is 0 in normalised spectrograms.

    Returns:
        (n, f, t), the same type; widths and places are uniform whole numbers.

    Raises:
        ConfigError: the spectrograms have another shape, or the numbers of rows do not agree.
    """
    known = _lengths(spectrograms, rows, lengths, 3)
    count = settings.frequency_masks + settings.time_masks
    u = draws(seed, epoch, rows, Stream.SPECTROGRAM, 2 * count).reshape(len(rows), count, 2)
    bins, frames = spectrograms.shape[1:]
    tall = np.full(len(rows), bins)
    bands = _covered(u[:, : settings.frequency_masks], settings.frequency_width, tall, bins)
    widest = np.minimum(settings.time_width, np.floor(settings.time_share * known))
    stretches = _covered(u[:, settings.frequency_masks :], widest, known, frames)
    hidden = torch.from_numpy(bands[:, :, None] | stretches[:, None, :])
    return spectrograms.masked_fill(hidden.to(spectrograms.device), fill)


def _covered(u: np.ndarray, widest: np.ndarray | int, lengths: np.ndarray, size: int) -> np.ndarray:
    """(n, size) bool: which places of an axis the masks cover; u is (n, masks, 2)."""
    widest = np.minimum(widest, lengths)[:, None]
    widths = np.floor(u[..., 0] * (widest + 1))  # (n, masks), from 0 to the widest
    starts = np.floor(u[..., 1] * (lengths[:, None] - widths + 1))
    place = np.arange(size)
    inside = (place >= starts[..., None]) & (place < (starts + widths)[..., None])
    return inside.any(axis=1)


def _spread(seed: int, epoch: int, rows: np.ndarray, stream: Stream, most: float) -> np.ndarray:
    """(n,) uniform from -most to most."""
    return most * (2 * draws(seed, epoch, rows, stream, 1)[:, 0] - 1)


def _lengths(batch: Tensor, rows: np.ndarray, lengths: np.ndarray | None, axes: int) -> np.ndarray:
    shape = tuple(batch.shape)
    if len(shape) != axes or not batch.is_floating_point():
        raise ConfigError(
            f"Sounds to augment came as {batch.dtype} of shape {shape}.",
            fix=f"give floating point numbers in {axes} dimensions, sounds first, time last",
        )
    known = np.full(shape[0], shape[-1]) if lengths is None else np.asarray(lengths)
    if len(rows) != shape[0] or known.shape != (shape[0],):
        raise ConfigError(
            f"{shape[0]} sounds came with {len(rows)} row numbers and {known.size} lengths.",
            fix="give one row number and one length for each sound",
        )
    if known.min(initial=0) < 0 or known.max(initial=0) > shape[-1]:
        raise ConfigError(
            f"Lengths go from {known.min()} to {known.max()}, sounds have {shape[-1]} places.",
            fix="give each sound's length in the same unit as its last dimension",
        )
    return known
