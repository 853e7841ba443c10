"""headstart cache."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from headstart.cli.show import command, result, result_json, say, size
from headstart.compute import cache_dir
from headstart.errors import ConfigError, HeadstartError
from headstart.features.store import LIMIT_FILE, Store

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_PARTS = ("features", "graphs", "weights")


@command
def cache(
    *,
    trim: Annotated[
        Optional[str],  # noqa: UP045  typer reads it at run time, on Python 3.10 too
        typer.Option(help="remove the least recently used features beyond this size, e.g. 2GB"),
    ] = None,
    limit: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="keep at most this size of features, now and after each fit, e.g. 5GB"),
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
    store = Store()
    # read before anything is done: a slip in one option must not leave the others carried out
    most = _bytes("--limit", limit) if limit is not None else None
    target = _bytes("--trim", trim) if trim is not None else most
    freed = 0
    if clear is not None:
        freed += _clear(folder, clear)
    if most is not None:
        _remember(store, most)
    if target is not None:
        freed += store.trim(target)
    shown = _State(folder, store)
    for note in store.notes:
        say(note)
    if json:
        result_json({**shown.as_json(), "freed": freed})
        return
    shown.print()
    if target is not None or clear is not None:
        say(f"freed {size(freed)}")


class _State:
    """What the cache holds."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder, self.limit = folder, store.limit
        self.features = store.held()
        self.bytes = {part: _size(folder / part) for part in _PARTS}
        self.entries = sum(graph.rows for graph in self.features)

    def as_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "bytes": self.bytes,
            "entries": self.entries,
            "limit": self.limit,
            "features": [
                {"graph": held.graph, "entries": held.rows, "bytes": held.bytes}
                for held in self.features
            ],
        }

    def print(self) -> None:
        folder, held = self.folder, {part: size(count) for part, count in self.bytes.items()}
        most = f"{self.entries:,} entries, kept up to {size(self.limit)}"
        result(f"{folder}")
        result(f"  features  {held['features']:>9}   {most}")
        for graph in self.features:
            what = f"{graph.rows:,} of the graph {graph.graph[:12]}"
            result(f"            {size(graph.bytes):>9}   {what}")
        result(f"  graphs    {held['graphs']:>9}   {_count(folder / 'graphs')} backbones")
        result(f"  weights   {held['weights']:>9}   {_count(folder / 'weights')} files")


def _remember(store: Store, limit: int) -> None:
    try:
        store.limit = limit
    except OSError as error:
        raise HeadstartError(
            f"The limit cannot be written: {error.strerror}: {store.folder}.",
            fix="make room on the disk, or set HEADSTART_CACHE to a folder that can be written",
        ) from error


def _clear(folder: Path, part: str) -> int:
    if part not in (*_PARTS, "all"):
        raise ConfigError(
            f"--clear {part}: there is no such part of the cache.",
            fix=f"one of {', '.join(_PARTS)}, all",
        )
    freed = 0
    for name in _PARTS if part == "all" else (part,):
        freed += _size(folder / name)
        for path in (folder / name).glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LIMIT_FILE:  # a wish of the user's, not something made
                with suppress(OSError):
                    path.unlink()
    return freed


def _bytes(option: str, text: str) -> int:
    match = re.fullmatch(r"\s*([0-9]{0,15}\.?[0-9]{1,15})\s*([kmgt]?b?)\s*", text.lower())
    if match is None:
        raise ConfigError(f"{option} {text}: not a size.", fix="write e.g. 500MB or 2GB")
    unit = match[2] if match[2].endswith("b") or not match[2] else match[2] + "b"
    return int(float(match[1]) * _UNITS[unit])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _count(folder: Path) -> int:
    return sum(1 for path in folder.glob("*") if not path.name.startswith("."))
