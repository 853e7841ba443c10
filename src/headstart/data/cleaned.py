"""A cleaned copy of the data, as a plan says: what was given is read and never changed, moved or deleted.

A CSV or JSONL file is copied record by record as it stands, and only records with another label are
written anew. Other tables are written from their cells. A folder becomes a table of paths and labels.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.data.columns import Columns, text_of
from headstart.data.delimited import decode, guess_delimiter
from headstart.data.plan import unwritable
from headstart.errors import DataError
from headstart.manifest import atomic_write
from headstart.types import Table

_TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_LINES = (".jsonl", ".ndjson")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Cleaned:
    """What was written.

    Attributes:
        path: where.
        rows: how many rows stand there.
        dropped: how many were left out.
        relabelled: how many got another label.
    """

    path: str
    rows: int
    dropped: int
    relabelled: int


def write(
    source: Any,
    table: Table,
    columns: Columns | None,
    chosen: Mapping[int, str | None],
    out: str | Path,
) -> Cleaned:
    """Write the cleaned copy.

    Args:
        source: what the caller named as data.
        table: what was read from it.
        columns: its columns; None for a folder.
        chosen: row of the table -> new label, or None to leave it out (`headstart.data.plan.settle`).
        out: where to, a .csv, .tsv or .jsonl file; what stands there is replaced.

    Raises:
        DataError: the ending is of no known kind, it is the source itself, or cannot be written.
    """
    path = Path(out)
    _check_target(source, table, columns, path)
    given = Path(source).expanduser() if isinstance(source, (str, Path)) else None
    if columns is None:
        content: bytes | str = _folder(table, chosen, path)
    elif given is not None and _kind(given) == _kind(path) == "delimited":
        content = _delimited(given, table, columns, chosen)
    elif given is not None and _kind(given) == _kind(path) == "lines":
        content = _json_lines(given, table, columns, chosen)
    else:
        content = _cells(table, columns, chosen, path)
    try:
        atomic_write(path, content)
    except OSError as error:
        raise unwritable(path, error) from error
    dropped = sum(1 for new in chosen.values() if new is None)
    n = len(table) if columns is None else len(columns.names)
    return Cleaned(str(out), n - dropped, dropped, len(chosen) - dropped)


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in (*_TABLES, ".txt"):
        return "delimited"
    return "lines" if suffix in _LINES else ""


def _check_target(source: Any, table: Table, columns: Columns | None, path: Path) -> None:
    if columns is None and not isinstance(source, (str, Path)):
        raise DataError(
            "A table in memory has no file to be copied.",
            fix="apply the plan to the folder or the file that it was read from",
        )
    if not _kind(path) or path.suffix.lower() == ".txt":
        raise DataError(
            f"{path} is not a name for a cleaned copy.", fix="let it end in .csv, .tsv or .jsonl"
        )
    if isinstance(source, (str, Path)) and Path(source).expanduser().resolve() == path.resolve():
        raise DataError(
            f"{path} is the data itself, which is never overwritten.",
            fix="give the cleaned copy a name of its own with --out",
        )
    if columns is None or table.modality != "image":
        return
    cells = columns.values[table.roles.input]
    relative = any(isinstance(cell, str) and not Path(cell).is_absolute() for cell in cells)
    if relative and path.absolute().parent != columns.folder.absolute():
        raise DataError(
            f"The pictures of {table.source} are named from its own folder on, so its copy has to lie "
            "there too.",
            fix=f"write it beside the data: --out {columns.folder / path.name}",
        )


def _folder(table: Table, chosen: Mapping[int, str | None], out: Path) -> bytes:
    """Paths from the copy's folder on, labels, and the split where the folders told one."""
    assert table.targets is not None
    start = out.absolute().parent
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["file", "label", *(["split"] if table.split else [])])
    for row, (value, label) in enumerate(zip(table.inputs, table.targets)):
        new = chosen.get(row, label)
        if new is not None:
            place = Path(os.path.relpath(Path(value).absolute(), start)).as_posix()
            writer.writerow([place, new, *([table.split[row]] if table.split else [])])
    # a file name that is no UTF-8 keeps its bytes
    return buffer.getvalue().encode("utf-8", "surrogateescape")


