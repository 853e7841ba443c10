"""What to try within a budget, in which order, and what to keep.

The probe stands at the foot. Each rung is a method that changes the backbone's weights; it is begun only
where a few measured steps say that it fits the time that is left, and with as much of the backbone as fits.
Every candidate answers the same held-out rows, and the guard keeps the probe unless another beats it by more
than noise. What is kept then learns from all rows, where the time allows.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.compute import cache_dir, generator
from headstart.errors import BackboneError, DataError
from headstart.evaluation.guard import Entry, guard
from headstart.hashing import hash_json, hash_parts
from headstart.ladder import WIDE, Climbed, Ground, Rung, Watch, held_out_parts
from headstart.methods import TUNING
from headstart.scores import Trial, Trials
from headstart.train.costs import Cost, measured
from headstart.train.material import Material
from headstart.types import Candidate, Epoch, Head

_EPOCHS = 3  # that have to fit, or a method is not begun
_AGAIN = 1.3  # a training on all rows takes so many times the one on four fifths
_FURTHER = 0.25  # of the epochs, when what was judged goes on with all rows
_SLOWER = 0.25  # of the learning rate, then
_SPARE = 0.97  # of the time left is planned with
_JUDGING = 0.8  # of the time left may go into holding out further rows
_SHALLOWER = (0.5, 0.25)  # of the tuned layers, where all of them take too long


@dataclass(frozen=True)
class _Tried:
    """A rung that was tried, or not.

    Attributes:
        rung: with the settings that were taken.
        candidate: with held-out logits of the compared rows; None where it was not made.
        seconds: what it cost.
        note: what was noticed, or why there is none.
    """

    rung: Rung
    candidate: Candidate | None
    seconds: float
    note: str = ""


def climb(
    ground: Ground,
    rungs: Sequence[Rung],
    *,
    asked: bool = False,
    watch: Watch | None = None,
) -> Climbed:
    """Try methods, and keep what the guard keeps.

    Args:
        ground: what is learned from.
        rungs: what to try, in order.
        asked: the one rung was asked for: it is kept whatever the guard says, and the report says both.
        watch: who is told.

    Raises:
        HeadstartError: the method that was asked for cannot be had.
    """
    climb = _Climb(ground, watch or Watch(), asked)
    if not climb.parts:
        return climb.unjudged(rungs)
    return climb.judged(rungs)


def _others(n: int, part: np.ndarray) -> np.ndarray:
    return np.setdiff1d(np.arange(n), part)


def _of_probe(probe: Candidate, rows: np.ndarray) -> np.ndarray:
    """(m, k) the probe's held-out logits of some rows."""
    if probe.held_out_rows is None:
        return probe.held_out[rows]
    place = np.searchsorted(probe.held_out_rows, rows)
    return probe.held_out[np.minimum(place, len(probe.held_out) - 1)]


