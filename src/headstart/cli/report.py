"""headstart report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from headstart.cli.show import command, result, result_json
from headstart.manifest import atomic_write
from headstart.report import page
from headstart.runtime.reader import open_bundle


@command
def report(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="a *.headstart file or a bundle folder")
    ],
    *,
    lang: Annotated[str, typer.Option(help="en or zh")] = "en",
    out: Annotated[
        Optional[str],  # noqa: UP045  typer reads it at run time, on Python 3.10 too
        typer.Option(help="where to write the page [default: beside the bundle]"),
    ] = None,
    open: Annotated[bool, typer.Option("--open", help="open it in the web browser")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="print what the report shows as JSON")
    ] = False,
) -> None:
    """Write the report of a model as one web page, and print where it is.

    Example: headstart report waste.headstart --lang zh --open
    """
    shown = page.read(open_bundle(bundle).read("report.html").decode())
    source = Path(bundle)
    stem = source.stem if source.suffix == ".headstart" else source.name
    target = Path(out) if out else source.with_name(f"{stem}.report.html")
    atomic_write(target, page.render(shown, lang))
    if json:
        result_json({"report": str(target), **shown.to_json()})
    else:
        result(str(target))
    if open:
        typer.launch(str(target))
