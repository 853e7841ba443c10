"""Augmentation of pictures, keyed by (seed, epoch, row): what happens to one does not depend on its batch.

The order is: crop, flip, TrivialAugment, colour, erasing. All work on bytes, so that what a backbone's
graph does with a picture (it takes uint8) is done after them.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from headstart.config import note
from headstart.errors import ConfigError
from headstart.registry import suggestion
from headstart.train import augment_operations as operations
from headstart.train.augment_operations import Operation
from headstart.train.augment_trivial import trivial_augment
from headstart.train.draws import Stream, draws, generators

_TRIES = 10  # boxes drawn before giving up, as in torchvision


@dataclass(frozen=True)
class Images:
    """What may happen to a picture. The defaults change nothing.

    Crops are those of Szegedy et al. 2015 ("Going deeper with convolutions"), erasing that of Zhong et al.
    2020 ("Random erasing data augmentation"), filled with random values as its authors found best.
    """

    crop: float = field(
        default=1.0,
        metadata=note("smallest share of the area a crop keeps; 1: no crop", low=0.01, high=1.0),
    )
    aspect: float = field(
        default=4 / 3,
        metadata=note("a crop is up to so many times wider or taller", low=1.0, high=10.0),
    )
    flip: float = field(
        default=0.0, metadata=note("how likely left and right are swapped", low=0.0, high=1.0)
    )
    trivial: bool = field(
        default=False, metadata=note("one operation of TrivialAugment's set on each picture")
    )
    brightness: float = field(
        default=0.0, metadata=note("largest change of the brightness's factor", low=0.0, high=1.0)
    )
    contrast: float = field(
        default=0.0, metadata=note("largest change of the contrast's factor", low=0.0, high=1.0)
    )
    saturation: float = field(
        default=0.0, metadata=note("largest change of the saturation's factor", low=0.0, high=1.0)
    )
    hue: float = field(
        default=0.0, metadata=note("largest part of a full turn of the hue", low=0.0, high=0.5)
    )
    erase: float = field(
        default=0.0, metadata=note("how likely a rectangle is erased", low=0.0, high=1.0)
    )


PRESETS: dict[str, Images] = {
    "none": Images(),
    "light": Images(crop=0.8, flip=0.5),
    "standard": Images(crop=0.5, flip=0.5, brightness=0.2, contrast=0.2, saturation=0.2),
    "trivial": Images(crop=0.35, flip=0.5, trivial=True),
    "strong": Images(crop=0.2, flip=0.5, trivial=True, erase=0.25),
}


def preset(name: str) -> Images:
    """Settings by name: none, light, standard, trivial or strong.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"There is no augmentation called {name!r}.",
            fix=suggestion(name, list(PRESETS)) or f"one of: {', '.join(PRESETS)}",
        )
    return PRESETS[name]


