"""Candidate -> bundle, with a round trip through the runtime before it may be called one."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bundle.graph import add_head
from headstart.errors import BundleError
from headstart.hashing import hash_bytes
from headstart.manifest import atomic_folder, atomic_write, dump_json, dump_tensors
from headstart.runtime import decision as decisions
from headstart.runtime.familiar import Reference
from headstart.runtime.predictor import BundlePredictor
from headstart.runtime.reader import FILES, manifest_checksum, open_bundle
from headstart.scores import Evaluation
from headstart.types import Backbone, Decision, Head, Input, Task

# Of the logits' spread. Two engines differ by up to 0.2 % where a head tells tuned features apart that lie close
# together (8 labels a class, onnxruntime beside OpenVINO); a wrong graph, tokenizer or resize by far more.
_DIFFERS = 0.01
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # fixed, so that equal bundles are equal files
_COMPRESS = {"tokenizer.json", "README.md", "report.html", "bundle.json"}


def write_folder(
    folder: Path,
    *,
    task: Task,
    backbone: Backbone,
    head: Head,
    decision: Decision,
    evaluation: Evaluation,
    provenance: Mapping[str, Any],
    report: str,
    card: str,
    reference: Reference | None = None,
) -> None:
    """Write a bundle folder.

    Args:
        folder: where to; replaced as a whole.
        task: labels and names.
        backbone: the graph and its preprocessing.
        head: what turns features into logits.
        decision: temperature and thresholds.
        evaluation: what was measured, on which rows.
        provenance: versions, seed, command, data: further keys of bundle.json.
        report: the report's HTML.
        card: README.md.
        reference: training rows that new inputs are held against; needed where the decision refuses
            unfamiliar inputs.
    """
    if decision.familiar_above is not None and reference is None:
        raise ValueError("a decision that refuses unfamiliar inputs needs a reference")
    contents: dict[str, bytes] = {
        "model.onnx": add_head(backbone.graph.read_bytes(), head),
        "weights.safetensors": dump_tensors({"head.weight": head.weight, "head.bias": head.bias}),
        "report.html": report.encode(),
        "README.md": card.encode(),
    }
    if reference is not None:
        contents["reference.safetensors"] = dump_tensors(reference.to_tensors())
    if backbone.tokenizer is not None:
        contents["tokenizer.json"] = backbone.tokenizer.read_bytes()
    manifest: dict[str, Any] = {
        "schema": decisions.schema(decision),
        "task": task.to_json(),
        "preprocess": backbone.preprocess.to_json(),
        "decision": decisions.to_json(decision),
        "backbone": {
            "name": backbone.name,
            "dim": backbone.dim,
            "licence": backbone.licence,
            "sha256": backbone.sha256,
            "graph_id": backbone.graph_id,
        },
        "metrics": {name: metric.to_json() for name, metric in evaluation.metrics.items()},
        "split": {"name": evaluation.split, "n": evaluation.n, "protocol": evaluation.protocol},
        **provenance,
        "files": {
            name: {"sha256": hash_bytes(data), "bytes": len(data)}
            for name, data in contents.items()
        },
    }
    manifest["checksum"] = manifest_checksum(manifest)
    with atomic_folder(folder) as temporary:
        for name, data in contents.items():
            (temporary / name).write_bytes(data)
        (temporary / "bundle.json").write_text(dump_json(manifest), encoding="utf-8")


def check(
    folder: Path, inputs: Sequence[Input], logits: np.ndarray, *, tolerance: float = _DIFFERS
) -> BundlePredictor:
    """Run the bundle on held-out inputs and compare with the trained model.

    Args:
        folder: the bundle.
        inputs: n readable inputs.
        logits: (n, k) what the trained model says about them.
        tolerance: largest difference allowed, relative to the logits' spread.

    Returns:
        The loaded predictor.

    Raises:
        BundleError: the answers differ.
    """
    predictor = BundlePredictor(folder)
    if not len(inputs):
        return predictor
    got, reasons = predictor.logits(inputs)
    spread = float(np.abs(logits).max()) or 1.0
    difference = float(np.abs(got - logits).max()) / spread if not reasons else float("inf")
    if not difference <= tolerance:
        raise BundleError(
            f"The bundle does not answer as the trained model does (logits differ by {difference:.2%}); "
            "it was not saved.",
            fix="empty the cache (headstart cache --clear graphs) and fit again; if it stays, report it",
        )
    return predictor


def copy(source: Path, target: Path) -> None:
    """Copy a sound bundle to a folder or, for a name ending in .headstart, into one zip file.

    Raises:
        BundleError: the target holds something that is no bundle.
    """
    check_target(target)
    files = open_bundle(source)
    names = [name for name in FILES if files.has(name)]
    target.parent.mkdir(parents=True, exist_ok=True)
    manifest = (dump_json(dict(files.manifest))).encode()
    if target.suffix != ".headstart" or target.is_dir():
        with atomic_folder(target) as temporary:
            for name in names:
                (temporary / name).write_bytes(files.read(name))
            (temporary / "bundle.json").write_bytes(manifest)
        return
    atomic_write(
        target, _zip({"bundle.json": manifest, **{name: files.read(name) for name in names}})
    )


def check_target(target: Path) -> None:
    """Refuse to replace anything but a bundle.

    Raises:
        BundleError: the target exists and is not a bundle.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if target.is_dir() and (target / "bundle.json").is_file():
        return
    if target.is_file() and zipfile.is_zipfile(target):
        with zipfile.ZipFile(target) as archive:
            if "bundle.json" in archive.namelist():
                return
    raise BundleError(
        f"{target} exists already and is not a bundle; it was left alone.",
        fix="choose another name with --out",
    )


def _zip(contents: Mapping[str, bytes]) -> bytes:
    """One archive; the large weights are stored plainly, so that loading costs no unpacking."""
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in contents.items():
            info = zipfile.ZipInfo(name, _ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED if name in _COMPRESS else zipfile.ZIP_STORED
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)
    return buffer.getvalue()
