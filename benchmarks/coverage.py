"""Do prediction sets hold the truth as often as they say, and are probabilities what they say?

    python benchmarks/coverage.py --data FOLDER-OF-THE-DATA-SETS --out coverage.json
    python benchmarks/coverage.py --quick                           # made-up data only, 20 splits

On every one of many seeded splits of a data set's rows, the probe is fitted on some rows as `fit` does it,
its out-of-fold logits make the decision, and the sets are measured on the other rows. All rows are pooled
first, so that learned and measured rows are exchangeable, which is what the promise rests on; what the
data's own split gives stands beside it. The same for answers that are withheld so that 95 % of those given
are right. "as promised" is the share of sets that hold the truth by the
threshold alone; "as served" also counts those where only the top label saves an otherwise empty set.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart import metrics
from headstart.errors import DataError
from headstart.evaluation.calibrate import calibrate
from headstart.evaluation.sets import KINDS
from headstart.methods import probe
from headstart.runtime.decide import prediction_sets, probabilities
from headstart.types import Decision

SETS = ("clinc150", "trashnet", "financial_phrasebank", "zh_reviews_10")
MEANT = 0.9
PRECISION = 0.95  # of the answers that are given
_FOLDS = 5
_MOST = 3000  # rows that are learned from, and that are measured, in one split


@dataclass(frozen=True)
class Draw:
    """One split of one data set.

    Attributes:
        held_out: (n, k) out-of-fold logits.
        codes: (n,).
        folds: (n,).
        logits: (m, k) of the rows that were not learned from.
        truth: (m,).
    """

    held_out: np.ndarray
    codes: np.ndarray
    folds: np.ndarray
    logits: np.ndarray
    truth: np.ndarray


def made_up(seed: int, n: int = 600, m: int = 2000, k: int = 6) -> Draw:
    """Logits that are too sure, and truths drawn from the honest probabilities."""
    rng = np.random.default_rng([seed, 7])
    honest = rng.normal(size=(n + m, k)) * 2 + rng.normal(size=k)
    codes = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    logits = 2.5 * honest + rng.normal(size=k)  # and each class is shifted
    return Draw(logits[:n], codes[:n], np.arange(n) % _FOLDS, logits[n:], codes[n:])


def fitted(
    features: np.ndarray, codes: np.ndarray, train: np.ndarray, test: np.ndarray, penalty: float
) -> Draw:
    """The probe on some rows, its out-of-fold logits, and its logits of the other rows."""
    k = int(codes.max()) + 1
    truth = codes[train]
    folds = np.empty(len(train), dtype=np.int64)
    folds[np.argsort(truth, kind="stable")] = np.arange(len(train)) % _FOLDS
    settings = probe.Config(class_weight="none", penalty=penalty, held_out_rows=10**9)
    made = probe.fit(features[train], truth, folds, k, settings)
    logits = features[test] @ made.head.weight + made.head.bias
    return Draw(made.held_out, truth, folds, logits, codes[test])


def splits(rows: Any, seeds: int, given: tuple[int, int]) -> Iterator[tuple[np.ndarray, ...]]:
    """Row numbers (train, test) drawn from all rows; groups of equal rows stay on one side."""
    learned, measured = given
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 11])
        place = rng.permutation(int(rows.groups.max()) + 1)[rows.groups]
        order = np.argsort(place, kind="stable")
        cut = min(learned, _MOST)
        while cut < len(order) and place[order[cut]] == place[order[cut - 1]]:
            cut += 1
        train = rng.permutation(order[:cut])
        yield train, order[cut : cut + min(measured, _MOST)]


def measure(draw: Draw) -> dict[str, float]:
    """Coverage and size of each kind of sets, and the calibration error, of one draw."""
    found: dict[str, float] = {}
    at = np.arange(len(draw.truth))
    for kind in KINDS:
        decision = calibrate(draw.held_out, draw.codes, folds=draw.folds, coverage=MEANT, sets=kind)
        p = probabilities(draw.logits, decision)
        served = prediction_sets(p, decision)
        hits = promised(p, decision)[at, draw.truth]
        found[f"{kind} as promised"] = float(hits.mean())
        found[f"{kind} as served"] = float(served[at, draw.truth].mean())
        found[f"{kind} size"] = float(served.sum(axis=1).mean())
        found[f"{kind} least covered class"] = min(
            float(hits[draw.truth == c].mean()) for c in np.unique(draw.truth)
        )
    found |= precise(draw)
    plain = metrics.softmax(draw.logits)
    found["vector scaling"] = float(bool(decision.scale))
    found["accuracy"] = float((p.argmax(axis=1) == draw.truth).mean())
    found["ece before"] = metrics.ece(plain, draw.truth)
    found["ece"] = metrics.ece(p, draw.truth)
    found["ece noise"] = noise(p, np.random.default_rng(0))
    found["log loss before"] = metrics.log_loss(plain, draw.truth)
    found["log loss"] = metrics.log_loss(p, draw.truth)
    return found


def precise(draw: Draw) -> dict[str, float]:
    """What is answered, and right of it, where a precision was asked for; NaN where it was refused."""
    try:
        decision = calibrate(draw.held_out, draw.codes, folds=draw.folds, at_precision=PRECISION)
    except DataError:  # the held-out rows do not show it: `fit` makes no model
        return {"answered": float("nan"), "right of those": float("nan"), "made": 0.0}
    p = probabilities(draw.logits, decision)
    given = p.max(axis=1) >= decision.abstain_below
    right = (p.argmax(axis=1) == draw.truth)[given]
    return {"answered": float(given.mean()), "right of those": float(right.mean()), "made": 1.0}


def promised(p: np.ndarray, decision: Decision) -> np.ndarray:
    """Sets by the threshold alone (n, k) bool: they may be empty."""
    if decision.sets == "aps":
        return metrics.mass_up_to(p) <= decision.set_threshold
    each = decision.class_thresholds if decision.sets == "class" else decision.set_threshold
    return p >= np.array(each)


def noise(p: np.ndarray, rng: np.random.Generator, draws: int = 100) -> float:
    """The 95 % point of the calibration error of probabilities that are perfectly right."""
    cumulated = p.cumsum(axis=1)
    cumulated[:, -1] = 1.0
    truths = ((rng.random((len(p), 1)) > cumulated).sum(axis=1) for _ in range(draws))
    return float(np.quantile([metrics.ece(p, truth) for truth in truths], 0.95))


def on(data: Path, name: str, seeds: int, most: int) -> dict[str, Any]:
    """Many splits of one data set, and its own split."""
    from stored import read

    rows = read(data, name, most=most)
    rows = rows.take(np.flatnonzero(rows.labels != "oos"))
    train = np.flatnonzero(rows.parts == "train")
    test = np.flatnonzero(rows.parts == "test")
    folds = np.random.default_rng(0).permutation(np.arange(len(train)) % _FOLDS)
    chosen = probe.fit(rows.features[train], rows.codes[train], folds, rows.k)
    penalty = float(chosen.chosen["penalty"])
    own = measure(fitted(rows.features, rows.codes, train, test, penalty))
    runs = [
        measure(fitted(rows.features, rows.codes, *pair, penalty))
        for pair in splits(rows, seeds, (len(train), len(test)))
    ]
    return {"n": len(rows), "k": rows.k, "own": own, **summary(runs)}


def summary(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Means over the splits, and their spread."""
    names = list(runs[0])
    return {
        "splits": len(runs),
        "mean": {name: float(np.nanmean([run[name] for run in runs])) for name in names},
        "sd": {name: float(np.nanstd([run[name] for run in runs], ddof=1)) for name in names},
        "kept": float(
            np.nanmean(
                [run["right of those"] >= PRECISION for run in runs if run["made"]] or [np.nan]
            )
        ),
        "runs": list(runs),
    }


