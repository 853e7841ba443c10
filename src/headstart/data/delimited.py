"""CSV and its relatives: encoding, delimiter, quotes, and rows that do not fit the header."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headstart.data.columns import Columns, check_header
from headstart.errors import DataError
from headstart.types import Skipped

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DELIMITERS = ",\t;|"
_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_NO_DELIMITER = "\x1f"  # a control character that stands in no text: the line is one field
_PROBE = 200  # records looked at to guess the delimiter
_PROBE_SIZE = 1 << 20  # characters they are taken from
_LIMIT = threading.Lock()  # the csv module keeps its size limit for the whole process


def decode(data: bytes, source: str) -> tuple[str, tuple[str, ...]]:
    """Bytes as text, whatever they are; never fails.

    UTF-8, UTF-16 and UTF-32 by their mark or their pattern; else GB18030 where that gives common
    Chinese characters; else Windows-1252. Bytes that fit nothing are read as Windows-1252 one by one.

    Returns:
        The text, and a note on the encoding where it is not UTF-8.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            text = data[len(mark) :].decode(name, "replace")
            return text, () if name == "utf-8" else (f"{source} was read as {name.upper()}",)
    if wide := _wide(data):
        return data.decode(wide, "replace"), (f"{source} was read as {wide.upper()}",)
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "surrogateescape")
    odd = len(re.findall("[\udc80-\udcff]", text))
    foreign = sum(1 for c in re.findall("[^\0-\x7f]", text))
    if odd * 5 <= foreign:
        note = f"{source} is UTF-8 but for {odd:,} byte(s), which were read as Windows-1252"
        return text.translate(_WINDOWS), (note,)
    chinese = data.decode("gb18030", "replace")
    if _plausible_chinese(chinese):
        return chinese, (f"{source} was read as GB18030",)
    text = data.decode("ascii", "surrogateescape").translate(_WINDOWS)
    return text, (f"{source} is not UTF-8; it was read as Windows-1252 (Latin-1)",)


# What stands for each escaped byte; the five that Windows-1252 lacks are taken as Latin-1.
_WINDOWS = {
    0xDC00 + byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte)
    for byte in range(0x80, 0x100)
}


def _wide(data: bytes) -> str:
    """UTF-16 without a mark: every second byte of western text is zero. "" where it is not."""
    head = data[: 1 << 14]
    if len(head) < 4 or head.count(0) * 4 < len(head):
        return ""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > 9 * even:
        return "utf-16-le"
    return "utf-16-be" if even > 9 * odd else ""


def _plausible_chinese(text: str) -> bool:
    """Whether most of what is not ASCII is a common character of GB 2312 (level 1, punctuation).

    Western bytes taken as GB18030 give rare characters: an accented letter followed by an ASCII
    one lies outside of GB 2312.
    """
    foreign = re.findall("[^\0-\x7f]", text)[:5000]
    codes = [c.encode("gb2312", "ignore") for c in foreign]
    common = sum(1 for code in codes if code and (code[0] <= 0xA3 or 0xB0 <= code[0] <= 0xD7))
    return bool(foreign) and common * 2 > len(foreign)


def read_delimited(path: Path, source: str, *, delimiter: str | None = None) -> Columns:
    """Read a CSV file, or one with tabs, semicolons or bars.

    Args:
        path: the file.
        source: what the user typed.
        delimiter: what parts the fields; guessed when None.

    Returns:
        All cells as strings; rows that do not fit the header are `broken`.

    Raises:
        DataError: the file is empty, or holds a header only or two columns of one name.
    """
    text, notes = decode(path.read_bytes(), path.name)
    if nuls := text.count("\0"):
        text = text.replace("\0", " ")
        notes += (f"{path.name} holds {nuls:,} NUL byte(s), which were read as spaces",)
    lines = io.StringIO(text, newline="").readlines()
    first = 0
    if lines and (told := re.fullmatch(r"sep=(.)\s*", lines[0])):  # Excel's own first line
        delimiter, first = told[1], 1
    if not any(line.strip() for line in lines[first:]):
        raise DataError(f"{source} is empty.", fix="give a file with a header line and rows")
    with _field_limit(len(text)):
        chosen = delimiter or guess_delimiter(lines)
        if delimiter is None and chosen not in (",", _NO_DELIMITER):
            notes += (f"{path.name}: the columns are parted by {_NAMES[chosen]}s",)
        return _columns(path, source, lines, chosen, first, notes)


