"""What a batch of rows is for a module: pictures or texts.

A source is a function of (rows, epoch, step): it keeps no state, so a run that was stopped goes on with the
same batches.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.compute import cache_dir, threads
from headstart.engine.ort import OrtEngine
from headstart.errors import UnreadableInput
from headstart.preprocess import image
from headstart.preprocess.text import TextEncoder, pad
from headstart.train import augment_images, augment_texts
from headstart.train.augment_images import Images
from headstart.types import Preprocess

_MEMORY = 256 * 2**20  # bytes of an array; larger ones lie in a file
_ROOM = 8 / 7  # how much larger than the network's picture the one is that crops are taken from
ROWS = 8  # pictures or texts in one run of the bottom

Batch = tuple[tuple[Tensor, ...], Tensor]
"""Inputs of the module in its order, and targets."""


@dataclass(frozen=True)
class Pictures:
    """Prepared pictures, augmented anew each epoch.

    Attributes:
        plain: (n, h, w, 3) uint8, exactly as the model will get them.
        wide: (n, H, W, 3) uint8, somewhat larger, which crops are taken from.
        targets: (n,) int64 codes.
        settings: what augmentation may do.
        seed: of the augmentation.
    """

    plain: np.ndarray
    wide: np.ndarray
    targets: np.ndarray
    settings: Images
    seed: int = 0

    @property
    def lengths(self) -> None:
        """All are equally large."""
        return None

    def pixels(self, rows: np.ndarray, epoch: int, *, train: bool) -> Tensor:
        """(b, h, w, 3) uint8 of some rows."""
        if not train or self.settings == Images():
            return torch.from_numpy(np.ascontiguousarray(self.plain[rows]))
        wide = torch.from_numpy(np.ascontiguousarray(self.wide[rows]))
        size = (self.plain.shape[1], self.plain.shape[2])
        return augment_images.augment(wide, rows, epoch, self.seed, self.settings, size)

    def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Batch:
        """See `headstart.train.loop.Source`."""
        return (self.pixels(rows, epoch, train=train),), torch.from_numpy(self.targets[rows])


@dataclass(frozen=True)
class Views:
    """Pictures in augmented views that were made once.

    Attributes:
        values: (views, n, h, w, 3) uint8; view 0 is exactly what the model will get.
        targets: (n,) int64 codes.
    """

    values: np.ndarray
    targets: np.ndarray

    @property
    def lengths(self) -> None:
        """All are equally large."""
        return None

    def pixels(self, rows: np.ndarray, epoch: int, *, train: bool) -> Tensor:
        """(b, h, w, 3) uint8 of some rows; the epoch is the number of a view."""
        return torch.from_numpy(self.values[epoch if train else 0, rows])

    def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Batch:
        """See `headstart.train.loop.Source`, and `turn`."""
        pixels = self.values[turn(rows, epoch, len(self.values), train=train), rows]
        return (torch.from_numpy(pixels),), torch.from_numpy(self.targets[rows])


@dataclass(frozen=True)
class Texts:
    """Token rows; in training, some tokens may disappear.

    Attributes:
        ids: n arrays of token ids.
        targets: (n,) int64 codes.
        drop: how likely a token disappears, from 0 to below 1.
        special: ids of tokens that always stay.
        seed: of what disappears.
    """

    ids: Sequence[np.ndarray]
    targets: np.ndarray
    drop: float = 0.0
    special: frozenset[int] = frozenset()
    seed: int = 0

    @property
    def lengths(self) -> np.ndarray:
        """(n,) tokens of each text."""
        return np.array([len(row) for row in self.ids], dtype=np.int64)

    def feeds(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The graph's inputs of some rows, padded to the longest."""
        return pad([self.ids[row] for row in rows])

    def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Batch:
        """See `headstart.train.loop.Source`."""
        feeds = self.feeds(rows)
        ids, mask = (torch.from_numpy(feeds[name]) for name in ("input_ids", "attention_mask"))
        if train and self.drop:
            ids, mask = augment_texts.drop_tokens(
                ids, mask, rows, epoch, self.seed, rate=self.drop, special=self.special
            )
        return (ids, mask), torch.from_numpy(self.targets[rows])

    def hidden(self, feeds: dict[str, np.ndarray], rows: np.ndarray, epoch: int) -> np.ndarray:
        """The attention mask of what `feeds` gave, (b, t), without the tokens that disappear."""
        ids, mask = (torch.from_numpy(feeds[name]) for name in ("input_ids", "attention_mask"))
        left = augment_texts.hide_tokens(
            ids, mask, rows, epoch, self.seed, rate=self.drop, special=self.special
        )
        return left.numpy()


def turn(rows: np.ndarray, epoch: int, views: int, *, train: bool) -> np.ndarray:
    """Which of the kept views each row shows in an epoch, (b,) int64.

    View 0 is the plain input; training goes round the others, each row beginning elsewhere.

    Args:
        rows: (b,) row numbers.
        epoch: counted from 0.
        views: how many are kept; where it is 1, that one is shown.
        train: whether another than the plain one is wanted.
    """
    return 1 + (epoch + rows) % (views - 1) if train and views > 1 else np.zeros_like(rows)


