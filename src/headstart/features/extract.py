"""Table x backbone -> Features, through the store: every input goes through a backbone once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from headstart.compute import threads
from headstart.engine import ENGINES
from headstart.errors import BackboneError, UnreadableInput
from headstart.features.store import Store
from headstart.hashing import feature_key
from headstart.preprocess import image, text
from headstart.types import Backbone, Engine, Features, Finding, Skipped, Table

Progress = Callable[[int, int], None]

_IMAGE_CHUNK = 256  # rows read, looked up and computed together: bounds memory
_TEXT_CHUNK = 8192  # larger, so that batches of nearly equal length can be formed
_IMAGE_BATCH = 16

_NOTES = {
    "animated": ("{n} animated pictures: only their first frame is used", ""),
    "truncated": (
        "{n} texts are longer than the backbone reads ({limit} tokens): their ends are not seen",
        "put what matters first, or split the texts",
    ),
}


def extract(
    table: Table,
    backbone: Backbone,
    *,
    store: Store,
    engine: str = "onnxruntime",
    progress: Progress | None = None,
) -> Features:
    """Feature vectors of all rows; what the store holds is not computed again.

    Args:
        table: n rows.
        backbone: what computes them.
        store: where they are kept.
        engine: name of an engine of the table `headstart.engine.ENGINES`.
        progress: called with (rows done, rows in all).

    Returns:
        (n, d) features; unreadable rows are zero, marked and listed.

    Raises:
        BackboneError: the backbone takes something else than the table holds, or gives values that
            are not finite.
    """
    if table.modality != backbone.modality:
        raise BackboneError(
            f"{backbone.name} takes {backbone.modality}s, the data holds {table.modality}s.",
            fix=f"choose a backbone for {table.modality}s: headstart backbones",
        )
    run = _Run(table, backbone, store, engine)
    size = _IMAGE_CHUNK if table.modality == "image" else _TEXT_CHUNK
    for start in range(0, len(table), size):
        rows = range(start, min(start + size, len(table)))

        def tick(done: int, start: int = start) -> None:
            if progress:
                progress(start + done, len(table))

        run.chunk(rows, tick)
        if progress:
            progress(rows.stop, len(table))
    return run.finish()


class _Run:
    """One pass over a table; holds what grows with the rows."""

    def __init__(self, table: Table, backbone: Backbone, store: Store, engine: str) -> None:
        self.table, self.backbone, self.store = table, backbone, store
        self.engine_name = engine
        self.values = np.zeros((len(table), backbone.dim), dtype=np.float32)
        self.readable = np.zeros(len(table), dtype=bool)
        self.skipped: list[Skipped] = []
        self.notes: dict[str, list[str]] = {}
        self.computed = 0
        self.writer = store.writer(backbone.graph_id, backbone.dim)
        self.room = _images if table.modality == "image" else _texts
        self._engine: Engine | None = None
        self._encoder: text.TextEncoder | None = None

    @property
    def engine(self) -> Engine:
        if self._engine is None:  # loaded only when something is missing from the store
            self._engine = ENGINES.get(self.engine_name)(self.backbone.graph)
        return self._engine

    @property
    def encoder(self) -> text.TextEncoder:
        if self._encoder is None:
            assert self.backbone.tokenizer is not None
            tokenizer = self.backbone.tokenizer.read_bytes()
            self._encoder = text.TextEncoder(tokenizer, self.backbone.preprocess.steps)
        return self._encoder

    def chunk(self, rows: range, tick: Callable[[int], Any]) -> None:
        contents, keys = self._read(rows)
        known = [row for row in rows if row in keys]
        values, found, notes = self.store.get([keys[row] for row in known], self.backbone.dim)
        missing: dict[bytes, int] = {}
        for i, row in enumerate(known):
            if found[i]:
                self._take(row, values[i], notes[i])
            else:
                missing.setdefault(keys[row], row)  # one row stands for its exact duplicates
        if not missing:
            return
        done = len(rows) - len(missing)
        for batch, vectors, batch_notes in self.room(self, list(missing.values()), contents):
            self._check(vectors)
            self.writer.append([keys[row] for row in batch], vectors, batch_notes)
            for row, vector, note in zip(batch, vectors, batch_notes):
                self._take(row, vector, note)
            self.computed += len(batch)
            done += len(batch)
            tick(done)
        self._share(known, keys, missing)

    def _read(self, rows: range) -> tuple[dict[int, Any], dict[int, bytes]]:
        """Contents and keys of the readable rows."""
        room = image if self.table.modality == "image" else text
        contents: dict[int, Any] = {}
        keys: dict[int, bytes] = {}

        def read(row: int) -> tuple[Any, bytes] | str:
            try:
                content = room.content(self.table.inputs[row])
            except UnreadableInput as error:
                return error.reason
            return content, feature_key(room.digest(content), self.backbone.graph_id)

        with ThreadPoolExecutor(threads() * 2) as pool:
            for row, result in zip(rows, pool.map(read, rows)):
                if isinstance(result, str):
                    self._skip(row, result)
                else:
                    contents[row], keys[row] = result
        return contents, keys

    def _share(
        self, known: Sequence[int], keys: dict[int, bytes], missing: dict[bytes, int]
    ) -> None:
        """Give exact duplicates of computed rows the same vector, or the same reason."""
        reasons = {skip.input: skip.reason for skip in self.skipped}
        notes = {name: note for note, names in self.notes.items() for name in names}
        for row in known:
            first = missing.get(keys[row], row)
            if first != row and not self.readable[row]:
                name = self.table.names[first]
                if self.readable[first]:
                    self._take(row, self.values[first], notes.get(name, ""))
                else:
                    self._skip(row, reasons[name])

    def _take(self, row: int, vector: np.ndarray, note: str) -> None:
        self.values[row] = vector
        self.readable[row] = True
        if note:
            self.notes.setdefault(note, []).append(self.table.names[row])

    def _skip(self, row: int, reason: str) -> None:
        self.skipped.append(Skipped(self.table.names[row], reason))

    def _check(self, vectors: np.ndarray) -> None:
        if not np.isfinite(vectors).all():
            raise BackboneError(
                f"{self.backbone.name} gave features that are not finite numbers.",
                fix="use another backbone, or report it: headstart backbones lists them",
            )

    def finish(self) -> Features:
        order = {name: i for i, name in enumerate(self.table.names)}
        limit = next(
            (s["max_length"] for s in self.backbone.preprocess.steps if "max_length" in s), 0
        )
        findings = tuple(
            Finding(
                kind,
                "info",
                _NOTES[kind][0].format(n=len(rows), limit=limit),
                _NOTES[kind][1],
                tuple(sorted(rows, key=order.__getitem__)),
            )
            for kind, rows in sorted(self.notes.items())
            if kind in _NOTES
        )
        return Features(
            self.values,
            self.readable,
            tuple(sorted(self.skipped, key=lambda skip: order[skip.input])),
            findings,
            self.computed,
        )


_Batches = Iterator[tuple[list[int], np.ndarray, list[str]]]


def _images(run: _Run, rows: list[int], contents: dict[int, Any]) -> _Batches:
    """Decode on threads, a few batches ahead of the engine."""
    steps = run.backbone.preprocess.steps

    def prepare(row: int) -> tuple[np.ndarray, str] | str:
        try:
            return image.prepare(contents[row], steps)
        except UnreadableInput as error:
            return error.reason

    with ThreadPoolExecutor(threads()) as pool:
        waiting = [pool.submit(prepare, row) for row in rows]
        for start in range(0, len(rows), _IMAGE_BATCH):
            batch, pixels, notes = [], [], []
            for row, future in zip(rows[start:], waiting[start : start + _IMAGE_BATCH]):
                result = future.result()
                if isinstance(result, str):
                    run._skip(row, result)
                else:
                    batch.append(row)
                    pixels.append(result[0])
                    notes.append(result[1])
            if batch:
                yield batch, run.engine.run({"pixels": np.stack(pixels)})["features"], notes


def _texts(run: _Run, rows: list[int], contents: dict[int, Any]) -> _Batches:
    """Tokenise all, then run batches of nearly equal length; write back a few batches at a time."""
    ids, cut = run.encoder.encode([contents[row] for row in rows])
    held: tuple[list[int], list[np.ndarray], list[str]] = ([], [], [])
    for numbers, feeds in run.encoder.batches(ids):
        held[0].extend(rows[i] for i in numbers)
        held[1].append(run.engine.run(feeds)["features"])
        held[2].extend("truncated" if cut[i] else "" for i in numbers)
        if len(held[0]) >= 512:  # each write waits for the disk: not after every batch
            yield held[0], np.concatenate(held[1]), held[2]
            held = ([], [], [])
    if held[0]:
        yield held[0], np.concatenate(held[1]), held[2]
