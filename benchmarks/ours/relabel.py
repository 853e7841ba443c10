"""What changing labels costs: the head alone on 20,000 made-up rows, 384 numbers, 100 classes.

Once with classes that overlap (about one row in eight is beyond telling), once with classes far apart,
where the solver needs more steps.

    python relabel.py

Prints seconds of a fit from nothing, and of fits after 1 % of the labels were changed: from nothing again,
and with the earlier head, penalty and weighting, as `headstart fit --start` does it; the last one also with
the rows as they were rotated for the first fit.
"""

import json
import statistics
import time

import numpy as np

from headstart.methods import probe
from headstart.solver_rows import rotate

N, D, K, TURNS = 20_000, 384, 100, 3


APART = {"overlapping": 0.2, "far apart": 0.6}  # the classes' centres, in units of the rows' spread


def measure(apart: float) -> dict[str, float]:
    """Seconds of each way, the median of three turns."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, K, N)
    features = (rng.normal(size=(N, D)) + apart * rng.normal(size=(K, D))[codes]).astype(np.float32)
    folds = np.arange(N) % 5
    changed = codes.copy()
    some = rng.choice(N, N // 100, replace=False)
    changed[some] = rng.integers(0, K, len(some))
    first = probe.fit(features, codes, folds, K)
    known = probe.Config(penalty=first.chosen["penalty"], class_weight=first.chosen["class_weight"])
    rows = rotate(features)
    ways = {
        "from nothing": lambda: probe.fit(features, codes, folds, K),
        "1 % changed, from nothing": lambda: probe.fit(features, changed, folds, K),
        "1 % changed, --start": lambda: probe.fit(
            features, changed, folds, K, known, start=first.head
        ),
        "1 % changed, --start, rows rotated before": lambda: probe.fit(
            rows, changed, folds, K, known, start=first.head
        ),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(runs) for name, runs in taken.items()}


def main() -> None:
    """Both kinds of classes."""
    print(json.dumps({name: measure(apart) for name, apart in APART.items()}, indent=1))


if __name__ == "__main__":
    main()
