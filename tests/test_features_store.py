"""The store: content-addressed, crash-safe, shared between processes."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.features.store import Store

GRAPH = "ab" * 32


def keys(numbers):
    return [int(i).to_bytes(32, "big") for i in numbers]


def vector(i, dim=4):
    return np.full(dim, i, dtype=np.float32)


def fill(store, numbers, dim=4):
    store.writer(GRAPH, dim).append(
        keys(numbers), np.stack([vector(i, dim) for i in numbers]), [""] * len(numbers)
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True), max_size=6))
def test_what_was_put_in_comes_out(tmp_path_factory, writes):
    store = Store(tmp_path_factory.mktemp("store"))
    writer = store.writer(GRAPH, 4)
    for numbers in writes:
        writer.append(
            keys(numbers), np.stack([vector(i) for i in numbers]), [f"n{i}" for i in numbers]
        )
    known = {i for numbers in writes for i in numbers}
    values, found, notes = store.get(keys(range(61)), 4)
    assert {i for i in range(61) if found[i]} == known
    for i in known:
        assert (values[i] == i).all()
        assert notes[i] == f"n{i}"
    assert not values[~found].any()


def test_a_damaged_row_counts_as_missing_and_can_be_written_again(tmp_path):
    store = Store(tmp_path)
    fill(store, range(10))
    shard = next(tmp_path.glob("*.f32"))
    data = bytearray(shard.read_bytes())
    data[3 * 16 + 5] ^= 0x40
    shard.write_bytes(data)
    values, found, _ = store.get(keys(range(10)), 4)
    assert found.tolist() == [i != 3 for i in range(10)]
    assert not values[3].any()
    fill(store, [3])
    assert store.get(keys([3]), 4)[0][0, 0] == 3


@pytest.mark.parametrize("cut", [1, 16, 100, 160])
def test_a_truncated_shard_loses_only_its_end(tmp_path, cut):
    store = Store(tmp_path)
    fill(store, range(10))
    shard = next(tmp_path.glob("*.f32"))
    shard.write_bytes(shard.read_bytes()[: 160 - cut])
    found = store.get(keys(range(10)), 4)[1]
    assert found.tolist() == [i < (160 - cut) // 16 for i in range(10)]


def test_a_vanished_shard_is_a_miss(tmp_path):
    store = Store(tmp_path)
    fill(store, range(3))
    next(tmp_path.glob("*.f32")).unlink()
    assert not store.get(keys(range(3)), 4)[1].any()


def test_trim_drops_the_least_recently_used_first(tmp_path, monkeypatch):
    import headstart.features.store as module

    now = [1000.0]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    store = Store(tmp_path)
    for first in (0, 10, 20):
        now[0] += 100
        fill(store, range(first, first + 10))
    now[0] += 100
    store.get(keys([0]), 4)  # the oldest shard is used again
    assert store.trim(limit=320) == 160
    assert store.get(keys([0, 10, 20]), 4)[1].tolist() == [True, False, True]
    assert store.size().bytes == 320
    assert store.size().rows == 20
    store.trim(0)
    assert store.size().rows == 0


def test_four_processes_write_at_once(tmp_path):
    code = textwrap.dedent(
        """
        import sys, numpy as np
        from pathlib import Path
        from headstart.features.store import Store
        me, folder = int(sys.argv[1]), Path(sys.argv[2])
        writer = Store(folder).writer("ab" * 32, 4)
        for step in range(10):
            numbers = range(step * 10, step * 10 + 15)  # they overlap, between steps and processes
            writer.append([i.to_bytes(32, "big") for i in numbers],
                          np.repeat(np.float32(numbers)[:, None], 4, 1), [""] * 15)
        """
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(i), str(tmp_path)]) for i in range(4)
    ]
    assert [process.wait(120) for process in running] == [0] * 4
    values, found, _ = Store(tmp_path).get(keys(range(105)), 4)
    assert found.all()
    assert (values[:, 0] == np.arange(105)).all()


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_a_killed_writer_loses_nothing_acknowledged(tmp_path):
    code = textwrap.dedent(
        """
        import sys, numpy as np
        from pathlib import Path
        from headstart.features.store import Store
        writer = Store(Path(sys.argv[1])).writer("ab" * 32, 4)
        for i in range(100_000):
            writer.append([i.to_bytes(32, "big")], np.full((1, 4), i, np.float32), [""])
            print(i, flush=True)
        """
    )
    rng = np.random.default_rng(0)
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE
        )
        last = -1
        for _ in range(int(rng.integers(1, 40))):
            last = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        rest = process.communicate(timeout=60)[0].split()
        last = int(rest[-1]) if rest else last
        values, found, _ = Store(folder).get(keys(range(last + 1)), 4)
        assert found.all()
        assert (values[:, 0] == np.arange(last + 1)).all()
        fill(Store(folder), [last + 5])  # and it can be written to
