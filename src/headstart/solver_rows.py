"""The solver's rows: rotated in memory, or read block by block from where they lie.

Both kinds answer the same few questions, so that the solver need not know which it has. The rotation is
a change of coordinates: what is learned does not depend on it, only how fast. So the large kind, which
cannot rotate all rows, takes it from a sample of them, and turns the weights instead of the rows.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from headstart.compute import generator

IN_MEMORY = 64 * 2**20
"""Bytes of features up to which they are rotated in memory."""

_TINY = 1e-6  # eigenvalues below this share of the largest carry no information in float32
_CHUNK = 2048  # rows that one thread works on; fixed, so that sums do not depend on the threads
_APART = 32  # rows that are far apart in a file: the system maps up to 2 MB around each
_SAMPLE = 8192  # rows that give the rotation of streamed features; more for d > 1024

Run = Callable[[Callable[[int], object], Iterable[int]], Iterable[object]]
"""`map`, or a thread pool's `map`."""


class Rows(Protocol):
    """n rows in the coordinates the solver works in; r columns that are (nearly) uncorrelated."""

    @property
    def spectrum(self) -> np.ndarray:
        """(r,) mean square of each column."""
        ...

    @property
    def basis(self) -> np.ndarray:
        """(d, r) float32, so that `standardised @ basis` are the rows."""
        ...

    @property
    def mean(self) -> np.ndarray:
        """(d,) of the features."""
        ...

    @property
    def scale(self) -> np.ndarray:
        """(d,) standard deviation; 1 for constant features."""
        ...

    def __len__(self) -> int: ...

    def blocks(self, size: int, run: Run) -> Iterator[np.ndarray]:
        """The rows in order, in blocks (size, c); a block is valid until the next one is asked for."""
        ...

    def inward(self, weight: np.ndarray) -> np.ndarray:
        """Weights (r, m) as weights (c, m) of the blocks' columns."""
        ...

    def outward(self, product: np.ndarray) -> np.ndarray:
        """A gradient (c, m) in the blocks' columns as a gradient (r, m)."""
        ...

    def take(self, index: np.ndarray) -> Rows:
        """Some of the rows, in the same coordinates."""
        ...

    def few(self, index: np.ndarray) -> np.ndarray:
        """(m, r) some of the rows, rotated, in memory."""
        ...


@dataclass(frozen=True)
class Rotated:
    """Rows in memory, standardised and rotated; see `Rows` for the other attributes.

    Attributes:
        rows: (n, r) float32.
    """

    rows: np.ndarray
    spectrum: np.ndarray
    basis: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def blocks(self, size: int, run: Run) -> Iterator[np.ndarray]:
        """See `Rows`; c = r."""
        for start in range(0, len(self.rows), size):
            yield self.rows[start : start + size]

    def inward(self, weight: np.ndarray) -> np.ndarray:
        """See `Rows`."""
        return weight

    def outward(self, product: np.ndarray) -> np.ndarray:
        """See `Rows`."""
        return product

    def take(self, index: np.ndarray) -> Rotated:
        """See `Rows`."""
        return replace(self, rows=self.rows[index])

    def few(self, index: np.ndarray) -> np.ndarray:
        """See `Rows`."""
        return self.rows[index]


@dataclass(frozen=True)
class Streamed:
    """Rows that stay where they lie; each pass standardises them block by block.

    Attributes:
        features: (N, d) as given, e.g. memory-mapped.
        index: (n,) which of them are the rows; None for all.
        in_memory: bytes of features up to which `take` rotates them in memory.
    """

    features: np.ndarray
    index: np.ndarray | None
    in_memory: int
    spectrum: np.ndarray
    basis: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def __len__(self) -> int:
        return len(self.features) if self.index is None else len(self.index)

    def blocks(self, size: int, run: Run) -> Iterator[np.ndarray]:
        """See `Rows`; c = d."""
        n, d = len(self), self.features.shape[1]
        mean, inverse = self.mean.astype(np.float32), (1 / self.scale).astype(np.float32)
        buffer = np.empty((min(size, n), d), dtype=np.float32)

        for start in range(0, n, size):
            stop = min(start + size, n)

            def fill(at: int, start: int = start, stop: int = stop) -> None:
                rows = slice(start + at, min(start + at + _CHUNK, stop))
                x = self.features[rows if self.index is None else self.index[rows]]
                into = buffer[rows.start - start : rows.stop - start]
                np.subtract(x, mean, out=into)
                into *= inverse

            for _ in run(fill, range(0, stop - start, _CHUNK)):
                pass
            release(self.features)
            yield buffer[: stop - start]

    def inward(self, weight: np.ndarray) -> np.ndarray:
        """See `Rows`."""
        return self.basis @ weight

    def outward(self, product: np.ndarray) -> np.ndarray:
        """See `Rows`."""
        return self.basis.T @ product

    def take(self, index: np.ndarray) -> Rows:
        """See `Rows`; few rows come into memory, many stay where they lie."""
        if len(index) * self.features.shape[1] * 4 > self.in_memory:
            return self._some(index)
        return Rotated(self.few(index), self.spectrum, self.basis, self.mean, self.scale)

    def few(self, index: np.ndarray) -> np.ndarray:
        """See `Rows`."""
        made = np.empty((len(index), self.basis.shape[1]), dtype=np.float32)
        step = _CHUNK if 8 * len(index) > len(self.features) else _APART
        done = 0
        for x in self._some(index).blocks(step, map):
            np.matmul(x, self.basis, out=made[done : done + len(x)])
            done += len(x)
        return made

    def _some(self, index: np.ndarray) -> Streamed:
        return replace(self, index=index if self.index is None else self.index[index])


