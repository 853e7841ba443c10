"""The verbs. Each wires the rooms together; the logic is in the rooms."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headstart import config as settings
from headstart.bundle import save as bundle
from headstart.checkup import Checking
from headstart.checkup import configure as configure_checkup
from headstart.compute import generator
from headstart.data import table as tables
from headstart.errors import DataError
from headstart.evaluation.measure import measure
from headstart.fitting import FitConfig, Fitting, targets, test_rows, unseen
from headstart.model import Model, Progress
from headstart.report import page
from headstart.report.diagnosis import Checkup
from headstart.runtime.predictor import BundlePredictor
from headstart.tasks.classification import Classification
from headstart.types import Evaluation, Skipped, Table


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
    chosen = configure(config, keywords)
    if out is not None:
        bundle.check_target(Path(out))  # before the work, not after it
    title = Path(out).stem if out is not None else ""
    fitting = Fitting(chosen, progress or (lambda stage, done, total: None), title)
    model = fitting.run(data, test if test is not None else chosen.test)
    if out is not None:
        with fitting.stage("save"):
            model.save(out)
    return dataclasses.replace(model, seconds=dict(fitting.seconds))


def doctor(
    data: Any, test: Any = None, *, progress: Progress | None = None, **keywords: Any
) -> Checkup:
    """Look for what is wrong with labelled data; nothing is changed.

    Args:
        data: see `read`.
        test: the test data: looked at for rows that are also to be learned from.
        progress: called with (stage, done, total).
        **keywords: fields of `headstart.checkup.CheckupConfig`; `features=False` looks at bytes and
            tables only.

    Returns:
        The findings, and a plan that `Checkup.save_plan` writes for a person to edit.

    Raises:
        HeadstartError: with what is wrong, where, and how to mend it.
    """
    checking = Checking(configure_checkup(keywords), progress or (lambda stage, done, total: None))
    return checking.run(data, test)


def configure(config: Any, keywords: Mapping[str, Any]) -> FitConfig:
    """The settings of one `fit`.

    Args:
        config: a `FitConfig`, a mapping, the path of a TOML file, or None.
        keywords: fields of `FitConfig`; they win over `config`.

    Raises:
        ConfigError: with every setting that is not right.
    """
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
    if len(chosen := test_rows(table)) < len(table):
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
        task.encode(targets(table))[readable],
        task.labels,
        split="test",
        protocol=protocol,
        rng=generator(0, 2),
        decision=predictor.decision,
        skipped=(*table.skipped, *skipped),
        unseen=unseen(table, task),
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
