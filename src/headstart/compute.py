"""What this machine offers: cache folder, processors, random generators."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

import numpy as np

from headstart.errors import ConfigError


def cache_dir() -> Path:
    """Where graphs, weights and features are kept: HEADSTART_CACHE, or the user's cache folder.

    Raises:
        ConfigError: the folder is not there and cannot be made.
    """
    import platformdirs  # not at the top: the runtime does without it

    chosen = os.environ.get("HEADSTART_CACHE")
    folder = (
        Path(chosen).expanduser()
        if chosen
        else Path(platformdirs.user_cache_dir("headstart", False))
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The cache folder {folder} cannot be made: {error.strerror or error}.",
            fix="set HEADSTART_CACHE to a folder that may be written to",
        ) from error
    return folder


def threads() -> int:
    """Processors this process may use: the affinity mask, cut down to the cgroup's CPU quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(count, quota) if quota else count)


def _cgroup_quota() -> int | None:
    """Processors allowed by a container's limit, rounded up; None without one."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if limit == "max" else max(1, -(-int(limit) // int(period)))
    except (OSError, ValueError):
        return None


@functools.cache
def processor() -> str:
    """The processor's name and what it can do: timings and choices of engine hold for one of these."""
    said: dict[str, str] = {}
    try:
        first = Path("/proc/cpuinfo").read_text("utf-8", "replace").split("\n\n")[0]
    except OSError:
        first = ""
    for line in first.splitlines():
        name, _, value = line.partition(":")
        said[name.strip()] = value.strip()
    named = said.get("model name") or platform.processor() or platform.machine()
    wide = [flag for flag in said.get("flags", "").split() if flag.startswith(("avx", "amx"))]
    return " ".join([named, *wide])


def generator(seed: int, *stream: int) -> np.random.Generator:
    """A generator for one purpose: the same seed and stream numbers give the same draws."""
    return np.random.default_rng([seed, *stream])
