"""Contents of inputs -> what a graph says of them: the one path for training and serving.

Batches are prepared and run on as many threads as there are processors: while one thread decodes
pictures another is in the engine, so no processor waits for another, and nobody tunes workers. Results
come in order. A batch is made of the inputs of one packet only, so that the same packet gives the same
bits on any machine of the kind, alone or in a cluster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from headstart.compute import threads
from headstart.errors import UnreadableInput
from headstart.preprocess import image, text
from headstart.types import Engine, Modality, Preprocess

IMAGE_BATCH = 8  # small: what one run writes stays in the processor's cache
IMAGE_PACKET = 256
TEXT_PACKET = 2048  # large enough that sorting by length leaves next to no padding

Packet: TypeAlias = Sequence[tuple[int, Any]]
"""Inputs that go together: their numbers and contents (see `headstart.preprocess`)."""


@dataclass(frozen=True)
class Batch:
    """What the engine said of a few inputs.

    Attributes:
        rows: b numbers of inputs, as in the packet.
        values: (b, d) float32.
        notes: b of "", "animated" or "truncated".
        unreadable: number -> reason of inputs that could not be prepared.
        features: (b, d) float32 of the same run, where they were asked for beside another output;
            else None.
    """

    rows: list[int]
    values: np.ndarray
    notes: list[str]
    unreadable: dict[int, str] = field(default_factory=dict)
    features: np.ndarray | None = None


class Pipeline:
    """One graph, ready for inputs.

    Args:
        preprocess: how inputs are prepared.
        engine: runs the graph.
        tokenizer: content of tokenizer.json, texts only.
        output: which output of the graph is wanted.
        with_features: give the output "features" of the same run as well.
        workers: threads that prepare and run batches; by default one for each processor.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        engine: Engine,
        tokenizer: bytes | None = None,
        output: str = "features",
        workers: int | None = None,
        with_features: bool = False,
    ) -> None:
        self.modality = preprocess.modality
        self._steps = preprocess.steps
        self._engine, self._output = engine, output
        self._with_features = with_features
        self._workers = workers or max(threads(), engine.parallel)
        self._encoder = (
            text.TextEncoder(tokenizer, preprocess.steps) if tokenizer is not None else None
        )

    @property
    def engine(self) -> Engine:
        """What runs the graph."""
        return self._engine

    @property
    def encoder(self) -> text.TextEncoder | None:
        """What makes tokens of texts; None for pictures."""
        return self._encoder

    @staticmethod
    def packet_size(modality: Modality) -> int:
        """Inputs in a full packet."""
        return IMAGE_PACKET if modality == "image" else TEXT_PACKET

    def run(self, packets: Iterable[Packet]) -> Iterator[Batch]:
        """All batches of all packets, in order.

        Args:
            packets: taken one by one, shortly before they are needed.

        Raises:
            BackboneError: the engine fails, and so does any other.
        """
        tasks = self._image_tasks(packets) if self._encoder is None else self._text_tasks(packets)
        yield from _ahead(tasks, self._workers)

    def _image_tasks(self, packets: Iterable[Packet]) -> Iterator[Callable[[], Batch]]:
        for packet in packets:
            size = IMAGE_BATCH * self._engine.batch
            if (
                self._engine.batch == 1
            ):  # a few pictures are shared out: none of the processors waits
                size = min(size, -(-len(packet) // self._workers))
            for start in range(0, len(packet), size):
                some = packet[start : start + size]
                yield lambda some=some: self._images(some)  # type: ignore[misc]

    def _images(self, some: Packet) -> Batch:
        rows: list[int] = []
        pixels: list[np.ndarray] = []
        notes: list[str] = []
        unreadable: dict[int, str] = {}
        for row, content in some:
            try:
                prepared, note = image.prepare(content, self._steps)
            except UnreadableInput as error:
                unreadable[row] = error.reason
                continue
            rows.append(row)
            pixels.append(prepared)
            notes.append(note)
        if not rows:
            return Batch([], np.zeros((0, 0), np.float32), [], unreadable)
        return self._batch(rows, {"pixels": np.stack(pixels)}, notes, unreadable)

    def _text_tasks(self, packets: Iterable[Packet]) -> Iterator[Callable[[], Batch]]:
        assert self._encoder is not None
        for packet in packets:
            ids, cut = self._encoder.encode([content for _, content in packet])
            for numbers, feeds in self._encoder.batches(ids, self._engine.batch):
                rows = [packet[i][0] for i in numbers]
                notes = ["truncated" if cut[i] else "" for i in numbers]
                yield lambda rows=rows, feeds=feeds, notes=notes: self._batch(  # type: ignore[misc]
                    rows, feeds, notes, {}
                )

    def _batch(
        self,
        rows: list[int],
        feeds: Mapping[str, np.ndarray],
        notes: list[str],
        unreadable: dict[int, str],
    ) -> Batch:
        given = self._engine.run(feeds)
        features = given["features"] if self._with_features else None
        return Batch(rows, given[self._output], notes, unreadable, features)


def packets_of(rows: Iterable[tuple[int, Any]], size: int) -> Iterator[list[tuple[int, Any]]]:
    """Numbered contents in packets of at most `size`."""
    packet: list[tuple[int, Any]] = []
    for one in rows:
        packet.append(one)
        if len(packet) == size:
            yield packet
            packet = []
    if packet:
        yield packet


def _ahead(tasks: Iterator[Callable[[], Batch]], workers: int) -> Iterator[Batch]:
    """Results in order, a few tasks ahead of whoever takes them: memory stays bounded."""
    if workers == 1:
        yield from (task() for task in tasks)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Batch]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(task))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
