"""TrivialAugment: one operation of a fixed set for each picture, its strength drawn uniformly.

Mueller and Hutter 2021, "TrivialAugment: tuning-free yet state-of-the-art data augmentation", with the
set of operations and the strengths the paper calls Wide. There is nothing to tune, and that is the point.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from headstart.train import augment_operations as operations
from headstart.train.augment_operations import Operation, in_pieces
from headstart.train.draws import Stream, draws

LEVELS = 30  # strengths are 0, 1/30, ..., 1
OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness",
    "saturation", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip

_ENHANCING: dict[str, Operation] = {
    "brightness": operations.brightness,
    "saturation": operations.saturation,
    "contrast": operations.contrast,
    "sharpness": operations.sharpness,
}
_PIXELS = 32  # the longest way a picture is moved, at any size, as in the paper
_DEGREES = 135.0


def trivial_augment(pixels: Tensor, rows: np.ndarray, epoch: int, seed: int) -> Tensor:
    """Each picture after one operation, which belongs to (seed, epoch, row).

    Args:
        pixels: (n, h, w, 3) uint8.
        rows: (n,) row numbers.
        epoch: the epoch's number.
        seed: the run's seed.

    Returns:
        (n, h, w, 3) uint8.
    """
    chosen, levels, signs = chosen_operations(rows, epoch, seed)
    out = pixels.clone()
    for number in np.unique(chosen):
        group = np.flatnonzero(chosen == number)
        out[group] = apply(OPERATIONS[number], pixels[group], levels[group], signs[group])
    return out


def chosen_operations(
    rows: np.ndarray, epoch: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is done with each row.

    Returns:
        three arrays (n,): the operation's place in `OPERATIONS`, the level from 0 to `LEVELS`, the sign
        -1 or 1 of operations that have two directions.
    """
    u = draws(seed, epoch, rows, Stream.TRIVIAL, 3)  # (n, 3)
    chosen = (u[:, 0] * len(OPERATIONS)).astype(np.int64)
    levels = (u[:, 1] * (LEVELS + 1)).astype(np.int64)
    return chosen, levels, np.where(u[:, 2] < 0.5, -1, 1)


def apply(name: str, pixels: Tensor, levels: np.ndarray, signs: np.ndarray) -> Tensor:
    """One operation of the set on pictures.

    Args:
        name: one of `OPERATIONS`.
        pixels: (m, h, w, 3) uint8.
        levels: (m,) whole numbers from 0 to `LEVELS`.
        signs: (m,) -1 or 1; without meaning to operations of one direction.

    Returns:
        (m, h, w, 3) uint8.
    """
    strengths = levels / LEVELS
    if name in _ENHANCING:
        return in_pieces(_ENHANCING[name], pixels, 1 + signs * 0.99 * strengths)
    if name == "posterize":
        return in_pieces(operations.posterize, pixels, 8 - np.rint(6 * strengths))
    if name == "solarize":
        return in_pieces(operations.solarize, pixels, 255 * (1 - strengths))
    if name == "autocontrast":
        return in_pieces(operations.autocontrast, pixels, strengths)
    if name == "equalize":
        return in_pieces(operations.equalize, pixels, strengths)
    if name == "identity":
        return pixels.clone()
    return operations.affine(pixels, _inverses(name, pixels.shape, strengths * signs))


def _inverses(name: str, shape: tuple[int, ...], strengths: np.ndarray) -> np.ndarray:
    """(m, 2, 3): from places in the new picture to places in the old one; strengths from -1 to 1."""
    _, h, w, _ = shape
    found = np.tile(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), (len(strengths), 1, 1))
    if name == "shear_x":
        found[:, 0, 1] = 0.99 * strengths
    elif name == "shear_y":
        found[:, 1, 0] = 0.99 * strengths
    elif name == "translate_x":
        found[:, 0, 2] = -np.trunc(_PIXELS * strengths)
    elif name == "translate_y":
        found[:, 1, 2] = -np.trunc(_PIXELS * strengths)
    else:  # against the clock, about the middle
        angles = np.deg2rad(_DEGREES * strengths)
        cosine, sine = np.cos(angles), np.sin(angles)
        found[:, 0] = np.stack([cosine, -sine, (w - cosine * w + sine * h) / 2], axis=1)
        found[:, 1] = np.stack([sine, cosine, (h - sine * w - cosine * h) / 2], axis=1)
    return found
