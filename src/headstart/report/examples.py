"""The first rows of a finding, shown: a small picture or the text, so that a person can judge at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headstart.report.kept_trust import number
from headstart.report.mistakes import cut, safe_image, thumbnail
from headstart.types import Finding, Table

KINDS = (
    "wrong-labels", "leak", "near-leak", "conflicting-labels", "near-conflicts", "near-duplicates",
    "far-out", "blank",
)  # fmt: skip
"""Findings whose rows must be looked at to be judged; the first are shown first where room is short."""

_EACH, _MOST = 6, 24  # examples of one finding, of all
_SIDE = 112  # pixels
_CHARACTERS = 150_000  # of all pictures together: the page carries each of them twice
_TEXT = 160


@dataclass(frozen=True)
class Example:
    """One row of a finding.

    Attributes:
        name: the row's name.
        label: its label in the data; empty where it has none.
        image: a JPEG as a data URI; empty for texts and for pictures that cannot be shown.
        text: the text, cut; empty for pictures.
        suggestion: what to do with it: its probable label, or the row that it repeats; may be empty.
        sure: how sure the suggestion is, 0 to 1; None where it is not said.
    """

    name: str
    label: str
    image: str = ""
    text: str = ""
    suggestion: str = ""
    sure: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "name": self.name,
            "label": self.label,
            "image": self.image,
            "text": self.text,
            "suggestion": self.suggestion,
            "sure": None if self.sure is None else number(self.sure),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Example:
        """The inverse of `to_json`; an image that is not a JPEG data URI is left out."""
        sure = data.get("sure")
        return Example(
            str(data["name"]),
            str(data["label"]),
            safe_image(data["image"]),
            str(data["text"]),
            str(data.get("suggestion", "")),
            None if sure is None else float(sure),
        )


def examples(
    findings: Sequence[Finding], table: Table, test: Table, *, max_pixels: int = 50_000_000
) -> tuple[tuple[Example, ...], ...]:
    """For each finding its first rows, as many as a page can carry.

    Args:
        findings: those of the kinds in `KINDS` get examples.
        table: where the rows are looked up by name.
        test: the rows measured, looked up if `table` has no row of that name.
        max_pixels: larger pictures are not decoded for a thumbnail.
    """
    left = _MOST
    wanted: list[tuple[str, ...]] = [()] * len(findings)
    known = [i for i, finding in enumerate(findings) if finding.kind in KINDS]
    for i in sorted(known, key=lambda i: KINDS.index(findings[i].kind)):
        wanted[i] = findings[i].rows[: min(_EACH, left)]
        left -= len(wanted[i])
    every = {name for names in wanted for name in names}
    places = [(one, _places(every, one)) for one in (table, test)]
    budget, made = _CHARACTERS, []
    for finding, names in zip(findings, wanted):
        own = []
        for i, name in enumerate(names):
            at = next(((one, rows[name]) for one, rows in places if name in rows), None)
            if at is not None:
                own.append(_suggested(_example(name, *at, budget, max_pixels), finding, i))
                budget -= len(own[-1].image)
        made.append(tuple(own))
    return tuple(made)


def _places(names: set[str], table: Table) -> dict[str, int]:
    """Name -> row of the table; of rows with the same name the first."""
    found: dict[str, int] = {}
    for i, name in enumerate(table.names):
        if name in names:
            found.setdefault(name, i)
    return found


def _example(name: str, table: Table, row: int, budget: int, max_pixels: int) -> Example:
    value, label = table.inputs[row], table.targets[row] if table.targets else ""
    if table.modality != "image":
        return Example(name, label, text=cut(str(value), _TEXT))
    image = thumbnail(value, max_pixels, _SIDE) if budget > 0 else ""
    return Example(name, label, image=image if len(image) <= budget else "")


def _suggested(example: Example, finding: Finding, i: int) -> Example:
    """The example with what its finding says of its i-th row."""
    suggestion = finding.suggestions[i] if i < len(finding.suggestions) else ""
    return replace(
        example, suggestion=suggestion, sure=finding.sure[i] if i < len(finding.sure) else None
    )
