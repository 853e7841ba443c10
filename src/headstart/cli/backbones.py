"""headstart backbones."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Optional

import typer

from headstart.backbones import starter
from headstart.backbones.choose import backbone_named
from headstart.cli.show import command, result, result_json, say


@command
def backbones(
    *,
    fetch: Annotated[
        Optional[str],  # noqa: UP045  typer reads it at run time, on Python 3.10 too
        typer.Option(help="fetch and prepare now: starter (all of them), or one by name"),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="print one JSON object on standard output")
    ] = False,
) -> None:
    """List the starter backbones, or fetch them ahead of time.

    Example: headstart backbones --fetch starter
    """
    if fetch == "starter":
        starter.fetch_all(say=say)
    elif fetch is not None:
        backbone_named(fetch, say=say)
    rows = starter.describe()
    if json:
        result_json({"starters": [dataclasses.asdict(row) for row in rows]})
        return
    for row in rows:
        result(
            f"{row.name:<15} {row.modality:<6} {row.megabytes:>3} MB  {row.licence:<11} {row.about}"
        )
    result(
        "\ntimm:NAME and hf:NAME take any model of timm and Hugging Face that is on disk or can be\n"
        "downloaded (pip install 'headstart[train]'); hf: takes a folder too."
    )
