"""Texts that are nearly the same: a typo, two neighbouring words swapped, a long text hardly changed.

Two indexes find candidates among n texts without comparing all pairs: MinHash of character 5-grams with
locality-sensitive bands (Broder 1997; Leskovec, Rajaraman and Ullman 2014, chapter 3), and, for short
texts, where one typo already changes a third of the 5-grams, the bag of words with one word left out.
Each candidate is then compared letter by letter: what counts is one of three exact rules, so that texts
from one template, or with other numbers, are not taken for copies.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from headstart.compute import generator
from headstart.evaluation.near_pictures import unit

GRAM = 5  # characters
PERMUTATIONS = 128
_BANDS, _ROWS = 42, 3  # of the signature; two texts that share half of their grams meet with 99.6 %
_BLOCK = 1 << 22  # grams hashed at a time
_BUCKET = 64  # texts of one band that are all compared; in larger ones only neighbours by alphabet
_NEIGHBOURS = 8
_SHORT = 30  # words up to which the bag of words is indexed
_LEAST = 10  # characters; shorter texts are copies only if they are equal
_LEAST_DENSE = 20  # the same for Chinese and other scripts, where a character is half a word
_LONG, _LONG_DENSE = 100, 50  # characters from which several changes may be a copy
_ALIKE = 0.85  # share of 5-grams that long copies have in common
_RARE = 50  # how many times as common the right form of a mistyped word is
_SURE = 0.93  # cosine of centred features above which a changed letter is a typo though it makes another known word
_NEGATIONS = frozenset("不没沒无無非未别別勿莫") | {"not", "no", "never", "nor", "cannot", "t"}
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")


def near_pairs(
    keys: Sequence[str], features: np.ndarray | None = None, split: int | None = None
) -> np.ndarray:
    """Pairs of texts that are copies but for a small change.

    Args:
        keys: n texts in the form that exact duplicates are compared by (see
            `headstart.data.doctor.text_keys`), all of them different.
        features: (n, d), which tell whether a change of one letter changes the meaning; None takes
            only letters that make an unknown word.
        split: compare only texts before this number with texts from it on.

    Returns:
        (p, 2) int64, the smaller number first, sorted.
    """
    found = np.concatenate([_by_grams(keys), _by_words(keys)])
    found = np.unique(np.sort(found, axis=1), axis=0)
    if split is not None:
        found = found[(found[:, 0] < split) & (found[:, 1] >= split)]
    judge = _Judge(keys, features)
    near = [judge(int(i), int(j)) for i, j in found]
    return found[np.array(near, dtype=bool)] if len(found) else found


def signatures(keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """MinHash signatures.

    Args:
        keys: n texts.

    Returns:
        (m, 128) uint32, and (m,) the numbers of their texts: those of at least 5 characters. The
        share of equal entries of two signatures estimates the share of 5-grams in common.
    """
    rng = generator(0, 11)
    factors = rng.integers(0, 2**31, PERMUTATIONS, dtype=np.uint32) * 2 + 1
    shifts = rng.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32)
    rows = np.array([i for i, key in enumerate(keys) if len(key) >= GRAM], dtype=np.int64)
    out = np.empty((len(rows), PERMUTATIONS), dtype=np.uint32)
    for start, stop in _blocks([len(keys[i]) for i in rows]):
        grams, starts = _grams([keys[i] for i in rows[start:stop]])
        for p in range(PERMUTATIONS):
            out[start:stop, p] = np.minimum.reduceat(grams * factors[p] + shifts[p], starts)
    return out, rows


def _blocks(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Runs of texts with at most `_BLOCK` characters in all."""
    start = total = 0
    for i, length in enumerate(lengths):
        if total + length > _BLOCK and i > start:
            yield start, i
            start, total = i, 0
        total += length
    if start < len(lengths):
        yield start, len(lengths)


