"""Headstart's features of pictures: from files, or the engine alone on pictures in memory.

    python extract_images.py files FOLDER OUT.npy     files to features, into an empty store
    python extract_images.py arrays FOLDER OUT.npy    prepares the pictures first, then runs the engine
    python extract_images.py prepare FOLDER OUT.npy   writes the prepared pictures, uint8 (n, 224, 224, 3)

Rows are in the order of the files' names. Both measured ways run a batch beforehand to warm up.
"""

import inspect
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from headstart.backbones import starter
from headstart.engine import ENGINES
from headstart.features.extract import extract
from headstart.features.store import Store
from headstart.preprocess import image
from headstart.types import Table

BATCH = 16  # as in headstart.features.extract


def engine_name() -> str:
    """The engine that `extract` takes unless told otherwise."""
    return inspect.signature(extract).parameters["engine"].default


def table_of(files: list[Path]) -> Table:
    """A table of pictures, without labels."""
    from headstart.data import table

    found = table.read_inputs([str(file) for file in files], modality="image")
    assert len(found) == len(files)
    return found


def from_files(files: list[Path]) -> tuple[np.ndarray, float]:
    """(n, d) features and the seconds from the first file to the last row in the store."""
    backbone = starter.load("lite0", offline=True)
    with tempfile.TemporaryDirectory() as room:
        extract(table_of(files[:BATCH]), backbone, store=Store(Path(room) / "warm"))
        table = table_of(files)
        started = time.perf_counter()
        found = extract(table, backbone, store=Store(Path(room) / "cold"))
        return found.values, time.perf_counter() - started


def from_arrays(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """The same from prepared pictures: the engine alone."""
    engine = ENGINES.get(engine_name())(starter.load("lite0", offline=True).graph)
    engine.run({"pixels": pixels[:BATCH]})
    started = time.perf_counter()
    found = [
        engine.run({"pixels": pixels[at : at + BATCH]})["features"]
        for at in range(0, len(pixels), BATCH)
    ]
    return np.concatenate(found), time.perf_counter() - started


def main() -> None:
    """Do one of the three."""
    what, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    files = sorted(path for path in folder.glob("*/*/*") if path.is_file())
    steps = starter.load("lite0", offline=True).preprocess.steps
    if what == "files":
        found, seconds = from_files(files)
    else:
        pixels = np.stack([image.prepare(file, steps)[0] for file in files])
        found, seconds = from_arrays(pixels) if what == "arrays" else (pixels, 0.0)
    np.save(out, found)
    print(json.dumps({"seconds": seconds, "n": len(files), "engine": engine_name()}))


if __name__ == "__main__":
    main()
