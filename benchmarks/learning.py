"""How far the learning curve's extrapolation can be believed, on open data sets.

    python benchmarks/learning.py --data DATA --part dev --seeds 5
    python benchmarks/learning.py --data DATA --part test --seeds 5 --out learning.json

DATA holds the data sets as folders (trashnet, pacs, clinc150, ...). From a quarter and from half of the
training rows, drawn anew for each seed, the gain of (nearly) doubling them is predicted, then the probe is
fitted on the larger number, and both models are measured on rows that neither learned from: a third of
the training rows that is set apart ("dev", where the constants of the method were chosen), or the test rows
("test", looked at last). The rival is "no change". The measured gain has noise of its own, so an interval
is also counted as holding it after that noise is added in quadrature.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.backbones.choose import backbone_for
from headstart.data import table as tables
from headstart.data.split import make_split
from headstart.evaluation.learning import learning_curve
from headstart.features.extract import extract
from headstart.features.store import Store
from headstart.methods import probe
from headstart.solver_rows import rotate
from headstart.types import Table

_Z = 1.96


@dataclass(frozen=True)
class Rows:
    """One data set.

    Attributes:
        name: for the table.
        table: all rows.
        features: (n, d).
        codes: (n,) class numbers.
        test: (n,) bool, the official test rows.
    """

    name: str
    table: Table
    features: np.ndarray
    codes: np.ndarray
    test: np.ndarray


def data_sets(root: Path) -> Iterator[Rows]:
    """The data sets that are there, those with domains once for each domain."""
    for name in (
        "trashnet",
        *(f"pacs/{one}" for one in ("art_painting", "cartoon", "photo", "sketch")),
    ):
        if (root / name).is_dir():
            yield from _sets(name, tables.read(root / name), None)
    for name in ("financial_phrasebank", "zh_reviews_10", "clinc150"):
        path = root / name / "data.csv"
        if path.exists():
            read = tables.read(path, input="text", target="label", split="split")
            domains = None
            if name != "financial_phrasebank":
                domains = tables.read(path, input="text", target="domain", split="split").targets
            yield from _sets(name, read, domains)


def _sets(name: str, table: Table, domains: tuple[str, ...] | None) -> Iterator[Rows]:
    backbone = backbone_for(table, "auto", offline=True, say=print)
    features = extract(table, backbone, store=Store()).values
    where = np.zeros(len(table), int) if domains is None else np.array(domains)
    assert table.targets is not None
    assert table.split is not None
    assert len(where) == len(table)
    for domain in np.unique(where):
        rows = np.flatnonzero(where == domain)
        part = table.take(rows)
        codes = np.unique(np.array(part.targets), return_inverse=True)[1]
        if codes.max() > 0:
            title = name if domains is None else f"{name}/{domain}"
            yield Rows(title, part, features[rows], codes, np.array(part.split) == "test")


def measure(rows: Rows, seed: int, part: str, scaled: bool) -> Iterator[dict[str, Any]]:
    """Predicted and measured gains from a quarter and from half of the training rows."""
    rng = np.random.default_rng(seed)
    pool = _shuffled(rows.codes, np.flatnonzero(~rows.test), rng)
    judged = np.flatnonzero(rows.test)
    if part == "dev":
        apart = _shuffled(rows.codes, np.flatnonzero(~rows.test), np.random.default_rng(99))
        judged = apart[::3]
        pool = pool[~np.isin(pool, judged)]
    for share in (4, 2):
        n = len(pool) // share
        if n < 40:
            continue
        made, folds, split_rows, spent = _fit(rows, pool[:n])
        started = time.perf_counter()
        curve = _curve(rows, split_rows, folds, made, scaled, np.random.default_rng([seed, share]))
        seconds = time.perf_counter() - started
        if curve.gain is None:
            continue
        larger, _, _, _ = _fit(rows, pool[: n + curve.more])
        before, after = _right(rows, made, judged), _right(rows, larger, judged)
        change = after.astype(float) - before
        yield {
            "name": rows.name,
            "n": n,
            "more": curve.more,
            "gain": curve.gain.to_json(),
            "measured": float(change.mean()),
            "noise": float(change.std() / np.sqrt(len(change))),
            "seconds": seconds,
            "fit_seconds": spent,
        }


def _fit(rows: Rows, index: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, float]:
    """The probe as a fit makes it: its candidate, folds, rows in the order of the folds, seconds."""
    from dataclasses import replace

    table = replace(rows.table.take(index), split=None)
    split = make_split(table, with_test=False)
    index = index[split.train]
    k = int(rows.codes.max()) + 1
    started = time.perf_counter()
    made = probe.fit(rows.features[index], rows.codes[index], split.folds, k)
    return made, split.folds, index, time.perf_counter() - started


def _curve(
    rows: Rows,
    index: np.ndarray,
    folds: np.ndarray,
    made: Any,
    scaled: bool,
    rng: np.random.Generator,
) -> Any:
    features, codes = rows.features[index], rows.codes[index]
    penalty, weight = made.chosen["penalty"], made.chosen["class_weight"]

    def fit(x: Any, y: np.ndarray, none: np.ndarray, k: int, *, start: Any) -> Any:
        own = penalty * len(codes) * 0.8 / len(y) if scaled else penalty
        return probe.fit(x, y, none, k, probe.Config(weight, own), start=start)

    k = int(rows.codes.max()) + 1
    return learning_curve(
        features, codes, folds, k, fit, rng, rows=rotate(features), candidate=made
    )


def _shuffled(codes: np.ndarray, index: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows in an order every beginning of which holds the classes by their shares."""
    index = rng.permutation(index)
    place = np.empty(len(index))
    for code in np.unique(codes[index]):
        own = np.flatnonzero(codes[index] == code)
        place[own] = (np.arange(len(own)) + rng.random()) / len(own)
    return index[np.argsort(place, kind="stable")]


