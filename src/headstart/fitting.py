"""One call of `fit`: the rooms in their order, from a table to a bundle that was checked."""

from __future__ import annotations

import dataclasses
import datetime as dt
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import headstart
from headstart.backbones.choose import backbone_for
from headstart.bundle import save as bundle
from headstart.bundle.earlier import known_head
from headstart.compute import generator
from headstart.data import doctor
from headstart.data import split as splitting
from headstart.data import table as tables
from headstart.errors import DataError
from headstart.evaluation import baselines, calibrate
from headstart.evaluation.measure import measure
from headstart.features.extract import How, extract, rows_of
from headstart.features.precision import settle
from headstart.features.store import Store
from headstart.fit_config import FitConfig
from headstart.hashing import hash_parts
from headstart.methods import METHODS
from headstart.model import Model, Progress, TemporaryFolder
from headstart.report import card, content, mistakes, page
from headstart.runtime.decide import probabilities
from headstart.tasks.classification import Classification
from headstart.types import (
    Backbone,
    Candidate,
    Decision,
    Evaluation,
    Features,
    Finding,
    Split,
    Table,
)

_CHECKED_INPUTS = 16  # held-out inputs that a bundle is checked on


class Fitting:
    """One call of `fit`: the rooms in their order, with the time each took."""

    def __init__(self, config: FitConfig, progress: Progress, title: str) -> None:
        self.config, self.progress, self.title = config, progress, title
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Tell the user of a stage, and add its time to `seconds`."""
        started = time.perf_counter()
        self.progress(name, 0, 0)
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def run(self, data: Any, test: Any) -> Model:
        """Fit and measure; the model lies in a temporary bundle that was checked.

        Args:
            data: what to learn from, as for `headstart.fit`.
            test: what to measure on, or None.

        Raises:
            HeadstartError: with what is wrong, where, and how to mend it.
        """
        config = self.config
        with self.stage("read"):
            table, given = self._read(data, test)
        for sentence in table.notes:  # the guess is shown before the work, not after it
            self.progress(sentence, 0, 0)
        with self.stage("backbone"):
            backbone = backbone_for(
                table,
                config.backbone,
                offline=config.offline,
                say=self._say,
            )
        if backbone.why:
            self.progress(f"{backbone.name}: {backbone.why}", 0, 0)
        with self.stage("features"):
            store = Store()
            how = How(config.engine, cluster=config.cluster or "")
            backbone, less, precise = settle(
                table, backbone, store, how, config.precision, self._say
            )
            table, features = self._extract(table, backbone, store, less)
            # what is measured is computed in full, as the bundle will compute it
            tested, test_features = (
                self._extract(given, backbone, store, how) if given else (None, None)
            )
            store.trim()
        with self.stage("split"):
            duplicates = doctor.duplicate_groups(table)
            split = splitting.make_split(
                table,
                groups=_joined(duplicates, table.groups),
                seed=config.seed,
                test_size=config.test_size,
                with_test=tested is None,
            )
        if tested is None or test_features is None:
            tested, test_features = table.take(split.test), rows_of(features, split.test)
            if less != how:
                tested, test_features = self._extract(tested, backbone, store, how)
        train, train_features = table.take(split.train), rows_of(features, split.train)
        findings = (
            *doctor.examine(table, duplicates),
            *doctor.leaks(train, tested),
            *precise,
            *features.findings,
        )
        with self.stage("fit"):
            candidate, task, decision = self._learn(train, train_features, split, backbone)
        with self.stage("evaluate"):
            test_codes = task.encode(targets(tested))
            logits = test_features.values @ candidate.head.weight + candidate.head.bias
            evaluation = self._evaluate(
                task, train, train_features, tested, test_features, logits, decision, split
            )
        with self.stage("report"):
            report = content.build(
                title=self.title or _title(table),
                table=table,
                split=split,
                test=tested,
                features_skipped=(*features.skipped, *(test_features.skipped if given else ())),
                backbone=backbone,
                candidate=candidate,
                evaluation=evaluation,
                decision=decision,
                findings=findings,
                mistakes=mistakes.worst(
                    tested, probabilities(logits, decision), test_codes, task.labels
                ),
                seconds=dict(self.seconds),
                command=_command(),
                version=headstart.__version__,
                created=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            )
        with self.stage("save"):
            return self._bundle(
                report,
                table,
                tested,
                backbone,
                candidate,
                task,
                decision,
                evaluation,
                logits,
                findings,
                {"engine": features.engine or "store", "precision": less.precision},
            )

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
            )
        if test is None:
            return table, None
        if _same_place(data, test):
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

    def _say(self, sentence: str) -> None:
        self.progress(sentence, 0, 0)

    def _extract(
        self, table: Table, backbone: Backbone, store: Store, how: How
    ) -> tuple[Table, Features]:
        """Features of the readable rows, and the table without the others."""
        features = extract(
            table,
            backbone,
            store=store,
            how=how,
            progress=lambda done, total: self.progress("features", done, total),
            say=self._say,
        )
        rows = np.flatnonzero(features.readable)
        if not len(rows):
            reasons = ", ".join(sorted({skip.reason for skip in features.skipped})[:3])
            raise DataError(
                f"None of the {len(table)} inputs of {table.source} can be read ({reasons}).",
                fix="check that the paths and the files are right",
            )
        return table.take(rows), rows_of(features, rows)

    def _learn(
        self, train: Table, features: Features, split: Split, backbone: Backbone
    ) -> tuple[Candidate, Classification, Decision]:
        task = Classification.from_targets(targets(train))
        codes = task.encode(targets(train))
        name = "probe" if self.config.method == "auto" else self.config.method
        settings, begin = getattr(self.config, name, None), {}
        if self.config.start is not None:
            known, chosen = known_head(self.config.start, backbone, task.labels)
            begin = {"start": known}
            if name == "probe" and not self.config.probe.penalty:
                settings = dataclasses.replace(
                    self.config.probe,
                    penalty=float(chosen.get("penalty", 0.0)),
                    class_weight=chosen.get("class_weight", "auto"),
                )
        candidate: Candidate = METHODS.get(name)(
            features.values, codes, split.folds, len(task.labels), settings, **begin
        )
        decision = calibrate.calibrate(
            candidate.held_out,
            codes,
            coverage=self.config.coverage,
            folds=split.folds,
            rows=candidate.held_out_rows,
        )
        return candidate, task, decision

    def _evaluate(
        self,
        task: Classification,
        train: Table,
        train_features: Features,
        tested: Table,
        test_features: Features,
        logits: np.ndarray,
        decision: Decision,
        split: Split,
    ) -> Evaluation:
        codes, test_codes = task.encode(targets(train)), task.encode(targets(tested))
        rivals = baselines.run(
            train,
            codes,
            train_features.values,
            tested,
            test_codes,
            test_features.values,
            task.labels,
            rng=generator(self.config.seed, 1),
            model=logits.argmax(axis=1),
        )
        given = not len(split.test)
        return measure(
            probabilities(logits, decision),
            test_codes,
            task.labels,
            split="test" if given else split.name,
            protocol=f"the test data given: {tested.source}" if given else split.protocol,
            rng=generator(self.config.seed, 2),
            decision=decision,
            baselines=rivals,
            skipped=(*tested.skipped, *test_features.skipped) if given else (),
            unseen=unseen(tested, task),
        )

    def _bundle(
        self,
        report: content.Report,
        table: Table,
        tested: Table,
        backbone: Backbone,
        candidate: Candidate,
        task: Classification,
        decision: Decision,
        evaluation: Evaluation,
        logits: np.ndarray,
        findings: tuple[Finding, ...],
        computed: dict[str, str],
    ) -> Model:
        holder = TemporaryFolder()
        folder = holder.path / "model"
        bundle.write_folder(
            folder,
            task=task,
            backbone=backbone,
            head=candidate.head,
            decision=decision,
            evaluation=evaluation,
            provenance={
                "features": computed,
                "method": {"name": candidate.method, "chosen": dict(candidate.chosen)},
                "data": {
                    "source": table.source,
                    "rows": len(table),
                    "fingerprint": hash_parts(
                        part for pair in zip(table.names, targets(table)) for part in pair
                    ),
                    "roles": dataclasses.asdict(table.roles),
                },
                "versions": _versions(),
                "seed": self.config.seed,
                "command": report.command,
                "created": report.created,
            },
            report=page.render(report, self.config.lang),
            card=card.model_card(report),
        )
        some = np.linspace(0, len(tested) - 1, min(len(tested), _CHECKED_INPUTS)).astype(int)
        predictor = bundle.check(folder, [tested.inputs[i] for i in some], logits[some])
        return Model(
            predictor, folder, report, evaluation, findings, dict(self.seconds), _holder=holder
        )


def test_rows(table: Table) -> Table:
    """The rows to measure on: those that the data itself marks as test, all where it marks none."""
    if table.split is None or "test" not in table.split:
        return table
    return table.take([i for i, name in enumerate(table.split) if name == "test"])


def targets(table: Table) -> tuple[str, ...]:
    """The labels of a table that was read as a labelled one."""
    assert table.targets is not None
    return table.targets


def unseen(table: Table, task: Classification) -> list[str]:
    """Labels of these rows that the model never saw."""
    return sorted(set(targets(table)) - set(task.labels))


def _joined(duplicates: np.ndarray, groups: tuple[str, ...] | None) -> np.ndarray:
    """Rows that share a duplicate group or a user's group, directly or through others, become one."""
    if groups is None:
        return duplicates
    parent: dict[Any, Any] = {}

    def root(node: Any) -> Any:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for duplicate, group in zip(duplicates.tolist(), groups):
        parent[root(duplicate)] = root(group)
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(root(one), len(numbers)) for one in duplicates.tolist()])


def _same_place(data: Any, test: Any) -> bool:
    if data is test:
        return True
    if not (isinstance(data, (str, Path)) and isinstance(test, (str, Path))):
        return False
    return Path(data).resolve() == Path(test).resolve()


def _title(table: Table) -> str:
    return Path(table.source).stem or table.source


def _command() -> str:
    """The command line that made this, or how Python was called, without machine paths."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    if program in ("headstart", "__main__.py", "headstart.exe"):
        return "headstart " + shlex.join(sys.argv[1:])
    return "headstart.fit(...)"


def _versions() -> dict[str, str]:
    import onnxruntime

    return {
        "headstart": headstart.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
