"""Table x backbone -> Features, through the store: every input goes through a backbone once."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.compute import cache_dir
from headstart.engine.auto import AutoEngine
from headstart.errors import BackboneError
from headstart.features.reading import chunks
from headstart.features.store import Store
from headstart.hashing import hash_parts
from headstart.runtime.pipeline import Batch, Packet, Pipeline, packets_of
from headstart.solver_rows import release
from headstart.types import Backbone, Features, Finding, Skipped, Table
from headstart.wording import counted

Progress = Callable[[int, int], None]

_STEP = 512  # rows copied from one file to another at a time
_WRITE = 512  # rows written together, as each write waits for the disk ...
_WRITE_SECONDS = 2.0  # ... but a run that is killed loses no more than so much work
_IN_MEMORY = 512 * 2**20  # bytes of features; more lie in a file

# kind -> what follows 1, what follows any other number, what to do
_NOTES = {
    "animated": (
        "animated picture: only its first frame is used",
        "animated pictures: only their first frame is used",
        "",
    ),
    "truncated": (
        "text is longer than the backbone reads ({limit} tokens): its end is not seen",
        "texts are longer than the backbone reads ({limit} tokens): their ends are not seen",
        "put what matters first, or split the texts",
    ),
}


@dataclass(frozen=True)
class How:
    """How features are computed; what they are does not depend on it, but for `precision`.

    Attributes:
        engine: name of an engine of the table `headstart.engine.ENGINES`, or "auto".
        precision: "float32" or "bfloat16"; each has rows of its own in the store.
        cluster: "auto", "local" or HOST:PORT of a Ray cluster; empty for this process.
    """

    engine: str = "auto"
    precision: str = "float32"
    cluster: str = ""


def extract(
    table: Table,
    backbone: Backbone,
    *,
    store: Store,
    how: How | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Features:
    """Feature vectors of all rows; what the store holds is not computed again.

    Args:
        table: n rows.
        backbone: what computes them.
        store: where they are kept.
        how: engine, precision, cluster.
        progress: called with (rows done, rows in all).
        say: told which engine was taken and why, and what went wrong with another.

    Returns:
        (n, d) features; unreadable rows are zero, marked and listed. Many lie in a file without a
        name in the cache folder, which goes when they are not used any more.

    Raises:
        BackboneError: the backbone takes something else than the table holds, or gives values that
            are not finite.
    """
    if table.modality != backbone.modality:
        raise BackboneError(
            f"{backbone.name} takes {backbone.modality}s, the data holds {table.modality}s.",
            fix=f"choose a backbone for {table.modality}s: headstart backbones",
        )
    run = _Run(table, backbone, store, how or How(), progress, say)
    if len(table):
        run.all()
    return run.finish()


def store_id(backbone: Backbone, precision: str = "float32") -> str:
    """What the store knows a backbone's features by: its graph, and the precision where it is reduced."""
    if precision == "float32":
        return backbone.graph_id
    return hash_parts([backbone.graph_id, precision])


