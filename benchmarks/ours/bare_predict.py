"""The bare engine, against which `headstart predict` is held.

    python bare_predict.py tokens BUNDLE TABLE.csv FOLDER     unpacks the bundle, tokenises: not measured
    python bare_predict.py run FOLDER                         measured, as a whole process

What "run" includes: starting Python, importing numpy and onnxruntime, loading the session (onnxruntime's
own defaults), reading the token ids that lie on disk, length-sorted batches of the same size as
Headstart's, running the graph with its head. Not included: reading and checking the bundle, reading the
table, tokenising, calibrated probabilities, prediction sets, writing the answers.
"""

import csv
import json
import sys
import zipfile
from pathlib import Path

import numpy as np


def tokens(bundle: Path, table: Path, folder: Path) -> None:
    """Everything that the bare engine finds done."""
    from headstart.preprocess.text import TextEncoder

    with zipfile.ZipFile(bundle) as archive:
        names = {name.rpartition("/")[2]: name for name in archive.namelist()}
        (folder / "model.onnx").write_bytes(archive.read(names["model.onnx"]))
        steps = json.loads(archive.read(names["bundle.json"]))["preprocess"]["steps"]
        encoder = TextEncoder(archive.read(names["tokenizer.json"]), steps)
    with table.open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    ids, _ = encoder.encode(texts)
    batches = {}
    for number, (_, feeds) in enumerate(encoder.batches(ids)):
        batches |= {f"{name}.{number}": feed for name, feed in feeds.items()}
    np.savez(folder / "batches.npz", **batches)


def run(folder: Path) -> int:
    """Run all batches; how many rows there were."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    inputs = [node.name for node in session.get_inputs()]
    kept = np.load(folder / "batches.npz")
    rows = 0
    for number in range(len(kept.files) // len(inputs)):
        (logits,) = session.run(["logits"], {name: kept[f"{name}.{number}"] for name in inputs})
        rows += len(logits)
    return rows


def main() -> None:
    """Do one of the two."""
    if sys.argv[1] == "tokens":
        tokens(*map(Path, sys.argv[2:5]))
        print("{}")
    else:
        print(json.dumps({"n": run(Path(sys.argv[2]))}))


if __name__ == "__main__":
    main()
