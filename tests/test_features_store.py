"""The store: content-addressed, crash-safe, shared between processes."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.features import shards
from headstart.features.store import DEFAULT_LIMIT, Held, Size, Store

GRAPH = "ab" * 32


def keys(numbers):
    return [int(i).to_bytes(32, "big") for i in numbers]


def vectors(numbers, dim=4):
    return np.repeat(np.float32(numbers)[:, None], dim, 1)


def fill(store, numbers, dim=4):
    """Whole numbers, so that the rows go to disk as float16."""
    store.writer(GRAPH, dim).append(keys(numbers), vectors(numbers, dim), [""] * len(numbers))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True), max_size=6))
def test_what_was_put_in_comes_out(tmp_path_factory, writes):
    store = Store(tmp_path_factory.mktemp("store"))
    writer = store.writer(GRAPH, 4)
    for numbers in writes:
        writer.append(keys(numbers), vectors(numbers), [f"n{i}" for i in numbers])
    known = {i for numbers in writes for i in numbers}
    values, found, notes = store.get(keys(range(61)), 4)
    assert {i for i in range(61) if found[i]} == known
    for i in known:
        assert (values[i] == i).all()
        assert notes[i] == f"n{i}"
    assert not values[~found].any()


def test_trim_drops_the_least_recently_used_first(tmp_path, monkeypatch):
    import headstart.features.store as module

    now = [time.time() + 1000]
    monkeypatch.setattr(module.time, "time", lambda: now[0])
    store = Store(tmp_path)
    for first in (0, 10, 20):
        now[0] += 100
        fill(store, range(first, first + 10))
    now[0] += 100
    store.get(keys([0]), 4)  # the oldest shard is used again
    assert store.trim(limit=160) == 80
    assert store.get(keys([0, 10, 20]), 4)[1].tolist() == [True, False, True]
    assert store.size().bytes == 160
    assert store.size().rows == 20
    store.trim(0)
    assert store.size().rows == 0


def test_the_limit_is_remembered_and_used(tmp_path):
    store = Store(tmp_path)
    assert store.limit == DEFAULT_LIMIT
    fill(store, range(10))
    assert store.trim() == 0
    store.limit = 79
    assert Store(tmp_path).limit == 79
    assert Store(tmp_path).trim() == 80
    for damaged in ("", "[]", "{}", '{"bytes": "many"}', '{"bytes": -1}'):
        (tmp_path / "limit.json").write_text(damaged)
        assert store.limit == DEFAULT_LIMIT


def test_what_is_held_by_graph(tmp_path):
    store = Store(tmp_path)
    assert store.held() == []
    fill(store, range(3))
    store.writer("cd" * 32, 2).append(keys([7]), np.float32([[0.1, 0.2]]), [""])
    assert store.held() == [Held(GRAPH, 3, 24), Held("cd" * 32, 1, 8)]
    assert store.size() == Size(rows=4, bytes=32, shards=2)
    assert not store.get(keys([7]), 4)[1].any()  # another width is another question


def test_bytes_that_nothing_leads_to_go_with_the_next_trim(tmp_path):
    store = Store(tmp_path)
    fill(store, range(3))
    for name, age in (("0" * 32 + ".f32", 3600), ("1" * 32 + ".f16", 0)):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert store.trim() == 100
    assert store.size().bytes == 124  # the young one may belong to a run that is still writing
    assert store.get(keys(range(3)), 4)[1].all()


def test_a_writer_whose_shard_was_trimmed_begins_another(tmp_path):
    store = Store(tmp_path)
    writer = store.writer(GRAPH, 4)
    for first in (0, 3, 6):
        writer.append(keys(range(first, first + 3)), vectors(range(first, first + 3)), [""] * 3)
        if first == 0:
            assert store.trim(0) == 24
    assert store.get(keys(range(9)), 4)[1].tolist() == [False] * 3 + [True] * 6
    assert writer.full == ""
    assert store.size() == Size(rows=6, bytes=48, shards=1)


def test_a_full_shard_is_followed_by_another(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 50)
    store = Store(tmp_path)
    writer = store.writer(GRAPH, 4)
    for i in range(20):
        writer.append(keys([i]), vectors([i]), [""])
    assert store.size() == Size(rows=20, bytes=160, shards=3)
    assert (store.get(keys(range(20)), 4)[0] == vectors(range(20))).all()


def test_rows_in_any_order_repeated_and_into_a_given_array(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_BLOCK_BYTES", 100)
    store = Store(tmp_path)
    rng = np.random.default_rng(0)
    for first in (0, 1000, 2000):
        numbers = range(first, first + 1000)
        store.writer(GRAPH, 3).append(keys(numbers), vectors(numbers, 3), [""] * 1000)
    asked = rng.integers(0, 4000, 5000)
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(5000, 3))
    out[:] = 5
    values, found, _ = store.get(keys(asked), 3, out=out)
    assert values is out
    assert (found == (asked < 3000)).all()
    assert (out[found] == vectors(asked[found], 3)).all()
    assert not out[~found].any()
    for wrong in (np.zeros((5000, 2), np.float32), np.zeros((5000, 3))):
        with pytest.raises(ValueError, match="float32"):
            store.get(keys(asked), 3, out=wrong)


HALF = st.floats(width=16)
FULL = st.floats(width=32)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(st.lists(HALF, min_size=3, max_size=3), min_size=1, max_size=4)
        | st.lists(st.lists(FULL, min_size=3, max_size=3), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_what_append_returns_is_what_comes_back(tmp_path_factory, batches, rounding):
    store = Store(tmp_path_factory.mktemp("store"))
    writer = store.writer(GRAPH, 3, rounding=rounding)
    start = 0
    for batch in batches:
        rows = np.array(batch, np.float32)
        before = rows.copy()
        given_back = writer.append(keys(range(start, start + len(rows))), rows, ["a"] * len(rows))
        values, found, _ = store.get(keys(range(start, start + len(rows))), 3)
        assert found.all()
        assert values.tobytes() == given_back.tobytes()
        assert rows.tobytes() == before.tobytes()
        if not rounding:
            assert values.tobytes() == rows.tobytes()  # NaN and -0 too
        else:
            for row, kept in zip(rows.astype(float), values.astype(float)):
                if np.isfinite(row).all():
                    assert np.linalg.norm(row - kept) <= 5e-4 * np.linalg.norm(row)
        start += len(rows)


@pytest.mark.parametrize("rounding", [False, True])
def test_float16_is_used_where_it_costs_nothing(tmp_path, rounding):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((50, 8)).astype(np.float32)
    short = rows.astype(np.float16).astype(np.float32)
    large, tiny, odd = rows.copy(), rows * np.float32(1e-7), rows.copy()
    large[:, 3] = 70_000
    odd[:, 2] = np.inf
    for name, values, bytes_ in (
        ("short", short, 2),
        ("ordinary", rows, 2 if rounding else 4),
        ("large", large, 4),
        ("tiny", tiny, 4),
        ("infinite", odd, 4),
    ):
        store = Store(tmp_path / name)
        store.writer(GRAPH, 8, rounding=rounding).append(keys(range(50)), values, [""] * 50)
        assert store.size().bytes == 50 * 8 * bytes_, name


def test_rounding_a_row_does_not_depend_on_its_neighbours(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((40, 8)).astype(np.float32)
    rows[::3] *= np.float32(1e-7)
    store = Store(tmp_path)
    together = store.writer(GRAPH, 8, rounding=True).append(keys(range(40)), rows, [""] * 40)
    assert {path.suffix for path in tmp_path.glob("*.f*")} == {".f16", ".f32"}
    for i in range(0, 40, 7):
        writer = Store(tmp_path / f"{i}").writer(GRAPH, 8, rounding=True)
        alone = writer.append(keys([i]), rows[i : i + 1], [""])
        assert alone.tobytes() == together[i : i + 1].tobytes()
    assert store.get(keys(range(40)), 8)[0].tobytes() == together.tobytes()


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
