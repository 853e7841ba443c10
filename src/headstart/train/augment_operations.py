"""Operations on batches of pictures, each with a strength for every picture of its own.

Pictures come as (m, h, w, 3) uint8 and go as new ones of the same shape. Whole numbers or single
products and sums do the work, and sums over a picture are exact: a picture's result does not depend on
its neighbours, nor on the number of threads. What a value between two levels becomes is the nearer one.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Operation = Callable[[Tensor, np.ndarray], Tensor]

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow
_PIECE = 4  # so many pictures at once stay in the processor's cache: several times faster


def in_pieces(operation: Operation, pixels: Tensor, strengths: np.ndarray) -> Tensor:
    """The operation on a few pictures at a time.

    Args:
        operation: pictures, strengths -> pictures of the same shape.
        pixels: (m, h, w, 3) uint8.
        strengths: (m,) float64, what the operation calls its second argument.

    Returns:
        (m, h, w, 3) uint8.
    """
    out = torch.empty_like(pixels)
    for start in range(0, len(pixels), _PIECE):
        piece = slice(start, start + _PIECE)
        out[piece] = operation(pixels[piece], strengths[piece])
    return out


def brightness(pixels: Tensor, factors: np.ndarray) -> Tensor:
    """Every value times the factor: 0 is black, 1 changes nothing."""
    return _to_bytes(pixels.float() * _each(factors))


def contrast(pixels: Tensor, factors: np.ndarray) -> Tensor:
    """Away from the picture's mean grey by the factor: 0 is that grey, 1 changes nothing."""
    sums = pixels.sum(dim=(1, 2), dtype=torch.int64).double()  # (m, 3), exact
    luma = sums[:, 0] * LUMA[0] + sums[:, 1] * LUMA[1] + sums[:, 2] * LUMA[2]
    means = luma.numpy() / (pixels.shape[1] * pixels.shape[2])
    return _to_bytes(pixels.float() * _each(factors) + _each(means * (1 - factors)))


def saturation(pixels: Tensor, factors: np.ndarray) -> Tensor:
    """Away from each pixel's grey by the factor: 0 is a grey picture, 1 changes nothing."""
    floats = pixels.float()
    grey = floats[..., 0] * LUMA[0] + floats[..., 1] * LUMA[1] + floats[..., 2] * LUMA[2]
    grey = grey * _each(1 - factors)[..., 0]
    return _to_bytes(floats * _each(factors) + grey[..., None])


def hue(pixels: Tensor, turns: np.ndarray) -> Tensor:
    """The hue turned round the colour circle, value and saturation kept.

    Args:
        pixels: (m, h, w, 3) uint8.
        turns: (m,) parts of a full turn; 1/3 makes red green.
    """
    r, g, b = pixels.float().unbind(-1)
    value = torch.maximum(torch.maximum(r, g), b)
    chroma = value - torch.minimum(torch.minimum(r, g), b)
    safe = torch.where(chroma == 0, 1.0, chroma)
    sixth = torch.where(
        value == r,
        (g - b) / safe,
        torch.where(value == g, (b - r) / safe + 2, (r - g) / safe + 4),
    )
    sixth = sixth + _each(6 * turns)[..., 0]
    shares = [torch.remainder(sixth + start, 6) for start in (5.0, 3.0, 1.0)]
    kept = [torch.minimum(share, 4 - share).clamp_(0, 1) for share in shares]
    return _to_bytes(torch.stack([value - chroma * part for part in kept], dim=-1))


def sharpness(pixels: Tensor, factors: np.ndarray) -> Tensor:
    """Away from the smoothed picture by the factor: 0 is smooth, 1 changes nothing, 2 is sharp.

    Smoothing is Pillow's: a pixel counts five times, its eight neighbours once; borders stay.
    """
    whole = pixels.to(torch.int16)
    if min(whole.shape[1:3]) < 3:
        return pixels.clone()
    tall = whole[:, :-2] + whole[:, 1:-1] + whole[:, 2:]
    box = tall[:, :, :-2] + tall[:, :, 1:-1] + tall[:, :, 2:]
    inner = whole[:, 1:-1, 1:-1]
    smooth = ((box + 4 * inner) / 13).round_()
    out = pixels.clone()
    out[:, 1:-1, 1:-1] = _to_bytes(inner * _each(factors) + smooth * _each(1 - factors))
    return out


