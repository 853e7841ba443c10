"""Token dropout: what never goes, what each text keeps, the same at every padding and in every batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from headstart.errors import ConfigError  # noqa: E402
from headstart.train.augment_texts import drop_tokens, hide_tokens  # noqa: E402

pytestmark = pytest.mark.train

CLS, SEP, MASK, PAD = 101, 102, 103, 0
SPECIAL = {CLS, SEP, MASK, PAD}


def padded(texts: list[list[int]], width: int, side: str = "right"):
    """Ids and mask of texts, each between its two special tokens."""
    ids, mask = np.full((len(texts), width), PAD), np.zeros((len(texts), width), int)
    for i, text in enumerate(texts):
        whole = [CLS, *text, SEP]
        place = slice(0, len(whole)) if side == "right" else slice(width - len(whole), width)
        ids[i, place], mask[i, place] = whole, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def dropped(texts, rows, side="right", width=14, **options):
    ids, mask = padded(texts, width, side)
    kept = {"epoch": 1, "seed": 2, "rate": 0.5, "special": SPECIAL, "pad_id": PAD, "side": side}
    return drop_tokens(ids, mask, np.asarray(rows), **{**kept, **options})


texts = st.lists(st.lists(st.integers(200, 300), max_size=10), min_size=1, max_size=6)
sides = st.sampled_from(["right", "left"])


@given(texts, sides, st.floats(0, 0.99), st.integers(0, 9))
def test_removing_keeps_order_specials_and_at_least_one_token(texts, side, rate, epoch):
    ids, mask = dropped(texts, range(len(texts)), side, rate=rate, epoch=epoch)
    before, _ = padded(texts, 14, side)
    assert ids.shape == before.shape
    for text, line, seen in zip(texts, ids, mask.bool()):
        count = int(seen.sum())
        place = slice(0, count) if side == "right" else slice(14 - count, 14)
        assert seen[place].all()
        assert (line[~seen] == PAD).all()
        first, *middle, last = line[seen].tolist()
        assert (first, last) == (CLS, SEP)
        assert len(middle) >= min(1, len(text))
        rest = iter(text)
        assert all(token in rest for token in middle)  # a subsequence


@given(texts, sides, st.floats(0, 0.99), st.integers(0, 9))
def test_a_mask_hides_what_would_be_dropped(texts, side, rate, epoch):
    rows = np.arange(len(texts))
    before, whole = padded(texts, 14, side)
    mask = hide_tokens(before, whole, rows, epoch, 2, rate=rate, special=SPECIAL)
    left, seen = dropped(texts, rows, side, rate=rate, epoch=epoch)
    assert mask.dtype == whole.dtype
    assert (mask <= whole).all()
    for i in range(len(texts)):
        assert before[i][mask[i].bool()].tolist() == left[i][seen[i].bool()].tolist()


@given(texts, st.floats(0, 0.99))
def test_hiding_keeps_every_place(texts, rate):
    ids, mask = dropped(texts, range(len(texts)), rate=rate, mask_id=MASK)
    before, mask_before = padded(texts, 14)
    assert torch.equal(mask, mask_before)
    hidden = ids != before
    assert (ids[hidden] == MASK).all()
    assert not (hidden & torch.isin(before, torch.tensor(sorted(SPECIAL)))).any()
    for text, line in zip(texts, hidden):
        assert line.sum() < max(len(text), 1)


@given(texts, sides, st.booleans(), st.data())
def test_a_text_loses_the_same_at_any_padding_and_in_any_batch(texts, side, hide, data):
    options = {"mask_id": MASK if hide else None}
    rows = np.arange(len(texts)) * 7
    ids, mask = dropped(texts, rows, side, **options)
    order = data.draw(st.permutations(range(len(texts))))
    for i in order:
        width = data.draw(st.integers(len(texts[i]) + 2, 20))
        one, seen = dropped([texts[i]], rows[i : i + 1], side, width, **options)
        assert one[seen.bool()].tolist() == ids[i][mask[i].bool()].tolist()
    swapped, _ = dropped([texts[i] for i in order], rows[order], side, **options)
    assert torch.equal(swapped, ids[list(order)])


def test_so_many_tokens_go_as_the_rate_says():
    text = list(range(200, 240))
    ids, _ = dropped([text] * 500, range(500), width=42, rate=0.2, mask_id=MASK)
    hidden = (ids == MASK).float()
    assert abs(float(hidden[:, 1:-1].mean()) - 0.2) < 4 * np.sqrt(0.16 / 20_000)
    assert float(hidden.mean(0)[1:-1].min()) > 0.1  # each place
    removed, mask = dropped([text] * 500, range(500), width=42, rate=0.2)
    # the same tokens go, whichever way
    assert [int(n) for n in mask.sum(1)] == [42 - int(n) for n in hidden.sum(1)]
    other, _ = dropped([text] * 500, range(500), width=42, rate=0.2, mask_id=MASK, epoch=2)
    assert not torch.equal(other, ids)


def test_the_input_stays_and_a_rate_of_0_changes_nothing():
    ids, mask = padded([[200, 201, 202]], 8)
    copies = ids.clone(), mask.clone()
    rows = np.array([0])
    out = drop_tokens(ids, mask, rows, 0, 0, rate=0.9, special=SPECIAL)
    assert out[1].dtype == mask.dtype
    assert torch.equal(ids, copies[0])
    assert torch.equal(mask, copies[1])
    same = drop_tokens(ids, mask, rows, 0, 0, rate=0.0, special=SPECIAL)
    assert torch.equal(same[0], ids)
    assert torch.equal(same[1], mask)


def test_wrong_input_is_refused():
    ids, mask = padded([[200]], 4)
    with pytest.raises(ConfigError, match=r"rate of dropped tokens is 1\.0"):
        drop_tokens(ids, mask, np.array([0]), 0, 0, rate=1.0, special=SPECIAL)
    with pytest.raises(ConfigError, match=r"mask of \(1, 3\)"):
        drop_tokens(ids, mask[:, :3], np.array([0]), 0, 0, rate=0.1, special=SPECIAL)
    with pytest.raises(ConfigError, match="2 row numbers"):
        drop_tokens(ids, mask, np.array([0, 1]), 0, 0, rate=0.1, special=SPECIAL)
