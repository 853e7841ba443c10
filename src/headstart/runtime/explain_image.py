"""Pictures: what covering parts of them does to an answer.

A grid of soft-edged cells lies over what the model sees after its preprocessing; trials cover cells with a
blurred copy of the picture, which takes shapes and details away without putting anything new there (Fong
and Vedaldi 2017). Occlusion: Zeiler and Fergus 2014; drawn masks: Petsiuk et al. 2018 (RISE).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from headstart.preprocess import image
from headstart.runtime.additive import Parts
from headstart.types import Input

CELLS = 14  # a side of the grid, at most
_LEAST = 4  # pixels a cell has at least, where the picture is small
_BLUR = 8  # the covering blur's radius is the shorter side divided by this
_SHOWN = 640  # pixels, the longer side of the copy kept for showing
_STRIP = (
    8  # preprocessing cuts pictures longer than so many times their width (see preprocess.image)
)


def opened(source: Input, steps: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, tuple[int, int]]:
    """The upright picture for showing, and its true size.

    Args:
        source: a readable picture.
        steps: of the preprocessing; the limit of pixels is that of the first.

    Returns:
        (h', w', 3) uint8 with at most 640 pixels a side, and (height, width) in full.
    """
    limit = next((int(s["max_pixels"]) for s in steps if "max_pixels" in s), image.MAX_PIXELS)
    picture, _ = image.open_image(source, limit)
    height, width = picture.height, picture.width
    small = picture.copy()
    small.thumbnail((_SHOWN, _SHOWN))
    return np.asarray(small), (height, width)


def side(pixels: np.ndarray) -> int:
    """Cells a side of the grid over prepared pixels (h, w, 3)."""
    return max(2, min(CELLS, min(pixels.shape[:2]) // _LEAST))


def parts(cells: int) -> Parts:
    """The cells row by row, and their groups: blocks of 2 x 2, in four positions."""
    row, column = np.divmod(np.arange(cells * cells), cells)
    groups = []
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        block = (row + down) // 2 * cells + (column + right) // 2
        groups.append(np.unique(block, return_inverse=True)[1])
    return Parts(np.stack([row, column], axis=1).astype(np.float64), tuple(groups))


def cover(pixels: np.ndarray) -> np.ndarray:
    """What lies below the picture where it is covered: the picture itself, strongly blurred.

    Args:
        pixels: (h, w, 3) uint8.
    """
    radius = max(1.0, min(pixels.shape[:2]) / _BLUR)
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def covered(pixels: np.ndarray, below: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The picture of each trial.

    Args:
        pixels: (h, w, 3) uint8, as the graph takes it.
        below: (h, w, 3) uint8, seen where cells are taken away.
        kept: (p, cells x cells) bool.

    Returns:
        (p, h, w, 3) uint8.
    """
    cells = round(kept.shape[1] ** 0.5)
    height, width = pixels.shape[:2]
    grids = kept.reshape(-1, cells, cells).astype(np.float32)
    masks = _ramp(height, cells) @ grids @ _ramp(width, cells).T  # (p, h, w)
    ground = below.astype(np.float32)
    mixed = ground + masks[..., None] * (pixels.astype(np.float32) - ground)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _ramp(length: int, cells: int) -> np.ndarray:
    """(length, cells) float32: values at pixels from values at the cells' middles, straight between."""
    at = np.clip((np.arange(length) + 0.5) * cells / length - 0.5, 0, cells - 1)
    lower = np.minimum(at.astype(int), cells - 2)
    ramp = np.zeros((length, cells), np.float32)
    ramp[np.arange(length), lower] = 1 - (at - lower)
    ramp[np.arange(length), lower + 1] = at - lower
    return ramp


def seen(
    height: int, width: int, steps: Sequence[Mapping[str, Any]]
) -> tuple[float, float, float, float]:
    """Where the prepared picture lies in the original, as (top, left, bottom, right) in its pixels.

    It may reach beyond the original, where the preprocessing puts a border around it.

    Args:
        height: of the upright original.
        width: of the upright original.
        steps: of the preprocessing.
    """
    top, left, down, across = 0.0, 0.0, 1.0, 1.0  # a corner, and original pixels a pixel
    for step in steps:
        if step["step"] == "resize":
            size = step["size"]
            if step.get("mode") == "exact":
                new_h, new_w = (size, size) if isinstance(size, int) else size
            else:
                short = int(size if isinstance(size, int) else min(size))
                least = min(height, width)
                if max(height, width) > max(_STRIP * least, 4 * short):
                    box_h, box_w = min(height, _STRIP * least), min(width, _STRIP * least)
                    top += (height - box_h) // 2 * down
                    left += (width - box_w) // 2 * across
                    height, width = box_h, box_w
                if width <= height:
                    new_h, new_w = int(short * height / width), short
                else:
                    new_h, new_w = short, int(short * width / height)
            down, across = down * height / new_h, across * width / new_w
            height, width = int(new_h), int(new_w)
        elif step["step"] == "center_crop":
            size = step["size"]
            crop_h, crop_w = (size, size) if isinstance(size, int) else size
            for_h, for_w = max(crop_h, height), max(crop_w, width)
            padded_y, padded_x = (for_h - height) // 2, (for_w - width) // 2
            top += (round((for_h - crop_h) / 2.0) - padded_y) * down
            left += (round((for_w - crop_w) / 2.0) - padded_x) * across
            height, width = int(crop_h), int(crop_w)
    return top, left, top + height * down, left + width * across


def spread(
    weights: np.ndarray, height: int, width: int, box: tuple[float, float, float, float]
) -> np.ndarray:
    """The cells' weights, shared out over the original's pixels: (height, width) float32, NaN if not seen.

    Args:
        weights: (cells x cells,).
        height: of the upright original.
        width: of the upright original.
        box: where the cells lie in it, as of `seen`.
    """
    cells = round(len(weights) ** 0.5)
    grid = weights.reshape(cells, cells).astype(np.float32)
    top, left, bottom, right = box
    rows, y_seen = _along(height, cells, top, bottom)
    columns, x_seen = _along(width, cells, left, right)
    pixels = (bottom - top) * (right - left) / len(weights)  # of the original, a cell
    heat = (rows @ grid @ columns.T / pixels).astype(np.float32)
    heat[~y_seen] = np.nan
    heat[:, ~x_seen] = np.nan
    return heat


def _along(length: int, cells: int, start: float, stop: float) -> tuple[np.ndarray, np.ndarray]:
    """One side of `spread`: (length, cells) shares of the cells, and (length,) whether it is seen."""
    middle = np.arange(length) + 0.5
    inside = (middle - start) / (stop - start) * cells
    at = np.clip(inside - 0.5, 0, cells - 1)
    lower = np.minimum(at.astype(int), cells - 2)
    share = np.zeros((length, cells), np.float32)
    share[np.arange(length), lower] = 1 - (at - lower)
    share[np.arange(length), lower + 1] = at - lower
    return share, (inside > 0) & (inside < cells)
