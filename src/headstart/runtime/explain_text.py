"""Texts: what leaving out words does to an answer.

Words are what stands between spaces. Scripts that are written without spaces (Chinese, Japanese, Thai, ...)
are taken character by character; neighbours then share their weight as far as that predicts the trials.
Leaving out: Li, Monroe and Jurafsky 2016.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from headstart.runtime.additive import Parts

# Thai to Burmese, Khmer, radicals to CJK, kana, bopomofo, compatibility forms, the supplementary planes
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u30ff\u3105-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
# what never begins a part: vowel and tone signs, joiners, variation selectors
_MARKS = (
    "\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e"
    "\u17b4-\u17d3\u200d\u3099\u309a\ufe00-\ufe0f\U000e0100-\U000e01ef"
)
_OPEN = "《「『【〈（“‘〔"
_CLOSE = "，。、；：！？》」』】〉）”’〕…～·!?,.;:)"
_PIECE = re.compile(
    rf"[{_OPEN}]*[{_UNSPACED}][{_MARKS}]*[{re.escape(_CLOSE)}]*|[{_OPEN}]*[^\s{_UNSPACED}{_OPEN}]+|\S"
)
_BLOCKS = 32  # longer texts are first tried in about so many pieces
_ALONE = 4  # one word at a time up to a quarter of the budget


def pieces(text: str) -> list[tuple[int, int]]:
    """Where each word or character of a text starts and stops; all but the white space is in one."""
    return [match.span() for match in _PIECE.finditer(text)]


def parts(count: int, budget: int) -> Parts:
    """So many pieces in their order, and their groups: runs of equal length, from several beginnings.

    Args:
        count: n pieces.
        budget: trials there are.
    """
    places = np.arange(count, dtype=np.float64)[:, None]
    if count <= budget // _ALONE:
        return Parts(places)
    length = max(2, -(-count // _BLOCKS))
    starts = range(0, length, max(1, length // 4))
    return Parts(places, tuple((np.arange(count) + start) // length for start in starts))


def without(text: str, where: Sequence[tuple[int, int]], kept: np.ndarray) -> str:
    """The text of one trial: the pieces that stay, and what parted them, once.

    Args:
        text: the whole.
        where: n pieces.
        kept: (n,) bool.
    """
    left: list[str] = []
    at = 0
    for (start, stop), stays in zip(where, kept):
        if start > at and left and not left[-1].isspace():
            left.append(text[at:start])
        if stays:
            left.append(text[start:stop])
        at = stop
    return "".join(left).strip()


def read_so_far(text: str, where: Sequence[tuple[int, int]], is_cut: Callable[[str], bool]) -> int:
    """How many pieces the model reads, at least one; found by halving.

    Args:
        text: the whole.
        where: n pieces.
        is_cut: whether a text is longer than what the model reads.
    """
    if not is_cut(text):
        return len(where)
    low, high = 1, len(where)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_cut(text[: where[middle - 1][1]]) else (middle, high)
    return low
