"""What a pretrained backbone bought, as it is kept in a page, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from headstart.report.kept_trust import metric_from
from headstart.scores import Metric, Transfer


def transfer_from(data: Mapping[str, Any]) -> Transfer:
    """The inverse of `Transfer.to_json`.

    Raises:
        ValueError: a curve has another length than its numbers of rows, or these are not ascending from 1.
    """
    rows = tuple(int(n) for n in data["rows"])
    if any(b <= a for a, b in zip((0, *rows), rows)):
        raise ValueError(f"numbers of rows {rows}")
    with_, without, lead = (
        tuple(map(metric_from, data[name])) for name in ("with", "without", "lead")
    )
    if any(len(curve) != len(rows) for curve in (with_, without, lead)):
        raise ValueError("a curve of another length than its numbers of rows")
    needed = None if data["needed"] is None else metric_from(data["needed"])
    return Transfer(
        rows,
        with_,
        without,
        lead,
        needed if rows and needed is not None and _known(needed) else None,
        int(data["more_than"]),
        int(data["held"]),
        str(data["note"]),
    )


def _known(metric: Metric) -> bool:
    return all(map(math.isfinite, (metric.value, metric.low, metric.high)))
