"""What is shown of a fit, by the same names in every tracker."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.scores import Metric, Trials
from headstart.types import Epoch

_PLACES = {"test", "start", "out", "cluster"}  # settings that say where something lies


def of_epoch(method: str, epoch: Epoch) -> dict[str, float]:
    """The numbers of one epoch: METHOD/train_loss, /held_loss, /score, /lr and /seconds.

    Numbers that are missing or not finite are left out.
    """
    names = ("train_loss", "held_loss", "score", "lr", "seconds")
    return _finite({f"{method}/{name}": getattr(epoch, name) for name in names})


def of_end(metrics: Mapping[str, Metric], trials: Trials | None) -> dict[str, float]:
    """The numbers of the outcome.

    Args:
        metrics: name -> value with interval, of the rows that were measured.
        trials: the candidates that were compared; None where one was made.

    Returns:
        measured/NAME with measured/NAME_low and measured/NAME_high, the ends of the interval; and
        tried/METHOD, the score of a candidate on held-out rows, also with its interval.
    """
    scores = {one.method: one.score for one in trials.tried} if trials else {}
    found: dict[str, float | None] = {}
    for group, values in (("measured", metrics), ("tried", scores)):
        for name, value in values.items():
            if value is not None:
                found[f"{group}/{name}"] = value.value
                found[f"{group}/{name}_low"] = value.low
                found[f"{group}/{name}_high"] = value.high
    return _finite(found)


def kept(trials: Trials | None) -> str:
    """Method of the candidate that was kept; empty where only one was made."""
    return trials.kept if trials else ""


def settings_of(config: Any) -> dict[str, str | int | float | bool]:
    """The settings of a call, flat, without what says where things lie on this machine.

    Args:
        config: a dataclass of settings; it may hold others.

    Returns:
        Name -> value; those of an inner dataclass as OUTER.NAME. Settings that are None are left out, and
        so are places: test, start, out, cluster, and values that are the path of something. What is no
        plain value is written as JSON.
    """
    return flat({k: v for k, v in dataclasses.asdict(config).items() if k not in _PLACES})


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, str | int | float | bool]:
    """Nested settings as one level; paths and None are left out.

    Args:
        settings: name -> value or mapping.
        before: what the names begin with.
    """
    found: dict[str, str | int | float | bool] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        elif isinstance(value, (list, tuple)):
            found[before + name] = json.dumps([str(one) for one in value if not _is_path(one)])
        elif value is not None and not _is_path(value):
            plain = isinstance(value, (str, int, float, bool))
            found[before + name] = value if plain else str(value)
    return found


def _is_path(value: Any) -> bool:
    if isinstance(value, Path):
        return True
    if not isinstance(value, str):
        return False
    source, _, rest = value.partition(":")
    if source in ("hf", "timm", "starter"):  # a backbone; hf:FOLDER is one on this machine
        value = rest
    if value.startswith(("/", "\\", "~", "./", "../", ".\\", "..\\")) or value[1:3] in (
        ":\\",
        ":/",
    ):
        return True
    return ("/" in value or "\\" in value) and Path(value).exists()


def _finite(values: Mapping[str, float | None]) -> dict[str, float]:
    return {k: float(v) for k, v in values.items() if v is not None and math.isfinite(v)}
