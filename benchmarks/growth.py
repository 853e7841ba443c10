"""Time and memory as the rows grow tenfold at a time: what is linear, and what stays flat.

    python benchmarks/growth.py --rows 1000 10000 100000 1000000 --out growth.json

Each measurement runs in a fresh process, whose peak memory is that of this one run. The data is made
up: classes with overlapping normal features and some wrong labels, in a .npy file that is
memory-mapped, as features from the store are.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

DIM, CLASSES = 384, 100
_BLOCK = 10_000
_TEST = 10_000
_WRONG = 0.02  # share of wrong labels


def write_features(folder: Path, n: int, seed: int) -> tuple[Path, np.ndarray]:
    """A file of (n, d) float32 made-up features, written block by block, and their (n,) labels."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, DIM)).astype("f4") * np.float32(0.25)
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) % CLASSES)
    path = folder / f"features-{seed}-{n}.npy"
    head = {"descr": "<f4", "fortran_order": False, "shape": (n, DIM)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, head)
        for start in range(0, n, _BLOCK):
            rows = truth[start : start + _BLOCK]
            noise = rng.standard_normal((len(rows), DIM), dtype=np.float32)
            file.write((centres[rows] + noise).astype("<f4").tobytes())
    wrong = rng.random(n) < _WRONG
    return path, np.where(wrong, rng.integers(0, CLASSES, n), truth)


def measure_probe(folder: Path, n: int) -> dict[str, Any]:
    """The probe on n rows; the accuracy is that on fresh rows, wrong labels included."""
    from headstart.methods import probe

    features, codes = np.load(folder / f"features-1-{n}.npy", mmap_mode="r"), labels(folder, n, 1)
    folds = np.random.default_rng(2).integers(0, 5, n)
    before = peak()
    started = time.perf_counter()
    made = probe.fit(features, codes, folds, CLASSES)
    seconds = time.perf_counter() - started
    most = peak()
    fresh = np.load(folder / f"features-3-{_TEST}.npy", mmap_mode="r")
    right = (fresh @ made.head.weight + made.head.bias).argmax(1) == labels(folder, _TEST, 3)
    return {
        "seconds": seconds,
        "peak_mb": most,
        "before_mb": before,
        "accuracy": float(right.mean()),
        "penalty": made.chosen["penalty"],
    }


MEASUREMENTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {"probe": measure_probe}
"""Name -> function of the folder and the number of rows; each call gets a process of its own."""


def labels(folder: Path, n: int, seed: int) -> np.ndarray:
    """The labels that were written beside the features."""
    return np.load(folder / f"labels-{seed}-{n}.npy")


def peak() -> float:
    """The largest resident memory of this process so far, in MB (10^6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage would count the parent, up to where the child began
        text = status.read_text()
        return int(text.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / 1e6


def _child(name: str, folder: str, n: int, pipe: Any) -> None:
    pipe.send(MEASUREMENTS[name](Path(folder), n))
    pipe.close()


def in_a_process(name: str, folder: Path, n: int) -> dict[str, Any]:
    """One measurement in a fresh interpreter."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(name, str(folder), n, theirs))
    process.start()
    theirs.close()
    try:
        return {"what": name, "rows": n, **ours.recv()}
    finally:
        process.join()


def table(results: list[dict[str, Any]]) -> str:
    """The results in Markdown."""
    lines = [
        "| what | rows | seconds | microseconds a row | peak memory, MB | accuracy |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r['what']} | {r['rows']:,} | {r['seconds']:.2f} | {1e6 * r['seconds'] / r['rows']:.0f} "
        f"| {r['peak_mb']:,.0f} | {r['accuracy']:.4f} |"
        for r in results
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--what", nargs="+", choices=list(MEASUREMENTS), default=list(MEASUREMENTS))
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed, n in [(3, _TEST), *((1, n) for n in options.rows)]:
            path, codes = write_features(folder, n, seed)
            np.save(folder / f"labels-{seed}-{n}.npy", codes)
            if seed == 3:
                continue
            results += [in_a_process(what, folder, n) for what in options.what]
            print(json.dumps(results[-1]), file=sys.stderr)
            path.unlink()
    print(table(results))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
