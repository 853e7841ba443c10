"""The verbs. Each wires the rooms together; the logic is in the rooms."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from headstart.evaluation.compare import Comparison, comparison, same_labels
from headstart.evaluation.measure import measure
from headstart.fit_config import FitConfig
from headstart.fit_rows import targets, test_rows, unseen
from headstart.fitting import Fitting
from headstart.model import Model, Progress
from headstart.report import page
from headstart.report.diagnosis import Checkup
from headstart.report.notebook_progress import for_here
from headstart.runtime.pipeline import Batch, Packet
from headstart.runtime.predictor import BundlePredictor
from headstart.scores import Evaluation
from headstart.stages import Stages
from headstart.tasks.classification import Classification
from headstart.trackers.values import settings_of
from headstart.trackers.watching import watching
from headstart.types import Prediction, Skipped, Table

_TOGETHER = 1024  # rows that are held against the training rows at a time


def read(
    source: Any,
    *,
    input: str | None = None,
    target: str | None = None,
    split: str | None = None,
    group: str | None = None,
    time: str | None = None,
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
        time: column of dates or numbers: the latest rows are measured. Never guessed.

    Raises:
        DataError: nothing usable there, or no such column.
    """
    if isinstance(source, Table):
        return source
    return tables.read(source, input=input, target=target, split=split, group=group, time=time)


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
        progress: called with (stage, done, total); without one, a notebook shows its own.
        config: a `FitConfig`, a mapping, or the path of a TOML file.
        **keywords: fields of `FitConfig`; they win over `config`.

    Raises:
        HeadstartError: with what is wrong, where, and how to mend it.
    """
    chosen = configure(config, keywords)
    if out is not None:
        bundle.check_target(Path(out))  # before the work, not after it
    title = Path(out).stem if out is not None else ""
    own = None if progress else for_here()
    told = progress or own or (lambda stage, done, total: None)
    with watching(told, chosen.track, title, settings_of(chosen)) as watched:
        stages = Stages(watched)
        model = Fitting(chosen, stages, title).run(data, test if test is not None else chosen.test)
        assert model.evaluation is not None
        watched.end(model.evaluation.metrics, model.evaluation.trials)
    if out is not None:
        with stages.enter("save"):
            model.save(out)
    if own is not None:
        own.close()
    return dataclasses.replace(model, seconds=dict(stages.seconds))


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
    stages = Stages(progress or (lambda stage, done, total: None))
    return Checking(configure_checkup(keywords), stages).run(data, test)


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
    report = page.read(predictor.files.read("report.html").decode("utf-8", "replace"))
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
    predictor = _predictor(model)
    table, protocol = _to_measure(data, input, target, predictor)
    said = _answers(predictor, table, progress)
    rows = [i for i, one in enumerate(said.predictions) if one.probabilities]
    return _measured(predictor, table, protocol, said, rows)


def compare(
    a: Model | str | Path,
    b: Model | str | Path,
    data: Any,
    *,
    input: str | None = None,
    target: str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Measure two models on the same labelled data, and compare them row by row.

    Args:
        a: a model or a bundle's path.
        b: another that answers with the same labels.
        data: see `read`; where it has a test split, only that is measured. Read with a's columns.
        input: column of the inputs.
        target: column of the labels.
        progress: called with ("evaluate", done, total), for one after the other.

    Returns:
        Both evaluations, on the rows that both models could read, the difference in accuracy with its
        interval, and whether it is beyond noise; printed, it is that sentence.

    Raises:
        DataError: the models do not take the same inputs or answer with the same labels, or there is
            nothing to measure on.
    """
    names = (_called(a, "model a"), _called(b, "model b"))
    one, other = _predictor(a), _predictor(b)
    if one.modality != other.modality:
        raise DataError(
            f"{names[0]} takes {one.modality}s, {names[1]} takes {other.modality}s.",
            fix="compare models of the same kind of input",
        )
    same_labels(one.labels, other.labels, names)
    table, protocol = _to_measure(data, input, target, one)
    answers = [_answers(predictor, table, progress) for predictor in (one, other)]
    rows = [
        i for i in range(len(table)) if all(said.predictions[i].probabilities for said in answers)
    ]
    evaluations = [
        _measured(predictor, table, protocol, said, rows)
        for predictor, said in zip((one, other), answers)
    ]
    task = Classification(one.labels)
    first, second = (task.encode([_top(said.predictions[i]) for i in rows]) for said in answers)
    return comparison(
        task.encode(targets(table))[rows],
        (first, second),
        (evaluations[0], evaluations[1]),
        names,
        generator(0, 3),
    )