def table(results: dict[str, Any]) -> str:
    """The results in Markdown."""
    lines = [
        "| data | splits | accuracy | sets | as promised | as served | labels in a set | least covered class "
        "| its own split, promised |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    for name, found in results.items():
        mean, sd = found["mean"], found["sd"]
        for kind in KINDS:
            own = found.get("own", {}).get(f"{kind} as promised")
            lines.append(
                f"| {name} | {found['splits']} | {mean['accuracy']:.1%} | {kind} "
                f"| {mean[f'{kind} as promised']:.1%} ± {sd[f'{kind} as promised']:.1%} "
                f"| {mean[f'{kind} as served']:.1%} | {mean[f'{kind} size']:.2f} "
                f"| {mean[f'{kind} least covered class']:.1%} | {'' if own is None else f'{own:.1%}'} |"
            )
    lines += [
        "",
        "| data | ece before | ece | perfect would show up to | log loss before | log loss "
        "| vector scaling taken |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, found in results.items():
        mean = found["mean"]
        lines.append(
            f"| {name} | {mean['ece before']:.3f} | {mean['ece']:.3f} | {mean['ece noise']:.3f} "
            f"| {mean['log loss before']:.4f} | {mean['log loss']:.4f} "
            f"| {mean['vector scaling']:.0%} |"
        )
    lines += [
        "",
        f"| data | {PRECISION:.0%} of the answers to be right: splits with a model | answered "
        "| right of those | splits where it is at least that |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, found in results.items():
        mean, sd = found["mean"], found["sd"]
        lines.append(
            f"| {name} | {mean['made']:.0%} | {mean['answered']:.1%} | {mean['right of those']:.1%} "
            f"± {sd['right of those']:.1%} | {found['kept']:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print tables, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the open data sets")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--most", type=int, default=0, help="rows of a data set at most")
    parser.add_argument("--quick", action="store_true", help="20 splits of made-up data")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    seeds = 20 if options.quick else options.seeds
    results = {"made up": summary([measure(made_up(seed)) for seed in range(seeds)])}
    if options.data and not options.quick:
        results |= {name: on(options.data, name, seeds, options.most) for name in options.sets}
    print(table(results))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