def posterize(pixels: Tensor, bits: np.ndarray) -> Tensor:
    """Only the highest bits of each value are kept, from 0 to 8 of them."""
    masks = (0xFF << (8 - bits.astype(np.int64))) & 0xFF
    return pixels & _each(masks.astype(np.uint8))


def solarize(pixels: Tensor, thresholds: np.ndarray) -> Tensor:
    """Values at the threshold or above it become their negative."""
    return torch.where(pixels >= _each(thresholds), 255 - pixels, pixels)


def autocontrast(pixels: Tensor, _: np.ndarray) -> Tensor:
    """Each channel stretched so that its darkest value is 0 and its lightest 255."""
    low = pixels.amin(dim=(1, 2), keepdim=True).float()  # (m, 1, 1, 3)
    high = pixels.amax(dim=(1, 2), keepdim=True).float()
    flat = high == low  # such a channel stays
    scale = torch.where(flat, 1.0, 255 / torch.where(flat, 1.0, high - low))
    return _to_bytes((pixels.float() - torch.where(flat, 0.0, low)) * scale)


def equalize(pixels: Tensor, _: np.ndarray) -> Tensor:
    """Each channel's values spread so that all are about equally frequent, as Pillow does it."""
    m = len(pixels)
    size = pixels.shape[1] * pixels.shape[2]
    index = pixels.long() + 256 * torch.arange(3 * m).view(m, 1, 1, 3)
    counts = torch.bincount(index.flatten(), minlength=768 * m).view(m, 3, 256)
    lightest = pixels.amax(dim=(1, 2)).long()[..., None]  # (m, 3, 1)
    step = (size - counts.gather(-1, lightest)) // 255  # (m, 3, 1)
    before = counts.cumsum(-1) - counts
    table = ((before + step // 2) // step.clamp(min=1)).clamp_(0, 255)
    table = torch.where(step == 0, torch.arange(256), table)  # too few pixels to spread
    return table.to(torch.uint8).flatten()[index]


def affine(pixels: Tensor, inverses: np.ndarray) -> Tensor:
    """Pixels fetched from where the matrix says, the nearest one; black where there is none.

    Args:
        pixels: (m, h, w, 3) uint8.
        inverses: (m, 2, 3) float64, from a place (x, y, 1) in the new picture, in pixels from its upper
            left corner, to the place (x, y) in the old one.
    """
    m, h, w = pixels.shape[:3]
    x = torch.arange(w, dtype=torch.float64) + 0.5
    y = torch.arange(h, dtype=torch.float64)[:, None] + 0.5
    out = torch.empty_like(pixels)
    for i in range(m):
        ax, bx, cx, ay, by, cy = inverses[i].ravel().tolist()
        column = (ax * x + (bx * y + cx)).floor_().to(torch.int32)  # (h, w)
        line = (ay * x + (by * y + cy)).floor_().to(torch.int32)
        outside = (column < 0) | (column >= w) | (line < 0) | (line >= h)
        index = (line * w + column).masked_fill_(outside, 0).flatten()
        found = pixels[i].reshape(h * w, 3).index_select(0, index).view(h, w, 3)
        out[i] = found.masked_fill_(outside[..., None], 0)
    return out


def _each(values: np.ndarray) -> Tensor:
    """(m,) numbers, ready to meet (m, h, w, 3)."""
    array = values.astype(np.float32) if values.dtype == np.float64 else values
    return torch.from_numpy(array).view(-1, 1, 1, 1)


def _to_bytes(floats: Tensor) -> Tensor:
    """The nearest of the levels 0 to 255; changes its argument."""
    return floats.add_(0.5).clamp_(0, 255).to(torch.uint8)
