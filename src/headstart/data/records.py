"""JSON lines, a JSON list, plain lines of text, lists of records and pairs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.data.columns import Columns
from headstart.data.delimited import decode
from headstart.errors import DataError
from headstart.types import Skipped


def _parse(text: str) -> Any:
    """One JSON value; ValueError with a short reason if it is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise ValueError("not valid JSON: nested too deep") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise ValueError("not valid JSON: a number is too long") from error


def read_jsonl(path: Path, source: str) -> Columns:
    """Read a file with one JSON object a line; broken lines are listed with their number.

    Raises:
        DataError: the file is empty, or no line is a JSON object.
    """
    text, notes = decode(path.read_bytes(), path.name)
    rows: list[Mapping[str, Any]] = []
    names: list[str] = []
    broken: list[tuple[int, Skipped]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name = f"{path.name}:{number}"
        try:
            value = _parse(line)
            if not isinstance(value, dict):
                raise ValueError(f"a JSON {type(value).__name__}, not an object")
        except ValueError as error:
            broken.append((len(rows), Skipped(name, str(error))))
        else:
            rows.append(value)
            names.append(name)
    if not rows:
        why = (
            f"; line {broken[0][1].input.rpartition(':')[2]}: {broken[0][1].reason}"
            if broken
            else ""
        )
        raise DataError(
            f"{source} holds no rows{why}.",
            fix='write one JSON object a line, e.g. {"text": "...", "label": "..."}',
        )
    return Columns(columns_of(rows), tuple(names), source, path.parent, tuple(broken), notes)


def read_json(path: Path, source: str) -> Columns:
    """Read a JSON file: a list of objects, or an object of columns; one object a line works too.

    Raises:
        DataError: it is something else.
    """
    text, notes = decode(path.read_bytes(), path.name)
    if not text.strip():
        raise DataError(f"{source} is empty.", fix="give a JSON list of objects")
    try:
        value = _parse(text)
    except ValueError as error:
        if text.count("\n") and text.lstrip().startswith("{"):
            return read_jsonl(path, source)
        raise DataError(
            f"{source}: {error}.", fix="give a JSON list of objects, or one object a line (.jsonl)"
        ) from error
    if isinstance(value, list) and value:
        return _from_list(value, path, source, notes)
    if isinstance(value, dict) and value and all(isinstance(v, list) for v in value.values()):
        length = len(next(iter(value.values())))
        names = tuple(f"{path.name}:{i}" for i in range(1, length + 1))
        return Columns(value, names, source, path.parent, notes=notes)
    if isinstance(value, dict) and value and all(isinstance(v, dict) for v in value.values()):
        # how pandas writes a frame: column -> row -> cell
        frame = {name: list(cells.values()) for name, cells in value.items()}
        names = tuple(f"{path.name}:{i}" for i in range(1, len(next(iter(frame.values()))) + 1))
        return Columns(frame, names, source, path.parent, notes=notes)
    raise DataError(
        f"{source} is not a table: it holds a JSON {type(value).__name__}.",
        fix='give a list of objects, e.g. [{"text": "...", "label": "..."}]',
    )


def _from_list(value: list[Any], path: Path, source: str, notes: tuple[str, ...]) -> Columns:
    """Records of a JSON list; entries that are no objects are broken rows."""
    rows: list[Mapping[str, Any]] = []
    names: list[str] = []
    broken: list[tuple[int, Skipped]] = []
    pairs = all(isinstance(entry, list) and len(entry) == 2 for entry in value)
    for number, entry in enumerate(value, 1):
        if pairs:
            entry = {"input": entry[0], "label": entry[1]}
        if isinstance(entry, dict):
            rows.append(entry)
            names.append(f"{path.name}:{number}")
        else:
            reason = f"a JSON {type(entry).__name__}, not an object"
            broken.append((len(rows), Skipped(f"{path.name}:{number}", reason)))
    if not rows:
        raise DataError(
            f"{source} is not a table: its entries are no objects.",
            fix='give a list of objects, e.g. [{"text": "...", "label": "..."}]',
        )
    return Columns(columns_of(rows), tuple(names), source, path.parent, tuple(broken), notes)


def read_lines(path: Path, source: str) -> Columns:
    """Read a file with one text a line; an empty line is an empty text.

    Raises:
        DataError: the file is empty.
    """
    text, notes = decode(path.read_bytes(), path.name)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise DataError(f"{source} is empty.", fix="give a file with one text a line")
    names = tuple(f"{path.name}:{number}" for number in range(1, len(lines) + 1))
    return Columns({"text": lines}, names, source, path.parent, notes=notes)


def columns_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Records as columns, in the order the keys first appear; None where a record lacks a key."""
    rows = list(rows)
    keys = dict.fromkeys(str(key) for row in rows for key in row)
    return {key: [row.get(key) for row in rows] for key in keys}


def read_list(values: Sequence[Any]) -> Columns:
    """A list in memory: of records, of (input, label) pairs, or of inputs.

    Raises:
        DataError: the list is empty, or its entries are of several kinds.
    """
    source = "the list"
    if not values:
        raise DataError("The list is empty.", fix="give a list of (input, label) pairs")
    names = tuple(f"row {i}" for i in range(len(values)))
    columns: dict[str, list[Any]]
    if all(isinstance(value, Mapping) for value in values):
        columns = columns_of(values)
    elif all(isinstance(value, (tuple, list)) for value in values):
        odd = next((i for i, value in enumerate(values) if len(value) != 2), None)
        if odd is not None:
            raise DataError(
                f"Row {odd} of the list has {len(values[odd])} values, not 2.",
                fix="give (input, label) pairs, or a list of dicts",
            )
        columns = {"input": [v[0] for v in values], "label": [v[1] for v in values]}
    elif any(isinstance(value, (Mapping, tuple, list)) for value in values):
        kinds = ", ".join(sorted({type(value).__name__ for value in values}))
        raise DataError(
            f"The list mixes values of several kinds: {kinds}.",
            fix="give (input, label) pairs, or a list of dicts",
        )
    else:
        columns = {"input": list(values)}
    return Columns(columns, names, source, Path())
