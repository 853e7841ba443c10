"""What the runners share; only the standard library, since every runner has an environment of its own."""

import argparse
import csv
import json
import sys
import time
from collections import Counter
from pathlib import Path

STARTED = time.perf_counter()


def arguments(*names: str) -> argparse.Namespace:
    """The options of a runner, all needed; those that end in "seed" are numbers."""
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(f"--{name}", type=int if name == "seed" else Path, required=True)
    return parser.parse_args()


def texts_of(path: Path) -> tuple[list[str], list[str]]:
    """The columns text and label of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def pictures_of(folder: Path) -> tuple[list[Path], list[str]]:
    """Files below class folders, and the names of these."""
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    return files, [path.parent.name for path in files]


def scores(truth: list[str], said: list[str]) -> dict[str, float]:
    """Accuracy and macro-F1 over the classes that occur in the truth."""
    counts, hits, answers = Counter(truth), Counter(), Counter(said)
    hits.update(one for one, other in zip(truth, said) if one == other)
    f1 = [2 * hits[label] / (counts[label] + answers[label]) for label in counts]
    return {
        "accuracy": sum(hits.values()) / len(truth),
        "macro_f1": sum(f1) / len(f1),
        "n_test": len(truth),
    }


class Stages:
    """Seconds by stage; what came before the first is the imports."""

    def __init__(self) -> None:
        self.seconds = {"import": time.perf_counter() - STARTED}
        self._last = time.perf_counter()

    def end(self, name: str) -> None:
        """A stage is over."""
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now


def report(**found: object) -> None:
    """The one line that the benchmark reads: the last of standard output."""
    print("\n" + json.dumps(found), flush=True)
    sys.stdout.flush()
