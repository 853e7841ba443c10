"""Columns with roles -> Table: cells become inputs and labels, rows that lack one are listed."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from headstart.data import pictures
from headstart.data.columns import Columns, labels_of, text_of
from headstart.data.schema import SPLIT_OF
from headstart.data.times import times_of
from headstart.errors import DataError
from headstart.types import Modality, Roles, Skipped, Table


def assemble(columns: Columns, roles: Roles, modality: Modality) -> Table:
    """The table; rows without input, label, time or a known split are left out and listed.

    Args:
        columns: what a reader made.
        roles: which column plays which part.
        modality: what the inputs are.

    Raises:
        DataError: no row is usable, the split column holds other values, or a time is none.
    """
    cells = columns.values
    n = len(columns.names)
    inputs = _inputs(cells[roles.input], modality, columns.folder)
    if modality == "image":
        reasons = [pictures.fault(value) for value in inputs]
    else:
        reasons = ["" if text.strip() else "empty text" for text in inputs]
    labels = [""] * n
    if roles.target is not None:
        labels = labels_of(cells[roles.target])
        for i, value in enumerate(cells[roles.target]):
            reasons[i] = reasons[i] or _label_fault(value, labels[i])
    parts = [""] * n
    if roles.split is not None:
        parts, unknown = _parts(cells[roles.split], roles.split)
        reasons = [a or b for a, b in zip(reasons, unknown)]
    times, reasons = _times(columns, roles.time, reasons)
    keep = [i for i, reason in enumerate(reasons) if not reason]
    skipped = _merge(columns, reasons)
    if not keep:
        raise _none_left(columns, roles, skipped, modality)
    groups = None
    if roles.group is not None:
        names = labels_of(cells[roles.group])  # a row without a group is a group of its own
        groups = tuple(names[i] or f"(none: {columns.names[i]})" for i in keep)
    return Table(
        inputs=tuple(inputs[i] for i in keep),
        targets=tuple(labels[i] for i in keep) if roles.target is not None else None,
        names=tuple(columns.names[i] for i in keep),
        modality=modality,
        roles=roles,
        source=columns.source,
        split=tuple(parts[i] for i in keep) if roles.split is not None else None,
        groups=groups,
        times=tuple(times[i] for i in keep) if roles.time is not None else None,
        skipped=skipped,
        notes=_text_notes(cells[roles.input]) if modality == "text" else (),
    )


def _times(
    columns: Columns, title: str | None, reasons: Sequence[str]
) -> tuple[dict[int, str], list[str]]:
    """Row number -> time of the rows that are usable so far, and the reasons with those of the others."""
    if title is None:
        return {}, list(reasons)
    rows = [i for i, reason in enumerate(reasons) if not reason]
    cells = columns.values[title]
    found = times_of([cells[i] for i in rows], [columns.names[i] for i in rows], title)
    times = dict(zip(rows, found))
    return times, ["no time" if times.get(i) == "" else why for i, why in enumerate(reasons)]


def _inputs(column: Sequence[Any], modality: Modality, folder: Path) -> list[Any]:
    if modality == "image":
        return [pictures.from_cell(value, folder) for value in column]
    return [text_of(value) for value in column]


def _label_fault(value: Any, label: str) -> str:
    if isinstance(value, (list, tuple, dict, set)):
        return f"the label is a {type(value).__name__}, not one value"
    return "" if label else "no label"


def _parts(column: Sequence[Any], name: str) -> tuple[list[str], list[str]]:
    """train, val or test for each row, and a reason where it is none of them."""
    texts = [text_of(value).strip() for value in column]
    parts = [SPLIT_OF.get(text.casefold(), "") for text in texts]
    if texts and not any(parts):
        found = ", ".join(repr(text) for text in list(dict.fromkeys(texts))[:5])
        raise DataError(
            f"Column {name!r} does not divide the rows: it holds {found}.",
            fix="its values must be train, val and test",
        )
    faults = ["" if p else f"{name} is {t[:40]!r}, not train, val or test" for p, t in zip(parts, texts)]  # fmt: skip
    return parts, faults


def _merge(columns: Columns, reasons: Sequence[str]) -> tuple[Skipped, ...]:
    """Rows that were unreadable and rows that are unusable, in the order of the file."""
    found = [(at, 0, skipped) for at, skipped in columns.broken]
    found += [(i, 1, Skipped(columns.names[i], why)) for i, why in enumerate(reasons) if why]
    return tuple(skipped for _, _, skipped in sorted(found, key=lambda entry: entry[:2]))


def _none_left(
    columns: Columns, roles: Roles, skipped: Sequence[Skipped], modality: Modality
) -> DataError:
    counts = Counter(entry.reason for entry in skipped)
    listed = "; ".join(f"{reason} ({n:,} rows)" for reason, n in counts.most_common(3))
    example = skipped[0].input if skipped else "none"
    fix = "check the file, and name the columns with --input and --target"
    if modality == "image" and counts.most_common(1)[0][0] == "no such file":
        first = columns.values[roles.input][0]
        where = "the folder of the table" if columns.folder != Path() else "this folder"
        fix = (
            f"paths like {str(first)!r} must start from {where}, {str(columns.folder.absolute())!r}"
        )
    return DataError(f"No row of {columns.source} is usable: {listed}; the first is {example}.", fix=fix)  # fmt: skip


def _text_notes(column: Sequence[Any]) -> tuple[str, ...]:
    repaired = sum(1 for value in column if isinstance(value, str) and text_of(value) != value)
    if not repaired:
        return ()
    return (f"{repaired:,} text(s) held NUL or broken characters, which were replaced",)


def note_labels(table: Table) -> Table:
    """Note labels that people may have meant to be one: "Dog" and "dog"."""
    if table.targets is None:
        return table
    same: dict[str, list[str]] = {}
    for label in sorted(set(table.targets)):
        key = "".join(unicodedata.normalize("NFKC", label).casefold().split())
        same.setdefault(key, []).append(label)
    notes = tuple(
        f"labels that differ only in case or spaces are kept apart: {', '.join(map(repr, group))}"
        for group in same.values()
        if len(group) > 1
    )
    return replace(table, notes=table.notes + notes)
