"""Reduced precision, never silently: it has to leave alone what the features are for.

On a sample of the user's own inputs the features are computed both ways. Two things are compared: who
is near whom (the ten nearest neighbours of each input), and what a probe learns from them
(cross-validated accuracy, on the same folds). Only where both agree is the reduced precision taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.backbones.quantize import static_int8
from headstart.engine import ENGINES
from headstart.engine.auto import measure, usable
from headstart.errors import DataError, UnreadableInput
from headstart.features.extract import How, extract, tokenizer_of
from headstart.features.store import Store
from headstart.preprocess import image, text
from headstart.solver import logits, solve
from headstart.solver_rows import rotate
from headstart.types import Backbone, Finding, Table

PRECISIONS = ("auto", "float32", "bfloat16", "int8")
_ROWS = 512  # inputs that both ways are compared on
_CALIBRATION = 128  # inputs that int8's ranges are taken from
_WORTH = 2_000  # rows: with fewer, computing a sample twice costs more than it saves
_FASTER = 1.2  # how much quicker a reduced precision has to be
_OVERLAP = 0.9
_NEIGHBOURS = 10
_PENALTIES = (0.1, 0.01, 0.001)
_FOLDS = 5


@dataclass(frozen=True)
class Comparison:
    """Features of the same inputs in two precisions.

    Attributes:
        overlap: mean share of the ten nearest neighbours that stay.
        cosine: mean cosine of the two vectors of an input.
        accuracy: cross-validated, from float32 features; NaN without labels.
        reduced: the same from the reduced ones.
        noise: the loss of accuracy that chance alone explains (95 %, paired).
    """

    overlap: float
    cosine: float
    accuracy: float
    reduced: float
    noise: float

    @property
    def harmless(self) -> bool:
        """Whether the reduced features do for the full ones."""
        lost = self.accuracy - self.reduced
        return self.overlap >= _OVERLAP and not lost > self.noise

    def __str__(self) -> str:
        probe = (
            ""
            if np.isnan(self.accuracy)
            else f", cross-validated accuracy {100 * self.reduced:.1f} instead of {100 * self.accuracy:.1f} %"
        )
        return (
            f"{100 * self.overlap:.0f} % of the ten nearest neighbours stay, "
            f"mean cosine {self.cosine:.4f}{probe}"
        )


def settle(
    table: Table,
    backbone: Backbone,
    store: Store,
    how: How,
    wanted: str,
    say: Callable[[str], None],
) -> tuple[Backbone, How, tuple[Finding, ...]]:
    """The precision to compute in.

    Args:
        table: the data; a sample of it is computed both ways where there is a choice.
        backbone: the float32 one.
        store: keeps what is computed on the way.
        how: engine and cluster.
        wanted: one of `PRECISIONS`; "auto" takes bfloat16 where the processor has it, it is quicker, and
            it changes nothing that matters.
        say: told what was found.

    Returns:
        The backbone (another graph for int8), how to compute, and what the user should know.
    """
    if wanted == "float32" or (wanted == "auto" and not _worth_a_look(table, backbone, how)):
        return backbone, how, ()
    some = table.take(np.unique(np.linspace(0, len(table) - 1, min(_ROWS, len(table))).astype(int)))
    if wanted == "int8":
        chosen, chosen_how = static_int8(backbone, _feeds(some, backbone)), how
    else:
        chosen, chosen_how = backbone, How(how.engine, "bfloat16", how.cluster)
    full = extract(some, backbone, store=store, how=how)
    less = extract(some, chosen, store=store, how=chosen_how)
    rows = full.readable & less.readable
    codes = None
    if some.targets is not None:
        codes = np.unique(np.array(some.targets)[rows], return_inverse=True)[1]
    found = compare(full.values[rows], less.values[rows], codes)
    name = "bfloat16" if wanted == "auto" else wanted
    if wanted == "auto" and not found.harmless:
        say(f"{name} is quicker here but changes the features ({found}): float32 is kept")
        return backbone, how, ()
    told = f"features in {name}: {found}"
    say(told)
    return (
        chosen,
        chosen_how,
        (Finding("precision", "info" if found.harmless else "warning", told + ".", _mend(found)),),
    )


def _mend(found: Comparison) -> str:
    return "" if found.harmless else "leave --precision out: float32 keeps what is lost here"


def compare(full: np.ndarray, reduced: np.ndarray, codes: np.ndarray | None) -> Comparison:
    """Compare features of the same inputs.

    Args:
        full: (n, d) in float32.
        reduced: (n, d) in the other precision.
        codes: (n,) class numbers; None leaves the probe out.
    """
    if len(full) < 2:
        raise DataError(
            "Too few inputs can be read to compare precisions on.", fix="leave --precision out"
        )
    one, two = _unit(full), _unit(reduced)
    near, there = _nearest(one), _nearest(two)
    overlap = np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(near, there)])
    cosine = float((_unit(full, centre=False) * _unit(reduced, centre=False)).sum(axis=1).mean())
    nothing = float("nan")
    if codes is None or codes.max(initial=0) < 1:
        return Comparison(float(overlap), cosine, nothing, nothing, nothing)
    right, other = _right(full, codes), _right(reduced, codes)
    noise = 1.645 * np.sqrt(np.count_nonzero(right != other)) / len(codes)
    return Comparison(
        float(overlap), cosine, float(right.mean()), float(other.mean()), float(noise)
    )


def _unit(values: np.ndarray, centre: bool = True) -> np.ndarray:
    """Rows of length 1; centred first, as some backbones' vectors all point the same way."""
    moved = values - values.mean(axis=0) if centre else values
    return moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)


