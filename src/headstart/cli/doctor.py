"""headstart doctor."""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Annotated, Any, Optional

import typer

from headstart import api, checkup
from headstart.cli.flags import add_flags
from headstart.cli.show import Progress, command, finish, result, result_json, say
from headstart.errors import ConfigError
from headstart.report import doctor_terminal as terminal
from headstart.report.words import Words


def _doctor(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="labelled data, as for headstart fit")
    ],
    *,
    test: Annotated[
        Optional[str],  # noqa: UP045  typer reads it at run time, on Python 3.10 too
        typer.Option(help="the test data: looked at for leaks, never edited"),
    ] = None,
    fix: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="write a plan that you can edit: a CSV file"),
    ] = None,
    apply: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="carry a plan out: write a cleaned copy to --out"),
    ] = None,
    out: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="where the cleaned copy goes: a .csv, .tsv or .jsonl file"),
    ] = None,
    no_features: Annotated[
        bool, typer.Option("--no-features", help="look at bytes and tables only, at no cost")
    ] = False,
    lang: Annotated[str, typer.Option(help="en or zh")] = "en",
    strict: Annotated[
        bool, typer.Option("--strict", help="exit status 3 if any input was skipped")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="print one JSON object on standard output")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress")] = False,
    **settings: Any,
) -> None:
    """Look for what is wrong with the data: duplicates, leaks, wrong labels; write a plan that mends it.

    Example: headstart doctor photos/ --fix plan.csv
    """
    Words(lang)  # a language that there is not is told before the work
    if (apply is None) != (out is None):
        raise ConfigError(
            "--apply and --out go together.",
            fix="headstart doctor DATA --apply plan.csv --out cleaned.csv",
        )
    if apply is not None and out is not None:
        if fix is not None:
            raise ConfigError(
                "--fix writes a plan, --apply carries one out: they do not go together.",
                fix="first --fix plan.csv, then --apply plan.csv --out cleaned.csv",
            )
        made = checkup.apply(data, apply, out, checkup.configure(settings), test)
        if json:
            result_json(dataclasses.asdict(made))
        else:
            result(terminal.applied(made, lang))
        return
    with Progress(quiet) as progress:
        found = api.doctor(
            data, test, progress=progress, **{**settings, "features": not no_features}
        )
    if fix is not None:
        found.save_plan(fix)
    if json:
        result_json({**found.to_json(), "fix": fix})
    else:
        result(terminal.summary(found, lang, _width(), colour=_colour(), data=data, plan=fix or ""))
    if fix is not None:
        say(terminal.written(fix, lang))
    finish(len(found.skipped), strict)


def _width() -> int:
    try:
        return max(60, min(100, os.get_terminal_size().columns))
    except OSError:
        return 80


def _colour() -> bool:
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


doctor = command(add_flags(_doctor, checkup.CheckupConfig))
