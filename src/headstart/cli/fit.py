"""headstart fit."""

from __future__ import annotations

import os
import re
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from headstart import api
from headstart.cli.evaluate import measured
from headstart.cli.flags import add_flags, with_set
from headstart.cli.show import Progress, command, finish, result, result_json, say
from headstart.fit_config import FitConfig
from headstart.manifest import atomic_write
from headstart.model import Model


def _fit(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="a folder of class folders, or a CSV, JSONL or Parquet file"
        ),
    ],
    *,
    test: Annotated[
        Optional[str],  # noqa: UP045  typer reads it at run time, on Python 3.10 too
        typer.Option(help="data to measure on; without it, rows are held out"),
    ] = None,
    out: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="where to save the bundle [default: the data's name + .headstart]"),
    ] = None,
    config: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="a TOML file with these settings; flags win over it"),
    ] = None,
    set: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="a setting of a method, as in the TOML file, e.g. finetune.depth=0.25; may be repeated",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="exit status 3 if any input was skipped")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="print one JSON object on standard output")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress")] = False,
    **settings: Any,
) -> None:
    """Make a model from a folder of class folders, or from a table with an input and a label column.

    Example: headstart fit photos/ --test photos_test/ --out waste.headstart
    """
    target = Path(out) if out else Path(_name(data) + ".headstart")
    chosen = api.configure(config, with_set(settings, set or []))
    with Progress(quiet) as progress:
        model = api.fit(data, test, out=target, progress=progress, config=chosen)
    report = target.with_name(f"{_stem(target)}.report.html")
    atomic_write(report, model.predictor.files.read("report.html"))
    epochs = _epochs(model)
    metrics = target.with_name(f"{_stem(target)}.metrics.jsonl")
    if epochs:
        atomic_write(metrics, epochs.encode())
    if json:
        result_json(_summary(model, target, report))
    else:
        from headstart.report.terminal import summary

        result(summary(model.report, chosen.lang, width=_width()))
        result(f"model:  {target}\nreport: {report}")
        if epochs:
            result(f"epochs: {metrics}")
    _list_skipped(model)
    finish(len(model.skipped), strict)


def _epochs(model: Model) -> str:
    """Every epoch of every method that was tried, one JSON object a line; empty where none trained."""
    trials = model.evaluation.trials if model.evaluation else None
    return "".join(
        dumps({"method": one.method, **epoch.to_json()}) + "\n"
        for one in (trials.tried if trials else ())
        for epoch in one.history
    )


def _name(data: str) -> str:
    """photos/ -> photos, reviews.csv -> reviews, . -> the folder's name."""
    path = Path(data)
    name = path.stem if path.suffix and not path.is_dir() else path.resolve().name
    return re.sub(r"[\x00-\x1f/\\]", "_", name) or "model"


def _stem(target: Path) -> str:
    return target.stem if target.suffix == ".headstart" else target.name


def _width() -> int:
    try:
        return max(40, min(100, os.get_terminal_size().columns))
    except OSError:
        return 80


def _list_skipped(model: Model, most: int = 5) -> None:
    for skip in model.skipped[:most]:
        say(f"skipped {skip.input}: {skip.reason}")
    if len(model.skipped) > most:
        say(f"... and {len(model.skipped) - most:,} more, all listed in the report and in --json")


def _summary(model: Model, target: Path, report: Path) -> dict[str, Any]:
    assert model.evaluation is not None
    manifest = model.predictor.files.manifest
    return {
        **measured(model.evaluation),
        "skipped": [skip.to_json() for skip in model.skipped],
        "seconds": {stage: round(spent, 3) for stage, spent in model.seconds.items()},
        "bundle": str(target),
        "report": str(report),
        "labels": list(model.labels),
        "backbone": manifest["backbone"],
        "method": manifest["method"],
        "decision": manifest["decision"],
        "data": manifest["data"],
        "seed": manifest["seed"],
        "notes": list(model.report.notes),
        "findings": [
            {
                "kind": f.kind,
                "severity": f.severity,
                "message": f.message,
                "fix": f.fix,
                "rows": list(f.rows),
                "confidence": f.confidence,
                "suggestions": list(f.suggestions),
                "sure": list(f.sure),
            }
            for f in model.findings
        ],
    }


fit = command(add_flags(_fit, FitConfig))
