"""Batches of pairs: balanced, linear in the rows, a function of counters; and losses by their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from headstart.errors import DataError  # noqa: E402
from headstart.train.augment_images import preset  # noqa: E402
from headstart.train.contrast import ToPrototypes, ToRows, agreement, told_apart  # noqa: E402
from headstart.train.pairs import (  # noqa: E402
    TWINS,
    Pairs,
    alone,
    sampler,
    special_tokens,
    with_twins,
)
from headstart.train.prototypes import means  # noqa: E402
from headstart.train.sources import Pictures, Texts  # noqa: E402

pytestmark = pytest.mark.train


def one_label(codes, k):
    return np.eye(k, dtype=bool)[codes]


@st.composite
def tables(draw):
    """Labels (n, k) of rows, most with several, some with none; and the rows to learn from."""
    n, k = draw(st.integers(1, 40)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = rng.random((n, k)) < rng.random(k)
    labels[0, 0] = True
    rest = np.flatnonzero(rng.random(n - 1) < 0.8) + 1
    return labels, np.concatenate([[0], rest])


def jaccard(one, other):
    """The index by sets."""
    one, other = set(np.flatnonzero(one)), set(np.flatnonzero(other))
    return len(one & other) / len(one | other) if one | other else 0.0


@given(tables(), st.integers(2, 24), st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_a_batch_has_rows_of_its_labels_and_each_round_shows_every_label(table, batch, step):
    labels, learn = table
    drawing = sampler(labels, learn, batch, seed=3)
    assert len(drawing.rows) == labels[learn].sum()
    rows = drawing.draw(step)
    assert len(set(rows.tolist())) == len(rows) > 0
    assert set(rows.tolist()) <= set(learn.tolist())
    assert labels[rows].any(1).all()
    assert rows.tolist() == sampler(labels, learn, batch, seed=3).draw(step).tolist()
    some, each = drawing.shape
    count = len(drawing.starts) - 1
    assert some * each <= max(batch, each)
    turn = range(step - step % (count // some), step - step % (count // some) + count // some)
    shown = np.concatenate([drawing.labels(one) for one in turn])
    assert len(set(shown.tolist())) == len(shown) == count - count % some


@given(st.integers(2, 30), st.integers(2, 12), st.integers(0, 20), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_with_one_label_a_row_batches_are_balanced(k, size, step, seed):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(k), rng.integers(size, 3 * size, k))
    drawing = sampler(one_label(codes, k), np.arange(len(codes)), 24, seed)
    rows = drawing.draw(step)
    some, each = drawing.shape
    shown, counts = np.unique(codes[rows], return_counts=True)
    assert len(shown) == some == min(k, 24 // each)
    assert (counts == np.minimum(each, np.bincount(codes)[shown])).all()
    assert (counts >= 2).all()
    assert len(rows) <= 24


def test_what_is_kept_grows_with_the_rows_alone():
    kept = []
    for n in (1000, 10_000):
        drawing = sampler(one_label(np.arange(n) % 10, 10), np.arange(n), 32)
        kept.append(drawing.rows.size + drawing.starts.size)
        assert len(drawing.draw(0)) == 30
    assert kept == [1000 + 11, 10_000 + 11]


def test_over_many_steps_every_row_comes_about_equally_often():
    codes = np.repeat(np.arange(5), [4, 4, 4, 4, 40])
    drawing = sampler(one_label(codes, 5), np.arange(56), 10, seed=1)
    seen = np.bincount(np.concatenate([drawing.draw(step) for step in range(800)]), minlength=56)
    # two rows of each label a step: 1600 draws of each label
    np.testing.assert_allclose(seen[:16], 1600 / 4, rtol=0.15)
    np.testing.assert_allclose(seen[16:], 1600 / 40, rtol=0.6)


def test_seeds_and_steps_differ():
    labels = one_label(np.arange(200) % 20, 20)
    drawing = sampler(labels, np.arange(200), 20)
    draws = [tuple(drawing.draw(step)) for step in range(10)]
    draws += [tuple(sampler(labels, np.arange(200), 20, seed=1).draw(step)) for step in range(10)]
    assert len(set(draws)) == 20


def test_nothing_to_draw_from():
    with pytest.raises(DataError, match="None of the 2 rows"):
        sampler(np.zeros((3, 2), bool), np.arange(2), 8)


@given(tables())
@settings(max_examples=60, deadline=None)
def test_who_is_alone(table):
    labels, learn = table
    meant = [
        row
        for row in learn.tolist()
        if labels[row].any()
        and not any(jaccard(labels[row], labels[other]) for other in learn.tolist() if other != row)
    ]
    assert alone(labels, learn).tolist() == meant


@given(tables())
@settings(max_examples=60, deadline=None)
def test_agreement_is_the_jaccard_index(table):
    labels, _ = table
    found = agreement(torch.from_numpy(labels.astype(np.float32))).numpy()
    meant = [[jaccard(one, other) for other in labels] for one in labels]
    np.testing.assert_allclose(found, meant, atol=1e-6)


def cosine(one, other):
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def contrast(features, labels, temperature):
    """The formula, pair by pair."""
    losses = []
    n = len(features)
    for i in range(n):
        agree = [jaccard(labels[i], labels[j]) for j in range(n)]
        says = [math.exp(cosine(features[i], features[j]) / temperature) for j in range(n)]
        apart = sum(says[j] for j in range(n) if agree[j] == 0)
        near = [j for j in range(n) if j != i and agree[j] > 0]
        if near:
            each = [-agree[j] * math.log(says[j] / (says[j] + apart)) for j in near]
            losses.append(sum(each) / sum(agree[j] for j in near))
    return sum(losses) / len(losses) if losses else 0.0


def drawn(table, seed):
    labels, _ = table
    features = np.random.default_rng(seed).normal(size=(len(labels), 6))
    return features, labels, torch.from_numpy(features), torch.from_numpy(labels.astype(np.float32))


@given(tables(), st.integers(0, 2**32), st.sampled_from([0.1, 0.5]))
@settings(max_examples=60, deadline=None)
def test_the_contrastive_loss_is_that_of_its_formula(table, seed, temperature):
    features, labels, given_features, given_labels = drawn(table, seed)
    found = ToRows(temperature)(given_features, given_labels)
    assert float(found) == pytest.approx(
        contrast(features, labels, temperature), rel=1e-5, abs=1e-7
    )


@given(tables(), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_no_pair_with_a_common_label_repels_and_none_without_attracts(table, seed):
    labels, _ = table
    agree = np.array([[jaccard(one, other) for other in labels] for one in labels])
    scaled = np.random.default_rng(seed).normal(size=agree.shape)
    cosines = torch.from_numpy(scaled).requires_grad_()
    weight = torch.from_numpy(agree - np.diag(agree.diagonal()))
    told_apart(cosines, torch.from_numpy(agree), weight).backward()
    slope = cosines.grad.numpy()
    assert (slope[agree > 0] <= 0).all()  # nearer is better
    assert (slope[agree == 0] >= 0).all()
    near, far = (agree - np.diag(agree.diagonal())) > 0, agree == 0
    assert (slope[near & far.any(1, keepdims=True)] < 0).all()
    assert (slope[far & near.any(1, keepdims=True)] > 0).all()


@given(tables(), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_prototypes_are_told_apart_as_the_formula_says(table, seed):
    labels, _ = table
    outputs = np.random.default_rng(seed).normal(size=labels.shape)
    meant = []
    for row, own in zip(outputs, labels):
        apart = np.exp(row[~own]).sum()
        if own.any():
            meant.append(
                np.mean([-math.log(math.exp(v) / (math.exp(v) + apart)) for v in row[own]])
            )
    found = ToPrototypes()(torch.from_numpy(outputs), torch.from_numpy(labels))
    assert float(found) == pytest.approx(np.mean(meant), rel=1e-6, abs=1e-9)


def test_with_one_label_a_row_it_is_cross_entropy():
    rng = np.random.default_rng(0)
    outputs, codes = torch.from_numpy(rng.normal(size=(20, 6))), rng.integers(0, 6, 20)
    found = ToPrototypes()(outputs, torch.from_numpy(one_label(codes, 6)))
    meant = torch.nn.functional.cross_entropy(outputs, torch.from_numpy(codes))
    assert float(found) == pytest.approx(float(meant), rel=1e-9)


@given(tables(), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_prototypes_start_at_the_mean_directions(table, seed):
    labels, _ = table
    labels = labels[:, labels.any(0)]
    features = np.random.default_rng(seed).normal(size=(len(labels), 4))
    found = means(features, labels)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    for column, prototype in zip(labels.T, found):
        rows = features[column]
        mean = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(0)
        if np.linalg.norm(mean) > 0.01:
            np.testing.assert_allclose(prototype, mean / np.linalg.norm(mean), atol=1e-4)


def test_rows_that_cancel_out_still_give_a_direction():
    found = means(np.array([[2.0, 0.0], [-3.0, 0.0]]), np.ones((2, 1), bool))
    assert found.tolist() == [[1.0, 0.0]]


def test_gradients_are_numbers_where_all_rows_agree_or_none_does():
    for labels in (torch.ones(4, 1), torch.eye(4)):
        features = torch.linspace(-1, 1, 20).reshape(4, 5).square().requires_grad_()
        loss = ToRows()(features, labels)
        loss.backward()
        assert float(loss.detach()) == 0
        assert (features.grad == 0).all()


def test_pictures_come_in_two_views_and_a_step_depends_on_counters_alone():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (9, 12, 12, 3), dtype=np.uint8)
    codes = np.arange(9) % 3
    labels = one_label(codes, 3)
    inner = Pictures(pixels, pixels, codes, preset("light"), 0)
    source = Pairs(inner, labels, sampler(labels, np.arange(9), 6), doubled=True)
    (views,), wanted = source.batch(np.arange(6), 0, 4, train=True)
    assert len(views) == len(wanted) == 12
    assert torch.equal(wanted[:6], wanted[6:])
    assert not any(torch.equal(views[i], views[i + 6]) for i in range(6))
    again, _ = source.batch(np.arange(6), 9, 4, train=True)
    assert torch.equal(again[0], views)
    assert not torch.equal(source.batch(np.arange(6), 0, 5, train=True)[0][0], views)
    (plain,), wanted = source.batch(np.array([7, 2]), 0, 4, train=False)
    assert np.array_equal(plain, pixels[[7, 2]])
    assert wanted.argmax(1).tolist() == [1, 2]


def test_a_text_without_a_partner_comes_with_a_view_of_itself():
    rng = np.random.default_rng(0)
    ids = [np.concatenate([[1], rng.integers(5, 99, 30), [2]]) for _ in range(5)]
    codes = np.array([0, 0, 1, 2, 2])
    labels = one_label(codes, 3)
    texts = Texts(ids, codes)
    longer, twins = with_twins(texts, alone(labels, np.arange(5)), (1, 2), seed=0)
    assert len(longer.ids) == 5 + TWINS
    assert (twins[[0, 1, 3, 4]] == -1).all()
    assert twins[2].tolist() == list(range(5, 5 + TWINS))
    for place in twins[2]:
        view, whole = longer.ids[place].tolist(), iter(ids[2].tolist())
        assert 2 < len(view) < len(ids[2])
        assert view[0] == 1
        assert view[-1] == 2
        assert all(token in whole for token in view)  # what is left, in its order
    source = Pairs(longer, labels, sampler(labels, np.arange(5), 16), twins=twins)
    for step in range(5):
        (tokens, mask), wanted = source.batch(np.arange(5), 0, step, train=True)
        assert wanted.argmax(1).tolist() == [0, 0, 1, 2, 2, 1]
        view = tokens[5][mask[5].bool()].tolist()
        assert view == longer.ids[5 + step % TWINS].tolist()


def test_special_tokens_are_those_of_the_tokenizer():
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[CLS]": 1, "word": 2, "new": 3}, "[PAD]"))
    tokenizer.add_special_tokens(["[CLS]", "[PAD]"])
    tokenizer.add_tokens(["new"])
    assert special_tokens(tokenizer.to_str().encode()) == (0, 1)
