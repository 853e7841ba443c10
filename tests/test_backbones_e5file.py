"""The reader of the e5 file, on made-up files of the same layout."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from headstart.backbones import e5file
from headstart.errors import BackboneError

HIDDEN, LAYERS, HEADS, WIDE, POSITIONS, TYPES = 64, 2, 4, 96, 16, 2
PIECES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    "a",
    "b",
    "ab",
    "▁ab",
    "～",
    "~",
    "1",
    "ガ",
    "好",
    "<mask>",
]
SCORES = [0.0, 0, 0, 0, -2, -4, -4, -3, -2.5, -5, -5, -5, -6, -6, 0]


def shapes():
    """Name -> (packed, shape), in the file's order."""
    found = {
        "emb.word": (True, (len(PIECES), HIDDEN)),
        "emb.pos": (False, (POSITIONS, HIDDEN)),
        "emb.type": (False, (TYPES, HIDDEN)),
        "emb.ln.w": (False, (HIDDEN,)),
        "emb.ln.b": (False, (HIDDEN,)),
    }
    linear = {"q": (HIDDEN, HIDDEN), "k": (HIDDEN, HIDDEN), "v": (HIDDEN, HIDDEN)}
    linear |= {"ao": (HIDDEN, HIDDEN), "fi": (WIDE, HIDDEN), "fo": (HIDDEN, WIDE)}
    for i in range(LAYERS):
        for name, shape in linear.items():
            found[f"l{i}.{name}.w"] = (True, shape)
            found[f"l{i}.{name}.b"] = (False, shape[:1])
        for name in ("aln", "oln"):
            found[f"l{i}.{name}.w"] = found[f"l{i}.{name}.b"] = (False, (HIDDEN,))
    return found


def made():
    """A file, and the numbers in it by name (float32)."""
    rng = np.random.default_rng(4)
    vocabulary = [piece.encode() for piece in PIECES]
    starts = np.cumsum([0, *map(len, vocabulary)]).astype("<u4")
    head = b"E5S1" + struct.pack(
        "<I7ifi", 3, HIDDEN, LAYERS, HEADS, WIDE, len(PIECES), POSITIONS, TYPES, 1e-5, 0
    )
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, int(starts[-1]))
    head += starts.tobytes() + np.array(SCORES, "<f4").tobytes() + b"".join(vocabulary)
    head += struct.pack("<iI", 1, 5) + b"rules"
    numbers, bodies = {}, {}
    for name, (packed, shape) in shapes().items():
        if packed:
            steps = rng.integers(-8, 8, (*shape[:-1], shape[-1] // 32, 32))
            scales = rng.uniform(0.001, 0.1, steps.shape[:-1]).astype("<f2")
            halves = ((steps[..., :16] + 8) | ((steps[..., 16:] + 8) << 4)).astype(np.uint8)
            blocks = np.concatenate([scales[..., None].view(np.uint8), halves], -1)
            bodies[name] = blocks.tobytes()
            numbers[name] = (
                (steps * scales[..., None].astype(np.float32)).reshape(shape).astype("f4")
            )
        else:
            numbers[name] = rng.normal(size=shape).astype("<f4")
            bodies[name] = numbers[name].tobytes()
    size = len(head) + 4 + sum(2 + len(name) + 1 + 4 + 16 for name in bodies)
    index, at = struct.pack("<i", len(bodies)), size
    for name, body in bodies.items():
        index += (
            struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", 0, 2, at, len(body))
        )
        at += len(body)
    return head + index + b"".join(bodies.values()), numbers


FILE, NUMBERS = made()


def test_reads_every_number_in_its_place():
    file = e5file.read(FILE)
    bert = file.bert
    assert (bert.heads, bert.eps, len(bert.layers)) == (HEADS, 1e-12, LAYERS)
    assert np.array_equal(bert.words.array(), NUMBERS["emb.word"])
    assert np.array_equal(bert.positions, NUMBERS["emb.pos"] + NUMBERS["emb.type"][0])
    assert np.array_equal(bert.norm, [NUMBERS["emb.ln.w"], NUMBERS["emb.ln.b"]])
    for i, layer in enumerate(bert.layers):
        own = {name.removeprefix(f"l{i}."): value for name, value in NUMBERS.items()}
        together = np.concatenate([own["q.w"], own["k.w"], own["v.w"]])
        assert np.array_equal(layer.qkv[0].array(), together)
        assert np.array_equal(layer.qkv[1], np.concatenate([own["q.b"], own["k.b"], own["v.b"]]))
        pairs = {"ao": layer.out, "fi": layer.widen, "fo": layer.narrow}
        for name, (matrix, bias) in pairs.items():
            assert np.array_equal(matrix.array(), own[name + ".w"])
            assert np.array_equal(bias, own[name + ".b"])
        for name, norm in {"aln": layer.norm, "oln": layer.last_norm}.items():
            assert np.array_equal(norm, [own[name + ".w"], own[name + ".b"]])
    assert file.pieces == tuple(PIECES)
    assert file.scores == tuple(SCORES)
    assert file.special == {"bos": 0, "eos": 2, "pad": 1, "unk": 3}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("ab", ["▁ab"]),
        ("  ab   ab ", ["▁ab", "▁ab", "▁"]),
        ("aｂ", ["▁ab"]),  # full-width letters become plain ones
        ("a～b~", ["▁", "a", "～", "b", "~"]),  # but the full-width tilde stays itself
        ("①", ["▁", "1"]),
        ("カ\u3099", ["▁", "ガ"]),
        ("a\tb\u200bb", ["▁", "a", "▁", "b", "▁", "b"]),
        ("好x", ["▁", "好", "<unk>"]),
        ("", []),
    ],
)
def test_the_tokenizer_normalises_as_the_original(text, tokens):
    tokenizer = Tokenizer.from_str(e5file.tokenizer(e5file.read(FILE)))
    encoded = tokenizer.encode(text)
    known = [token if token in PIECES else "<unk>" for token in encoded.tokens]
    assert known == ["<s>", *tokens, "</s>"]
    assert encoded.ids[0] == 0
    assert encoded.ids[-1] == 2
    assert tokenizer.padding is None
    assert tokenizer.truncation is None


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(data):
    cut = data.draw(st.integers(0, len(FILE) - 1))
    with pytest.raises(BackboneError, match="cannot be read"):
        e5file.read(FILE[:cut])
    damaged = bytearray(FILE)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, 1500))] = data.draw(st.integers(0, 255))
    try:
        e5file.read(bytes(damaged))
    except BackboneError as error:
        assert error.fix
