"""What an earlier bundle knows that a new fit can begin with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.errors import BundleError
from headstart.manifest import load_tensors
from headstart.runtime.reader import open_bundle
from headstart.types import Backbone, Head


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
