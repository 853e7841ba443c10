"""Does a model refuse what is unlike its training data, and how much of the familiar does that cost?

    python benchmarks/refusal.py --data FOLDER-OF-THE-DATA-SETS --out refusal.json

Each case learns from familiar rows alone and sets its threshold on them alone, for several shares of
familiar inputs to keep; then it answers new familiar rows and strange ones. Shares have Wilson's 95 %
interval.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.evaluation.calibrate import calibrate
from headstart.evaluation.familiarity import judging, reference_of, threshold
from headstart.evaluation.measure import interval_of_accuracy
from headstart.methods import probe
from headstart.runtime.decide import probabilities
from headstart.runtime.familiar import familiarity
from headstart.types import Candidate, Decision
from stored import Rows, read

KEEP = (0.95, 0.97, 0.99)
_FOLDS = 5


@dataclass(frozen=True)
class Case:
    """One question.

    Attributes:
        name: for the table.
        train: rows to learn from.
        known: (features, codes) of new familiar rows, codes in the order of the training labels.
        strange: (features, codes) of strange rows; codes are None where no answer is right.
    """

    name: str
    train: Rows
    known: tuple[np.ndarray, np.ndarray]
    strange: tuple[np.ndarray, np.ndarray | None]


def fitted(train: Rows) -> tuple[Candidate, np.ndarray, Decision]:
    """The probe, the folds, and the decision."""
    folds = np.empty(len(train), dtype=np.int64)
    drawn = np.random.default_rng(0).permutation(int(train.groups.max()) + 1)[train.groups]
    folds[np.argsort(drawn, kind="stable")] = np.arange(len(train)) % _FOLDS
    # equal rows stay in one fold
    first = {}
    for i, group in enumerate(train.groups.tolist()):
        folds[i] = first.setdefault(group, folds[i])
    made = probe.fit(train.features, train.codes, folds, train.k)
    decision = calibrate(made.held_out, train.codes, folds=folds, rows=made.held_out_rows)
    return made, folds, decision


def measure(case: Case) -> Iterator[dict[str, Any]]:
    """One row of the table for each share to keep."""
    made, folds, decision = fitted(case.train)
    train = case.train
    names = [""] * len(train)
    reference = reference_of(train.features, train.codes, names, train.k)
    held_out = probabilities(made.held_out, decision)
    judges = judging(folds, train.parts == "val")

    def answers(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = probabilities(features @ made.head.weight + made.head.bias, decision)
        return p.argmax(axis=1), familiarity(reference, features, p)

    (known, truth), (strange, other) = case.known, case.strange
    said, familiar = answers(known)
    said_strange, unfamiliar = answers(strange)
    for keep in KEEP:
        at = threshold(
            train.features,
            train.codes,
            judges,
            held_out,
            keep,
            rows=made.held_out_rows,
            weight=reference.weight,
        )
        assert at is not None
        kept, passed = familiar >= at, unfamiliar >= at
        yield {
            "case": case.name,
            "keep": keep,
            "kept": share(kept),
            "accuracy of all": share(said == truth),
            "accuracy of kept": share((said == truth)[kept]),
            "refused": share(~passed),
            "auroc": auroc(familiar, unfamiliar),
            **(
                {
                    "accuracy of strange": share(said_strange == other),
                    "accuracy of strange kept": share((said_strange == other)[passed]),
                }
                if other is not None
                else {}
            ),
        }


def share(hits: np.ndarray) -> tuple[float, float, float]:
    """A share with its interval."""
    if not len(hits):
        return (float("nan"), 0.0, 1.0)
    return (float(hits.mean()), *interval_of_accuracy(int(hits.sum()), len(hits)))


def auroc(familiar: np.ndarray, strange: np.ndarray) -> float:
    """How often a familiar row is more familiar than a strange one (Mann and Whitney 1947)."""
    both = np.concatenate([familiar, strange])
    _, places, counts = np.unique(both, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[places]
    n, m = len(familiar), len(strange)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def clinc(data: Path) -> Iterator[Case]:
    """Questions of no known intent; learned from train and val, without any of those."""
    rows = read(data, "clinc150")
    known = rows.take(np.flatnonzero(rows.labels != "oos"))
    learn, test = known.parts != "test", known.parts == "test"
    train = known.take(np.flatnonzero(learn))
    strange = rows.features[(rows.labels == "oos") & (rows.parts == "test")]
    yield Case(
        "clinc150, out of scope",
        train,
        (known.features[test], known.codes[test]),
        (strange, None),
    )


def photos(data: Path) -> Iterator[Case]:
    """Photos of waste against other pictures."""
    rows = read(data, "trashnet")
    test = rows.parts == "test"
    train = rows.take(np.flatnonzero(~test))
    known = (rows.features[test], rows.codes[test])
    others = read(data, "pacs")
    for domain in np.unique(others.domains):
        some = others.features[others.domains == domain]
        yield Case(f"trashnet, PACS {domain.replace('_', ' ')}", train, known, (some, None))
    for name in ("bccd", "camvid", "omniglot_small"):
        some = read(data, name, backbone="starter:lite0", most=500).features
        yield Case(f"trashnet, {name}", train, known, (some, None))


def reviews(data: Path, most: int = 0) -> Iterator[Case]:
    """Chinese reviews of one kind of goods left out: strange in subject, though not in what is asked."""
    rows = read(data, "zh_reviews_10", most=most)
    for domain in np.unique(rows.domains):
        inside = rows.domains == domain
        train = rows.take(np.flatnonzero(~inside & (rows.parts != "test")))
        known = ~inside & (rows.parts == "test")
        strange = (rows.features[inside], rows.codes[inside])
        yield Case(
            f"zh_reviews_10 without {domain}",
            train,
            (rows.features[known], rows.codes[known]),
            strange,
        )


def news(data: Path) -> Iterator[Case]:
    """Financial news against questions to an assistant, by the same backbone."""
    rows = read(data, "financial_phrasebank", backbone="starter:minilm")
    test = rows.parts == "test"
    other = read(data, "clinc150", backbone="starter:minilm")
    yield Case(
        "financial_phrasebank, clinc150",
        rows.take(np.flatnonzero(~test)),
        (rows.features[test], rows.codes[test]),
        (other.features[other.parts == "test"], None),
    )


CASES: dict[str, Callable[[Path], Iterator[Case]]] = {
    "clinc": clinc,
    "photos": photos,
    "reviews": reviews,
    "news": news,
}


def table(results: list[dict[str, Any]]) -> str:
    """The results in Markdown."""

    def cell(found: tuple[float, float, float] | None) -> str:
        return "" if found is None else f"{found[0]:.1%} ({found[1]:.1%} to {found[2]:.1%})"

    lines = [
        "| case | keep | familiar answered | accuracy, all | accuracy, answered | strange refused "
        "| AUROC | accuracy of strange, all | answered |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r['case']} | {r['keep']:.0%} | {cell(r['kept'])} | {cell(r['accuracy of all'])} "
        f"| {cell(r['accuracy of kept'])} | {cell(r['refused'])} | {r['auroc']:.3f} "
        f"| {cell(r.get('accuracy of strange'))} | {cell(r.get('accuracy of strange kept'))} |"
        for r in results
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the open data sets")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    results = [
        row for name in options.cases for case in CASES[name](options.data) for row in measure(case)
    ]
    print(table(results))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