def _columns(
    path: Path, source: str, lines: list[str], delimiter: str, first: int, notes: tuple[str, ...]
) -> Columns:
    """Put the records into columns; the first one is the header."""
    records = _records(lines, delimiter, first)
    at, fields, reason = next(records)
    if reason:
        raise DataError(f"The header of {source} cannot be read: {reason}.", fix="mend its quotes")
    header = [name.strip() for name in fields]
    while header and not header[-1]:  # a delimiter too many at the end of the line
        header.pop()
    header = [name or f"column {i}" for i, name in enumerate(header, 1)]
    check_header(header, source)
    rows: list[Sequence[str]] = []
    names: list[str] = []
    broken: list[tuple[int, Skipped]] = []
    width = len(header)
    for line, row, why in records:
        if not why and len(row) != width:
            row, why = _fit(row, width)
        if not why and row[0].strip() == header[0] and [c.strip() for c in row] == header:
            why = "the header once more"
        if why:
            broken.append((len(rows), Skipped(f"{path.name}:{line}", why)))
        else:
            rows.append(row)
            names.append(f"{path.name}:{line}")
    if not rows and not broken:
        raise DataError(f"{source} has a header but no rows.", fix="add rows below the header")
    cells = list(zip(*rows)) if rows else [()] * width
    return Columns(
        values=dict(zip(header, cells)),
        names=tuple(names),
        source=source,
        folder=path.parent,
        broken=tuple(broken),
        notes=notes,
        header=f"{path.name}:{at}",
    )


def _fit(row: list[str], width: int) -> tuple[list[str], str]:
    """A row without surplus empty fields at its end, and why it cannot be used."""
    if len(row) > width and not any(field.strip() for field in row[width:]):
        return row[:width], ""
    fields = "field" if len(row) == 1 else "fields"
    return row, f"row has {len(row)} {fields}, the header has {width}"


def guess_delimiter(lines: Sequence[str]) -> str:
    """Comma, tab, semicolon or bar: the one that gives most rows as many fields as the header."""
    best, best_score = _NO_DELIMITER, 0.0
    ends = itertools.accumulate(map(len, lines))
    lines = [line for line, end in zip(lines, ends) if end <= max(_PROBE_SIZE, len(lines[0]))]
    for delimiter in _DELIMITERS:
        sizes = []
        for _, row, reason in _records(lines, delimiter, 0):
            if not reason:
                sizes.append(len(row))
            if len(sizes) >= _PROBE:
                break
        if not sizes or sizes[0] < 2:
            continue
        score = sizes.count(sizes[0]) / len(sizes)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _records(
    lines: Sequence[str], delimiter: str, first: int
) -> Iterator[tuple[int, list[str], str]]:
    """Parse line by line, so that one stray quotation mark costs one line and not the whole file.

    Args:
        lines: the file's lines with their ends.
        delimiter: one character.
        first: the line to start at, counted from 0.

    Yields:
        The number of the line the record starts at (from 1), its fields, and why it is unusable.
    """
    at = first
    spent = 0  # lines read again after a stray quotation mark
    while at < len(lines):
        start = at
        reader = csv.reader(_tail(lines, at), delimiter=delimiter, strict=True)
        try:
            while (row := next(reader, None)) is not None:
                if lines[start].strip():  # blank lines are no rows
                    yield start + 1, row, ""
                start = at + reader.line_num
            return
        except csv.Error:
            span = at + reader.line_num - start
        spent += span
        if span == 1:
            yield start + 1, _lenient(lines[start], delimiter, lines[first]), ""
        elif spent <= 10 * len(lines) + 10_000:
            yield start + 1, [], "a quotation mark is opened and never closed"
        else:
            yield start + 1, [], "too many stray quotation marks; the rest was not read"
            return
        at = start + 1


def _tail(lines: Sequence[str], start: int) -> Iterator[str]:
    return (lines[i] for i in range(start, len(lines)))


@contextmanager
def _field_limit(size: int) -> Iterator[None]:
    """Lift the csv module's limit on a field, which is 128 KB and would end the run."""
    with _LIMIT:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, min(size + 1, (1 << 31) - 1)))  # a C long on Windows
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _lenient(line: str, delimiter: str, header: str) -> list[str]:
    """One line whose quotes break the rules: quotes as letters if that gives the right fields."""
    plain = line.rstrip("\r\n").split(delimiter)
    if len(plain) == len(header.split(delimiter)):
        return plain
    return next(csv.reader([line], delimiter=delimiter), [])
