"""Feature vectors kept for ever: one row for each (input content, graph) pair.

Vectors lie in append-only shard files (`headstart.features.shards`), each written by one process only;
an SQLite table (`headstart.features.index`) maps keys to rows. A row enters the table after its bytes
and its shard's name have been fsynced, so a run killed at any moment leaves a valid store: bytes
without a table row are dead weight, never a wrong answer. Every row carries a checksum over key, note
and bytes, tested on reading; a row that fails it counts as missing and is computed again.

The store is a cache: nothing that happens to it ends a run. What cannot be read is missing, what
cannot be written is not kept, and `Store.notes` and `Writer.full` say so.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.compute import cache_dir
from headstart.errors import BundleError
from headstart.features import shards
from headstart.features.index import Damaged, Index, Unavailable, places
from headstart.manifest import atomic_write, dump_json, read_json

DEFAULT_LIMIT = 20 << 30  # bytes of vectors; beyond it the least recently used shards go
LIMIT_FILE = "limit.json"
# typed, for a damaged index may hold anything anywhere
_FILE, _GRAPH = "coalesce(cast(file as text), '')", "coalesce(cast(graph as text), '')"
_USED = "coalesce(cast(used as real), 0.0)"
_UNREAD = "Kept features cannot be read and are computed again ({})."
_YOUNG = 60  # seconds: a shard without rows may belong to a run that has not entered them yet


@dataclass(frozen=True)
class Size:
    """What the store holds."""

    rows: int
    bytes: int
    shards: int


@dataclass(frozen=True)
class Held:
    """What the store holds of one graph."""

    graph: str
    rows: int
    bytes: int


class Store:
    """The feature store in a folder. Safe to use from several processes at once.

    Args:
        folder: where it lives; by default "features" in the cache folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_dir() / "features"
        self._index = Index(self.folder)
        self._notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        """Sentences for the user on what was found damaged or could not be read, each once."""
        return list(dict.fromkeys([*self._index.notes, *self._notes]))

    def get(
        self, keys: Sequence[bytes], dim: int, out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Look rows up.

        Args:
            keys: n keys of `headstart.hashing.feature_key`.
            dim: d.
            out: (n, d) float32 to be filled and returned, e.g. a memory map; by default a new array.

        Returns:
            (n, d) float32, zero where missing; (n,) bool, found; n notes.
        """
        if out is not None and (out.shape != (len(keys), dim) or out.dtype != np.float32):
            raise ValueError(f"out is {out.shape} {out.dtype}, not {(len(keys), dim)} float32")
        values = np.zeros((len(keys), dim), dtype=np.float32) if out is None else out
        found = np.zeros(len(keys), dtype=bool)
        notes = [""] * len(keys)
        if len(keys):
            self._fill(keys, values, found, notes)
        if out is not None:
            for start in range(0, len(keys), 4096):  # in pieces: out may be larger than the memory
                piece = slice(start, start + 4096)
                values[piece][~found[piece]] = 0
        return values, found, notes

    def _fill(
        self, keys: Sequence[bytes], values: np.ndarray, found: np.ndarray, notes: list[str]
    ) -> None:
        def look(
            index: sqlite3.Connection,
        ) -> tuple[np.ndarray, dict[int, str], dict[int, tuple[Path, float]]]:
            where, noted = places(index, keys)
            return where, noted, self._shards(index, values.shape[1])

        try:
            where, noted, known = self._index.run(look)
        except Unavailable as error:
            self._notes.append(_UNREAD.format(error))
            return
        numbers, starts = np.unique(where["shard"], return_index=True)
        for shard, mine in zip(numbers.tolist(), np.split(where, starts[1:])):
            if shard in known:
                shards.read(known[shard][0], values.shape[1], mine, values, found)
        for i, note in noted.items():
            notes[i] = note if found[i] else ""
        self._touch([shard for shard in numbers.tolist() if shard in known], known)

    def _shards(self, index: sqlite3.Connection, dim: int) -> dict[int, tuple[Path, float]]:
        """Files and times of last use of the shards of this width."""
        known = {}
        for shard, file, used in index.execute(
            f"select id, {_FILE}, {_USED} from shards where dim = ?", (dim,)
        ):
            name = _text(file)
            if shards.is_shard(name):  # a damaged name may be anything, a path too
                known[shard] = (self.folder / name, used)
        return known

    def _touch(self, used: list[int], known: dict[int, tuple[Path, float]]) -> None:
        """Note that shards were used; at most once a minute, lest readers queue up to write."""
        now = time.time()
        stale = [(now, shard) for shard in used if not now - 60 <= known[shard][1] <= now]
        if stale:
            with suppress(Unavailable):  # a store that cannot be written can be read all the same
                self._index.run(
                    lambda index: index.executemany(
                        "update shards set used = ? where id = ?", stale
                    ),
                    write=True,
                    wait=1,
                )

    def writer(self, graph: str, dim: int, *, rounding: bool = False) -> Writer:
        """Something that appends rows of one graph.

        Args:
            graph: its id.
            dim: d.
            rounding: whether rows may be rounded to float16 on disk; then the caller has to go on with
                the values that `Writer.append` returns.
        """
        return Writer(self, graph, dim, rounding)

    def size(self) -> Size:
        """Rows and bytes held."""
        held = self.held()
        files = shards.found_in(self.folder).values()
        return Size(sum(h.rows for h in held), sum(f.st_size for f in files), len(files))

    def held(self) -> list[Held]:
        """What is held of each graph, the largest first."""

        def count(index: sqlite3.Connection) -> list[tuple[bytes, int, bytes]]:
            return index.execute(
                f"select {_GRAPH}, coalesce(r.n, 0), {_FILE} from shards s left join"
                " (select shard, count(*) as n from rows group by shard) r on r.shard = s.id"
            ).fetchall()

        try:
            counted = self._index.run(count)
        except Unavailable as error:
            self._notes.append(_UNREAD.format(error))
            return []
        files = shards.found_in(self.folder)
        totals: dict[str, tuple[int, int]] = {}
        for graph, rows, file in counted:
            had = totals.get(name := _text(graph), (0, 0))
            known = files.get(_text(file))
            totals[name] = (had[0] + rows, had[1] + (known.st_size if known else 0))
        every = (Held(graph, *both) for graph, both in totals.items())
        return sorted(every, key=lambda held: (-held.bytes, held.graph))

    @property
    def limit(self) -> int:
        """Bytes of vectors to keep at most; remembered in the folder."""
        path = self.folder / LIMIT_FILE
        try:
            limit = read_json(path.read_bytes(), str(path)).get("bytes")
        except (OSError, BundleError):
            return DEFAULT_LIMIT
        return limit if isinstance(limit, int) and limit >= 0 else DEFAULT_LIMIT

    @limit.setter
    def limit(self, limit: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic_write(self.folder / LIMIT_FILE, dump_json({"bytes": limit}))

    def trim(self, limit: int | None = None) -> int:
        """Remove the least recently used shards until at most `limit` bytes remain.

        Files go before their table rows: that works on a full disk, and rows whose shard is gone
        are missing, not wrong.

        Args:
            limit: bytes; by default `Store.limit`.

        Returns:
            Bytes freed.
        """
        limit = self.limit if limit is None else limit
        try:
            order = self._index.run(
                lambda index: [
                    _text(file)
                    for (file,) in index.execute(f"select {_FILE} from shards order by {_USED}")
                ]
            )
        except Unavailable:
            return 0
        files = shards.found_in(self.folder)
        entered = set(order)
        orphans = [
            name
            for name, known in files.items()
            if name not in entered and time.time() - known.st_mtime > _YOUNG
        ]
        total = sum(known.st_size for known in files.values())
        freed = 0
        for name in [*orphans, *order]:
            if name in files and (name not in entered or total - freed > limit):
                with suppress(OSError):  # e.g. somebody else was faster
                    (self.folder / name).unlink()
                    freed += files.pop(name).st_size
        gone = [name for name in order if name not in files]
        with suppress(Unavailable):  # rows without a shard do no harm until the next time
            if gone:
                self._index.run(lambda index: _forget(index, gone), write=True)
        self._index.sweep()
        return freed


def _forget(index: sqlite3.Connection, names: list[str]) -> None:
    index.executemany("delete from shards where file = ?", [(name,) for name in names])
    index.execute("delete from rows where shard not in (select id from shards)")


@dataclass
class _Shard:
    """A shard that is being written."""

    name: str
    rows: int = 0


class Writer:
    """Appends rows of one graph to shards of its own.

    Attributes:
        full: why rows are not kept any more (no space, no right to write), "" while they are.
    """

    def __init__(self, store: Store, graph: str, dim: int, rounding: bool = False) -> None:
        self._store, self._graph, self._dim, self._rounding = store, graph, dim, rounding
        self._shards: dict[bool, _Shard] = {}  # by whether it holds float16
        self.full = ""

    def append(self, keys: Sequence[bytes], values: np.ndarray, notes: Sequence[str]) -> np.ndarray:
        """Add rows; when this returns they survive a crash, unless `full` says that they were not kept.

        Args:
            keys: n keys; a key that is known already gets the new row.
            values: (n, d) float32.
            notes: n notes, "" mostly.

        Returns:
            (n, d) float32, the values as `Store.get` gives them; the same whether they were kept or not.
        """
        rows = np.ascontiguousarray(values, dtype=np.float32)
        if not len(keys):
            return rows
        half = shards.halves(rows, self._rounding)
        back = rows.copy() if half.any() else rows
        pieces = []
        for which in (False, True):
            at = np.flatnonzero(half == which)
            if len(at):
                stored = shards.packed(rows[at], which)
                back[at] = stored
                pieces.append((at, stored))
        if not self.full:
            self._keep(pieces, keys, notes)
        return back

    def _keep(
        self,
        pieces: list[tuple[np.ndarray, np.ndarray]],
        keys: Sequence[bytes],
        notes: Sequence[str],
    ) -> None:
        """Write bytes, then enter rows; both or neither."""
        written: list[tuple[_Shard, int, int]] = []
        entries = []
        try:
            for at, stored in pieces:
                shard = self._write(stored)
                written.append((shard, len(stored), stored.shape[1] * stored.itemsize))
                entries.append((shard, self._entries(shard, at, stored, keys, notes)))
            self._store._index.run(lambda index: self._enter(index, entries), write=True)
        except (OSError, Unavailable) as error:
            for shard, _, width in written:
                shards.cut(self._store.folder / shard.name, shard.rows * width)
            self._shards.clear()
            self.full = _reason(error, self._store.folder)
        else:
            for shard, count, _ in written:
                shard.rows += count

    def _write(self, stored: np.ndarray) -> _Shard:
        """Append to the shard of this kind; to a new one if it is full or was trimmed away."""
        half = stored.itemsize == 2
        width = stored.shape[1] * stored.itemsize
        shard = self._shards.get(half)
        if shard and shard.rows * width < shards.SHARD_BYTES:
            with suppress(FileNotFoundError, FileExistsError):
                shards.append(self._store.folder / shard.name, shard.rows * width, stored)
                return shard
        shard = _Shard(f"{uuid.uuid4().hex}{shards.suffix(half)}")
        self._store.folder.mkdir(parents=True, exist_ok=True)
        shards.append(self._store.folder / shard.name, 0, stored)
        self._shards[half] = shard
        return shard

    def _entries(
        self,
        shard: _Shard,
        at: np.ndarray,
        stored: np.ndarray,
        keys: Sequence[bytes],
        notes: Sequence[str],
    ) -> list[tuple[bytes, int, int, str]]:
        """Key, row, checksum and note of each row, by key: neighbours lie on the same page."""
        mine = [(keys[i], notes[i]) for i in at.tolist()]
        seeds = [shards.seed(key, note.encode(errors="replace")) for key, note in mine]
        sums = shards.checksums(stored, seeds)
        return sorted(
            (key, shard.rows + i, crc, note.encode(errors="replace").decode())
            for i, ((key, note), crc) in enumerate(zip(mine, sums))
        )

    def _enter(
        self,
        index: sqlite3.Connection,
        entries: list[tuple[_Shard, list[tuple[bytes, int, int, str]]]],
    ) -> None:
        for shard, rows in entries:
            # asked for each time: a trim may have forgotten the shard, or the index been replaced
            index.execute(
                "insert or ignore into shards (file, graph, dim, used) values (?, ?, ?, ?)",
                (shard.name, self._graph, self._dim, time.time()),
            )
            number = index.execute("select id from shards where file = ?", (shard.name,)).fetchone()
            # replace, not ignore: the old row may be the damaged one that was just computed again
            index.executemany(
                "insert or replace into rows (key, shard, row, crc, note) values (?, ?, ?, ?, ?)",
                ((key, number[0], row, crc, note) for key, row, crc, note in rows),
            )
            # a key damaged in place leaves its page out of order, and its neighbours out of reach
            there, _ = places(index, [row[0] for row in rows])
            if not (there["shard"] == number[0]).all() or len(there) != len(rows):
                raise Damaged("its entries are out of order")


def _reason(error: OSError | Unavailable, folder: Path) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or folder}"
    return str(error)


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
