"""The most confident mistakes: what a person should look at first, with a small picture or the text."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import UnreadableInput
from headstart.preprocess.image import open_image
from headstart.types import Input, Table

_SIDE = 160  # pixels, the long side of a thumbnail
_QUALITY = 70
_MAX_URI = 60_000  # characters; a noisy picture is compressed harder to keep the page light
_TEXT = 300  # characters
_URI = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True)
class Mistake:
    """One wrong answer.

    Attributes:
        name: the row's name.
        truth: its label in the data.
        label: the answer.
        probability: calibrated, of the answer.
        truth_probability: calibrated, of the true label.
        image: a JPEG as a data URI; empty for texts and for pictures that cannot be shown.
        text: the text, cut; empty for pictures.
    """

    name: str
    truth: str
    label: str
    probability: float
    truth_probability: float
    image: str = ""
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "name": self.name,
            "truth": self.truth,
            "label": self.label,
            "probability": round(self.probability, 6),
            "truth_probability": round(self.truth_probability, 6),
            "image": self.image,
            "text": self.text,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Mistake:
        """The inverse of `to_json`; an image that is not a JPEG data URI is left out."""
        return Mistake(
            str(data["name"]),
            str(data["truth"]),
            str(data["label"]),
            float(data["probability"]),
            float(data["truth_probability"]),
            safe_image(data["image"]),
            str(data["text"]),
        )


def worst(
    test: Table,
    probabilities: np.ndarray,
    codes: np.ndarray,
    labels: Sequence[str],
    *,
    limit: int = 12,
    max_pixels: int = 50_000_000,
) -> tuple[Mistake, ...]:
    """The wrong answers that were given with the highest probability, surest first.

    Args:
        test: the n rows measured.
        probabilities: (n, k) calibrated.
        codes: (n,) true class numbers; rows with -1, a label the model does not know, are left out.
        labels: k labels.
        limit: at most so many.
        max_pixels: larger pictures are not decoded for a thumbnail.
    """
    if not len(test):
        return ()
    answers = probabilities.argmax(axis=1)
    sure = probabilities[np.arange(len(test)), answers]
    wrong = np.flatnonzero((answers != codes) & (np.asarray(codes) >= 0))  # others are not measured
    rows = wrong[np.argsort(-sure[wrong], kind="stable")][:limit]
    found = []
    for row in rows.tolist():
        code = int(codes[row])
        pictured = test.modality == "image"
        found.append(
            Mistake(
                name=test.names[row],
                truth=labels[code],
                label=labels[int(answers[row])],
                probability=float(sure[row]),
                truth_probability=float(probabilities[row, code]),
                image=thumbnail(test.inputs[row], max_pixels) if pictured else "",
                text="" if pictured else cut(str(test.inputs[row])),
            )
        )
    return tuple(found)


def safe_image(value: Any) -> str:
    """A data URI of a JPEG as it is; anything else becomes empty."""
    return str(value) if _URI.fullmatch(str(value)) else ""


def thumbnail(source: Input, max_pixels: int, side: int = _SIDE) -> str:
    """A small JPEG of a picture as a data URI, `side` pixels long; empty where it cannot be read."""
    try:
        picture, _ = open_image(
            source, max_pixels, least=side
        )  # a JPEG is decoded no larger than needed
    except UnreadableInput:
        return ""
    picture = picture.convert("RGB")
    picture.thumbnail((side, side))
    uri = ""
    for quality in (_QUALITY, 45, 20):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
        uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
        if len(uri) <= _MAX_URI:
            break
    return uri


def cut(text: str, limit: int = _TEXT) -> str:
    """One line of a text, at most so many characters of it."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[:limit].rstrip() + " …"
