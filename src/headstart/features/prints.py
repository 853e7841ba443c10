"""Prints of pictures through the store: every picture is looked at once, as for features."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from headstart.compute import threads
from headstart.errors import UnreadableInput
from headstart.features.store import Store
from headstart.hashing import feature_key, hash_bytes
from headstart.preprocess import image, likeness
from headstart.types import Table

_GRAPH = hash_bytes(b"headstart likeness 1")  # what the store knows this version of prints by
_CHUNK = 512  # rows read and looked up together


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
        for start in range(0, len(table), _CHUNK):
            contents, keys = _read(pool, table, range(start, min(start + _CHUNK, len(table))))
            known = list(keys)
            values, found, _ = store.get([keys[row] for row in known], likeness.WIDTH)
            out[[row for row, hit in zip(known, found) if hit]] = values[found]
            absent = [row for row, hit in zip(known, found) if not hit]
            made = zip(absent, pool.map(_print, [contents[row] for row in absent]))
            new = {row: value for row, value in made if value is not None}
            if new:
                rows = list(new)
                kept = np.stack(list(new.values()))
                out[rows] = writer.append([keys[row] for row in rows], kept, [""] * len(rows))
    return out


def _read(
    pool: ThreadPoolExecutor, table: Table, rows: range
) -> tuple[dict[int, Any], dict[int, bytes]]:
    """Contents and keys of the rows that can be read."""

    def read(row: int) -> tuple[Any, bytes] | None:
        try:
            content = image.content(table.inputs[row])
        except UnreadableInput:
            return None
        return content, feature_key(image.digest(content), _GRAPH)

    found = {row: one for row, one in zip(rows, pool.map(read, rows)) if one is not None}
    return {row: one[0] for row, one in found.items()}, {row: one[1] for row, one in found.items()}


def _print(content: Any) -> np.ndarray | None:
    try:
        return likeness.print_of(content)
    except UnreadableInput:
        return None
