"""headstart evaluate."""

from __future__ import annotations

import time
from typing import Annotated, Any, Optional

import typer

from headstart import api
from headstart.cli.show import Progress, command, finish, result, result_json
from headstart.types import Evaluation


@command
def evaluate(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="a *.headstart file or a bundle folder")
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="labelled data, as for headstart fit")
    ],
    *,
    input: Annotated[Optional[str], typer.Option(help="column of the inputs")] = None,  # noqa: UP045
    target: Annotated[Optional[str], typer.Option(help="column of the labels")] = None,  # noqa: UP045
    lang: Annotated[str, typer.Option(help="en or zh")] = "en",
    strict: Annotated[
        bool, typer.Option("--strict", help="exit status 3 if any input was skipped")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="print one JSON object on standard output")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress")] = False,
) -> None:
    """Measure a model on labelled data: what ships is what is measured.

    Example: headstart evaluate waste.headstart photos_test/
    """
    started = time.perf_counter()
    with Progress(quiet) as progress:
        model = api.load(bundle)
        loaded = time.perf_counter()
        evaluation = api.evaluate(model, data, input=input, target=target, progress=progress)
    if json:
        seconds = {"load": loaded - started, "evaluate": time.perf_counter() - loaded}
        result_json(
            {
                **measured(evaluation),
                "skipped": [skip.to_json() for skip in evaluation.skipped],
                "seconds": {stage: round(spent, 3) for stage, spent in seconds.items()},
                "bundle": bundle,
                "notes": list(evaluation.notes),
            }
        )
    else:
        from headstart.report.terminal import evaluation_summary

        result(evaluation_summary(evaluation, lang))
    finish(len(evaluation.skipped), strict)


def measured(evaluation: Evaluation) -> dict[str, Any]:
    """What was measured, as the JSON of `fit` and `evaluate` has it."""
    return {
        "metrics": {name: metric.to_json() for name, metric in evaluation.metrics.items()},
        "n": evaluation.n,
        "split": evaluation.split,
        "protocol": evaluation.protocol,
        "coverage": evaluation.coverage,
        "set_size": evaluation.set_size,
        "per_class": [
            {"label": c.label, "precision": c.precision, "recall": c.recall, "f1": c.f1, "n": c.n}
            for c in evaluation.per_class
        ],
        "confusion": evaluation.confusion.tolist(),
        "baselines": {
            one.name: {
                "metrics": {name: m.to_json() for name, m in one.metrics.items()}
                if one.metrics
                else None,
                "note": one.note,
            }
            for one in evaluation.baselines
        },
    }
