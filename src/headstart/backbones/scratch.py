"""Networks that were never pretrained, for comparison: small architectures with random weights.

`scratch:cnn` reads pictures: a residual network (He et al. 2016, arXiv:1512.03385) of a few blocks.
`scratch:textcnn` reads texts: convolutions of three widths and the largest answer of each (Kim 2014,
arXiv:1408.5882). `scratch:rnn`, `scratch:gru` and `scratch:lstm` read texts in both directions (Elman 1990;
Cho et al. 2014; Hochreiter and Schmidhuber 1997), the mean and the largest of their states side by side.

They are graphs like any other backbone: what is trained is what ships. Their features mean nothing before
that: `headstart.methods.scratch` trains them in whole.

The picture network norms the channels of each place (Ba et al. 2016, arXiv:1607.06450, as Liu et al. 2022,
arXiv:2201.03545, in a convolutional network) and has no batch norms. Those know two modes: they learn with the
statistics of a batch and answer with a running mean of them, which the training room keeps as it is, as it
should be with pretrained ones; starting at random there is nothing to keep. A layer norm is the same in
training and in serving, for a batch of any size. Group norms are, too, but written in ONNX they take five
operators, and training took twice as long.

Texts are cut into tokens by the tokenizer of a text starter: its vocabulary is taken, its weights are not.
For the starter of many languages, whose vocabulary is large, tokens share `_BUCKETS` vectors (the hashing
trick; Weinberger et al. 2009, arXiv:0902.2206). Its ids go by frequency, so what is frequent has a vector
that only rare tokens share.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headstart.backbones import shelf, starter
from headstart.backbones.graph_build import FLOAT, GraphBuilder
from headstart.backbones.random_weights import random_weights
from headstart.backbones.wheels import Say
from headstart.compute import generator
from headstart.errors import BackboneError
from headstart.hashing import canonical_json, hash_bytes
from headstart.preprocess.image import MAX_PIXELS
from headstart.registry import suggestion
from headstart.types import Backbone, Preprocess

_MADE_BY = 1  # raise it when the graphs made by this version differ from older ones
SIZE = 96  # pixels of a picture's side
_CHANNELS = (24, 48, 96, 192)
_MIDDLE, _SPREAD = 120.0, 65.0  # about the mean and the deviation of photographs' pixels
_EPS = 1e-5
_BUCKETS = 32_749  # vectors of tokens at most; a prime, so that ids with a pattern spread evenly
_WORDS = 64  # length of a token's vector
_WORD_SPREAD = 0.1  # its deviation at first
_WIDTHS, _FILTERS = (3, 4, 5), 100
_STATE = 128  # of a recurrent network, in each direction
_MAX_TOKENS = 128
_INT32 = 6  # its number in ONNX, for Cast
_STREAM = 41  # of random numbers
_LICENCE = "Apache-2.0"  # what is drawn here is free of other people's rights
_DEFAULT = "e5"  # reads any language


def load(name: str, *, offline: bool = False, say: Say | None = None, seed: int = 0) -> Backbone:
    """A network with random weights as a backbone.

    Args:
        name: "cnn"; or "textcnn", "rnn", "gru" or "lstm", with "@minilm" or "@e5" after it for the
            starter whose tokenizer it takes, e.g. "lstm@minilm".
        offline: never download; texts need the starter's file for its tokenizer.
        say: called with one line before a download.
        seed: of the weights.

    Raises:
        BackboneError: there is no such network or tokenizer, or the tokenizer cannot be had.
    """
    network, _, of = name.removeprefix("scratch:").partition("@")
    if network not in NETWORKS or (of and network in _PICTURES):
        raise BackboneError(
            f"There is no network called {name!r}.",
            fix=suggestion(network, list(NETWORKS)) or f"one of: {', '.join(NETWORKS)}",
        )
    if network in _PICTURES:
        return made(network, seed=seed)
    return made(network, reader=starter.load(of or _DEFAULT, offline=offline, say=say), seed=seed)


def made(network: str, *, reader: Backbone | None = None, seed: int = 0) -> Backbone:
    """A network with random weights; from the second time on it is only looked up.

    Args:
        network: one of `NETWORKS`.
        reader: for texts: a backbone whose tokenizer it takes, and nothing else.
        seed: of the weights: the same gives the same bytes.

    Raises:
        BackboneError: there is no such network, or texts lack a tokenizer.
    """
    if network not in NETWORKS:
        raise BackboneError(
            f"There is no network called {network!r}.", fix=f"one of: {', '.join(NETWORKS)}"
        )
    tokenizer = None if network in _PICTURES else _tokenizer(network, reader)
    rules = "" if tokenizer is None else hash_bytes(tokenizer.encode())
    key = canonical_json({"scratch": network, "seed": seed, "of": rules, "version": _MADE_BY})
    kept = shelf.take(key)
    if kept is None:
        rng = generator(seed, _STREAM)
        if tokenizer is None:
            preprocess, (graph, dim) = _SEEN, _PICTURES[network](rng)
        else:
            preprocess = Preprocess("text", ({"step": "tokenize", "max_length": _MAX_TOKENS},))
            graph, dim = _TEXTS[network](_Words(rng, _vocabulary(tokenizer)))
        kept = shelf.keep(
            key, graph=graph, name=f"scratch:{network}", modality=preprocess.modality, dim=dim,
            licence=_LICENCE, sha256=hash_bytes(graph), preprocess=preprocess, tokenizer=tokenizer,
        )  # fmt: skip
    return random_weights(kept, seed)


def _tokenizer(network: str, reader: Backbone | None) -> str:
    if reader is None or reader.tokenizer is None:
        raise BackboneError(
            f"scratch:{network} reads texts and needs a tokenizer.",
            fix="give a text backbone to take it from",
        )
    return reader.tokenizer.read_text("utf-8")


def _vocabulary(tokenizer: str) -> int:
    """How many ids a tokenizer gives."""
    from tokenizers import Tokenizer

    return int(Tokenizer.from_str(tokenizer).get_vocab_size(with_added_tokens=True))


# ---- pictures

_SEEN = Preprocess(
    "image",
    (
        {"step": "decode", "max_pixels": MAX_PIXELS, "margin": 2},
        {"step": "resize", "size": SIZE, "mode": "shortest", "interpolation": "bilinear"},
        {"step": "center_crop", "size": [SIZE, SIZE]},
    ),
)


def cnn(rng: np.random.Generator) -> tuple[bytes, int]:
    """The graph of the picture network and the length of its features.

    A stem that halves the picture twice, then a residual block for each width, halving further.
    """
    graph = GraphBuilder()
    add, constant = graph.add, graph.constant
    x = add("Transpose", add("Cast", "pixels", to=FLOAT), perm=[0, 3, 1, 2])
    x = add("Mul", add("Sub", x, constant(_MIDDLE)), constant(1 / _SPREAD))
    x = _conv(graph, rng, x, 3, _CHANNELS[0], 5, 2)
    x = add("Relu", _norm(graph, x, _CHANNELS[0]))
    x = add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    entering = _CHANNELS[0]
    for place, channels in enumerate(_CHANNELS):
        x, entering = _block(graph, rng, x, entering, channels, 2 if place else 1), channels
    x = add("Flatten", add("GlobalAveragePool", x), axis=1)
    made = graph.finish({"pixels": (np.uint8, ("n", SIZE, SIZE, 3))}, x, _CHANNELS[-1])
    return made, _CHANNELS[-1]


def _block(
    graph: GraphBuilder,
    rng: np.random.Generator,
    x: str,
    entering: int,
    channels: int,
    stride: int,
) -> str:
    """Two convolutions of 3 x 3 and a way around them, (n, c, h, w)."""
    y = _conv(graph, rng, x, entering, channels, 3, stride)
    y = graph.add("Relu", _norm(graph, y, channels))
    y = _norm(graph, _conv(graph, rng, y, channels, channels, 3, 1), channels)
    if stride > 1:  # the way around shrinks by means, which leave out no pixel
        x = graph.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    if entering != channels:
        x = _norm(graph, _conv(graph, rng, x, entering, channels, 1, 1), channels)
    return graph.add("Relu", graph.add("Add", y, x))


def _conv(
    graph: GraphBuilder,
    rng: np.random.Generator,
    x: str,
    entering: int,
    leaving: int,
    kernel: int,
    stride: int,
) -> str:
    """A convolution without bias, which the norm after it has; weights as in He et al. 2015."""
    deviation = np.sqrt(2 / (entering * kernel * kernel))
    weight = rng.normal(0, deviation, (leaving, entering, kernel, kernel)).astype(np.float32)
    return graph.add(
        "Conv", x, graph.constant(weight), kernel_shape=[kernel, kernel], strides=[stride, stride],
        pads=[kernel // 2] * 4,
    )  # fmt: skip


def _norm(graph: GraphBuilder, x: str, channels: int) -> str:
    """Mean 0 and deviation 1 over the channels of each place (n, c, h, w), then gain and bias."""
    gain, bias = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    x = graph.add("Transpose", x, perm=[0, 2, 3, 1])
    parts = (graph.constant(gain), graph.constant(bias))
    x = graph.add("LayerNormalization", x, *parts, axis=-1, epsilon=_EPS)
    return graph.add("Transpose", x, perm=[0, 3, 1, 2])


# ---- texts


class _Words:
    """The start of a text network: its `vectors` (n, t, c) stand for the tokens, 0 after a text's end.

    Args:
        rng: draws the weights.
        vocabulary: how many ids there are.
    """

    def __init__(self, rng: np.random.Generator, vocabulary: int) -> None:
        self.rng, self.graph = rng, GraphBuilder()
        add, constant = self.graph.add, self.graph.constant
        ids = "input_ids"
        if vocabulary > _BUCKETS:
            ids = add("Mod", ids, constant(np.array(_BUCKETS, np.int64)))
        table = rng.normal(0, _WORD_SPREAD, (min(vocabulary, _BUCKETS), _WORDS)).astype(np.float32)
        mask = add("Cast", "attention_mask", to=FLOAT)
        self.mask = add("Unsqueeze", mask, constant([2]))  # (n, t, 1)
        count = add("ReduceSum", "attention_mask", constant([1]), keepdims=0)
        self.lengths = add("Max", count, constant(np.array(1)))  # (n,)
        self.vectors = add("Mul", add("Gather", constant(table), ids), self.mask)

    def finish(self, x: str, dim: int) -> tuple[bytes, int]:
        """The serialised graph and the length of its features."""
        inputs = dict.fromkeys(("input_ids", "attention_mask"), (np.int64, ("n", "t")))
        return self.graph.finish(inputs, x, dim), dim


def textcnn(words: _Words) -> tuple[bytes, int]:
    """Convolutions over 3, 4 and 5 tokens; of each filter the largest answer counts."""
    graph, rng = words.graph, words.rng
    add, constant = graph.add, graph.constant
    x = add("Transpose", words.vectors, perm=[0, 2, 1])  # (n, c, t)
    parts = []
    for width in _WIDTHS:
        deviation = np.sqrt(2 / (_WORDS * width))
        weight = rng.normal(0, deviation, (_FILTERS, _WORDS, width)).astype(np.float32)
        bias = np.zeros(_FILTERS, np.float32)
        # after its end every text has room for a whole filter, so that more padding changes nothing
        pads = [width - 1, width]
        y = add("Conv", x, constant(weight), constant(bias), kernel_shape=[width], pads=pads)
        parts.append(add("ReduceMax", add("Relu", y), constant([2]), keepdims=0))
    dim = _FILTERS * len(_WIDTHS)
    return words.finish(add("Concat", *parts, axis=1), dim)


def rnn(words: _Words) -> tuple[bytes, int]:
    """The simplest recurrence, through tanh."""
    return _pooled(words, _recurrence(words, "RNN", 1))


def gru(words: _Words) -> tuple[bytes, int]:
    """Gates decide how much of the state stays."""
    return _pooled(words, _recurrence(words, "GRU", 3, linear_before_reset=1))


def lstm(words: _Words) -> tuple[bytes, int]:
    """Gates before a memory; at first it forgets little (Jozefowicz et al. 2015)."""
    return _pooled(words, _recurrence(words, "LSTM", 4, forget=2))


def _recurrence(
    words: _Words, operator: str, gates: int, forget: int | None = None, **attributes: int
) -> str:
    """States of both directions side by side, (n, t, 2 h), 0 after a text's end.

    The inputs' weights are drawn as in Glorot and Bengio 2010, those of the state are rotations (Saxe et
    al. 2014, arXiv:1312.6120): they let it neither fade nor grow.
    """
    rng, add, constant = words.rng, words.graph.add, words.graph.constant
    limit = np.sqrt(6 / (_WORDS + _STATE))
    w = rng.uniform(-limit, limit, (2, gates * _STATE, _WORDS)).astype(np.float32)
    r = np.stack([_rotation(rng, _STATE) for _ in range(2 * gates)]).reshape(2, -1, _STATE)
    b = np.zeros((2, 2 * gates * _STATE), np.float32)
    if forget is not None:
        b[:, forget * _STATE : (forget + 1) * _STATE] = 1.0
    x = add("Transpose", words.vectors, perm=[1, 0, 2])  # (t, n, c)
    ends = add("Cast", words.lengths, to=_INT32)
    x = add(
        operator, x, constant(w), constant(r), constant(b), ends, hidden_size=_STATE,
        direction="bidirectional", **attributes,
    )  # fmt: skip
    x = add("Transpose", x, perm=[2, 0, 1, 3])  # (n, t, 2, h)
    return add("Reshape", x, constant([0, 0, 2 * _STATE]))


def _pooled(words: _Words, x: str) -> tuple[bytes, int]:
    """Mean and largest of the states of each text (n, t, 2 h), side by side."""
    add, constant = words.graph.add, words.graph.constant
    count = add("Cast", add("Unsqueeze", words.lengths, constant([1])), to=FLOAT)
    mean = add("Div", add("ReduceSum", x, constant([1]), keepdims=0), count)
    # states lie between -1 and 1, so that -2 is never the largest
    after = add("Mul", add("Sub", words.mask, constant(1.0)), constant(2.0))
    most = add("ReduceMax", add("Add", x, after), constant([1]), keepdims=0)
    return words.finish(add("Concat", mean, most, axis=1), 4 * _STATE)


def _rotation(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random orthogonal matrix, all equally probable (Mezzadri 2007, arXiv:math-ph/0609050)."""
    q, r = np.linalg.qr(rng.normal(size=(size, size)))
    return (q * np.sign(np.diag(r))).astype(np.float32)


_PICTURES: dict[str, Callable[[np.random.Generator], tuple[bytes, int]]] = {"cnn": cnn}
_TEXTS: dict[str, Callable[[_Words], tuple[bytes, int]]] = {
    "textcnn": textcnn,
    "rnn": rnn,
    "gru": gru,
    "lstm": lstm,
}
NETWORKS: tuple[str, ...] = (*_PICTURES, *_TEXTS)
"""What there is: networks for pictures, then networks for texts."""
