"""The verbs. Each wires the rooms together; the logic is in the rooms."""

from __future__ import annotations

import dataclasses
import datetime as dt
import platform
import shlex
import shutil
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import headstart
from headstart import config as settings
from headstart.backbones.choose import backbone_for
from headstart.bundle import save as bundle
from headstart.compute import generator
from headstart.config import note
from headstart.data import doctor
from headstart.data import split as splitting
from headstart.data import table as tables
from headstart.errors import DataError
from headstart.evaluation import baselines, calibrate
from headstart.evaluation.measure import measure
from headstart.features.extract import extract
from headstart.features.store import Store
from headstart.hashing import hash_parts
from headstart.methods import METHODS
from headstart.methods.probe import Config as ProbeConfig
from headstart.report import card, content, mistakes, notebook, page
from headstart.runtime.decide import probabilities
from headstart.runtime.predictor import BundlePredictor
from headstart.tasks.classification import Classification
from headstart.types import (
    Backbone,
    Candidate,
    Decision,
    Evaluation,
    Features,
    Finding,
    Prediction,
    Skipped,
    Split,
    Table,
)

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total); total 0 announces a stage, or is a message for the user."""

_CHECKED_INPUTS = 16  # held-out inputs that a bundle is checked on


@dataclass(frozen=True)
class FitConfig:
    """Settings of `fit`: keywords in Python, flags on the command line, keys in a TOML file."""

    test: str | None = field(
        default=None, metadata=note("data to measure on; without it, rows are held out", flag=False)
    )
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
        default=None,
        metadata=note("column of groups that must not be torn apart, e.g. the patient"),
    )
    backbone: str = field(
        default="auto", metadata=note("starter:NAME, timm:NAME or hf:NAME; auto suits the data")
    )
    method: str = field(default="auto", metadata=note("how to learn; auto takes the probe"))
    engine: str = field(default="onnxruntime", metadata=note("what runs the backbone's graph"))
    test_size: float = field(
        default=0.2, metadata=note("share of rows held out without a test set", low=0.01, high=0.9)
    )
    coverage: float = field(
        default=0.9,
        metadata=note("share of prediction sets meant to hold the truth", low=0.5, high=0.999),
    )
    seed: int = field(
        default=0, metadata=note("of the split and the intervals", low=0, high=2**32 - 1)
    )
    lang: str = field(default="en", metadata=note("language of the report", choices=("en", "zh")))
    offline: bool = field(default=False, metadata=note("never try to download anything"))
    probe: ProbeConfig = field(default_factory=ProbeConfig)


def read(
    source: Any,
    *,
    input: str | None = None,
    target: str | None = None,
    split: str | None = None,
    group: str | None = None,
) -> Table:
    """Read labelled data: rows by reference, nothing is decoded yet.

    Args:
        source: a folder of class folders (with or without train/val/test folders), a CSV, TSV, JSONL
            or Parquet file, a DataFrame or anything with `__arrow_c_stream__`, a Hugging Face
            dataset, a dict of columns, a list of dicts or of (input, label) pairs.
        input: column of the inputs; guessed if not given, like the others.
        target: column of the labels.
        split: column that says train, val or test.
        group: column of groups that must not be torn apart.

    Raises:
        DataError: nothing usable there, or no such column.
    """
    if isinstance(source, Table):
        return source
    return tables.read(source, input=input, target=target, split=split, group=group)


def fit(
    data: Any,
    test: Any = None,
    *,
    out: str | Path | None = None,
    progress: Progress | None = None,
    config: FitConfig | Mapping[str, Any] | str | Path | None = None,
    **keywords: Any,
) -> Model:
    """Make a model from labelled data.

    Args:
        data: what to learn from; see `read`.
        test: what to measure on, read with the same columns (where it has a test split, only that);
            without it, rows are held out.
        out: where to save the bundle; it can be saved later with `Model.save`.
        progress: called with (stage, done, total).
        config: a `FitConfig`, a mapping, or the path of a TOML file.
        **keywords: fields of `FitConfig`; they win over `config`.

    Raises:
        HeadstartError: with what is wrong, where, and how to mend it.
    """
    chosen = _config(config, keywords)
    if out is not None:
        bundle.check_target(Path(out))  # before the work, not after it
    title = Path(out).stem if out is not None else ""
    fitting = _Fitting(chosen, progress or (lambda stage, done, total: None), title)
    model = fitting.run(data, test if test is not None else chosen.test)
    if out is not None:
        with fitting.stage("save"):
            model.save(out)
    return dataclasses.replace(model, seconds=dict(fitting.seconds))


def _config(config: Any, keywords: Mapping[str, Any]) -> FitConfig:
    where = ""
    if isinstance(config, FitConfig):
        values: dict[str, Any] = {
            f.name: getattr(config, f.name) for f in dataclasses.fields(config)
        }
    elif isinstance(config, (str, Path)):
        values, where = settings.read_toml(config), str(config)
    else:
        values = dict(config or {})
    return settings.build(FitConfig, {**values, **keywords}, where)


class _Fitting:
    """One call of `fit`: the rooms in their order, with the time each took."""

    def __init__(self, config: FitConfig, progress: Progress, title: str) -> None:
        self.config, self.progress, self.title = config, progress, title
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        self.progress(name, 0, 0)
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def run(self, data: Any, test: Any) -> Model:
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
                say=lambda text: self.progress(text, 0, 0),
            )
        if backbone.why:
            self.progress(f"{backbone.name}: {backbone.why}", 0, 0)
        with self.stage("features"):
            store = Store()
            table, features = self._extract(table, backbone, store)
            tested, test_features = self._extract(given, backbone, store) if given else (None, None)
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
            tested, test_features = table.take(split.test), _rows(features, split.test)
        train, train_features = table.take(split.train), _rows(features, split.train)
        findings = (
            *doctor.examine(table, duplicates),
            *doctor.leaks(train, tested),
            *features.findings,
        )
        with self.stage("fit"):
            candidate, task, decision = self._learn(train, train_features, split)
        with self.stage("evaluate"):
            test_codes = task.encode(_targets(tested))
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
            )

    def _read(self, data: Any, test: Any) -> tuple[Table, Table | None]:
        config = self.config
        table = read(
            data, input=config.input, target=config.target, split=config.split, group=config.group
        )
        if test is None:
            return table, None
        if _same_place(data, test):
            raise DataError(
                f"The test data is the training data: {test}.",
                fix="give other data with --test, or leave it out: rows are then held out",
            )
        if isinstance(test, Table):
            return table, _test_rows(test)
        roles = table.roles
        tabular = roles.input != "file" or roles.target != "folder"
        given = tables.read(
            test,
            input=roles.input if tabular else None,
            target=roles.target if tabular else None,
            modality=table.modality,
        )
        return table, _test_rows(given)

    def _extract(self, table: Table, backbone: Backbone, store: Store) -> tuple[Table, Features]:
        """Features of the readable rows, and the table without the others."""
        features = extract(
            table,
            backbone,
            store=store,
            engine=self.config.engine,
            progress=lambda done, total: self.progress("features", done, total),
        )
        rows = np.flatnonzero(features.readable)
        if not len(rows):
            reasons = ", ".join(sorted({skip.reason for skip in features.skipped})[:3])
            raise DataError(
                f"None of the {len(table)} inputs of {table.source} can be read ({reasons}).",
                fix="check that the paths and the files are right",
            )
        return table.take(rows), _rows(features, rows)

    def _learn(
        self, train: Table, features: Features, split: Split
    ) -> tuple[Candidate, Classification, Decision]:
        task = Classification.from_targets(_targets(train))
        codes = task.encode(_targets(train))
        name = "probe" if self.config.method == "auto" else self.config.method
        candidate: Candidate = METHODS.get(name)(
            features.values, codes, split.folds, len(task.labels), getattr(self.config, name, None)
        )
        return (
            candidate,
            task,
            calibrate.calibrate(
                candidate.held_out, codes, coverage=self.config.coverage, folds=split.folds
            ),
        )

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
        codes, test_codes = task.encode(_targets(train)), task.encode(_targets(tested))
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
            unseen=_unseen(tested, task),
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
    ) -> Model:
        holder = _TemporaryFolder()
        folder = holder.path / "model"
        bundle.write_folder(
            folder,
            task=task,
            backbone=backbone,
            head=candidate.head,
            decision=decision,
            evaluation=evaluation,
            provenance={
                "method": {"name": candidate.method, "chosen": dict(candidate.chosen)},
                "data": {
                    "source": table.source,
                    "rows": len(table),
                    "fingerprint": hash_parts(
                        part for pair in zip(table.names, _targets(table)) for part in pair
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


@dataclass(frozen=True, eq=False)
class Model:
    """A model that predicts, explains how good it is, and can be saved. Made by `fit` and `load`.

    Attributes:
        predictor: the loaded bundle.
        folder: where the bundle lies.
        report: what the report shows.
        evaluation: how good it is; None for a loaded model, whose numbers are in `report`.
        findings: what was noticed about the data.
        seconds: what each stage of `fit` took.
    """

    predictor: BundlePredictor
    folder: Path
    report: content.Report
    evaluation: Evaluation | None = None
    findings: tuple[Finding, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    _holder: Any = field(default=None, repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """The k labels."""
        return self.predictor.labels

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """All inputs that were left out while fitting, by name and reason."""
        return self.report.skipped

    def predict(self, inputs: Any, *, progress: Progress | None = None) -> Predictions:
        """Predict.

        Args:
            inputs: one input or a sequence of them; a folder or a table file stands for its rows.
            progress: called with ("predict", done, total).

        Returns:
            One `Prediction` for each input, in order; an unreadable one abstains with the reason.
        """
        several = isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes))
        sources = list(inputs) if several else [inputs]
        table = tables.read_inputs(sources, modality=self.predictor.modality)
        told = (lambda done, total: progress("predict", done, total)) if progress else None
        return Predictions(self.predictor.predict(table.inputs, _spoken(table), told))

    def save(self, path: str | Path) -> Path:
        """Save as a bundle: one file for a name ending in .headstart, else a folder; returns the path.

        Raises:
            BundleError: something that is no bundle stands there.
        """
        bundle.copy(self.folder, Path(path))
        return Path(path)

    def html(self, lang: str = "en") -> str:
        """The report as one HTML page, in English ("en") or Chinese ("zh")."""
        return page.render(self.report, lang)

    def __repr__(self) -> str:
        metrics = self.report.evaluation.metrics
        accuracy = metrics["accuracy"]
        return (
            f"Model({len(self.labels)} classes, {self.predictor.modality}, "
            f"accuracy {accuracy.value:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}])"
        )

    def _repr_html_(self) -> str:
        return notebook.card(self.report)


class _TemporaryFolder:
    """A folder that goes when the last model that lies in it goes."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="headstart-"))
        weakref.finalize(self, shutil.rmtree, self.path, True)