def _grams(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all 5-grams, (g,) uint32, and where each text's begin."""
    joined = "".join(texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    codes = codes.astype(np.uint64)
    size = len(codes) - GRAM + 1
    mixed = np.zeros(size, dtype=np.uint64)
    for i in range(GRAM):
        mixed = (mixed ^ codes[i : i + size]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    lengths = np.array([len(text) for text in texts])
    ends = np.cumsum(lengths)
    inside = np.ones(size, dtype=bool)
    for back in range(1, GRAM):  # grams that reach into the next text
        last = ends[:-1] - back
        inside[last[last >= 0]] = False
    starts = np.concatenate([[0], np.cumsum(lengths - GRAM + 1)[:-1]])
    return (mixed[inside] >> np.uint64(32)).astype(np.uint32), starts


def _by_grams(keys: Sequence[str]) -> np.ndarray:
    """Pairs that share a band of the signature and about as many grams as a typo would leave."""
    signature, rows = signatures(keys)
    if len(rows) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    alphabet = np.empty(len(rows), dtype=np.int64)
    own = [keys[i] for i in rows.tolist()]
    alphabet[sorted(range(len(rows)), key=own.__getitem__)] = np.arange(len(rows))
    lengths = np.array([len(key) for key in own])
    found = []
    for band in range(_BANDS):
        part = signature[:, band * _ROWS : (band + 1) * _ROWS].astype(np.uint64)
        value = (
            part[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ part[:, 1] << np.uint64(32) ^ part[:, 2]
        )
        order = np.lexsort((alphabet, value))
        pairs = _same(value[order], order)
        pairs = pairs[_plausible(signature, lengths, pairs)]
        found.append(np.unique(np.sort(pairs, axis=1), axis=0))
    return rows[np.unique(np.concatenate(found), axis=0)]


def _same(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Pairs of rows with equal values, (p, 2); `values` are sorted, `order` names their rows.

    Of more than `_BUCKET` equal ones each is paired with the next few only.
    """
    edges = np.flatnonzero(np.diff(values)) + 1
    starts = np.concatenate([[0], edges])
    sizes = np.diff(np.concatenate([starts, [len(values)]]))
    many = np.repeat(sizes, sizes)  # the size of each place's bucket
    end = np.repeat(starts + sizes, sizes)
    reach = np.where(many > _BUCKET, _NEIGHBOURS, many)
    place = np.arange(len(values))
    found = []
    for step in range(1, int(reach.max(initial=1)) + 1):
        at = np.flatnonzero((step <= reach) & (place + step < end))
        if not len(at) and step > _NEIGHBOURS:
            break
        found.append(np.stack([order[at], order[at + step]], axis=1))
    return np.concatenate(found) if found else np.zeros((0, 2), dtype=np.int64)


def _plausible(signature: np.ndarray, lengths: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Whether the estimated share of common grams is at least what a copy would leave."""
    short = lengths[pairs].min(axis=1)
    grams = np.maximum(short - GRAM + 1, 1)
    changed = 2 * GRAM  # two swapped words change about so many; a typo half as many
    expected = np.maximum((grams - changed) / (grams + changed), 0.2)
    near = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), 1 << 16):
        piece = slice(start, start + (1 << 16))
        one, other = signature[pairs[piece, 0]], signature[pairs[piece, 1]]
        near[piece] = (one == other).mean(axis=1) >= np.minimum(expected[piece], _ALIKE) - 0.15
    return near


def _by_words(keys: Sequence[str]) -> np.ndarray:
    """Pairs of short texts with the same words, or the same but for one that is a letter off."""
    known: dict[str, int] = {}
    shared: dict[int, list[tuple[int, str]]] = {}
    for i, key in enumerate(keys):
        words = key.split()
        if not 3 <= len(words) <= _SHORT:
            continue
        hashes = [known.setdefault(word, _hash(word)) for word in words]
        total = sum(hashes)
        shared.setdefault(total, []).append((i, ""))
        for word, own in dict(zip(words, hashes)).items():
            shared.setdefault(total - own, []).append((i, word))
    found: set[tuple[int, int]] = set()
    for members in shared.values():
        if len(members) > 1:
            found.update(_typos(members))
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 2)


def _hash(word: str) -> int:
    return int.from_bytes(
        hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )


def _typos(members: Sequence[tuple[int, str]]) -> Iterator[tuple[int, int]]:
    """Pairs whose left-out words are equal or become equal when each loses a letter at most."""
    by_rest: dict[str, list[int]] = {}
    for i, word in members:
        for rest in {word, *(word[:at] + word[at + 1 :] for at in range(len(word)))}:
            if rest or not word:
                by_rest.setdefault(rest, []).append(i)
    for rows in by_rest.values():
        for at, i in enumerate(rows[:_BUCKET]):
            for j in rows[at + 1 : _BUCKET]:
                if i != j:
                    yield (i, j) if i < j else (j, i)


class _Judge:
    """Whether two texts are copies; knows in how many texts each word stands."""

    def __init__(self, keys: Sequence[str], features: np.ndarray | None) -> None:
        self.keys, self.features = keys, None if features is None else unit(features)
        self.counts = Counter(word for key in keys for word in set(key.split()))

    def __call__(self, i: int, j: int) -> bool:
        """Whether texts i and j are copies."""
        one, other = self.keys[i], self.keys[j]
        dense = len(_DENSE.findall(one)) * 2 > len(one)
        shorter = min(len(one), len(other))
        if shorter < (_LEAST_DENSE if dense else _LEAST):
            return False
        if one.replace(" ", "") == other.replace(" ", ""):  # 1,000 and 1000, to-do and todo
            return True
        if _digits(one) != _digits(other):
            return False
        start, left, right = _difference(one, other)
        if _one_letter(left, right):
            return self._typo(i, j, start, left, right, dense)
        if not dense and _swapped(one.split(), other.split()):
            return True
        return shorter >= (_LONG_DENSE if dense else _LONG) and self._hardly(one, other)

    def _typo(self, i: int, j: int, start: int, left: str, right: str, dense: bool) -> bool:
        """Whether a changed letter leaves the meaning: no word that the data knows became another."""
        if " " in left + right:
            return True
        if dense:
            return not _NEGATIONS & {*left, *right} and self._same_meaning(i, j)
        word, changed = _word(self.keys[i], start), _word(self.keys[j], start)
        if _NEGATIONS & {word, changed}:
            return False
        # a word that stands in one text only is a typo, and so is a rare form of a very common word
        rare, common = sorted((self.counts[word], self.counts[changed]))
        if rare <= 1 or rare * _RARE <= common:
            return True
        return self._same_meaning(i, j)

    def _same_meaning(self, i: int, j: int) -> bool:
        if self.features is None:
            return False
        return float(self.features[i] @ self.features[j]) >= _SURE

    def _hardly(self, one: str, other: str) -> bool:
        """Whether two long texts share most 5-grams, and no word of the difference is a denial."""
        a, b = _gram_set(one), _gram_set(other)
        if len(a & b) < _ALIKE * len(a | b):
            return False
        odd = set(one.split()) ^ set(other.split())
        return not odd & _NEGATIONS


def _digits(text: str) -> list[str]:
    return re.findall(r"\d+", text)


def _gram_set(text: str) -> set[str]:
    return {text[i : i + GRAM] for i in range(len(text) - GRAM + 1)}


def _difference(one: str, other: str) -> tuple[int, str, str]:
    """Where two texts begin to differ, and what stands there in each up to their common end."""
    least = min(len(one), len(other))
    start = next((i for i in range(least) if one[i] != other[i]), least)
    end = 0
    while end < least - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return start, one[start : len(one) - end], other[start : len(other) - end]


def _one_letter(left: str, right: str) -> bool:
    """One letter more, less or another, or two neighbours swapped (Damerau 1964)."""
    if max(len(left), len(right)) <= 1:
        return True
    return len(left) == 2 and left == right[::-1]


def _word(text: str, at: int) -> str:
    """The word around a place."""
    return text[text.rfind(" ", 0, at) + 1 :].split(" ", 1)[0]


def _swapped(one: Sequence[str], other: Sequence[str]) -> bool:
    """At least four words, of which two neighbours changed places."""
    if len(one) != len(other) or len(one) < 4:
        return False
    odd = [i for i, (a, b) in enumerate(zip(one, other)) if a != b]
    return (
        len(odd) == 2
        and odd[1] == odd[0] + 1
        and one[odd[0]] == other[odd[1]]
        and one[odd[1]] == other[odd[0]]
    )
