"""What a check is, and what comes out of one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes:
        done: how many cases were tried.
        bad: one sentence for each case that broke the promise (the first hundred).
        measured: the figure, for the table.
        skipped: why nothing could be tried here; empty where something was.
    """

    done: int
    bad: tuple[str, ...] = ()
    measured: str = ""
    skipped: str = ""


@dataclass(frozen=True)
class Check:
    """One row of the table.

    Attributes:
        promise: its number in the table, e.g. "R13".
        name: to call it by, e.g. "mutated-bundles".
        what: what is done, one sentence.
        aim: the figure aimed at.
        run: called with (how many cases, an empty folder).
        quick: cases of `make trust` with QUICK=1.
        full: cases of `make trust`.
        test: the test that runs it in CI with a smaller number.
    """

    promise: str
    name: str
    what: str
    aim: str
    run: Callable[[int, Path], Outcome]
    quick: int
    full: int
    test: str


def environment(**more: str) -> dict[str, str]:
    """The environment of a child that sees this checkout and the tests' tiny backbones."""
    places = [ROOT / "src", ROOT, ROOT / "tests", ROOT / "tests" / "plugin"]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, places)),
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }


def importable() -> None:
    """Let this process see the tests' tiny backbones too."""
    for place in (ROOT / "tests" / "plugin", ROOT / "tests", ROOT / "src"):
        if str(place) not in sys.path:
            sys.path.insert(0, str(place))


def golden(name: str) -> Path:
    """A golden bundle of the newest schema: "text", "text.headstart" or "image.headstart"."""
    return sorted(GOLDEN.glob("schema-*"))[-1] / name


def resident() -> float:
    """Memory of this process now, MB; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak() -> float:
    """The most memory this process ever had, MB; 0 where the system does not tell."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1e3
    except OSError:
        pass
    return 0.0


def forget_peak() -> None:
    """Begin to measure the peak anew, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return
