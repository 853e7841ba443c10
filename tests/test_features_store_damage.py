"""The store found damaged, at any byte: a miss and a sentence, never a wrong vector."""

import shutil
import sqlite3
import zlib

import numpy as np
import pytest

from headstart.features.store import Store

GRAPH = "ab" * 32
N, DIM = 12, 5


def keys(numbers):
    return [bytes([int(i)]) * 32 for i in numbers]


def rows(numbers, dtype=np.float32):
    numbers = np.asarray(list(numbers), dtype=int)
    values = np.random.default_rng(0).standard_normal((200, DIM))[numbers]
    return values.astype(dtype).astype(np.float32)


def notes(numbers):
    return ["truncated" if i % 3 == 0 else "" for i in numbers]


def check(store, known=range(N), dtype=np.float32):
    """Everything that comes back is right; gives what came back."""
    values, found, said = store.get(keys(known), DIM)
    expected = rows(known, dtype)
    assert (values[found] == expected[found]).all()
    assert not values[~found].any()
    assert [note for note, f in zip(said, found) if f] == [
        note for note, f in zip(notes(known), found) if f
    ]
    return found


@pytest.fixture(scope="module", params=[np.float16, np.float32], ids=["float16", "float32"])
def filled(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    writer = Store(folder).writer(GRAPH, DIM)
    for numbers in (range(5), range(5, N)):
        writer.append(keys(numbers), rows(numbers, request.param), notes(numbers))
    assert writer.full == ""
    return folder, request.param


def copy(filled, tmp_path):
    shutil.copytree(filled, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_shard_damaged_at_any_byte_loses_that_row_only(filled, tmp_path):
    folder, dtype = copy(filled[0], tmp_path), filled[1]
    store = Store(folder)
    (shard,) = folder.glob("*.f??")
    whole = shard.read_bytes()
    width = DIM * np.dtype(dtype).itemsize
    assert len(whole) == N * width
    for i in range(len(whole)):
        shard.write_bytes(whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1 :])
        assert check(store, dtype=dtype).tolist() == [row != i // width for row in range(N)]
    for i in range(len(whole)):
        shard.write_bytes(whole[:i])
        assert check(store, dtype=dtype).tolist() == [row < i // width for row in range(N)]
    shard.unlink()
    assert not check(store, dtype=dtype).any()
    Store(folder).writer(GRAPH, DIM).append(keys(range(N)), rows(range(N), dtype), notes(range(N)))
    assert check(store, dtype=dtype).all()
    assert store.notes == []


@pytest.mark.parametrize("filled", [np.float32], indirect=True)
def test_an_index_damaged_at_any_byte_never_gives_a_wrong_row(filled, tmp_path):
    folder, dtype = copy(filled[0], tmp_path), filled[1]
    whole = (folder / "index.sqlite").read_bytes()
    header = range(100)
    lost = told = 0
    for i in (*header, *range(100, len(whole), 7)):
        if i >= 100 and not any(whole[max(i - 40, 0) : i + 40]):
            continue  # the middle of a page's empty space
        for path in folder.glob("index*"):
            path.unlink()
        (folder / "index.sqlite").write_bytes(
            whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1 :]
        )
        store = Store(folder)
        found = check(store, dtype=dtype)
        lost += not found.all()
        for _ in range(2):  # some damage is noticed on writing only, and costs the other rows then
            again = np.flatnonzero(~found)
            writer = store.writer(GRAPH, DIM)
            writer.append(keys(again), rows(again, dtype), notes(again))
            assert writer.full == "", (i, writer.full)
            found = check(store, dtype=dtype)
            assert found[again].all(), i
        assert found.all(), i
        assert check(Store(folder), dtype=dtype).all(), i
        told += bool(store.notes)
        assert len(store.notes) <= 2, i
    assert told > 0
    assert lost > 0


@pytest.mark.parametrize("filled", [np.float32], indirect=True)
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:50],
        lambda data: data[:100],
        lambda data: data[:4096],
        lambda data: data[:5000],
        lambda data: data[:-4096],
        lambda data: data[:-1],
        lambda data: b"words, not a database\n" * 300,
        lambda data: bytes(len(data)),
        lambda data: data[:4096] + bytes(len(data) - 4096),
        lambda data: data[:4096] + b"\xff" * (len(data) - 4096),
        lambda data: data + b"\xff" * 5000,
    ],
)
def test_an_index_cut_short_or_overwritten(filled, tmp_path, damage):
    folder, dtype = copy(filled[0], tmp_path), filled[1]
    index = folder / "index.sqlite"
    index.write_bytes(damage(index.read_bytes()))
    store = Store(folder)
    check(store, dtype=dtype)
    writer = store.writer(GRAPH, DIM)
    writer.append(keys(range(N)), rows(range(N), dtype), notes(range(N)))
    assert writer.full == ""
    assert check(store, dtype=dtype).all()
    assert store.trim(0) > 0
    assert store.size().rows == 0


@pytest.mark.parametrize("filled", [np.float32], indirect=True)
def test_the_user_is_told_and_the_rest_is_kept(filled, tmp_path):
    folder, dtype = copy(filled[0], tmp_path), filled[1]
    index = folder / "index.sqlite"
    data = index.read_bytes()
    index.write_bytes(data[:20] + b"\x07" + data[21:])  # reserved space: pages seem shorter
    store = Store(folder)
    check(store, dtype=dtype)
    assert len(store.notes) == 1
    assert "was damaged" in store.notes[0]
    assert str(folder) in store.notes[0]
    assert Store(folder).notes == []  # once
    assert {path.name for path in folder.glob("index*.sqlite")} == {
        "index.sqlite",
        "index-2.sqlite",
    }


