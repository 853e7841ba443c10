"""Which engine runs a graph: the quickest one, measured once; another where it fails."""

import json

import numpy as np
import pytest

from headstart.backbones.choose import backbone_named
from headstart.compute import cache_dir
from headstart.data import table as tables
from headstart.engine import ENGINES
from headstart.engine.auto import AutoEngine, measure, usable
from headstart.errors import BackboneError, ConfigError, HeadstartError
from headstart.features.extract import How, extract
from headstart.features.store import Store

FEEDS = {"pixels": np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)}


@pytest.fixture
def only(monkeypatch):
    """Makes these the engines there are, beside onnxruntime."""

    def choose(*names):
        rows = {name: f"engines_for_tests:{name.capitalize()}" for name in names}
        rows["onnxruntime"] = "headstart.engine.ort:OrtEngine"
        monkeypatch.setattr(ENGINES, "_rows", rows)
        monkeypatch.setattr(ENGINES, "names", lambda: sorted(rows))

    return choose


def engine(rows=10_000, **keywords):
    backbone = backbone_named("tiny:image")
    said = []
    made = AutoEngine(backbone.graph, backbone.graph_id, rows=rows, say=said.append, **keywords)
    return made, said


def test_the_quickest_is_taken_and_remembered(only):
    only("quick", "slow")
    first, said = engine()
    first.run(FEEDS)
    assert first.chosen == "quick"
    assert "engine: quick" in said[0]
    again, said = engine()
    again.run(FEEDS)
    assert (again.chosen, said) == ("quick", [])
    only("slow")  # other engines, another question
    other, _ = engine()
    other.run(FEEDS)
    assert other.chosen == "onnxruntime"


def test_what_is_remembered_can_be_damaged(only):
    only("quick")
    first, _ = engine()
    first.run(FEEDS)
    (place,) = (cache_dir() / "graphs" / ".engines").iterdir()
    assert json.loads(place.read_text())["engine"] == "quick"
    place.write_text("{")
    again, said = engine()
    again.run(FEEDS)
    assert again.chosen == "quick"
    assert said


def test_a_few_inputs_are_not_worth_measuring_for(only):
    only("quick")
    made, said = engine(rows=10)
    made.run(FEEDS)
    assert (made.chosen, said) == ("onnxruntime", [])


def test_the_wanted_engine_is_used_without_measuring(only):
    only("quick", "slow")
    made, said = engine(wanted="slow")
    made.run(FEEDS)
    assert (made.chosen, said) == ("slow", [])
    assert not (cache_dir() / "graphs" / ".engines").exists()


def test_an_engine_that_cannot_load_the_graph_is_passed_over(only):
    only("unloadable")
    for keywords in ({}, {"wanted": "unloadable"}, {"rows": 3}):
        made, said = engine(**keywords)
        made.run(FEEDS)
        assert made.chosen == "onnxruntime"
        if "rows" not in keywords:
            assert "unloadable does not run this graph" in said[0]


def test_an_engine_that_fails_in_the_middle_is_replaced_and_the_features_are_sound(only, photos):
    only("failing")
    table = tables.read(photos)
    backbone = backbone_named("tiny:image")
    expected = extract(table, backbone, store=Store(photos / "a"), how=How("onnxruntime"))
    said = []
    features = extract(
        table, backbone, store=Store(photos / "b"), how=How("failing"), say=said.append
    )
    assert features.values.tobytes() == expected.values.tobytes()
    assert features.readable.all()
    assert features.engine == "onnxruntime"
    (finding,) = [one for one in features.findings if one.kind == "engine"]
    assert "failing failed on this graph (device lost)" in finding.message
    assert said == [finding.message]


def test_onnxruntime_alone_has_nothing_to_fall_back_on(only):
    only()
    made, _ = engine()
    with pytest.raises(BackboneError, match=r"cannot be run: .*invalid dimensions"):
        made.run({"pixels": FEEDS["pixels"][:, :5]})


def test_unknown_and_absent_engines_are_named(only):
    only("absent")
    with pytest.raises(HeadstartError, match="no engine called 'onnxruntimes'") as caught:
        engine(wanted="onnxruntimes")
    assert "did you mean 'onnxruntime'" in caught.value.fix
    with pytest.raises(ConfigError, match="absent cannot be used here: it is not installed"):
        engine(wanted="absent")
    with pytest.raises(ConfigError, match="does not compute in bfloat16"):
        engine(wanted="onnxruntime", precision="bfloat16")
    assert usable() == ["onnxruntime"]
    assert usable("bfloat16") == []


def test_measuring_leaves_out_what_fails(only):
    only("failing", "quick")
    graph = backbone_named("tiny:image").graph
    broken = ENGINES.get("failing")(graph)
    broken.known = {key: {} for key in range(9)}
    rates = measure([broken, ENGINES.get("quick")(graph)], FEEDS)
    assert list(rates) == ["quick"]
    assert rates["quick"] > 0


def test_out_of_memory_is_said_as_such(only, monkeypatch):
    only("slow")
    made, _ = engine(wanted="slow")
    made.run(FEEDS)

    def full(feeds):
        raise MemoryError

    monkeypatch.setattr(made._engine, "run", full)
    with pytest.raises(BackboneError, match="not enough memory"):
        made.run(FEEDS)


@pytest.mark.parametrize("wanted", ["auto", "wrong"])
def test_an_engine_that_computes_something_else_is_not_used(only, wanted):
    only("wrong")
    made, said = engine(wanted=wanted)
    expected = ENGINES.get("onnxruntime")(backbone_named("tiny:image").graph).run(FEEDS)
    assert made.run(FEEDS)["features"].tobytes() == expected["features"].tobytes()
    assert made.chosen == "onnxruntime"
    assert "wrong computes something else on this graph than onnxruntime does" in made.notes
    assert said == made.notes


@pytest.mark.starter
@pytest.mark.parametrize("name", ["starter:lite0", "starter:minilm", "starter:e5"])
def test_openvino_computes_what_onnxruntime_does_or_is_not_used(name):
    if why := ENGINES.get("openvino").missing():
        pytest.skip(why)
    backbone = backbone_named(name, offline=True)
    feeds = {"pixels": np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)}
    if backbone.modality == "text":
        ids = np.array([[101, 2054, 2003, 102], [101, 2003, 102, 0]])
        feeds = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    made = AutoEngine(backbone.graph, backbone.graph_id, wanted="openvino")
    found = made.run(feeds)["features"]
    expected = ENGINES.get("onnxruntime")(backbone.graph).run(feeds)["features"]
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
