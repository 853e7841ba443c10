"""The store's table of rows: SQLite that several processes share, and that may be found damaged.

Rollback journal, not WAL: WAL needs memory shared between all users of the file, which network file
systems do not give, and many home folders lie on one. `journal_mode=truncate` with `synchronous=full`
waits for the disk when a transaction ends, so what was entered stays entered after a power cut.

A damaged index is not renamed, for another process may be writing to it and its journal belongs to
its name: the next number becomes the index (index-2.sqlite after index.sqlite), with all rows that
could still be read; what was carried over wrongly fails its checksum. Trimming removes the old one.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import numpy as np

from headstart.features import shards

T = TypeVar("T")

_NAME = re.compile(r"index(?:-([0-9]{1,9}))?\.sqlite")
_VERSION = 2
# the same number in all four bytes: one damaged byte cannot look like a later version
_STAMP = _VERSION * 0x01010101
_SCHEMA = (
    "create table shards (id integer primary key, file text not null unique, graph text not null,"
    " dim integer not null, used real not null)",
    "create table rows (key blob primary key, shard integer not null, row integer not null,"
    " crc integer not null, note text not null) without rowid",
)
# SQLite's words for what is not the file's fault; everything else is
_PASSING = (
    "database is locked", "database table is locked", "locking protocol", "disk I/O error",
    "database or disk is full", "unable to open database file", "access permission denied",
    "interrupted", "large file support is disabled",
)  # fmt: skip
_READ_ONLY = "readonly database"


class Unavailable(Exception):
    """The store cannot be read or written now; the reason is a phrase for the user."""


class Damaged(Exception):
    """The index holds something that it cannot hold."""


class Index:
    """The current index of a folder.

    Args:
        folder: the store's.

    Attributes:
        notes: sentences on what was found damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = []
        self._ready: Path | None = None

    def run(
        self, work: Callable[[sqlite3.Connection], T], *, write: bool = False, wait: float = 60
    ) -> T:
        """Do some work on the index; with `write`, all of it or nothing.

        Args:
            work: gets the connection; may be called again after a damage.
            write: whether it changes rows.
            wait: seconds for other processes to finish.

        Raises:
            Unavailable: no such folder, no right to it, no space, locked for longer than `wait`.
        """
        failed = Unavailable("")
        for _ in range(3):
            path = self._current()
            try:
                if path != self._ready or not path.exists():
                    self._prepare(path)
                    self._ready = path
                with _opened(path, write=write, wait=wait) as connection:
                    return work(connection)
            except Damaged as error:
                self._replace(path, str(error))
                failed = Unavailable(f"{self.folder} keeps being damaged")
            except Unavailable as error:
                if path.exists():
                    raise
                failed = error  # perhaps somebody cleared the store just now
        raise failed

    def _current(self) -> Path:
        return max(self._all(), key=_number, default=self.folder / "index.sqlite")

    def _all(self) -> list[Path]:
        with suppress(OSError):
            return [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]
        return []

    def _prepare(self, path: Path) -> None:
        """Make the tables, or bring an older version's up to date."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"{error.strerror}: {self.folder}") from error
        if path.exists() and path.stat().st_size and self._is_ready(path):
            return
        with _opened(path, write=True) as connection:
            if _stamp(connection) == _STAMP:  # another process was faster
                return
            if not _tables(connection):
                self._begin(connection)
            elif _stamp(connection) == 0:
                try:
                    _upgrade(connection, self.folder)
                except (TypeError, ValueError, AttributeError, OverflowError, KeyError) as error:
                    raise Damaged("it holds other things than rows") from error
            connection.execute(f"pragma user_version = {_STAMP}")

    def _is_ready(self, path: Path) -> bool:
        with _opened(path) as connection:
            stamp = _stamp(connection)
            number = stamp & 0xFF
            if stamp == number * 0x01010101 and number > _VERSION:
                raise Unavailable(f"{self.folder} was made by a later version of Headstart")
            if stamp not in (0, _STAMP):
                raise Damaged("an unknown version")
            return stamp == _STAMP

    def _begin(self, connection: sqlite3.Connection) -> None:
        for statement in _SCHEMA:
            connection.execute(statement)
        old = time.time() - 60  # a younger one may belong to whoever is making this store too
        if any(known.st_mtime < old for known in shards.found_in(self.folder).values()):
            self.notes.append(
                f"The index of the features kept in {self.folder} was gone: they are computed again."
            )

    def _replace(self, path: Path, why: str) -> None:
        """Begin the next index with what can still be read of this one."""
        following = self.folder / f"index-{_number(path) + 1}.sqlite"
        with _opened(following, write=True) as connection:
            if _tables(connection):  # another process was faster
                return
            for statement in _SCHEMA:
                connection.execute(statement)
            _salvage(path, connection)
            connection.execute(f"pragma user_version = {_STAMP}")
            kept = connection.execute("select count(*) from rows").fetchone()[0]
        self.notes.append(
            f"The index of the features kept in {self.folder} was damaged ({why}): {kept:,} entries "
            "could be read, what is missing is computed again."
        )

    def sweep(self) -> None:
        """Remove indexes that were replaced, and not written to for a minute."""
        current = self._current()
        for path in self._all():
            with suppress(OSError):
                if path != current and time.time() - path.stat().st_mtime > 60:
                    path.unlink()
                    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)


def _number(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    return int(match[1] or 1) if match else 0


def _stamp(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma user_version").fetchone()[0]) & 0xFFFFFFFF


def _tables(connection: sqlite3.Connection) -> int:
    return int(connection.execute("select count(*) from sqlite_master").fetchone()[0])


@contextmanager
def _opened(path: Path, *, write: bool = False, wait: float = 60) -> Iterator[sqlite3.Connection]:
    """A connection whose errors are told apart: damaged, or unavailable for now."""
    connection = None
    try:
        # also for readers, if they may: one may have to undo what a killed process left half done
        mode = "rwc" if write else "rw"
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, timeout=wait, uri=True, isolation_level=None)
        connection.text_factory = bytes  # a damaged text need not be UTF-8
        connection.execute("pragma cell_size_check = on")
        if write:
            connection.execute("pragma journal_mode = truncate")
            connection.execute("pragma synchronous = full")
            # keys are random: a batch touches many pages, and those that do not fit wait for the disk
            connection.execute("pragma cache_size = -32768")  # kB
            connection.execute("begin immediate")
        yield connection
        if write:
            connection.execute("commit")
    except sqlite3.ProgrammingError:
        raise  # ours, not the file's
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter for names of columns
        raise _told_apart(error, path) from error
    finally:
        if connection is not None:
            connection.close()


def _told_apart(error: Exception, path: Path) -> Exception:
    text = str(error)
    # a damaged header can claim that a file must not be written
    closed = _READ_ONLY in text and not (
        os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    )
    if closed or any(words in text for words in _PASSING):
        return Unavailable(f"{text}: {path}")
    return Damaged(text)


def _upgrade(connection: sqlite3.Connection, folder: Path) -> None:
    """Version 1 to 2: a row's checksum covers its key and note too. Damaged rows go."""
    connection.execute("drop index if exists rows_by_shard")  # only trimming used it
    connection.execute(
        "create temp table old as select key, shard, row, crc, note from rows order by shard, row"
    )
    connection.execute("delete from rows")
    for shard, file, dim in connection.execute("select id, file, dim from shards").fetchall():
        rows = shards.mapped(folder / os.fsdecode(file), dim)
        if rows is None:
            continue
        old = connection.execute("select key, row, crc, note from old where shard = ?", (shard,))
        while block := old.fetchmany(4096):
            connection.executemany(
                "insert into rows (key, shard, row, crc, note) values (?, ?, ?, ?, ?)",
                [
                    (key, shard, row, zlib.crc32(data, shards.seed(key, note)), note.decode())
                    for key, row, crc, note in block
                    if 0 <= row < len(rows) and zlib.crc32(data := rows[row].tobytes()) == crc
                ],
            )
    connection.execute("drop table old")


