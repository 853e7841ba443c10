"""Opens a bundle, folder or zip, and hands out its files once their checksums hold. The one reader.

Only the names below are ever read, so a name inside an archive never becomes a path on this machine.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import BundleError
from headstart.hashing import hash_bytes, hash_json
from headstart.manifest import read_json

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
_MAX_MANIFEST = 16 << 20
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
    path = Path(path)
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
    for name, entry in manifest["files"].items():
        sound = isinstance(entry, dict) and isinstance(entry.get("bytes"), int)
        if name not in FILES or not sound or not 0 <= entry["bytes"] <= _MAX_FILE:
            raise BundleError(f"{path}: bundle.json lists an unsound file {name!r}.", fix=_AGAIN)


def _read(path: Path, name: str, limit: int) -> bytes:
    """A file of the bundle, never more than `limit` bytes (+1, so that a longer one is noticed)."""
    try:
        if path.is_dir():
            inside = path / name
            if inside.is_symlink():
                raise BundleError(f"{path}: {name} is a symbolic link.", fix=_AGAIN)
            with inside.open("rb") as file:
                return file.read(limit + 1)
        with zipfile.ZipFile(path) as archive:
            entries = [info for info in archive.infolist() if info.filename == name]
            if len(entries) != 1:
                count = "no" if not entries else "more than one"
                raise BundleError(f"{path}: {count} {name} inside.", fix=_AGAIN)
            with archive.open(entries[0]) as member:
                return member.read(limit + 1)
    except FileNotFoundError as error:
        raise BundleError(
            f"{path} is not a Headstart bundle: no {name} inside.", fix=_AGAIN
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BundleError(
            f"{path} is not a Headstart bundle, or a damaged one.", fix=_AGAIN
        ) from error
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read: {error.strerror or error}.", fix="check the file"
        ) from error
