"""One process at a time in a training's folder. The system drops the lock when the process ends, however it ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from headstart.errors import ConfigError

NAME = "training.lock"
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_FAR = 1 << 30  # the byte that Windows locks: what it locks, nobody else can read


@contextmanager
def only_one(folder: Path | None) -> Iterator[None]:
    """Hold the lock of a folder while the block runs.

    Where the file system has no locks, or nothing can be written, the block runs without.

    Args:
        folder: made if it is not there; None: no lock.

    Raises:
        ConfigError: another process, or another training of this one, holds it.
    """
    file = None if folder is None else _opened(folder)
    if folder is None or file is None:
        yield
        return
    with file:
        try:
            _lock(file)
        except OSError as error:
            if error.errno in _TAKEN:
                raise _taken(folder, file) from None
        else:
            with suppress(OSError):  # a full disk: then the number is not told
                file.truncate(0)
                file.write(str(os.getpid()).encode())
                file.flush()
        yield


def _opened(folder: Path) -> IO[bytes] | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / NAME).open("a+b", buffering=0)
    except OSError:
        return None


def _lock(file: IO[bytes]) -> None:
    """Take the lock at once or fail.

    Raises:
        OSError: somebody has it, or there are no locks here.
    """
    if sys.platform == "win32":
        import msvcrt

        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _taken(folder: Path, file: IO[bytes]) -> ConfigError:
    file.seek(0)
    number = file.read(20).decode("ascii", "replace").strip()
    who = f"process {number}" if number.isdigit() else "its number is not known"
    return ConfigError(
        f"The same training is running already ({who}); its states are kept in {folder}.",
        fix="wait until it has ended, or end that process; the training then goes on from its last state",
    )
