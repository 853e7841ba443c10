"""headstart explain."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from headstart.cli.show import Progress, command, finish, result, result_json, say
from headstart.data import table as tables
from headstart.errors import DataError
from headstart.manifest import atomic_write
from headstart.report import why, why_terminal
from headstart.report.why_words import WhyWords
from headstart.runtime import explain as explaining
from headstart.runtime.explanation import Explanation
from headstart.runtime.predictor import BundlePredictor
from headstart.types import Table

_MOST = 100  # inputs at a time: each takes as long as hundreds of predictions


@command
def explain(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="a *.headstart file or a bundle folder")
    ],
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="pictures, folders, texts, or table files"),
    ],
    *,
    label: Annotated[
        Optional[str],  # noqa: UP045  typer reads it at run time, on Python 3.10 too
        typer.Option(help="the label to explain [default: the answer]"),
    ] = None,
    out: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="where to write a page (.html), or a picture's heat map (.png)"),
    ] = None,
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="the training data: shows the neighbours' contents, not their names only"
        ),
    ] = None,
    neighbours: Annotated[
        int, typer.Option(help="how many of the nearest training examples to show")
    ] = 5,
    budget: Annotated[
        int, typer.Option(help="passes through the model for each input")
    ] = explaining.BUDGET,
    seed: Annotated[int, typer.Option(help="of the trials that are drawn")] = 0,
    lang: Annotated[str, typer.Option(help="en or zh")] = "en",
    strict: Annotated[
        bool, typer.Option("--strict", help="exit status 3 if any input was skipped")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress")] = False,
) -> None:
    """Say why the model answers what it does: which parts count, and what it learned from that is alike.

    Example: headstart explain waste.headstart bottle.jpg --out why.html
    """
    WhyWords(lang)  # an unknown language is refused before the work
    predictor = BundlePredictor(bundle)
    explaining.check(predictor.labels, label, neighbours, budget)
    table = tables.read_inputs(inputs, modality=predictor.modality)
    _check(table, out)
    contents = _contents(data, predictor) if data else {}
    found = []
    with Progress(quiet) as progress:
        for i, one in enumerate(table.inputs):
            stage = f"explain {i + 1}/{len(table)}" if len(table) > 1 else "explain"
            found.append(
                explaining.explain(
                    predictor,
                    one,
                    name=str(one) if table.modality == "text" else table.names[i],
                    label=label,
                    neighbours=neighbours,
                    budget=budget,
                    seed=seed,
                    progress=lambda done, total, stage=stage: progress(  # type: ignore[misc]
                        stage.replace(" ", "\u00a0"), done, total
                    ),
                )
            )
    skipped = [
        (place, one.prediction.reason)
        for place, one in zip(table.names, found)
        if one.label is None
    ]
    if len(skipped) == len(found):
        raise _none_readable(skipped, predictor.modality)
    skipped += [(one.input, one.reason) for one in table.skipped]
    texts = [str(one) if table.modality == "text" else "" for one in table.inputs]
    if out:
        _write(out, found, texts, lang, Path(bundle).name, contents)
        say(f"why: {out}")
    shown = [(one, text) for one, text in zip(found, texts) if one.label is not None]
    if json:
        left_out = [{"input": place, "reason": reason} for place, reason in skipped]
        result_json({"explanations": [one.to_json() for one, _ in shown], "skipped": left_out})
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        lines = [
            why_terminal.told(one, text, lang, colour=colour, contents=contents)
            for one, text in shown
        ]
        result("\n\n\n".join(lines))
    for place, reason in skipped:
        say(f"skipped {place}: {reason}")
    finish(len(skipped), strict)


def _none_readable(skipped: list[tuple[str, str]], modality: str) -> DataError:
    place, reason = skipped[0]
    one = f"{place} cannot be explained: {reason}."
    return DataError(
        one
        if len(skipped) == 1
        else f"None of the {len(skipped):,} inputs can be read ({reason}).",
        fix="give a readable picture" if modality == "image" else "give a text that is not empty",
    )


def _check(table: Table, out: str | None) -> None:
    """Whether so many inputs can be explained and written there; said before the work."""
    if len(table) > _MOST:
        raise DataError(
            f"These are {len(table):,} inputs; each takes as long as hundreds of predictions.",
            fix=f"give at most {_MOST} at a time",
        )
    if out is None:
        return
    suffix = Path(out).suffix.lower()
    if suffix not in (".html", ".htm", ".png"):
        raise DataError(
            f"{out} is neither a page nor a picture.", fix="end its name in .html or .png"
        )
    if suffix == ".png" and (table.modality != "image" or len(table) != 1):
        raise DataError(
            f"{out} can hold the heat map of one picture only.", fix="write a page: --out why.html"
        )
    if not Path(out).parent.is_dir():
        raise DataError(f"There is no folder {Path(out).parent}.", fix="make it first")


def _contents(data: str, predictor: BundlePredictor) -> Mapping[str, Any]:
    """Name -> input of the training data, read as it was read for fitting."""
    known = predictor.files.manifest.get("data", {}).get("roles", {})
    column = known.get("input") if known.get("target") != "folder" else None
    target = known.get("target") if known.get("target") != "folder" else None
    table = tables.read(data, input=column, target=target, modality=predictor.modality)
    return dict(zip(table.names, table.inputs))


def _write(
    out: str,
    found: list[Explanation],
    texts: list[str],
    lang: str,
    model: str,
    contents: Mapping[str, Any],
) -> None:
    if Path(out).suffix.lower() == ".png":
        import io

        buffer = io.BytesIO()
        found[0].overlaid().save(buffer, "PNG")
        atomic_write(out, buffer.getvalue())
        return
    atomic_write(out, why.render(found, texts, lang, model=model, contents=contents))
