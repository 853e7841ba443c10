"""The one path of inputs through a graph: in order, bounded, each bad input by its reason."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.backbones.choose import backbone_named
from headstart.data import table as tables
from headstart.engine.ort import OrtEngine
from headstart.features.extract import extract
from headstart.features.store import Store
from headstart.preprocess import image
from headstart.runtime import pipeline as module
from headstart.runtime.pipeline import Pipeline, packets_of


def pictures(n, seed=0):
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (n, 20, 20, 3), dtype=np.uint8))


def images(engine=None):
    backbone = backbone_named("tiny:image")
    return Pipeline(backbone.preprocess, engine or OrtEngine(backbone.graph))


def texts(engine=None):
    backbone = backbone_named("tiny:text")
    return Pipeline(
        backbone.preprocess, engine or OrtEngine(backbone.graph), backbone.tokenizer.read_bytes()
    )


class Watched:
    """An engine that keeps count of what runs at once."""

    name = "watched"

    def __init__(self, inner, parallel=2, batch=1):
        self.inner, self.parallel, self.batch = inner, parallel, batch
        self.lock = threading.Lock()
        self.now = self.most = self.runs = 0

    def run(self, feeds):
        with self.lock:
            self.now += 1
            self.runs += 1
            self.most = max(self.most, self.now)
        try:
            return self.inner.run(feeds)
        finally:
            with self.lock:
                self.now -= 1


def test_an_engine_that_wants_larger_batches_gets_them():
    def runs(make, name, contents, batch):
        engine = Watched(OrtEngine(backbone_named(name).graph), batch=batch)
        found = list(make(engine).run([list(enumerate(contents))]))
        return engine.runs, sorted(row for batch in found for row in batch.rows)

    for make, name, contents in (
        (images, "tiny:image", pictures(64)),
        (texts, "tiny:text", ["a word"] * 256),
    ):
        (many, one), (few, four) = runs(make, name, contents, 1), runs(make, name, contents, 4)
        assert many == 4 * few
        assert one == four == list(range(len(contents)))


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 40])
def test_pictures_come_out_in_order_and_right(n):
    contents = pictures(n)
    found = list(images().run(packets_of(enumerate(contents), 16)))
    assert [row for batch in found for row in batch.rows] == list(range(n))
    for batch in found:
        for row, values in zip(batch.rows, batch.values):
            pixels, _ = image.prepare(contents[row], backbone_named("tiny:image").preprocess.steps)
            blocks = pixels.astype(np.float64).reshape(8, 4, 8, 4, 3).mean((1, 3))
            np.testing.assert_allclose(values, blocks.transpose(2, 0, 1).ravel() / 255, atol=1e-5)


def test_one_broken_picture_costs_only_itself():
    contents = pictures(20)
    contents[3] = b"\xff\xd8\xff broken"
    contents[11] = np.zeros((5, 5, 7), np.uint8)
    found = list(images().run([list(enumerate(contents))]))
    reasons = {row: why for batch in found for row, why in batch.unreadable.items()}
    assert set(reasons) == {3, 11}
    assert "damaged" in reasons[3]
    assert "7 channels" in reasons[11]
    rows = [row for batch in found for row in batch.rows]
    assert rows == [row for row in range(20) if row not in (3, 11)]
    whole = {row: v for batch in found for row, v in zip(batch.rows, batch.values)}
    alone = next(iter(images().run([[(4, contents[4])]]))).values[0]
    np.testing.assert_allclose(whole[4], alone, atol=1e-6)


def test_a_batch_of_broken_pictures_only():
    found = list(images().run([[(i, b"no picture") for i in range(9)]]))
    assert sum(len(batch.unreadable) for batch in found) == 9
    assert not any(batch.rows for batch in found)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.text(st.characters(codec="ascii"), min_size=1, max_size=60), max_size=50),
    st.integers(1, 60),
)
def test_texts_do_not_depend_on_their_company(contents, size):
    contents = [text.strip() or "a" for text in contents]
    found = list(texts().run(packets_of(enumerate(contents), size)))
    assert sorted(row for batch in found for row in batch.rows) == list(range(len(contents)))
    lengths = [len(contents[row]) for batch in found[:1] for row in batch.rows]
    assert lengths == sorted(lengths, reverse=True)
    for batch in found:
        for row, values, note in zip(batch.rows, batch.values, batch.notes):
            (alone,) = texts().run([[(0, contents[row])]])
            np.testing.assert_allclose(values, alone.values[0], atol=1e-5)
            assert note == ("truncated" if len(contents[row]) > 32 else "")


def test_packets_are_taken_as_they_are_needed(monkeypatch):
    monkeypatch.setattr(module, "threads", lambda: 2)
    taken = []

    def packets():
        for i in range(50):
            taken.append(i)
            yield [(i, pictures(1)[0])]

    running = images().run(packets())
    next(running)
    assert len(taken) <= 6
    assert sum(1 for _ in running) == 49


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_bits_do_not_depend_on_the_processors(monkeypatch, threads):
    expected = [batch.values.tobytes() for batch in images().run([list(enumerate(pictures(60)))])]
    monkeypatch.setattr(module, "threads", lambda: threads)
    engine = Watched(OrtEngine(backbone_named("tiny:image").graph), parallel=1)
    found = [
        batch.values.tobytes() for batch in images(engine).run([list(enumerate(pictures(60)))])
    ]
    assert found == expected
    assert engine.most <= threads


def test_an_error_of_the_engine_reaches_the_caller():
    class Broken:
        name, parallel, batch = "broken", 2, 1

        def run(self, feeds):
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        list(texts(Broken()).run([[(0, "a")], [(1, "b")]]))


def test_duplicates_in_other_packets_are_computed_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TEXT_PACKET", 4)
    inputs = ["same", *[f"text {i}" for i in range(30)], "same", "", "", "same"]
    table = tables.read({"text": inputs, "label": [str(i % 2) for i in range(len(inputs))]})
    features = extract(table, backbone_named("tiny:text"), store=Store(tmp_path))
    assert features.computed == 31
    same = [i for i, text in enumerate(table.inputs) if text == "same"]
    assert len(same) == 3
    for i in same:
        assert (features.values[i] == features.values[same[0]]).all()
    again = extract(table, backbone_named("tiny:text"), store=Store(tmp_path))
    assert again.computed == 0
    assert again.values.tobytes() == features.values.tobytes()


def test_five_percent_more_rows_compute_five_percent(tmp_path):
    inputs = [f"a text of number {i}" for i in range(210)]
    backbone, store = backbone_named("tiny:text"), Store(tmp_path)
    labels = [str(i % 2) for i in range(210)]
    first = tables.read({"text": inputs[:200], "label": labels[:200]})
    assert extract(first, backbone, store=store).computed == 200
    assert (
        extract(tables.read({"text": inputs, "label": labels}), backbone, store=store).computed
        == 10
    )


def test_a_full_disk_is_said_and_the_features_are_still_there(photos, tmp_path, monkeypatch):
    table, backbone = tables.read(photos), backbone_named("tiny:image")
    expected = extract(table, backbone, store=Store(tmp_path / "a"))
    store = Store(tmp_path / "b")

    def full(*_):
        raise OSError(28, "No space left on device")

    from headstart.features import shards
    from headstart.features import store as room

    for place in (room, shards):
        if hasattr(place, "os"):
            monkeypatch.setattr(place.os, "fsync", full)
    features = extract(table, backbone, store=store)
    assert features.values.tobytes() == expected.values.tobytes()
    (finding,) = [one for one in features.findings if one.kind == "store"]
    assert "space" in finding.message
    assert finding.severity == "warning"


def test_features_of_the_same_run_beside_another_output():
    from headstart.bundle.graph import add_head
    from headstart.types import Head

    backbone = backbone_named("tiny:image")
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(192, 3)).astype("f4"), rng.normal(size=3).astype("f4"))
    engine = OrtEngine(add_head(backbone.graph.read_bytes(), head))
    contents = [*pictures(11), b"no picture"]
    packet = list(enumerate(contents))
    both = Pipeline(backbone.preprocess, engine, output="logits", with_features=True)
    (*alone,) = images().run([packet])
    for one, other in zip(both.run([packet]), alone):
        assert one.rows == other.rows
        assert one.features.tobytes() == other.values.tobytes()
        np.testing.assert_allclose(
            one.values, one.features @ head.weight + head.bias, rtol=1e-4, atol=1e-4
        )
        assert other.features is None
