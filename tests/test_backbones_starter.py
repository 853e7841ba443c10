"""The starters: what the table says, and (with the weights) what the graphs give."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from headstart.backbones import starter, tensorfile, wheels
from headstart.engine.ort import OrtEngine
from headstart.errors import BackboneError
from headstart.hashing import hash_file
from headstart.manifest import load_tensors
from headstart.preprocess.text import TextEncoder, pad

NAMES = ["lite0", "e5", "minilm"]
LENGTHS = (1, 3, 9, 30, 64)
TEXTS = [
    "play jazz",
    "what is the weather like in Paris tomorrow?",
    "怎么读《论语》，是于丹自己的事；这么读《论语》，是中国历史的过错。",
    "Das ist ein sehr gutes Buch ～ 100 %",
    *(" ".join(["a long sentence of many words"] * n) for n in (3, 10, 80)),
]


# ---------------------------------------------------------------- without weights
def test_the_table_says_what_there_is():
    rows = starter.describe()
    assert [row.name for row in rows] == ["starter:lite0", "starter:e5", "starter:minilm"]
    assert [row.modality for row in rows] == ["image", "text", "text"]
    assert [row.licence for row in rows] == ["Apache-2.0", "MIT", "Apache-2.0"]
    for row in rows:
        assert 10 < row.megabytes < 100
        assert "\n" not in row.about
        assert bool(row.languages) == (row.modality == "text")


def test_every_wheel_and_file_is_pinned():
    for row in starter._TABLE.values():
        sums = [row.wheel.sha256, *(member.sha256 for member in row.wheel.members)]
        assert all(re.fullmatch("[0-9a-f]{64}", one) for one in sums)
        assert row.wheel.megabytes == row.starter.megabytes
        assert row.wheel.name == row.starter.name


@pytest.mark.parametrize("name", ["lite1", "starter:mini-lm", ""])
def test_an_unknown_starter_lists_the_known_ones(name):
    with pytest.raises(BackboneError) as caught:
        starter.load(name)
    assert "starter:minilm" in caught.value.fix


@pytest.mark.parametrize("name", NAMES)
def test_offline_with_an_empty_cache_says_how_to_get_it(name, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(BackboneError) as caught:
        starter.load(name, offline=True)
    assert f"starter:{name}" in caught.value.message
    assert "MB" in caught.value.message
    assert "headstart backbones --fetch starter" in caught.value.fix


def test_fetching_all_loads_each_and_passes_on_what_is_said(monkeypatch):
    monkeypatch.setattr(starter, "load", lambda name, *, say: (name, say))
    assert starter.fetch_all(print) == [(name, print) for name in NAMES]


def test_importing_the_starters_imports_neither_onnx_nor_torch():
    code = (
        "import sys, headstart.backbones.starter as s; s.describe(); "
        "sys.exit(' '.join({'onnx', 'torch', 'transformers', 'timm', 'tokenizers'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- with weights
@pytest.fixture(scope="module")
def loaded():
    kept = {}

    def load(name):
        try:
            kept[name] = kept.get(name) or starter.load(name, offline=True)
        except BackboneError as error:
            pytest.skip(error.message)
        return kept[name]

    return load


@pytest.fixture(scope="module")
def engines(loaded):
    kept = {}

    def engine(name):
        if name not in kept:
            kept[name] = OrtEngine(loaded(name).graph, 1)
        return kept[name]

    return engine


def encode(backbone, texts):
    assert backbone.tokenizer is not None
    return TextEncoder(backbone.tokenizer.read_bytes(), backbone.preprocess.steps).encode(texts)[0]


@pytest.mark.starter
@pytest.mark.parametrize(("name", "megabytes"), [("lite0", 14), ("e5", 80), ("minilm", 60)])
def test_graphs_are_small(loaded, name, megabytes):
    backbone = loaded(name)
    files = [backbone.graph, *([backbone.tokenizer] if backbone.tokenizer else [])]
    assert sum(file.stat().st_size for file in files) < megabytes * 1_000_000
    assert backbone.name == f"starter:{name}"
    assert backbone.sha256 == starter._TABLE[name].wheel.members[0].sha256


@pytest.mark.starter
@pytest.mark.parametrize("name", NAMES)
def test_the_second_use_reads_only_the_shelf(loaded, name):
    first = loaded(name)
    code = f"""if True:
        import sys
        from headstart.backbones import starter, wheels
        wheels.hash_file = wheels.fetch = None
        print(starter.load({name!r}, offline=True).graph_id)
        sys.exit(' '.join({{'onnx', 'torch', 'tokenizers'}} & set(sys.modules)) or 0)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == first.graph_id


