"""A decision as bundle.json keeps it: every field checked when it is read, the first wrong one named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from headstart.errors import BundleError
from headstart.types import Decision

_SETS = ("lac", "aps", "class")
_AGAIN = "copy the bundle again from where it was made, or make it again with headstart fit"


def schema(decision: Decision) -> int:
    """The oldest bundle schema whose readers decide as this decision says."""
    plain = not (decision.scale or decision.shift) and decision.sets == "lac"
    return 1 if plain and decision.familiar_above is None else 2


def to_json(decision: Decision) -> dict[str, Any]:
    """As plain JSON values; fields that readers of schema 1 do not know only where they say something."""
    data: dict[str, Any] = {
        "temperature": decision.temperature,
        "coverage": decision.coverage,
        "set_threshold": decision.set_threshold,
        "abstain_below": decision.abstain_below,
    }
    if decision.scale or decision.shift:
        data |= {"scale": list(decision.scale), "shift": list(decision.shift)}
    if decision.sets != "lac":
        data["sets"] = decision.sets
    if decision.class_thresholds:
        data["class_thresholds"] = list(decision.class_thresholds)
    for name in ("familiar_above", "at_precision"):
        if getattr(decision, name) is not None:
            data[name] = getattr(decision, name)
    return data


def from_json(data: Mapping[str, Any], k: int, where: str = "bundle.json") -> Decision:
    """The inverse of `to_json`.

    Args:
        data: the object.
        k: how many labels there are.
        where: the file's name, for the error.

    Raises:
        BundleError: a field is missing, of the wrong kind or length, or out of range.
    """
    read = _Reader(data, where)
    kind = data.get("sets", "lac")
    if kind not in _SETS:
        raise read.wrong("sets", kind, f"one of {', '.join(_SETS)}")
    each = k if kind == "class" else 0
    return Decision(
        temperature=read.number("temperature", above=0.0),
        coverage=read.number("coverage", above=0.0, below=1.0),
        set_threshold=read.number("set_threshold", low=0.0, high=1.0),
        abstain_below=read.number("abstain_below", low=0.0, high=1.0, missing=0.0),
        scale=read.numbers("scale", (0, k)),
        shift=read.numbers("shift", (0, k)),
        sets=kind,
        class_thresholds=read.numbers("class_thresholds", (each,), low=0.0, high=1.0),
        familiar_above=read.maybe("familiar_above"),
        at_precision=read.maybe("at_precision", above=0.0, below=1.0),
    )


class _Reader:
    """Takes numbers out of an untrusted object."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self.data, self.where = data, where

    def wrong(self, field: str, got: Any, wanted: str) -> BundleError:
        shown = repr(got)
        shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
        return BundleError(f"{self.where}: decision.{field} is {shown}, not {wanted}.", fix=_AGAIN)

    def number(self, field: str, *, missing: float | None = None, **bounds: float) -> float:
        if field not in self.data and missing is not None:
            return missing
        return self._checked(field, self.data.get(field), bounds)

    def maybe(self, field: str, **bounds: float) -> float | None:
        value = self.data.get(field)
        return None if value is None else self._checked(field, value, bounds)

    def numbers(self, field: str, lengths: tuple[int, ...], **bounds: float) -> tuple[float, ...]:
        values = self.data.get(field, [])
        if not isinstance(values, list):
            raise self.wrong(field, values, "a list of numbers")
        if len(values) not in lengths:
            wanted = " or ".join(str(length) for length in sorted(set(lengths)))
            raise self.wrong(field, values, f"{wanted} numbers, it holds {len(values)}")
        return tuple(self._checked(f"{field}[{i}]", one, bounds) for i, one in enumerate(values))

    def _checked(self, field: str, value: Any, bounds: Mapping[str, float]) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(field, value, "a number")
        try:
            number = float(value)
        except OverflowError:  # an integer of hundreds of digits
            number = math.inf
        sound = (
            math.isfinite(number)
            and number > bounds.get("above", -math.inf)
            and number < bounds.get("below", math.inf)
            and bounds.get("low", -math.inf) <= number <= bounds.get("high", math.inf)
        )
        if not sound:
            raise self.wrong(field, value, _range(bounds))
        return number


def _range(bounds: Mapping[str, float]) -> str:
    low, high = bounds.get("low"), bounds.get("high")
    if low is not None and high is not None:
        return f"within {low:g}..{high:g}"
    if "below" in bounds:
        return f"between {bounds['above']:g} and {bounds['below']:g}"
    if "above" in bounds:
        return f"a finite number above {bounds['above']:g}"
    return "a finite number"
