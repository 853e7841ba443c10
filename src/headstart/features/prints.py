"""Prints of pictures through the store: every picture is looked at once, as for features."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from headstart.compute import threads
from headstart.errors import UnreadableInput
from headstart.features.reading import chunks
from headstart.features.store import Store
from headstart.hashing import hash_bytes
from headstart.preprocess import likeness
from headstart.types import Table

_GRAPH = hash_bytes(b"headstart likeness 2")  # what the store knows this version of prints by


def prints(table: Table, store: Store) -> np.ndarray | None:
    """The prints of a table of pictures (see `headstart.preprocess.likeness`).

    Args:
        table: n rows.
        store: where they are kept.

    Returns:
        (n, WIDTH) float32, NaN for a picture that cannot be read; None for texts.
    """
    if table.modality != "image":
        return None
    out = np.full((len(table), likeness.WIDTH), np.nan, dtype=np.float32)
    writer = store.writer(_GRAPH, likeness.WIDTH, rounding=True)
    with ThreadPoolExecutor(threads()) as pool:
        for _, known, _ in chunks(table, _GRAPH):
            values, found, _ = store.get([key for _, _, key in known], likeness.WIDTH)
            rows = np.array([row for row, _, _ in known], dtype=np.int64)
            out[rows[found]] = values[found]
            absent = [one for one, hit in zip(known, found) if not hit]
            made = zip(absent, pool.map(_print, [content for _, content, _ in absent]))
            new = [(row, key, value) for (row, _, key), value in made if value is not None]
            if new:
                kept = np.stack([value for _, _, value in new])
                out[[row for row, _, _ in new]] = writer.append(
                    [key for _, key, _ in new], kept, [""] * len(new)
                )
    return out


def _print(content: Any) -> np.ndarray | None:
    try:
        return likeness.print_of(content)
    except UnreadableInput:
        return None
