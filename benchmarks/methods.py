"""What methods that change weights bring over the probe within a budget, on data sets with splits of their own.

    python benchmarks/methods.py --data FOLDER-OF-THE-DATA-SETS --out methods.json
    python benchmarks/methods.py --data FOLDER --cases financial_phrasebank --seeds 0 --budget 2m

Each case is two calls of `fit` for each seed: the probe alone, and a method within the budget, that one with an
empty feature store, as on new data. The seed
changes the order of the rows, the augmentation and which rows judge, and in cases of few labels which rows are
learned from; the rows that are measured stay the same. Scores are those of the test rows, in points; the
interval is of the mean over the seeds (t).
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import headstart as hs
from headstart.compute import cache_dir

_T = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}  # two-sided 95 %, by the number of values
_TEXT = {"input": "text", "target": "label"}

Job = tuple[Path, dict[str, Any], dict[str, Any]]
"""What is learned from, settings of every fit, and those of the method's alone."""


@dataclass(frozen=True)
class Case:
    """One job.

    Attributes:
        job: (folder of the data sets, seed, an empty folder) -> the job.
        budget: of the method's fit.
        metric: that the goal is about.
        method: that is held against the probe.
    """

    job: Callable[[Path, int, Path], Job]
    budget: str
    metric: str = "accuracy"
    method: str = "auto"


def texts(name: str) -> Callable[[Path, int, Path], Job]:
    """All rows of a table of texts."""
    return lambda data, seed, work: (data / name / "data.csv", dict(_TEXT), {})


def pictures(data: Path, seed: int, work: Path) -> Job:
    """trashnet as it is."""
    return data / "trashnet", {}, {}


def few_intents(data: Path, seed: int, work: Path) -> Job:
    """clinc150, its 150 intents: 8 texts of each, drawn from the training rows, and all test rows."""
    with (data / "clinc150" / "data.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] != "oos"]
    groups = defaultdict(list)
    for row in rows:
        if row["split"] == "train":
            groups[row["label"]].append(row)
    rng = random.Random(seed)
    drawn = [row for label in sorted(groups) for row in rng.sample(groups[label], 8)]
    for name, part in (("train", drawn), ("test", [one for one in rows if one["split"] == "test"])):
        with (work / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["text", "label"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(part)
    return work / "train.csv", _TEXT | {"test": str(work / "test.csv")}, {}


def half_labelled(data: Path, seed: int, work: Path) -> Job:
    """trashnet with the labels of half of its training pictures; the other half is there without."""
    labelled, spare = work / "labelled", work / "spare"
    for part in ("val", "test"):
        shutil.copytree(data / "trashnet" / part, labelled / part)
    rng = random.Random(seed)
    for folder in sorted((data / "trashnet" / "train").iterdir()):
        names = sorted(folder.iterdir())
        known = set(rng.sample(names, len(names) // 2))
        for path in names:
            place = labelled / "train" / folder.name if path in known else spare
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place / f"{folder.name}-{path.name}")
    return labelled, {}, {"unlabelled": str(spare)}


CASES = {
    "financial_phrasebank": Case(texts("financial_phrasebank"), "10m", "macro_f1"),
    "trashnet": Case(pictures, "10m"),
    "zh_reviews_10": Case(texts("zh_reviews_10"), "15m"),
    "clinc150_8": Case(few_intents, "4m"),
    "trashnet_distil": Case(half_labelled, "6m", method="distil"),
}


def runs(data: Path, name: str, case: Case, seeds: list[int], budget: str) -> Iterator[dict]:
    """One entry for each fit."""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as work:
            path, settings, own = case.job(data, seed, Path(work))
            for method in ("probe", case.method):
                allowed = {} if method == "probe" else {"budget": budget or case.budget} | own
                began = time.perf_counter()
                with nullcontext() if method == "probe" else empty_store(Path(work)):
                    model = hs.fit(
                        path,
                        method=method,
                        seed=seed,
                        progress=None if method == "probe" else _say,
                        **settings,
                        **allowed,
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


@contextmanager
def empty_store(work: Path) -> Iterator[None]:
    """A cache with the weights and graphs of the usual one, and no features."""
    before, usual = os.environ.get("HEADSTART_CACHE"), cache_dir()
    cache = work / "cache"
    cache.mkdir()
    for part in ("weights", "graphs"):
        (usual / part).mkdir(exist_ok=True)
        (cache / part).symlink_to(usual / part)
    os.environ["HEADSTART_CACHE"] = str(cache)
    try:
        yield
    finally:
        if before is None:
            del os.environ["HEADSTART_CACHE"]
        else:
            os.environ["HEADSTART_CACHE"] = before


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
        "| data | metric | probe | method | kept | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, case in CASES.items():
        own = [one for one in found if one["case"] == name]
        if not own:
            continue
        probe, tuned = (
            [one for one in own if (one["asked"] == "probe") == simple] for simple in (True, False)
        )
        scores = [
            mean_with_interval([100 * one["metrics"][case.metric] for one in part])
            for part in (probe, tuned)
        ]
        lines.append(
            f"| {name} | {case.metric} | {scores[0]} | {scores[1]} |"
            f" {', '.join(one['kept'] for one in tuned)} |"
            f" {', '.join(str(round(one['seconds'])) for one in tuned)} |"
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
