"""Explanations in a terminal: the answer, the text with its weights in colour, the neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headstart.report import why_view
from headstart.report.why_words import WhyWords
from headstart.report.words import clip, columns, visible
from headstart.runtime.explanation import Explanation

_INDENT = "  "
_BAR = 12  # columns of the longest bar
_LONG = 2000  # characters of a text that are shown
# grounds of the 256 colours, faint to strong, with black letters on them
_GROUNDS = {"for": (223, 216, 209, 208), "against": (189, 153, 117, 75)}
_SIGNS = {"for": "█", "against": "▒"}


def told(
    one: Explanation,
    text: str,
    lang: str = "en",
    *,
    colour: bool = False,
    contents: Mapping[str, Any] | None = None,
) -> str:
    """One explanation as lines.

    Args:
        one: the explanation, of an input that could be read.
        text: what was given, for texts.
        lang: "en" or "zh".
        colour: whether the terminal shows colours; without them the text is not repeated.
        contents: name -> input of training examples: neighbours' texts are shown.

    Raises:
        ConfigError: there is no such language.
    """
    w = WhyWords(lang)
    label = clip(one.label or "", 40)
    answer = one.prediction
    lines = [
        clip(one.input, 70),
        f"{_INDENT}{clip(answer.label or label)}  {w.words.percent(answer.probability or 0.0)}",
    ]
    if answer.abstained:
        lines.append(_INDENT + clip(why_view.withheld(one, w), 200))
    if one.label != answer.label:
        value = w.words.percent(answer.probabilities.get(one.label or "", 0.0))
        lines.append(_INDENT + w("asked", label=label, value=value))
    if one.spans and colour:
        lines += ["", _coloured(text, one, w)]
    if one.heat is None:
        title, bars = "strongest", why_view.pieces(one.spans)
    else:
        title, bars = "places", why_view.places(one.heat, w)
    lines += ["", w(title), *_bars(bars, w)] if bars else ["", w("none")]
    if bars:
        lines.append(
            f"{_INDENT}{_SIGNS['for']} {w('for', label=label)}   {_SIGNS['against']} {w('against')}"
        )
    if one.neighbours:
        lines += ["", w("near"), *_neighbours(one, contents or {})]
    lines += ["", *(_INDENT + clip(note, 400) for note in w.notes(one.note))] if one.note else []
    return "\n".join(line.replace("\u00a0", " ").rstrip() for line in lines)


def _coloured(text: str, one: Explanation, w: WhyWords) -> str:
    shown = []
    near = tuple(span for span in one.spans if span.start < _LONG)
    for run in why_view.marked(text[:_LONG], near, w):
        piece = visible(run.text)
        if run.kind in _GROUNDS:
            grounds = _GROUNDS[run.kind]
            ground = grounds[min(int(run.share * len(grounds)), len(grounds) - 1)]
            piece = f"\x1b[48;5;{ground}m\x1b[38;5;16m{piece}\x1b[0m"
        elif run.kind == "unseen":
            piece = f"\x1b[2m{clip(piece, 60)}\x1b[0m"
        shown.append(piece)
    return _INDENT + "".join(shown)


def _bars(bars: Sequence[why_view.Bar], w: WhyWords) -> list[str]:
    names = [clip(bar.name, 32) for bar in bars]
    broad = max(map(columns, names))
    return [
        f"{_INDENT}{_pad(name, broad)}  {w.odds(bar.weight):<8}"
        + _SIGNS["for" if bar.weight > 0 else "against"] * max(1, round(_BAR * bar.share))
        for name, bar in zip(names, bars)
    ]


def _neighbours(one: Explanation, contents: Mapping[str, Any]) -> list[str]:
    labels = [clip(near.label, 32) for near in one.neighbours]
    broad = max(map(columns, labels))
    lines = []
    for label, near in zip(labels, one.neighbours):
        lines.append(f"{_INDENT}{near.cosine:.3f}  {_pad(label, broad)}  {clip(near.name, 60)}")
        if one.picture is None and near.name in contents:
            lines.append(f"{_INDENT}       {clip(str(contents[near.name]), 100)}")
    return lines


def _pad(text: str, wide: int) -> str:
    return text + " " * (wide - columns(text))
