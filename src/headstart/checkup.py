"""The doctor: what is wrong with the data, how sure that is, and a plan that mends it.

The same stages as at the beginning of `fit`, with the same store: a later fit computes nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart import config as settings
from headstart.backbones.choose import backbone_for
from headstart.config import note
from headstart.data import cleaned, doctor, leaking, plan
from headstart.data import split as splitting
from headstart.data import table as tables
from headstart.data.sources import columns_of
from headstart.errors import ConfigError, DataError
from headstart.evaluation import copies, duplicates, suspects
from headstart.features.extract import How
from headstart.features.precision import PRECISIONS, settle
from headstart.features.prints import prints
from headstart.features.store import Store
from headstart.fit_rows import joined, targets
from headstart.methods import METHODS
from headstart.methods.probe import Config as ProbeConfig
from headstart.report.diagnosis import Checkup
from headstart.stages import Stages, readable
from headstart.tasks.classification import Classification
from headstart.types import Backbone, Features, Finding, Table

_ALL = 10**9  # rows held out: every label is looked at by a probe that has not seen it


@dataclass(frozen=True)
class CheckupConfig:
    """Settings of `doctor`: keywords in Python, flags on the command line."""

    input: str | None = field(
        default=None, metadata=note("column of the inputs (default: guessed)")
    )
    target: str | None = field(
        default=None, metadata=note("column of the labels (default: guessed)")
    )
    split: str | None = field(
        default=None, metadata=note("column that says train, val or test (default: guessed)")
    )
    group: str | None = field(
        default=None, metadata=note("column of groups that belong together, e.g. the patient")
    )
    backbone: str = field(
        default="auto", metadata=note("starter:NAME, timm:NAME or hf:NAME; auto suits the data")
    )
    engine: str = field(
        default="auto", metadata=note("what runs the backbone: onnxruntime, openvino, torch")
    )
    precision: str = field(
        default="auto", metadata=note("what the backbone computes in", choices=PRECISIONS)
    )
    cluster: str | None = field(
        default=None, metadata=note("compute features on a Ray cluster: auto, local or HOST:PORT")
    )
    seed: int = field(default=0, metadata=note("of the folds", low=0, high=2**32 - 1))
    features: bool = field(
        default=True,
        metadata=note("without them only bytes and tables are looked at", flag=False),
    )
    offline: bool = field(default=False, metadata=note("never try to download anything"))


@dataclass(frozen=True)
class _Seen:
    """A table with what its backbone makes of the readable rows.

    Attributes:
        table: the readable rows.
        rows: (n,) their numbers in the table as read.
        features: of them.
        prints: of them; None for texts.
    """

    table: Table
    rows: np.ndarray
    features: Features
    prints: np.ndarray | None


class Checking:
    """One call of `doctor`."""

    def __init__(self, config: CheckupConfig, stages: Stages) -> None:
        self.config, self.stages = config, stages
        self.notes: list[str] = []

    def run(self, data: Any, test: Any) -> Checkup:
        """Look at the data.

        Args:
            data: as for `headstart.read`.
            test: the test data, or None.

        Raises:
            HeadstartError: with what is wrong, where, and how to mend it.
        """
        with self.stages.enter("read"):
            table, given = read(data, test, self.config)
        for sentence in table.notes:
            self.stages.say(sentence)
        with self.stages.enter("bytes"):
            findings = [
                *leaking.leaking_columns(None if data is table else columns_of(data), table),
                *doctor.examine(table, doctor.duplicate_groups(table)),
            ]
        seen = tested = None
        name, computed = "", 0
        if self.config.features:
            seen, tested, backbone = self._look(table, given)
            name = backbone.name
            computed = seen.features.computed + (tested.features.computed if tested else 0)
            findings += self._examine(seen, tested)
        elif table.modality == "image":
            with self.stages.enter("prints"):
                findings += doctor.pictures(table, _prints(table))
        findings += self._leaks(table, given, seen, tested)
        order = {"error": 0, "warning": 1, "info": 2}
        findings.sort(key=lambda finding: order[finding.severity])
        with self.stages.enter("plan"):
            proposed = plan.make(table, findings)
        skipped = (*table.skipped, *(given.skipped if given is not None else ()))
        for one in (seen, tested):
            skipped += one.features.skipped if one else ()
        assert table.targets is not None
        return Checkup(
            source=table.source,
            modality=table.modality,
            rows=len(table),
            labels=tuple(sorted(set(table.targets))),
            findings=tuple(findings),
            plan=proposed,
            skipped=skipped,
            notes=(*table.notes, *self.notes),
            seconds=dict(self.stages.seconds),
            backbone=name,
            computed=computed,
            tested=len(given) if given is not None else len(_test_rows(table)),
        )

    def _look(self, table: Table, given: Table | None) -> tuple[_Seen, _Seen | None, Backbone]:
        """Features and prints, as `fit` computes them."""
        config = self.config
        with self.stages.enter("backbone"):
            backbone = backbone_for(
                table, config.backbone, offline=config.offline, say=self.stages.say
            )
        with self.stages.enter("features"):
            store = Store()
            how = How(config.engine, cluster=config.cluster or "")
            backbone, less, _ = settle(
                table, backbone, store, how, config.precision, self.stages.say
            )
            seen = self._seen(table, backbone, store, less)
            tested = self._seen(given, backbone, store, how) if given is not None else None
            store.trim()
        return seen, tested, backbone

    def _seen(self, table: Table, backbone: Backbone, store: Store, how: How) -> _Seen:
        rows, features = readable(table, backbone, store, how, self.stages)
        looks = prints(table, store)
        return _Seen(table.take(rows), rows, features, None if looks is None else looks[rows])

    def _examine(self, seen: _Seen, tested: _Seen | None) -> list[Finding]:
        """What features and prints tell about the rows to learn from."""
        found = [*seen.features.findings, *(tested.features.findings if tested else ())]
        if seen.prints is not None:
            found += _renumbered(doctor.pictures(seen.table, seen.prints), seen.rows)
        with self.stages.enter("duplicates"):
            exact = doctor.duplicate_groups(seen.table)
            groups = duplicates.near_groups(
                seen.table, seen.features.values, prints=seen.prints, exact=exact
            )
        with self.stages.enter("suspects"):
            try:
                split = splitting.make_split(
                    seen.table,
                    groups=joined(groups, seen.table.groups),
                    seed=self.config.seed,
                    with_test=False,
                )
                task = Classification.from_targets(targets(seen.table.take(split.train)))
            except DataError as error:  # one class, too few rows: the other findings stand
                self.notes.append(f"labels were not checked: {error.message}")
                return [*found, *_renumbered(copies.within(seen.table, exact, groups), seen.rows)]
            train = seen.table.take(split.train)
            codes = task.encode(targets(train))
            values = seen.features.values[split.train]
            candidate = METHODS.get("probe")(
                values, codes, split.folds, len(task.labels), ProbeConfig(held_out_rows=_ALL)
            )
            about = suspects.examine(
                train,
                values,
                codes,
                candidate.held_out,
                task.labels,
                split.folds,
                held_out_rows=candidate.held_out_rows,
                groups=groups[split.train],
            )
        return [*found, *_renumbered(about, seen.rows[split.train])]

    def _leaks(
        self, table: Table, given: Table | None, seen: _Seen | None, tested: _Seen | None
    ) -> list[Finding]:
        """Test rows that are also among the training rows, as they are or nearly."""
        inner = np.array(_test_rows(table), dtype=np.int64)
        if given is None and not len(inner):
            return []
        with self.stages.enter("leaks"):
            learn = np.setdiff1d(np.arange(len(table)), inner)
            if given is None:
                return _leak(table, learn, table, inner, seen, seen)
            return _leak(table, learn, given, np.arange(len(given)), seen, tested)


def _leak(
    table: Table,
    learn: np.ndarray,
    test: Table,
    measured: np.ndarray,
    seen: _Seen | None,
    tested: _Seen | None,
) -> list[Finding]:
    """What is to be told about training rows that repeat test rows."""
    features: copies.Two = (None, None)
    looks: copies.Two = (None, None)
    if seen is not None and tested is not None:
        learn, measured = np.intersect1d(learn, seen.rows), np.intersect1d(measured, tested.rows)
        own, others = np.searchsorted(seen.rows, learn), np.searchsorted(tested.rows, measured)
        features = (seen.features.values[own], tested.features.values[others])
        if seen.prints is not None and tested.prints is not None:
            looks = (seen.prints[own], tested.prints[others])
    found = copies.across(table.take(learn), test.take(measured), features, looks)
    return _renumbered(found, learn)


def read(data: Any, test: Any, config: CheckupConfig) -> tuple[Table, Table | None]:
    """The data and the test data as tables, the second read with the columns of the first.

    Raises:
        DataError: as `headstart.data.table.read`, or both are the same place.
    """
    table = data
    if not isinstance(data, Table):
        table = tables.read(
            data, input=config.input, target=config.target, split=config.split, group=config.group
        )
    if table.targets is None:
        raise DataError(
            f"{table.source} has no labels.", fix="name the column of the labels with --target"
        )
    if test is None or isinstance(test, Table):
        return table, test
    paths = [Path(one).resolve() for one in (data, test) if isinstance(one, (str, Path))]
    if len(paths) == 2 and paths[0] == paths[1]:
        raise DataError(
            f"The test data is the data itself: {test}.", fix="give other data with --test"
        )
    roles = table.roles
    tabular = roles.input != "file" or roles.target != "folder"
    given = tables.read(
        test,
        input=roles.input if tabular else None,
        target=roles.target if tabular else None,
        modality=table.modality,
    )
    rows = _test_rows(given)
    return table, given.take(rows) if rows else given


def apply(
    data: Any, plan_path: str | Path, out: str | Path, config: CheckupConfig, test: Any = None
) -> cleaned.Cleaned:
    """Write a cleaned copy of the data as a plan says.

    Args:
        data: what the plan was made for.
        plan_path: the plan's file.
        out: where the copy goes.
        config: settings; the columns must be those of the plan.
        test: the test data, whose rows are never edited.

    Raises:
        DataError: the plan does not fit the data or asks for something impossible, or `out` cannot be
            written.
    """
    proposed = plan.read(plan_path)
    table, given = read(data, test, config)
    chosen = plan.settle(proposed, table, given)
    return cleaned.write(data, table, columns_of(data), chosen, out)


def _prints(table: Table) -> np.ndarray:
    looks = prints(table, Store())
    assert looks is not None
    return looks


def _test_rows(table: Table) -> list[int]:
    return [i for i, part in enumerate(table.split or ()) if part == "test"]


def _renumbered(findings: Sequence[Finding], rows: np.ndarray) -> list[Finding]:
    """Findings about some rows of a table as findings about the table."""
    return [
        replace(finding, numbers=tuple(int(rows[i]) for i in finding.numbers))
        for finding in findings
    ]


def configure(keywords: Mapping[str, Any]) -> CheckupConfig:
    """The settings of one `doctor`.

    Raises:
        ConfigError: with every setting that is not right.
    """
    try:
        return settings.build(CheckupConfig, keywords)
    except ConfigError as error:
        raise ConfigError(error.message, fix="headstart doctor --help lists the settings") from None
