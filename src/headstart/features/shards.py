"""Shard files: rows of one width behind one another, appended by one process, memory-mapped by all.

A row's checksum covers its key and its note besides its bytes, so that an index that leads a key to
another key's row is found out just as a flipped byte is. A CRC-32 notices every damage within four
neighbouring bytes, and all but one in four thousand million of the others.
"""

from __future__ import annotations

import errno
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from headstart.manifest import sync_folder

SHARD_BYTES = 64 << 20  # a full shard: the least that trimming removes
_BLOCK_BYTES = 8 << 20  # read, checked and copied at once
_NAME = re.compile(r"[0-9a-f]{32}\.(f16|f32)")
_DTYPES: dict[str, np.dtype[Any]] = {
    ".f16": np.dtype("<f2"),
    ".f32": np.dtype("<f4"),
}  # a shard's name tells
_ROUNDING = 5e-4  # of a row's length: float16 rounds normal numbers by less, 2**-11 at most


def is_shard(name: str) -> bool:
    """Whether a file of the store's folder holds rows."""
    return _NAME.fullmatch(name) is not None


def found_in(folder: Path) -> dict[str, os.stat_result]:
    """All shard files of a folder by name; what vanishes meanwhile is left out."""
    known = {}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if is_shard(entry.name):
                with suppress(FileNotFoundError):
                    known[entry.name] = entry.stat()
    return known


def seed(key: bytes, note: bytes) -> int:
    """The checksum of what a row is for; that of its bytes goes on from it."""
    return zlib.crc32(note, zlib.crc32(key))


def checksums(rows: np.ndarray, seeds: Sequence[int]) -> list[int]:
    """One CRC-32 for each row.

    Args:
        rows: (n, d), C-contiguous.
        seeds: n results of `seed`.
    """
    width = rows.shape[1] * rows.itemsize
    data = rows.reshape(-1).view(np.uint8).data
    crc32 = zlib.crc32
    return [crc32(data[i * width : (i + 1) * width], s) for i, s in enumerate(seeds)]


def read(path: Path, dim: int, places: np.ndarray, values: np.ndarray, found: np.ndarray) -> None:
    """Copy the sound rows of one shard to where they are wanted.

    Args:
        path: the shard; one that is gone or cannot be read has no sound rows.
        dim: d.
        places: (m,) with the fields at, row, seed and crc; sorted by row.
        values: (n, d) float32, filled at `at`.
        found: (n,) bool, set at `at`.
    """
    rows = mapped(path, dim)
    if rows is None:
        return
    places = places[(places["row"] >= 0) & (places["row"] < len(rows))]
    for block in blocks(places, dim):
        data = rows[block["row"]]  # (b, d) copied off the disk
        sound = np.array(checksums(data, block["seed"].tolist())) == block["crc"]
        if not sound.all():
            block, data = block[sound], data[sound]
        values[block["at"]] = data
        found[block["at"]] = True


def mapped(path: Path, dim: int) -> np.ndarray | None:
    """A shard's whole rows (count, d), memory-mapped; None where the file is gone or holds none."""
    try:
        dtype = _DTYPES[path.suffix]
        count = path.stat().st_size // (dtype.itemsize * dim)
        return np.memmap(path, dtype, "r", shape=(count, dim)) if count else None
    except (OSError, ValueError):  # ValueError: cut shorter since it was measured
        return None


def blocks(places: np.ndarray, dim: int) -> Iterator[np.ndarray]:
    """Pieces of at most `_BLOCK_BYTES` of rows."""
    step = max(1, _BLOCK_BYTES // (4 * dim))
    for start in range(0, len(places), step):
        yield places[start : start + step]


def halves(rows: np.ndarray, rounding: bool) -> np.ndarray:
    """Which rows float16 may hold.

    Without rounding: all of them if all come back bit for bit, else none, so that float32 features
    with a few short numbers among them are not scattered over two shards. With rounding: each row
    by itself, whatever it was computed with, if it fits and comes back within `_ROUNDING` of its
    length; rows of tiny numbers, where float16 rounds more coarsely, do not.

    Args:
        rows: (n, d) float32, C-contiguous.
        rounding: whether a row may change by float16's rounding.

    Returns:
        (n,) bool.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        back = rows.astype("<f2").astype(np.float32)
        same = np.array_equal(back.view(np.uint32), rows.view(np.uint32))  # -0 and NaN as well
        if same or not rounding:
            return np.full(len(rows), same)
        lost = np.linalg.norm((rows - back).astype(np.float64), axis=1)
        length = np.linalg.norm(rows.astype(np.float64), axis=1)
        return np.isfinite(back).all(axis=1) & (lost <= _ROUNDING * length)


def packed(rows: np.ndarray, half: bool) -> np.ndarray:
    """Rows as they lie in a shard, (n, d) C-contiguous."""
    return np.ascontiguousarray(rows, dtype=_DTYPES[suffix(half)])


def suffix(half: bool) -> str:
    """The end of a shard's name."""
    return ".f16" if half else ".f32"


def append(path: Path, offset: int, rows: np.ndarray) -> None:
    """Add rows at the end; when this returns they survive a power cut.

    Args:
        path: the shard; made where `offset` is 0.
        offset: bytes that it must hold already.
        rows: (n, d), what `packed` gave.

    Raises:
        FileNotFoundError: the shard was trimmed away, or is not as long as its writer left it.
        OSError: the disk is full or fails; what was written of the rows is taken away again.
    """
    new = os.O_CREAT | os.O_EXCL if offset == 0 else 0
    binary = getattr(os, "O_BINARY", 0)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | new | binary, 0o666)
    try:
        if os.fstat(handle).st_size != offset:
            raise FileNotFoundError(errno.ENOENT, "changed by somebody else", str(path))
        data = rows.reshape(-1).view(np.uint8).data
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
        if new:
            sync_folder(path.parent)
    except FileNotFoundError:
        raise
    except BaseException:
        cut(path, offset)
        raise
    finally:
        os.close(handle)


def cut(path: Path, offset: int) -> None:
    """Take away what stands behind `offset`; a shard left empty goes altogether."""
    with suppress(OSError):
        if offset:
            os.truncate(path, offset)
        else:
            path.unlink()
