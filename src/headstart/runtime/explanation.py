"""What an explanation holds, as values that can be printed, saved and shown in a notebook."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.types import Prediction

if TYPE_CHECKING:
    from PIL import Image

_GRID = 28  # the longer side of the heat map in JSON
_QUIET = "opacity:.75;font-size:.9em"
_CELL = "padding:.2em .75em .2em 0;border:0;border-bottom:1px solid rgba(128,128,128,.3);text-align:left"


@dataclass(frozen=True)
class Neighbour:
    """A training example.

    Attributes:
        name: of its row, as the training data names it.
        label: its label in the training data.
        cosine: how alike the backbone finds it: 1 is the same direction of the features.
    """

    name: str
    label: str
    cosine: float

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"name": self.name, "label": self.label, "cosine": round(self.cosine, 6)}


@dataclass(frozen=True)
class Span:
    """A piece of a text.

    Attributes:
        text: its characters.
        start: of the piece in the text that was given, in characters.
        stop: one past its end.
        weight: what it adds to the log-odds of the label: negative speaks against it.
        seen: whether the model reads so far; what it does not read has the weight 0.
    """

    text: str
    start: int
    stop: int
    weight: float
    seen: bool = True

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "text": self.text,
            "start": self.start,
            "stop": self.stop,
            "weight": round(self.weight, 6),
            "seen": self.seen,
        }


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a model says what it says of one input. It tells of the model, not of the world.

    Attributes:
        input: the input's name.
        prediction: what the model says.
        label: the label that is explained; None where the input could not be read.
        neighbours: the training examples that the backbone finds most alike, nearest first.
        heat: pictures: (h, w) float32 in the coordinates of the upright picture: what each pixel adds
            to the log-odds of the label, so that the sum over a region is what the region adds; negative
            speaks against it, NaN was cut off before the model saw it. None for texts.
        spans: texts: the pieces in their order; empty for pictures.
        passes: inputs that went through the graph for this.
        seconds: what it took.
        note: what a reader has to know; empty where there is nothing.
        fidelity: how much of the changes in the answer the weights account for, on trials that they were
            not computed from: 1 is all, 0 none; None where nothing was tried.
        picture: the upright picture, made smaller, (h', w', 3) uint8, for showing; None for texts.
    """

    input: str
    prediction: Prediction
    label: str | None
    neighbours: tuple[Neighbour, ...] = ()
    heat: np.ndarray | None = field(default=None, repr=False)
    spans: tuple[Span, ...] = field(default=(), repr=False)
    passes: int = 0
    seconds: float = 0.0
    note: str = ""
    fidelity: float | None = None
    picture: np.ndarray | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; the heat map coarsened to a grid, null where the model sees nothing."""
        return {
            "input": self.input,
            "label": self.label,
            "prediction": self.prediction.to_json(),
            "neighbours": [one.to_json() for one in self.neighbours],
            "heat": None if self.heat is None else _coarse(self.heat),
            "spans": [one.to_json() for one in self.spans],
            "passes": self.passes,
            "seconds": round(self.seconds, 3),
            "fidelity": self.fidelity,
            "note": self.note,
        }

    def overlaid(self, strength: float = 0.8) -> Image.Image:
        """The picture with the heat map over it.

        Args:
            strength: how strong the colours are, 0 to 1.

        Raises:
            ValueError: the explanation is not of a picture.
        """
        from headstart.runtime import drawn

        if self.picture is None or self.heat is None:
            raise ValueError("only a picture's explanation can be drawn over it")
        return drawn.overlaid(self.picture, self.heat, strength)

    def _repr_html_(self) -> str:
        """A fragment for notebooks: the answer, the coloured input, the neighbours."""
        from headstart.runtime import drawn

        shown, probability = self.prediction.label, self.prediction.probability
        sure = "" if probability is None else f", {100 * probability:.1f} %"
        parts = [f"<p><b>{_text(shown or '–')}</b>{sure}</p>"]
        if self.label is not None and self.label != shown:
            parts.append(f"<p>explained: {_text(self.label)}</p>")
        if self.picture is not None and self.heat is not None:
            uri = drawn.data_uri(self.overlaid(), "JPEG")
            parts.append(f'<img alt="{_text(self.input)}" style="max-width:24em" src="{uri}">')
        if self.spans:
            parts.append(f"<p>{_coloured(self.spans)}</p>")
        if self.neighbours:
            rows = "".join(
                f'<tr><td style="{_CELL}">{one.cosine:.3f}</td>'
                f'<td style="{_CELL}">{_text(one.label)}</td><td style="{_CELL}">{_text(one.name)}</td></tr>'
                for one in self.neighbours
            )
            parts.append(f"<table>{rows}</table>")
        parts.append(f'<p style="{_QUIET}">{_text(self.note)}</p>' if self.note else "")
        body = "".join(parts)
        return f'<div style="font-family:system-ui,sans-serif;line-height:1.6;max-width:48em">{body}</div>'


def strongest(spans: tuple[Span, ...]) -> float:
    """The largest weight, either way; 1 where all are 0."""
    return max((abs(one.weight) for one in spans), default=0.0) or 1.0


def _coloured(spans: tuple[Span, ...]) -> str:
    most, shown, at = strongest(spans), [], spans[0].start
    for one in spans:
        share = abs(one.weight) / most
        colour = "225,110,30" if one.weight > 0 else "70,140,210"
        gap = " " if one.start > at else ""
        style = f"background:rgba({colour},{0.6 * share:.2f})" if one.seen else "opacity:.5"
        shown.append(
            f'{gap}<span style="{style}" title="{one.weight:+.2f}">{_text(one.text)}</span>'
        )
        at = one.stop
    return "".join(shown)


def _coarse(heat: np.ndarray) -> dict[str, Any]:
    """Sums over blocks, none where a block was not seen at all."""
    height, width = heat.shape
    step = max(1, math.ceil(max(height, width) / _GRID))
    rows, columns = range(0, height, step), range(0, width, step)
    blocks = [[heat[y : y + step, x : x + step] for x in columns] for y in rows]
    return {
        "height": height,
        "width": width,
        "grid": [[_sum(block) for block in row] for row in blocks],
    }


def _sum(block: np.ndarray) -> float | None:
    seen = block[np.isfinite(block)]
    return round(float(seen.sum()), 5) if seen.size else None


def _text(value: str) -> str:
    """Escaped, with control characters made visible."""
    kept = "".join(c if c.isprintable() or c in " \t\n" else repr(c)[1:-1] for c in value)
    return escape(kept)