@pytest.mark.starter
@pytest.mark.parametrize("name", NAMES)
def test_the_graph_can_be_made_again_from_the_weights_alone(loaded, name, tmp_path, monkeypatch):
    first = loaded(name)
    members = starter._TABLE[name].wheel.members
    if not all(wheels.kept_at(member).exists() for member in members):
        pytest.skip("only the graph is in the cache, not the weights")
    folder = tmp_path / "weights"
    folder.mkdir()
    for member in members:
        (folder / member.sha256).symlink_to(wheels.kept_at(member))
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    again = starter.load(name, offline=True)
    assert again.graph != first.graph
    assert again.graph_id == first.graph_id
    assert hash_file(again.graph) == hash_file(first.graph)


@pytest.mark.starter
@pytest.mark.parametrize("name", ["e5", "minilm"])
def test_neither_the_batch_nor_the_padding_matters(loaded, engines, name):
    rng = np.random.default_rng(0)
    rows = [rng.integers(5, 20_000, rng.choice(LENGTHS)) for _ in range(64)]
    together = engines(name).run(pad(rows))["features"]
    alone = np.concatenate([engines(name).run(pad([row]))["features"] for row in rows[:12]])
    assert np.abs(together[:12] - alone).max() < 1e-5
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


@pytest.mark.starter
@pytest.mark.parametrize(
    ("text", "ids"),
    [  # of the original tokenizer of multilingual-e5-small
        ("Hello world", [0, 41, 1294, 12, 35378, 8999, 2]),
        ("今天的天气真不错", [0, 41, 1294, 12, 6, 99706, 70871, 5364, 68272, 2]),
        ("～ ｆｕｌｌ", [0, 41, 1294, 12, 6, 6087, 4393, 2]),
    ],
)
def test_e5_gives_the_ids_of_the_original(loaded, text, ids):
    assert encode(loaded("e5"), [text])[0].tolist() == ids


@pytest.mark.starter
def test_minilm_gives_the_ids_of_the_original_and_leaves_cutting_to_the_steps(loaded):
    ids = encode(loaded("minilm"), ["Hello, Wörld!", "word " * 400])
    assert ids[0].tolist() == [101, 7592, 1010, 2088, 999, 102]
    assert len(ids[1]) == 256


@pytest.mark.starter
def test_e5_brings_translations_together(loaded, engines):
    texts = [
        "The weather is lovely today.",
        "今天的天气真不错。",
        "My parcel arrived broken.",
        "我的包裹到的时候坏了。",
    ]
    ids = encode(loaded("e5"), texts)
    features = engines("e5").run(pad(ids))["features"]
    likeness = features @ features.T
    assert likeness[0, 1] > max(likeness[0, 2], likeness[0, 3]) + 0.03
    assert likeness[2, 3] > max(likeness[2, 0], likeness[2, 1]) + 0.03


# ---------------------------------------------------------------- against the reference implementations
def prepared(module):
    """The module, imported after torchvision's repair."""
    pytest.importorskip("torch")
    from headstart.backbones.quiet import quiet
    from headstart.backbones.torchvision_repair import repair_torchvision

    with quiet():
        repair_torchvision()
        return pytest.importorskip(module)


