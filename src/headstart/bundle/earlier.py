"""What an earlier bundle knows that a new fit can begin with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.backbones import shelf
from headstart.bundle.graph import without_head
from headstart.errors import BundleError
from headstart.manifest import load_tensors
from headstart.runtime.reader import open_bundle
from headstart.types import Backbone, Head, Preprocess
from headstart.wording import counted


def known_head(path: str, backbone: Backbone, labels: Sequence[str]) -> tuple[Head, dict[str, Any]]:
    """The head of an earlier bundle, for these labels, and what was chosen for it.

    Args:
        path: the bundle.
        backbone: what the features come from; the bundle's has to be the same.
        labels: k labels; one that the bundle does not know begins at zero.

    Raises:
        BundleError: there is no such bundle, it is damaged, or stands on another backbone.
    """
    files = open_bundle(path)
    manifest = files.manifest
    if manifest["backbone"]["graph_id"] != backbone.graph_id:
        raise BundleError(
            f"{path} stands on {manifest['backbone']['name']} with another graph or preprocessing than "
            f"{backbone.name} has now: its head does not fit.",
            fix="leave --start out",
        )
    held = load_tensors(files.read("weights.safetensors"), "weights.safetensors")
    places = {label: i for i, label in enumerate(manifest["task"]["labels"])}
    weight = np.zeros((backbone.dim, len(labels)), dtype=np.float32)
    bias = np.zeros(len(labels), dtype=np.float32)
    for i, label in enumerate(labels):
        if label in places:
            weight[:, i] = held["head.weight"][:, places[label]]
            bias[i] = held["head.bias"][places[label]]
    return Head(weight, bias), dict(manifest["method"]["chosen"])


def known_model(path: str, labels: Sequence[str]) -> tuple[Backbone, Head]:
    """The backbone of an earlier bundle, as it was tuned, and its head, for these labels.

    Args:
        path: the bundle.
        labels: k labels, all of which the bundle has to know.

    Raises:
        BundleError: there is no such bundle, it is damaged, or it does not know a label.
    """
    files = open_bundle(path)
    manifest = files.manifest
    known = list(manifest["task"]["labels"])
    unknown = [label for label in labels if label not in known]
    if unknown:
        named = ", ".join(map(repr, unknown[:3]))
        raise BundleError(
            f"{path} cannot teach {counted(len(unknown), 'label', 'labels')} that it does not know: {named}.",
            fix="take a bundle that was fitted on the same labels",
        )
    held = load_tensors(files.read("weights.safetensors"), "weights.safetensors")
    places = [known.index(label) for label in labels]
    head = Head(held["head.weight"][:, places].copy(), held["head.bias"][places].copy())
    told, preprocess = manifest["backbone"], Preprocess.from_json(manifest["preprocess"])
    tokenizer = files.read("tokenizer.json").decode() if files.has("tokenizer.json") else None
    backbone = shelf.keep(
        f"bundle {told['graph_id']}",
        graph=without_head(files.read("model.onnx")),
        name=told["name"],
        modality=preprocess.modality,
        dim=told["dim"],
        licence=told["licence"],
        sha256=told["sha256"],
        preprocess=preprocess,
        tokenizer=tokenizer,
    )
    return backbone, head
