"""A BERT encoder as an ONNX graph, straight from its weights: token ids to one unit vector a text.

Devlin et al., "BERT", 2018 (https://arxiv.org/abs/1810.04805); the mean over the tokens and the unit
length as in Reimers and Gurevych, "Sentence-BERT", 2019 (https://arxiv.org/abs/1908.10084).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from headstart.backbones.graph_build import GraphBuilder


class Matrix(Protocol):
    """A matrix of weights (rows, columns), in the form in which the graph keeps it."""

    shape: tuple[int, int]
    def rows(self, graph: GraphBuilder, ids: str) -> str: ...
    def array(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Packed4:
    quarters: np.ndarray  # uint8 (r, c / 32, 16)
    scales: np.ndarray  # float16 (r, c / 32)

    def array(self) -> np.ndarray:
        q = np.concatenate([self.quarters & 15, self.quarters >> 4], -1).astype(np.float32) - 8
        return (q * self.scales.astype(np.float32)[..., None]).reshape(len(q), -1)


@dataclass(frozen=True)
class Layer:
    query: tuple
    key: tuple
    value: tuple
    out: tuple
    norm: tuple
    widen: tuple
    narrow: tuple
    last_norm: tuple


@dataclass(frozen=True)
class Bert:
    heads: int
    eps: float
    words: object
    positions: np.ndarray
    norm: tuple
    layers: tuple
