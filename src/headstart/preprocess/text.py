"""Texts to token arrays, the same for training and serving.

Steps (see `headstart.types.Preprocess`):
    {"step": "prefix", "text": "query: "}
    {"step": "tokenize", "max_length": 256}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from headstart.errors import BundleError, UnreadableInput
from headstart.types import Input

MAX_CHARACTERS = 1_000_000
MAX_TOKENS = 1 << 17  # of one text: more than any backbone reads
_BATCH_TOKENS = (
    256  # a batch, padding included: small, what it writes stays in the processor's cache
)
_BATCH_ROWS = 32


def content(source: Input) -> str:
    """The text to encode: NUL and lone surrogates replaced, surrounding whitespace stripped.

    Raises:
        UnreadableInput: not a text, or an empty one.
    """
    if not isinstance(source, str):
        raise UnreadableInput(f"not a text but a {type(source).__name__}")
    text = source.replace("\0", " ").encode("utf-8", "replace").decode("utf-8").strip()
    if not text:
        raise UnreadableInput("empty text")
    if len(text) > MAX_CHARACTERS:
        raise UnreadableInput(
            f"{len(text):,} characters, more than the limit of {MAX_CHARACTERS:,}"
        )
    return text


def digest(text: str) -> bytes:
    """SHA-256 of a text (as `content` returns it), 32 bytes."""
    return hashlib.sha256(text.encode()).digest()


def _malformed(why: str) -> BundleError:
    return BundleError(
        f"The preprocessing of texts is malformed: {why}.",
        fix="make the bundle again with headstart fit",
    )


class TextEncoder:
    """Turns texts into token rows, and token rows into batches of nearly equal length.

    Args:
        tokenizer: the content of a tokenizer.json.
        steps: the preprocessing steps.

    Raises:
        BundleError: one of them is malformed.
    """

    def __init__(self, tokenizer: str | bytes, steps: Sequence[Mapping[str, Any]]) -> None:
        self._prefix = ""
        try:
            self._tokenizer = (
                Tokenizer.from_buffer(tokenizer)
                if isinstance(tokenizer, bytes)
                else Tokenizer.from_str(tokenizer)
            )
        except Exception as error:
            raise _malformed(f"tokenizer.json cannot be used ({str(error)[:200]})") from error
        self._tokenizer.no_padding()
        for i, step in enumerate(steps):
            kind, where = step.get("step"), f"preprocess.steps[{i}]"
            if kind == "prefix" and isinstance(step.get("text"), str):
                self._prefix += step["text"]
            elif kind == "tokenize" and type(length := step.get("max_length")) is int:
                if not 1 <= length <= MAX_TOKENS:
                    raise _malformed(f"{where}.max_length is {length}")
                self._tokenizer.enable_truncation(length)
            else:
                raise _malformed(f"{where} is {dict(step)!r}"[:300])

    @property
    def special(self) -> frozenset[int]:
        """Ids of tokens that stand for no word: beginning, end, separator, padding and so on."""
        added = self._tokenizer.get_added_tokens_decoder()
        return frozenset(number for number, token in added.items() if token.special)

    def encode(self, texts: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray]:
        """Tokenise.

        Returns:
            One int64 array of token ids a text, and (n,) bool: whether the text was cut to fit.
        """
        if not len(texts):
            return [], np.zeros(0, dtype=bool)
        encoded = self._tokenizer.encode_batch_fast([self._prefix + text for text in texts])
        ids = [np.asarray(one.ids, dtype=np.int64) for one in encoded]
        return ids, np.array([bool(one.overflowing) for one in encoded], dtype=bool)

    @staticmethod
    def batches(
        ids: Sequence[np.ndarray], larger: int = 1
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Batches of rows sorted by length, so that padding costs next to nothing.

        Args:
            ids: token ids, one array a text.
            larger: how many times as large as for a processor (see `headstart.types.Engine`).

        Yields:
            The rows' numbers (b,), and the graph's inputs, each int64 (b, t).
        """
        most, tokens = larger * _BATCH_ROWS, larger * _BATCH_TOKENS
        order = np.argsort([len(row) for row in ids], kind="stable")[::-1]
        start = 0
        while start < len(order):
            longest = max(1, len(ids[order[start]]))
            rows = order[start : start + max(1, min(most, tokens // longest))]
            start += len(rows)
            yield rows, pad([ids[row] for row in rows])


def pad(rows: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Token rows to the graph's inputs: "input_ids" padded with 0, "attention_mask", int64 (b, t)."""
    longest = max(1, max(len(row) for row in rows))
    input_ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros_like(input_ids)
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return {"input_ids": input_ids, "attention_mask": mask}
