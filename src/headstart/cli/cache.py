"""headstart cache."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Annotated, Optional

import typer

from headstart.cli.show import command, result, result_json, say, size
from headstart.compute import cache_dir
from headstart.errors import ConfigError
from headstart.features.store import Store

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_PARTS = ("features", "graphs", "weights")


@command
def cache(
    *,
    trim: Annotated[
        Optional[str],  # noqa: UP045  typer reads it at run time, on Python 3.10 too
        typer.Option(help="remove the least recently used features beyond this size, e.g. 2GB"),
    ] = None,
    clear: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="remove features, graphs, weights or all"),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="print one JSON object on standard output")
    ] = False,
) -> None:
    """Show what is kept on this machine: weights, graphs and features; trim or clear it.

    Example: headstart cache --trim 2GB
    """
    folder = cache_dir()
    freed = 0
    if clear is not None:
        freed += _clear(folder, clear)
    if trim is not None:
        freed += Store().trim(_bytes(trim))
    held = {part: _size(folder / part) for part in _PARTS}
    features = Store().size()
    if json:
        result_json(
            {"folder": str(folder), "bytes": held, "entries": features.rows, "freed": freed}
        )
        return
    result(f"{folder}")
    result(f"  features  {size(held['features']):>9}   {features.rows:,} entries")
    result(f"  graphs    {size(held['graphs']):>9}   {_count(folder / 'graphs')} backbones")
    result(f"  weights   {size(held['weights']):>9}   {_count(folder / 'weights')} files")
    if trim is not None or clear is not None:
        say(f"freed {size(freed)}")


def _clear(folder: Path, part: str) -> int:
    if part not in (*_PARTS, "all"):
        raise ConfigError(
            f"--clear {part}: there is no such part of the cache.",
            fix=f"one of {', '.join(_PARTS)}, all",
        )
    freed = 0
    for name in _PARTS if part == "all" else (part,):
        freed += _size(folder / name)
        shutil.rmtree(folder / name, ignore_errors=True)
    return freed


def _bytes(text: str) -> int:
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?b?)\s*", text.lower())
    if match is None:
        raise ConfigError(f"--trim {text}: not a size.", fix="write e.g. 500MB or 2GB")
    unit = match[2] if match[2].endswith("b") or not match[2] else match[2] + "b"
    return int(float(match[1]) * _UNITS[unit])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _count(folder: Path) -> int:
    return sum(1 for path in folder.glob("*") if not path.name.startswith("."))