class Predictions(list[Prediction]):
    """A list of predictions that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return notebook.predictions(self)


def load(path: str | Path) -> Model:
    """Load a bundle. Needs no torch.

    Args:
        path: a *.headstart file or a bundle folder.

    Raises:
        BundleError: there is none, or it is damaged or too new.
    """
    predictor = BundlePredictor(path)
    report = page.read(predictor.files.read("report.html").decode())
    return Model(predictor, Path(path), report)


def evaluate(
    model: Model | str | Path,
    data: Any,
    *,
    input: str | None = None,
    target: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a model on labelled data, by running what ships: the bundle.

    Args:
        model: a model or a bundle's path.
        data: see `read`; where it has a test split, only that is measured.
        input: column of the inputs.
        target: column of the labels.
        progress: called with ("evaluate", done, total).

    Raises:
        DataError: nothing there to measure on.
    """
    predictor = BundlePredictor(model) if isinstance(model, (str, Path)) else model.predictor
    if isinstance(data, Table):
        table = data
    else:
        known = predictor.files.manifest.get("data", {}).get("roles", {})
        table = _read_like(data, input, target, known, predictor.modality)
    protocol = f"the data given: {table.source}"
    if len(chosen := _test_rows(table)) < len(table):
        table = chosen
        protocol += ", its test rows"
    task = Classification(predictor.labels)
    told = (lambda done, total: progress("evaluate", done, total)) if progress else None
    predictions = predictor.predict(table.inputs, table.names, told)
    readable = [i for i, one in enumerate(predictions) if one.label is not None]
    skipped = tuple(Skipped(one.input, one.reason) for one in predictions if one.label is None)
    p = np.array([[predictions[i].probabilities[label] for label in task.labels] for i in readable])
    return measure(
        p.reshape(len(readable), len(task.labels)),
        task.encode(_targets(table))[readable],
        task.labels,
        split="test",
        protocol=protocol,
        rng=generator(0, 2),
        decision=predictor.decision,
        skipped=(*table.skipped, *skipped),
        unseen=_unseen(table, task),
    )


