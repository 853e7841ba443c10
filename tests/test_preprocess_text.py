"""Texts to token rows and batches."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import UnreadableInput
from headstart.preprocess import text

TOKENIZER = json.dumps(
    {
        "version": "1.0", "truncation": None, "padding": {"strategy": {"Fixed": 99}, "direction": "Right",
        "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "?"}, "added_tokens": [],
        "normalizer": None, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": {"?": 0, "query": 1, "good": 2, "bad": 3}, "unk_token": "?"},
    }
)  # fmt: skip


def test_prefix_truncation_and_no_padding():
    encoder = text.TextEncoder(
        TOKENIZER, ({"step": "prefix", "text": "query "}, {"step": "tokenize", "max_length": 4})
    )
    ids, cut = encoder.encode(["good", "good bad good", "good bad good bad"])
    assert [row.tolist() for row in ids] == [[1, 2], [1, 2, 3, 2], [1, 2, 3, 2]]
    assert cut.tolist() == [False, False, True]


def test_special_tokens_are_those_that_the_tokenizer_calls_so():
    content = json.loads(TOKENIZER)
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    content["added_tokens"] = [
        {"id": 0, "content": "?", "special": True, **plain},
        {"id": 3, "content": "bad", "special": False, **plain},
    ]
    assert text.TextEncoder(json.dumps(content), ()).special == {0}
    assert text.TextEncoder(TOKENIZER, ()).special == frozenset()


@pytest.mark.parametrize(
    ("value", "reason"),
    [("", "empty"), (" \n\t ", "empty"), ("\0\0", "empty"), (3, "int"), (None, "NoneType")],
)
def test_what_is_no_text_gives_the_reason(value, reason):
    with pytest.raises(UnreadableInput, match=reason):
        text.content(value)


def test_a_text_beyond_the_limit_is_refused():
    with pytest.raises(UnreadableInput, match="1,000,001 characters"):
        text.content("x" * 1_000_001)


@given(st.text())
def test_content_is_always_encodable(value):
    try:
        clean = text.content(value)
    except UnreadableInput:
        return
    assert clean == clean.strip() != ""
    assert len(text.digest(clean)) == 32


def test_lone_surrogates_do_not_stop_a_run():
    assert text.content("a\ud800b") == "a?b"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 600), max_size=300), st.sampled_from([1, 16]))
def test_batches_hold_every_row_once_and_pad_little(lengths, larger):
    ids = [np.full(n, i + 1, dtype=np.int64) for i, n in enumerate(lengths)]
    seen = []
    for rows, feeds in text.TextEncoder.batches(ids, larger):
        seen.extend(rows.tolist())
        assert feeds["input_ids"].shape == feeds["attention_mask"].shape
        for row, tokens, mask in zip(rows, feeds["input_ids"], feeds["attention_mask"]):
            assert mask.sum() == len(ids[row])
            assert tokens[mask == 1].tolist() == ids[row].tolist()
        assert feeds["input_ids"].size <= max(256 * larger, max(lengths))
    assert sorted(seen) == list(range(len(lengths)))