def rotate(features: np.ndarray, in_memory: int = IN_MEMORY) -> Rows:
    """Standardise and rotate features.

    Args:
        features: (n, d) float32, n >= 1; read, never written or copied whole beyond `in_memory`.
        in_memory: bytes of features up to which they are rotated in memory; larger ones are streamed,
            unless there are fewer rows than columns.
    """
    n, d = features.shape
    if n * d * 4 <= in_memory or n < d:
        return _rotated(np.asarray(features))
    mean, scale = _moments(features)
    streamed = Streamed(features, None, in_memory, np.ones(d), np.eye(d, dtype="f4"), mean, scale)
    some = generator(0).choice(n, min(n, max(_SAMPLE, 8 * d)), replace=False)
    x = streamed.few(np.sort(some))  # standardised: the basis is still the identity
    values, vectors = np.linalg.eigh((x.T @ x).astype(np.float64) / len(some))
    # a sample cannot tell that a direction is empty: all are kept, the hardly known ones scaled alike
    spectrum = np.maximum(values, _TINY * max(values[-1], 1e-12))
    return replace(streamed, spectrum=spectrum, basis=vectors.astype(np.float32))


def unrotate(rows: Rows, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A solution (r, k), (k,) as weights for plain features: (d, k), (k,), standardisation folded in."""
    plain = (rows.basis.astype(np.float64) @ weight) / rows.scale[:, None]
    return plain.astype(np.float32), (bias - rows.mean @ plain).astype(np.float32)


def rerotate(rows: Rows, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `unrotate`: weights (d, k), (k,) for plain features as (r, k), (k,)."""
    turned = rows.basis.T.astype(np.float64) @ (weight * rows.scale[:, None])
    return turned.astype(np.float32), (bias + rows.mean @ weight).astype(np.float32)


def _rotated(features: np.ndarray) -> Rotated:
    mean = features.mean(axis=0, dtype=np.float64)
    scale = _scale(features.var(axis=0, dtype=np.float64))
    x = ((features - mean.astype(np.float32)) / scale.astype(np.float32)).astype(np.float32)
    n, d = x.shape
    if n < d:
        values, vectors = np.linalg.eigh((x @ x.T).astype(np.float64))
        keep = values > _TINY * max(values[-1], 1e-12)
        roots = np.sqrt(values[keep])
        basis = (x.T @ (vectors[:, keep] / roots).astype(np.float32)).astype(np.float32)
        rows = (vectors[:, keep] * roots).astype(np.float32)
    else:
        values, vectors = np.linalg.eigh((x.T @ x).astype(np.float64))
        keep = values > _TINY * max(values[-1], 1e-12)
        basis = vectors[:, keep].astype(np.float32)
        rows = x @ basis
    spectrum = np.maximum(values[keep], 0) / n
    return Rotated(np.ascontiguousarray(rows), spectrum, basis, mean, scale)


def _scale(variance: np.ndarray) -> np.ndarray:
    scale = np.sqrt(variance)
    # a feature that hardly varies is constant: dividing by rounding noise would blow it up
    scale[scale <= 1e-6 * max(float(scale.max(initial=0.0)), 1e-12)] = 1.0
    return scale


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale (d,) in one pass, block by block (Chan, Golub and LeVeque 1983)."""
    n, d = features.shape
    count, mean, squares = 0, np.zeros(d), np.zeros(d)
    for start in range(0, n, _CHUNK):
        block = features[start : start + _CHUNK].astype(np.float64)
        m = len(block)
        middle = block.mean(axis=0)
        block -= middle
        shift = middle - mean
        squares += np.einsum("nd,nd->d", block, block) + shift**2 * (count * m / (count + m))
        count += m
        mean += shift * (m / count)
        release(features)
    return mean, _scale(squares / n)


def release(features: np.ndarray) -> None:
    """Give the pages of a mapped file back: they count as this process's memory, and are in the file.

    A private mapping (mode "c") keeps its changes nowhere else, so it is left alone.
    """
    base: object = features
    shared = False
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            shared = base.mode in ("r", "r+")
        base = base.base
    if shared and isinstance(base, mmap.mmap):
        advice = getattr(mmap, "MADV_DONTNEED", None)  # not on Windows
        if advice is not None:
            base.madvise(advice)