def _read_like(
    data: Any, input: str | None, target: str | None, known: Mapping[str, Any], modality: str
) -> Table:
    """Read with the columns of the training data where the new data has them, else guess anew."""
    try:
        return tables.read(
            data,
            input=input or (known.get("input") if known.get("target") != "folder" else None),
            target=target or (known.get("target") if known.get("target") != "folder" else None),
            modality=modality,
        )
    except DataError:
        if input or target:
            raise
        return tables.read(data, modality=modality)


def _test_rows(table: Table) -> Table:
    """The rows to measure on: those that the data itself marks as test, all where it marks none."""
    if table.split is None or "test" not in table.split:
        return table
    return table.take([i for i, name in enumerate(table.split) if name == "test"])


def _spoken(table: Table) -> tuple[str, ...]:
    """What predictions call their inputs: the text itself, or the picture's name."""
    if table.modality == "text":
        return tuple(str(text) for text in table.inputs)
    return table.names


def _rows(features: Features, rows: np.ndarray) -> Features:
    return dataclasses.replace(
        features, values=features.values[rows], readable=features.readable[rows]
    )


def _targets(table: Table) -> tuple[str, ...]:
    assert table.targets is not None
    return table.targets


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


def _unseen(table: Table, task: Classification) -> list[str]:
    """Labels of these rows that the model never saw."""
    return sorted(set(_targets(table)) - set(task.labels))


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
