"""Headstart's features of texts: a table of texts to features, into an empty store.

python encode_texts.py TABLE.csv OUT.npy
"""

import csv
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from headstart.backbones import starter
from headstart.data import table as tables
from headstart.features.extract import extract
from headstart.features.store import Store


def main() -> None:
    """All texts, after a few to warm up."""
    path, out = Path(sys.argv[1]), Path(sys.argv[2])
    with path.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    backbone = starter.load("minilm", offline=True)
    table = tables.read_inputs([str(path)], modality="text", input="text")
    assert len(table) == len(texts)
    with tempfile.TemporaryDirectory() as room:
        few = tables.read_inputs(texts[:256], modality="text")
        extract(few, backbone, store=Store(Path(room) / "warm"))
        started = time.perf_counter()
        found = extract(table, backbone, store=Store(Path(room) / "cold"))
        seconds = time.perf_counter() - started
    np.save(out, found.values)
    print(json.dumps({"seconds": seconds, "n": len(texts), "engine": found.engine}))


if __name__ == "__main__":
    main()
