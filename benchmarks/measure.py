"""Measures whole processes, and says what a few measurements are worth."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# two-sided 95 % quantiles of Student's t for 1 to 9 degrees of freedom
_T95 = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Failed(Exception):
    """A process ended badly; the message tells how."""


@dataclass(frozen=True)
class Run:
    """One process, from its start to its end.

    Attributes:
        wall_s: seconds on the clock.
        cpu_s: seconds of processor time, of the process and of the children it waited for.
        peak_mb: largest resident memory of one process in the tree, in 10^6 bytes.
        result: the JSON object that it printed.
        at: when it ended.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    result: dict[str, Any] = field(default_factory=dict)
    at: str = ""


def process(
    words: Sequence[str | Path], env: Mapping[str, str] | None = None, timeout: float = 7200
) -> Run:
    """Run a program and measure it.

    Args:
        words: its command line. The last line of its standard output that is a JSON object, or the
            whole output, becomes the result.
        env: variables added to the environment.
        timeout: seconds after which it is stopped.

    Raises:
        Failed: it ended with another status than 0; with the end of what it said.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in words],
            stdout=out,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        try:
            status, usage, seconds = _wait(child, started, timeout)
        finally:
            if child.returncode is None:  # we are interrupted: it must not go on by itself
                os.killpg(child.pid, signal.SIGKILL)
        out.seek(0)
        errors.seek(0)
        said, complaints = (file.read().decode("utf-8", "replace") for file in (out, errors))
    if status:
        told = [line.strip() for line in (complaints or said).splitlines() if line.strip()]
        raise Failed(f"ended with {status}: {' / '.join(told[-3:])[-600:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(
        seconds,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * unit / 1e6,
        _object(said),
        time.strftime("%Y-%m-%d %H:%M:%S"),
    )


def _wait(child: subprocess.Popen[bytes], started: float, timeout: float) -> tuple[int, Any, float]:
    """wait4 tells what this one child used; its group is ended if it takes too long."""
    pause = 0.002
    while True:
        found, status, usage = os.wait4(child.pid, os.WNOHANG)
        seconds = time.perf_counter() - started
        if found:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode, usage, seconds
        if seconds > timeout:
            os.killpg(child.pid, signal.SIGKILL)
            os.wait4(child.pid, 0)
            child.returncode = -9
            raise Failed(f"stopped after {timeout:.0f} s")
        time.sleep(pause)
        pause = min(pause * 1.2, 0.02)


def _object(said: str) -> dict[str, Any]:
    for text in (*reversed(said.strip().splitlines()[-5:]), said):
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def interval_of_mean(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean of a few draws, by Student's t."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, mean
    half = _T95[min(len(values) - 2, 8)] * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def interval_of_share(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of n test rows (Wilson 1927)."""
    if not n:
        return 0.0, 1.0
    z = 1.959964
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def machine() -> dict[str, Any]:
    """What it was measured on."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model, memory = "", 0.0
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*: (.+)", info.read_text("utf-8", "replace"))
        model = found[1] if found else ""
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processors": threads,
        "processor": model or platform.processor(),
        "memory_gb": round(memory, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }
