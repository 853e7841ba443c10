"""Pictures to arrays, the same for training and serving.

Steps (see `headstart.types.Preprocess`):
    {"step": "decode", "max_pixels": 50000000, "margin": 2}
    {"step": "resize", "size": 256 | [h, w], "mode": "shortest" | "exact", "interpolation": "bicubic"}
    {"step": "center_crop", "size": [h, w], "joined": true}
The result is uint8 RGB; normalisation is inside the graph.

"margin": a JPEG may be decoded at a half, a quarter or an eighth of its size, as long as it stays so many
times as large as the resize step wants it. At 2 the result differs by less than a level on average (the
decoder averages what resizing would average) and a photo of 4 megapixels takes half the time or less.
Without it, as in old bundles, every picture is decoded whole.

"joined": of the resize step before it only the middle is computed, which saves a third of the time. In photos
three pixels in ten thousand then differ by a level or two: Pillow rounds between its two passes, and may
take them in the other order.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import io
import threading
import warnings
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from headstart.errors import BundleError, UnreadableInput
from headstart.types import Input

MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")
_PLUGINS = ("Jpeg", "Mpo", "Png", "WebP", "Bmp", "Gif", "Tiff", "Ppm", "Avif")
MAX_SIDE = 8192  # of what a graph takes: a larger one fills the memory, and no backbone has it
_MAX_BYTES = 1 << 30
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# warnings.catch_warnings swaps process-wide state, and pictures are opened on several threads
_OPENING = threading.Lock()


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow reads; only their decoders are loaded."""
    for name in _PLUGINS:
        with contextlib.suppress(ImportError):  # AVIF came with Pillow 11.3
            importlib.import_module(f"PIL.{name}ImagePlugin")
    return tuple(name for name in FORMATS if name in Image.OPEN)


def content(source: Input) -> bytes | Image.Image | np.ndarray:
    """What a picture is made of: a file's bytes, or the picture itself where it is in memory.

    Raises:
        UnreadableInput: there is no such file, it cannot be read, or it is empty.
    """
    if isinstance(source, (Image.Image, np.ndarray)):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
    elif isinstance(source, (str, Path)):
        data = _read_file(Path(source))
    else:
        raise UnreadableInput(f"not a picture but a {type(source).__name__}")
    if not data:
        raise UnreadableInput("empty file")
    return data


