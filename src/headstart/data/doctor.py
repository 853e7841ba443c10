"""What bytes and tables tell about the data, without any model: findings with names and fixes."""

from __future__ import annotations

import stat
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import UnreadableInput
from headstart.preprocess import image, likeness
from headstart.types import Finding, Roles, Table
from headstart.wording import counted, share

_FEW = 5  # rows; a class with fewer is hardly learned and not measured
_IMBALANCE = 10  # largest class over smallest
_MANY_SKIPPED = 0.05  # share of the rows
_FEW_SIZES = 20  # rows; with fewer there is no telling what is usual
_FAR = 4.0  # interquartile ranges beyond the quartiles
_TINY = 16  # pixels


def duplicate_groups(table: Table) -> np.ndarray:
    """Rows with the same content get the same number.

    Pictures are the same if their bytes are (files: SHA-256; in memory: the pixels), texts if they
    differ in nothing but case, spaces, punctuation and Unicode form. A picture that cannot be read
    is a group of its own.

    Returns:
        (n,) int64, numbered by first appearance.
    """
    keys = _picture_keys(table.inputs) if table.modality == "image" else text_keys(table.inputs)
    return _number(keys)


def _number(keys: Iterable[Any]) -> np.ndarray:
    """Keys to numbers by first appearance; None equals nothing."""
    numbers: dict[Any, int] = {}
    out = [numbers.setdefault(object() if key is None else key, len(numbers)) for key in keys]
    return np.array(out, dtype=np.int64)


def _picture_keys(inputs: Sequence[Any]) -> list[tuple[str, int, bytes] | None]:
    """Kind, size and hash of each picture. Files that share their size with none are not read."""
    sizes = [_size(value) for value in inputs]
    shared = {size for size, n in Counter(sizes).items() if n > 1}
    return [
        None if size is None else (*size, _digest(value, i) if size in shared else b"")
        for i, (value, size) in enumerate(zip(inputs, sizes))
    ]


def _size(value: Any) -> tuple[str, int] | None:
    """What two pictures must share to be the same; None where nothing can be read."""
    if isinstance(value, (str, Path)):
        try:
            info = Path(value).stat()
        except (OSError, ValueError):
            return None
        return ("bytes", info.st_size) if stat.S_ISREG(info.st_mode) and info.st_size else None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return ("bytes", len(value)) if len(value) else None
    try:
        return "pixels", int(np.asarray(value).nbytes)
    except (OSError, ValueError, TypeError, SyntaxError):  # a PIL image that is read only now
        return None


def _digest(value: Any, row: int) -> bytes:
    """Hash of a picture's bytes or pixels; the row number where it cannot be read."""
    try:
        return image.digest(image.content(value))
    except UnreadableInput:
        return f"unreadable {row}".encode()


def text_keys(inputs: Sequence[Any]) -> list[str]:
    """What is left of n texts without case, punctuation, surplus spaces and Unicode variants."""
    folded = [unicodedata.normalize("NFKC", str(text)).casefold() for text in inputs]
    # symbols stay, for "+1" and an emoji carry meaning
    marks: dict[int, str] = {}
    for char in set("".join(folded)):
        category = unicodedata.category(char)
        if category[0] in "PZC":
            marks[ord(char)] = "" if category == "Cf" else " "  # Cf: zero width, joins words
    keys = [" ".join(text.translate(marks).split()) for text in folded]
    # "?" and "!" would both be nothing
    return [key or text.strip() for key, text in zip(keys, folded)]


def examine(table: Table, groups: np.ndarray) -> tuple[Finding, ...]:
    """What the user should know before anything is trained.

    Args:
        table: n rows.
        groups: (n,) as `duplicate_groups` gives them.

    Returns:
        Findings of the kinds "duplicates", "conflicting-labels", "one-class", "single-rows",
        "small-classes", "imbalance", "skipped", "no-letters" and "lengths", those that apply.
    """
    findings = [*_duplicates(table, groups), *_classes(table), *_skipped(table)]
    if table.modality == "text":
        findings += [*_no_letters(table), *_lengths(table)]
    return tuple(findings)


