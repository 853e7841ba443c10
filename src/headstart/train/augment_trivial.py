"""TrivialAugment: one operation of a fixed set for each picture, its strength drawn uniformly.

Mueller and Hutter 2021, "TrivialAugment: tuning-free yet state-of-the-art data augmentation", with the
set of operations and the strengths the paper calls Wide. There is nothing to tune, and that is the point.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from headstart.train import augment_operations as operations
from headstart.train.augment_operations import Operation
from headstart.train.draws import Stream, draws

LEVELS = 30  # strengths are 0, 1/30, ..., 1
OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness",
    "saturation", "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip

_COLOURS: dict[str, Operation] = {
    "brightness": operations.brightness,
    "saturation": operations.saturation,
    "contrast": operations.contrast,
    "sharpness": operations.sharpness,
    "autocontrast": operations.autocontrast,
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
    out = torch.empty_like(pixels)
    for i, (number, level, sign) in enumerate(zip(*chosen_operations(rows, epoch, seed))):
        out[i] = apply(OPERATIONS[number], pixels[i], int(level), int(sign))
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


def apply(name: str, picture: Tensor, level: int, sign: int) -> Tensor:
    """One operation of the set on a picture.

    Args:
        name: one of `OPERATIONS`.
        picture: (h, w, 3) uint8.
        level: from 0 to `LEVELS`.
        sign: -1 or 1; without meaning to operations of one direction.

    Returns:
        (h, w, 3) uint8.
    """
    strength = level / LEVELS
    if name in _COLOURS:
        planes = operations.to_planes(picture)
        return operations.to_bytes(_COLOURS[name](planes, 1 + sign * 0.99 * strength))
    if name == "posterize":
        return operations.posterize(picture, 8 - round(6 * strength))
    if name == "solarize":
        return operations.solarize(
            picture, 255 * (LEVELS - level) / LEVELS
        )  # exact where it is whole
    if name == "equalize":
        return operations.equalize(picture)
    if name == "identity":
        return picture.clone()
    return operations.affine(picture, _inverse(name, picture.shape, strength * sign))


def _inverse(name: str, shape: tuple[int, ...], strength: float) -> np.ndarray:
    """(2, 3): from a place in the new picture to the place in the old one; strength from -1 to 1."""
    h, w, _ = shape
    if name == "rotate":  # against the clock, about the middle
        angle = math.radians(_DEGREES * strength)
        cosine, sine = math.cos(angle), math.sin(angle)
        across = [cosine, -sine, (w - cosine * w + sine * h) / 2]
        return np.array([across, [sine, cosine, (h - sine * w - cosine * h) / 2]])
    moves = {
        "shear_x": (0, 1, 0.99 * strength),
        "shear_y": (1, 0, 0.99 * strength),
        "translate_x": (0, 2, -float(int(_PIXELS * strength))),
        "translate_y": (1, 2, -float(int(_PIXELS * strength))),
    }
    line, column, value = moves[name]
    inverse = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    inverse[line, column] = value
    return inverse
