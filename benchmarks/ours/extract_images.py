"""Headstart's features of pictures: from files, or the engine alone on pictures in memory.

    python extract_images.py files FOLDER OUT.npy     files to features, into an empty store
    python extract_images.py arrays FOLDER OUT.npy    prepares the pictures first, then runs the engine
    python extract_images.py prepare FOLDER OUT.npy   writes the prepared pictures, uint8 (n, 224, 224, 3)

Rows are in the order of the files' names. Both measured ways run some pictures beforehand to warm up.
"""

import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from headstart.backbones import starter
from headstart.engine.auto import AutoEngine
from headstart.features.extract import extract
from headstart.features.store import Store
from headstart.preprocess import image
from headstart.runtime.pipeline import IMAGE_BATCH
from headstart.types import Table

WARM = 256  # pictures beforehand: enough for the engine to be measured and remembered


def table_of(files: list[Path]) -> Table:
    """A table of pictures, without labels."""
    from headstart.data import table

    found = table.read_inputs([str(file) for file in files], modality="image")
    assert len(found) == len(files)
    return found


def from_files(files: list[Path]) -> tuple[np.ndarray, float, str]:
    """(n, d) features, the seconds from the first file to the last row in the store, the engine."""
    backbone = starter.load("lite0", offline=True)
    with tempfile.TemporaryDirectory() as room:
        extract(table_of(files[:WARM]), backbone, store=Store(Path(room) / "warm"))
        table = table_of(files)
        started = time.perf_counter()
        found = extract(table, backbone, store=Store(Path(room) / "cold"))
        return found.values, time.perf_counter() - started, found.engine


def from_arrays(pixels: np.ndarray) -> tuple[np.ndarray, float, str]:
    """The same from prepared pictures: the engine alone, as many runs at once as it wants."""
    backbone = starter.load("lite0", offline=True)
    engine = AutoEngine(backbone.graph, backbone.graph_id, rows=len(pixels))
    places = range(0, len(pixels), IMAGE_BATCH)

    def run(at: int) -> np.ndarray:
        return engine.run({"pixels": pixels[at : at + IMAGE_BATCH]})["features"]

    run(0)
    with ThreadPoolExecutor(engine.parallel) as pool:
        list(pool.map(run, places[: WARM // IMAGE_BATCH]))
        started = time.perf_counter()
        found = list(pool.map(run, places))
        return np.concatenate(found), time.perf_counter() - started, engine.chosen


def main() -> None:
    """Do one of the three."""
    what, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    files = sorted(path for path in folder.glob("*/*/*") if path.is_file())
    steps = starter.load("lite0", offline=True).preprocess.steps
    if what == "files":
        found, seconds, engine = from_files(files)
    else:
        pixels = np.stack([image.prepare(file, steps)[0] for file in files])
        found, seconds, engine = from_arrays(pixels) if what == "arrays" else (pixels, 0.0, "")
    np.save(out, found)
    print(json.dumps({"seconds": seconds, "n": len(files), "engine": engine}))


if __name__ == "__main__":
    main()