def _duplicates(table: Table, groups: np.ndarray) -> list[Finding]:
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(groups.tolist()):
        members[group].append(row)
    same = [rows for rows in members.values() if len(rows) > 1]
    if not same:
        return []
    rows = [row for own in same for row in own]
    first = tuple("" if row == own[0] else table.names[own[0]] for own in same for row in own)
    extra = len(rows) - len(same)
    names = tuple(table.names[row] for row in rows)
    message = (
        f"{share(extra, len(table), 'row', 'repeats', 'repeat')} another row "
        f"({counted(len(same), 'group', 'groups')} of equal rows)."
    )
    findings = [
        Finding("duplicates", "warning" if extra * 20 > len(table) else "info", message,
                "nothing to do: equal rows are kept on one side of the split", names,
                confidence=1.0, numbers=tuple(rows), suggestions=first)
    ]  # fmt: skip
    if table.targets is None:
        return findings
    clash = [own for own in same if len({table.targets[row] for row in own}) > 1]
    if clash:
        shown = ", ".join(f"{table.names[r]} is {table.targets[r]!r}" for r in clash[0][:3])
        n = sum(map(len, clash))
        findings.append(
            Finding(
                "conflicting-labels",
                "warning",
                f"{n:,} rows have the same content but different labels, e.g. {shown}.",
                "decide which label is right, and mend or remove the other rows",
                tuple(table.names[row] for own in clash for row in own),
                confidence=1.0,
                numbers=tuple(row for own in clash for row in own),
            )
        )
    return findings


def _no_letters(table: Table) -> list[Finding]:
    """Texts of digits, punctuation and spaces only; an emoji says something."""
    rows = [i for i, text in enumerate(table.inputs) if not _says_something(str(text))]
    if not rows:
        return []
    names = tuple(table.names[row] for row in rows)
    return [
        Finding("no-letters", "info", f"{counted(len(rows), 'text holds', 'texts hold')} no letters, e.g. {names[0]}.",
                "look at them: is it the right column? What says nothing is better removed", names,
                numbers=tuple(rows))
    ]  # fmt: skip


def _says_something(text: str) -> bool:
    # the first letter ends the search, and nearly every text begins with one
    return any(char.isalpha() or unicodedata.category(char) == "So" for char in text)


def _lengths(table: Table) -> list[Finding]:
    lengths = np.array([len(str(text)) for text in table.inputs])
    rows = extreme(lengths)
    if not len(rows):
        return []
    names = tuple(table.names[row] for row in rows)
    usual = int(np.median(lengths))
    message = (
        f"{counted(len(rows), 'text is', 'texts are')} far longer or shorter than the others "
        f"({counted(usual, 'character', 'characters')}), "
        f"e.g. {names[0]} with {lengths[rows[0]]:,}."
    )
    fix = "look at them: several texts in one cell, or a cut one?"
    return [Finding("lengths", "info", message, fix, names, numbers=tuple(rows.tolist()))]


def extreme(values: np.ndarray) -> np.ndarray:
    """Rows whose value is far from all others, the farthest first; in logarithms, as sizes spread.

    Far is more than four interquartile ranges (at least a factor of two) beyond the quartiles (Tukey's
    fences, wide).

    Args:
        values: (n,) sizes or lengths, not negative.
    """
    if len(values) < _FEW_SIZES:
        return np.zeros(0, dtype=np.int64)
    logs = np.log(np.maximum(values, 1))
    low, high = np.quantile(logs, (0.25, 0.75))
    beyond = np.maximum(low - logs, logs - high) / max(high - low, np.log(2))
    far = np.flatnonzero(beyond > _FAR)
    return far[np.argsort(-beyond[far], kind="stable")]


