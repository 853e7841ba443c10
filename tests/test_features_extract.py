"""Table x backbone -> features: each input once, bad ones listed, the order kept."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.backbones.choose import backbone_for, backbone_named
from headstart.compute import cache_dir
from headstart.data import table as tables
from headstart.engine import ENGINES
from headstart.errors import BackboneError
from headstart.features.extract import extract, rows_of
from headstart.features.store import Store


def expected(path):
    """The tiny image backbone, written out in numpy."""
    pixels = np.asarray(
        Image.open(path).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR), np.float64
    )
    return pixels.reshape(8, 4, 8, 4, 3).mean((1, 3)).transpose(2, 0, 1).ravel() / 255


def test_features_agree_with_the_oracle_and_come_back_from_the_store(photos):
    table = tables.read(photos)
    backbone = backbone_for(table, "tiny:image")
    seen = []
    first = extract(
        table, backbone, store=Store(), progress=lambda done, total: seen.append((done, total))
    )
    assert first.computed == 60
    assert first.readable.all()
    for i in (0, 17, 59):
        np.testing.assert_allclose(first.values[i], expected(table.inputs[i]), atol=1e-3)
    again = extract(table, backbone, store=Store())
    assert again.computed == 0
    assert again.values.tobytes() == first.values.tobytes()
    assert seen[-1] == (60, 60)
    assert seen == sorted(seen)


def test_renamed_and_reordered_rows_hit_changed_ones_miss(photos):
    table = tables.read(photos)
    backbone = backbone_for(table, "tiny:image")
    first = extract(table, backbone, store=Store())
    (photos / "red" / "red00.png").rename(photos / "red" / "zz.png")
    pixels = np.array(Image.open(photos / "blue" / "blue00.png"))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(photos / "blue" / "blue00.png")
    changed = tables.read(photos)
    again = extract(changed.take(range(len(changed))[::-1]), backbone, store=Store())
    assert again.computed == 1
    where = {name: i for i, name in enumerate(table.names)}
    for i, name in enumerate(changed.names[::-1]):
        if name not in ("blue/blue00.png", "red/zz.png"):
            assert (again.values[i] == first.values[where[name]]).all()


def test_unreadable_rows_are_listed_in_order_and_zero(photos):
    (photos / "red" / "a.png").write_bytes(b"")
    (photos / "red" / "b.png").write_text("words")
    (photos / "red" / "c.png").write_text("words")
    table = tables.read(photos)
    features = extract(table, backbone_for(table, "tiny:image"), store=Store())
    bad = [skip.input for skip in features.skipped]
    listed = bad + [skip.input for skip in table.skipped]
    assert sorted(listed) == ["red/a.png", "red/b.png", "red/c.png"]
    assert bad == sorted(bad)
    assert not features.values[~features.readable].any()
    assert (~features.readable).sum() == len(bad)


def test_texts_of_any_length_and_duplicates(tmp_path):
    rng = np.random.default_rng(0)
    texts = [
        "".join(rng.choice(list("abc xyz"), rng.integers(1, 80))).strip() or "a" for _ in range(300)
    ]
    texts[5] = texts[6] = texts[7]
    table = tables.read({"text": texts, "label": [str(i % 2) for i in range(300)]})
    backbone = backbone_for(table, "tiny:text")
    together = extract(table, backbone, store=Store(tmp_path / "a"))
    assert together.computed == len(set(table.inputs))
    assert (together.values[5] == together.values[7]).all()
    for i in range(0, 300, 37):
        alone = extract(table.take([i]), backbone, store=Store(tmp_path / f"b{i}"))
        np.testing.assert_allclose(alone.values[0], together.values[i], atol=2e-3)
    cut = [finding for finding in together.findings if finding.kind == "truncated"]
    assert set(cut[0].rows) == {
        name for name, text in zip(table.names, table.inputs) if len(text) > 32
    }
    assert extract(table, backbone, store=Store(tmp_path / "a")).findings == together.findings


def test_a_backbone_for_something_else_is_refused(photos):
    table = tables.read(photos)
    with pytest.raises(BackboneError, match="takes texts"):
        extract(table, backbone_named("tiny:text"), store=Store())


def test_a_killed_run_leaves_a_valid_store(photos, tmp_path):
    code = textwrap.dedent(
        """
        import sys
        sys.path[:0] = sys.argv[3:]
        from headstart.backbones.choose import backbone_for
        from headstart.data import table as tables
        from headstart.features import extract as module
        from headstart.features.store import Store
        from headstart.runtime import pipeline
        pipeline.IMAGE_BATCH, module._WRITE = 2, 2
        table = tables.read(sys.argv[1])
        print("ready", flush=True)
        module.extract(table, backbone_for(table, "tiny:image"), store=Store(),
                       progress=lambda done, total: print(done, flush=True))
        """
    )
    rng = np.random.default_rng(1)
    plugin = Path(__file__).parent / "plugin"
    computed = []
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(photos), "-", str(plugin)],
            stdout=subprocess.PIPE,
            env=os.environ,
        )
        for _ in range(int(rng.integers(2, 9))):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        computed.append(Store().size().rows)
    assert computed == sorted(computed)
    table = tables.read(photos)
    rest = extract(table, backbone_for(table, "tiny:image"), store=Store())
    assert rest.computed == 60 - computed[-1]
    for i in range(60):
        np.testing.assert_allclose(rest.values[i], expected(table.inputs[i]), atol=1e-3)


@pytest.mark.parametrize("name", ENGINES.names())
def test_every_engine_runs_a_graph(name):
    """The conformance suite of engines, over their whole table."""
    assert ENGINES.get(name).precisions()[0] == "float32"
    if why := ENGINES.get(name).missing():
        pytest.skip(why)
    assert ENGINES.get(name).version()
    backbone = backbone_named("tiny:image")
    rng = np.random.default_rng(0)
    for source in (backbone.graph, backbone.graph.read_bytes()):
        engine = ENGINES.get(name)(source)
        for n in (1, 3, 8):
            pixels = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
            before = pixels.copy()
            features = engine.run({"pixels": pixels})["features"]
            assert features.shape == (n, 192)
            assert features.dtype == np.float32
            blocks = (
                pixels.astype(np.float64)
                .reshape(n, 8, 4, 8, 4, 3)
                .mean((2, 4))
                .transpose(0, 3, 1, 2)
            )
            np.testing.assert_allclose(features, blocks.reshape(n, -1) / 255, atol=1e-5)
            assert np.array_equal(before, pixels)
    with pytest.raises(BackboneError, match="cannot load the graph"):
        ENGINES.get(name)(b"not a graph")


def test_many_features_lie_in_a_file_and_are_the_same(photos, monkeypatch):
    table = tables.read(photos)
    backbone = backbone_for(table, "tiny:image")
    plain = extract(table, backbone, store=Store())
    rows = np.arange(0, 60, 3)
    some = rows_of(plain, rows)
    monkeypatch.setattr("headstart.features.extract._IN_MEMORY", 0)
    large = extract(table, backbone, store=Store())
    part = rows_of(large, rows)
    for found, wanted in ((large, plain), (part, some)):
        assert isinstance(found.values, np.memmap)
        assert found.values.tobytes() == wanted.values.tobytes()
        assert (found.readable == wanted.readable).all()
    kept = [path.name for path in cache_dir().iterdir()]
    assert sorted(kept) == ["features", "graphs"]  # the file has no name


def test_without_room_on_the_disk_features_stay_in_memory(photos, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("headstart.features.extract._IN_MEMORY", 0)
    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    table = tables.read(photos)
    found = extract(table, backbone_for(table, "tiny:image"), store=Store())
    assert not isinstance(found.values, np.memmap)
    np.testing.assert_allclose(found.values[0], expected(table.inputs[0]), atol=1e-3)
