"""headstart evaluate."""

from __future__ import annotations

import time
from typing import Annotated, Any, Optional

import typer

from headstart import api
from headstart.cli.show import Progress, command, finish, result, result_json
from headstart.evaluation.compare import Comparison
from headstart.scores import Evaluation


@command
def evaluate(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="a *.headstart file or a bundle folder")
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="labelled data, as for headstart fit")
    ],
    *,
    against: Annotated[
        Optional[str],  # noqa: UP045  typer reads it at run time, on Python 3.10 too
        typer.Option(help="another bundle, to be compared row by row on the same data"),
    ] = None,
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
    compared = None
    with Progress(quiet) as progress:
        if against is None:
            model = api.load(bundle)
            loaded = time.perf_counter()
            evaluation = api.evaluate(model, data, input=input, target=target, progress=progress)
        else:
            loaded = started
            compared = api.compare(
                bundle, against, data, input=input, target=target, progress=progress
            )
            evaluation = compared.evaluations[0]
    if json:
        seconds = {"load": loaded - started, "evaluate": time.perf_counter() - loaded}
        result_json(
            {
                **measured(evaluation),
                **_against_json(compared),
                "skipped": [skip.to_json() for skip in evaluation.skipped],
                "seconds": {stage: round(spent, 3) for stage, spent in seconds.items()},
                "bundle": bundle,
                "notes": list(evaluation.notes),
            }
        )
    else:
        result(_told(evaluation, compared, lang))
    finish(len(evaluation.skipped), strict)


def _told(evaluation: Evaluation, compared: Comparison | None, lang: str) -> str:
    from headstart.report.terminal import evaluation_summary
    from headstart.report.words import clip

    text = evaluation_summary(evaluation, lang)
    if compared is not None:
        theirs = evaluation_summary(compared.evaluations[1], lang)
        sentence = clip(compared.sentence(lang), 1000)
        text += f"\n\n{clip(compared.names[1], 200)}\n{theirs}\n\n{sentence}"
    return text


def _against_json(compared: Comparison | None) -> dict[str, Any]:
    """The other model's scores and the paired difference; nothing without another model."""
    if compared is None:
        return {}
    return {"against": {**measured(compared.evaluations[1]), **compared.to_json()}}


def measured(evaluation: Evaluation) -> dict[str, Any]:
    """What was measured, as the JSON of `fit` and `evaluate` has it."""
    from headstart.report.kept import evaluation_json

    return {
        **evaluation_json(evaluation),
        "metrics": {name: metric.to_json() for name, metric in evaluation.metrics.items()},
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
