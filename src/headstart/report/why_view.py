"""What the page and the terminal show of explanations: everything computed, nothing written yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headstart.report.mistakes import thumbnail
from headstart.report.why_words import WhyWords
from headstart.report.words import clip
from headstart.runtime import drawn
from headstart.runtime.explanation import Explanation, Span, strongest

_LISTED = 8  # strongest pieces
_JOINED = 0.15  # of the strongest weight: less does not make a longer piece
_FAINT = 0.06  # of the strongest weight: less is not coloured
_PIXELS = 50_000_000


@dataclass(frozen=True)
class Bar:
    """A piece or a place with its weight.

    Attributes:
        name: what is shown of it.
        weight: in log-odds.
        share: of the strongest one, 0 to 1.
    """

    name: str
    weight: float
    share: float


@dataclass(frozen=True)
class Marked:
    """A run of a text.

    Attributes:
        text: its characters.
        kind: "for", "against", "plain" or "unseen".
        share: of the strongest weight, 0 to 1.
        odds: by what it multiplies the odds, for a hint; empty for plain text.
    """

    text: str
    kind: str
    share: float = 0.0
    odds: str = ""


@dataclass(frozen=True)
class Alike:
    """A neighbour as it is shown; `image` and `text` are empty where its content is not known."""

    name: str
    label: str
    cosine: float
    same: bool
    image: str = ""
    text: str = ""


def pieces(spans: tuple[Span, ...]) -> list[Bar]:
    """The strongest pieces; characters that touch and pull the same way are one piece."""
    most = strongest(spans)
    joined: list[tuple[str, float, int]] = []
    for one in spans:
        if not one.seen or not one.weight:
            continue
        strong = abs(one.weight) >= _JOINED * most
        if joined and strong and joined[-1][2] == one.start and joined[-1][1] * one.weight > 0:
            text, weight, _ = joined.pop()
            joined.append((text + one.text, weight + one.weight, one.stop))
        else:
            joined.append((one.text, one.weight, one.stop if strong else -1))
    joined.sort(key=lambda entry: -abs(entry[1]))
    top = abs(joined[0][1]) if joined else 1.0
    return [
        Bar(text, weight, abs(weight) / top)
        for text, weight, _ in joined[:_LISTED]
        if abs(weight) >= _FAINT * top
    ]


def places(heat: np.ndarray, w: WhyWords) -> list[Bar]:
    """The nine places of what the model sees of a picture, strongest first.

    The heat of a place adds up to what the place adds to the log-odds.
    """
    rows = np.flatnonzero(np.isfinite(heat).any(axis=1))
    columns = np.flatnonzero(np.isfinite(heat).any(axis=0))
    if not len(rows) or not len(columns):
        return []
    found = []
    for i, some_rows in enumerate(np.array_split(rows, 3)):
        for j, some_columns in enumerate(np.array_split(columns, 3)):
            block = heat[np.ix_(some_rows, some_columns)]
            found.append((f"place.{i}{j}", float(block.sum()) if block.size else 0.0))
    most = max(abs(weight) for _, weight in found) or 1.0
    ranked = sorted(found, key=lambda entry: -abs(entry[1]))
    return [
        Bar(w(key), weight, abs(weight) / most)
        for key, weight in ranked
        if abs(weight) >= _FAINT * most
    ]


def marked(text: str, spans: tuple[Span, ...], w: WhyWords) -> list[Marked]:
    """The whole text in runs, for colouring."""
    most, at, shown = strongest(spans), 0, []
    for one in spans:
        if one.start > at:
            shown.append(Marked(text[at : one.start], "plain"))
        share = abs(one.weight) / most
        if not one.seen:
            shown.append(Marked(one.text, "unseen"))
        elif share < _FAINT:
            shown.append(Marked(one.text, "plain"))
        else:
            kind = "for" if one.weight > 0 else "against"
            shown.append(Marked(one.text, kind, round(share, 3), w.odds(one.weight)))
        at = one.stop
    return [*shown, Marked(text[at:], "plain")] if text[at:].strip() else shown


def neighbours(one: Explanation, contents: Mapping[str, Any]) -> list[Alike]:
    """The neighbours, with their contents where they are known.

    Args:
        one: the explanation.
        contents: name -> input, of the training data.
    """
    pictured = one.picture is not None
    found = []
    for near in one.neighbours:
        content = contents.get(near.name)
        found.append(
            Alike(
                near.name,
                near.label,
                near.cosine,
                near.label == one.label,
                thumbnail(content, _PIXELS) if pictured and content is not None else "",
                clip(str(content), 300) if not pictured and content is not None else "",
            )
        )
    return found


def section(
    one: Explanation, text: str, contents: Mapping[str, Any], w: WhyWords
) -> dict[str, Any]:
    """All that the page shows of one explanation.

    Args:
        one: the explanation.
        text: what was explained, for texts.
        contents: name -> input, of the training data.
        w: the language.
    """
    words, answer = w.words, one.prediction
    label = one.label or ""
    near = neighbours(one, contents)
    shown: dict[str, Any] = {
        "name": Path(one.input).name if one.picture is not None else clip(one.input, 40),
        "full_name": one.input,
        "label": label,
        "answer": answer.label or label,
        "probability": words.percent(answer.probability or 0.0),
        "share": answer.probability or 0.0,
        "withheld": withheld(one, w),
        "asked": "",
        "picture": "",
        "layer": "",
        "unseen": False,
        "runs": [],
        "bars": [],
        "near": near,
        "agree": "",
        "lost": sum(not (a.image or a.text) for a in near) if contents else 0,
        "notes": w.notes(one.note),
        "passes": words.count(one.passes),
        "seconds": words.seconds(one.seconds),
        "fidelity": _fidelity(one, w),
    }
    if label != answer.label:
        shown["asked"] = w(
            "asked", label=clip(label), value=words.percent(answer.probabilities.get(label, 0.0))
        )
    if near:
        same = sum(a.same for a in near)
        key = {"n": len(near), "same": same, "label": clip(label)}
        shown["agree"] = w("near.agree", **key) if len(near) > 1 or same else ""
    if one.picture is not None and one.heat is not None:
        height, width = one.picture.shape[:2]
        shown["picture"] = drawn.data_uri(Image.fromarray(one.picture), "JPEG")
        shown["layer"] = drawn.data_uri(drawn.layer(one.heat, height, width), "PNG")
        shown["size"] = (width, height)
        shown["unseen"] = bool(np.isnan(one.heat).any())
        shown["bars"] = places(one.heat, w)
    else:
        shown["runs"] = marked(text, one.spans, w)
        shown["unseen"] = any(not span.seen for span in one.spans)
        shown["bars"] = pieces(one.spans)
    return shown


def withheld(one: Explanation, w: WhyWords) -> str:
    """That the answer is withheld, and why; empty where it is given."""
    if not one.prediction.abstained:
        return ""
    reason = w.words.said(one.prediction.reason).rstrip(".。")
    return w("withheld", reason=reason) if reason else w("withheld.plain")


def _fidelity(one: Explanation, w: WhyWords) -> str:
    if one.fidelity is None:
        return ""
    if one.fidelity == 1.0:
        return w("made.fidelity.exact")
    return w("made.fidelity.value", value=w.words.percent(one.fidelity, 0))
