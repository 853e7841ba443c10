"""A transformers image processor, as JSON, to our preprocessing steps and normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from headstart.errors import BackboneError
from headstart.preprocess.image import MAX_PIXELS, prepare

_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
_TOLERANCE = 0.03  # of the values' spread; a crop that is off by one pixel makes 0.02
_WHOLE_ABOVE = 384  # ConvNeXt: pictures of this size and more are squeezed, not cropped


@dataclass(frozen=True)
class PictureSteps:
    """How pictures are prepared.

    Attributes:
        steps: for `headstart.preprocess.image`.
        height: of the result, in pixels.
        width: of the result, in pixels.
        mean: of the three channels, taken off the rescaled pixels.
        std: of the three channels, divided by after that.
        scale: what pixels are multiplied by first.
        reverse: whether the channels go in as blue, green, red.
    """

    steps: tuple[Mapping[str, Any], ...]
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float
    reverse: bool


def picture_steps(shown: str, processor: Mapping[str, Any]) -> PictureSteps:
    """The steps of an image processor.

    Args:
        shown: the backbone's name, for messages.
        processor: `to_dict()` of the image processor: preprocessor_config.json with its defaults.

    Raises:
        BackboneError: the pictures it makes differ in size.
    """
    steps: list[Mapping[str, Any]] = [{"step": "decode", "max_pixels": MAX_PIXELS, "margin": 2}]
    shape: tuple[int, int] | None = None
    if processor.get("do_resize"):
        resize, shape = _resize(processor)
        steps += resize
    if processor.get("do_center_crop"):
        crop = _sides(processor.get("crop_size"))
        if crop is not None:
            steps.append(_crop(crop))
            shape = crop
    if shape is None:
        raise BackboneError(
            f"{shown} takes pictures of any size; features need one size.",
            fix="use a backbone made for classification, e.g. starter:lite0",
        )
    normal = bool(processor.get("do_normalize"))
    return PictureSteps(
        steps=tuple(steps),
        height=shape[0],
        width=shape[1],
        mean=_triple(processor.get("image_mean") if normal else 0.0),
        std=_triple(processor.get("image_std") if normal else 1.0),
        scale=float(processor.get("rescale_factor", 1 / 255))
        if processor.get("do_rescale")
        else 1.0,
        reverse=bool(processor.get("do_flip_channel_order")),
    )


def _resize(
    processor: Mapping[str, Any],
) -> tuple[list[Mapping[str, Any]], tuple[int, int] | None]:
    """The steps of `do_resize`, and the size of what they make, where that is fixed."""
    filter_name = _RESAMPLE[int(processor.get("resample", 2))]
    size = processor.get("size")
    sides = _sides(size)
    edges = size if isinstance(size, Mapping) else {}
    short = edges.get("shortest_edge")
    if short and processor.get("crop_pct"):
        square = (int(short), int(short))
        if short >= _WHOLE_ABOVE:
            return [_scale(list(square), "exact", filter_name)], square
        enlarged = int(short / processor["crop_pct"])
        return [_scale(enlarged, "shortest", filter_name), _crop(square)], square
    if sides is not None:
        return [_scale(list(sides), "exact", filter_name)], sides
    if short and not edges.get("longest_edge"):
        return [_scale(int(short), "shortest", filter_name)], None
    return [], None


def _scale(size: int | list[int], mode: str, filter_name: str) -> Mapping[str, Any]:
    return {"step": "resize", "size": size, "mode": mode, "interpolation": filter_name}


def _crop(size: tuple[int, int]) -> Mapping[str, Any]:
    return {"step": "center_crop", "size": list(size)}


def _sides(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and size.get("height") and size.get("width"):
        return int(size["height"]), int(size["width"])
    return None


def _triple(value: Any) -> tuple[float, ...]:
    numbers = [value] * 3 if isinstance(value, (int, float)) else list(value or ())
    return tuple(float(number) for number in numbers)


def compare_pictures(shown: str, processor: Any, how: PictureSteps) -> None:
    """Refuse a model whose own processor makes another picture than our steps.

    Its settings cannot say everything: some classes pad, or normalise twice.

    Args:
        shown: the backbone's name, for messages.
        processor: the image processor itself.
        how: as made of its settings.

    Raises:
        BackboneError: they differ.
    """
    rows, columns = np.mgrid[0:200, 0:300]
    waves = [np.sin(rows / 17 + k) * np.cos(columns / 23 - k) * 100 + 128 for k in range(3)]
    picture = np.stack(waves, axis=2).astype(np.uint8)  # (200, 300, 3)
    own = np.asarray(
        processor(images=[Image.fromarray(picture)], return_tensors="np")["pixel_values"]
    )
    ours = prepare(picture, how.steps)[0] * how.scale  # (h, w, 3)
    ours = ((ours[..., ::-1] if how.reverse else ours) - np.array(how.mean)) / np.array(how.std)
    ours = ours.transpose(2, 0, 1)[None]
    if own.shape != ours.shape or np.abs(own - ours).mean() > _TOLERANCE * own.std():
        raise BackboneError(
            f"{shown} prepares pictures in a way that is not supported "
            f"({type(processor).__name__.removesuffix('Pil')}).",
            fix="another model: most are in timm too (--backbone timm:NAME), or starter:lite0",
        )
