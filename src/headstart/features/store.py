"""Feature vectors kept for ever: one row for each (input content, graph) pair.

Vectors lie in append-only shard files, each written by one process only; an SQLite table maps keys to
rows. A row enters the table after its bytes have been fsynced, so a run killed at any moment leaves
a valid store: bytes without a table row are dead weight, never a wrong answer. Every row carries a
CRC-32, checked on reading; a damaged row counts as missing and is computed again.
"""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.compute import cache_dir

DEFAULT_LIMIT = 20 << 30  # bytes of vectors; beyond it the least recently used shards go
_SHARD_BYTES = 64 << 20
_SCHEMA = """
create table if not exists shards (
    id integer primary key, file text not null unique, graph text not null, dim integer not null,
    used real not null);
create table if not exists rows (
    key blob primary key, shard integer not null, row integer not null, crc integer not null,
    note text not null) without rowid;
create index if not exists rows_by_shard on rows (shard);
"""


@dataclass(frozen=True)
class Size:
    """What the store holds."""

    rows: int
    bytes: int
    shards: int


class Store:
    """The feature store in a folder. Safe to use from several processes at once.

    Args:
        folder: where it lives; by default "features" in the cache folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_dir() / "features"
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._index() as index:
            index.executescript(_SCHEMA)

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """One transaction on the table of rows."""
        index = sqlite3.connect(self.folder / "index.sqlite", timeout=60)
        try:
            with index:
                yield index
        finally:
            index.close()

    def get(self, keys: Sequence[bytes], dim: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Look rows up.

        Args:
            keys: n keys of `headstart.hashing.feature_key`.
            dim: d.

        Returns:
            (n, d) float32, zero where missing; (n,) bool, found; n notes.
        """
        places: dict[bytes, tuple[int, int, int, str]] = {}
        files: dict[int, str] = {}
        unique = list(dict.fromkeys(keys))
        with self._index() as index:
            for start in range(0, len(unique), 500):
                some = unique[start : start + 500]
                marks = ",".join("?" * len(some))
                query = f"select key, shard, row, crc, note from rows where key in ({marks})"
                places.update((key, rest) for key, *rest in index.execute(query, some))
            used = {place[0] for place in places.values()}
            now = time.time()
            for shard in used:
                row = index.execute(
                    "select file from shards where id = ? and dim = ?", (shard, dim)
                ).fetchone()
                if row:
                    files[shard] = row[0]
                # touching at most once a minute keeps concurrent readers from queueing to write
                index.execute(
                    "update shards set used = ? where id = ? and used < ?", (now, shard, now - 60)
                )
        maps = {shard: self._map(name, dim) for shard, name in files.items()}
        values = np.zeros((len(keys), dim), dtype=np.float32)
        found = np.zeros(len(keys), dtype=bool)
        notes = [""] * len(keys)
        for i, key in enumerate(keys):
            if key not in places:
                continue
            shard, row, crc, notes[i] = places[key]
            rows = maps.get(shard)
            if rows is not None and row < len(rows) and zlib.crc32(rows[row].tobytes()) == crc:
                values[i], found[i] = rows[row], True
        return values, found, notes

    def _map(self, name: str, dim: int) -> np.ndarray | None:
        """A shard's whole rows, memory-mapped; None where the file is gone or holds none."""
        path = self.folder / name
        try:
            count = path.stat().st_size // (4 * dim)
        except FileNotFoundError:
            return None
        return np.memmap(path, np.float32, "r", shape=(count, dim)) if count else None

    def writer(self, graph: str, dim: int) -> Writer:
        """Something that appends rows of one graph."""
        return Writer(self, graph, dim)

    def size(self) -> Size:
        """Rows and bytes held."""
        with self._index() as index:
            rows = index.execute("select count(*) from rows").fetchone()[0]
            shards = index.execute("select count(*) from shards").fetchone()[0]
        total = sum(path.stat().st_size for path in self.folder.glob("*.f32"))
        return Size(rows, total, shards)

    def trim(self, limit: int = DEFAULT_LIMIT) -> int:
        """Remove the least recently used shards until at most `limit` bytes remain; returns bytes freed."""
        known = {path.name: path.stat().st_size for path in self.folder.glob("*.f32")}
        total = sum(known.values())
        freed = 0
        dropped = set()
        if total <= limit:
            return 0
        with self._index() as index:
            for shard, name in index.execute(
                "select id, file from shards order by used"
            ).fetchall():
                if total - freed <= limit:
                    break
                index.execute("delete from rows where shard = ?", (shard,))
                index.execute("delete from shards where id = ?", (shard,))
                freed += known.pop(name, 0)
                dropped.add(name)
            kept = {row[0] for row in index.execute("select file from shards")}
        for path in self.folder.glob("*.f32"):
            # a young file without rows may belong to a run that has not entered it yet
            orphan = path.name not in kept and time.time() - path.stat().st_mtime > 60
            if path.name in dropped or orphan:
                path.unlink(missing_ok=True)
        return freed


class Writer:
    """Appends rows of one graph to shards of its own. Use as a context manager."""

    def __init__(self, store: Store, graph: str, dim: int) -> None:
        self._store, self._graph, self._dim = store, graph, dim
        self._name = ""
        self._shard = -1
        self._row = 0

    def append(self, keys: Sequence[bytes], values: np.ndarray, notes: Sequence[str]) -> None:
        """Add rows; when this returns they survive a crash.

        Args:
            keys: n keys; a key that is known already is left as it is.
            values: (n, d) float32.
            notes: n notes, "" mostly.
        """
        if not len(keys):
            return
        if not self._name or self._row * self._dim * 4 >= _SHARD_BYTES:
            self._name, self._shard, self._row = f"{uuid.uuid4().hex}.f32", -1, 0
        rows = np.ascontiguousarray(values, dtype=np.float32)
        with (self._store.folder / self._name).open("ab") as file:
            file.write(rows.tobytes())
            file.flush()
            os.fsync(file.fileno())
        with self._store._index() as index:
            if self._shard < 0:
                cursor = index.execute(
                    "insert into shards (file, graph, dim, used) values (?, ?, ?, ?)",
                    (self._name, self._graph, self._dim, time.time()),
                )
                self._shard = int(cursor.lastrowid or 0)
            # replace, not ignore: the old row may be the damaged one that was just computed again
            index.executemany(
                "insert or replace into rows values (?, ?, ?, ?, ?)",
                (
                    (key, self._shard, self._row + i, zlib.crc32(rows[i].tobytes()), note)
                    for i, (key, note) in enumerate(zip(keys, notes))
                ),
            )
        self._row += len(rows)