def _predictor(model: Model | str | Path) -> BundlePredictor:
    return BundlePredictor(model) if isinstance(model, (str, Path)) else model.predictor


def _called(model: Model | str | Path, otherwise: str) -> str:
    return str(model) if isinstance(model, (str, Path)) else otherwise


def _top(prediction: Prediction) -> str:
    """The most probable label, withheld or not; the first of equals, as in `decide`."""
    return max(prediction.probabilities, key=prediction.probabilities.__getitem__)


def _to_measure(
    data: Any, input: str | None, target: str | None, predictor: BundlePredictor
) -> tuple[Table, str]:
    """The rows to measure on, and the sentence that says which they are."""
    if isinstance(data, Table):
        table = data
    else:
        known = predictor.files.manifest.get("data", {}).get("roles", {})
        table = _read_like(data, input, target, known, predictor.modality)
    protocol = f"the data given: {table.source}"
    if len(chosen := test_rows(table)) < len(table):
        return chosen, protocol + ", its test rows"
    return table, protocol


@dataclass(frozen=True)
class _Said:
    """What a model says of n rows, from one run of it.

    Attributes:
        predictions: n answers.
        logits: (n, k) behind them, NaN for unreadable rows.
        copied: (n,) bool, copies of training rows; None where the bundle cannot tell.
    """

    predictions: list[Prediction]
    logits: np.ndarray
    copied: np.ndarray | None


def _answers(predictor: BundlePredictor, table: Table, progress: Progress | None) -> _Said:
    logits = np.full((len(table), len(predictor.labels)), np.nan, dtype=np.float32)
    copied = np.zeros(len(table), dtype=bool) if predictor.knows_copies else None
    waiting: list[Batch] = []

    def look() -> None:
        if copied is not None and waiting:
            copied[[row for batch in waiting for row in batch.rows]] = predictor.copies(waiting)
        waiting.clear()

    def run(packets: Iterable[Packet]) -> Iterator[Batch]:
        for batch in predictor.pipeline.run(packets):
            if batch.rows:
                logits[batch.rows] = batch.values
                waiting.append(batch)
            if sum(len(one.rows) for one in waiting) >= _TOGETHER:
                look()
            yield batch

    told = (lambda done, total: progress("evaluate", done, total)) if progress else None
    predictions = predictor.predict(table.inputs, table.names, told, run)
    look()
    return _Said(predictions, logits, copied)


def _copied(predictor: BundlePredictor, said: _Said) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Which rows are copies of training rows, and what to know where only some of those are kept.

    Where none is found among some of the training rows, it is not known whether there are any.
    """
    if said.copied is None or predictor.reference is None:
        return None, ()
    kept = len(predictor.reference)
    learned = page.read(predictor.files.read("report.html").decode("utf-8", "replace")).n_train
    if kept >= learned:
        return said.copied, ()
    note = f"copies of training rows were looked for among {kept:,} of the {learned:,}: there may be more"
    return (said.copied if said.copied.any() else None), (note,)


def _measured(
    predictor: BundlePredictor, table: Table, protocol: str, said: _Said, rows: Sequence[int]
) -> Evaluation:
    """Measure predictions; the rows that are not in `rows` are listed as skipped."""
    task, decision = Classification(predictor.labels), predictor.decision
    predictions = said.predictions
    p = np.array([[predictions[i].probabilities[label] for label in task.labels] for i in rows])
    measured = set(rows)
    left_out = [one for i, one in enumerate(predictions) if i not in measured]
    withholds = decision.abstain_below > 0 or decision.familiar_above is not None
    copied, notes = _copied(predictor, said)
    return measure(
        p.reshape(len(rows), len(task.labels)),
        task.encode(targets(table))[list(rows)],
        task.labels,
        split="test",
        protocol=protocol,
        rng=generator(0, 2),
        decision=decision,
        skipped=(*table.skipped, *(Skipped(one.input, _why(one)) for one in left_out)),
        notes=notes,
        unseen=unseen(table, task),
        logits=said.logits[list(rows)],
        withheld=[predictions[i].reason if predictions[i].abstained else "" for i in rows]
        if withholds
        else None,
        leaked=None if copied is None else copied[list(rows)],
    )


def _why(prediction: Prediction) -> str:
    return "the other model cannot read it" if prediction.probabilities else prediction.reason


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
