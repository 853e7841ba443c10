"""Pictures that are nearly the same: resized, compressed anew, mirrored, turned.

Two pictures are copies if their prints (`headstart.preprocess.likeness`) agree in the best of the eight
orientations and their colours do; where the prints agree less well, the features have to agree too. What
is compared at all is found by the prints' invariants, whose cosine is never less than that of the best
orientation: the search misses nothing that the rule would accept.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from headstart.compute import threads
from headstart.preprocess import likeness

SAME = 0.97
"""Cosine of two prints above which they are of one picture."""

ALIKE = 0.90
"""The same where the features agree as well."""

_FEATURES = 0.90  # cosine of centred features that counts as agreeing
_COLOUR = 10.0  # largest difference of mean chroma, of 255
_FLAT = 4  # levels: blank pictures of one colour differ by less
_BLOCK = 1024  # rows compared with all others at a time
_PAIRS = 1 << 17  # pairs whose orientations are tried at a time


def near_pairs(
    prints: np.ndarray, features: np.ndarray | None = None, split: int | None = None
) -> np.ndarray:
    """Pairs of pictures that are copies of each other.

    Of many copies of one picture not all pairs are given, but enough to join them.

    Args:
        prints: (n, WIDTH) of `headstart.preprocess.likeness`; rows of NaN equal nothing.
        features: (n, d); without them only prints that agree well count.
        split: compare only pictures before this number with pictures from it on.

    Returns:
        (p, 2) int64, the smaller number first, sorted.
    """
    readable = np.isfinite(prints).all(axis=1)
    safe = np.where(readable[:, None], prints, 0).astype(np.float32)
    flat = readable & likeness.blank(safe)
    shaped = likeness.shapes(safe)
    shaped[~readable | flat] = 0
    search = _Search(safe, shaped, None if features is None else unit(features), split)
    found = [*search.run(), _flat_pairs(safe, np.flatnonzero(flat), split)]
    return np.unique(np.concatenate(found), axis=0)


def unit(features: np.ndarray) -> np.ndarray:
    """Centred rows of length 1, (n, d) float32; centred, as some vectors all point the same way."""
    moved = (features - features.mean(axis=0, dtype=np.float64)).astype(np.float32)
    return moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)


class _Search:
    """All rows against all, block by block; rows that were joined already are passed over."""

    def __init__(
        self,
        prints: np.ndarray,
        shaped: np.ndarray,
        features: np.ndarray | None,
        split: int | None,
    ) -> None:
        self.shaped, self.features, self.split = shaped, features, split
        self.chroma = prints[:, likeness.CHROMA]
        self.least = SAME if features is None else ALIKE
        self.invariant = likeness.invariants(shaped)
        self.first = np.arange(len(prints))  # the smallest row that each is known to copy

    def run(self) -> list[np.ndarray]:
        """Pairs, (p, 2) each."""
        n = len(self.shaped)
        stop = n if self.split is None else self.split
        blocks = [(at, min(at + _BLOCK, stop)) for at in range(0, stop, _BLOCK)]
        found = [np.zeros((0, 2), dtype=np.int64)]
        with ThreadPoolExecutor(threads()) as pool:
            for pairs in pool.map(lambda block: self._candidates(*block), blocks):
                for at in range(0, len(pairs), _PAIRS):
                    piece = pairs[at : at + _PAIRS]
                    if self.split is None:  # else each pair says something of its own
                        piece = piece[self.first[piece[:, 0]] != self.first[piece[:, 1]]]
                    near = piece[self._near(piece)]
                    np.minimum.at(self.first, near[:, 1], self.first[near[:, 0]])
                    found.append(near)
        return found

    def _candidates(self, start: int, stop: int) -> np.ndarray:
        """Pairs of a row of the block and a later one whose invariants are near."""
        base = start if self.split is None else self.split
        near = self.invariant[start:stop] @ self.invariant[base:].T >= self.least
        i, j = np.nonzero(near)
        pairs = np.stack([i + start, j + base], axis=1)
        return pairs[pairs[:, 0] < pairs[:, 1]]

    def _near(self, pairs: np.ndarray) -> np.ndarray:
        """(p,) bool: whether the pairs are copies."""
        i, j = pairs.T
        cosine, _ = likeness.best_orientation(self.shaped[i], self.shaped[j])
        chroma = np.abs(self.chroma[i] - self.chroma[j]).max(axis=1, initial=0)
        near = cosine >= SAME
        if self.features is not None:
            agree = np.einsum("pd,pd->p", self.features[i], self.features[j]) >= _FEATURES
            near |= (cosine >= ALIKE) & agree
        return near & (chroma <= _COLOUR)


def _flat_pairs(prints: np.ndarray, rows: np.ndarray, split: int | None) -> np.ndarray:
    """Blank pictures of one colour, each with the first of its colour."""
    level = prints[rows, 0] / 32  # the first coefficient is 32 times the mean
    colour = np.column_stack([level, prints[rows, likeness.CHROMA]])
    keys = np.round(colour / _FLAT).astype(np.int64)
    first: dict[tuple[int, ...], int] = {}
    pairs = []
    for row, key in zip(rows.tolist(), map(tuple, keys.tolist())):
        known = first.setdefault(key, row)
        if known != row and (split is None or known < split <= row):
            pairs.append((known, row))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
