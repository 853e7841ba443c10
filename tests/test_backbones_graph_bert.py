"""The BERT graph against the formulas written out in numpy, with made-up weights."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.backbones import graph_bert
from headstart.backbones.graph_bert import Bert, Int8Rows, Layer, Packed4, Plain

WORDS, POSITIONS, DIM, WIDE, HEADS, EPS = 50, 24, 64, 96, 4, 1e-12
ERF = np.vectorize(math.erf)


def plain(rng, rows, columns):
    return Plain(rng.normal(0, 0.1, (rows, columns)).astype(np.float32))


def packed(rng, rows, columns):
    halves = rng.integers(0, 256, (rows, columns // 32, 16), dtype=np.uint8)
    return Packed4(halves, rng.uniform(0.005, 0.02, halves.shape[:2]).astype(np.float16))


def made(kind, n_layers=2):
    rng = np.random.default_rng(5)
    vector = lambda size: rng.normal(0, 0.2, size).astype(np.float32)  # noqa: E731
    norm = lambda: (1 + vector(DIM), vector(DIM))  # noqa: E731
    layers = tuple(
        Layer(
            qkv=(kind(rng, 3 * DIM, DIM), vector(3 * DIM)),
            out=(kind(rng, DIM, DIM), vector(DIM)),
            norm=norm(),
            widen=(kind(rng, WIDE, DIM), vector(WIDE)),
            narrow=(kind(rng, DIM, WIDE), vector(DIM)),
            last_norm=norm(),
        )
        for _ in range(n_layers)
    )
    words = kind(rng, WORDS, DIM)
    if kind is plain:
        words = Int8Rows.of(words.values)
    return Bert(HEADS, EPS, words, plain(rng, POSITIONS, DIM).values, norm(), layers)


def expected(bert, ids):
    """One text, no padding, float64: (t,) to (c,)."""

    def norm(x, parts):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPS) * parts[0] + parts[1]

    def dense(x, layer):
        return x @ layer[0].array().astype(np.float64).T + layer[1]

    x = norm(bert.words.array()[ids].astype(np.float64) + bert.positions[: len(ids)], bert.norm)
    for layer in bert.layers:
        q, k, v = (
            part.reshape(len(ids), HEADS, -1) for part in np.split(dense(x, layer.qkv), 3, -1)
        )
        scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(DIM / HEADS)
        share = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", share, v).reshape(len(ids), DIM)
        x = norm(x + dense(mixed, layer.out), layer.norm)
        y = dense(x, layer.widen)
        y = y * (1 + ERF(y / math.sqrt(2))) / 2
        x = norm(x + dense(y, layer.narrow), layer.last_norm)
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def session(graph):
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def run(made_session, rows, fill=0):
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), fill, np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    return made_session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


@pytest.fixture(scope="module")
def sessions():
    return {kind: (bert := made(kind), session(graph_bert.bert(bert))) for kind in (plain, packed)}


@pytest.mark.parametrize("kind", [plain, packed])
def test_equals_the_formulas(sessions, kind):
    bert, engine = sessions[kind]
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, WORDS, n) for n in (1, 2, 7, 20, POSITIONS)]
    found = run(engine, rows)
    assert found.shape == (5, DIM)
    assert found.dtype == np.float32
    for row, vector in zip(rows, found):
        assert np.allclose(vector, expected(bert, row), atol=2e-6)


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, POSITIONS), min_size=1, max_size=64),
    fill=st.integers(0, WORDS - 1),
)
def test_neither_the_batch_nor_the_padding_matters(sessions, lengths, fill):
    _, engine = sessions[packed]
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, WORDS, n) for n in lengths]
    together = run(engine, rows, fill)
    alone = np.concatenate([run(engine, [row]) for row in rows])
    assert np.abs(together - alone).max() < 1e-6
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", [plain, packed])
def test_the_graph_is_standard_sound_and_always_the_same(kind):
    graph = graph_bert.bert(made(kind))
    model = onnx.load_from_string(graph)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 20)]
    assert model.ir_version <= 10
    assert [one.name for one in model.graph.input] == ["input_ids", "attention_mask"]
    assert [one.name for one in model.graph.output] == ["features"]
    assert graph == graph_bert.bert(made(kind))


def test_matrices_stay_as_small_as_they_came():
    size = {kind: len(graph_bert.bert(made(kind, n_layers=4))) for kind in (plain, packed)}
    weights = 4 * (4 * DIM * DIM + 2 * DIM * WIDE) + WORDS * DIM
    assert size[packed] < size[plain] - 3 * weights  # 4.5 bits a weight instead of 32


@given(st.integers(1, 5), st.floats(1e-6, 1e6), st.integers(0, 10))
def test_rounding_to_8_bits_is_off_by_half_a_step_at_most(rows, size, seed):
    values = np.random.default_rng(seed).normal(0, size, (rows, 32)).astype(np.float32)
    values[0] = 0
    rounded = Int8Rows.of(values)
    assert (np.abs(rounded.array() - values) <= rounded.scales * 0.501).all()
    assert np.array_equal(rounded.array()[0], values[0])


@pytest.mark.train
def test_equals_transformers():
    torch = pytest.importorskip("torch")
    from headstart.backbones.quiet import quiet
    from headstart.backbones.torchvision_repair import repair_torchvision

    with quiet():
        repair_torchvision()
        transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=WORDS, hidden_size=DIM, num_hidden_layers=3, num_attention_heads=HEADS,
        intermediate_size=WIDE, max_position_embeddings=POSITIONS, layer_norm_eps=EPS,
    )  # fmt: skip
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)
        # a table whose rounding to 8 bits changes nothing
        table = model.embeddings.word_embeddings.weight
        steps = Int8Rows.of(table.numpy()).steps
        steps[:, 0] = 127
        table.copy_(torch.from_numpy(steps * np.float32(1 / 512)))
    tensors = {name: value.numpy() for name, value in model.state_dict().items()}
    engine = session(graph_bert.bert(graph_bert.from_checkpoint(tensors, heads=HEADS, eps=EPS)))
    rng = np.random.default_rng(2)
    ids = rng.integers(0, WORDS, (6, POSITIONS))
    mask = (np.arange(POSITIONS) < rng.integers(1, POSITIONS + 1, (6, 1))).astype(np.int64)
    with torch.no_grad():
        states = model(torch.from_numpy(ids), torch.from_numpy(mask)).last_hidden_state.numpy()
    mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    found = engine.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    assert np.abs(found - mean).max() < 1e-5
