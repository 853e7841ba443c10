"""Files that outlive a process: atomic writes, checksums, JSON with a version, safetensors. numpy only.

Every writer of the library goes through `atomic_write` or `atomic_folder`: written under a temporary
name beside the target, fsynced, renamed, the parent folder fsynced. After a crash at any moment the
target is the old one or the new one, never half of one.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import sys
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import BundleError

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}
_MAX_HEADER = 10 << 20  # bytes
_MAX_TENSORS = 20_000
_HALF = re.compile(r"\\u[dD][89abAB]|\\u[dD][c-fC-F]")


def sync_folder(folder: Path) -> None:
    """Make a new or changed name survive a power cut, where folders can be opened and fsynced at all.

    Args:
        folder: the folder that holds the name.
    """
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(handle)


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    A link is followed, so that it stays a link; a pipe or a device (`/dev/stdout`) is written to, as it
    cannot be replaced. An older file's permissions are kept.

    Args:
        path: where to; its folder must exist.
        data: the whole content; text is written as UTF-8.

    Raises:
        OSError: with the name of the target and, where the disk is full, what is missing. The target
            is as it was, and nothing else is left behind.
    """
    path = _named(path)
    content = data.encode() if isinstance(data, str) else data
    with _told(path, len(content)):
        if path.is_symlink():
            path = Path(os.path.realpath(path))
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(content)
            return
        _check_room(path.parent, len(content))
        temporary = _beside(path)
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                if path.is_file():
                    temporary.chmod(stat.S_IMODE(path.stat().st_mode))
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block ends without an error.

    What stood at `path` is replaced, in one step where the system can swap two names (Linux, macOS);
    elsewhere the old folder is put aside first, and `standing` finds it if the process ends just then.
    If the block raises, the old one stays and the temporary folder is removed.

    Args:
        path: where to; the folder around it must exist.

    Raises:
        OSError: as of `atomic_write`.
    """
    path = _named(path)
    temporary = _beside(path)
    with _told(path):
        _restore(path)
        temporary.mkdir()
    try:
        with _told(path, inside=temporary):
            yield temporary
        with _told(path):
            _sync_tree(temporary)
            _replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def standing(path: Path) -> Path:
    """Where a folder written by `atomic_folder` is.

    Args:
        path: where it was written to.

    Returns:
        The path itself, or where a process that ended between two renames left the old folder.
    """
    aside = _aside(path)
    return aside if not os.path.lexists(path) and aside.is_dir() else path


def _named(path: str | Path) -> Path:
    """The path with a name at its end: "." has none."""
    path = Path(path)
    return path if path.name else path.absolute()


def _short(path: Path) -> str:
    """The start of a name: with what is put around it, no longer than file systems bear."""
    return path.name.encode(errors="replace")[:80].decode(errors="ignore")


def _beside(path: Path) -> Path:
    """A name of its own in the same folder, hence on the same disk."""
    return path.with_name(f".{_short(path)}.{uuid.uuid4().hex[:12]}.tmp")


def _aside(path: Path) -> Path:
    """Where the old folder waits while the new one takes its name."""
    return path.with_name(f".{_short(path)}.{zlib.crc32(os.fsencode(path.name)):08x}.old")


def _restore(path: Path) -> None:
    """Undo or finish what a process that ended between two renames left half done."""
    aside = _aside(path)
    if not aside.is_dir():
        return
    if os.path.lexists(path):
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.rename(path)


def _sync_tree(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("r+b") as opened:  # Windows syncs only what may be written
                os.fsync(opened.fileno())
    for one in (*(f for f in folder.rglob("*") if f.is_dir()), folder):
        sync_folder(one)


def _replace(new: Path, path: Path) -> None:
    """Give the new folder its name; what bore it goes once that has reached the disk."""
    old = None
    if os.path.lexists(path) or not _renamed(new, path):
        old = new
        if not _swapped(new, path):
            old = _aside(path)
            path.rename(old)
            try:
                new.rename(path)
            except BaseException:
                old.rename(path)
                raise
    sync_folder(path.parent)
    if old is not None and old.is_dir() and not old.is_symlink():
        shutil.rmtree(old, ignore_errors=True)
    elif old is not None:
        old.unlink(missing_ok=True)


def _renamed(new: Path, path: Path) -> bool:
    """Take a free name; False where somebody else was faster."""
    try:
        new.rename(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False
        raise
    return True


def _swapped(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where this system or this disk cannot.

    Raises:
        OSError: it can, and the disk fails.
    """
    import ctypes

    try:
        library = ctypes.CDLL(None, use_errno=True)
        a, b = os.fsencode(one), os.fsencode(other)
        if sys.platform == "linux":
            here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
            failed = library.renameat2(here, a, here, b, exchange)
        elif sys.platform == "darwin":
            failed = library.renamex_np(a, b, 2)  # RENAME_SWAP
        else:
            return False
    except (AttributeError, OSError, TypeError):  # no such call in this C library
        return False
    code = ctypes.get_errno()
    if failed and code not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM):
        raise OSError(code, os.strerror(code), str(other))
    return not failed


