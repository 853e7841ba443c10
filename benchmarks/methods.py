"""What methods that change weights bring over the probe within a budget, on data sets with splits of their own.

    python benchmarks/methods.py --data FOLDER-OF-THE-DATA-SETS --out methods.json
    python benchmarks/methods.py --data FOLDER --cases financial_phrasebank --seeds 0 --budget 2m

Each case is one call of `fit` for each seed: the probe alone, and `method="auto"` within the budget. The seed
changes the order of the rows, the augmentation and which rows judge; the rows that are measured stay the
same. Scores are those of the test rows, in points; the interval is of the mean over the seeds (t).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import headstart as hs

_T = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}  # two-sided 95 %, by the number of values


@dataclass(frozen=True)
class Case:
    """One data set.

    Attributes:
        data: folder or file within the folder of the data sets.
        budget: of the whole fit.
        metric: that the goal is about.
        keywords: further settings of the fit.
    """

    data: str
    budget: str
    metric: str = "accuracy"
    keywords: dict[str, Any] = field(default_factory=dict)


CASES = {
    "financial_phrasebank": Case(
        "financial_phrasebank/data.csv", "10m", "macro_f1", {"input": "text", "target": "label"}
    ),
    "trashnet": Case("trashnet", "10m"),
    "zh_reviews_10": Case(
        "zh_reviews_10/data.csv", "15m", "accuracy", {"input": "text", "target": "label"}
    ),
}


def runs(data: Path, name: str, case: Case, seeds: list[int], budget: str) -> Iterator[dict]:
    """One entry for each fit."""
    for seed in seeds:
        for method, allowed in (("probe", ""), ("auto", budget or case.budget)):
            began = time.perf_counter()
            model = hs.fit(
                data / case.data,
                method=method,
                budget=allowed,
                seed=seed,
                progress=_say if method == "auto" else None,
                **case.keywords,
            )
            evaluation = model.evaluation
            yield {
                "case": name,
                "seed": seed,
                "asked": method,
                "kept": model.report.method,
                "seconds": round(time.perf_counter() - began, 1),
                "metrics": {key: one.value for key, one in evaluation.metrics.items()},
                "coverage": evaluation.coverage,
                "trials": evaluation.trials and evaluation.trials.to_json(),
            }


def _say(stage: str, done: int, total: int) -> None:
    if " " in stage:
        print("   ", stage, flush=True)


def mean_with_interval(values: list[float]) -> str:
    """ "83.5 (82.1 to 84.9)", the interval of the mean over the seeds."""
    mean = float(np.mean(values))
    if len(values) not in _T:
        return f"{mean:.1f}"
    half = _T[len(values)] * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{mean:.1f} ({mean - half:.1f} to {mean + half:.1f})"


def table(found: list[dict[str, Any]]) -> str:
    """A table in Markdown."""
    lines = [
        "| data | metric | probe | auto | kept | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, case in CASES.items():
        own = [one for one in found if one["case"] == name]
        if not own:
            continue
        scores = {
            asked: [100 * one["metrics"][case.metric] for one in own if one["asked"] == asked]
            for asked in ("probe", "auto")
        }
        auto = [one for one in own if one["asked"] == "auto"]
        lines.append(
            f"| {name} | {case.metric} | {mean_with_interval(scores['probe'])} |"
            f" {mean_with_interval(scores['auto'])} | {', '.join(one['kept'] for one in auto)} |"
            f" {', '.join(str(round(one['seconds'])) for one in auto)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--budget", default="", help="instead of each case's own")
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    args = parser.parse_args()
    found: list[dict[str, Any]] = []
    for name in args.cases:
        for one in runs(args.data, name, CASES[name], args.seeds, args.budget):
            shown = {key: round(100 * value, 1) for key, value in one["metrics"].items()}
            print(
                one["case"],
                one["seed"],
                one["asked"],
                one["kept"],
                one["seconds"],
                shown,
                flush=True,
            )
            found.append(one)
            if args.out:
                args.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
