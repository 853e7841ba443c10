"""Two processes never train in one folder at once, and one that is killed leaves nothing in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headstart.errors import ConfigError
from headstart.train import lock
from headstart.train.lock import only_one

HOLD = """
import sys
from pathlib import Path
from headstart.train.lock import only_one
with only_one(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of a folder."""
    source = Path(__file__).parents[1] / "src"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], env=os.environ | {"PYTHONPATH": str(source)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.communicate()


def test_a_second_process_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    with another(folder) as process:
        for _ in range(2):
            with pytest.raises(ConfigError, match=rf"process {process.pid}\b") as told, only_one(folder):  # fmt: skip
                pytest.fail("it was let in")
        assert str(folder) in told.value.message
        assert "wait" in told.value.fix
    with only_one(folder):
        assert (folder / lock.NAME).read_text() == str(os.getpid())


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_what_a_killed_process_held_is_free(tmp_path: Path) -> None:
    with another(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / lock.NAME).read_text() == str(process.pid)
        with only_one(tmp_path):
            assert (tmp_path / lock.NAME).read_text() == str(os.getpid())


def test_one_process_does_not_train_twice_in_a_folder_either(tmp_path: Path) -> None:
    with only_one(tmp_path):
        with pytest.raises(ConfigError, match=f"process {os.getpid()}"), only_one(tmp_path):
            pytest.fail("it was let in")
        with only_one(tmp_path / "other"):
            pass
    with pytest.raises(ZeroDivisionError), only_one(tmp_path):
        raise ZeroDivisionError
    with only_one(tmp_path):
        pass


def test_where_there_are_no_locks_it_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with only_one(None):
        pass
    (tmp_path / "file").write_text("in the way")
    with only_one(tmp_path / "file" / "run"):
        pass

    def none(file: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock, "_lock", none)
    with only_one(tmp_path), only_one(tmp_path):
        pass