def pictures(
    inputs: Sequence[Any], targets: np.ndarray, preprocess: Preprocess, settings: Images, seed: int
) -> Pictures:
    """Prepare pictures once.

    Args:
        inputs: n readable pictures.
        targets: (n,) codes.
        preprocess: of the backbone.
        settings: of the augmentation.
        seed: of the augmentation.

    Raises:
        UnreadableInput: a picture cannot be read.
    """
    plain = prepared(inputs, preprocess.steps)
    wide = plain if settings == Images() else prepared(inputs, _wider(preprocess.steps))
    return Pictures(plain, wide, np.asarray(targets, np.int64), settings, seed)


def texts(
    inputs: Sequence[str],
    targets: np.ndarray,
    preprocess: Preprocess,
    tokenizer: bytes,
    drop: float = 0.0,
    seed: int = 0,
) -> Texts:
    """Tokenise texts once.

    Args:
        inputs: n readable texts.
        targets: (n,) codes.
        preprocess: of the backbone.
        tokenizer: content of its tokenizer.json.
        drop: how likely a token disappears in training, from 0 to below 1.
        seed: of what disappears.
    """
    encoder = TextEncoder(tokenizer, preprocess.steps)
    ids, _ = encoder.encode([str(text) for text in inputs])
    return Texts(ids, np.asarray(targets, np.int64), drop, encoder.special, seed)


def ahead(run: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
    """Results in order, computed by as many threads as there are processors, a few tasks ahead.

    Args:
        run: makes a result of a task, on any thread.
        tasks: in the order in which their results are wanted.
    """
    workers = threads()
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(run, task) for task in tasks[: 2 * workers]]
        for place in range(len(tasks)):
            following = place + 2 * workers
            yield waiting[place].result()
            waiting[place] = None  # type: ignore[call-overload]  # its arrays may go
            if following < len(tasks):
                waiting.append(pool.submit(run, tasks[following]))


def through(
    engine: OrtEngine,
    feeds: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    n: int,
    lengths: np.ndarray | None = None,
) -> np.ndarray:
    """(n, d) float32, the one output of an engine for all rows; arguments as of `passing`."""
    values: np.ndarray | None = None
    for rows, made in passing(engine, feeds, n, lengths):
        if values is None:
            values = room((n, made.shape[1]), np.float32)
        values[rows] = made
    assert values is not None
    return values


def passing(
    engine: OrtEngine,
    feeds: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    n: int,
    lengths: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers (b,) and the one output of an engine for them, batch by batch.

    Args:
        engine: runs the graph.
        feeds: (b,) row numbers -> the graph's inputs; asked on any thread.
        n: rows.
        lengths: (n,) by which rows pass together, the long ones first; None: as they come.
    """
    (output,) = engine.outputs
    order = np.arange(n) if lengths is None else np.argsort(-lengths, kind="stable")

    def run(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return rows, engine.run(feeds(rows))[output]

    yield from ahead(run, [order[i : i + ROWS] for i in range(0, n, ROWS)])


def _wider(steps: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    """The steps with a larger picture at their end, of which crops have something to choose from."""
    wider = []
    for step in steps:
        step = dict(step)
        if step["step"] in ("resize", "center_crop"):
            size = step["size"]
            grown = [round(side * _ROOM) for side in ([size] if isinstance(size, int) else size)]
            step["size"] = grown[0] if isinstance(size, int) else grown
        wider.append(step)
    return tuple(wider)


def prepared(inputs: Sequence[Any], steps: Sequence[Any]) -> np.ndarray:
    """Pictures as a model gets them, (n, h, w, 3) uint8.

    Args:
        inputs: n readable pictures.
        steps: of the preprocessing.

    Raises:
        UnreadableInput: a picture cannot be read.
    """

    def one(source: Any) -> np.ndarray:
        return image.prepare(source, steps)[0]

    out: np.ndarray | None = None
    with ThreadPoolExecutor(threads()) as pool:
        for row, made in enumerate(pool.map(one, inputs)):
            if out is None:
                out = room((len(inputs), *made.shape), np.uint8)
            out[row] = made
    if out is None:
        raise UnreadableInput("there are no pictures")
    return out


def room(shape: tuple[int, ...], kind: Any) -> np.ndarray:
    """An array of zeros; a large one lies in a file that goes with it, where the disk has room for it."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    if size <= _MEMORY or not hasattr(os, "posix_fallocate"):
        return np.zeros(shape, kind)
    with tempfile.TemporaryFile(dir=cache_dir()) as file:
        try:
            # taken now: a page that a full disk refuses later would kill the process
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            return np.zeros(shape, kind)
        return np.memmap(file, kind, "r+", shape=shape)