class _Climb:
    """One way up.

    Args:
        ground: what it stands on.
        watch: who is told.
        asked: the one rung was asked for.
    """

    def __init__(self, ground: Ground, watch: Watch, asked: bool) -> None:
        self.ground, self.watch, self.asked = ground, watch, asked
        self.parts: list[np.ndarray] = []
        self.heads: list[Head] = []  # the probe's from the other rows
        for part in held_out_parts(ground.folds, ground.probe.held_out_rows):
            self._hold_out(part)
        wide = held_out_parts(ground.folds, ground.probe.held_out_rows, WIDE)
        self.further = wide[len(self.parts) :]
        self.memory: dict[str, Any] = {}  # what methods prepared for each other
        self.folders: list[Path] = []
        self.given = [one for one in (ground.backbone, ground.student) if one]
        self.given += [ground.teacher[0]] if ground.teacher else []
        self.answer = 0.0  # seconds that the features of a new input take
        self.reserved = 0.0  # seconds for what leads to learn from all rows

    def judged(self, rungs: Sequence[Rung]) -> Climbed:
        """Every rung against the probe, on held-out rows; what is kept then learns from all rows."""
        ground, tried = self.ground, list[_Tried]()
        for rung in rungs:
            tried.append(self._try(rung))
            found = self._guarded(tried)
            leads = next((one for one in tried if one.rung.method == found.kept), None)
            self.reserved = self._all_rows(leads) if leads else 0.0
        for one in tried:
            if one.note:
                self.watch.say(f"{one.rung.method}: {one.note}")
        trials = _told(self._guarded(tried), tried, ground.probe, self.asked)
        chosen = next((one for one in tried if one.rung.method == trials.kept), None)
        if chosen is None or chosen.candidate is None:
            return Climbed(ground.probe, trials, folders=tuple(self.folders))
        final = self._final(chosen, chosen.candidate)
        judged = chosen.candidate.features
        return Climbed(final, trials, judged, self.parts[-1], tuple(self.folders))

    def _hold_out(self, part: np.ndarray) -> None:
        self.parts.append(part)
        self.heads.append(self.ground.solve(_others(len(self.ground.codes), part)))

    def _guarded(self, tried: Sequence[_Tried]) -> Trials:
        """What the guard says of the probe and what was tried so far."""
        probe, rows = self.ground.probe, np.concatenate(self.parts)
        entries = [Entry("probe", _of_probe(probe, rows), probe.seconds)]
        entries += [
            Entry(one.rung.method, one.candidate.held_out, one.seconds)
            for one in tried
            if one.candidate
        ]
        return guard(self.ground.codes[rows], entries, generator(self.ground.seed, 11))

    def unjudged(self, rungs: Sequence[Rung]) -> Climbed:
        """Where no row can be held out, nothing can be compared: the probe, unless another was asked for."""
        ground = self.ground
        if not self.asked:
            self.watch.say("no row can be held out to judge by: the probe is kept")
            return Climbed(ground.probe, None)
        made = self._run(rungs[0], np.empty(0, np.int64), ground.probe.head, self._left())
        blank = np.full((len(ground.codes), ground.n_classes), np.nan, np.float32)
        made = replace(made, held_out=blank, held_out_rows=None)
        return Climbed(made, None, made.features, folders=tuple(self.folders))

    def _try(self, rung: Rung) -> _Tried:
        """One rung: measured, begun where it fits, and its answers for the held-out rows."""
        began = time.monotonic()
        try:
            rung, note = self._fitting(rung)
            made = None if note else self._over_parts(rung)
        except (BackboneError, DataError) as error:
            if self.asked:
                raise
            made, note = None, error.message
        if made is not None:
            note = " ".join(made.notes)
            if made.chosen.get("epochs") == 0:
                made, note = None, note or "not one epoch fits into the time left"
        return _Tried(rung, made, time.monotonic() - began, note)

    def _fitting(self, rung: Rung) -> tuple[Rung, str]:
        """The rung with as much of the backbone as fits the time left, or why nothing does."""
        ground = self.ground
        if ground.until is None or rung.fixed:
            return rung, ""  # a training plans its epochs itself
        shares = (1.0, *_SHALLOWER)
        ways = [replace(rung.config, depth=share * rung.config.depth) for share in shares]
        for config in ways:
            begun = replace(rung, config=config)
            if _begun(_folder(ground, begun, self.parts[0])):  # a fit that was cut off goes on
                while self.further and _begun(_folder(ground, begun, self.further[0])):
                    self._hold_out(self.further.pop(0))
                self.further = []
                return begun, ""
        first = self._material(ground, self.parts[0], self.heads[0], 0.0, None)
        cost = measured(first, rung.config)
        self.answer = cost.answer
        left = self._left() - self.reserved
        epochs = min(_EPOCHS, rung.config.epochs) * self._trainings(rung, 0)
        for config, share in zip(ways, shares):
            if cost.prepare + epochs * cost.at(share).epoch <= left:
                self._widen(rung, cost.at(share), left)
                return replace(rung, config=config), ""
        return rung, (
            f"not begun: {cost.prepare:.0f} s to prepare and {cost.epoch:.0f} s an epoch, with"
            f" {max(left, 0):.0f} s left"
        )

    def _widen(self, rung: Rung, cost: Cost, left: float) -> None:
        """Hold out further rows where all of a training fits so often: the first rung decides for all."""
        while self.further:
            epochs = rung.config.epochs * (1 + self._trainings(rung, 0))
            if cost.prepare + epochs * cost.epoch > _JUDGING * left:
                break
            self._hold_out(self.further.pop(0))
        self.further = []

    def _over_parts(self, rung: Rung) -> Candidate:
        """The last part's candidate, with the held-out logits of all parts in their order."""
        made: list[Candidate] = []
        for number, (part, head) in enumerate(zip(self.parts, self.heads)):
            left = (self._left() - self.reserved) / self._trainings(rung, number)
            made.append(self._run(rung, part, head, left))
        least = min(made, key=lambda one: one.chosen.get("epochs", 1))
        return replace(
            made[-1],
            chosen=least.chosen if not least.chosen.get("epochs", 1) else made[-1].chosen,
            held_out=np.concatenate([one.held_out for one in made]),
            held_out_rows=np.concatenate(self.parts),
            notes=tuple(dict.fromkeys(note for one in made for note in one.notes)),
        )

    def _trainings(self, rung: Rung, done: int) -> float:
        """How many more a rung needs; the one on all rows among them, where no time is reserved for it."""
        left = len(self.parts) - done
        return left if self.reserved else left + _AGAIN * _share(rung, rung.config.epochs)

    def _all_rows(self, one: _Tried) -> float:
        """Seconds to learn from all rows what was tried: as before, or some more of its epochs."""
        if one.candidate is None or not one.rung.config.goes_on or not one.candidate.history:
            return _AGAIN * one.seconds / len(self.parts)
        history = one.candidate.history
        return _AGAIN * _further(len(history)) * history[-1].seconds / len(history)

    def _final(self, one: _Tried, trial: Candidate) -> Candidate:
        """The kept method with all rows; where the time is short, as it was judged."""
        ground, name, left = self.ground, one.rung.method, self._left()
        if left < self._all_rows(one):
            self.watch.say(
                f"{name}: no time left to learn from the held-out rows as well; the model that was"
                " judged is kept"
            )
            return trial
        self.watch.say(f"{name}: learning from all rows")
        config, head = one.rung.config, ground.probe.head
        epochs = max(int(trial.chosen.get("best", 0)), 1)
        before = 0
        if config.goes_on and trial.backbone:
            before, epochs = epochs, _further(epochs)
            config = replace(config, lr=_SLOWER * float(trial.chosen["lr"]))
            ground, head = replace(ground, backbone=trial.backbone), trial.head
        rung = replace(one.rung, config=replace(config, epochs=epochs))
        final = self._run(rung, np.empty(0, np.int64), head, left, ground)
        if final.chosen.get("epochs") == 0:
            return trial
        learned = before + int(final.chosen.get("epochs", 0))
        return replace(
            final,
            chosen={**final.chosen, "epochs": learned, "best": learned} if before else final.chosen,
            held_out=trial.held_out,
            held_out_rows=trial.held_out_rows,
            history=trial.history,
            notes=(*trial.notes, *final.notes),
        )

    def _run(
        self, rung: Rung, held: np.ndarray, head: Head, budget: float, ground: Ground | None = None
    ) -> Candidate:
        ground = ground or self.ground
        folder = _folder(ground, rung, held)
        if folder:
            self.folders.append(folder)
        material = self._material(ground, held, head, budget, folder)
        planned = rung.config.epochs

        def progress(epoch: Epoch) -> None:
            left = epoch.seconds / (epoch.epoch + 1) * max(planned - epoch.epoch - 1, 0)
            if material.budget:
                left = min(left, max(material.budget - epoch.seconds, 0.0))
            self.watch.epoch(rung.method, epoch, planned, left)

        try:
            made: Candidate = TUNING.get(rung.method)(
                material, rung.config, say=self.watch.say, progress=progress
            )
        except (KeyboardInterrupt, SystemExit):
            if _begun(folder):
                self.watch.say(
                    f"{rung.method}: stopped; the training is kept, and the same fit goes on from there"
                )
            raise
        graphs = {one.graph for one in (*self.given, ground.backbone)}
        if made.backbone and made.backbone.graph not in graphs:
            self.folders.append(made.backbone.graph.parent)  # on the shelf, until it is in a bundle
        return made

    def _left(self) -> float:
        """Seconds for the ladder from now on; endless without a budget."""
        ground = self.ground
        if ground.until is None:
            return float("inf")
        rest = ground.after + ground.waiting * self.answer
        return _SPARE * (ground.until - time.monotonic() - rest)

    def _material(
        self, ground: Ground, held: np.ndarray, head: Head, budget: float, folder: Path | None
    ) -> Material:
        return Material(
            inputs=ground.inputs,
            codes=ground.codes,
            n_classes=ground.n_classes,
            held=held,
            backbone=ground.backbone,
            head=head,
            seed=ground.seed,
            budget=0.0 if budget == float("inf") else max(budget, 1.0),
            folder=folder,
            prepared=self.memory,
            spare=ground.spare,
            student=ground.student,
            teacher=ground.teacher,
        )


