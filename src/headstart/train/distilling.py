"""What a student is taught with: kept views of every row, what the teacher says of them, and the loss.

Student and teacher see the same view of a picture, cropped and coloured alike, each at its own size; only
so the teacher's answer is an answer about what the student sees (Beyer et al. 2022, "Knowledge distillation:
A good teacher is patient and consistent", https://arxiv.org/abs/2106.05237). Views are made once and the
teacher is asked once, through the fast engine, so an epoch costs the student alone.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.engine.ort import OrtEngine
from headstart.train import sources
from headstart.train.augment_images import Images, resized_crops
from headstart.train.between import Between
from headstart.train.sources import ROWS, Batch, Texts, Views, ahead, room, through, turn
from headstart.train.students import picture_size
from headstart.train.trainable import Trainable
from headstart.types import Head, Preprocess

_STRENGTHS = 10.0 ** np.arange(-6.0, 3.0, 0.5)  # of the ridge, times the mean variance of a feature
_ENOUGH = 10_000  # rows that a linear map is fitted to


@dataclass(frozen=True)
class Told:
    """What a teacher says.

    Attributes:
        features: (views, n, d) float16.
        logits: (views, n, k) float32.
    """

    features: np.ndarray
    logits: np.ndarray


@dataclass(frozen=True)
class Taught:
    """A source whose targets are what the teacher says of the view that is shown.

    Targets are (b, 1 + k + d) float32: the label's code, -1 where there is none; the teacher's logits; its
    features, where they are to be matched.

    Attributes:
        inner: gives the inputs.
        codes: (n,) class numbers, -1 without a label.
        told: what the teacher says.
        match: its features are wanted.
    """

    inner: Views | Texts | Between
    codes: np.ndarray
    told: Told
    match: bool

    @property
    def lengths(self) -> np.ndarray | None:
        """(n,) tokens of each text; None for pictures."""
        return self.inner.lengths

    def batch(self, rows: np.ndarray, epoch: int, step: int, *, train: bool) -> Batch:
        """See `headstart.train.loop.Source`."""
        inputs, _ = self.inner.batch(rows, epoch, step, train=train)
        view = turn(rows, epoch, len(self.told.logits), train=train)
        parts = [self.codes[rows, None], self.told.logits[view, rows]]
        if self.match:
            parts.append(self.told.features[view, rows])
        targets = np.concatenate([one.astype(np.float32) for one in parts], axis=1)
        return inputs, torch.from_numpy(targets)


@dataclass(frozen=True)
class Distillation:
    """The loss: the teacher's answers softened, its features, and the labels of those rows that have one.

    (1 - labels) T^2 KL(softmax(t / T) || softmax(s / T)) + labels CE(s, y) + features MSE(f, g) / spread,
    where s and t are the student's and the teacher's logits, f and g their features. The first and the
    second part are those of Hinton et al. 2015 (https://arxiv.org/abs/1503.02531), the third is that of
    FitNets (Romero et al. 2015, https://arxiv.org/abs/1412.6550) at the topmost layer. A row without a label
    adds nothing to the second part. All are means over all rows.

    Attributes:
        classes: k.
        temperature: T.
        labels: weight of the labels.
        features: weight of the features; 0: outputs and targets hold none.
        spread: mean variance of a teacher's feature, so that a constant would have a loss near 1.
        smoothing: label smoothing.
    """

    classes: int
    temperature: float = 1.0
    labels: float = 0.5
    features: float = 0.0
    spread: float = 1.0
    smoothing: float = 0.0

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Outputs (n, k + d): logits and features; targets as of `Taught`."""
        k, t = self.classes, self.temperature
        logits, codes = outputs[:, :k], targets[:, 0].long()
        soft = functional.kl_div(
            functional.log_softmax(logits / t, 1),
            functional.log_softmax(targets[:, 1 : k + 1] / t, 1),
            reduction="batchmean",
            log_target=True,
        )
        hard = functional.cross_entropy(
            logits, codes, ignore_index=-1, reduction="sum", label_smoothing=self.smoothing
        )
        loss = (1 - self.labels) * t**2 * soft + self.labels * hard / len(codes)
        if not self.features:
            return loss
        far = functional.mse_loss(outputs[:, k:], targets[:, k + 1 :])
        return loss + self.features * far / self.spread


class Student(nn.Module):
    """Inputs -> logits (n, k), and where they are to be matched features like the teacher's, (n, k + d).

    Args:
        top: gives features (n, c).
        head: where the head starts.
        lift: (c, d) and (d,): where the linear map from the student's features to the teacher's starts; None
            where they are not to be matched.
    """

    def __init__(
        self, top: Trainable, head: Head, lift: tuple[np.ndarray, np.ndarray] | None = None
    ) -> None:
        super().__init__()
        self.top = top
        self.weight, self.bias = _parameter(head.weight), _parameter(head.bias)
        self.lift = None if lift is None else _parameter(lift[0])
        self.lift_bias = None if lift is None else _parameter(lift[1])

    def forward(self, *inputs: Tensor) -> Tensor:
        """(n, k) or (n, k + d)."""
        features = self.top(*inputs)
        logits = features @ self.weight + self.bias
        if self.lift is None:
            return logits
        return torch.cat([logits, features @ self.lift + self.lift_bias], dim=1)

    def head(self) -> Head:
        """The head as it is now."""
        return Head(self.weight.detach().numpy().copy(), self.bias.detach().numpy().copy())


def _parameter(values: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.array(values, np.float32)))


def pictures(
    inputs: Sequence[Any],
    codes: np.ndarray,
    graph: bytes,
    head: Head,
    teacher: Preprocess,
    student: Preprocess,
    settings: Images,
    seed: int,
    views: int,
) -> tuple[Views, Told]:
    """The student's views of every picture, and what the teacher says of the same views at its own size.

    View 0 is the plain picture, as each of the two prepares it. The others are made at the larger of the two
    sizes and made smaller for the other one.

    Args:
        inputs: n readable pictures.
        codes: (n,) class numbers.
        graph: the teacher's.
        head: the teacher's.
        teacher: its preprocessing.
        student: the student's.
        settings: what augmentation may do.
        seed: of the augmentation.
        views: how many, the plain one included.
    """
    sizes = picture_size(teacher), picture_size(student)
    larger = teacher if sizes[0][0] * sizes[0][1] >= sizes[1][0] * sizes[1][1] else student
    source = sources.pictures(inputs, codes, larger, settings if views > 1 else Images(), seed)
    plain = [
        source.plain if one == larger else sources.prepared(inputs, one.steps)
        for one in (teacher, student)
    ]
    n = len(codes)
    values = room((views, n, *plain[1].shape[1:]), np.uint8)
    values[0] = plain[1]
    engine = OrtEngine(graph)

    def run(task: tuple[int, np.ndarray]) -> tuple[int, np.ndarray, np.ndarray | None, np.ndarray]:
        view, rows = task
        if not view:
            shown, kept = torch.from_numpy(plain[0][rows]), None
        else:
            wide = source.pixels(rows, view, train=True)
            shown, kept = _at(wide, sizes[0]), _at(wide, sizes[1]).numpy()
        return view, rows, kept, engine.run({engine.inputs[0]: shown.numpy()})["features"]

    features: np.ndarray | None = None
    logits = np.zeros((views, n, len(head.bias)), np.float32)
    tasks = [(v, np.arange(i, min(i + ROWS, n))) for v in range(views) for i in range(0, n, ROWS)]
    for view, rows, kept, made in ahead(run, tasks):
        if features is None:
            features = room((views, n, made.shape[1]), np.float16)
        if kept is not None:
            values[view, rows] = kept
        features[view, rows], logits[view, rows] = made, made @ head.weight + head.bias
    assert features is not None
    return Views(values, source.targets), Told(features, logits)


def _at(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Whole pictures at another size."""
    whole = np.tile([0, 0, *pixels.shape[1:3]], (len(pixels), 1))
    return resized_crops(pixels, whole, size)


def texts(source: Texts, graph: bytes, head: Head) -> Told:
    """What a teacher says of every text.

    Args:
        source: the texts as its tokenizer cuts them.
        graph: the teacher's.
        head: the teacher's.
    """
    features = features_of(graph, source, np.arange(len(source.targets)))
    return Told(features.astype(np.float16)[None], (features @ head.weight + head.bias)[None])


def features_of(graph: bytes, source: Views | Texts, rows: np.ndarray) -> np.ndarray:
    """What a graph makes of some rows, plain, through the engine: (m, d) float32.

    Args:
        graph: gives features.
        source: of the rows.
        rows: (m,) row numbers.
    """
    engine, lengths = OrtEngine(graph), source.lengths
    return through(
        engine,
        lambda places: plain_feeds(source, rows[places], engine.inputs),
        len(rows),
        None if lengths is None else lengths[rows],
    )


def plain_feeds(
    source: Views | Texts, rows: np.ndarray, names: Sequence[str]
) -> Mapping[str, np.ndarray]:
    """A graph's inputs of some rows, not augmented.

    Args:
        source: of the rows.
        rows: (b,) row numbers.
        names: of the graph's inputs.
    """
    if isinstance(source, Texts):
        return source.feeds(rows)
    return {names[0]: source.values[0, rows]}


def linear(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The linear map from one to the other, by ridge regression.

    The strength is the one with the smallest squared error when each row is left out in turn, which needs no
    second fit (Allen 1974, "The relationship between variable selection and data augmentation and a method
    for prediction").

    Args:
        x: (n, c); of very many rows an even sample is used.
        y: (n, d).

    Returns:
        Weights (c, d) and bias (d,), float32.
    """
    few = np.linspace(0, len(x) - 1, min(len(x), _ENOUGH)).astype(int)
    x, y = x[few].astype(np.float64), y[few].astype(np.float64)
    middle, mean = x.mean(0), y.mean(0)
    u, s, v = np.linalg.svd(x - middle, full_matrices=False)
    turned, best = u.T @ (y - mean), (np.inf, 0.0)
    for strength in _STRENGTHS * max(float(np.square(s).sum()) / x.shape[1], 1e-12):
        share = s**2 / (s**2 + strength)
        own = np.minimum(
            1 / len(x) + np.square(u) @ share, 1 - 1e-9
        )  # (n,) how much a row tells of itself
        left = (y - mean - u @ (share[:, None] * turned)) / (1 - own)[:, None]
        best = min(best, (float(np.square(left).mean()), float(strength)))
    weight = v.T @ ((s / (s**2 + best[1]))[:, None] * turned)
    return weight.astype(np.float32), (mean - middle @ weight).astype(np.float32)
