"""Features on a Ray cluster of two workers: the bits of one machine, and nothing lost with a worker."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.backbones.choose import backbone_for
from headstart.data import table as tables
from headstart.errors import BackboneError, ConfigError, HeadstartError, MissingExtra
from headstart.features import cluster
from headstart.features.extract import How, extract
from headstart.features.store import Store
from headstart.runtime import pipeline

if importlib.util.find_spec("ray") is None:  # not imported here: it settles where it listens then
    pytest.skip("needs headstart[ray]", allow_module_level=True)

pytestmark = [
    # Ray Data sets settings of its own that it calls deprecated
    pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated:DeprecationWarning"),
    # Ray leaves its processes' handles and log files to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.xdist_group("ray"),
]

HERE = How("onnxruntime")


@pytest.fixture(scope="module")
def ray():
    """One cluster on loopback, with two processors, that all tests use as the caller's own."""
    folder = tempfile.mkdtemp(prefix="hs-")  # short: the paths of sockets have a limit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "threads", lambda: 2)
        found = cluster._ray(local=True)
        cluster._start(
            found, {"log_to_driver": False, "logging_level": "error", "_temp_dir": folder}
        )
    yield found
    found.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def small(monkeypatch):
    """Packets so small that two workers have something to share."""
    monkeypatch.setattr(pipeline, "IMAGE_PACKET", 8)
    monkeypatch.setattr(pipeline, "TEXT_PACKET", 32)


def same(one, other):
    assert one.values.tobytes() == other.values.tobytes()
    assert np.array_equal(one.readable, other.readable)
    assert (one.skipped, one.findings, one.computed) == (
        other.skipped,
        other.findings,
        other.computed,
    )


def texts(n):
    rng = np.random.default_rng(0)
    letters = list("abc xyz")
    lines = ["".join(rng.choice(letters, rng.integers(1, 80))).strip() or "a" for _ in range(n)]
    return tables.read({"text": [*lines[:-1], lines[3]], "label": [str(i % 2) for i in range(n)]})


def test_texts_are_the_same_bit_for_bit(ray, small, tmp_path):
    table = texts(300)
    backbone = backbone_for(table, "tiny:text")
    local = extract(table, backbone, store=Store(tmp_path / "a"), how=HERE)
    seen, told = [], []
    far = extract(
        table,
        backbone,
        store=Store(tmp_path / "b"),
        how=How(cluster="local"),
        progress=lambda done, total: seen.append((done, total)),
        say=told.append,
    )
    same(local, far)
    assert seen == sorted(seen)
    assert seen[-1] == (300, 300)
    assert any("2 processors" in sentence for sentence in told)
    assert ray.is_initialized()  # the caller's connection was left alone


def test_pictures_bad_ones_and_pictures_in_memory(ray, small, photos, tmp_path):
    (photos / "red" / "b.png").write_bytes((photos / "red" / "red00.png").read_bytes()[:60])
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(photos / "blue" / "c.gif", save_all=True, append_images=frames[1:])
    table = tables.read(photos)
    backbone = backbone_for(table, "tiny:image")
    local = extract(table, backbone, store=Store(tmp_path / "a"), how=HERE)
    far = extract(table, backbone, store=Store(tmp_path / "b"), how=How(cluster="local"))
    same(local, far)
    assert [skip.input for skip in far.skipped] == ["red/b.png"]
    assert [finding.kind for finding in far.findings] == ["animated"]

    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(6)]
    packet = [*enumerate(arrays), (6, Image.fromarray(arrays[0]).convert("P"))]
    packet.append((7, Image.fromarray(arrays[0]).convert("LA")))
    here = pipeline.Pipeline(
        backbone.preprocess, cluster.ENGINES.get("onnxruntime")(backbone.graph)
    )
    expected = np.concatenate([batch.values for batch in here.run([packet])])
    (batch,) = cluster.run([packet], backbone, How(cluster="local"))
    assert batch.rows == list(range(8))
    assert batch.values.tobytes() == expected.tobytes()


def test_a_killed_worker_loses_nothing(ray, small, tmp_path, monkeypatch):
    marker = tmp_path / "killed"

    class Mortal(cluster.Worker):
        def __call__(self, table):
            if 96 in table["rows"][0].as_py() and not marker.exists():
                marker.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(table)

    monkeypatch.setattr(cluster, "Worker", Mortal)
    table = texts(600)
    backbone = backbone_for(table, "tiny:text")
    local = extract(table, backbone, store=Store(tmp_path / "a"), how=HERE)
    far = extract(table, backbone, store=Store(tmp_path / "b"), how=How(cluster="local"))
    assert int(marker.read_text()) != os.getpid()
    same(local, far)


