"""Rows of a table as contents and the keys that the store knows them by."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from headstart.compute import threads
from headstart.errors import UnreadableInput
from headstart.hashing import feature_key
from headstart.preprocess import image, text
from headstart.types import Table

_CHUNK = 512  # rows read and looked up together: bounds memory
_FIRST = 16  # rows that tell how quick reading is
_SLOW = 0.5e-3  # seconds a row; below, threads would only wait for each other

Row = tuple[int, Any, bytes]
"""Number, content and key."""


def chunks(table: Table, graph: str) -> Iterator[tuple[range, list[Row], dict[int, str]]]:
    """The rows of a table, some hundred at a time, in order.

    Args:
        table: n rows.
        graph: what the keys are made for.

    Yields:
        Row numbers; those that can be read, with contents and keys; and why the others cannot.
    """
    room = image if table.modality == "image" else text

    def one(row: int) -> tuple[int, Any, bytes | str]:
        try:
            content = room.content(table.inputs[row])
        except UnreadableInput as error:
            return row, None, error.reason
        return row, content, feature_key(room.digest(content), graph)

    with ThreadPoolExecutor(threads() * 2) as pool:
        for start in range(0, len(table), _CHUNK):
            rows = range(start, min(start + _CHUNK, len(table)))
            began = time.perf_counter()
            results = [one(row) for row in rows[:_FIRST]]
            slow = (time.perf_counter() - began) > _SLOW * len(results)
            rest = rows[len(results) :]
            results += pool.map(one, rest) if slow else map(one, rest)
            good: list[Row] = []
            reasons: dict[int, str] = {}
            for row, content, key in results:
                if isinstance(key, str):
                    reasons[row] = key
                else:
                    good.append((row, content, key))
            yield rows, good, reasons
