"""What is a picture, as far as names, types and the file system tell: nothing is decoded here."""

from __future__ import annotations

import functools
import stat
import sys
from pathlib import Path, PurePath
from typing import Any

import numpy as np

_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
_HINTS = {
    ".heic": "HEIC is not read; export it as JPEG",
    ".heif": "HEIF is not read; export it as JPEG",
    ".svg": "SVG is not read; export it as PNG",
    ".pdf": "PDF is not read; export its pages as PNG",
    ".avif": "AVIF needs Pillow 11.3 or newer",
}


@functools.cache
def suffixes() -> frozenset[str]:
    """File name endings of the picture formats that are read, in lower case, with the dot."""
    from PIL import features

    return _SUFFIXES | {".avif"} if "avif" in features.get_supported_modules() else _SUFFIXES


def is_picture_name(name: str) -> bool:
    """Whether a file name ends like a picture's."""
    return PurePath(name).suffix.lower() in suffixes()


def not_a_picture(name: str) -> str:
    """The reason for leaving out a file that does not end like a picture."""
    suffix = PurePath(name).suffix.lower()
    return _HINTS.get(suffix) or f"not a picture ({suffix or 'no file name ending'})"


def in_memory(value: Any) -> bool:
    """Whether a value is a picture itself: a file's bytes, a PIL image or a uint8 array."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return True
    if isinstance(value, np.ndarray):
        return value.dtype == np.uint8 and value.ndim in (2, 3)
    pil = sys.modules.get("PIL.Image")  # not loaded: then there is no such image either
    return pil is not None and isinstance(value, pil.Image)


def is_record(value: Any) -> bool:
    """Whether a value is a picture as Hugging Face stores one: {"bytes": ..., "path": ...}."""
    return isinstance(value, dict) and {"bytes", "path"} >= value.keys() and bool(value)


def is_url(value: Any) -> bool:
    """Whether a value is an address; none is ever fetched."""
    return isinstance(value, str) and value[:8].lower().startswith(
        ("http://", "https://", "ftp://", "s3://", "gs://", "hf://")
    )


def looks_like(value: Any) -> bool:
    """Whether a cell is a picture or the path of one."""
    if isinstance(value, PurePath):
        return is_picture_name(value.name)
    if isinstance(value, str):
        return len(value) < 4096 and not is_url(value) and is_picture_name(value.strip())
    return in_memory(value) or is_record(value)


def from_cell(value: Any, folder: Path) -> Any:
    """A table's cell as an input: a path from the table's folder on, or the picture itself.

    Args:
        value: the cell.
        folder: where relative paths start.

    Returns:
        A Path, bytes, a PIL image or an array; anything else as it came.
    """
    if is_record(value):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (str, PurePath)) and not is_url(value) and str(value).strip():
        return _resolve(str(value), folder)
    return value


def _resolve(name: str, folder: Path) -> Path:
    """A path as written; else without spaces around it, else with its backslashes turned."""
    path = folder / name
    for other in (name.strip(), name.strip().replace("\\", "/")):
        if other != name and _file_fault(path):
            path = path if _file_fault(folder / other) else folder / other
    return path


def fault(value: Any) -> str:
    """Why an input cannot be a picture, as far as the file system tells; "" where it may be one."""
    if isinstance(value, bytes):
        return "" if value else "empty file"
    if isinstance(value, PurePath):
        return _file_fault(Path(value))
    if is_url(value):
        return "an address on the network is not fetched; download the picture first"
    if value is None or (isinstance(value, str) and not value.strip()):
        return "no file name"
    return "" if in_memory(value) else f"not a picture but a {type(value).__name__}"


def _file_fault(path: Path) -> str:
    try:
        info = path.stat()
    except FileNotFoundError:
        return "no such file"
    except PermissionError:
        return "no permission to read it"
    except (OSError, ValueError) as error:  # a link to itself, a name too long, a NUL in the name
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if stat.S_ISDIR(info.st_mode):
        return "a folder, not a file"
    if not stat.S_ISREG(info.st_mode):  # a pipe or a device could keep us waiting for ever
        return "not a regular file"
    return "" if info.st_size else "empty file"