class _Run:
    """One pass over a table; holds what grows with the rows."""

    def __init__(
        self,
        table: Table,
        backbone: Backbone,
        store: Store,
        how: How,
        progress: Progress | None,
        say: Callable[[str], None] | None,
    ) -> None:
        self.table, self.backbone, self.store, self.how = table, backbone, store, how
        self.progress, self.say = progress, say
        self.graph = store_id(backbone, how.precision)
        self.values = _room(len(table), backbone.dim)
        self.readable = np.zeros(len(table), dtype=bool)
        self.skipped: dict[int, str] = {}
        self.notes: dict[int, str] = {}
        self.first: dict[bytes, int] = {}  # the row that stands for its exact duplicates
        self.copies: list[tuple[int, int]] = []  # (duplicate, first)
        self.keys: dict[int, bytes] = {}  # of rows on their way through the engine
        self.computed = 0
        self.done = 0
        self.writer = store.writer(self.graph, backbone.dim, rounding=True)
        self.engine_used = ""
        self.engine_notes: list[str] = []

    def all(self) -> None:
        """Look up or compute every row."""
        held: list[Batch] = []
        written = time.monotonic()
        for batch in self._batches():
            held.append(batch)
            rows = sum(len(one.rows) for one in held)
            if rows >= _WRITE or time.monotonic() - written > _WRITE_SECONDS:
                self._keep(held)
                held, written = [], time.monotonic()
        self._keep(held)
        for copy, first in self.copies:
            if self.readable[first]:
                self._take(copy, self.values[first], self.notes.get(first, ""))
            else:
                self.skipped[copy] = self.skipped[first]
        self._tick(len(self.copies))

    def _batches(self) -> Iterator[Batch]:
        """What the engine says of the rows that are not in the store."""
        size = Pipeline.packet_size(self.backbone.modality)
        packets = packets_of(self._missing(), size)
        if self.how.cluster:
            from headstart.features.cluster import engine_of, run

            for batch in run(packets, self.backbone, self.how, self.say):
                self.engine_used = engine_of(self.how)
                yield batch
            return
        first = next(packets, None)
        if first is None:  # all known: nothing is loaded
            return
        yield from self._local(first, packets)

    def _local(self, first: Packet, packets: Iterator[Packet]) -> Iterator[Batch]:
        engine = AutoEngine(
            self.backbone.graph,
            self.backbone.graph_id,
            wanted=self.how.engine,
            precision=self.how.precision,
            rows=len(self.table) - self.done,
            say=self.say,
        )
        pipeline = Pipeline(self.backbone.preprocess, engine, tokenizer_of(self.backbone))

        def everything() -> Iterator[Packet]:
            yield first
            yield from packets

        yield from pipeline.run(everything())
        self.engine_used, self.engine_notes = engine.chosen, engine.notes

    def _missing(self) -> Iterator[tuple[int, Any]]:
        """Numbers and contents of the rows that have to be computed, once for exact duplicates."""
        for rows, known, reasons in chunks(self.table, self.graph):
            self.skipped.update(reasons)
            values, found, notes = self.store.get([key for _, _, key in known], self.backbone.dim)
            for i in np.flatnonzero(found).tolist():
                self._take(known[i][0], values[i], notes[i])
            release(self.values)
            self._tick(len(rows) - len(known) + int(found.sum()))
            for row, content, key in (one for one, hit in zip(known, found) if not hit):
                first = self.first.setdefault(key, row)
                if first != row:
                    self.copies.append((row, first))
                    continue
                self.keys[row] = key
                yield row, content

    def _keep(self, batches: list[Batch]) -> None:
        """Write computed rows to the store, and take them as they will be read from it."""
        for batch in batches:
            self.skipped.update(batch.unreadable)
            for row in batch.unreadable:
                del self.keys[row]
            self._tick(len(batch.unreadable))
        batches = [batch for batch in batches if batch.rows]
        if not batches:
            return
        rows = [row for batch in batches for row in batch.rows]
        notes = [note for batch in batches for note in batch.notes]
        vectors = np.concatenate([batch.values for batch in batches])
        self._check(vectors)
        kept = self.writer.append([self.keys.pop(row) for row in rows], vectors, notes)
        for row, vector, note in zip(rows, kept, notes):
            self._take(row, vector, note)
        release(self.values)
        self.computed += len(rows)
        self._tick(len(rows))

    def _take(self, row: int, vector: np.ndarray, note: str) -> None:
        self.values[row] = vector
        self.readable[row] = True
        if note:
            self.notes[row] = note

    def _tick(self, rows: int) -> None:
        self.done += rows
        if self.progress and rows:
            self.progress(self.done, len(self.table))

    def _check(self, vectors: np.ndarray) -> None:
        if not np.isfinite(vectors).all():
            raise BackboneError(
                f"{self.backbone.name} gave features that are not finite numbers.",
                fix="use another backbone, or report it: headstart backbones lists them",
            )

    def finish(self) -> Features:
        """What the pass found."""
        names = self.table.names
        return Features(
            self.values,
            self.readable,
            tuple(Skipped(names[row], self.skipped[row]) for row in sorted(self.skipped)),
            (*self._noted(), *self._warnings()),
            self.computed,
            self.engine_used,
        )

    def _noted(self) -> Iterator[Finding]:
        """What was noticed about the inputs."""
        limit = next(
            (s["max_length"] for s in self.backbone.preprocess.steps if "max_length" in s), 0
        )
        for kind, (one, many, fix) in sorted(_NOTES.items()):
            rows = [row for row in sorted(self.notes) if self.notes[row] == kind]
            if rows:
                told = counted(len(rows), one, many).format(limit=limit)
                yield Finding(kind, "info", told, fix, tuple(self.table.names[row] for row in rows))

    def _warnings(self) -> Iterator[Finding]:
        """What went wrong with the machinery; the features are sound all the same."""
        if self.engine_notes:
            yield Finding("engine", "info", "; ".join(self.engine_notes))
        for sentence in self.store.notes:
            yield Finding("store", "info", sentence)
        if self.writer.full:
            yield Finding(
                "store",
                "warning",
                f"Not all features could be kept ({self.writer.full}): the next run computes them again.",
                "make room on the disk, or move the cache: set HEADSTART_CACHE to another folder",
            )


def tokenizer_of(backbone: Backbone) -> bytes | None:
    """Content of the backbone's tokenizer.json; None for pictures."""
    return None if backbone.tokenizer is None else backbone.tokenizer.read_bytes()


def rows_of(features: Features, rows: np.ndarray) -> Features:
    """The features of some rows.

    Args:
        features: of n rows.
        rows: row numbers; all of them in order cost no copy.
    """
    if len(rows) == len(features.values) and np.array_equal(rows, np.arange(len(rows))):
        return features
    values = _room(len(rows), features.values.shape[1])
    for start in range(0, len(rows), _STEP):
        values[start : start + _STEP] = features.values[rows[start : start + _STEP]]
        release(features.values)
        release(values)
    return replace(features, values=values, readable=features.readable[rows])


def _room(n: int, d: int) -> np.ndarray:
    """(n, d) float32 zeros; large ones in a file, where the disk has room for them."""
    if n * d * 4 > _IN_MEMORY and hasattr(os, "posix_fallocate"):
        with tempfile.TemporaryFile(dir=cache_dir()) as file:
            try:
                # taken now: a page that a full disk refuses later would kill the process
                os.posix_fallocate(file.fileno(), 0, n * d * 4)
            except OSError:
                return np.zeros((n, d), dtype=np.float32)
            return np.memmap(file, np.float32, "r+", shape=(n, d))
    return np.zeros((n, d), dtype=np.float32)
