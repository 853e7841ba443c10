"""What a reader hands on: columns by name, one name for each row, and what could not be read.

Readers of one format each (`delimited`, `records`, `frames`) make a `Columns`; `headstart.data.table`
turns it into a `Table`. Cells are cleaned here, so that all formats are cleaned alike.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import DataError
from headstart.types import Skipped


@dataclass(frozen=True)
class Columns:
    """A table before its columns have roles.

    Attributes:
        values: column name -> n cells.
        names: n row names. Rows of files count as editors do: "reviews.csv:17" is line 17 of the
            file (CSV, JSONL, TXT) or record 17 (JSON, Parquet), the first being 1. Rows in memory
            count as Python does: "row 0" is the first.
        source: what was read, as the user would type it.
        folder: where relative paths of pictures start.
        broken: rows that could not be read: how many sound rows came before, and the row.
        notes: what was guessed or repaired, one sentence each.
        header: the name of the row that the column names came from; "" where they are no row.
    """

    values: Mapping[str, Sequence[Any]]
    names: tuple[str, ...]
    source: str
    folder: Path
    broken: tuple[tuple[int, Skipped], ...] = ()
    notes: tuple[str, ...] = ()
    header: str = ""


def missing(value: Any) -> bool:
    """Whether a cell holds nothing: None or a NaN."""
    return value is None or (isinstance(value, (float, np.floating)) and math.isnan(value))


def clean_text(text: str) -> str:
    """The text without what no later stage can write: NUL to a space, lone surrogates to U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", " ")
    try:
        text.encode()
    except UnicodeEncodeError:  # UTF-16 joins the pairs that belong together, replaces the rest
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def text_of(value: Any) -> str:
    """A cell as text: nothing is "", numbers and other values as Python writes them."""
    if isinstance(value, str):
        return clean_text(value)
    if missing(value):
        return ""
    if isinstance(value, (bytes, bytearray)):
        return clean_text(bytes(value).decode("utf-8", "replace"))
    return clean_text(str(value))


def labels_of(values: Iterable[Any]) -> list[str]:
    """A column as labels: stripped and in Unicode form NFC; "" where there is none.

    A column of floats that holds whole numbers only is written without the point: data frames turn
    whole numbers into floats as soon as one is missing.
    """
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    floats = [v for v in plain if isinstance(v, (float, Decimal)) and not missing(v)]
    whole = all(math.isfinite(v) and v == int(v) for v in floats)

    def label(value: Any) -> str:
        if whole and isinstance(value, (float, Decimal)) and not missing(value):
            return str(int(value))
        return unicodedata.normalize("NFC", text_of(value).strip())

    return [label(value) for value in plain]


def check_lengths(values: Mapping[str, Sequence[Any]], source: str) -> int:
    """The number of rows.

    Raises:
        DataError: the columns differ in length, or there are none.
    """
    lengths = {name: len(column) for name, column in values.items()}
    if not lengths:
        raise DataError(
            f"{source} has no columns.", fix="give a table with an input and a label column"
        )
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name!r} {length:,}" for name, length in lengths.items())
        raise DataError(
            f"The columns of {source} differ in length: {listed}.",
            fix="give every column one value for each row",
        )
    return next(iter(lengths.values()))


def check_header(header: Sequence[Any], source: str) -> None:
    """Refuse a table with two columns of one name.

    Raises:
        DataError: naming the columns.
    """
    counts = Counter(str(name) for name in header)
    doubles = sorted(name for name, n in counts.items() if n > 1)
    if doubles:
        raise DataError(
            f"{source} has more than one column called {', '.join(map(repr, doubles))}.",
            fix="give every column a name of its own",
        )