def _by_name(table: Table, chosen: Mapping[int, str | None]) -> dict[str, str | None]:
    return {table.names[row]: new for row, new in chosen.items()}


def _line(name: str) -> int:
    """ "reviews.csv:17" -> 17."""
    return int(name.rpartition(":")[2])


def _delimited(
    path: Path, table: Table, columns: Columns, chosen: Mapping[int, str | None]
) -> bytes:
    """The file's records as they stand but for those to be left out or with another label."""
    data = path.read_bytes()
    text, _ = decode(data, path.name)
    lines = io.StringIO(text.replace("\0", " "), newline="").readlines()
    told = re.fullmatch(r"sep=(.)\s*", lines[0])
    delimiter = told[1] if told else _TABLES.get(path.suffix.lower(), "\t")
    if delimiter == "," and not told:
        delimiter = guess_delimiter(lines)
    wanted = _by_name(table, chosen)
    place = {name: i for i, name in enumerate(columns.names)}
    starts = [(_line(name), name) for name in columns.names]
    starts += [(_line(skip.input), "") for _, skip in columns.broken]
    starts.sort()
    ends = [line for line, _ in starts[1:]] + [len(lines) + 1]
    pieces = lines[: starts[0][0] - 1]
    for (line, name), end in zip(starts, ends):
        record = lines[line - 1 : end - 1]
        if name not in wanted:
            pieces += record
        elif (new := wanted[name]) is not None:
            cells = [column[place[name]] for column in columns.values.values()]
            cells[list(columns.values).index(str(table.roles.target))] = new
            pieces.append(_record(cells, delimiter, record[0]))
    return (_BOM if data.startswith(_BOM) else b"") + "".join(pieces).encode("utf-8", "replace")


def _record(cells: Sequence[Any], delimiter: str, like: str) -> str:
    """One record, ended as its line was."""
    buffer = io.StringIO()
    end = "\r\n" if like.endswith("\r\n") else "\n"
    csv.writer(buffer, delimiter=delimiter, lineterminator=end).writerow(cells)
    return buffer.getvalue()


def _json_lines(
    path: Path, table: Table, columns: Columns, chosen: Mapping[int, str | None]
) -> str:
    """The file's lines as they stand but for those to be left out or with another label."""
    text, _ = decode(path.read_bytes(), path.name)
    wanted = {_line(name): new for name, new in _by_name(table, chosen).items()}
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        if number in wanted:
            new = wanted[number]
            if new is None:
                continue
            line = json.dumps(
                {**json.loads(line), str(table.roles.target): new}, ensure_ascii=False
            )
        lines.append(line)
    return "\n".join(lines)


def _cells(table: Table, columns: Columns, chosen: Mapping[int, str | None], out: Path) -> str:
    """A table that is no CSV or JSONL file, or that changes its kind, from its cells."""
    wanted = _by_name(table, chosen)
    names = list(columns.values)
    target = names.index(str(table.roles.target))
    rows = []
    for i, name in enumerate(columns.names):
        cells = [columns.values[column][i] for column in names]
        if name in wanted:
            if wanted[name] is None:
                continue
            cells[target] = wanted[name]
        rows.append(cells)
    _writable(names, rows)
    buffer = io.StringIO()
    if _kind(out) == "lines":
        for cells in rows:
            buffer.write(
                json.dumps(dict(zip(names, cells)), ensure_ascii=False, default=text_of) + "\n"
            )
    else:
        writer = csv.writer(buffer, delimiter=_TABLES[out.suffix.lower()], lineterminator="\n")
        writer.writerow(names)
        writer.writerows([text_of(cell) for cell in cells] for cells in rows)
    return buffer.getvalue()


def _writable(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    for cells in rows:
        for name, cell in zip(names, cells):
            if not isinstance(cell, (str, int, float, bool, type(None), Path)) and not hasattr(
                cell, "isoformat"
            ):
                raise DataError(
                    f"Column {name!r} holds a {type(cell).__name__}, which no CSV or JSONL file can hold.",
                    fix="save the pictures as files and name them in the table",
                )
