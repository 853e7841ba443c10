"""What to try within a budget, in which order, and what to keep.

The probe stands at the foot. Each rung is a method that changes the backbone's weights; it is begun only
where a few measured steps say that it fits the time that is left, and with as much of the backbone as fits.
Every candidate answers the same held-out rows, and the guard keeps the probe unless another beats it by more
than noise. The trainings that were judged, each with other rows held out, then become one network
(`headstart.train.soup`), and more of them where the time allows; or what was judged learns from all rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.clock import Clock
from headstart.compute import generator
from headstart.errors import BackboneError, DataError
from headstart.evaluation.guard import Entry, guard, least_lead
from headstart.ladder import (
    WIDE,
    Climbed,
    Ground,
    Rung,
    Watch,
    begun,
    folder_of,
    held_out_parts,
    judges,
    note_judges,
)
from headstart.methods import TUNING
from headstart.scores import Trials
from headstart.train.costs import Cost, measured
from headstart.train.material import Material
from headstart.train.preparing import answers, prepared
from headstart.train.soup import mean_of
from headstart.tried import Tried, joined, told_of, with_trainings
from headstart.types import Candidate, Epoch, Head

_EPOCHS = 3  # that have to fit, or a method is not begun
_AGAIN = 1.3  # a training on all rows takes so many times the one on four fifths
_ANOTHER = 1.1  # one with other rows held out takes so many times the one before, at most
_SHORTER = 0.6  # of the time of the first is enough for the second: it learns for fewer epochs
_FURTHER = 0.25  # of the epochs, when what was judged goes on with all rows
_SLOWER = 0.25  # of the learning rate, then
_JUDGING = 0.8  # of the time left may go into holding out further rows
_HOPED = 0.15  # no method has led by more on rows that it had not seen
_SHALLOWER = (0.5, 0.25)  # of the tuned layers, where all of them take too long
_UNFINISHED = "No epoch was finished in the time left."


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
        self.every = held_out_parts(ground.folds, ground.probe.held_out_rows, len(ground.codes))
        self.memory: dict[str, Any] = {}  # what methods prepared for each other
        self.folders: list[Path] = []
        self.given = [one for one in (ground.backbone, ground.student) if one]
        self.given += [ground.teacher[0]] if ground.teacher else []
        self.clock = Clock(ground)
        self.another = True  # a training beside a single one is planned, for a mean
        self.leads: Tried | None = None  # beyond noise, of what was tried so far
        self.reserved = 0.0  # seconds for it to learn from all rows

    def judged(self, rungs: Sequence[Rung]) -> Climbed:
        """Every rung against the probe, on held-out rows; what is kept then learns from all rows."""
        ground, tried = self.ground, list[Tried]()
        few = self._too_few(len(rungs))
        for rung in rungs:
            tried.append(Tried(rung, None, 0.0, few) if few else self._try(rung))
            found = self._guarded(tried)
            self.leads = next((one for one in tried if one.rung.method == found.kept), None)
            self.reserved = self._all_rows(self.leads) if self.leads else 0.0
        for note in dict.fromkeys(one.note for one in tried if one.note):
            names = ", ".join(one.rung.method for one in tried if one.note == note)
            self.watch.say(f"{names}: {note}")
        trials = told_of(self._guarded(tried), tried, ground.probe, self.asked)
        chosen = next((one for one in tried if one.rung.method == trials.kept), None)
        if chosen is None or chosen.candidate is None:
            return Climbed(ground.probe, trials, folders=tuple(self.folders))
        trial = chosen.candidate
        final = self._final(chosen, trial)
        trials = with_trainings(trials, final)
        ships = self._featured(chosen.rung, final)
        judged = ships if final is trial else None
        if ground.judged and judged is None:
            judged = self._featured(chosen.rung, trial)
        return Climbed(ships, trials, judged, self.parts[-1], tuple(self.folders))

    def _too_few(self, others: int) -> str:
        """Why nothing is tried where the held-out rows could not tell even what it may bring at best."""
        rows = sum(map(len, self.parts))
        lead = least_lead(rows, others)
        if self.asked or lead <= _HOPED:
            return ""
        return f"not tried: {rows} rows to judge by tell no lead under {100 * lead:.0f} points from noise"

    def _featured(self, rung: Rung, made: Candidate) -> Candidate:
        """What a rung made, with the features of the rows that are looked at."""
        if made.features is not None or made.backbone is None:
            return made
        rows = self.clock.looked_at(self.parts[-1])
        self.watch.say(f"{rung.method}: features of {len(rows):,} rows by the tuned network")
        material = self._material(self.ground, np.empty(0, np.int64), made.head, 0.0, None)
        features = answers(material, made.backbone, rung.config, rows)
        return replace(made, features=features, feature_rows=rows)

    def _hold_out(self, part: np.ndarray) -> None:
        self.parts.append(part)
        self.heads.append(self.ground.solve(_others(len(self.ground.codes), part)))

    def _guarded(self, tried: Sequence[Tried]) -> Trials:
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
        made = self._run(rungs[0], np.empty(0, np.int64), ground.probe.head, self.clock.left())
        blank = np.full((len(ground.codes), ground.n_classes), np.nan, np.float32)
        made = replace(made, held_out=blank, held_out_rows=None)
        made = self._featured(rungs[0], made)
        return Climbed(made, None, made, folders=tuple(self.folders))

    def _try(self, rung: Rung) -> Tried:
        """One rung: measured, begun where it fits, and its answers for the held-out rows."""
        began, made = time.monotonic(), list[Candidate]()
        try:
            rung, note = self._fitting(rung)
            made = [] if note else self._over_parts(rung)
        except (BackboneError, DataError) as error:
            if self.asked:
                raise
            note = error.message
        seconds = time.monotonic() - began
        if not made:
            return Tried(rung, None, seconds, note)
        whole = joined(made)
        note = " ".join(whole.notes)
        if whole.chosen.get("epochs") == 0:
            if note and "one epoch fits" not in note:
                note += " " + _UNFINISHED
            return Tried(rung, None, seconds, note or "not one epoch fits into the time left")
        return Tried(rung, whole, seconds, note, tuple(made))

    def _fitting(self, rung: Rung) -> tuple[Rung, str]:
        """The rung with as much of the backbone as fits the time left, or why nothing does."""
        ground = self.ground
        if ground.until is None or rung.fixed:
            return rung, ""  # a training plans its epochs itself
        # beside a method that leads, a shallow second one would only take its time
        shares = (1.0,) if self.leads else (1.0, *_SHALLOWER)
        ways = [replace(rung.config, depth=share * rung.config.depth) for share in shares]
        first = self._material(ground, self.parts[0], self.heads[0], 0.0, None)
        cost = measured(first, rung.config)
        self.clock.measured(cost)
        for config in ways:
            before = replace(rung, config=config)
            folder = folder_of(ground, before, self.parts[0])
            if begun(folder):  # a fit that was cut off goes on
                for part in self.further[: max(judges(folder) - len(self.parts), 0)]:
                    self._hold_out(part)
                self.further = []
                return before, ""
        left = self.clock.left() - self.reserved
        epochs = min(_EPOCHS, rung.config.epochs)
        for config, share in zip(ways, shares):
            for self.another in (True, False):  # rather than less of the backbone
                trainings = self._trainings(rung, 0)
                if cost.prepare + epochs * trainings * cost.at(share).epoch <= left:
                    self._widen(rung, cost.at(share), left)
                    return replace(rung, config=config), ""
        return rung, (
            f"not begun: {cost.prepare:.0f} s to prepare and {cost.epoch:.0f} s an epoch, with"
            f" {max(left, 0):.0f} s left"
        )

    def _widen(self, rung: Rung, cost: Cost, left: float) -> None:
        """Hold out further rows where all of a training fits so often: the first rung decides for all."""
        while self.further:
            trainings = len(self.parts) + 1 + (0.0 if rung.config.goes_on else _AGAIN)
            epochs = rung.config.epochs * trainings
            if cost.prepare + epochs * cost.epoch > _JUDGING * left:
                break
            self._hold_out(self.further.pop(0))
        self.further = []

    def _over_parts(self, rung: Rung) -> list[Candidate]:
        """A training for each part, whose rows it holds out."""
        made: list[Candidate] = []
        note_judges(folder_of(self.ground, rung, self.parts[0]), len(self.parts))
        if rung.config.prepares:  # or it would all come off the first one's time
            first = self._material(self.ground, self.parts[0], self.heads[0], 0.0, None)
            prepared(first, rung.config, self.watch.say)
        for number, (part, head) in enumerate(zip(self.parts, self.heads)):
            left = (self.clock.left() - self.reserved) / self._trainings(rung, number)
            self._announce(rung, number)
            made.append(self._run(rung, part, head, left))
            if made[-1].chosen.get("epochs") == 0:
                break  # nor would the others have the time
        return made

    def _announce(self, rung: Rung, number: int) -> None:
        if number:
            self.watch.say(f"{rung.method}: training {number + 1}, with other rows held out")

    def _trainings(self, rung: Rung, done: int) -> float:
        """How many more a rung needs, with what follows those that are judged, where no time is reserved for it."""
        return len(self.parts) - done + (0.0 if self.reserved else self._following(rung))

    def _following(self, rung: Rung) -> float:
        """How many more trainings it takes until all rows are in what was judged."""
        if not rung.config.goes_on:
            return _AGAIN
        if len(self.parts) > 1:
            return 0.0
        return _ANOTHER if self.another else _AGAIN * _FURTHER

    def _all_rows(self, one: Tried) -> float:
        """Seconds until all rows are in what was tried."""
        if not one.rung.config.goes_on:
            return _AGAIN * one.seconds / len(self.parts)
        return self._following(one.rung) * _trained(one)

    def _final(self, one: Tried, trial: Candidate) -> Candidate:
        """The kept method with all rows; where the time is short, as it was judged."""
        if one.rung.config.goes_on and (mean := self._mean(one)):
            return mean
        ground, name, left = self.ground, one.rung.method, self.clock.left()
        further = _AGAIN * _FURTHER * _trained(one)
        if left < (further if one.rung.config.goes_on else self._all_rows(one)):
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
            config = replace(config, lr=_SLOWER * float(trial.chosen["lr"]), keep=0.0)
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

    def _mean(self, one: Tried) -> Candidate | None:
        """The mean of the trainings that hold out rows in turn: where time is left, of more than were judged."""
        ground, rung, made = self.ground, one.rung, list(one.made)
        each = _trained(one)
        for part in self.every[len(made) :]:
            left = self.clock.left()
            least = _ANOTHER if len(made) > 1 else _SHORTER
            if least * each > left or (ground.until is None and len(made) > 1):
                break
            head = ground.solve(_others(len(ground.codes), part))
            self._announce(rung, len(made))
            another = self._run(rung, part, head, left)
            if not another.history:
                break
            made.append(another)
        if len(made) < 2:
            return None
        whole = self._material(ground, np.empty(0, np.int64), ground.probe.head, 0.0, None)
        mean = mean_of(joined(made), made, whole, rung.config, self.clock.looked_at(self.parts[-1]))
        if mean is None:
            return None
        self._on_shelf(mean, ground)
        self.watch.say(f"{rung.method}: the mean of the weights of {len(made)} trainings ships")
        return replace(mean, chosen={**mean.chosen, "trainings": len(made)})

    def _run(
        self, rung: Rung, held: np.ndarray, head: Head, budget: float, ground: Ground | None = None
    ) -> Candidate:
        ground = ground or self.ground
        folder = folder_of(ground, rung, held)
        if folder:
            self.folders.append(folder)
        material = self._material(ground, held, head, budget, folder)

        def progress(epoch: Epoch, planned: int) -> None:
            left = epoch.seconds / (epoch.epoch + 1) * max(planned - epoch.epoch - 1, 0)
            if material.budget:
                left = min(left, max(material.budget - epoch.seconds, 0.0))
            self.watch.epoch(rung.method, epoch, planned, left)

        try:
            made: Candidate = TUNING.get(rung.method)(
                material, rung.config, say=self.watch.say, progress=progress
            )
        except (KeyboardInterrupt, SystemExit):
            if begun(folder):
                self.watch.say(
                    f"{rung.method}: stopped; the training is kept, and the same fit goes on from there"
                )
            raise
        self._on_shelf(made, ground)
        return made

    def _on_shelf(self, made: Candidate, ground: Ground) -> None:
        """A graph that was made lies on the shelf until it is in a bundle."""
        graphs = {one.graph for one in (*self.given, ground.backbone)}
        if made.backbone and made.backbone.graph not in graphs:
            self.folders.append(made.backbone.graph.parent)

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


def _further(epochs: int) -> int:
    """For how long what was judged goes on."""
    return math.ceil(_FURTHER * epochs)


def _trained(one: Tried) -> float:
    """Seconds of the longest of its trainings."""
    return max(training.history[-1].seconds for training in one.made)
