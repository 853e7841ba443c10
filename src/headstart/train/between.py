"""What the bottom of a backbone made of rows, kept, as batches; and batches of pictures that are mixed.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from headstart.engine.ort import OrtEngine
from headstart.errors import ConfigError
from headstart.train.mix import Mix, mix, soft_targets
from headstart.train.sources import ROWS, Batch, Pictures, Texts, Views, ahead, passing, room, turn


@dataclass(frozen=True)
class Between:
    """What the bottom of a graph made of every row, kept, so that training never runs it again.

    Attributes:
        values: (views, total, ...) float16: places of all rows below each other, for each view.
        starts: (n + 1,) where the places of each row begin; a picture has one, a text one a token.
        targets: (n,) int64 codes.
        texts: of the same rows, where the top also needs their mask or ids; None for pictures.
        inputs: names of the top's inputs.
    """

    values: np.ndarray
    starts: np.ndarray
    targets: np.ndarray
    texts: Texts | None
    inputs: tuple[str, ...]

    @property
    def lengths(self) -> np.ndarray | None:
        """(n,) tokens of each text; None for pictures."""
        return None if self.texts is None else self.texts.lengths

    def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Batch:
        """See `headstart.train.loop.Source`, and `turn`.

        What was made of a token cannot be left out, as places count; where tokens disappear, the
        attention mask hides them from the layers above.
        """
        view = turn(rows, epoch, len(self.values), train=train)
        if self.texts is None:
            values = self.values[view, rows].astype(np.float32)
            return (torch.from_numpy(values),), torch.from_numpy(self.targets[rows])
        feeds = self.texts.feeds(rows)
        if train and self.texts.drop:
            feeds["attention_mask"] = self.texts.hidden(feeds, rows, epoch)
        values = np.zeros((*feeds["input_ids"].shape, self.values.shape[-1]), np.float32)
        for i, row in enumerate(rows.tolist()):
            part = self.values[view[i], self.starts[row] : self.starts[row + 1]]
            values[i, : len(part)] = part
        inputs = (values, *(feeds[name] for name in self.inputs[1:]))
        return tuple(torch.from_numpy(one) for one in inputs), torch.from_numpy(self.targets[rows])


@dataclass(frozen=True)
class Mixed:
    """Batches of pictures mixed in training, with targets mixed likewise.

    Where the layers below are not run again, what they made of the pictures is mixed: manifold mixup (Verma
    et al. 2019, arXiv:1806.05236), and CutMix of activation maps.

    Attributes:
        source: of the batches.
        classes: k.
        settings: how they are mixed.
        axes: which dimensions of the input are height and width.
        seed: of what is drawn.
    """

    source: Pictures | Between
    classes: int
    settings: Mix
    axes: tuple[int, int]
    seed: int = 0

    @property
    def lengths(self) -> None:
        """All are equally large."""
        return None

    @property
    def targets(self) -> np.ndarray:
        """(n,) int64 codes, as they are before they are mixed."""
        return self.source.targets

    def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Batch:
        """See `headstart.train.loop.Source`; in training, targets are (n, k) float32."""
        inputs, targets = self.source.batch(rows, epoch, step, train=train)
        if not train:
            return inputs, targets
        soft = soft_targets(targets, self.classes)
        (first,) = inputs
        made, soft = mix(first, soft, epoch, step, self.seed, self.settings, self.axes)
        return (made,), soft


def mixed(source: Pictures | Between, classes: int, settings: Mix, seed: int) -> Mixed:
    """Mix the batches of a source of pictures.

    Args:
        source: pictures, or what was kept of them.
        classes: k.
        settings: how batches are mixed.
        seed: of what is drawn.

    Raises:
        ConfigError: CutMix is wanted of activations that are no map.
    """
    if isinstance(source, Pictures):
        return Mixed(source, classes, settings, (1, 2), seed)
    shape = source.values.shape[1:]  # with the rows
    if settings.cutmix and len(shape) != 4:
        raise ConfigError(
            f"What this backbone's lower layers make of a picture has the shape {shape[1:]}, no height "
            "and width, so nothing can be pasted in.",
            fix="set mix to mixup, or depth to 1",
        )
    last = len(shape) == 4 and shape[1] == shape[2] != shape[3]  # a square map, channels last
    return Mixed(source, classes, settings, (1, 2) if last else (2, 3), seed)


def between(
    source: Pictures | Views | Texts,
    bottom: bytes,
    inputs: tuple[str, ...],
    views: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Between:
    """Run the bottom of a graph over every row, plain and in some augmented views, through the engine.

    Args:
        source: the rows.
        bottom: the serialised bottom half; its one output is what is kept.
        inputs: names of the top's inputs.
        views: of each picture, the plain one included; texts have one.
        progress: told of (done, total) rows.
    """
    engine = OrtEngine(bottom)
    (output,) = engine.outputs
    if isinstance(source, Texts):
        return _texts_between(source, engine, inputs, progress)
    n = len(source.targets)
    tasks = [
        (view, np.arange(start, min(start + ROWS, n)))
        for view in range(views)
        for start in range(0, n, ROWS)
    ]

    def run(task: tuple[int, np.ndarray]) -> tuple[int, np.ndarray, np.ndarray]:
        view, rows = task
        pixels = source.pixels(rows, view, train=view > 0)
        return view, rows, engine.run({engine.inputs[0]: pixels.numpy()})[output]

    values: np.ndarray | None = None
    done = 0
    for view, rows, made in ahead(run, tasks):
        if values is None:
            values = room((views, n, *made.shape[1:]), np.float16)
        values[view, rows] = made
        done += len(rows)
        if progress:
            progress(done, views * n)
    assert values is not None
    return Between(values, np.arange(n + 1), source.targets, None, inputs)


def _texts_between(
    source: Texts,
    engine: OrtEngine,
    inputs: tuple[str, ...],
    progress: Callable[[int, int], None] | None,
) -> Between:
    lengths = source.lengths
    starts = np.concatenate([[0], np.cumsum(lengths)])
    values: np.ndarray | None = None
    done = 0
    for rows, made in passing(engine, source.feeds, len(lengths), lengths):
        if values is None:
            values = room((1, int(starts[-1]), made.shape[-1]), np.float16)
        for row, one in zip(rows.tolist(), made):
            values[0, starts[row] : starts[row + 1]] = one[: lengths[row]]
        done += len(rows)
        if progress:
            progress(done, len(lengths))
    assert values is not None
    return Between(values, starts, source.targets, source, inputs)
