"""Random numbers that belong to a sample, not to a moment: seed, epoch, row, purpose -> draws.

A shared generator gives a sample whatever comes next, so that its augmentation depends on the batch it
stands in and on the order of the workers. Here each number is a function of its address alone: Philox
4x32-10, a counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
The address is the counter (row, epoch, stream, number of the block), the seed is the key. Both fill their
words, so two addresses never share a block.
"""

from __future__ import annotations

import enum

import numpy as np

from headstart.errors import ConfigError

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_STEPS = (0x9E3779B9, 0xBB67AE85)  # what the two words of the key grow by each round
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


class Stream(enum.IntEnum):
    """What draws are for: each purpose has numbers of its own, so a new one changes no other."""

    ORDER = 1
    BALANCE = 2
    CROP = 3
    FLIP = 4
    COLOUR = 5
    TRIVIAL = 6
    ERASE = 7
    ERASE_FILL = 8
    TOKENS = 9
    GAIN = 10
    SHIFT = 11
    NOISE = 12
    NOISE_FILL = 13
    SPECTROGRAM = 14
    MIX = 15
    CLASSES = 16
    LENGTHS = 17
    PAIR_LABELS = 18
    PAIR_ROWS = 19


def words(seed: int, epoch: int, rows: np.ndarray, stream: int, count: int) -> np.ndarray:
    """Random bits for each row; see `draws`.

    Returns:
        (n, count) uint64, every bit uniform and independent.
    """
    keys = _address(seed, epoch, rows, stream)
    blocks = -(-count // 2)  # a block of four 32-bit numbers makes two of 64 bits
    counter = [
        np.repeat(keys, blocks),
        np.full(len(keys) * blocks, epoch, np.uint64),
        np.full(len(keys) * blocks, stream, np.uint64),
        np.tile(np.arange(blocks, dtype=np.uint64), len(keys)),
    ]
    a, b, c, d = philox(counter, (seed & 0xFFFFFFFF, seed >> 32))
    pairs = np.stack([a | b << _HALF, c | d << _HALF], axis=1)  # (n * blocks, 2)
    return pairs.reshape(len(keys), 2 * blocks)[:, :count]


def draws(seed: int, epoch: int, rows: np.ndarray, stream: int, count: int) -> np.ndarray:
    """Uniform random numbers for each row, the same in whatever company the row comes.

    More of them begin with the same ones: `draws(..., 9)[:, :5]` is `draws(..., 5)`.

    Args:
        seed: from 0 to 2**64 - 1.
        epoch: from 0 to 2**32 - 1; a step's number where the purpose is a batch.
        rows: (n,) row numbers in the table, from 0 to 2**32 - 1, in any order, repeats allowed.
        stream: the purpose, one of `Stream`.
        count: how many for each row.

    Returns:
        (n, count) float64 in [0, 1), multiples of 2**-53.

    Raises:
        ConfigError: a seed, an epoch or a row outside its range.
    """
    return (words(seed, epoch, rows, stream, count) >> np.uint64(11)) * 2.0**-53


def generators(seed: int, epoch: int, rows: np.ndarray, stream: int) -> list[np.random.Generator]:
    """A generator for each row, for what needs many numbers or other distributions; see `draws`."""
    keys = words(seed, epoch, rows, stream, 2)  # (n, 2)
    return [np.random.Generator(np.random.Philox(key=key)) for key in keys]


def philox(counter: list[np.ndarray], key: tuple[int, int]) -> list[np.ndarray]:
    """Philox 4x32-10: four words of counter and two of key -> four random words.

    Args:
        counter: four arrays (m,) uint64 that hold 32-bit numbers.
        key: two 32-bit numbers.

    Returns:
        four arrays (m,) uint64 that hold 32-bit numbers.
    """
    a, b, c, d = counter
    for turn in range(_ROUNDS):
        first, second = (np.uint64((k + turn * s) & 0xFFFFFFFF) for k, s in zip(key, _STEPS))
        left, right = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]  # 64 bits each
        a, b = (right >> _HALF) ^ b ^ first, right & _LOW
        c, d = (left >> _HALF) ^ d ^ second, left & _LOW
    return [a, b, c, d]


def _address(seed: int, epoch: int, rows: np.ndarray, stream: int) -> np.ndarray:
    """(n,) uint64: the rows, once every part of the address fits its word."""
    rows = np.asarray(rows)
    for name, low, high, limit in (
        ("seed", seed, seed, 2**64),
        ("epoch", epoch, epoch, 2**32),
        ("stream", stream, stream, 2**32),
        ("row", rows.min(initial=0), rows.max(initial=0), 2**32),
    ):
        if low < 0 or high >= limit:
            wrong = low if low < 0 else high
            raise ConfigError(
                f"The {name} {wrong} is outside 0 to {limit - 1}, which random draws are made for.",
                fix=f"use a {name} in that range",
            )
    return rows.astype(np.uint64)
