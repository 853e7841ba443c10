"""The store of features: killed writers, several at once, damaged pages (R21)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from headstart.features.store import Store
from trust.table import Outcome, environment

DIM = 4
_WRITER = """
import sys, numpy as np
from pathlib import Path
from headstart.features.store import Store
first, last, size = map(int, sys.argv[2:])
writer = Store(Path(sys.argv[1])).writer("ab" * 32, 4)
print("ready", flush=True)
for start in range(first, last, size):
    some = range(start, min(start + size, last))
    writer.append([i.to_bytes(32, "big") for i in some],
                  np.repeat(np.float32(list(some))[:, None] + np.float32(0.1), 4, 1), [""] * len(some))
    assert not writer.full, writer.full
    print(some[-1], flush=True)
"""


def _keys(rows: range) -> list[bytes]:
    return [i.to_bytes(32, "big") for i in rows]


def _values(rows: range) -> np.ndarray:
    return np.repeat(np.float32(list(rows))[:, None] + np.float32(0.1), DIM, 1)


def _start(folder: Path, first: int, last: int, size: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder), str(first), str(last), str(size)],
        env=environment(),
        stdout=subprocess.PIPE,
    )


def _faults(folder: Path, rows: range) -> list[str]:
    """What is wrong with rows that were acknowledged."""
    values, found, _ = Store(folder).get(_keys(rows), DIM)
    faults = []
    if not found.all():
        faults.append(f"{int((~found).sum())} acknowledged rows are lost")
    if not np.array_equal(values[found], _values(rows)[found]):
        faults.append("a row has a wrong vector")
    return faults


def killed(count: int, work: Path) -> Outcome:
    """Writers killed with SIGKILL at a random moment; what they acknowledged must be there."""
    rng = np.random.default_rng(4)
    bad: list[str] = []
    rows = 0
    for i in range(count):
        folder = work / str(i)
        process = _start(folder, 0, 1_000_000, int(rng.integers(1, 9)))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(float(rng.uniform(0.0, 0.25)))
        os.kill(process.pid, signal.SIGKILL)
        said = process.communicate(timeout=60)[0].split()
        last = int(said[-1]) if said else -1
        rows += last + 1
        bad += [f"kill {i}: {fault}" for fault in _faults(folder, range(last + 1))]
        again = Store(folder).writer("ab" * 32, DIM)
        again.append(_keys(range(5)), _values(range(5)), [""] * 5)
        if again.full:
            bad.append(f"kill {i}: the store cannot be written to: {again.full}")
        shutil.rmtree(folder)
    told = f"{count} kills, {rows:,} rows acknowledged, {len(bad)} faults"
    return Outcome(count, tuple(bad[:100]), told)


def together(count: int, work: Path) -> Outcome:
    """Four processes that write to one store at once; `count` rows each."""
    folder = work / "shared"
    writers = [_start(folder, i * count, (i + 1) * count, 20) for i in range(4)]
    bad = [
        f"writer {i} ended with {process.returncode}"
        for i, process in enumerate(writers)
        if process.communicate(timeout=300) and process.returncode
    ]
    bad += _faults(folder, range(4 * count))
    return Outcome(4 * count, tuple(bad), f"4 writers, {4 * count:,} rows, {len(bad)} faults")


def damaged(count: int, work: Path) -> Outcome:
    """Random pages of a store overwritten; what comes back is right or missing, and mends."""
    rng = np.random.default_rng(5)
    sound = work / "sound"
    rows = range(3000)
    writer = Store(sound).writer("ab" * 32, DIM)
    for start in range(0, len(rows), 500):
        some = rows[start : start + 500]
        writer.append(_keys(some), _values(some), [""] * len(some))
    bad: list[str] = []
    lost = 0
    for i in range(count):
        folder = work / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sound, folder)
        files = sorted(path for path in folder.iterdir() if path.stat().st_size)
        path = files[int(rng.integers(len(files)))]
        data = bytearray(path.read_bytes())
        at = int(rng.integers(max(1, len(data) // 4096))) * 4096
        data[at : at + 4096] = rng.bytes(len(data[at : at + 4096]))
        path.write_bytes(data)
        bad += [f"page {at} of {path.suffix}, {i}: {fault}" for fault in _mended(folder, rows)]
        lost += 1
    return Outcome(count, tuple(bad[:100]), f"{lost} pages damaged, {len(bad)} wrong vectors")


def _mended(folder: Path, rows: range) -> list[str]:
    values, found, _ = Store(folder).get(_keys(rows), DIM)
    if not np.array_equal(values[found], _values(rows)[found]):
        return ["a wrong vector came back"]
    for _ in range(3):  # some damage shows on writing only, and costs other rows then
        store = Store(folder)
        missing = [rows[i] for i in np.flatnonzero(~found)]
        writer = store.writer("ab" * 32, DIM)
        if missing:
            expected = np.repeat(np.float32(missing)[:, None] + np.float32(0.1), DIM, 1)
            writer.append([i.to_bytes(32, "big") for i in missing], expected, [""] * len(missing))
        _, found, _ = store.get(_keys(rows), DIM)
    return [*_faults(folder, rows)]
