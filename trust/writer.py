"""One save of one kind, also as a process of its own that can be killed and whose disk can fail.

    python -m trust.writer KIND NUMBER TARGET [CALL:N:FAULT ...]

CALL is fsync, rename, replace, mkdir or open (of `os`), FAULT is KILL, EIO or ENOSPC: the fault injector for
machines without strace. "noswap" in its place stands for a disk that cannot swap two names.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from headstart import manifest
from trust.table import golden

KINDS = ("folder", "zip", "report", "csv", "store")
SOURCES = ("text.headstart", "image.headstart")  # what the first and the second save are of
TEXTS = (("lovely happy", "sad broken"), ("great", "awful", "useless"))
ROWS, DIM = 10, 4


def save(kind: str, number: int, target: Path) -> None:
    """Save for the first (0) or the second (1) time.

    Args:
        kind: of `KINDS`.
        number: 0 or 1.
        target: a file or folder; the store's folder.

    Raises:
        OSError: the disk fails.
    """
    if kind in ("folder", "zip"):
        from headstart.bundle.save import copy

        copy(golden(SOURCES[number]), target)
    elif kind == "store":
        _append(number, target)
    else:
        from headstart.cli import predict, report

        if kind == "report":
            report.report.__wrapped__(str(golden(SOURCES[number])), out=str(target))
        else:
            asked = list(TEXTS[number])
            predict.predict.__wrapped__(str(golden(SOURCES[0])), asked, out=str(target), quiet=True)


def _append(number: int, target: Path) -> None:
    from headstart.features.store import Store

    writer = Store(target).writer("ab" * 32, DIM)
    rows = range(ROWS * number, ROWS * (number + 1))
    writer.append(_keys(rows), _values(rows), [""] * ROWS)
    if writer.full:
        raise OSError(errno.EIO, writer.full, str(target))


def _keys(rows: range) -> list[bytes]:
    return [i.to_bytes(32, "big") for i in rows]


def _values(rows: range) -> np.ndarray:
    return np.repeat(np.float32(list(rows))[:, None] + np.float32(0.1), DIM, 1)


def state(kind: str, target: Path) -> Any:
    """What lies at the target, in a form that can be compared; None where nothing does.

    Raises:
        HeadstartError: something damaged lies there.
    """
    if kind == "store":
        return _rows(target)
    target = manifest.standing(target)
    if not target.exists():
        return None
    if kind in ("folder", "zip"):
        from headstart.runtime.reader import FILES, open_bundle

        files = open_bundle(target)
        return {
            name: hashlib.sha256(files.read(name)).hexdigest() for name in FILES if files.has(name)
        }
    return hashlib.sha256(target.read_bytes()).hexdigest()


def _rows(target: Path) -> Any:
    """Which rows the store gives; "wrong" where one is not what was put in."""
    from headstart.features.store import Store

    if not target.exists():
        return None
    every = range(2 * ROWS)
    values, found, _ = Store(target).get(_keys(every), DIM)
    if not np.array_equal(values[found], _values(every)[found]):
        return "wrong"
    return tuple(np.flatnonzero(found).tolist())


def break_calls(call: str, n: int, fault: str) -> None:
    """Let the n-th use of a function of `os` from now on fail, or end the process.

    Args:
        call: its name.
        n: counted from 1.
        fault: "KILL", or the name of an error.
    """
    sound = getattr(os, call)
    uses = 0

    def faulty(*args: Any, **keywords: Any) -> Any:
        nonlocal uses
        uses += 1
        if uses != n:
            return sound(*args, **keywords)
        if fault == "KILL":
            os.kill(os.getpid(), signal.SIGKILL)
        code = getattr(errno, fault)
        raise OSError(code, os.strerror(code))

    setattr(os, call, faulty)


def main(arguments: list[str]) -> int:
    """See the module's docstring; errors are told as the command line tells them."""
    import typer

    from headstart.cli.show import command

    kind, number, target, *faults = arguments
    if kind in ("folder", "zip"):  # what is imported late must not count
        import headstart.bundle.save
    else:
        import headstart.cli.predict
        import headstart.cli.report
        import headstart.features.store  # noqa: F401
    for fault in faults:
        if fault == "noswap":
            manifest._swapped = lambda one, other: False
            continue
        call, n, what = fault.split(":")
        break_calls(call, int(n), what)
    try:
        command(lambda: save(kind, int(number), Path(target)))()
    except typer.Exit as end:
        return end.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
