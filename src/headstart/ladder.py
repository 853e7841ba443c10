"""What the ladder stands on, its rungs, and what comes of climbing it; see `headstart.climb`."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.compute import cache_dir
from headstart.hashing import hash_json, hash_parts
from headstart.manifest import atomic_write
from headstart.scores import Trials
from headstart.train.common import Common
from headstart.types import Backbone, Candidate, Epoch, Head, Input, Modality

FEW = 32
"""Rows a class, on average: with fewer, pairs of rows are learned from first."""

HELD = 100
"""Rows: with fewer in a fold, further folds are held out in turn."""

WIDE = 400
"""Rows: so many are held out in turn where the time allows; with 100, a gain of 4 points is not beyond noise."""

_JUDGES = "judges"  # a file


@dataclass(frozen=True)
class Ground:
    """What the ladder stands on.

    Attributes:
        inputs: n readable inputs to learn from.
        codes: (n,) class numbers.
        n_classes: k.
        folds: (n,) fold of each row; -1 is never held out.
        backbone: frozen.
        probe: on it.
        solve: (rows,) -> the probe's head from these rows alone.
        waiting: inputs whose features have to be computed after the ladder.
        seed: of every random choice.
        until: when the fit has to be done, of `time.monotonic`; None: any time.
        after: seconds that the rest of a fit takes besides.
        judged: features by the model that was judged are wanted, beside those by the one that ships.
        spare: inputs without labels.
        student: a backbone that distillation teaches; None: a smaller one is made of the teacher's.
        teacher: a backbone and the head on it, for distillation; None: `backbone` and the probe.
        identity: of the inputs and labels; a fit of the same goes on where one was cut off. Empty: nothing
            is kept.
    """

    inputs: Sequence[Input]
    codes: np.ndarray
    n_classes: int
    folds: np.ndarray
    backbone: Backbone
    probe: Candidate
    solve: Callable[[np.ndarray], Head]
    waiting: int = 0
    seed: int = 0
    until: float | None = None
    after: float = 10.0
    judged: bool = True
    spare: Sequence[Input] = ()
    student: Backbone | None = None
    teacher: tuple[Backbone, Head] | None = None
    identity: str = ""


@dataclass(frozen=True)
class Rung:
    """One method to try.

    Attributes:
        method: of the table `TUNING`.
        config: its settings.
        fixed: the settings are the caller's wish: nothing less is tried where they take too long.
    """

    method: str
    config: Common
    fixed: bool = False


@dataclass(frozen=True)
class Watch:
    """Who is told.

    Attributes:
        say: sentences.
        epoch: method, epoch, epochs planned, seconds left.
    """

    say: Callable[[str], None] = lambda sentence: None
    epoch: Callable[[str, Epoch, int, float], None] = lambda *told: None


@dataclass(frozen=True)
class Climbed:
    """What came of it.

    Attributes:
        candidate: what is kept.
        trials: what was compared; None where there was nothing to compare.
        judged: the model that answered the held-out rows, the last of them where there were several, with
            its features; None for the probe, and where they are not wanted.
        unseen: (m,) rows that this model did not learn from.
        folders: where the trainings and the graphs that they made are kept, for `done`.
    """

    candidate: Candidate
    trials: Trials | None
    judged: Candidate | None = None
    unseen: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))
    folders: tuple[Path, ...] = ()

    def done(self) -> None:
        """What was kept for a crash, and for the bundle, is not needed any more."""
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


def rungs(
    n: int,
    n_classes: int,
    settings: Mapping[str, Common],
    *,
    modality: Modality = "text",
    names: Sequence[str] = (),
) -> tuple[Rung, ...]:
    """Which methods suit the data, in the order in which they are worth trying.

    Each one more makes it harder to tell the others from noise: on few rows one alone is tried. Low-rank
    updates of networks for pictures have not beaten fine-tuning on any of the rows they were tried on, and
    take twice its time.

    Args:
        n: rows to learn from.
        n_classes: k.
        settings: method -> settings.
        modality: of the inputs.
        names: the methods, where the caller names them.
    """
    if names:
        return tuple(Rung(name, settings[name], fixed=True) for name in names)
    first = ("finetune",) if modality == "image" else ("finetune", "lora")
    if n < FEW * n_classes:
        first = ("contrastive", "finetune") if n >= HELD else ("contrastive",)
    return tuple(Rung(name, settings[name]) for name in first if name in settings)


def held_out_parts(
    folds: np.ndarray, judged: np.ndarray | None = None, least: int = HELD
) -> list[np.ndarray]:
    """Rows that are held out together: as many folds as give rows enough to judge by.

    Args:
        folds: (n,) fold of each row; -1 is never held out.
        judged: rows that the probe was judged on, where they are not all of a fold.
        least: how many rows are enough.
    """
    parts: list[np.ndarray] = []
    for fold in range(int(folds.max(initial=-1)) + 1):
        if sum(map(len, parts)) >= least:
            break
        part = np.flatnonzero(folds == fold)
        parts.append(part if judged is None else np.intersect1d(part, judged))
    return [part for part in parts if len(part)]


def folder_of(ground: Ground, rung: Rung, held: np.ndarray) -> Path | None:
    """Where this very training is kept until the fit is done."""
    if not ground.identity:
        return None
    name = hash_parts(
        [
            ground.identity,
            ground.backbone.graph_id,
            *_told_of_teacher(ground),
            rung.method,
            hash_json(dataclasses.asdict(rung.config)),
            held.astype("<i8").tobytes(),
            str(ground.seed),
        ]
    )
    return cache_dir() / "training" / name[:32]


def _told_of_teacher(ground: Ground) -> list[str | bytes]:
    """What tells one teacher from another."""
    if ground.teacher is None:
        return []
    backbone, head = ground.teacher
    return [backbone.graph_id, head.weight.tobytes(), head.bias.tobytes()]


def begun(folder: Path | None) -> bool:
    """Whether a training was begun there and not finished with."""
    return folder is not None and (folder / "state" / "state.json").exists()


def note_judges(folder: Path | None, parts: int) -> None:
    """Keep, beside a rung's first training, how many parts judge it: further ones may be begun for the mean."""
    if folder is not None:
        with suppress(OSError):  # a full disk: a fit that goes on counts the first part alone
            folder.mkdir(parents=True, exist_ok=True)
            atomic_write(folder / _JUDGES, str(parts))


def judges(folder: Path | None) -> int:
    """How many parts judged a rung, of which this was the first training; 1 where that is not known."""
    if folder is not None:
        with suppress(OSError, ValueError):
            return int((folder / _JUDGES).read_text(encoding="utf-8"))
    return 1