def _right(rows: Rows, made: Any, judged: np.ndarray) -> np.ndarray:
    said = (rows.features[judged] @ made.head.weight + made.head.bias).argmax(axis=1)
    return said == rows.codes[judged]


def summary(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a data set, and one for all of them, each data set weighing the same."""
    lines = []
    for name in dict.fromkeys(one["name"] for one in results):
        own = [one for one in results if one["name"] == name]
        gain = np.array([one["gain"]["value"] for one in own])
        low, high = (np.array([one["gain"][end] for one in own]) for end in ("low", "high"))
        measured, noise = (np.array([one[key] for one in own]) for key in ("measured", "noise"))
        down = gain - np.hypot(gain - low, _Z * noise)
        up = gain + np.hypot(high - gain, _Z * noise)
        lines.append(
            {
                "name": name,
                "runs": len(own),
                "rows": f"{min(one['n'] for one in own):,}-{max(one['n'] for one in own):,}",
                "predicted": float(gain.mean()),
                "measured": float(measured.mean()),
                "error": float(np.abs(gain - measured).mean()),
                "no_change": float(np.abs(measured).mean()),
                "bias": float((gain - measured).mean()),
                "width": float((high - low).mean()),
                "covered": float(((low <= measured) & (measured <= high)).mean()),
                "covered_with_noise": float(((down <= measured) & (measured <= up)).mean()),
                "time": float(np.median([one["seconds"] / one["fit_seconds"] for one in own])),
            }
        )
    mean = {
        key: float(np.mean([line[key] for line in lines]))
        for key in lines[0]
        if key not in ("name", "rows")
    }
    return [*lines, {"name": "all, equally", "rows": "", **mean, "runs": len(results)}]


def table(lines: list[dict[str, Any]]) -> str:
    """The results in Markdown; gains and errors in points of accuracy."""
    head = (
        '| data set | rows | runs | predicted | measured | mean error | of "no change" | interval\'s width '
        "| holds the measured gain | with its noise | time / fit's time |"
    )
    told = [head, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for one in lines:
        points = " | ".join(
            f"{100 * one[key]:.1f}"
            for key in ("predicted", "measured", "error", "no_change", "width")
        )
        told.append(
            f"| {one['name']} | {one['rows']} | {one['runs']} | {points} | {100 * one['covered']:.0f} % "
            f"| {100 * one['covered_with_noise']:.0f} % | {one['time']:.2f} |"
        )
    return "\n".join(told)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--part", choices=("dev", "test"), default="dev")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--penalty", choices=("fixed", "scaled"), default="scaled")
    parser.add_argument("--only", default="", help="data sets whose name begins so")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    results = []
    for rows in data_sets(asked.data):
        if rows.name.startswith(asked.only):
            for seed in range(asked.seeds):
                results += measure(rows, seed, asked.part, asked.penalty == "scaled")
    if asked.out:
        asked.out.write_text(json.dumps(results, indent=1))
    print(table(summary(results)))


if __name__ == "__main__":
    main()
