"""Heat maps over pictures. Orange speaks for the label, blue against it, grey was never seen."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

FOR, AGAINST, UNSEEN = (226, 92, 12), (24, 98, 178), (72, 74, 78)
_FAINT = 0.08  # of the strongest: less is not drawn, so that noise does not tint the whole picture
_HATCH = 9  # pixels between the stripes over what was not seen


def layer(heat: np.ndarray, height: int, width: int) -> Image.Image:
    """The heat map as a transparent picture of this size, RGBA.

    Args:
        heat: (h, w), NaN where the model sees nothing.
        height: of the result, pixels.
        width: of the result, pixels.
    """
    rows = (np.arange(height) + 0.5) * heat.shape[0] / height
    columns = (np.arange(width) + 0.5) * heat.shape[1] / width
    values = heat[rows.astype(int)][:, columns.astype(int)].astype(np.float64)
    unseen = ~np.isfinite(values)
    values[unseen] = 0
    most = float(np.abs(values).max()) or 1.0
    share = np.clip((np.abs(values) / most - _FAINT) / (1 - _FAINT), 0, 1)
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., :3] = np.where(values[..., None] > 0, FOR, AGAINST)
    pixels[..., 3] = (235 * share**0.8).astype(np.uint8)
    y, x = np.nonzero(unseen)
    pixels[y, x, :3] = UNSEEN
    pixels[y, x, 3] = np.where((x + y) % _HATCH < 2, 215, 150)
    return Image.fromarray(pixels)


def overlaid(picture: np.ndarray, heat: np.ndarray, strength: float = 0.8) -> Image.Image:
    """A picture with its heat map over it, RGB.

    Args:
        picture: (h, w, 3) uint8.
        heat: (h', w'), NaN where the model sees nothing.
        strength: how strong the colours are, 0 to 1.
    """
    below = Image.fromarray(picture).convert("RGBA")
    above = layer(heat, picture.shape[0], picture.shape[1])
    opacity = above.getchannel("A").point(lambda a: int(a * strength))
    above.putalpha(opacity)
    return Image.alpha_composite(below, above).convert("RGB")


def data_uri(picture: Image.Image, kind: str) -> str:
    """A picture as a data URI.

    Args:
        picture: RGB, or RGBA for PNG.
        kind: "JPEG" or "PNG".
    """
    buffer = io.BytesIO()
    options = {"quality": 82} if kind == "JPEG" else {}
    picture.save(buffer, kind, optimize=True, **options)
    written = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{written}"
