"""Bundles written by hand, whose answers are known: tiny backbones under heads that the tests choose."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from headstart.backbones.choose import backbone_named
from headstart.bundle.graph import add_head
from headstart.hashing import hash_bytes
from headstart.manifest import dump_tensors
from headstart.runtime.familiar import Reference
from headstart.runtime.reader import manifest_checksum, open_bundle
from headstart.types import Head, Preprocess


def bundle(folder, backbone, labels, weight, steps=None, reference=None):
    """A bundle folder: this head on this backbone, temperature 1."""
    made = backbone_named(backbone)
    preprocess = Preprocess(made.modality, steps) if steps else made.preprocess
    head = Head(np.asarray(weight, np.float32), np.zeros(len(labels), np.float32))
    contents = {"model.onnx": add_head(made.graph.read_bytes(), head)}
    if made.tokenizer is not None:
        contents["tokenizer.json"] = made.tokenizer.read_bytes()
    if reference is not None:
        contents["reference.safetensors"] = dump_tensors(reference.to_tensors())
    manifest = {
        "schema": 1,
        "task": {"name": "classification", "labels": list(labels)},
        "preprocess": preprocess.to_json(),
        "decision": {"temperature": 1.0, "coverage": 0.9, "set_threshold": 0.1, "abstain_below": 0.0},
        "backbone": {"name": backbone},
        "metrics": {},
    }  # fmt: skip
    write(folder, manifest, contents)
    return folder


def write(folder: Path, manifest, contents) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    listed = {name: {"sha256": hash_bytes(c), "bytes": len(c)} for name, c in contents.items()}
    manifest = {**manifest, "files": {**manifest.get("files", {}), **listed}}
    manifest["checksum"] = manifest_checksum(manifest)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "bundle.json").write_text(json.dumps(manifest), "utf-8")


def with_reference(folder: Path, reference: Reference) -> None:
    """Add a reference to a bundle folder."""
    manifest = dict(open_bundle(folder).manifest)
    write(folder, manifest, {"reference.safetensors": dump_tensors(reference.to_tensors())})


def rows(features, codes, names) -> Reference:
    """A reference of these features, made unit length."""
    features = np.asarray(features, np.float32)
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    return Reference(
        features=features,
        codes=np.asarray(codes, np.int32),
        names=tuple(names),
    )
