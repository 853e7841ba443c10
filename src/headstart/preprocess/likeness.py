"""What a picture looks like in a few numbers that survive resizing, compression, flips and turns.

A perceptual hash before its bits are taken. The picture is made grey and 32 x 32, and the lowest 16 x 16
coefficients of its cosine transform are kept (the DCT hash, Zauner 2010, keeps the signs of 8 x 8). All
eight orientations follow from one transform: a mirror changes the signs of the odd columns or rows, a
turn also transposes. Compared by cosine they tell copies from pictures that are merely alike more
sharply than bits do.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from headstart.compute import threads
from headstart.errors import UnreadableInput
from headstart.preprocess.image import MAX_PIXELS, dimensions, open_image
from headstart.types import Input

SIDE = 16
"""Coefficients that are kept in each direction."""

CHROMA = slice(SIDE * SIDE, SIDE * SIDE + 2)
"""Where a print has mean blue and red chroma (0 to 255)."""

WIDTH = SIDE * SIDE + 7
"""Numbers of a print: the coefficients, row by row; chroma; the largest difference between two pixels in
any channel (0 to 255); width and height in pixels, as thousands and rest, which half precision keeps."""

_SPREAD = SIDE * SIDE + 2

_THUMB = 32
_LEAST = 2 * _THUMB  # a JPEG is decoded no smaller, which costs a fraction of the whole


def print_of(source: Input, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The print of one picture, (WIDTH,) float32.

    Args:
        source: see `headstart.types.Input`.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        UnreadableInput: with the reason.
    """
    image, _ = open_image(source, max_pixels, _LEAST)
    extrema: Sequence = image.getextrema()
    spread = max(high - low for low, high in extrema)
    small = image.resize((_THUMB, _THUMB), Image.Resampling.BILINEAR)
    luma, blue, red = (
        np.asarray(channel, dtype=np.float32) for channel in small.convert("YCbCr").split()
    )
    basis = _cosines()
    coefficients = basis @ luma @ basis.T  # (16, 16)
    tail = np.array([blue.mean(), red.mean(), spread])
    size = np.stack(np.divmod(dimensions(source), 1000), axis=1)
    return np.concatenate([coefficients.ravel(), tail, size.ravel()]).astype(np.float32)


def prints(inputs: Sequence[Input]) -> np.ndarray:
    """The prints of n pictures, (n, WIDTH) float32; NaN for one that cannot be read."""

    def one(source: Input) -> np.ndarray:
        try:
            return print_of(source)
        except UnreadableInput:
            return np.full(WIDTH, np.nan, dtype=np.float32)

    out = np.empty((len(inputs), WIDTH), dtype=np.float32)
    with ThreadPoolExecutor(threads()) as pool:
        for row, value in enumerate(pool.map(one, inputs)):
            out[row] = value
    return out


@functools.cache
def _cosines() -> np.ndarray:
    """(16, 32) the lowest cosines of the orthonormal DCT-II."""
    x = np.arange(_THUMB)
    basis = np.cos(np.pi * (2 * x + 1) * np.arange(SIDE)[:, None] / (2 * _THUMB))
    basis *= np.sqrt(2 / _THUMB)
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def blank(values: np.ndarray, most: float = 6.0) -> np.ndarray:
    """(n,) bool: pictures of one colour, but for the noise of compression.

    Args:
        values: (n, WIDTH) prints.
        most: the largest difference between two pixels that is still noise, of 255.
    """
    return values[:, _SPREAD] <= most


def sizes(values: np.ndarray) -> np.ndarray:
    """Width and height in pixels as stored, (n, 2) int64; zeros for rows of NaN.

    Args:
        values: (n, WIDTH) prints.
    """
    parts = np.nan_to_num(values[:, _SPREAD + 1 :]).astype(np.int64).reshape(-1, 2, 2)
    return parts[:, :, 0] * 1000 + parts[:, :, 1]


def shapes(values: np.ndarray) -> np.ndarray:
    """Coefficients without the mean, weighted by their frequency, at length 1: (n, 256) float32.

    In photographs the amplitude falls as one over the frequency; the weights make up for it, so that
    fine structure counts and not only where it is light and dark.

    Args:
        values: (n, WIDTH) prints; rows of NaN stay NaN, blank pictures become zero.
    """
    across = np.arange(SIDE, dtype=np.float32)
    weights = np.sqrt(across[:, None] ** 2 + across[None, :] ** 2).ravel()  # 0 for the mean
    weighted = values[:, : SIDE * SIDE] * weights
    length = np.linalg.norm(weighted, axis=1, keepdims=True)
    return (weighted / np.maximum(length, 1e-6)).astype(np.float32)


def invariants(shaped: np.ndarray) -> np.ndarray:
    """What no flip or quarter turn changes: (n, 256) float32, at length 1.

    Flips change signs, turns swap (u, v) with (v, u): of each such pair the larger and the smaller
    magnitude are kept. This map brings no two vectors further apart, so the cosine of two pictures'
    invariants is at least that of their best orientation: searching by it misses nothing.

    Args:
        shaped: (n, 256) of `shapes`.
    """
    square = np.abs(shaped).reshape(-1, SIDE, SIDE)
    turned = square.transpose(0, 2, 1)
    upper = np.triu(np.ones((SIDE, SIDE), dtype=bool))
    merged = np.where(upper, np.maximum(square, turned), np.minimum(square, turned))
    return np.ascontiguousarray(merged.reshape(len(shaped), -1))


def best_orientation(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest cosine over the eight orientations, and which it is.

    Args:
        one: (p, 256) of `shapes`.
        other: (p, 256), compared row by row.

    Returns:
        (p,) cosines and (p,) numbers of orientations: 0 as it is, 1 mirrored left to
        right, 2 mirrored top to bottom, 3 half a turn, 4 to 7 the same of the transposed picture.
    """
    a = one.reshape(-1, SIDE, SIDE)
    b = other.reshape(-1, SIDE, SIDE)
    sign = np.where(np.arange(SIDE) % 2, -1, 1).astype(np.float32)
    found = []
    for turned in (b, b.transpose(0, 2, 1)):
        product = a * turned
        for rows, columns in ((1, 1), (1, sign), (sign, 1), (sign, sign)):
            weights = np.ones((SIDE, SIDE), np.float32)
            weights *= np.reshape(rows, (-1, 1)) * np.reshape(columns, (1, -1))
            found.append(np.einsum("puv,uv->p", product, weights))
    stacked = np.stack(found)
    return stacked.max(axis=0), stacked.argmax(axis=0)
