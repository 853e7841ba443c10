"""The store on a full disk, in a folder that must not be written, and shared with other processes."""

import errno
import inspect
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from headstart.features import index as index_module
from headstart.features import shards
from headstart.features.store import Store

GRAPH = "ab" * 32
DIM = 32
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def keys(numbers):
    return [int(i).to_bytes(32, "big") for i in numbers]


def rows(numbers):
    """Rows that tell their number, and that float16 cannot hold."""
    return np.repeat(np.float32(numbers)[:, None] + np.float32(0.1), DIM, 1)


def put(writer, numbers):
    return writer.append(keys(numbers), rows(numbers), [""] * len(numbers))


def got(store, numbers):
    """Which rows come back; those that do are right."""
    values, found, _ = store.get(keys(numbers), DIM)
    assert (values[found] == rows(numbers)[found]).all()
    return found


# what a child process needs; importing this file would cost it pytest's start
COMMON = f"""
import mmap, sys, time
import numpy as np
from pathlib import Path
from headstart.features.store import Store

GRAPH, DIM = {GRAPH!r}, {DIM}

""" + "\n".join(map(inspect.getsource, (keys, rows, put, got)))


def child(code, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", COMMON + textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def tidy(folder, acknowledged):
    """Nothing torn, nothing temporary, nothing that no row leads to."""
    sizes = sum(path.stat().st_size for path in folder.glob("*.f32"))
    assert sizes == acknowledged * DIM * 4
    assert not [path for path in folder.iterdir() if path.name.endswith(".tmp")]
    for path in folder.glob("*-journal"):
        assert path.stat().st_size == 0


def failing(monkeypatch, call, error, after):
    """Let the `after`-th call of a function of os fail once; a write has done half its work then."""
    original, count = getattr(os, call), [0]

    def wrapped(*arguments, **named):
        count[0] += 1
        if count[0] == after + 1:
            if call == "write":
                original(arguments[0], arguments[1][: len(arguments[1]) // 2])
            raise OSError(error, os.strerror(error))
        return original(*arguments, **named)

    monkeypatch.setattr(shards.os, call, wrapped)
    return count


@pytest.mark.parametrize("first", [True, False], ids=["new shard", "old shard"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("call", ["open", "fstat", "write", "fsync"])
@pytest.mark.parametrize("after", [0, 1])
def test_any_call_may_fail(tmp_path, monkeypatch, call, error, first, after):
    store = Store(tmp_path)
    got(store, range(1))
    writer = store.writer(GRAPH, DIM)
    kept = 0
    if not first:
        put(writer, range(10))
        kept = 10
    with monkeypatch.context() as patch:
        count = failing(patch, call, error, after)
        for start in range(kept, 30, 10):
            returned = put(writer, range(start, start + 10))
            assert (returned == rows(range(start, start + 10))).all()
            kept += 0 if writer.full else 10
        assert count[0] > after
    assert os.strerror(error) in writer.full
    assert str(tmp_path) in writer.full
    assert got(store, range(30)).sum() == kept
    tidy(tmp_path, kept)
    other = store.writer(GRAPH, DIM)  # there is room again
    put(other, range(30))
    assert other.full == ""
    assert got(store, range(30)).all()


@pytest.mark.parametrize(
    "words", ["database or disk is full", "disk I/O error", "database is locked"]
)
def test_the_index_may_fail(tmp_path, monkeypatch, words):
    store = Store(tmp_path)
    writer = store.writer(GRAPH, DIM)
    put(writer, range(10))

    class Failing(index_module.sqlite3.Connection):
        def execute(self, query, *arguments):
            if query == "commit":
                raise index_module.sqlite3.OperationalError(words)
            return super().execute(query, *arguments)

    connect = index_module.sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(
            index_module.sqlite3, "connect", lambda *a, **k: connect(*a, factory=Failing, **k)
        )
        assert (put(writer, range(10, 20)) == rows(range(10, 20))).all()
        put(writer, range(20, 30))
        assert store.trim(0) == 1280  # files go all the same
    assert words in writer.full
    assert store.notes == []
    assert not got(store, range(30)).any()
    tidy(tmp_path, 0)
    store.trim()
    assert store.size().rows == 0


@posix
@pytest.mark.parametrize("limit", [100, 3000, 9000, 20_000, 33_000])
def test_files_that_may_not_grow(tmp_path, limit):
    code = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit, folder = int(sys.argv[1]), Path(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        store = Store(folder)
        writer = store.writer(GRAPH, DIM)
        kept = 0
        for start in range(0, 1000, 10):
            assert (put(writer, range(start, start + 10)) == rows(range(start, start + 10))).all()
            kept += 0 if writer.full else 10
            assert got(store, range(kept)).all()
        print(kept, writer.full)
        """
    process = child(code, limit, tmp_path)
    kept, words = process.communicate(timeout=120)[0].split(maxsplit=1)
    assert process.returncode == 0
    assert "File too large" in words or "disk I/O error" in words or "is full" in words
    assert int(kept) <= limit // (DIM * 4)
    store = Store(tmp_path)
    assert got(store, range(1000)).sum() == int(kept)
    tidy(tmp_path, int(kept))
    put(store.writer(GRAPH, DIM), range(1000))
    assert got(store, range(1000)).all()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = shutil.which("mount")
    arguments = ["-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if not command or subprocess.run([command, *arguments], capture_output=True).returncode:
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("left", [0, 1000, 5000, 13_000, 30_000, 60_000, 120_000])
def test_a_full_disk(small_disk, left):
    room = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(max(0, room.f_bavail * room.f_frsize - left)))
    store = Store(small_disk / "features")
    writer = store.writer(GRAPH, DIM)
    kept = 0
    for start in range(0, 2000, 50):
        put(writer, range(start, start + 50))
        kept += 0 if writer.full else 50
    assert "No space left" in writer.full or "is full" in writer.full or "I/O" in writer.full
    assert got(store, range(2000)).sum() == kept
    assert got(Store(small_disk / "features"), range(2000)).sum() == kept
    if kept:
        tidy(small_disk / "features", kept)
        assert store.trim(0) == kept * DIM * 4  # trimming needs no room
        again = store.writer(GRAPH, DIM)
        put(again, range(10))
        assert again.full == ""


@posix
@pytest.mark.parametrize("made", ["no store", "a store"])
def test_a_folder_that_must_not_be_written(made):
    code = """
        folder, made = Path(sys.argv[1]), sys.argv[2]
        import os
        if os.getuid() == 0:
            os.setuid(65534)
        assert not os.access(folder, os.W_OK)
        store = Store(folder)
        found = got(store, range(10))
        assert found.all() == (made == "a store"), store.notes
        writer = store.writer(GRAPH, DIM)
        assert (put(writer, range(20)) == rows(range(20))).all()
        assert writer.full, "not refused"
        assert got(store, range(20)).sum() == (10 if made == "a store" else 0)
        assert store.size().rows == (10 if made == "a store" else 0)
        assert store.trim(0) == 0
        print(writer.full, store.notes)
        """
    base = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    folder = base / "features"
    try:
        base.chmod(0o755)
        folder.mkdir()
        if made == "a store":
            writer = Store(folder).writer(GRAPH, DIM)
            put(writer, range(10))
        folder.chmod(0o555)
        process = child(code, folder, made)
        words = process.communicate(timeout=60)[0]
        assert process.returncode == 0
        assert "ermission" in words or "readonly" in words or "unable to open" in words
        assert ("cannot be read" in words) == (made == "no store")
    finally:
        folder.chmod(0o755)
        shutil.rmtree(base)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "features")
    assert not got(store, range(3)).any()
    writer = store.writer(GRAPH, DIM)
    assert (put(writer, range(3)) == rows(range(3))).all()
    assert "file" in writer.full
    assert (store.size().rows, store.trim(0), store.held()) == (0, 0, [])
    assert len(store.notes) == 1


def test_a_store_that_is_cleared_meanwhile(tmp_path):
    store = Store(tmp_path / "features")
    writer = store.writer(GRAPH, DIM)
    put(writer, range(10))
    shutil.rmtree(tmp_path / "features")
    assert not got(store, range(10)).any()
    put(writer, range(10, 20))
    assert writer.full == ""
    assert got(store, range(20)).sum() == 10


def test_processes_that_make_the_store_at_once(tmp_path):
    code = """
        folder, me, start = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
        time.sleep(max(0, start - time.time()))
        for attempt in range(6):
            writer = Store(folder / str(attempt)).writer(GRAPH, DIM)
            put(writer, range(me * 10, me * 10 + 10))
            assert not writer.full, writer.full
        """
    start = time.time() + 2
    running = [child(code, tmp_path, me, start) for me in range(4)]
    assert [process.wait(120) for process in running] == [0] * 4
    for process in running:
        process.stdout.close()
    for attempt in range(6):
        store = Store(tmp_path / str(attempt))
        assert got(store, range(40)).all()
        assert store.notes == []


def test_trimming_while_others_read_and_write(tmp_path):
    code = """
        folder, role, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
        store = Store(folder)
        writer = store.writer(GRAPH, DIM)
        rng = np.random.default_rng(0)
        stop = time.time() + seconds
        rounds = hits = 0
        while time.time() < stop or not rounds:
            rounds += 1
            if role == "trim":
                store.trim(0 if rounds % 3 else 20_000)
            elif role == "write":
                put(writer, rng.integers(0, 300, 20).tolist())
                assert not writer.full, writer.full
            else:
                hits += got(store, range(300)).sum()
        assert not store.notes, store.notes
        """
    running = [child(code, tmp_path, role, 2) for role in ("write", "write", "read", "trim")]
    assert [process.wait(120) for process in running] == [0] * 4
    for process in running:
        process.stdout.close()
    store = Store(tmp_path)
    put(store.writer(GRAPH, DIM), range(300))
    assert got(store, range(300)).all()


def test_two_processes_find_the_same_damage(tmp_path):
    put(Store(tmp_path).writer(GRAPH, DIM), range(20))
    data = (tmp_path / "index.sqlite").read_bytes()
    (tmp_path / "index.sqlite").write_bytes(data[:20] + b"\x07" + data[21:])
    code = """
        folder, me, start = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
        time.sleep(max(0, start - time.time()))
        store = Store(folder)
        found = got(store, range(20))
        writer = store.writer(GRAPH, DIM)
        put(writer, range(me * 5, 20))
        assert not writer.full, writer.full
        """
    start = time.time() + 2
    running = [child(code, tmp_path, me, start) for me in range(4)]
    assert [process.wait(120) for process in running] == [0] * 4
    for process in running:
        process.stdout.close()
    assert got(Store(tmp_path), range(20)).all()
    assert {path.name for path in tmp_path.glob("index*.sqlite")} == {
        "index.sqlite",
        "index-2.sqlite",
    }


@posix
def test_bytes_and_name_reach_the_disk_before_the_index_leads_to_them(tmp_path, monkeypatch):
    store = Store(tmp_path)
    got(store, range(1))
    calls = []

    def noted(call):
        original = getattr(os, call)

        def wrapped(*arguments, **named):
            if call in ("write", "fsync"):
                kind = "folder" if stat.S_ISDIR(os.fstat(arguments[0]).st_mode) else "file"
                calls.append(f"{call} {kind}")
            return original(*arguments, **named)

        monkeypatch.setattr(shards.os, call, wrapped)

    noted("write")
    noted("fsync")
    run = store._index.run

    def entering(work, **named):
        calls.append("index")
        return run(work, **named)

    monkeypatch.setattr(store._index, "run", entering)
    writer = store.writer(GRAPH, DIM)
    put(writer, range(10))
    put(writer, range(10, 20))
    assert calls == [
        *("write file", "fsync file", "fsync folder", "index"),
        *("write file", "fsync file", "index"),
    ]
