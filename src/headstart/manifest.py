"""Files that outlive a process: atomic writes, checksums, JSON with a version, safetensors. numpy only.

Every writer of the library goes through `atomic_write` or `atomic_folder`: written under a temporary
name beside the target, fsynced, renamed, the parent folder fsynced. After a crash at any moment the
target is the old one or the new one, never half of one.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
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

    Args:
        path: where to; its folder must exist.
        data: the whole content; text is written as UTF-8.
    """
    path = Path(path)
    content = data.encode() if isinstance(data, str) else data
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` when the block ends without an error.

    What stood at `path` is replaced; if the block raises, it stays and the temporary folder is removed.
    """
    path = Path(path)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:80]}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
        for folder in (temporary, *(f for f in temporary.rglob("*") if f.is_dir())):
            sync_folder(folder)
        temporary.chmod(0o777 & ~_umask())
        _replace_folder(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)


def _replace_folder(new: Path, path: Path) -> None:
    if path.is_file() or path.is_symlink():
        path.unlink()
    if not path.exists():
        new.rename(path)
        return
    aside = path.with_name(f".{path.name[:80]}.{os.getpid()}.old")
    path.rename(aside)
    try:
        new.rename(path)
    except OSError:
        aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


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
        value = json.loads(data)
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
            shape = tuple(int(n) for n in entry["shape"])
            start, stop = (int(n) for n in entry["data_offsets"])
        except (KeyError, TypeError, ValueError) as error:
            raise broken(f"the entry of tensor {name!r} is malformed") from error
        count = 1
        for n in shape:
            if n < 0:
                raise broken(f"tensor {name!r} has a negative size")
            count *= n
        if not 0 <= start <= stop <= len(body) or stop - start != count * dtype.itemsize:
            raise broken(f"tensor {name!r} does not fit its place")
        tensors[name] = np.frombuffer(body[start:stop], dtype).reshape(shape)
    return tensors
