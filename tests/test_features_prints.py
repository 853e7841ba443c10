"""Prints through the store: computed once, the same as directly, unreadable ones as NaN."""

from __future__ import annotations

import numpy as np

from headstart.data import table as tables
from headstart.features import prints as room
from headstart.features import reading
from headstart.features.store import Store
from headstart.preprocess import likeness


def test_prints_are_computed_once(photos, tmp_path, monkeypatch):
    (photos / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (photos / "red" / "gone.png").write_bytes(b"x")
    table = tables.read(photos)
    (photos / "red" / "gone.png").unlink()
    monkeypatch.setattr(reading, "_CHUNK", 7)
    store = Store(tmp_path / "store")
    first = room.prints(table, store)
    direct = likeness.prints(table.inputs)
    assert np.isnan(first).all(axis=1).sum() == 2
    np.testing.assert_array_equal(np.isnan(first), np.isnan(direct))
    np.testing.assert_allclose(first, direct, rtol=2e-3, atol=1.0)

    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(likeness, "print_of", refuse)
    readable = [i for i in range(len(table)) if np.isfinite(first[i]).all()]
    again = room.prints(table.take(readable), store)
    np.testing.assert_array_equal(again, first[readable])


def test_texts_have_none(reviews, tmp_path):
    assert room.prints(tables.read(reviews), Store(tmp_path / "store")) is None
