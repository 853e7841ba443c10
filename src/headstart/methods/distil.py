"""Distillation: a smaller or faster student learns from a teacher's answers and features.

A teacher tells more of a row than its label: how alike the classes look on it (Hinton et al. 2015,
https://arxiv.org/abs/1503.02531), and the features that it decides by (FitNets; Romero et al. 2015,
https://arxiv.org/abs/1412.6550). It can tell it of rows without a label too, and of any augmented view of a
picture, as long as both see the same one (Beyer et al. 2022, https://arxiv.org/abs/2106.05237).

The student begins where it agrees best with the teacher without any change of its weights: with the linear
head that gives most nearly the teacher's logits. If no epoch has a lower held-out loss, it stays that.

Imports torch inside its functions only.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from headstart.config import note
from headstart.engine.ort import OrtEngine
from headstart.errors import ConfigError
from headstart.train import common, preparing, tuning
from headstart.train.material import Material
from headstart.types import Backbone, Candidate, Head, Modality, OnEpoch

if TYPE_CHECKING:
    from headstart.train import students
    from headstart.train.distilling import Distillation, Student, Taught, Told
    from headstart.train.settings import Group, Trained
    from headstart.train.sources import Texts, Views

# those of pictures were measured on held-out training rows of trashnet
_DEPTHS: dict[Modality, float] = {"image": 0.5, "text": 1.0}
_RATES: dict[Modality, float] = {"image": 5e-4, "text": 1e-4}
_HEAD: dict[Modality, float] = {"image": 1.0, "text": 10.0}
_TIMED, _TURNS = 16, 7  # rows in a run, and runs of each, that tell what an input costs


@dataclass(frozen=True)
class _Lesson:
    """What the student is, what it sees and what it is told.

    Attributes:
        base: the backbone that it is made of.
        student: its graph and preprocessing.
        teacher: a backbone.
        seen: by the student, all rows; those without a label come last.
        shown: to the teacher, where those are texts.
        told: by the teacher.
        codes: (n,) class numbers, -1 without a label.
    """

    base: Backbone
    student: students.Student
    teacher: Backbone
    seen: Views | Texts
    shown: Texts | None
    told: Told
    codes: np.ndarray


@dataclass(frozen=True)
class Config(common.Common):
    """Settings of distillation."""

    goes_on: ClassVar[bool] = False
    prepares: ClassVar[bool] = False
    depth: float = field(
        default=0.0,
        metadata=note(
            "share of the student's layers that is tuned, from the top; 0 suits the inputs",
            low=0.0,
            high=1.0,
        ),
    )
    epochs: int = field(default=20, metadata=note("epochs at most", low=1, high=10_000))
    views: int = field(default=8, metadata=common.VIEWS)
    patience: int = field(default=0, metadata=common.PATIENCE)
    student: str = field(
        default="auto",
        metadata=note("backbone that learns; auto: the teacher's, with less to compute"),
    )
    cost: float = field(
        default=0.25,
        metadata=note("wanted share of the teacher's cost, for auto", low=0.01, high=1.0),
    )
    temperature: float = field(
        default=2.0, metadata=note("what both logits are divided by", low=0.1, high=100.0)
    )
    labels: float = field(
        default=0.1,
        metadata=note("weight of the labels; the rest is the teacher's", low=0.0, high=1.0),
    )
    features: float = field(
        default=1.0, metadata=note("weight of the teacher's features", low=0.0, high=1000.0)
    )
    head_factor: float = field(
        default=0.0,
        metadata=note("the head learns so much faster; 0 suits the inputs", low=0.0, high=1000.0),
    )
    weight_decay: float = field(default=0.01, metadata=note("weight decay", low=0.0, high=10.0))
    keep: float = field(default=0.0, metadata=note(common.UNUSED, low=0.0, high=0.0))


def fit(
    material: Material,
    config: Config | None = None,
    *,
    say: Callable[[str], None] | None = None,
    progress: OnEpoch | None = None,
) -> Candidate:
    """Teach a student what a teacher knows.

    Args:
        material: what to learn from. `spare` inputs count as all others, only that they have no label;
            the teacher must not have learned from the rows `held`, or they judge the student too well.
        config: settings.
        say: told what takes a while, and what was noticed.
        progress: told of every epoch, and how many are planned.

    Returns:
        A candidate whose backbone is the student, with a preprocessing of its own. Its held-out logits are
        those of the rows `material.held`. `chosen["best"]` is the epoch that was kept, counted from 1; 0 is the
        start. `chosen["cost"]` is the measured share of the teacher's time for
        an input, preparation not counted.

    Raises:
        ConfigError: a student was named that the material does not hold.
        DataError: there is no row to learn from, or none is held out.
        BackboneError: no student can be made of the teacher, or it cannot be trained.
    """
    from headstart.train import distilling
    from headstart.train.trainable import with_weights

    config, started = config or Config(), time.perf_counter()
    learn = tuning.to_learn(material)
    learn = np.concatenate([learn, len(material.codes) + np.arange(len(material.spare))])
    lesson = _lesson(material, config, say)
    module, source, depth = _module(lesson, learn, config)
    loss = _loss(source, learn, config)
    start = module.head(), tuning.outputs(module, source, material.held)
    spent = time.perf_counter() - started
    trained = _trained(module, source, learn, material, config, loss, spent, progress)
    for sentence in trained.notes:
        if say:
            say(sentence)
    chosen_by_rows = config.select == "best" and len(material.held)
    better = bool(trained.history)
    if better and chosen_by_rows:
        better = _better(trained, start[1], source, material.held, loss)
    head, outputs = (module.head(), trained.held_out) if better else start
    held_out = np.ascontiguousarray(outputs[:, : material.n_classes])
    base = replace(lesson.base, preprocess=lesson.student.preprocess)
    weights = dict(module.top.weights()) if better else {}
    graph = with_weights(lesson.student.graph, weights)
    everything = np.arange(len(material.codes))
    features = distilling.features_of(graph.SerializeToString(), lesson.seen, everything)
    backbone = tuning.shelved(base, graph)
    chosen = {
        **lesson.student.how,
        "teacher": lesson.teacher.name,
        "cost": _cost(lesson, backbone),
        "depth": depth,
        "epochs": len(trained.history),
        "best": trained.best + 1 if better else 0,
        "lr": config.lr or _RATES[base.modality],
        "stopped": trained.stopped,
        "spare": len(material.spare),
    }
    if len(material.held):
        score, truth = tuning.scoring(material.n_classes), material.codes[material.held]
        told = lesson.told.logits[0, material.held]
        chosen |= {"score": score(held_out, truth), "teacher_score": score(told, truth)}
    return Candidate(
        method="distil",
        head=head,
        held_out=held_out,
        chosen=chosen,
        seconds=time.perf_counter() - started,
        held_out_rows=material.held,
        backbone=backbone,
        features=features,
        history=trained.history,
        notes=trained.notes,
    )


def _loss(source: Taught, learn: np.ndarray, config: Config) -> Distillation:
    """The loss, features measured by how much the teacher's differ from row to row."""
    from headstart.train.distilling import Distillation

    features = source.told.features[0, learn].astype(np.float64)
    return Distillation(
        source.told.logits.shape[2],
        config.temperature,
        config.labels,
        config.features,
        float(features.var(axis=0).mean()) or 1.0,
        config.smoothing,
    )


