"""A folder of class folders, with or without train/val/test folders above them.

Links are followed to files inside of the folder only, and never to folders: a link cannot lead the
reader in circles or out of what the user named.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from headstart.data import pictures
from headstart.data.columns import labels_of
from headstart.data.schema import SPLIT_OF
from headstart.errors import DataError
from headstart.types import Roles, Skipped, Table

_SILENT = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx"}


@dataclass(frozen=True)
class Found:
    """One file below a folder.

    Attributes:
        parts: its path from the folder on, folder by folder.
        reason: why it cannot be used; "" where it may be a picture.
    """

    parts: tuple[str, ...]
    reason: str

    @property
    def name(self) -> str:
        """The path with slashes; bytes of the name that are not UTF-8 are replaced."""
        return printable("/".join(self.parts))


def printable(name: str) -> str:
    """A file name that can be written anywhere; the path itself keeps its bytes."""
    return os.fsencode(name).decode("utf-8", "replace")


def walk(root: Path) -> list[Found]:
    """All files below a folder but hidden ones, sorted by name.

    The order depends on the names only, not on the file system.
    """
    inside = Path(os.path.realpath(root))
    found: list[Found] = []
    waiting: list[tuple[str, ...]] = [()]  # a list, not recursion: folders can be nested very deep
    while waiting:
        parts = waiting.pop()
        try:
            entries = list(os.scandir(root.joinpath(*parts)))
        except OSError as error:
            found.append(Found(parts, f"this folder cannot be read ({error.strerror})"))
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in _SILENT:
                continue
            here = (*parts, entry.name)
            if entry.is_symlink():
                found.append(Found(here, _link_fault(entry, inside)))
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(here)
            else:
                found.append(Found(here, _fault(entry)))
    return sorted(found, key=lambda file: file.parts)


def _fault(entry: os.DirEntry[str]) -> str:
    if not pictures.is_picture_name(entry.name):
        return pictures.not_a_picture(entry.name)
    try:
        info = entry.stat()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not stat.S_ISREG(info.st_mode):
        return "not a regular file"
    return "" if info.st_size else "empty file"


def _link_fault(entry: os.DirEntry[str], root: Path) -> str:
    target = Path(os.path.realpath(entry.path))
    if not target.is_relative_to(root):
        return "a link that leads out of the folder"
    try:
        entry.stat()
    except OSError:
        return "a link that leads nowhere"
    return "a link to a folder, which is not followed" if target.is_dir() else _fault(entry)


def read_folder(root: Path, source: str, *, labelled: bool) -> Table:
    """Read a folder of pictures; the first folder below it (or below train/val/test) is the label.

    Args:
        root: the folder.
        source: what the user typed.
        labelled: whether labels are wanted; without, pictures may lie anywhere below the folder.

    Raises:
        DataError: there are no pictures, or no class folders.
    """
    found = walk(root)
    usable = [file for file in found if not file.reason or file.reason == "empty file"]
    if not any(not file.reason for file in usable):
        raise nothing_found(root, source, found)
    if not labelled:
        return _table(root, source, found, depth=0, has_split=False)
    has_split = _has_splits(usable)
    if not any(len(file.parts) > 1 + has_split for file in usable):
        raise DataError(
            f"{source} holds {len(usable):,} pictures but no class folders.",
            fix="make one folder for each class and put its pictures there, e.g. "
            f"{source.rstrip('/')}/cat/1.jpg, {source.rstrip('/')}/dog/1.jpg",
        )
    return _table(root, source, found, depth=1 + has_split, has_split=has_split)


def _has_splits(usable: list[Found]) -> bool:
    """Whether the first level are train/val/test folders rather than classes.

    One class may well be called "train" (beside "bus" and "car"): a folder with other pictures
    beside counts as divided only if two different parts, each with class folders, are there.
    """
    tops = {file.parts[0] for file in usable if len(file.parts) > 1}
    parts = {top for top in tops if top.strip().casefold() in SPLIT_OF}
    if not parts:
        return False
    if tops == parts:
        return True
    deep = {top for top in parts if all(len(f.parts) > 2 for f in usable if f.parts[0] == top)}
    return deep == parts and len({SPLIT_OF[top.strip().casefold()] for top in parts}) > 1


def _table(root: Path, source: str, found: list[Found], *, depth: int, has_split: bool) -> Table:
    """Rows of the usable files; `depth` folders above a file are the split and the label."""
    rows: list[Found] = []
    skipped: list[Skipped] = []
    for file in found:
        reason = file.reason or _misplaced(file, depth, has_split)
        if reason:
            skipped.append(Skipped(file.name, reason))
        else:
            rows.append(file)
    if not rows:
        raise DataError(
            f"{source} holds no picture in a class folder.",
            fix="put the pictures of each class in a folder of their own",
        )
    labels = tuple(labels_of(printable(f.parts[depth - 1]) for f in rows)) if depth else None
    split = tuple(SPLIT_OF[f.parts[0].strip().casefold()] for f in rows) if has_split else None
    return Table(
        inputs=tuple(root.joinpath(*f.parts) for f in rows),
        targets=labels,
        names=tuple(f.name for f in rows),
        modality="image",
        roles=Roles("file", "folder" if depth else None, "folder" if has_split else None),
        source=source,
        split=split,
        skipped=tuple(skipped),
        notes=_notes(root, rows, depth, has_split),
    )


def _misplaced(file: Found, depth: int, has_split: bool) -> str:
    if has_split and file.parts[0].strip().casefold() not in SPLIT_OF:
        return "not in the train, val or test folder"
    return "not in a class folder" if len(file.parts) <= depth else ""


def _notes(root: Path, rows: list[Found], depth: int, has_split: bool) -> tuple[str, ...]:
    if not depth:
        return ()
    where = "below the train/val/test folders" if has_split else "directly below it"
    counts = Counter(f.parts[depth - 1] for f in rows)
    notes = [f"folder: the {len(counts)} folders {where} are the classes"]
    empty = sorted(
        printable(folder.name)
        for top in {root.joinpath(*f.parts[: depth - 1]) for f in rows}
        for folder in top.iterdir()
        if folder.is_dir() and folder.name not in counts
        and not folder.name.startswith(".") and folder.name.lower() not in _SILENT
    )  # fmt: skip
    if empty:
        notes.append(f"folders without a usable picture: {', '.join(map(repr, empty[:10]))}")
    inner = {f.parts[depth] for f in rows if len(f.parts) > depth + 1}
    if inner and all(name.casefold() in SPLIT_OF for name in inner):
        notes.append(
            "the class folders hold train/test folders of their own, which were not used as such:"
            " if each is a data set, name one of them"
        )
    elif len(counts) == 1 and len(inner) > 1:
        notes.append(
            f"all pictures lie in the one folder {printable(next(iter(counts)))!r}, which has"
            " folders of its own: if those are the classes, name that folder instead"
        )
    return tuple(notes)


def nothing_found(root: Path, source: str, found: list[Found]) -> DataError:
    """The error for a folder without pictures; it says what is there instead."""
    tables = [f.name for f in found if f.parts[-1].lower().endswith((".csv", ".tsv", ".jsonl", ".parquet"))]  # fmt: skip
    if tables:
        return DataError(
            f"{source} holds no pictures, but {len(tables)} table file(s).",
            fix=f"name the table itself: {source.rstrip('/')}/{tables[0]}",
        )
    if any(f.parts and f.parts[-1].lower().endswith(".txt") for f in found):
        return DataError(
            f"{source} holds text files but no pictures.",
            fix="put the texts into one CSV file with the columns text,label",
        )
    reasons = Counter(f.reason for f in found).most_common(1)
    why = f": {reasons[0][1]:,} file(s) are left out ({reasons[0][0]})" if reasons else ""
    empty = " is empty." if not found and not any(root.iterdir()) else f" holds no pictures{why}."
    return DataError(
        f"{source}{empty}",
        fix="name a folder that has one folder of pictures for each class, or a table file",
    )