def _check_room(folder: Path, size: int) -> None:
    """Refuse before the first byte what the disk cannot hold."""
    try:
        room = shutil.disk_usage(folder)
    except OSError:
        return
    if room.total and size > room.free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


@contextmanager
def _told(path: Path, size: int = 0, inside: Path | None = None) -> Iterator[None]:
    """Errors of the file system that name the target and, on a full disk, say what is missing.

    Args:
        path: the target.
        size: bytes to be written, 0 where unknown.
        inside: only errors about this folder, or about no name at all, are meant.
    """
    try:
        yield
    except OSError as error:
        named = error.filename
        if error.errno is None or (
            inside and named is not None and not str(named).startswith(str(inside))
        ):
            raise
        why = os.strerror(error.errno)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            why += _room(path.parent, size)
        raise OSError(error.errno, why, str(path)) from error


def _room(folder: Path, size: int) -> str:
    """How much is needed and how much is free, in brackets."""
    needed = f"{size / 1e6:.1f} MB needed, " if size else ""
    try:
        return f" ({needed}{shutil.disk_usage(folder).free / 1e6:.1f} MB free)"
    except OSError:
        return f" ({needed.removesuffix(', ')})" if needed else ""


def dump_json(value: Any) -> str:
    """JSON for people: indented, keys in the given order, non-ASCII as itself, no NaN."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(data: bytes | str, where: str) -> dict[str, Any]:
    """One JSON object.

    Args:
        data: its text.
        where: the file's name, for the error.

    Raises:
        BundleError: not JSON, or not an object.
    """
    try:
        value = json.loads(data, parse_constant=_no_number)
        text = data if isinstance(data, str) else data.decode("latin-1")
        if _HALF.search(text):  # then it may hold half a character, which cannot be written again
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{where} is not valid JSON: {error}.", fix="copy the file again from where it was made"
        ) from error
    if not isinstance(value, dict):
        raise BundleError(
            f"{where} holds a JSON {type(value).__name__}, not an object.",
            fix="copy the file again from where it was made",
        )
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def dump_tensors(
    tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> bytes:
    """Arrays in the safetensors format (https://github.com/huggingface/safetensors#format)."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    pieces: list[bytes] = []
    offset = 0
    for name, array in tensors.items():
        dtype = array.dtype.newbyteorder("<")
        if dtype not in _NAMES:
            raise TypeError(f"tensor {name!r} has the dtype {array.dtype}, which safetensors lacks")
        piece = np.ascontiguousarray(array, dtype=dtype).tobytes()
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(piece)],
        }
        pieces.append(piece)
        offset += len(piece)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(pieces)


def load_tensors(data: bytes | memoryview, where: str) -> dict[str, np.ndarray]:
    """Arrays out of safetensors bytes; read-only views, nothing is copied.

    Args:
        data: the file's content.
        where: the file's name, for errors.

    Raises:
        BundleError: the content breaks the format or its limits.
    """

    def broken(why: str) -> BundleError:
        return BundleError(
            f"{where} is not a sound safetensors file: {why}.",
            fix="copy the file again from where it was made",
        )

    view = memoryview(data)
    if len(view) < 8:
        raise broken(f"it has {len(view)} bytes")
    size = int.from_bytes(view[:8], "little")
    if size > _MAX_HEADER or size > len(view) - 8:
        raise broken(f"its header claims {size} bytes")
    header = read_json(bytes(view[8 : 8 + size]), where)
    header.pop("__metadata__", None)
    if len(header) > _MAX_TENSORS:
        raise broken(f"it lists {len(header)} tensors, more than {_MAX_TENSORS}")
    body = view[8 + size :]
    tensors = {}
    for name, entry in header.items():
        try:
            dtype = np.dtype(_DTYPES[entry["dtype"]])
            shape = tuple(_whole(n) for n in entry["shape"])
            start, stop = (_whole(n) for n in entry["data_offsets"])
        except (KeyError, TypeError, ValueError) as error:
            raise broken(f"the entry of tensor {name!r} is malformed") from error
        count = 1
        for n in shape:
            if n < 0:
                raise broken(f"tensor {name!r} has a negative size")
            count *= n
        if not 0 <= start <= stop <= len(body) or stop - start != count * dtype.itemsize:
            raise broken(f"tensor {name!r} does not fit its place")
        try:
            tensors[name] = np.frombuffer(body[start:stop], dtype).reshape(shape)
        except (ValueError, OverflowError) as error:  # no numbers at all, in too many dimensions
            raise broken(f"tensor {name!r} has an impossible shape") from error
    return tensors


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no whole number")
    return value
