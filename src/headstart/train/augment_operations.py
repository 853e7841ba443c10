"""Operations on one picture with a strength: colour, sharpness, levels, places.

Those of colour take and give planes, (3, h, w) float32 that hold whole numbers from 0 to 255; the others
take and give bytes, (h, w, 3) uint8. A picture at a time stays in the processor's cache, which is several
times faster than a batch at a time, and its result cannot depend on its neighbours. Sums over a picture
are sums of whole numbers, so that they are exact in any order and with any number of threads. A value
between two levels becomes the nearer one.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Operation = Callable[[Tensor, float], Tensor]

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow


def to_planes(picture: Tensor) -> Tensor:
    """(h, w, 3) uint8 -> (3, h, w) float32."""
    return picture.permute(2, 0, 1).contiguous().float()


def to_bytes(planes: Tensor) -> Tensor:
    """(3, h, w) float32 of whole numbers from 0 to 255 -> (h, w, 3) uint8."""
    # a float becomes a byte faster by way of a short number
    return planes.to(torch.int16).to(torch.uint8).permute(1, 2, 0).contiguous()


def brightness(planes: Tensor, factor: float) -> Tensor:
    """Every value times the factor: 0 is black, 1 changes nothing."""
    return _levels(planes * factor)


def contrast(planes: Tensor, factor: float) -> Tensor:
    """Away from the picture's mean grey by the factor: 0 is that grey, 1 changes nothing."""
    # exact: a line's sum is below 2**24, that of the lines is taken in float64
    r, g, b = planes.sum(dim=2).double().sum(dim=1).tolist()
    mean = (LUMA[0] * r + LUMA[1] * g + LUMA[2] * b) / planes[0].numel()
    return _levels((planes * factor).add_(mean * (1 - factor)))


def saturation(planes: Tensor, factor: float) -> Tensor:
    """Away from each pixel's grey by the factor: 0 is a grey picture, 1 changes nothing."""
    r, g, b = planes
    grey = (r * LUMA[0]).add_(g * LUMA[1]).add_(b * LUMA[2])
    return _levels((planes * factor).add_(grey.mul_(1 - factor)))


def hue(planes: Tensor, turn: float) -> Tensor:
    """The hue turned round the colour circle, value and saturation (HSV) kept.

    Args:
        planes: (3, h, w) float32.
        turn: part of a full turn; 1/3 makes red green.
    """
    r, g, b = planes
    value = planes.amax(dim=0)
    chroma = value - planes.amin(dim=0)
    safe = chroma.clamp(min=1)  # whole numbers: only grey has less
    towards = torch.where(value == g, (b - r) / safe + 2, (r - g) / safe + 4)
    sixth = torch.where(value == r, (g - b) / safe, towards) + 6 * turn  # of the circle
    out = torch.empty_like(planes)
    for plane, start in zip(out, (5.0, 3.0, 1.0)):
        share = torch.remainder(sixth + start, 6)
        kept = torch.minimum(share, 4 - share).clamp_(0, 1)
        plane.copy_(value - chroma * kept)
    return _levels(out)


def sharpness(planes: Tensor, factor: float) -> Tensor:
    """Away from the smoothed picture by the factor: 0 is smooth, 1 changes nothing, 2 is sharp.

    Smoothing is Pillow's: a pixel counts five times, its eight neighbours once; borders stay.
    """
    out = planes.clone()
    if min(planes.shape[1:]) < 3:
        return out
    tall = planes[:, :-2] + planes[:, 1:-1] + planes[:, 2:]
    box = tall[:, :, :-2] + tall[:, :, 1:-1] + tall[:, :, 2:]
    inner = planes[:, 1:-1, 1:-1]
    smooth = (box + 4 * inner).div_(13).round_()
    out[:, 1:-1, 1:-1] = _levels((inner * factor).add_(smooth.mul_(1 - factor)))
    return out


def autocontrast(planes: Tensor, _: float = 0.0) -> Tensor:
    """Each channel stretched so that its darkest value is 0 and its lightest 255."""
    low = planes.amin(dim=(1, 2), keepdim=True)  # (3, 1, 1)
    high = planes.amax(dim=(1, 2), keepdim=True)
    flat = high == low  # such a channel stays
    scale = torch.where(flat, 1.0, 255 / (high - low).clamp(min=1))
    return _levels((planes - torch.where(flat, 0.0, low)).mul_(scale))


def posterize(picture: Tensor, bits: float) -> Tensor:
    """Only the highest bits of each value are kept, from 0 to 8 of them; bytes."""
    return picture & ((0xFF << (8 - int(bits))) & 0xFF)


def solarize(picture: Tensor, threshold: float) -> Tensor:
    """Values at the threshold or above it become their negative; bytes."""
    levels = picture.numpy()
    lit = levels >= np.ceil(threshold)
    return torch.from_numpy(levels ^ (lit * np.uint8(255)))  # x ^ 255 is 255 - x


def equalize(picture: Tensor, _: float = 0.0) -> Tensor:
    """Each channel's values spread so that all are about equally frequent, as Pillow does it; bytes."""
    levels = picture.numpy()
    out = np.empty_like(levels)
    for channel in range(3):
        plane = np.ascontiguousarray(levels[..., channel])
        counts = np.bincount(plane.ravel(), minlength=256)
        step = int(plane.size - counts[plane.max(initial=0)]) // 255
        before = np.cumsum(counts) - counts
        table = np.arange(256) if step == 0 else (before + step // 2) // step
        out[..., channel] = np.minimum(table, 255).astype(np.uint8).take(plane)
    return torch.from_numpy(out)


def affine(picture: Tensor, inverse: np.ndarray) -> Tensor:
    """Pixels fetched from where the matrix says, the nearest one; black where there is none; bytes.

    Args:
        picture: (h, w, 3) uint8.
        inverse: (2, 3) float64, from a place (x, y, 1) in the new picture, in pixels from its upper left
            corner, to the place (x, y) in the old one.
    """
    h, w, _ = picture.shape
    x, y = np.arange(w) + 0.5, np.arange(h)[:, None] + 0.5
    column, line = (
        # as numbers without a sign, places before the first are beyond the last
        np.floor(row[0] * x + (row[1] * y + row[2])).astype(np.int32).view(np.uint32)
        for row in inverse
    )
    index = np.where((column < w) & (line < h), line * np.uint32(w) + column, np.uint32(h * w))
    source = torch.zeros((h * w + 1, 3), dtype=torch.uint8)  # the last pixel is the black one
    source[:-1] = picture.reshape(-1, 3)
    return source.index_select(0, torch.from_numpy(index.view(np.int32)).flatten()).view(h, w, 3)


def _levels(planes: Tensor) -> Tensor:
    """The nearest whole numbers from 0 to 255; changes its argument."""
    return planes.round_().clamp_(0, 255)
