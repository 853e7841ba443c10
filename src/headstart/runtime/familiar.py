"""What a bundle keeps of its training rows: their features, to find the nearest of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reference:
    """Training rows by their features.

    Attributes:
        features: (m, d) float32, centred, each row of length 1.
        codes: (m,) int32, the rows' class numbers.
        names: m names of the rows.
        centre: (d,) float32, what was taken off every row.
    """

    features: np.ndarray
    codes: np.ndarray
    names: tuple[str, ...]
    centre: np.ndarray

    def to_tensors(self) -> dict[str, np.ndarray]:
        """For `headstart.manifest.dump_tensors`."""
        listed = json.dumps(list(self.names), ensure_ascii=False).encode()
        return {
            "features": self.features.astype(np.float16),
            "codes": self.codes.astype(np.int32),
            "names": np.frombuffer(listed, np.uint8),
            "centre": self.centre.astype(np.float32),
        }

    @staticmethod
    def from_tensors(tensors: Mapping[str, np.ndarray]) -> Reference:
        """The inverse of `to_tensors`."""
        return Reference(
            tensors["features"].astype(np.float32),
            tensors["codes"],
            tuple(json.loads(tensors["names"].tobytes())),
            tensors["centre"],
        )


def nearest(
    reference: Reference, features: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The training rows nearest to each input by cosine.

    Args:
        reference: m rows.
        features: (n, d) of the inputs, as the backbone gives them.
        count: how many for each; no more than m are given.

    Returns:
        Row numbers (n, count), nearest first, and their cosines (n, count).
    """
    x = features - reference.centre
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    cosines = x @ reference.features.T  # (n, m)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(cosines, order, axis=1)