def _trained(
    module: Student,
    source: Taught,
    learn: np.ndarray,
    material: Material,
    config: Config,
    loss: Distillation,
    spent: float,
    progress: OnEpoch | None,
) -> Trained:
    """The training; outputs and targets hold more than logits and codes."""
    k, modality = material.n_classes, material.backbone.modality
    score = tuning.scoring(k)
    return tuning.run(
        module,
        source,
        learn,
        material,
        groups=_groups(module, config.head_factor or _HEAD[modality]),
        loss=loss,
        score=lambda outputs, targets: score(outputs[:, :k], targets[:, 0].astype(np.int64)),
        settings=tuning.settings_of(material, config, _RATES[modality], config.weight_decay, spent),
        progress=progress,
    )


def _better(
    trained: Trained, start: np.ndarray, source: Taught, held: np.ndarray, loss: Distillation
) -> bool:
    """Whether an epoch has a lower held-out loss than the start, which is a good student itself.

    Features do not count: the map that they pass through does not ship.
    """
    import torch

    _, targets = source.batch(held, 0, 0, train=False)
    loss = replace(loss, features=0.0)
    losses = [loss(torch.from_numpy(one), targets).item() for one in (trained.held_out, start)]
    return losses[0] < losses[1]


def _lesson(material: Material, config: Config, say: Callable[[str], None] | None) -> _Lesson:
    """The student as it is at first, and what the teacher says of all rows."""
    from headstart.train import augment_images, distilling, sources

    teacher, head = material.teacher or (material.backbone, material.head)
    base, student = _student(material, config, teacher)
    inputs = [*material.inputs, *material.spare]
    codes = np.concatenate([material.codes, np.full(len(material.spare), -1)]).astype(np.int64)
    if say:
        say(f"{teacher.name} is asked about {len(inputs)} inputs")
    if base.modality == "image":
        name = preparing.AUGMENT if config.augment == "auto" else config.augment
        seen, told = distilling.pictures(
            inputs,
            codes,
            teacher.graph.read_bytes(),
            head,
            teacher.preprocess,
            student.preprocess,
            augment_images.preset(name),
            material.seed,
            config.views if name != "none" else 1,
        )
        return _Lesson(base, student, teacher, seen, None, told, codes)
    shown, own = (
        sources.texts(inputs, codes, one.preprocess, _tokenizer(one)) for one in (teacher, base)
    )
    answers = distilling.texts(shown, teacher.graph.read_bytes(), head)
    return _Lesson(base, student, teacher, own, shown, answers, codes)


