"""A column of points in time -> text that sorts: ISO 8601 dates or plain numbers, read strictly.

One column is read in one way. Dates whose day and month cannot be told apart anywhere in the column are
refused, as are a mix of numbers and dates, or of times with and without an offset from UTC: a wrong
guess would put rows of the future among those that are learned from.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from headstart.data.columns import missing, text_of
from headstart.errors import DataError

_MONTHS = {
    name: i + 1
    for i, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
    )
}
_LONG = ("january", "february", "march", "april", "may", "june", "july", "august", "september",
         "october", "november", "december")  # fmt: skip
_CLOCK = r"(?:[T ,]+(?P<clock>\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)\s*(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?)?"
_YEAR_FIRST = re.compile(
    r"(?P<y>\d{4})(?:-(?P<m>\d{1,2})-(?P<d>\d{1,2})|/(?P<m2>\d{1,2})/(?P<d2>\d{1,2})"
    r"|\.(?P<m3>\d{1,2})\.(?P<d3>\d{1,2})|\s*年\s*(?P<m4>\d{1,2})\s*月\s*(?P<d4>\d{1,2})\s*日)"
    + _CLOCK,
    re.IGNORECASE,
)
_DOTTED = re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})" + _CLOCK, re.IGNORECASE)
_EITHER = re.compile(
    r"(?P<a>\d{1,2})(?P<sep>[/-])(?P<b>\d{1,2})(?P=sep)(?P<y>\d{4})" + _CLOCK, re.IGNORECASE
)
_NAMED = re.compile(
    r"(?:(?P<d>\d{1,2})[ -](?P<month>[A-Za-z]{3,9})\.?,?[ -]|(?P<month2>[A-Za-z]{3,9})\.? (?P<d2>\d{1,2}),? )"
    r"(?P<y>\d{4})" + _CLOCK
)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_FIX = "write dates as 2024-05-31 or 2024-05-31 14:30, or as plain numbers, all in one form"


def times_of(column: Sequence[Any], names: Sequence[str], title: str) -> tuple[str, ...]:
    """The points in time of a column; "" where a cell is empty.

    Dates become "2024-05-31" or "2024-05-31T14:30:00[.5]", in UTC where the column has offsets;
    numbers (years, counters, seconds since 1970) stay numbers.

    Args:
        column: n cells: texts, numbers, `datetime` values.
        names: n names of the rows, for errors.
        title: the column's name, for errors.

    Raises:
        DataError: a cell is no point in time, or they are not all of one form; with the row.
    """
    cells = [_plain(value) for value in column]
    filled = [i for i, cell in enumerate(cells) if cell != ""]
    kinds = [isinstance(cells[i], str) and _NUMBER.fullmatch(str(cells[i])) for i in filled]
    numbers = [i for i, is_number in zip(filled, kinds) if is_number]
    if numbers and len(numbers) < len(filled):
        odd = next(i for i, is_number in zip(filled, kinds) if bool(is_number) != bool(kinds[0]))
        raise DataError(
            f"{names[odd]}: {title} is {str(cells[odd])[:40]!r}, but {names[filled[0]]} has "
            f"{str(cells[filled[0]])[:40]!r}: numbers and dates cannot be put in one order.",
            fix=_FIX,
        )
    if numbers:
        return tuple(str(cell) for cell in cells)
    day_first = _day_first([str(cells[i]) for i in filled], [names[i] for i in filled], title)
    moments: list[dt.datetime | dt.date | None] = [None] * len(cells)
    for i in filled:
        moments[i] = _moment(cells[i], names[i], title, day_first)
    _check_zones(moments, names, title)
    return tuple("" if one is None else _text(one) for one in moments)


def order_of(times: Sequence[str]) -> np.ndarray:
    """(n,) int64 ranks of times as `times_of` gives them: earlier is less, equal is equal."""
    numeric = all(_NUMBER.fullmatch(time) for time in times)
    key: Callable[[str], Any] = Decimal if numeric else str
    # a date sorts before the same day's hours, and whole seconds before their parts, as texts do
    keys = [key(time) for time in times]
    rank = {value: i for i, value in enumerate(sorted(set(keys)))}
    return np.array([rank[value] for value in keys], dtype=np.int64)


def _plain(value: Any) -> str | dt.date:
    """A cell as a date, or as a text; "" for nothing."""
    if isinstance(value, np.datetime64):
        value = None if np.isnat(value) else value.astype("datetime64[us]").item()
    if isinstance(value, np.generic):
        value = value.item()
    if missing(value):
        return ""
    if isinstance(value, dt.date):  # a datetime is one
        return value
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return str(int(value))  # data frames turn whole numbers into floats where one is missing
    return text_of(value).strip()


def _day_first(texts: Sequence[str], names: Sequence[str], title: str) -> bool:
    """Whether dates like 31/05/2024 begin with the day: the first number that no month has tells."""
    seen = [(found, name) for text, name in zip(texts, names) if (found := _EITHER.fullmatch(text))]
    days = [name for found, name in seen if int(found["a"]) > 12]
    months = [name for found, name in seen if int(found["b"]) > 12]
    if seen and bool(days) == bool(months):
        where = f"{days[0]} and {months[0]} differ" if days else f"{seen[0][1]} is one of them"
        raise DataError(
            f"{title}: it cannot be told which number is the day in dates like "
            f"{seen[0][0].group()!r} ({where}).",
            fix=_FIX,
        )
    return bool(days)


def _moment(cell: str | dt.date, name: str, title: str, day_first: bool) -> dt.date:
    if isinstance(cell, dt.date):
        return cell
    try:
        return _parsed(cell, day_first)
    except ValueError:
        raise DataError(
            f"{name}: {title} is {cell[:40]!r}, which is no date and no number.", fix=_FIX
        ) from None


def _parsed(text: str, day_first: bool) -> dt.date:
    """A date or time in one of the forms.

    Raises:
        ValueError: it is in none of them, or there is no such day.
    """
    if found := _YEAR_FIRST.fullmatch(text):
        parts = found.groupdict()
        month = next(int(parts[name]) for name in ("m", "m2", "m3", "m4") if parts[name])
        day = next(int(parts[name]) for name in ("d", "d2", "d3", "d4") if parts[name])
    elif found := _DOTTED.fullmatch(text):
        month, day = int(found["m"]), int(found["d"])
    elif found := _EITHER.fullmatch(text):
        first, second = int(found["a"]), int(found["b"])
        day, month = (first, second) if day_first else (second, first)
    elif found := _NAMED.fullmatch(text):
        month = _month((found["month"] or found["month2"]).lower())
        day = int(found["d"] or found["d2"])
    else:
        raise ValueError(text)
    date = dt.date(int(found["y"]), month, day)
    if not found["clock"]:
        return date
    clock = found["clock"].replace(",", ".")
    whole, _, part = clock.partition(".")
    hour, minute, second = (*(int(piece) for piece in whole.split(":")), 0)[:3]
    micro = int(part[:6].ljust(6, "0"))
    moment = dt.datetime(date.year, date.month, date.day, hour, minute, second, micro)
    return moment.replace(tzinfo=_zone(found["zone"]))


def _month(name: str) -> int:
    if name[:3] not in _MONTHS or not (len(name) == 3 or name in (*_LONG, "sept")):
        raise ValueError(name)
    return _MONTHS[name[:3]]


def _zone(text: str | None) -> dt.tzinfo | None:
    if not text:
        return None
    if text.upper() in ("Z", "UTC"):
        return dt.timezone.utc
    hours, minutes = int(text[1:3]), int(text[-2:])
    offset = dt.timedelta(hours=hours, minutes=minutes)
    return dt.timezone(-offset if text[0] == "-" else offset)


def _check_zones(moments: Sequence[dt.date | None], names: Sequence[str], title: str) -> None:
    """All times with an offset from UTC, or none: others cannot be put in one order."""
    zoned: dict[bool, str] = {}
    for moment, name in zip(moments, names):
        if isinstance(moment, dt.datetime):
            zoned.setdefault(moment.tzinfo is not None, name)
        elif moment is not None:
            zoned.setdefault(False, name)
    if len(zoned) == 2:
        raise DataError(
            f"{title}: {zoned[True]} has an offset from UTC, {zoned[False]} has none.",
            fix="give all times an offset (2024-05-31T14:30+02:00), or none of them",
        )


def _text(moment: dt.date) -> str:
    if not isinstance(moment, dt.datetime):
        return moment.isoformat()
    if moment.tzinfo is not None:
        moment = moment.astimezone(dt.timezone.utc).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds").rstrip("0").rstrip(".")