def _read_file(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise UnreadableInput("a folder, not a file")
        if path.stat().st_size > _MAX_BYTES:
            raise UnreadableInput("larger than 1 GB")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableInput("no such file") from error
    except PermissionError as error:
        raise UnreadableInput("no permission to read it") from error
    except (OSError, ValueError) as error:
        raise UnreadableInput(
            f"cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from error


def digest(source: bytes | Image.Image | np.ndarray) -> bytes:
    """SHA-256 of a picture's content (as `content` returns it), 32 bytes."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).digest()
    array = np.ascontiguousarray(np.asarray(source))
    if isinstance(source, Image.Image):
        mode = source.mode  # the same numbers mean other colours in another mode
    else:
        mode = {2: "L", 3: "RGB", 4: "RGBA"}.get(array.shape[2] if array.ndim == 3 else 2, "array")
    head = f"{mode} {array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(head + array.tobytes()).digest()


def open_image(
    source: Input, max_pixels: int = MAX_PIXELS, least: int = 0
) -> tuple[Image.Image, str]:
    """Decode a picture: upright, RGB, 8 bits a channel, transparency over white.

    Args:
        source: a path, a file's bytes, a PIL image, or a uint8 array (h, w), (h, w, 3), (h, w, 4).
        max_pixels: larger pictures are refused before they are decoded.
        least: a JPEG may be decoded smaller than it is, but no side shorter than this; 0 decodes it whole.

    Returns:
        The picture, and a note on what was done with it: "" or a `Finding.kind` such as "animated".

    Raises:
        UnreadableInput: with the reason.
    """
    data = content(source)
    if isinstance(data, np.ndarray):
        return _from_array(data), ""
    image = data if isinstance(data, Image.Image) else _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadableInput(
            f"{width} x {height} pixels, more than the limit of {max_pixels / 1e6:g} million"
        )
    if width == 0 or height == 0:
        raise UnreadableInput(f"{width} x {height} pixels")
    if image.format == "PNG" and isinstance(data, bytes) and not _sums_hold(data):
        raise UnreadableInput("the picture is damaged")
    try:
        # not n_frames, which goes through all of them
        moving = image.format != "MPO" and getattr(image, "is_animated", False)
        note = "animated" if moving else ""
        if (
            least and image.format == "JPEG" and isinstance(data, bytes)
        ):  # not the caller's own picture
            image.draft(None, (least, least))
        # first of all: reading EXIF data decodes a PNG too, and a second try never fails
        image.load()
        return _to_rgb(_upright(image)), note
    except MemoryError as error:
        raise UnreadableInput("not enough memory to decode it") from error
    except Exception as error:  # decoders raise whatever their parsers raise
        raise UnreadableInput(_why(error)) from error


def dimensions(source: Input) -> tuple[int, int]:
    """Width and height in pixels as stored, from the file's head alone; (0, 0) where it cannot be told."""
    try:
        if isinstance(source, (str, Path)):
            with _OPENING, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(source, formats=_formats()) as image:
                    return image.size
        data = content(source)
        if isinstance(data, np.ndarray):
            return (data.shape[1], data.shape[0]) if data.ndim > 1 else (0, 0)
        return (data if isinstance(data, Image.Image) else _open(data)).size
    except Exception:  # noqa: BLE001  parsers raise whatever they like; the extraction names the reason
        return 0, 0


def _sums_hold(data: bytes) -> bool:
    """Whether the pixels of a PNG file are those that were written: Pillow does not look, and shows noise."""
    at, whole = 8, memoryview(data)
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(whole[at : at + 4], "big")
        if end + 4 > len(data):
            break  # cut off: the decoder says so
        said = int.from_bytes(whole[end : end + 4], "big")
        if whole[at + 4 : at + 8] == b"IDAT" and zlib.crc32(whole[at + 4 : end]) != said:
            return False
        at = end + 4
    return True


def _open(data: bytes) -> Image.Image:
    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked by ourselves, before decoding
            return Image.open(io.BytesIO(data), formats=_formats())
    except Image.DecompressionBombError as error:
        raise UnreadableInput("far too many pixels") from error
    except Exception as error:
        raise UnreadableInput(_not_an_image(data)) from error


def _not_an_image(data: bytes) -> str:
    start = data[:512]
    if start.lstrip()[:5].lower() in (b"<html", b"<!doc", b"<?xml", b"<svg "):
        return "not a picture (it is an HTML, XML or SVG page)"
    if start.startswith(b"version https://git-lfs"):
        return "not a picture (a Git LFS pointer: run git lfs pull)"
    if b"\0" not in start and sum(32 <= b < 127 or b in b"\t\n\r" for b in start) > 0.9 * len(
        start
    ):
        return "not a picture (it is a text file)"
    if start[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "an HEIC picture, which is not supported: convert it to JPEG"
    return "not a picture, or a damaged one"


def _why(error: Exception) -> str:
    text = str(error).lower()
    if "truncated" in text or "broken data stream" in text or "unrecognized data" in text:
        return "the picture is cut off or damaged"
    return "the picture is damaged"


def _upright(image: Image.Image) -> Image.Image:
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # corrupt EXIF warns; the picture itself may be sound
        try:
            orientation = image.getexif().get(0x0112, 1)
        except Exception:  # noqa: BLE001  damaged EXIF data must not cost the picture
            return image
    if orientation in range(2, 9):
        return ImageOps.exif_transpose(image)
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        image.load()
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        return _from_deep(np.asarray(image, dtype=np.float64))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _from_deep(values: np.ndarray) -> Image.Image:
    """Grey values of more than 8 bits: 16-bit integers and 0..1 floats by their range, others stretched."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    elif low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    scaled = np.nan_to_num((values - low) / ((high - low) or 1.0) * 255)
    return Image.fromarray(np.clip(scaled + 0.5, 0, 255).astype(np.uint8)).convert("RGB")


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.size == 0:
        raise UnreadableInput(
            f"an array of {array.dtype} with shape {array.shape}, not uint8 (h, w, 3)"
        )
    if array.ndim == 3 and array.shape[2] not in (3, 4):
        raise UnreadableInput(f"an array with {array.shape[2]} channels, not 1, 3 or 4")
    return _to_rgb(Image.fromarray(np.ascontiguousarray(array)))


def prepare(source: Input, steps: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, str]:
    """One picture through all steps.

    Returns:
        uint8 (h, w, 3), and the note of `open_image`.

    Raises:
        UnreadableInput: with the reason.
        BundleError: the steps are malformed.
    """
    check_steps(steps)
    image: Image.Image | None = None
    note = ""
    for step, following in zip(steps, (*steps[1:], {})):
        if step["step"] == "decode":
            least = int(step.get("margin", 0)) * _target(steps)
            image, note = open_image(source, int(step.get("max_pixels", MAX_PIXELS)), least)
        elif step["step"] == "resize":
            assert image is not None
            image = _resize(image, step, following["size"] if following.get("joined") else None)
        elif step["step"] == "center_crop":
            assert image is not None
            image = _center_crop(image, step["size"])
        else:
            raise ValueError(f"unknown image step {step['step']!r}")
    assert image is not None
    return np.asarray(image), note


def check_steps(steps: Sequence[Mapping[str, Any]]) -> None:
    """Refuse steps that no picture can go through, or that would fill the memory.

    Raises:
        BundleError: with the number of the step and the field.
    """
    for i, step in enumerate(steps):
        fault = _fault(step, first=i == 0)
        if fault:
            raise BundleError(
                f"The preprocessing of pictures is malformed: preprocess.steps[{i}]: {fault}.",
                fix="make the bundle again with headstart fit",
            )
    if not steps:
        raise BundleError(
            "The preprocessing of pictures is malformed: preprocess.steps is empty.",
            fix="make the bundle again with headstart fit",
        )


def _fault(step: Mapping[str, Any], first: bool) -> str:
    kind = step.get("step")
    if (kind == "decode") != first:
        return f"step is {kind!r}, where decode comes first and once"
    if kind == "decode":
        for name, most in (("max_pixels", 1 << 40), ("margin", 64)):
            if not _whole(step.get(name, 0), 0, most):
                return f"{name} is {step[name]!r}"
        return ""
    size = step.get("size")
    sides = size if isinstance(size, (list, tuple)) else [size, size]
    if len(sides) != 2 or not all(_whole(side, 1, MAX_SIDE) for side in sides):
        return f"size is {size!r}"
    if kind == "center_crop" or (kind == "resize" and _is_filter(step)):
        return ""
    return (
        f"interpolation is {step['interpolation']!r}" if kind == "resize" else f"step is {kind!r}"
    )


def _is_filter(step: Mapping[str, Any]) -> bool:
    name = step.get("interpolation", "bicubic")
    return isinstance(name, str) and name in _FILTERS


def _whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _target(steps: Sequence[Mapping[str, Any]]) -> int:
    """The side that the resize step asks for, the longer where it names two; 0 without such a step."""
    size = next((step["size"] for step in steps if step["step"] == "resize"), 0)
    return int(size if isinstance(size, int) else max(size))


def _resize(
    image: Image.Image, step: Mapping[str, Any], middle: Sequence[int] | None = None
) -> Image.Image:
    """The picture in the step's size; of it only the `middle` (h, w), where it holds that."""
    size, resample = step["size"], _FILTERS[step.get("interpolation", "bicubic")]
    if step.get("mode") == "exact":
        height, width = (size, size) if isinstance(size, int) else size
        return image.resize((width, height), resample)
    short = int(size if isinstance(size, int) else min(size))
    image = _trim_panorama(image, short)
    # the truncation is torchvision's, so that features agree with the original's
    if image.width <= image.height:
        width, height = short, int(short * image.height / image.width)
    else:
        width, height = int(short * image.width / image.height), short
    if middle is None or height < middle[0] or width < middle[1]:
        return image.resize((width, height), resample)
    left, top = _middle(width, middle[1]), _middle(height, middle[0])
    across, down = image.width / width, image.height / height
    box = (left * across, top * down, (left + middle[1]) * across, (top + middle[0]) * down)
    return image.resize((middle[1], middle[0]), resample, box=box)


def _trim_panorama(image: Image.Image, short: int) -> Image.Image:
    """Cut a very long picture to its middle first: enlarging a 1 x 50,000 strip would fill memory."""
    width, height = image.size
    limit = 8 * min(width, height)
    if max(width, height) <= max(limit, 4 * short):
        return image
    box_w, box_h = min(width, max(limit, 1)), min(height, max(limit, 1))
    left, top = (width - box_w) // 2, (height - box_h) // 2
    return image.crop((left, top, left + box_w, top + box_h))


def _center_crop(image: Image.Image, size: Sequence[int] | int) -> Image.Image:
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if image.width < width or image.height < height:  # as torchvision: pad with black
        padded = Image.new("RGB", (max(image.width, width), max(image.height, height)))
        padded.paste(
            image, ((padded.width - image.width) // 2, (padded.height - image.height) // 2)
        )
        image = padded
    left, top = _middle(image.width, width), _middle(image.height, height)
    return image.crop((left, top, left + width, top + height))


def _middle(whole: int, part: int) -> int:
    """Where the middle begins, rounded as torchvision does."""
    return round((whole - part) / 2.0)
