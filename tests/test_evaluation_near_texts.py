"""Near copies of texts: which changes count and which do not; signatures against the sets themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.doctor import text_keys
from headstart.evaluation.near_texts import GRAM, near_pairs, signatures

WORDS = [
    "river",
    "stone",
    "winter",
    "garden",
    "yellow",
    "music",
    "bottle",
    "forest",
    "travel",
    "silver",
    "window",
    "market",
]


def pairs(texts, features=None, split=None) -> list[tuple[int, int]]:
    found = near_pairs(text_keys(texts), features, split)
    return [(int(i), int(j)) for i, j in found]


def sentence(rng, n=9) -> str:
    return " ".join(rng.choice(WORDS, n))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("please block my credit card", "please blcok my credit card"),
        ("please block my credit card", "please block my crdit card"),
        ("please block my credit card", "please blockk my credit card"),
        ("please block my credit card", "please block my credot card"),
        ("please block my credit card", "please block credit my card"),
        ("the sales were 1,000 in may, 2,500 in june", "the sales were 1000 in may 2500 in june"),
        ("the hotel was clean, the staff friendly", "the hotel was clean the staff freindly"),
    ],
)
def test_small_changes_are_found(one, other):
    others = ["what is the weather like in town", "play some quiet music for me now"]
    assert pairs([*others, one, other]) == [(2, 3)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sales rose to 12.5 million in may", "sales rose to 12.6 million in may"),  # numbers
        ("please move my flight to boston", "please move my flight to denver"),  # another word
        ("how many dollars are in one euro", "how many euro are in one dollars"),  # far swap
        ("short one", "short ome"),
        (
            "这家酒店的房间很干净，早餐也好吃，下次还会来",
            "这家酒店的房间不干净，早餐也好吃，下次还会来",
        ),
        ("i can see no river here today", "i can see not river here today"),
    ],
)
def test_other_statements_are_not_copies(one, other):
    assert pairs([one, other]) == []


def test_a_letter_that_makes_another_known_word_counts_only_where_the_meaning_stays():
    texts = [
        "i lost all my money there",
        "i cost all my money there",
        "it was lost on me",
        "what does it cost",
    ]
    assert pairs(texts) == []
    near, far = np.float32([[1, 0], [1, 0.01], [0, 1], [-1, -1]]), np.eye(4, dtype=np.float32)
    assert pairs(texts, near) == [(0, 1)]
    assert pairs(texts, far) == []


def test_long_texts_may_differ_in_more_than_a_letter():
    rng = np.random.default_rng(0)
    long = sentence(rng, 60)
    changed = long.replace("river", "rivr", 1).replace("music", "musics", 1)
    assert changed != long
    assert pairs([long, changed, sentence(rng, 60)]) == [(0, 1)]
    assert pairs([long, long.replace("river", "not", 1)]) == []


def test_across_two_parts_only():
    texts = [
        "please block my credit card",
        "please blcok my credit card",
        "please block my credit crad",
    ]
    assert pairs(texts) == [(0, 1), (0, 2)]
    assert pairs(texts, split=1) == [(0, 1), (0, 2)]
    assert pairs(texts, split=2) == [(0, 2)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_typo_in_any_place_of_any_sentence_is_found(seed):
    rng = np.random.default_rng(seed)
    texts = list(dict.fromkeys(sentence(rng) for _ in range(30)))
    row = int(rng.integers(len(texts)))
    text = texts[row]
    at = int(rng.choice([i for i, char in enumerate(text) if char != " "]))
    texts.append(text[:at] + "q" + text[at + 1 :])  # no word has a q
    assert (row, len(texts) - 1) in pairs(texts)


def test_signatures_estimate_the_share_of_common_grams():
    rng = np.random.default_rng(5)
    base = [sentence(rng, 30) for _ in range(20)]
    texts = [*base, *(text[: 30 + 6 * i] + sentence(rng, 12) for i, text in enumerate(base))]
    signature, rows = signatures(texts)
    assert rows.tolist() == list(range(40))
    sets = [{text[i : i + GRAM] for i in range(len(text) - GRAM + 1)} for text in texts]
    for i in range(20):
        true = len(sets[i] & sets[i + 20]) / len(sets[i] | sets[i + 20])
        assert (signature[i] == signature[i + 20]).mean() == pytest.approx(true, abs=0.16)
    assert signatures(["abc", "", "abcde"])[1].tolist() == [2]


def test_many_texts_from_one_template_do_not_become_copies():
    texts = [f"how do you spell {a} {b} in this language" for a in WORDS for b in WORDS]
    assert pairs(texts) == [] or all(
        sorted(texts[i].split()) == sorted(texts[j].split()) for i, j in pairs(texts)
    )


@given(st.lists(st.text(max_size=12), max_size=12, unique=True))
def test_any_texts_at_all(texts):
    found = near_pairs(texts)
    assert found.shape[1:] == (2,)
    assert (found[:, 0] < found[:, 1]).all()