def augment(
    pixels: Tensor,
    rows: np.ndarray,
    epoch: int,
    seed: int,
    settings: Images,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Pictures as the settings allow, each in the way of its (seed, epoch, row).

    Args:
        pixels: (n, h, w, 3) uint8, on the processor.
        rows: (n,) row numbers in the table.
        epoch: the epoch's number.
        seed: the run's seed.
        settings: what may happen.
        size: height and width of the result; without it, those of `pixels`.

    Returns:
        (n, height, width, 3) uint8, never the tensor that was given.

    Raises:
        ConfigError: the pixels have another shape or type, or there is not one row number for each.
    """
    _check(pixels, rows)
    out = _cropped(pixels, rows, epoch, seed, settings, size or tuple(pixels.shape[1:3]))
    if settings.flip:
        out = flip(out, draws(seed, epoch, rows, Stream.FLIP, 1)[:, 0] < settings.flip)
    if settings.trivial:
        out = trivial_augment(out, rows, epoch, seed)
    out = _coloured(out, rows, epoch, seed, settings)
    if settings.erase:
        out = _erased(out, rows, epoch, seed, settings.erase)
    return out


def flip(pixels: Tensor, chosen: np.ndarray) -> Tensor:
    """Left and right swapped.

    Args:
        pixels: (n, h, w, 3) uint8.
        chosen: (n,) bool, which pictures.
    """
    out = pixels.clone()
    for i in np.flatnonzero(chosen):  # a picture at a time stays in the cache
        out[i] = pixels[i].flip(1)
    return out


def resized_crops(pixels: Tensor, boxes: np.ndarray, size: tuple[int, int]) -> Tensor:
    """A rectangle of each picture, at one size: linear interpolation, smoothed where it shrinks.

    Args:
        pixels: (n, h, w, 3) uint8.
        boxes: (n, 4) int64: top, left, height, width.
        size: height and width of the result.

    Returns:
        (n, height, width, 3) uint8.
    """
    if tuple(size) == tuple(pixels.shape[1:3]) and (boxes == [0, 0, *size]).all():
        return pixels.clone()
    out = pixels.new_empty((len(pixels), *size, 3))
    for i, (top, left, height, width) in enumerate(boxes.tolist()):
        piece = pixels[i : i + 1, top : top + height, left : left + width]
        # bytes with their channels last have a kernel of their own, faster than a grid of places
        made = functional.interpolate(
            piece.permute(0, 3, 1, 2), size, mode="bilinear", antialias=True
        )
        out[i] = made[0].permute(1, 2, 0)
    return out


def crop_boxes(height: int, width: int, u: np.ndarray, crop: float, aspect: float) -> np.ndarray:
    """Rectangles of random area, shape and place; the middle where no try fits.

    Args:
        height: of the pictures, in pixels.
        width: likewise.
        u: (n, 22) uniform draws.
        crop: smallest share of the area.
        aspect: width is up to so many times the height, or the other way round.

    Returns:
        (n, 4) int64: top, left, height, width.
    """
    high, wide, found = _sides(height, width, u, (crop, 1.0), aspect)
    # the largest rectangle in the middle whose shape is allowed
    high = np.where(found, high, min(height, round(width * aspect)))
    wide = np.where(found, wide, min(width, round(height * aspect)))
    first, second = np.where(found, u[:, 20], 0.5), np.where(found, u[:, 21], 0.5)
    top = np.floor(first * (height - high + found))  # one more place than there is room to move
    left = np.floor(second * (width - wide + found))
    return np.stack([top, left, high, wide], axis=1).astype(np.int64)


def erase_boxes(height: int, width: int, u: np.ndarray) -> np.ndarray:
    """Rectangles of 2 to 33 % of the area, up to 3.3 times as long as broad; see `crop_boxes`.

    Returns:
        (n, 4) int64: top, left, height, width; of height and width 0 where no try fits.
    """
    high, wide, found = _sides(height, width, u, (0.02, 0.33), 3.3)
    high, wide = np.where(found, high, 0), np.where(found, wide, 0)
    top = np.floor(u[:, 20] * (height - high + 1))
    left = np.floor(u[:, 21] * (width - wide + 1))
    return np.stack([top, left, high, wide], axis=1).astype(np.int64)


def _sides(
    height: int, width: int, u: np.ndarray, areas: tuple[float, float], aspect: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first of ten (height, width) that fits: areas uniform, the logarithm of the shape uniform."""
    low, high = areas
    area = height * width * (low + (high - low) * u[:, :_TRIES])  # (n, 10)
    shape = np.exp(math.log(aspect) * (2 * u[:, _TRIES : 2 * _TRIES] - 1))
    wide, tall = np.rint(np.sqrt(area * shape)), np.rint(np.sqrt(area / shape))
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = fits.argmax(axis=1)[:, None]
    taken = [np.take_along_axis(sides, first, axis=1)[:, 0] for sides in (tall, wide)]
    return taken[0], taken[1], np.asarray(fits.any(axis=1))


def _cropped(
    pixels: Tensor, rows: np.ndarray, epoch: int, seed: int, settings: Images, size: tuple[int, ...]
) -> Tensor:
    height, width = pixels.shape[1:3]
    if settings.crop < 1:
        u = draws(seed, epoch, rows, Stream.CROP, 2 * _TRIES + 2)
        boxes = crop_boxes(height, width, u, settings.crop, settings.aspect)
    else:
        boxes = np.tile(np.array([0, 0, height, width]), (len(rows), 1))
    return resized_crops(pixels, boxes, (size[0], size[1]))


def _coloured(pixels: Tensor, rows: np.ndarray, epoch: int, seed: int, settings: Images) -> Tensor:
    steps: list[tuple[Operation, float, float]] = [
        (operations.brightness, settings.brightness, 1.0),
        (operations.contrast, settings.contrast, 1.0),
        (operations.saturation, settings.saturation, 1.0),
        (operations.hue, settings.hue, 0.0),
    ]
    if not any(spread for _, spread, _ in steps):
        return pixels
    u = draws(seed, epoch, rows, Stream.COLOUR, len(steps))
    out = torch.empty_like(pixels)
    for i, picture in enumerate(pixels):
        planes = operations.to_planes(picture)
        for (operation, spread, middle), draw in zip(steps, u[i].tolist()):
            if spread:
                planes = operation(planes, middle + spread * (2 * draw - 1))
        out[i] = operations.to_bytes(planes)
    return out


def _erased(pixels: Tensor, rows: np.ndarray, epoch: int, seed: int, chance: float) -> Tensor:
    u = draws(seed, epoch, rows, Stream.ERASE, 2 * _TRIES + 3)
    boxes = erase_boxes(pixels.shape[1], pixels.shape[2], u)
    chosen = np.flatnonzero((u[:, -1] < chance) & (boxes[:, 2] > 0))
    out = pixels.clone()
    made = generators(seed, epoch, np.asarray(rows)[chosen], Stream.ERASE_FILL)
    for i, random in zip(chosen, made):
        top, left, height, width = boxes[i].tolist()
        fill = random.integers(0, 256, (height, width, 3), np.uint8)
        out[i, top : top + height, left : left + width] = torch.from_numpy(fill)
    return out


def _check(pixels: Tensor, rows: np.ndarray) -> None:
    shape = tuple(pixels.shape)
    if (
        pixels.dtype != torch.uint8
        or len(shape) != 4
        or shape[3] != 3
        or pixels.device.type != "cpu"
    ):
        raise ConfigError(
            f"Pictures to augment came as {pixels.dtype}, shape {shape}, on {pixels.device}.",
            fix="give uint8 of shape (n, height, width, 3) on the processor",
        )
    if len(rows) != shape[0]:
        raise ConfigError(
            f"{shape[0]} pictures came with {len(rows)} row numbers.",
            fix="give each picture the number of its row in the table",
        )
