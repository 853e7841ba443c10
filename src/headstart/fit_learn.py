"""What a fit learns from the training rows: the probe, what the ladder makes of it, how answers are decided."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart import config as settings
from headstart import ladder
from headstart.backbones.choose import backbone_named
from headstart.backbones.random_weights import is_random
from headstart.bundle.earlier import known_head, known_model
from headstart.climb import climb
from headstart.compute import generator
from headstart.errors import ConfigError
from headstart.evaluation import calibrate
from headstart.evaluation.learning import learning_curve
from headstart.evaluation.repeats import repeats
from headstart.evaluation.transfer import compare_scratch
from headstart.fit_config import FitConfig
from headstart.fit_familiar import reference_of, threshold
from headstart.fit_rows import Learned, fingerprint, targets
from headstart.methods import METHODS, TUNING
from headstart.registry import suggestion
from headstart.runtime.decide import probabilities
from headstart.runtime.familiar import Reference
from headstart.runtime.reader import open_bundle
from headstart.scores import LearningCurve, Repeats, Transfer, Trials
from headstart.stages import Passed, Stages
from headstart.tasks.classification import Classification
from headstart.train.common import Common
from headstart.train.material import Material
from headstart.types import Backbone, Candidate, Decision, Epoch, Features, Head, Input, Table


@dataclass(frozen=True)
class Lesson:
    """What was learned from the training rows.

    Attributes:
        task: the labels.
        candidate: what ships.
        probe: the candidate on the frozen backbone; the same where nothing beat it.
        decision: how logits become answers.
        reference: training rows that new inputs are held against.
        trials: what was compared; None where only one candidate was made.
        done: to be called when the model is safe: what was kept to go on after a crash goes.
    """

    task: Classification
    candidate: Candidate
    probe: Candidate
    decision: Decision
    reference: Reference
    trials: Trials | None
    done: Callable[[], None]


def checked(config: FitConfig) -> str:
    """The method by name; "" for the ladder.

    Raises:
        HeadstartError: there is no such method, or it cannot be had here, or not together with the rest.
    """
    settings.seconds(config.budget)
    name = config.method
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError(
            "A fit runs in one process, and torchrun started several: each would do the whole of it.",
            fix="start it without torchrun; headstart.train.loop.train takes several processes",
        )
    for flag, given, what in (
        ("--unlabelled", config.unlabelled, "from inputs without labels"),
        ("--teacher", config.teacher, "from another model"),
    ):
        if given and name != "distil":
            raise ConfigError(
                f"Only distillation learns {what}.",
                fix=f"add --method distil, or leave {flag} out",
            )
    if config.teacher:
        open_bundle(config.teacher)  # told before the work where there is none
    if name == "auto":
        return "" if config.budget else "probe"
    if name in METHODS.names():
        return name
    if name not in TUNING.names():
        known = ["auto", *METHODS.names(), *TUNING.names()]
        fix = suggestion(name, known) or f"one of: {', '.join(known)}"
        raise ConfigError(f"There is no method {name!r}.", fix=fix)
    if config.repeats:
        raise ConfigError(
            "--repeats is for methods that leave the backbone as it is: each further split would be a"
            " training of its own.",
            fix="leave --repeats out, or take --method probe",
        )
    if not _torch():
        raise _no_torch(f"The method {name}")
    return name


def tunes(config: FitConfig) -> bool:
    """Whether methods that change weights are tried."""
    return checked(config) not in METHODS.names() and _torch()


def _no_torch(what: str) -> ConfigError:
    return ConfigError(f"{what} needs PyTorch.", fix="pip install 'headstart[train]'")


def _torch() -> bool:
    return importlib.util.find_spec("torch") is not None


class Learning:
    """Learns from the training rows of one fit.

    Args:
        config: of the fit.
        stages: are told.
        backbone: frozen.
        began: when the fit began, of `time.monotonic`.
        until: when it has to be done; None: any time.
        spare: readable inputs without labels.
    """

    def __init__(
        self,
        config: FitConfig,
        stages: Stages,
        backbone: Backbone,
        began: float,
        until: float | None,
        spare: Sequence[Input] = (),
    ) -> None:
        self.config, self.stages, self.backbone = config, stages, backbone
        self.began, self.until, self.spare = began, until, spare
        self.name = checked(config)
        if config.method == "auto" and is_random(backbone):
            self.name = "scratch"  # there is nothing in its features yet
        head = self.name if self.name in METHODS.names() else "probe"
        self._head = METHODS.get(head)
        self._settings: Any = getattr(config, head, None)
        self.plain = head == "probe"

    def learn(self, learned: Learned, waiting: int) -> Lesson:
        """The lesson.

        Args:
            learned: n rows.
            waiting: rows to measure, whose features another backbone would have to compute.
        """
        task = Classification.from_targets(targets(learned.table))
        codes = task.encode(targets(learned.table))
        probe = self._probe(learned, task, codes)
        climbed = ladder.Climbed(probe, None)
        rungs = self._rungs(len(codes), len(task.labels))
        if rungs:
            ground = self._ground(learned, task, codes, probe, waiting)
            asked = bool(self.name)
            watch = ladder.Watch(self.stages.say, self._epoch)
            climbed = climb(ground, rungs, asked=asked, watch=watch)
        candidate, trials = climbed.candidate, climbed.trials
        decision = self._decision(learned, candidate, codes)
        reference = reference_of(learned, candidate, codes, len(task.labels))
        if self.config.refuse:
            answers = probabilities(candidate.held_out, decision)
            share = 1 - self.config.refuse
            least = threshold(learned, climbed, codes, answers, share, reference.weight)
            decision = dataclasses.replace(decision, familiar_above=least)
        if trials is not None:
            trials = dataclasses.replace(
                trials,
                budget=settings.seconds(self.config.budget),
                seconds=time.monotonic() - self.began,
            )
        return Lesson(task, candidate, probe, decision, reference, trials, climbed.done)

    def curve(self, learned: Learned, lesson: Lesson) -> LearningCurve:
        """What more labels would bring, to the candidate on the frozen backbone."""
        codes = lesson.task.encode(targets(learned.table))
        k, n, chosen = len(lesson.task.labels), len(codes), lesson.probe.chosen

        def fit(
            features: Any, codes: np.ndarray, folds: np.ndarray, k: int, *, start: Head | None
        ) -> Candidate:
            given = self._settings
            if self.plain:
                # relative to the mean loss: with fewer rows it has to be stronger
                penalty = chosen["penalty"] * 0.8 * n / len(codes)
                given = dataclasses.replace(
                    given, penalty=penalty, class_weight=chosen["class_weight"]
                )
            made: Candidate = self._head(features, codes, folds, k, given, start=start)
            return made

        found = learning_curve(
            learned.features.values,
            codes,
            learned.split.folds,
            k,
            fit,
            generator(self.config.seed, 3),
            groups=learned.groups,
            rows=learned.rows,
            candidate=lesson.probe,
        )
        if lesson.candidate is lesson.probe:
            return found
        note = "of the probe on the backbone as it was, which takes seconds"
        return dataclasses.replace(found, note="; ".join(filter(None, (found.note, note))))

    def transfer(self, learned: Learned, lesson: Lesson) -> Transfer:
        """What the pretrained backbone bought: the probe on it beside a network from scratch."""
        if not _torch():
            raise _no_torch("--compare-scratch")
        table, features, settled = learned.table, learned.features.values, self._settled("scratch")
        codes, k = lesson.task.encode(targets(table)), len(lesson.task.labels)
        held = next(iter(ladder.held_out_parts(learned.split.folds)), np.empty(0, np.int64))
        solve = self._solver(features, codes, k, lesson.probe)

        def probe(rows: np.ndarray) -> np.ndarray:
            head = solve(rows)
            return features[held] @ head.weight + head.bias

        def scratch(rows: np.ndarray) -> np.ndarray:
            every = np.concatenate([rows, held])
            self.stages.say(f"from scratch, from {len(rows):,} rows")
            place = np.arange(len(rows), len(every))
            material = Material(
                inputs=[table.inputs[row] for row in every.tolist()],
                codes=codes[every],
                n_classes=k,
                held=place,
                backbone=self.backbone,
                head=lesson.probe.head,
                seed=self.config.seed,
            )
            made: Candidate = TUNING.get("scratch")(
                material,
                settled,
                progress=lambda epoch, of: self._epoch("scratch", epoch, of, 0),
            )
            return made.held_out

        rng = generator(self.config.seed, 5)
        return compare_scratch(codes, held, k, probe, scratch, rng, groups=learned.groups)

    def repeats(
        self, table: Table, features: Features, groups: np.ndarray, task: Classification
    ) -> Repeats:
        """The same on further splits of the rows that are here."""

        def fit(values: np.ndarray, codes: np.ndarray, folds: np.ndarray, k: int) -> Candidate:
            made: Candidate = self._head(values, codes, folds, k, self._settings)
            return made

        seeds = range(self.config.seed + 1, self.config.seed + 1 + self.config.repeats)
        return repeats(
            table, features.values, groups, len(task.labels), fit, seeds, self.config.test_size
        )

    def _probe(self, learned: Learned, task: Classification, codes: np.ndarray) -> Candidate:
        config, given = self.config, self._settings
        begin = {}
        if config.start is not None:
            known, chosen = known_head(config.start, self.backbone, task.labels)
            begin = {"start": known}
            if self.plain and not config.probe.penalty:
                given = dataclasses.replace(
                    config.probe,
                    penalty=float(chosen.get("penalty", 0.0)),
                    class_weight=chosen.get("class_weight", "auto"),
                )
        source = learned.features.values if learned.rows is None else learned.rows
        made: Candidate = self._head(
            source, codes, learned.split.folds, len(task.labels), given, **begin
        )
        return made

    def _rungs(self, n: int, k: int) -> tuple[ladder.Rung, ...]:
        """What to try beside the probe."""
        if self.name in METHODS.names():
            return ()
        if not _torch():
            self.stages.say(
                "only the probe is tried: the other methods need PyTorch (pip install"
                " 'headstart[train]')"
            )
            return ()
        known = {name: self._settled(name) for name in TUNING.names()}
        names = [self.name] if self.name else []
        return ladder.rungs(n, k, known, modality=self.backbone.modality, names=names)

    def _settled(self, name: str) -> Common:
        """The settings of a method, with what it chooses for inputs of this kind."""
        given: Common = getattr(self.config, name)
        settle = getattr(sys.modules[type(given).__module__], "settled", None)
        return settle(given, self.backbone.modality) if settle else given

    def _ground(
        self,
        learned: Learned,
        task: Classification,
        codes: np.ndarray,
        probe: Candidate,
        waiting: int,
    ) -> ladder.Ground:
        k, table = len(task.labels), learned.table
        return ladder.Ground(
            inputs=table.inputs,
            codes=codes,
            n_classes=k,
            folds=learned.split.folds,
            backbone=self.backbone,
            probe=probe,
            solve=self._solver(learned.features.values, codes, k, probe),
            waiting=waiting,
            seed=self.config.seed,
            until=self.until,
            judged=bool(self.config.refuse),
            spare=self.spare,
            student=self._student(),
            teacher=self._teacher(task),
            identity=fingerprint(table),
        )

    def _solver(
        self, features: np.ndarray, codes: np.ndarray, k: int, probe: Candidate
    ) -> Callable[[np.ndarray], Head]:
        """The probe's head from some rows alone, with what was chosen on all of them."""
        chosen, n = probe.chosen, len(codes)

        def solve(rows: np.ndarray) -> Head:
            # relative to the mean loss: with fewer rows it has to be stronger
            fixed = dataclasses.replace(
                self.config.probe,
                penalty=chosen["penalty"] * 0.8 * n / len(rows),
                class_weight=chosen["class_weight"],
            )
            nothing = np.full(len(rows), -1)
            made: Candidate = METHODS.get("probe")(features[rows], codes[rows], nothing, k, fixed)
            return made.head

        return solve

    def _student(self) -> Backbone | None:
        """The backbone that is to be taught, where one was named."""
        name = self.config.distil.student
        if self.name != "distil" or name == "auto":
            return None
        return backbone_named(name, offline=self.config.offline, say=self.stages.say)

    def _teacher(self, task: Classification) -> tuple[Backbone, Head] | None:
        """The model that teaches, where one was named."""
        if self.name != "distil" or self.config.teacher is None:
            return None
        backbone, head = known_model(self.config.teacher, task.labels)
        if backbone.modality != self.backbone.modality:
            raise ConfigError(
                f"{self.config.teacher} takes {backbone.modality}s, the data holds"
                f" {self.backbone.modality}s.",
                fix=f"take a bundle for {self.backbone.modality}s",
            )
        self.stages.say(
            f"{self.config.teacher} teaches; where it has learned from held-out rows, they judge the"
            " student too well"
        )
        return backbone, head

    def _epoch(self, method: str, epoch: Epoch, of: int, left: float) -> None:
        self.stages.epoch(Passed(method, epoch, of, left))

    def _decision(self, learned: Learned, candidate: Candidate, codes: np.ndarray) -> Decision:
        config = self.config
        return calibrate.calibrate(
            candidate.held_out,
            codes,
            coverage=config.coverage,
            folds=learned.split.folds,
            rows=candidate.held_out_rows,
            sets=config.sets,  # type: ignore[arg-type]
            at_precision=config.at_precision or None,
            at_cost=config.at_cost or None,
        )