def _tokenizer(backbone: Backbone) -> bytes:
    assert backbone.tokenizer is not None
    return backbone.tokenizer.read_bytes()


def _student(
    material: Material, config: Config, teacher: Backbone
) -> tuple[Backbone, students.Student]:
    """What the student is made of, and its graph."""
    import onnx

    from headstart.train import students
    from headstart.train.trainable import unpacked

    base = material.student
    if base is None and config.student != "auto":
        raise ConfigError(
            f"The student {config.student} is not there.",
            fix="pass it as the material's student, or leave it to auto",
        )
    if base is None:
        return teacher, students.smaller(teacher, config.cost)
    if base.modality != teacher.modality:
        raise ConfigError(
            f"{base.name} takes {base.modality}s, its teacher {teacher.name} {teacher.modality}s.",
            fix=f"choose a student for {teacher.modality}s",
        )
    graph = unpacked(onnx.load(str(base.graph)))
    return base, students.Student(graph, base.preprocess, {})


def _module(lesson: _Lesson, learn: np.ndarray, config: Config) -> tuple[Student, Taught, float]:
    """What is trained, what it is trained on, and the share of the student's layers that it is.

    The head begins as the linear map from the student's features to the teacher's logits. Features are
    matched through a linear map as well, which is dropped in the end; on smaller pictures the same weights
    give features of another size, and to learn that first would cost more than it is worth.
    """
    from headstart.train import between, distilling, trainable

    whole, match = lesson.student.graph, config.features > 0
    features = distilling.features_of(whole.SerializeToString(), lesson.seen, learn)
    head = Head(*distilling.linear(features, lesson.told.logits[0, learn]))
    lift = distilling.linear(features, lesson.told.features[0, learn]) if match else None
    found = trainable.layers(whole)
    depth = config.depth or _DEPTHS[lesson.base.modality]
    at, below = preparing.boundary(found, depth)
    inner: Views | Texts | between.Between = lesson.seen
    top = trainable.Trainable(whole, found.depth)
    if at:
        halves = trainable.cut(whole, at)
        top = trainable.Trainable(halves.top, found.depth)
        views = len(lesson.told.logits)
        inner = between.between(lesson.seen, halves.bottom.SerializeToString(), top.inputs, views)
    source = distilling.Taught(inner, lesson.codes, lesson.told, match)
    module = distilling.Student(top, head, lift)
    return module, source, 1 - below / found.products


def _groups(module: Student, factor: float) -> list[Group]:
    """The head, and all others; vectors do not decay."""
    from headstart.train.settings import Group

    shapes = {name: one.ndim for name, one in module.named_parameters()}
    head = ("weight", "bias")
    kept = tuple(name for name, n in shapes.items() if n < 2 and name not in head)
    others = tuple(name for name, n in shapes.items() if n > 1 and name not in head)
    return [Group(head, factor, decay=False), Group(kept, decay=False), Group(others)]


def _cost(lesson: _Lesson, student: Backbone) -> float:
    """Seconds that an input takes in the student's graph, as a share of the teacher's: medians, in turns."""
    from headstart.train import distilling
    from headstart.train.students import picture_size

    rows = np.arange(min(_TIMED, len(lesson.codes)))
    pairs = []
    for backbone, texts in ((student, lesson.seen), (lesson.teacher, lesson.shown or lesson.seen)):
        engine = OrtEngine(backbone.graph)
        if backbone.modality == "image":
            shape = (len(rows), *picture_size(backbone.preprocess), 3)
            feeds = {engine.inputs[0]: np.full(shape, 127, np.uint8)}
        else:
            feeds = dict(distilling.plain_feeds(texts, rows, engine.inputs))
        pairs.append((engine, feeds))
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(1 + _TURNS):
        for (engine, feeds), times in zip(pairs, took):
            began = time.perf_counter()
            engine.run(feeds)
            times.append(time.perf_counter() - began)
    return statistics.median(took[0][1:]) / statistics.median(took[1][1:])
