"""headstart predict."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Optional

import typer

from headstart.cli.show import Progress, command, finish, result, result_json, say
from headstart.data import table as tables
from headstart.data.cells import safe
from headstart.manifest import atomic_write
from headstart.runtime.predictor import BundlePredictor, Run
from headstart.types import Prediction, Table

COLUMNS = ("input", "label", "probability", "set", "abstained", "reason")


@command
def predict(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="a *.headstart file or a bundle folder")
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUTS",
            help="pictures, folders, texts, or table files (CSV, JSONL, Parquet, one text a line)",
        ),
    ],
    *,
    out: Annotated[
        Optional[str],  # noqa: UP045  typer reads it at run time, on Python 3.10 too
        typer.Option(help="where to write the CSV [default: standard output]"),
    ] = None,
    input: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="column of the inputs in table files (default: guessed)"),
    ] = None,
    cluster: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="compute on a Ray cluster: auto, local or HOST:PORT"),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="exit status 3 if any input was skipped")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print JSON instead of CSV")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress")] = False,
) -> None:
    """Answer for new inputs.

    Example: headstart predict waste.headstart new/*.jpg --out predictions.csv
    """
    predictor = BundlePredictor(bundle)
    table = tables.read_inputs(inputs, modality=predictor.modality, input=input)
    names = table.names
    if (
        table.modality == "text"
    ):  # the text says more than where it stood, which the column row keeps
        names = tuple(str(text) for text in table.inputs)
    with Progress(quiet) as progress:
        predictions = predictor.predict(
            table.inputs,
            names,
            lambda done, total: progress("predict", done, total),
            _elsewhere(predictor, cluster, lambda told: progress(told, 0, 0)),
        )
    skipped = [(place, one) for place, one in zip(table.names, predictions) if one.label is None]
    if out is not None:
        atomic_write(out, _csv(table, predictions))
        say(f"{len(predictions):,} predictions: {out}")
    if json:
        result_json([one.to_json() for one in predictions])
    elif out is None:
        result(_csv(table, predictions).rstrip("\n"))
    for place, one in skipped[:5]:
        say(f"skipped {place}: {one.reason}")
    if len(skipped) > 5:
        say(f"... and {len(skipped) - 5:,} more: see the column reason")
    finish(len(skipped), strict)


def _elsewhere(
    predictor: BundlePredictor, address: str | None, tell: Callable[[str], None]
) -> Run | None:
    """The bundle's graph on a cluster; None for this process."""
    if not address:
        return None
    from headstart.features.cluster import Work, runner

    def work() -> Work:
        read = predictor.files.read
        return Work(
            read("model.onnx"),
            predictor.preprocess,
            read("tokenizer.json") if predictor.modality == "text" else None,
            output="logits",
            with_features=predictor.refuses,
        )

    return runner(work, address, tell)


def _csv(table: Table, predictions: Sequence[Prediction]) -> str:
    """The predictions as CSV; texts get a column `row` that says where each stood."""
    rows = table.modality == "text"
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*COLUMNS, "row"] if rows else COLUMNS)
    for place, one in zip(table.names, predictions):
        cells: list[Any] = [
            safe(one.input),
            safe(one.label or ""),
            "" if one.probability is None else f"{one.probability:.6f}",
            safe("|".join(one.set)),
            "true" if one.abstained else "false",
            one.reason,
        ]
        writer.writerow([*cells, safe(place)] if rows else cells)
    return buffer.getvalue()
