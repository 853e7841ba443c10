"""Rows as contents and keys: in order, whole, and the same whether threads read or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.data import table as tables
from headstart.features import reading
from headstart.hashing import hash_bytes


@pytest.mark.parametrize("slow", [0.0, 1e9])
@pytest.mark.parametrize("chunk", [1, 7, 512])
def test_every_row_comes_once_in_order(photos, monkeypatch, slow, chunk):
    (photos / "red" / "empty.png").write_bytes(b"x")
    table = tables.read(photos)
    (photos / "red" / "empty.png").write_bytes(b"")
    monkeypatch.setattr(reading, "_SLOW", slow)
    monkeypatch.setattr(reading, "_FIRST", 3)
    monkeypatch.setattr(reading, "_CHUNK", chunk)
    seen, keys, reasons = [], {}, {}
    for rows, known, bad in reading.chunks(table, hash_bytes(b"a graph")):
        seen += list(rows)
        assert len(rows) <= chunk
        assert len(known) + len(bad) == len(rows)
        for row, content, key in known:
            assert content == Path(table.inputs[row]).read_bytes()
            keys[row] = key
        reasons |= bad
    assert seen == list(range(len(table)))
    assert list(keys) == sorted(keys)
    assert [table.names[row] for row in reasons] == ["red/empty.png"]
    assert list(reasons.values()) == ["empty file"]
    other = [
        key for _, known, _ in reading.chunks(table, hash_bytes(b"another")) for _, _, key in known
    ]
    assert not set(other) & set(keys.values())


def test_texts_are_read_too(reviews):
    table = tables.read(reviews)
    ((rows, known, reasons),) = reading.chunks(table, hash_bytes(b"a graph"))
    assert [content for _, content, _ in known] == list(table.inputs)
    assert len(rows) == len(table)
    assert not reasons
