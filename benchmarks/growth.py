"""Time and memory as the rows grow tenfold at a time: what is linear, and what stays flat.

    python benchmarks/growth.py --rows 1000 10000 100000 1000000 --out growth.json

Each measurement runs in a fresh process, whose peak memory is that of this one run.

probe: the head on made-up features: classes that overlap and some wrong labels, in a .npy file that is
    memory-mapped, as features from the store are.
extract: made-up texts through the whole path (hashing, looking up, tokenising, engine, store), with a
    made-up network that costs next to nothing, so that what is measured is the path.
extract-minilm: the same with MiniLM, up to 10,000 rows.
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

DIM, CLASSES, WORDS = 384, 100, 5000
_MOST = {"extract-minilm": 10_000}  # rows; more would only take longer
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


def measure_extract(folder: Path, n: int) -> dict[str, Any]:
    """Features of n made-up texts from a made-up network, into an empty store."""
    return _extract(made_up_backbone(folder), folder, n)


def measure_minilm(folder: Path, n: int) -> dict[str, Any]:
    """The same from MiniLM."""
    from headstart.backbones import starter

    return _extract(starter.load("minilm", offline=True), folder, n)


def _extract(backbone: Any, folder: Path, n: int) -> dict[str, Any]:
    from headstart.data import table as tables
    from headstart.features.extract import extract
    from headstart.features.store import Store

    words = np.random.default_rng(4).integers(0, WORDS, (n, 8)).tolist()
    texts = [f"{' '.join(f'w{word}' for word in row)} {i}" for i, row in enumerate(words)]
    del words
    table = tables.read_inputs(texts, modality="text")
    with tempfile.TemporaryDirectory(dir=folder) as room:
        before, started = peak(), time.perf_counter()
        found = extract(table, backbone, store=Store(Path(room)))
        seconds = time.perf_counter() - started
    assert found.computed == n
    return {"seconds": seconds, "peak_mb": peak(), "before_mb": before}


def made_up_backbone(folder: Path) -> Any:
    """A network that looks each word up in a table of random rows and adds them up."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers

    from headstart.types import Backbone, Preprocess

    vocabulary = {"[UNK]": 0, **{f"w{i}": i + 1 for i in range(WORDS)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.random.default_rng(5).normal(size=(len(vocabulary), DIM)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["weights"]),
        helper.make_node("Mul", ["rows", "weights"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["features"], keepdims=0),
    ]
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"])
        for name in ("input_ids", "attention_mask")
    ]
    out = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", DIM])
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([-1]), "last"),
        numpy_helper.from_array(np.array([1]), "middle"),
    ]
    graph = helper.make_graph(nodes, "made-up", ids, [out], constants)
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(model, str(folder / "made-up.onnx"))
    return Backbone(
        name="made-up",
        modality="text",
        dim=DIM,
        licence="Apache-2.0",
        sha256="0" * 64,
        preprocess=Preprocess("text", ({"step": "tokenize", "max_length": 64},)),
        graph=folder / "made-up.onnx",
        graph_id="0" * 64,
        tokenizer=folder / "tokenizer.json",
    )


MEASUREMENTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "probe": measure_probe,
    "extract": measure_extract,
    "extract-minilm": measure_minilm,
}
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
        "| what | rows | seconds | microseconds a row | peak memory, MB | before, MB | accuracy |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r['what']} | {r['rows']:,} | {r['seconds']:.2f} | {1e6 * r['seconds'] / r['rows']:.0f} "
        f"| {r['peak_mb']:,.0f} | {r.get('before_mb', 0):,.0f} "
        f"| {'{:.4f}'.format(r['accuracy']) if 'accuracy' in r else ''} |"
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
            for what in options.what:
                if n <= _MOST.get(what, n):
                    results.append(in_a_process(what, folder, n))
                    print(json.dumps(results[-1]), file=sys.stderr)
            path.unlink()
    print(table(results))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
