"""Opens a bundle, folder or zip, and hands out its files once their checksums hold. The one reader.

Only the names below are ever read, so a name inside an archive never becomes a path on this machine.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import BundleError
from headstart.hashing import hash_bytes, hash_json
from headstart.manifest import read_json, standing

SCHEMA = 2
"""The newest that is read; 1 is written where its readers understand the decision as well."""

FILES = (
    "model.onnx",
    "tokenizer.json",
    "weights.safetensors",
    "reference.safetensors",
    "README.md",
    "report.html",
)
_MAX_FILE = 4 << 30
_MAX_MANIFEST = 4 << 20  # in memory, JSON can be 25 times as large
_AGAIN = "copy the bundle again from where it was made, or make it again with headstart fit"


@dataclass(frozen=True)
class BundleFiles:
    """A bundle whose manifest was read and checked.

    Attributes:
        path: the folder or the zip file.
        manifest: the content of bundle.json.
    """

    path: Path
    manifest: Mapping[str, Any]

    def has(self, name: str) -> bool:
        """Whether the bundle holds this file."""
        return name in self.manifest["files"]

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            BundleError: it is missing, or its checksum does not hold.
        """
        listed = self.manifest["files"].get(name)
        if name not in FILES or listed is None:
            raise BundleError(f"{self.path}: the bundle has no {name}.", fix=_AGAIN)
        data = _read(self.path, name, int(listed["bytes"]))
        if len(data) != listed["bytes"] or hash_bytes(data) != listed["sha256"]:
            raise BundleError(
                f"{self.path}: {name} is damaged (its checksum does not hold).", fix=_AGAIN
            )
        return data


def open_bundle(path: str | Path) -> BundleFiles:
    """Read and check a bundle's manifest.

    Args:
        path: a bundle folder or a *.headstart file.

    Raises:
        BundleError: no such bundle, not a bundle, damaged, or written by a newer version.
    """
    path = standing(Path(path))
    if not path.exists():
        raise BundleError(
            f"There is no bundle at {path}.", fix="check the path, or make it: headstart fit DATA"
        )
    manifest = read_json(_read(path, "bundle.json", _MAX_MANIFEST), f"{path}: bundle.json")
    schema = manifest.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise BundleError(
            f"{path} is not a Headstart bundle (bundle.json has no schema).", fix=_AGAIN
        )
    if schema > SCHEMA:
        raise BundleError(
            f"{path} was written by a newer Headstart (bundle schema {schema}, this one reads up to {SCHEMA}).",
            fix="pip install -U headstart",
        )
    if manifest.get("checksum") != manifest_checksum(manifest):
        raise BundleError(
            f"{path}: bundle.json is damaged (its checksum does not hold).", fix=_AGAIN
        )
    _check_shape(path, manifest)
    return BundleFiles(path, manifest)


def manifest_checksum(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest without its own checksum."""
    return hash_json({key: value for key, value in manifest.items() if key != "checksum"})


def _check_shape(path: Path, manifest: Mapping[str, Any]) -> None:
    """The fields that everything after relies on; the message names the first that is wrong."""
    wants = {
        "files": dict,
        "task": dict,
        "preprocess": dict,
        "decision": dict,
        "backbone": dict,
        "metrics": dict,
    }
    for key, kind in wants.items():
        if not isinstance(manifest.get(key), kind):
            raise BundleError(f"{path}: bundle.json lacks the field {key!r}.", fix=_AGAIN)
    labels = manifest["task"].get("labels")
    if (
        not isinstance(labels, list)
        or len(labels) < 2
        or not all(isinstance(x, str) for x in labels)
    ):
        raise BundleError(f"{path}: bundle.json: task.labels is not a list of labels.", fix=_AGAIN)
    if len(set(labels)) < len(labels):
        raise BundleError(f"{path}: bundle.json: task.labels names a label twice.", fix=_AGAIN)
    for name, entry in manifest["files"].items():
        sound = (
            isinstance(entry, dict)
            and isinstance(entry.get("bytes"), int)
            and isinstance(entry.get("sha256"), str)
        )
        if name not in FILES or not sound or not 0 <= entry["bytes"] <= _MAX_FILE:
            raise BundleError(f"{path}: bundle.json lists an unsound file {name!r}.", fix=_AGAIN)


def _read(path: Path, name: str, limit: int) -> bytes:
    """A file of the bundle, at most `limit` bytes long.

    Raises:
        BundleError: it is missing, longer, or no plain file; or the archive is damaged or a bomb.
    """
    try:
        if path.is_dir():
            return _from_folder(path, name, limit)
        with _Frugal(_opened(path), "rb") as file, zipfile.ZipFile(file) as archive:
            return _from_zip(path, archive, name, limit)
    except FileNotFoundError as error:
        raise BundleError(
            f"{path} is not a Headstart bundle: no {name} inside.", fix=_AGAIN
        ) from error
    except _BAD_ZIP as error:
        raise BundleError(
            f"{path} is not a Headstart bundle, or a damaged one ({name} cannot be read).",
            fix=_AGAIN,
        ) from error
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror or error} ({name}).", fix="check the file"
        ) from error


# what zipfile raises on damage, as far as fuzzing found it
_BAD_ZIP = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError, OverflowError, IndexError,
)  # fmt: skip
_MAX_DIRECTORY = 1 << 20  # bytes read at once, hence of an archive's list of files: ours has seven
_FREE_SIZE = 16 << 20  # a packed file may unpack to this ...
_MAX_RATIO = 20  # ... or to so many times its packed size


class _Frugal(io.FileIO):
    """A file that gives no more than `_MAX_DIRECTORY` at once, whatever an archive claims."""

    def read(self, size: int | None = -1) -> bytes:
        most = _MAX_DIRECTORY
        data = super().read(size if size is not None and 0 <= size <= most else most + 1)
        if data is not None and len(data) > most:
            raise zipfile.BadZipFile("its list of files is too long")
        return data or b""


def _opened(path: Path) -> int:
    """A handle of a plain file: a pipe would keep us waiting."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BundleError(f"{path} is not a regular file.", fix=_AGAIN)
    return handle


def _from_folder(path: Path, name: str, limit: int) -> bytes:
    if (path / name).is_symlink():
        raise BundleError(f"{path}: {name} is a symbolic link.", fix=_AGAIN)
    with open(_opened(path / name), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise _too_long(path, name, size, limit)
        return file.read(limit + 1)


def _from_zip(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    entries = [info for info in archive.infolist() if info.filename == name]
    if len(entries) != 1:
        count = "no" if not entries else "more than one"
        raise BundleError(f"{path}: {count} {name} inside.", fix=_AGAIN)
    (info,) = entries
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError(f"{path}: {name} is packed in a way that no bundle is.", fix=_AGAIN)
    if info.file_size > limit:
        raise _too_long(path, name, info.file_size, limit)
    if info.file_size > max(_FREE_SIZE, _MAX_RATIO * info.compress_size):
        raise BundleError(
            f"{path}: {name} would unpack to {info.file_size / 1e6:,.0f} MB, more than "
            f"{_MAX_RATIO} times its packed size.",
            fix=_AGAIN,
        )
    with archive.open(info) as member:
        return b"".join(iter(lambda: member.read(_MAX_DIRECTORY), b""))


def _too_long(path: Path, name: str, size: int, limit: int) -> BundleError:
    return BundleError(
        f"{path}: {name} is damaged: it has {size:,} bytes where {limit:,} were expected.",
        fix=_AGAIN,
    )