def test_another_version_on_a_worker_is_refused_by_name(ray, small, monkeypatch):
    table = texts(40)
    monkeypatch.setattr(cluster, "_versions", lambda: {"headstart": "0.0"})
    with pytest.raises(BackboneError, match=r"headstart is 0\.0 here and .* on a worker"):
        extract(table, backbone_for(table, "tiny:text"), store=Store(), how=How(cluster="local"))


def test_a_bundle_predicts_the_same_on_a_cluster_that_is_joined(ray, reviews, tmp_path):
    bundle = tmp_path / "model.headstart"
    headstart.fit(reviews, backbone="tiny:text", cluster="local").save(bundle)
    inputs = tmp_path / "new.csv"
    inputs.write_text('text\nlovely and great\n"  "\nawful\n', "utf-8")
    command = [sys.executable, "-m", "headstart", "predict", str(bundle), str(inputs), "--json"]
    address = ray.get_runtime_context().gcs_address
    here, far = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=True, timeout=120)
        for more in ([], ["--cluster", address])
    )
    assert far.stdout == here.stdout
    assert len(json.loads(far.stdout)) == 3
    assert f"cluster {address}: 2 processors" in far.stderr
    assert len(ray.nodes()) == 1  # it was left running


def test_features_come_back_beside_logits(ray, small):
    from headstart.bundle.graph import add_head
    from headstart.types import Head

    table = texts(70)
    backbone = backbone_for(table, "tiny:text")
    rng = np.random.default_rng(0)
    head = Head(rng.normal(size=(64, 3)).astype("f4"), np.zeros(3, "f4"))
    work = cluster.Work(
        add_head(backbone.graph.read_bytes(), head),
        backbone.preprocess,
        cluster.tokenizer_of(backbone),
        output="logits",
        with_features=True,
    )
    packets = list(pipeline.packets_of(enumerate(table.inputs), 32))
    far = list(cluster.run_work(packets, lambda: work, "local"))
    here = pipeline.Pipeline(
        work.preprocess,
        cluster.ENGINES.get("onnxruntime")(work.graph),
        work.tokenizer,
        output="logits",
        with_features=True,
    )
    rows = {}
    for batch in here.run(packets):
        for row, logits, features in zip(batch.rows, batch.values, batch.features):
            rows[row] = (logits.tobytes(), features.tobytes())
    assert sorted(row for batch in far for row in batch.rows) == list(range(70))
    for batch in far:
        for row, logits, features in zip(batch.rows, batch.values, batch.features):
            assert (logits.tobytes(), features.tobytes()) == rows[row]


def test_nothing_to_compute_starts_nothing(monkeypatch, tmp_path):
    table = texts(40)
    backbone = backbone_for(table, "tiny:text")
    extract(table, backbone, store=Store(tmp_path), how=HERE)
    monkeypatch.setattr(cluster, "_connected", None)
    again = extract(table, backbone, store=Store(tmp_path), how=How(cluster="auto"))
    assert again.computed == 0


def test_what_is_said_without_ray_and_without_a_cluster(monkeypatch):
    with pytest.raises(ConfigError, match="can be joined at 127"):
        cluster._join(None, "127.0.0.1:1", {})
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConfigError, match="can be joined at 127"):
        cluster._join(None, "auto", {})
    with pytest.raises(ConfigError, match="not an address"):
        cluster._join(None, "somewhere", {})
    with pytest.raises(ConfigError, match="Ray Client"):
        cluster._join(None, "ray://127.0.0.1:10001", {})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="Ray is not installed") as caught:
        cluster._ray(local=False)
    assert "headstart[ray]" in caught.value.fix


def test_an_engine_that_is_not_known_is_named_before_anything_starts(monkeypatch):
    monkeypatch.setattr(cluster, "_connected", None)
    table = texts(40)
    with pytest.raises(HeadstartError, match="nonsense"):
        extract(
            table,
            backbone_for(table, "tiny:text"),
            store=Store(),
            how=How("nonsense", cluster="local"),
        )


@pytest.mark.starter
def test_a_starter_is_the_same_bit_for_bit(ray, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "TEXT_PACKET", 100)
    table = texts(300)
    backbone = backbone_for(table, "starter:minilm", offline=True)
    local = extract(table, backbone, store=Store(tmp_path / "a"), how=HERE)
    far = extract(table, backbone, store=Store(tmp_path / "b"), how=How(cluster="local"))
    same(local, far)