@pytest.mark.parametrize("filled", [np.float32], indirect=True)
def test_rows_led_to_each_others_vectors_are_missed(filled, tmp_path):
    """What no checksum of the bytes alone would see: every entry is sound, but for another key."""
    folder, dtype = copy(filled[0], tmp_path), filled[1]
    with sqlite3.connect(folder / "index.sqlite") as index:
        old = index.execute("select key, row, crc from rows order by key").fetchall()
        for (key, _, _), (_, row, crc) in zip(old, old[1:] + old[:1]):
            index.execute("update rows set row = ?, crc = ? where key = ?", (row, crc, key))
    index.close()
    assert not check(Store(folder), dtype=dtype).any()


@pytest.mark.parametrize("filled", [np.float32], indirect=True)
@pytest.mark.parametrize(
    "change",
    [
        "update rows set row = -1",
        "update rows set row = 9223372036854775807",
        "update rows set crc = -1",
        "update rows set row = 'words'",
        "update rows set note = x'ff00'",
        "update rows set note = 5",
        "update rows set shard = 7",
        "update shards set file = '../../etc/passwd'",
        "update shards set file = x'ff'",
        "update shards set used = 'never'",
        "update shards set used = 1e300",
        "update shards set dim = 'wide'",
        "update shards set graph = x'ff'",
        "drop table shards",
        "drop table rows",
        "alter table rows rename column note to nite",
    ],
)
def test_an_index_that_says_impossible_things(filled, tmp_path, change):
    folder, dtype = copy(filled[0], tmp_path), filled[1]
    with sqlite3.connect(folder / "index.sqlite") as index:
        index.execute(change)
    index.close()
    store = Store(folder)
    check(store, dtype=dtype)
    store.size()
    store.trim()
    writer = store.writer(GRAPH, DIM)
    writer.append(keys(range(N)), rows(range(N), dtype), notes(range(N)))
    assert writer.full == ""
    assert check(store, dtype=dtype).all()


def test_an_index_of_a_later_version_is_left_alone(tmp_path):
    store = Store(tmp_path)
    store.writer(GRAPH, DIM).append(keys(range(3)), rows(range(3)), notes(range(3)))
    with sqlite3.connect(tmp_path / "index.sqlite") as index:
        index.execute(f"pragma user_version = {3 * 0x01010101}")
    index.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    later = Store(tmp_path)
    assert not check(later).any()
    writer = later.writer(GRAPH, DIM)
    writer.append(keys([1]), rows([1]), notes([1]))
    assert "later version" in writer.full
    assert later.trim(0) == 0
    assert "later version" in later.notes[0]
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def first_version(folder):
    """A store as Headstart made it before the version was written into it; one row is damaged."""
    values = rows(range(N))
    data = bytearray(values.tobytes())
    data[4 * DIM * 4] ^= 1
    (folder / ("5" * 32 + ".f32")).write_bytes(data)
    with sqlite3.connect(folder / "index.sqlite") as index:
        index.executescript(
            """
            create table if not exists shards (
                id integer primary key, file text not null unique, graph text not null,
                dim integer not null, used real not null);
            create table if not exists rows (
                key blob primary key, shard integer not null, row integer not null,
                crc integer not null, note text not null) without rowid;
            create index if not exists rows_by_shard on rows (shard);
            """
        )
        index.execute(f"insert into shards values (1, '{'5' * 32}.f32', '{GRAPH}', {DIM}, 1.0)")
        index.execute(f"insert into shards values (2, '{'6' * 32}.f32', '{GRAPH}', {DIM}, 1.0)")
        for i, (key, note) in enumerate(zip(keys(range(N)), notes(range(N)))):
            crc = zlib.crc32(values[i].tobytes())
            index.execute("insert into rows values (?, 1, ?, ?, ?)", (key, i, crc, note))
        index.execute("insert into rows values (?, 1, 99, 0, '')", keys([100]))
        index.execute("insert into rows values (?, 2, 0, 0, '')", keys([101]))
    index.close()


def test_a_store_of_the_first_version_is_read_on(tmp_path):
    first_version(tmp_path)
    store = Store(tmp_path)
    assert check(store).tolist() == [i != 4 for i in range(N)]
    assert store.size().rows == N - 1
    assert store.notes == []
    store.writer(GRAPH, DIM).append(keys([4, 20]), rows([4, 20]), notes([4, 20]))
    assert check(Store(tmp_path), [*range(N), 20]).all()


@pytest.mark.parametrize("change", ["drop table shards", "update rows set row = 'x'"])
def test_a_damaged_store_of_the_first_version_is_begun_anew(tmp_path, change):
    first_version(tmp_path)
    with sqlite3.connect(tmp_path / "index.sqlite") as index:
        index.execute(change)
    index.close()
    store = Store(tmp_path)
    assert not check(store).any()
    assert "was damaged" in store.notes[0]
    store.writer(GRAPH, DIM).append(keys(range(N)), rows(range(N)), notes(range(N)))
    assert check(store).all()
