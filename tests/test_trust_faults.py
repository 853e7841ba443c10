"""Saves that are killed, or whose disk fails: the old or the new, never neither (R2, R3, R4); see trust/faults.py."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading

import pytest

from headstart import manifest
from trust import faults, writer

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def kept(outcome):
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.done > 0
    assert not outcome.bad, "\n".join(outcome.bad)


def test_what_is_written_reaches_the_disk_before_its_name(tmp_path):
    kept(faults.order(5, tmp_path))


def test_a_fault_at_some_calls(tmp_path):
    kept(faults.every_call(8, tmp_path))


@posix
def test_a_fault_at_some_functions(tmp_path):
    kept(faults.python_calls(5, tmp_path))


@posix
def test_a_limit_on_the_size_of_files(tmp_path):
    kept(faults.file_limit(8, tmp_path))


@posix
def test_a_full_disk(tmp_path):
    kept(faults.small_disk(4, tmp_path))


def test_the_order_is_looked_at_closely():
    """Each piece of the order left out is noticed."""

    def call(name, line):
        return faults.Call(name, 1, line)

    sound = [
        call("openat", 'openat(AT_FDCWD</x>, "/d/.t", O_CREAT) = 3</d/.t>'),
        call("write", 'write(3</d/.t>, "a", 1) = 1'),
        call("fsync", "fsync(3</d/.t>) = 0"),
        call("rename", 'rename("/d/.t", "/d/f") = 0'),
        call("fsync", "fsync(3</d>) = 0"),
    ]
    from pathlib import Path

    assert faults._order(sound, Path("/d/f")) == []
    for gone in (1, 2, 3, 4):
        assert faults._order(sound[:gone] + sound[gone + 1 :], Path("/d/f"))
    assert faults._order([*sound[:2], sound[3], sound[2], sound[4]], Path("/d/f"))


@pytest.mark.parametrize("kind", ["folder", "zip", "csv"])
def test_two_saves_at_once_leave_one_of_them(tmp_path, kind):
    target = tmp_path / ("m.headstart" if kind == "zip" else kind)
    saves = [threading.Thread(target=writer.save, args=(kind, i % 2, target)) for i in range(2)]
    for save in saves:
        save.start()
    for save in saves:
        save.join()
    found = writer.state(kind, target)
    both = []
    for number in (0, 1):
        writer.save(kind, number, tmp_path / f"{number}{target.suffix}")
        both.append(writer.state(kind, tmp_path / f"{number}{target.suffix}"))
    assert found in both
    assert not list(tmp_path.glob(".*"))


# --- the door itself ----------------------------------------------------------------------------


def swap_nothing(monkeypatch):
    monkeypatch.setattr(manifest, "_swapped", lambda one, other: False)


def make(target, text):
    with manifest.atomic_folder(target) as folder:
        (folder / "a").write_text(text)


@pytest.mark.parametrize("swaps", [True, False])
def test_a_folder_takes_the_place_of_anything(tmp_path, monkeypatch, swaps):
    if not swaps:
        swap_nothing(monkeypatch)
    for before in ("nothing", "file", "folder", "link"):
        target = tmp_path / before
        if before == "file":
            target.write_text("old")
        elif before == "folder":
            make(target, "old")
        elif before == "link":
            (tmp_path / "elsewhere").mkdir()
            if os.name == "nt":
                continue
            target.symlink_to(tmp_path / "elsewhere")
        make(target, "new")
        assert (target / "a").read_text() == "new"
        assert not target.is_symlink()
    assert not list(tmp_path.glob(".*"))
    assert not list(tmp_path.glob("elsewhere/*"))


@posix
def test_names_are_swapped_in_one_step_here(tmp_path):
    """On Linux and macOS nobody ever sees the place of a folder empty."""
    make(tmp_path / "a", "a")
    make(tmp_path / "b", "b")
    if not manifest._swapped(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this disk cannot swap names")
    assert (tmp_path / "a" / "a").read_text() == "b"
    assert (tmp_path / "b" / "a").read_text() == "a"


def test_a_folder_put_aside_is_found_and_put_back(tmp_path, monkeypatch):
    """Where names cannot be swapped: a process that ends between the two renames."""
    swap_nothing(monkeypatch)
    target = tmp_path / "model"
    make(target, "old")
    aside = manifest._aside(target)
    target.rename(aside)  # what a killed process leaves: nothing at the name
    assert manifest.standing(target) == aside
    make(target, "new")
    assert (target / "a").read_text() == "new"
    assert manifest.standing(target) == target
    target.rename(manifest._aside(target))
    with pytest.raises(ZeroDivisionError), manifest.atomic_folder(target):
        raise ZeroDivisionError
    assert (target / "a").read_text() == "new"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["x" * 250, "\U0001f600" * 62, "文" * 83, "new\nline", "-rf", " ", "a'b\""])  # fmt: skip
def test_names_as_long_as_a_disk_bears(tmp_path, name):
    if os.name == "nt":
        name = "x" * 200
    manifest.atomic_write(tmp_path / name, "a")
    manifest.atomic_write(tmp_path / name, "b")
    assert (tmp_path / name).read_text() == "b"
    (tmp_path / name).unlink()
    make(tmp_path / name, "a")
    make(tmp_path / name, "b")
    assert (tmp_path / name / "a").read_text() == "b"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@posix
def test_permissions_and_links_stay(tmp_path):
    private = tmp_path / "private.csv"
    manifest.atomic_write(private, "old")
    private.chmod(0o600)
    manifest.atomic_write(private, "new")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    link = tmp_path / "link.csv"
    link.symlink_to("private.csv")
    manifest.atomic_write(link, "through the link")
    assert link.is_symlink()
    assert private.read_text() == "through the link"
    mask = os.umask(0o027)
    try:
        manifest.atomic_write(tmp_path / "made", "x")
        make(tmp_path / "folder", "x")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750


@posix
def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    manifest.atomic_write(pipe, "through")
    assert reader.communicate(timeout=30)[0] == b"through"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_what_is_missing_is_said_before_the_first_byte(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=90_000_000))
    target = tmp_path / "model.headstart"
    target.write_bytes(b"old")

    class Large(bytes):
        def __len__(self):
            return 812_000_000

    with pytest.raises(OSError, match=r"812.0 MB needed, 90.0 MB free") as told:
        manifest.atomic_write(target, Large(b""))
    assert told.value.errno == errno.ENOSPC
    assert told.value.filename == str(target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_line_tells_it_in_two_lines(tmp_path, as_json):
    from trust.table import environment, golden

    target = tmp_path / "no such folder" / "answers.csv"
    command = [sys.executable, "-m", "headstart", "predict", str(golden("text")), "a text"]
    command += ["--out", str(target), *(["--json"] if as_json else [])]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[0] == f"error: {target}: No such file or directory."
    assert lines[1].startswith("  fix: ")
    assert len(lines) == 2
    assert ('"error"' in done.stdout) == as_json


def test_an_error_without_a_file_stays_a_bug(tmp_path):
    from headstart.cli.show import command

    def broken():
        raise OSError("something of ours")

    with pytest.raises(OSError, match="of ours"):
        command(broken)()
