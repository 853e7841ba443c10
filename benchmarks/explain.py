"""Measures whether explanations are faithful: does taking away what they name change the answer most?

    python benchmarks/explain.py --data DIR --out DIR [--n 40] [--only NAME ...] [--split test] [--budget 200]

DIR holds the open data sets trashnet, clinc150 and zh_reviews_10, each as a folder. A model is fitted to
each (and kept in --out), and n rows of the split are explained. Then parts are taken away in the order of
their weights, heaviest first (deletion), or given back to an empty input (insertion), in six steps: the
mean probability of the answer along the way is the area under the curve (Petsiuk et al. 2018). A faithful
order has a low deletion and a high insertion. Beside it: random orders, and the simplest rival, taking one
part (for pictures: one window) away at a time. Differences are of the same inputs, with 95 % bootstrap
intervals. Pictures are measured with the cover that was used for explaining, the blur, and with one that
was not, the mean colour.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import headstart as hs
from headstart.compute import generator
from headstart.data import table as tables
from headstart.runtime import additive, explain
from headstart.types import Table

SETS = {
    "trashnet": {"backbone": "starter:lite0"},
    "clinc150": {"input": "text", "target": "label", "split": "split"},
    "zh_reviews_10": {"input": "text", "target": "label", "split": "split"},
}
STEPS = 6
RANDOM = 2  # random orders an input
WINDOW = 4  # cells a side of the rival's window


def model_of(name: str, data: Path, out: Path) -> hs.Model:
    """The model of a data set, fitted once."""
    kept = out / f"{name}.headstart"
    if not kept.exists():
        source = data / name if name == "trashnet" else data / name / "data.csv"
        hs.fit(source, out=kept, **SETS[name])
    return hs.load(kept)


def rows_of(name: str, data: Path, split: str, n: int) -> list[object]:
    """Some rows of a split, drawn with a fixed seed."""
    if name == "trashnet":
        table: Table = tables.read(data / name / split)
        chosen = np.arange(len(table))
    else:
        table = tables.read(data / name / "data.csv", **SETS[name])
        assert table.split is not None
        chosen = np.flatnonzero(np.array(table.split) == split)
    some = generator(7).permutation(chosen)[:n]
    return [table.inputs[i] for i in some]


def curves(ask: additive.Ask, orders: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean probability of the answer while the parts go, or come, in each order."""
    n = len(next(iter(orders.values())))
    counts = np.unique(np.linspace(0, n, min(n, STEPS) + 1).round().astype(int))
    trials = {}
    for who, order in orders.items():
        gone = np.argsort(order)[None, :] < counts[:, None]  # (steps, n): among the first ones
        trials[f"{who} deletion"], trials[f"{who} insertion"] = ~gone, gone
    unique, places = np.unique(np.vstack(list(trials.values())), axis=0, return_inverse=True)
    probability = (1 / (1 + np.exp(-ask(unique))))[places.ravel()].reshape(len(trials), -1)
    areas = np.trapezoid(probability, counts / n, axis=1)
    return dict(zip(trials, areas.tolist()))


def one_at_a_time(ask: additive.Ask, parts: additive.Parts) -> np.ndarray:
    """Weights by taking one part away at a time, for pictures one window (Zeiler and Fergus 2014)."""
    n = len(parts)
    if parts.places.shape[1] == 1:
        kept = np.vstack([np.ones((1, n), bool), ~np.eye(n, dtype=bool)])
        values = ask(kept)
        return values[0] - values[1:]
    row, column = parts.places.T
    side = int(row.max()) + 1
    corners = range(side - WINDOW + 1)
    inside = np.array(
        [
            (row >= y) & (row < y + WINDOW) & (column >= x) & (column < x + WINDOW)
            for y in corners
            for x in corners
        ]
    )
    values = ask(np.vstack([np.ones((1, n), bool), ~inside]))
    drops = values[0] - values[1:]
    return drops @ inside / inside.sum(axis=0)