@pytest.mark.starter
@pytest.mark.train
def test_lite0_equals_timm(loaded, engines):
    timm = prepared("timm")
    import torch

    loaded("lite0")
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    weights = tensorfile.read(wheels.kept_at(starter._TABLE["lite0"].wheel.members[0]).read_bytes())
    names = list(model.state_dict())
    assert len(names) == len(weights)  # in the same order, one to one
    state = {ours: torch.from_numpy(value.copy()) for ours, value in zip(names, weights.values())}
    model.load_state_dict(state, strict=True)
    model.reset_classifier(0)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), dtype=np.uint8)
    pixels[1] = np.linspace(0, 255, 224).astype(np.uint8)[:, None, None]
    with torch.no_grad():
        wanted = model((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5).numpy()
    found = engines("lite0").run({"pixels": pixels})["features"]
    off = np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    assert off.max() < 1e-4


def vectors(transformers, state, layers, words, rows):
    """Unit vectors of a BertModel with these weights, one text after the other."""
    import torch

    config = transformers.BertConfig(
        vocab_size=words, hidden_size=384, num_hidden_layers=layers, num_attention_heads=12,
        intermediate_size=1536, max_position_embeddings=512, layer_norm_eps=1e-12,
    )  # fmt: skip
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    state = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    model.load_state_dict(state, strict=True)
    with torch.no_grad():
        found = [model(torch.from_numpy(row[None])).last_hidden_state[0].mean(0) for row in rows]
    made = torch.stack(found).numpy()
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@pytest.mark.starter
@pytest.mark.train
def test_minilm_stays_with_the_full_model(loaded, engines):
    transformers = prepared("transformers")
    rows = encode(loaded("minilm"), TEXTS)
    data = wheels.kept_at(starter._TABLE["minilm"].wheel.members[0]).read_bytes()
    state = {
        name: value
        for name, value in load_tensors(data, "model.safetensors").items()
        if not name.startswith("pooler.") and "position_ids" not in name
    }
    wanted = vectors(transformers, state, 6, 30_522, rows)
    found = engines("minilm").run(pad(rows))["features"]
    assert (found * wanted).sum(1).min() > 0.999
    # only the rounding of the tokens' vectors stands between them
    rounded = state | {WORD: starter.graph_bert.Int8Rows.of(state[WORD]).array()}
    assert np.abs(found - vectors(transformers, rounded, 6, 30_522, rows)).max() < 1e-5


WORD = "embeddings.word_embeddings.weight"


@pytest.mark.starter
@pytest.mark.train
def test_e5_equals_transformers(loaded, engines):
    transformers = prepared("transformers")
    rows = encode(loaded("e5"), TEXTS)
    path = wheels.kept_at(starter._TABLE["e5"].wheel.members[0])
    wanted = vectors(transformers, e5_state(path), 12, 250_037, rows)
    found = engines("e5").run(pad(rows))["features"]
    assert np.abs(found - wanted).max() < 1e-4


def e5_state(path: Path):
    """The file's tensors by their transformers names, unpacked on another way than the package's."""
    data = path.read_bytes()
    index = {}
    at = data.index(b"\x08\x00emb.word")  # the first entry of the tensors' index
    while True:
        size = int.from_bytes(data[at : at + 2], "little")
        name = data[at + 2 : at + 2 + size].decode("ascii", "replace")
        if not re.fullmatch(r"(emb|l\d+)\.[a-z.]+", name):
            break
        at += 2 + size + 5
        index[name] = int.from_bytes(data[at : at + 8], "little")
        at += 16

    def plain(name, *shape):
        return np.frombuffer(data, "<f4", int(np.prod(shape)), index[name]).reshape(shape)

    def packed(name, rows, columns):
        block = np.dtype([("scale", "<f2"), ("halves", "u1", 16)])
        blocks = np.frombuffer(data, block, rows * columns // 32, index[name])
        values = np.empty((len(blocks), 32), np.float32)
        values[:, :16] = (blocks["halves"] % 16).astype(int) - 8
        values[:, 16:] = (blocks["halves"] // 16).astype(int) - 8
        return (values * blocks["scale"].astype(np.float32)[:, None]).reshape(rows, columns)

    state = {
        WORD: packed("emb.word", 250_037, 384),
        "embeddings.position_embeddings.weight": plain("emb.pos", 512, 384),
        "embeddings.token_type_embeddings.weight": plain("emb.type", 2, 384),
        "embeddings.LayerNorm.weight": plain("emb.ln.w", 384),
        "embeddings.LayerNorm.bias": plain("emb.ln.b", 384),
    }
    linear = {
        "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
        "ao": "attention.output.dense", "fi": "intermediate.dense", "fo": "output.dense",
    }  # fmt: skip
    for i in range(12):
        at = f"encoder.layer.{i}."
        for short, name in linear.items():
            rows, columns = {"fi": (1536, 384), "fo": (384, 1536)}.get(short, (384, 384))
            state[f"{at}{name}.weight"] = packed(f"l{i}.{short}.w", rows, columns)
            state[f"{at}{name}.bias"] = plain(f"l{i}.{short}.b", rows)
        for short, name in (("aln", "attention.output.LayerNorm"), ("oln", "output.LayerNorm")):
            state[f"{at}{name}.weight"] = plain(f"l{i}.{short}.w", 384)
            state[f"{at}{name}.bias"] = plain(f"l{i}.{short}.b", 384)
    return state
