"""Folder, CSV, JSONL, Parquet, data frame, dataset, dict or list -> Table. Nothing is decoded.

read("photos/")                                  a folder of class folders
read("reviews.csv", input="text", target="label")
read_inputs(["a.jpg", "more/"], modality="image")     what predictions are wanted for
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headstart.data import pictures
from headstart.data.assemble import assemble, note_labels
from headstart.data.columns import Columns, check_lengths, text_of
from headstart.data.folder import nothing_found, printable, read_folder, walk
from headstart.data.frames import read_frame
from headstart.data.schema import TEXT_NAMES, check_modality, guess, is_free_text
from headstart.data.sources import TABLE_SUFFIXES, existing, from_file, from_object
from headstart.errors import DataError
from headstart.types import Modality, Roles, Skipped, Table


def read(
    source: Any,
    *,
    input: str | None = None,
    target: str | None = None,
    split: str | None = None,
    group: str | None = None,
    time: str | None = None,
    modality: str | None = None,
    labelled: bool = True,
) -> Table:
    """Read data by reference, whatever it comes in.

    Args:
        source: a folder of class folders (with or without train/val/test folders above them); a
            CSV, TSV, JSONL, JSON or Parquet file; a pandas, polars or Arrow table, or anything with
            `__arrow_c_stream__`; a Hugging Face Dataset or DatasetDict; a dict of columns; a list
            of dicts, of (input, label) pairs, or (without labels) of inputs.
        input: the column with the inputs; guessed when None, as are the next three.
        target: the column with the labels.
        split: the column that says train, val or test.
        group: the column whose equal values must stay on one side of a split.
        time: the column of dates or numbers by which the rows are divided: the latest are measured.
            Never guessed.
        modality: "image" or "text"; guessed when None.
        labelled: whether labels are needed. Without, a target is only read where it is named.

    Returns:
        The table. Rows that cannot be used are in `skipped` with the reason; what was guessed or
        repaired is in `notes`.

    Raises:
        DataError: there is nothing to read, a column is missing or not clear, no row is usable.
        MissingExtra: the format needs a library that is not installed.
    """
    check_modality(modality)
    if isinstance(source, (str, Path)):
        path = existing(source)
        if path.is_dir():
            if modality == "text":
                raise DataError(
                    f"{source} is a folder; folders are read as pictures only.",
                    fix="put the texts into one CSV file with the columns text,label",
                )
            _no_columns(source, input=input, target=target, split=split, group=group, time=time)
            return note_labels(read_folder(path, str(source), labelled=labelled))
        columns = from_file(path, str(source), labelled=labelled)
    else:
        columns = from_object(source)
    if not check_lengths(columns.values, columns.source) and not columns.broken:
        raise DataError(f"{columns.source} has no rows.", fix="give a table with rows")
    roles, kind, notes = guess(
        columns.values, input=input, target=target, split=split, group=group, time=time,
        modality=modality, labelled=labelled,
    )  # fmt: skip
    table = assemble(columns, roles, kind)
    if columns.header and target is None and roles.target in (table.targets or ()):
        raise DataError(
            f"The first line of {columns.source} looks like data, not like column names:"
            f" {roles.target!r} is also a label.",
            fix="put a line with the column names at the top, e.g. text,label",
        )
    return note_labels(replace(table, notes=columns.notes + notes + table.notes))


def _no_columns(source: Any, **named: str | None) -> None:
    """A folder has no columns; only the names that its own roles have are harmless."""
    wrong = [name for name in named.values() if name not in (None, "file", "folder")]
    if wrong:
        raise DataError(
            f"{source} is a folder, which has no column {wrong[0]!r}.",
            fix="leave the column names out: the names of the folders are the labels",
        )


def read_inputs(sources: Sequence[Any], *, modality: str, input: str | None = None) -> Table:
    """What predictions are wanted for, in order; nothing is left out.

    A file that is missing or no picture, an empty text and a broken row stay rows: the predictor
    answers each of them with the reason why it cannot.

    Args:
        sources: for images: files, folders (all pictures below), table files, bytes, PIL images,
            uint8 arrays; for texts: texts, table files, .txt files with one text a line. Data
            frames and the like work for both.
        modality: "image" or "text".
        input: the column with the inputs, for all tables among the sources; guessed when None.

    Returns:
        A table without targets. Names are as typed for files, "reviews.csv:17" for rows of files,
        "text 3" or "image 3" for the third source where it is in memory.

    Raises:
        DataError: a folder has no pictures, or a table has no rows or no clear input column.
    """
    kind = check_modality(modality) or "text"
    many = isinstance(sources, (list, tuple))
    rows = _Rows(kind, input)
    for number, source in enumerate(sources if many else [sources], 1):
        if kind == "image":
            _add_image(rows, source, f"image {number}")
        else:
            _add_text(rows, source, f"text {number}")
    column = rows.columns.pop() if len(rows.columns) == 1 else "input"
    return Table(
        inputs=tuple(rows.inputs),
        targets=None,
        names=tuple(rows.names),
        modality=kind,
        roles=Roles(column),
        source=str(sources[0]) if many and len(sources) == 1 else f"{len(rows.inputs):,} inputs",
        skipped=tuple(rows.skipped),
        notes=tuple(rows.notes),
    )


@dataclass(frozen=True)
class _Rows:
    """Rows under way: lists that grow while the sources are gone through."""

    modality: Modality
    column: str | None
    inputs: list[Any] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, value: Any, name: str) -> None:
        self.inputs.append(value)
        self.names.append(name)


def _expanded(source: str | Path) -> Path:
    """The path with `~` replaced where there is such a user; any other text stays a name."""
    try:
        return Path(source).expanduser()
    except RuntimeError:
        return Path(source)


def _add_image(rows: _Rows, source: Any, name: str) -> None:
    if isinstance(source, (str, Path)):
        fault = pictures.fault(_expanded(source)) if str(source).strip() else "no file name"
        if fault == "a folder, not a file":
            _add_folder(rows, _expanded(source), str(source))
        elif not fault and Path(source).suffix.lower() in TABLE_SUFFIXES:
            _add_columns(rows, from_file(existing(source), str(source), labelled=False))
        else:
            rows.add(source if fault else _expanded(source), printable(str(source)))
    elif pictures.in_memory(source) or pictures.is_record(source):
        rows.add(pictures.from_cell(source, Path()), name)
    elif (columns := read_frame(source)) is not None:
        _add_columns(rows, columns)
    else:
        rows.add(source, name)


def _add_folder(rows: _Rows, folder: Path, source: str) -> None:
    found = walk(folder)
    if not any(file.reason in ("", "empty file") for file in found):
        raise nothing_found(folder, source, found)
    for file in found:
        name = printable(str(Path(source) / file.name))
        if file.reason in ("", "empty file"):
            rows.add(folder.joinpath(*file.parts), name)
        else:
            rows.skipped.append(Skipped(name, file.reason))


def _add_text(rows: _Rows, source: Any, name: str) -> None:
    if isinstance(source, Path):
        _add_columns(rows, from_file(existing(source), str(source), labelled=False))
    elif isinstance(source, str):
        suffix = Path(source).suffix.lower() if len(source) < 1024 and "\n" not in source else ""
        if suffix not in (*TABLE_SUFFIXES, ".txt"):
            rows.add(text_of(source), name)
        elif pictures.fault(_expanded(source)) in ("", "empty file"):
            _add_columns(rows, from_file(existing(source), source, labelled=False))
        else:
            rows.notes.append(f"there is no file {source!r} here; it was taken as a text")
            rows.add(text_of(source), name)
    elif (columns := read_frame(source)) is not None:
        _add_columns(rows, columns)
    else:
        rows.add(text_of(source), name)


def _add_columns(rows: _Rows, columns: Columns) -> None:
    """All rows of a table; one that could not be read becomes an empty input in its place."""
    check_lengths(columns.values, columns.source)
    chosen, notes = _input_column(rows, columns)
    rows.columns.add(chosen)
    rows.notes.extend(columns.notes + notes)
    image = rows.modality == "image"
    if columns.header and rows.column is None and _is_data(columns, rows.modality):
        rows.notes.append(f"{columns.header} looks like an input, not like a column name")
        rows.add(pictures.from_cell(chosen, columns.folder) if image else chosen, columns.header)
    broken = list(columns.broken)
    for i, value in enumerate([*columns.values[chosen], None]):
        while broken and broken[0][0] == i:
            skipped = broken.pop(0)[1]
            rows.notes.append(f"{skipped.input} could not be read: {skipped.reason}")
            rows.add(b"" if image else "", skipped.input)
        if i == len(columns.names):
            break
        cell = pictures.from_cell(value, columns.folder) if image else text_of(value)
        rows.add(cell, columns.names[i])


def _input_column(rows: _Rows, columns: Columns) -> tuple[str, tuple[str, ...]]:
    """The column with the inputs, and a note on it."""
    names = list(columns.values)
    if rows.column is None and len(names) == 1:
        return names[0], ()
    roles, _, notes = guess(
        columns.values, input=rows.column, modality=rows.modality, labelled=False
    )
    return roles.input, notes


def _is_data(columns: Columns, modality: Modality) -> bool:
    """Whether the only column name is an input itself: a list of texts or files without a header."""
    name = next(iter(columns.values))
    if len(columns.values) > 1 or name.strip().casefold() in TEXT_NAMES:
        return False
    return pictures.looks_like(name) if modality == "image" else is_free_text([name])