def measure(
    model: hs.Model, given: object, budget: int, number: int
) -> dict[str, dict[str, float]]:
    """Deletion and insertion of one input, by cover and by who made the order."""
    predictor = model.predictor
    (prediction,) = predictor.predict([given])
    asked = explain.Asked(predictor, predictor.labels.index(str(prediction.label)))
    cut = explain.cut_up(predictor, asked, given)
    parts = cut.parts(budget)
    if len(parts) < 3:
        return {}
    rng = generator(11, number)
    found = additive.account(cut.ask, parts, budget, generator(0))
    orders = {
        "ours": np.argsort(-found.weights, kind="stable"),
        "one at a time": np.argsort(-one_at_a_time(cut.ask, parts), kind="stable"),
        **{f"random {i}": rng.permutation(len(parts)) for i in range(RANDOM)},
    }
    asks: dict[str, additive.Ask] = {"as used": cut.ask}
    if isinstance(cut, explain.CutPicture):
        mean = cut.pixels.mean(axis=(0, 1)).round().astype(np.uint8)
        plain = np.broadcast_to(mean, cut.pixels.shape)
        asks["mean colour"] = explain.CutPicture(asked, predictor, given, plain).ask
    measured: dict[str, dict[str, float]] = {}
    for cover, ask in asks.items():
        scores = curves(ask, orders)
        for way in ("deletion", "insertion"):
            drawn = [scores.pop(f"random {i} {way}") for i in range(RANDOM)]
            scores[f"random {way}"] = float(np.mean(drawn))
        measured[cover] = {**scores, "fidelity": found.fidelity}
    return measured


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and its 95 % bootstrap interval."""
    draws = generator(3).integers(0, len(values), (2000, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def summary(name: str, found: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, object]]:
    """Means, and differences with their intervals, by cover."""
    result: dict[str, dict[str, object]] = {}
    for cover in found[0]:
        column: Callable[[str], np.ndarray] = lambda key, cover=cover: np.array(  # noqa: E731
            [one[cover][key] for one in found]
        )
        rows: dict[str, object] = {
            "n": len(found),
            "fidelity": float(np.median(column("fidelity"))),
        }
        for way, sign in (("deletion", -1), ("insertion", 1)):
            for who in ("ours", "one at a time", "random"):
                rows[f"{way}, {who}"] = float(column(f"{who} {way}").mean())
            for rival in ("random", "one at a time"):
                better = sign * (column(f"ours {way}") - column(f"{rival} {way}"))
                rows[f"{way}, better than {rival} by"] = interval(better)
        result[cover] = rows
        print(f"\n{name}, cover {cover}:")
        for key, value in rows.items():
            if isinstance(value, tuple):
                print(f"  {key}: {value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]")
            else:
                print(f"  {key}: {value:.3f}" if isinstance(value, float) else f"  {key}: {value}")
    return result


def main() -> int:
    """Measure and write; see the file's docstring."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--data", type=Path, required=True)
    reader.add_argument("--out", type=Path, required=True)
    reader.add_argument("--n", type=int, default=40)
    reader.add_argument("--only", nargs="*", choices=SETS, default=list(SETS))
    reader.add_argument("--split", default="test")
    reader.add_argument("--budget", type=int, default=explain.BUDGET)
    given = reader.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    written = given.out / "explain.json"
    results = json.loads(written.read_text("utf-8")) if written.exists() else {}
    for name in given.only:
        model = model_of(name, given.data, given.out)
        kept = given.out / f"{name}-{given.split}-{given.budget}.jsonl"
        found = (
            [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
        )
        for number, one in enumerate(rows_of(name, given.data, given.split, given.n)):
            if number < len(found):  # measured before: a stopped run goes on
                continue
            found.append(measure(model, one, given.budget, number))
            with kept.open("a") as file:
                file.write(json.dumps(found[-1]) + "\n")
        results[name] = summary(name, [one for one in found if one])
    written.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