def pictures(table: Table, prints: np.ndarray) -> tuple[Finding, ...]:
    """What is odd about pictures by their looks and sizes.

    Args:
        table: n pictures.
        prints: (n, WIDTH) of `headstart.preprocess.likeness`; rows of NaN could not be read.

    Returns:
        Findings of the kinds "blank" (one colour) and "sizes" (far larger or smaller than others, or
        a side below 16 pixels), those that apply.
    """
    findings = []
    flat = np.flatnonzero(likeness.blank(prints)).tolist()
    if flat:
        names = tuple(table.names[row] for row in flat)
        findings.append(
            Finding("blank", "warning",
                    f"{counted(len(flat), 'picture is', 'pictures are')} of one colour, e.g. {names[0]}.",
                    "remove them, or make them again", names, confidence=1.0, numbers=tuple(flat))
        )  # fmt: skip
    sides = likeness.sizes(prints)
    known = np.flatnonzero(sides.min(axis=1, initial=1) > 0)
    far = known[extreme(sides[known].prod(axis=1))]
    small = known[sides[known].min(axis=1, initial=_TINY) < _TINY]
    rows = list(dict.fromkeys([*far.tolist(), *small.tolist()]))
    if rows:
        names = tuple(table.names[row] for row in rows)
        width, height = sides[rows[0]]
        message = (
            f"{counted(len(rows), 'picture is', 'pictures are')} far larger or smaller than the others, "
            f"e.g. {names[0]} with {width} x {height} pixels."
        )
        fix = "look at them: thumbnails, scans of whole pages?"
        findings.append(Finding("sizes", "info", message, fix, names, numbers=tuple(rows)))
    return tuple(findings)


def _classes(table: Table) -> list[Finding]:
    if not table.targets:
        return []
    counts = Counter(table.targets)
    if len(counts) == 1:
        only = table.targets[0]
        return [
            Finding("one-class", "error", f"There is only one class ({only!r}).",
                    "add rows of at least one more class")
        ]  # fmt: skip
    findings = []
    single = sorted(label for label, n in counts.items() if n == 1)
    small = sorted(label for label, n in counts.items() if 1 < n < _FEW)
    if single:
        findings.append(
            Finding("single-rows", "warning",
                    f"{counted(len(single), 'class has', 'classes have')} a single row and cannot be measured: "
                    f"{_some(single)}.",
                    "add examples of these classes, or merge them with others",
                    _names_of(table, set(single)))
        )  # fmt: skip
    if small:
        findings.append(
            Finding("small-classes", "warning",
                    f"{counted(len(small), 'class has', 'classes have')} fewer than {_FEW} rows: {_some(small)}.",
                    "add examples of these classes, or merge them with others",
                    _names_of(table, set(small)))
        )  # fmt: skip
    (large, most), *_ = ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    rare, least = ordered[-1]
    if most >= _IMBALANCE * least:
        findings.append(
            Finding("imbalance", "warning",
                    f"The classes are uneven: {large!r} has {most:,} rows, {rare!r} has {least:,}.",
                    "look at balanced accuracy rather than accuracy, and add rows of the rare classes")
        )  # fmt: skip
    return findings


def _skipped(table: Table) -> list[Finding]:
    n = len(table.skipped)
    part = n / max(1, n + len(table))
    if not n:
        return []
    reasons = Counter(entry.reason for entry in table.skipped).most_common(3)
    listed = "; ".join(f"{reason} ({count:,})" for reason, count in reasons)
    return [
        Finding(
            "skipped",
            "warning" if part > _MANY_SKIPPED else "info",
            f"{share(n, n + len(table), 'input', 'was', 'were')} left out while reading: {listed}.",
            "mend these inputs or remove them",
            tuple(entry.input for entry in table.skipped),
        )
    ]


def joined(one: Table, other: Table) -> Table:
    """The rows of two tables of one modality below each other, without labels."""
    return Table(
        inputs=(*one.inputs, *other.inputs),
        targets=None,
        names=(*one.names, *other.names),
        modality=one.modality,
        roles=Roles(one.roles.input),
        source=one.source,
    )


def _names_of(table: Table, labels: set[str]) -> tuple[str, ...]:
    assert table.targets is not None
    return tuple(name for name, label in zip(table.names, table.targets) if label in labels)


def _some(labels: Sequence[str], limit: int = 8) -> str:
    more = f" and {len(labels) - limit:,} more" if len(labels) > limit else ""
    return ", ".join(repr(label) for label in labels[:limit]) + more
