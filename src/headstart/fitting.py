"""One call of `fit`: the rooms in their order, from a table to a bundle that was checked."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from headstart.backbones.choose import backbone_for
from headstart.bundle.earlier import known_head
from headstart.compute import generator
from headstart.data import doctor, leaking
from headstart.data import split as splitting
from headstart.data import table as tables
from headstart.data.sources import columns_of
from headstart.errors import DataError
from headstart.evaluation import baselines, calibrate, duplicates, familiarity
from headstart.evaluation.learning import learning_curve
from headstart.evaluation.measure import measure
from headstart.evaluation.repeats import repeats
from headstart.features.extract import How, rows_of
from headstart.features.precision import settle
from headstart.features.prints import prints
from headstart.features.store import Store
from headstart.fit_bundle import Fitted, bundled, report_of
from headstart.fit_config import FitConfig
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
from headstart.methods import METHODS
from headstart.model import Model
from headstart.runtime.decide import probabilities, reasons
from headstart.runtime.familiar import Reference
from headstart.runtime.familiar import familiarity as alike
from headstart.scores import Evaluation, LearningCurve, Repeats
from headstart.solver_rows import rotate
from headstart.stages import Stages, readable
from headstart.tasks.classification import Classification
from headstart.types import Backbone, Candidate, Decision, Features, Head, Table


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
            )
        if backbone.why:
            self.stages.say(f"{backbone.name}: {backbone.why}")
        with self.stages.enter("features"):
            store = Store()
            how = How(config.engine, cluster=config.cluster or "")
            backbone, less, precise = settle(
                table, backbone, store, how, config.precision, self.stages.say
            )
            table, features = self._extract(table, backbone, store, less)
            # what is measured is computed in full, as the bundle will compute it
            tested, test_features = (
                self._extract(given, backbone, store, how) if given else (None, None)
            )
            store.trim()
        with self.stages.enter("split"):
            looks = prints(table, store)
            exact = doctor.duplicate_groups(table)
            groups = joined(
                duplicates.near_groups(table, features.values, prints=looks, exact=exact),
                table.groups,
            )
            split = splitting.make_split(
                table,
                groups=groups,
                seed=config.seed,
                test_size=config.test_size,
                with_test=tested is None,
            )
        test_looks = None
        if tested is None or test_features is None:
            tested, test_features = table.take(split.test), rows_of(features, split.test)
            test_looks = None if looks is None else looks[split.test]
            if less != how:
                tested, test_features = self._extract(tested, backbone, store, how)
        elif looks is not None:
            test_looks = prints(tested, store)
        train_features = rows_of(features, split.train)
        learned = Learned(
            table.take(split.train),
            train_features,
            # the probe and the learning curve share what the solver makes of the features
            rotate(train_features.values) if self._method()[0] == "probe" else None,
            split,
            groups[split.train],
            None if looks is None else looks[split.train],
        )
        measured = Measured(tested, test_features, test_looks)
        with self.stages.enter("fit"):
            candidate, task, decision, reference = self._learn(learned, backbone)
        with self.stages.enter("doctor"):
            columns = None if data is table else columns_of(data)
            twins, about = look(learned, measured, candidate, task)
            findings = (
                *leaking.leaking_columns(columns, table),
                *doctor.examine(table, exact),
                *(doctor.pictures(table, looks) if looks is not None else ()),
                *about,
                *precise,
                *features.findings,
            )
        with self.stages.enter("evaluate"):
            logits = test_features.values @ candidate.head.weight + candidate.head.bias
            evaluation = self._evaluate(
                task, learned, measured, logits, candidate, decision, reference, twins
            )
        if config.repeats:
            with self.stages.enter("repeats"):
                evaluation = dataclasses.replace(
                    evaluation, repeats=self._repeats(table, features, groups, task)
                )
        fitted = Fitted(
            table,
            split,
            tested,
            (*features.skipped, *(test_features.skipped if given else ())),
            backbone,
            candidate,
            task,
            decision,
            evaluation,
            findings,
            reference,
            logits,
            {
                "engine": features.engine or "store",
                "precision": "int8" if config.precision == "int8" else less.precision,
            },
        )
        with self.stages.enter("report"):
            report = report_of(fitted, self.title, self.stages.seconds)
        with self.stages.enter("save"):
            return bundled(fitted, report, config, self.stages.seconds)

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

    def _extract(
        self, table: Table, backbone: Backbone, store: Store, how: How
    ) -> tuple[Table, Features]:
        """Features of the readable rows, and the table without the others."""
        rows, features = readable(table, backbone, store, how, self.stages)
        return table.take(rows), features

    def _learn(
        self, learned: Learned, backbone: Backbone
    ) -> tuple[Candidate, Classification, Decision, Reference]:
        config, features, folds = self.config, learned.features.values, learned.split.folds
        task = Classification.from_targets(targets(learned.table))
        codes = task.encode(targets(learned.table))
        name, settings = self._method()
        begin = {}
        if config.start is not None:
            known, chosen = known_head(config.start, backbone, task.labels)
            begin = {"start": known}
            if name == "probe" and not config.probe.penalty:
                settings = dataclasses.replace(
                    config.probe,
                    penalty=float(chosen.get("penalty", 0.0)),
                    class_weight=chosen.get("class_weight", "auto"),
                )
        source = features if learned.rows is None else learned.rows
        candidate: Candidate = METHODS.get(name)(
            source, codes, folds, len(task.labels), settings, **begin
        )
        decision = calibrate.calibrate(
            candidate.held_out,
            codes,
            coverage=config.coverage,
            folds=folds,
            rows=candidate.held_out_rows,
            sets=config.sets,  # type: ignore[arg-type]
            at_precision=config.at_precision or None,
            at_cost=config.at_cost or None,
        )
        reference = familiarity.reference_of(features, codes, learned.table.names, len(task.labels))
        if config.refuse:
            marked = np.array(learned.table.split or [""] * len(codes)) == "val"
            least = familiarity.threshold(
                features,
                codes,
                familiarity.judging(folds, marked),
                probabilities(candidate.held_out, decision),
                1 - config.refuse,
                rows=candidate.held_out_rows,
                weight=reference.weight,
            )
            decision = dataclasses.replace(decision, familiar_above=least)
        return candidate, task, decision, reference

    def _method(self) -> tuple[str, Any]:
        """The method's name and its settings."""
        name = "probe" if self.config.method == "auto" else self.config.method
        return name, getattr(self.config, name, None)

    def _evaluate(
        self,
        task: Classification,
        learned: Learned,
        measured: Measured,
        logits: np.ndarray,
        candidate: Candidate,
        decision: Decision,
        reference: Reference,
        twins: np.ndarray,
    ) -> Evaluation:
        tested, split = measured.table, learned.split
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
            withheld = reasons(p, decision, alike(reference, measured.features.values, p))
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
        if not self.config.curve:
            return evaluation
        return dataclasses.replace(
            evaluation, learning=self._curve(learned, codes, task, candidate)
        )

    def _curve(
        self, learned: Learned, codes: np.ndarray, task: Classification, candidate: Candidate
    ) -> LearningCurve:
        """What more labels would bring."""
        name, settings = self._method()
        chosen = candidate.chosen

        n = len(codes)

        def fit(
            features: Any, codes: np.ndarray, folds: np.ndarray, k: int, *, start: Head | None
        ) -> Candidate:
            given = settings
            if name == "probe":
                # relative to the mean loss: with fewer rows it has to be stronger
                penalty = chosen["penalty"] * 0.8 * n / len(codes)
                given = dataclasses.replace(
                    settings, penalty=penalty, class_weight=chosen["class_weight"]
                )
            made: Candidate = METHODS.get(name)(features, codes, folds, k, given, start=start)
            return made

        return learning_curve(
            learned.features.values,
            codes,
            learned.split.folds,
            len(task.labels),
            fit,
            generator(self.config.seed, 3),
            groups=learned.groups,
            rows=learned.rows,
            candidate=candidate,
        )

    def _repeats(
        self, table: Table, features: Features, groups: np.ndarray, task: Classification
    ) -> Repeats:
        """The same on further splits of the rows that are here."""
        name, settings = self._method()

        def fit(values: np.ndarray, codes: np.ndarray, folds: np.ndarray, k: int) -> Candidate:
            made: Candidate = METHODS.get(name)(values, codes, folds, k, settings)
            return made

        seeds = range(self.config.seed + 1, self.config.seed + 1 + self.config.repeats)
        return repeats(
            table, features.values, groups, len(task.labels), fit, seeds, self.config.test_size
        )