def _salvage(damaged: Path, connection: sqlite3.Connection) -> None:
    """Copy what a damaged index still gives, from both of its ends towards the damage."""
    queries = (
        ("shards", "select id, file, graph, dim, used from shards order by id"),
        ("shards", "select id, file, graph, dim, used from shards order by id desc"),
        ("rows", "select key, shard, row, crc, note from rows order by key"),
        ("rows", "select key, shard, row, crc, note from rows order by key desc"),
    )
    for table, query in queries:
        with suppress(Damaged, Unavailable), _opened(damaged, wait=5) as old:
            old.text_factory = lambda data: data.decode(errors="replace")
            if _stamp(old) != _STAMP:
                continue  # the checksums of another version mean something else
            cursor = old.execute(query)
            while block := cursor.fetchmany(200):
                with suppress(sqlite3.IntegrityError, sqlite3.DataError, OverflowError):
                    connection.executemany(
                        f"insert or ignore into {table} values (?, ?, ?, ?, ?)", block
                    )
    connection.execute("delete from rows where shard not in (select id from shards)")


def places(
    connection: sqlite3.Connection, keys: Sequence[bytes], batch: int = 900
) -> tuple[np.ndarray, dict[int, str]]:
    """Where rows lie.

    Args:
        connection: to the index.
        keys: n keys.
        batch: keys asked for at once.

    Returns:
        (m,) places of the keys that are known, with the fields at (which key), shard, row, seed and
        crc, sorted by shard and row; the notes that are not empty by `at`.

    Raises:
        Damaged: the index holds something else than numbers where numbers belong.
    """
    fields = [(name, np.int64) for name in ("at", "shard", "row", "seed", "crc")]
    order = np.argsort(np.array(keys, dtype=bytes))  # neighbours lie on the same page
    pieces = [np.zeros(0, dtype=fields)]
    notes: dict[int, str] = {}
    for start in range(0, len(order), batch):
        at = order[start : start + batch].tolist()
        asked = list(dict.fromkeys([keys[i] for i in at]))
        marks = ",".join("?" * len(asked))
        query = f"select key, shard, row, crc, note from rows where key in ({marks})"
        held = {row[0]: row for row in connection.execute(query, asked)}
        known = [(i, held[keys[i]]) for i in at if keys[i] in held]
        try:
            notes.update((i, row[4].decode(errors="replace")) for i, row in known if row[4])
            pieces.append(
                np.array(
                    [(i, r[1], r[2], shards.seed(r[0], r[4]), r[3]) for i, r in known], dtype=fields
                )
            )
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise Damaged("it holds other things than rows") from error
    found = np.concatenate(pieces)
    return found[np.lexsort((found["row"], found["shard"]))], notes
