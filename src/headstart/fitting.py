"""One call of `fit`: the rooms in their order, from a table to a bundle that was checked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.backbones.choose import backbone_for
from headstart.compute import generator
from headstart.config import seconds
from headstart.data import doctor, leaking
from headstart.data import split as splitting
from headstart.data import table as tables
from headstart.data.sources import columns_of
from headstart.errors import DataError
from headstart.evaluation import baselines, duplicates
from headstart.evaluation.measure import measure
from headstart.features.extract import How, rows_of
from headstart.features.precision import settle
from headstart.features.prints import prints
from headstart.features.store import Store
from headstart.fit_backbone import Rows, better
from headstart.fit_bundle import Fitted, bundled, report_of
from headstart.fit_config import FitConfig
from headstart.fit_learn import Learning, Lesson, checked, tunes
from headstart.fit_rows import (
    Learned,
    Measured,
    joined,
    look,
    same_place,
    targets,
    test_rows,
    unseen,
)
from headstart.model import Model
from headstart.runtime.decide import probabilities, reasons
from headstart.runtime.familiar import familiarity as alike
from headstart.scores import Evaluation
from headstart.solver_rows import rotate
from headstart.stages import Stages, readable
from headstart.types import Backbone, Features, Finding, Input, Split, Table


@dataclass(frozen=True)
class _Seen:
    """What a backbone makes of the rows.

    Attributes:
        backbone: that makes it; for some precisions with another graph than it came with.
        how: it is computed for what is learned from.
        table: readable rows.
        features: of them.
        tested: readable rows of test data that was given; None where none was.
        test_features: of them, in full, as the bundle will compute them.
        spare: readable inputs without labels.
        precise: what the precision costs.
    """

    backbone: Backbone
    how: How
    table: Table
    features: Features
    tested: Table | None
    test_features: Features | None
    spare: Sequence[Input]
    precise: tuple[Finding, ...]


class Fitting:
    """One call of `fit`: the rooms in their order."""

    def __init__(self, config: FitConfig, stages: Stages, title: str) -> None:
        self.config, self.stages, self.title = config, stages, title

    def run(self, data: Any, test: Any) -> Model:
        """Fit and measure; the model lies in a temporary bundle that was checked.

        Args:
            data: what to learn from, as for `headstart.fit`.
            test: what to measure on, or None.

        Raises:
            HeadstartError: with what is wrong, where, and how to mend it.
        """
        config = self.config
        checked(config)
        allowed = seconds(config.budget)
        began = time.monotonic()
        until = began + allowed if allowed else None
        with self.stages.enter("read"):
            table, given = self._read(data, test)
        for sentence in table.notes:  # the guess is shown before the work, not after it
            self.stages.say(sentence)
        with self.stages.enter("backbone"):
            backbone = backbone_for(
                table,
                config.backbone,
                offline=config.offline,
                say=self.stages.say,
                pretrained=not config.no_pretrained,
                seed=config.seed,
            )
        if backbone.why:
            self.stages.say(f"{backbone.name}: {backbone.why}")
        store = Store()
        seen = self._see(table, given, backbone, store)
        with self.stages.enter("split"):
            looks = prints(seen.table, store)
            exact = doctor.duplicate_groups(seen.table)
            groups = joined(
                duplicates.near_groups(seen.table, seen.features.values, prints=looks, exact=exact),
                seen.table.groups,
            )
            split = splitting.make_split(
                seen.table,
                groups=groups,
                seed=config.seed,
                test_size=config.test_size,
                with_test=given is None,
            )
        if until is not None and config.backbone == "auto" and config.start is None:
            seen = self._better(seen, given, split, groups, store, until)
        backbone, table, features, less = seen.backbone, seen.table, seen.features, seen.how
        tested, test_features = seen.tested, seen.test_features
        how = self._how()
        test_looks = None
        if tested is None or test_features is None:
            tested, test_features = table.take(split.test), rows_of(features, split.test)
            test_looks = None if looks is None else looks[split.test]
            if less != how:
                tested, test_features = self._extract(tested, backbone, store, how)
        elif looks is not None:
            test_looks = prints(tested, store)
        learning = Learning(config, self.stages, backbone, began, until, seen.spare)
        train_features = rows_of(features, split.train)
        learned = Learned(
            table.take(split.train),
            train_features,
            # the probe and the learning curve share what the solver makes of the features
            rotate(train_features.values) if learning.plain else None,
            split,
            groups[split.train],
            None if looks is None else looks[split.train],
        )
        measured = Measured(tested, test_features, test_looks)
        with self.stages.enter("fit"):
            lesson = learning.learn(learned, len(tested))
        task, candidate = lesson.task, lesson.candidate
        with self.stages.enter("doctor"):
            columns = None if data is table else columns_of(data)
            twins, about = look(learned, measured, lesson.probe, task)
            findings = (
                *leaking.leaking_columns(columns, table),
                *doctor.examine(table, exact),
                *(doctor.pictures(table, looks) if looks is not None else ()),
                *about,
                *seen.precise,
                *features.findings,
            )
        answered = test_features.values
        if candidate.backbone is not None:
            backbone = candidate.backbone
            with self.stages.enter("features"):  # of what ships
                _, answers = self._extract(tested, backbone, store, how)
            answered = answers.values
        with self.stages.enter("evaluate"):
            logits = answered @ candidate.head.weight + candidate.head.bias
            evaluation = self._evaluate(lesson, learned, measured, answered, logits, twins)
            if config.curve:
                evaluation = replace(evaluation, learning=learning.curve(learned, lesson))
        if config.compare_scratch:
            with self.stages.enter("scratch"):
                evaluation = replace(evaluation, transfer=learning.transfer(learned, lesson))
        if config.repeats and candidate is lesson.probe:
            with self.stages.enter("repeats"):
                found = learning.repeats(table, features, groups, task)
                evaluation = replace(evaluation, repeats=found)
        fitted = Fitted(
            table,
            split,
            tested,
            (*features.skipped, *(test_features.skipped if given else ())),
            backbone,
            candidate,
            task,
            lesson.decision,
            evaluation,
            findings,
            lesson.reference,
            logits,
            {
                "engine": features.engine or "store",
                "precision": "int8" if config.precision == "int8" else less.precision,
            },
        )
        with self.stages.enter("report"):
            report = report_of(fitted, self.title, self.stages.seconds)
        with self.stages.enter("save"):
            model = bundled(fitted, report, config, self.stages.seconds)
        lesson.done()
        return model

    def _read(self, data: Any, test: Any) -> tuple[Table, Table | None]:
        config = self.config
        table = data
        if not isinstance(data, Table):
            table = tables.read(
                data,
                input=config.input,
                target=config.target,
                split=config.split,
                group=config.group,
                time=config.time,
            )
        if test is None:
            return table, None
        if same_place(data, test):
            raise DataError(
                f"The test data is the training data: {test}.",
                fix="give other data with --test, or leave it out: rows are then held out",
            )
        if isinstance(test, Table):
            return table, test_rows(test)
        roles = table.roles
        tabular = roles.input != "file" or roles.target != "folder"
        given = tables.read(
            test,
            input=roles.input if tabular else None,
            target=roles.target if tabular else None,
            modality=table.modality,
        )
        return table, test_rows(given)

    def _how(self) -> How:
        return How(self.config.engine, cluster=self.config.cluster or "")

    def _see(self, table: Table, given: Table | None, backbone: Backbone, store: Store) -> _Seen:
        """Features of all that a fit needs."""
        how = self._how()
        with self.stages.enter("features"):
            backbone, less, precise = settle(
                table, backbone, store, how, self.config.precision, self.stages.say
            )
            table, features = self._extract(table, backbone, store, less)
            tested, test_features = (
                self._extract(given, backbone, store, how) if given else (None, None)
            )
            spare = self._spare(table, backbone, store, less)
            store.trim()
        return _Seen(backbone, less, table, features, tested, test_features, spare, tuple(precise))

    def _better(
        self, seen: _Seen, given: Table | None, split: Split, groups: np.ndarray, store: Store,
        until: float,
    ) -> _Seen:  # fmt: skip
        """The same by a larger starter, where the rows that are learned from say that it is better."""
        train = split.train
        waiting = len(seen.table) + len(given or ()) + len(seen.spare)
        rows = Rows(seen.table.take(train), seen.features.values[train], groups[train], waiting)
        with self.stages.enter("backbone"):
            found = better(
                rows,
                seen.backbone,
                self.config,
                until,
                store,
                self.stages,
                tuned=tunes(self.config),
            )
        if found is None:
            return seen
        self.stages.say(f"{found.name}: {found.why}")
        return self._see(seen.table, given, found, store)

    def _extract(
        self, table: Table, backbone: Backbone, store: Store, how: How
    ) -> tuple[Table, Features]:
        """Features of the readable rows, and the table without the others."""
        rows, features = readable(table, backbone, store, how, self.stages)
        return table.take(rows), features

    def _spare(self, table: Table, backbone: Backbone, store: Store, how: How) -> Sequence[Input]:
        """Readable inputs without labels."""
        if self.config.unlabelled is None:
            return ()
        found = tables.read_inputs(
            [self.config.unlabelled], modality=table.modality, input=self.config.input
        )
        return self._extract(found, backbone, store, how)[0].inputs

    def _evaluate(
        self,
        lesson: Lesson,
        learned: Learned,
        measured: Measured,
        features: np.ndarray,
        logits: np.ndarray,
        twins: np.ndarray,
    ) -> Evaluation:
        task, decision, tested = lesson.task, lesson.decision, measured.table
        split = learned.split
        codes, test_codes = task.encode(targets(learned.table)), task.encode(targets(tested))
        p = probabilities(logits, decision)  # scaling can change labels
        rivals = baselines.run(
            learned.table,
            codes,
            learned.features.values,
            tested,
            test_codes,
            measured.features.values,
            task.labels,
            rng=generator(self.config.seed, 1),
            model=p.argmax(axis=1),
        )
        given = not len(split.test)
        withheld = None
        if decision.abstain_below > 0 or decision.familiar_above is not None:
            withheld = reasons(p, decision, alike(lesson.reference, features, p))
        evaluation = measure(
            p,
            test_codes,
            task.labels,
            split="test" if given else split.name,
            protocol=f"the test data given: {tested.source}" if given else split.protocol,
            rng=generator(self.config.seed, 2),
            decision=decision,
            baselines=rivals,
            skipped=(*tested.skipped, *measured.features.skipped) if given else (),
            unseen=unseen(tested, task),
            logits=logits,
            withheld=withheld,
            leaked=twins,
        )
        return replace(evaluation, trials=lesson.trials)