def _folder(ground: Ground, rung: Rung, held: np.ndarray) -> Path | None:
    """Where this very training is kept until the fit is done."""
    if not ground.identity:
        return None
    name = hash_parts(
        [
            ground.identity,
            ground.backbone.graph_id,
            *_of_teacher(ground),
            rung.method,
            hash_json(dataclasses.asdict(rung.config)),
            held.astype("<i8").tobytes(),
            str(ground.seed),
        ]
    )
    return cache_dir() / "training" / name[:32]


def _of_teacher(ground: Ground) -> list[str | bytes]:
    """What tells one teacher from another."""
    if ground.teacher is None:
        return []
    backbone, head = ground.teacher
    return [backbone.graph_id, head.weight.tobytes(), head.bias.tobytes()]


def _further(epochs: int) -> int:
    """For how long what was judged goes on."""
    return math.ceil(_FURTHER * epochs)


def _share(rung: Rung, epochs: int) -> float:
    """What learning from all rows takes of the epochs of a training."""
    return _further(max(epochs, 1)) / max(epochs, 1) if rung.config.goes_on else 1.0


def _begun(folder: Path | None) -> bool:
    """Whether a training was begun there and not finished with."""
    return folder is not None and (folder / "state" / "state.json").exists()


def _told(found: Trials, tried: Sequence[_Tried], probe: Candidate, asked: bool) -> Trials:
    """The guard's findings, with what was not tried, notes and histories."""
    known = {one.method: one for one in found.tried}
    told = [replace(known["probe"], chosen=dict(probe.chosen))]
    for one in tried:
        trial = known.get(one.rung.method) if one.candidate is not None else None
        trial = trial or Trial(one.rung.method, one.seconds)
        made = one.candidate
        told.append(
            replace(
                trial,
                note=one.note,
                chosen=dict(made.chosen) if made else {},
                history=made.history if made else (),
            )
        )
    wished = [one.rung.method for one in tried if one.candidate and asked]
    kept = wished[0] if wished else found.kept
    return replace(found, tried=tuple(told), kept=kept, asked=kept != found.kept)
