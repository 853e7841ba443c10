"""What a caller names as data, to columns: files by the ending of their name, objects by their class."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from headstart.data import pictures
from headstart.data.columns import Columns
from headstart.data.delimited import read_delimited
from headstart.data.frames import read_frame, read_parquet
from headstart.data.records import read_json, read_jsonl, read_lines, read_list
from headstart.errors import DataError
from headstart.types import Table

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")
_HINTS = {
    ".xlsx": "save the sheet as CSV (UTF-8)", ".xls": "save the sheet as CSV (UTF-8)",
    ".ods": "save the sheet as CSV (UTF-8)",
    ".zip": "unpack it first", ".tar": "unpack it first", ".gz": "unpack it first",
    ".tgz": "unpack it first", ".7z": "unpack it first", ".rar": "unpack it first",
    ".pkl": "pickles can run code and are never read; write the data as CSV or Parquet",
    ".pickle": "pickles can run code and are never read; write the data as CSV or Parquet",
    ".npy": "write the data as CSV or Parquet, or give a dict of arrays in Python",
    ".npz": "write the data as CSV or Parquet, or give a dict of arrays in Python",
    ".arrow": "write the data as Parquet", ".feather": "write the data as Parquet",
}  # fmt: skip


def existing(source: str | Path) -> Path:
    """The path, if there is something.

    Raises:
        DataError: there is not; the fix names the nearest file that there is.
    """
    if pictures.is_url(source):
        raise DataError(
            f"{source} is an address on the network, which is not fetched.",
            fix="download it and name the file or folder here",
        )
    try:
        path = Path(source).expanduser()
        if path.exists():
            return path
        parent = path.parent
        there = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, no permission, no such ~user
        raise DataError(
            f"There is no file or folder {str(source)[:200]!r}.", fix="check the path"
        ) from None
    close = difflib.get_close_matches(path.name, there, n=1, cutoff=0.6)
    if close:
        fix = f"did you mean {str(parent / close[0])!r}?"
    elif parent.is_dir():
        fix = f"check the path; looked in {str(parent.absolute())!r}"
    else:
        fix = f"check the path; there is no folder {str(parent)!r} either"
    raise DataError(f"There is no file or folder {str(source)!r}.", fix=fix)


def from_file(path: Path, source: str, *, labelled: bool) -> Columns:
    """A file as columns, by the ending of its name.

    Args:
        path: an existing file.
        source: what the user typed.
        labelled: whether labels are needed; without, plain lines of text and one picture will do.

    Raises:
        DataError: the file is empty, unreadable, broken, or of no known kind.
        MissingExtra: the format needs a library that is not installed.
    """
    suffix = path.suffix.lower()
    if fault := pictures.fault(path):
        if fault == "empty file":
            raise DataError(f"{source} is empty.", fix="give a file with rows")
        raise DataError(f"{source}: {fault}.", fix="check the file and its permissions")
    try:
        if suffix == ".csv":
            return read_delimited(path, source)
        if suffix in (".tsv", ".tab"):
            return read_delimited(path, source, delimiter="\t")
        if suffix in (".jsonl", ".ndjson"):
            return read_jsonl(path, source)
        if suffix == ".json":
            return read_json(path, source)
        if suffix in (".parquet", ".pq"):
            return read_parquet(path, source)
        if suffix == ".txt" and not labelled:
            return read_lines(path, source)
        if suffix == ".txt" and _has_tabs(path):
            return read_delimited(path, source, delimiter="\t")
    except PermissionError as error:
        raise DataError(f"{source} may not be read.", fix="check its permissions") from error
    if pictures.is_picture_name(path.name) and not labelled:
        return Columns({"file": [path.name]}, (path.name,), source, path.parent)
    raise _unknown_type(path, source)


def _has_tabs(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\t" in file.readline(1 << 16)


def _unknown_type(path: Path, source: str) -> DataError:
    if pictures.is_picture_name(path.name):
        return DataError(
            f"{source} is a single picture, without a label.",
            fix="name a folder that has one folder of pictures for each class",
        )
    suffix = path.suffix.lower()
    what = f"files that end in {suffix}" if suffix else "files without a name ending"
    known = "a folder, or a .csv, .tsv, .jsonl, .json or .parquet file"
    return DataError(
        f"{source}: {what} are not read.", fix=f"{_HINTS.get(suffix, 'give ' + known)}"
    )


def from_object(source: Any) -> Columns:
    """Data in memory as columns.

    Raises:
        DataError: it is of no known kind, or no table.
        MissingExtra: its types need a library that is not installed.
    """
    if isinstance(source, (list, tuple)):
        return read_list(source)
    columns = read_frame(source)
    if columns is None:
        raise DataError(
            f"A {type(source).__name__} cannot be read as data.",
            fix="give a folder, a table file, a data frame, a dict of columns or a list of"
            " (input, label) pairs",
        )
    return columns


def columns_of(source: Any) -> Columns | None:
    """All columns of a table, those without a role too, for whoever wants to look at them once.

    Args:
        source: as for `headstart.data.table.read`.

    Returns:
        The columns; None for a folder and for a `Table`, which have none.

    Raises:
        DataError: there is nothing to read.
        MissingExtra: the format needs a library that is not installed.
    """
    if isinstance(source, Table):
        return None
    if not isinstance(source, (str, Path)):
        return from_object(source)
    path = existing(source)
    return None if path.is_dir() else from_file(path, str(source), labelled=True)