def _nearest(unit: np.ndarray) -> np.ndarray:
    """(n, 10) row numbers of the nearest other rows."""
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -np.inf)
    many = min(_NEIGHBOURS, len(unit) - 1)
    return np.argpartition(-likeness, many - 1, axis=1)[:, :many]


def _right(features: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n,) bool: whether a probe fitted on the other folds names the row; at the best penalty."""
    k = int(codes.max()) + 1
    folds = np.zeros(len(codes), dtype=np.int64)
    for code in range(k):
        rows = np.flatnonzero(codes == code)
        folds[rows] = (np.arange(len(rows)) + code) % _FOLDS
    weights = np.stack([folds != fold for fold in range(_FOLDS)]).astype(np.float64)
    weights /= weights.sum(axis=1, keepdims=True)
    rotated = rotate(np.ascontiguousarray(features, dtype=np.float32))
    best = np.zeros(len(codes), dtype=bool)
    for penalty in _PENALTIES:
        found = solve(rotated, codes, weights, k, penalty, tolerance=3e-3)
        each = zip(found.weight, found.bias)
        answers = np.stack([logits(rotated, w, b).argmax(axis=1) for w, b in each])  # (folds, n)
        right = answers[folds, np.arange(len(codes))] == codes
        best = right if right.sum() > best.sum() else best
    return best


def _worth_a_look(table: Table, backbone: Backbone, how: How) -> bool:
    """Whether bfloat16 is there, and enough quicker on this graph."""
    if len(table) < _WORTH or how.cluster:
        return False
    names = usable("bfloat16")
    if how.engine != "auto":
        names = [name for name in names if name == how.engine]
    if not names:
        return False
    feeds = _feeds(table.take(range(8)), backbone)
    if not feeds:
        return False
    full = [ENGINES.get(name)(backbone.graph) for name in usable("float32")]
    less = [ENGINES.get(name)(backbone.graph, precision="bfloat16") for name in names]
    return max(measure(less, feeds[0]).values()) >= _FASTER * max(measure(full, feeds[0]).values())


def _feeds(table: Table, backbone: Backbone) -> list[dict[str, np.ndarray]]:
    """Prepared inputs of a few rows, evenly spread, in batches of at most 16."""
    rows = np.unique(np.linspace(0, len(table) - 1, min(_CALIBRATION, len(table))).astype(int))
    steps = backbone.preprocess.steps
    if backbone.modality == "image":
        prepared = (_or_none(image.prepare, table.inputs[row], steps) for row in rows)
        pixels = [one[0] for one in prepared if one is not None]
        return [{"pixels": np.stack(pixels[i : i + 16])} for i in range(0, len(pixels), 16)]
    tokenizer = tokenizer_of(backbone)
    assert tokenizer is not None
    texts = (_or_none(text.content, table.inputs[row]) for row in rows)
    encoder = text.TextEncoder(tokenizer, steps)
    ids, _ = encoder.encode([one for one in texts if one is not None])
    return [feeds for _, feeds in encoder.batches(ids)]


def _or_none(function: Callable[..., Any], *arguments: Any) -> Any:
    """None for an input that cannot be read: the extraction itself lists it."""
    try:
        return function(*arguments)
    except UnreadableInput:
        return None
