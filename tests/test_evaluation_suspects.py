"""Doubtful labels and far-out rows: what was planted is found; neighbours against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.evaluation import suspects
from headstart.evaluation.near_pictures import unit
from headstart.methods import probe
from headstart.types import Roles, Table

LABELS = ("ant", "bee", "cat")


def table(n, codes) -> Table:
    words = tuple(f"{chr(97 + i % 26)}{chr(97 + i // 26 % 26)} is row {i}" for i in range(n))
    names = tuple(f"r:{i}" for i in range(n))
    return Table(words, tuple(LABELS[c] for c in codes), names, "text", Roles("x", "y"), "x")


def clouds(n=240, apart=3.0, seed=0, dim=16):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    centres = rng.normal(size=(3, dim)) * apart / np.sqrt(dim)
    features = (centres[codes] * 2 + rng.normal(size=(n, dim))).astype(np.float32)
    return features, codes


def flipped(codes, share=0.1, seed=1):
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(codes), int(share * len(codes)), replace=False)
    wrong = np.isin(np.arange(len(codes)), rows)
    return np.where(wrong, (codes + rng.integers(1, 3, len(codes))) % 3, codes), wrong


def held_out(features, codes):
    folds = np.arange(len(codes)) // 3 % 5
    return probe.fit(features, codes, folds, 3, probe.Config(held_out_rows=10**9)).held_out, folds


def average_precision(wrong, ranking):
    found = wrong[ranking]
    return (np.cumsum(found)[found] / (np.flatnonzero(found) + 1)).mean()


def test_neighbours_are_those_of_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    features, _ = clouds(300)
    near = suspects.neighbours(features, many=5)
    oracle = neighbors.NearestNeighbors(n_neighbors=6, metric="cosine").fit(unit(features))
    distance, rows = oracle.kneighbors(unit(features))
    np.testing.assert_array_equal(near.rows, rows[:, 1:])
    np.testing.assert_allclose(near.cosine, 1 - distance[:, 1:], atol=1e-5)


def test_copies_of_a_row_are_no_neighbours(monkeypatch):
    monkeypatch.setattr(suspects, "_BLOCK", 7)
    features, _ = clouds(40)
    features = np.concatenate([features, features[:5]])
    groups = np.concatenate([np.arange(40), np.arange(5)])
    near = suspects.neighbours(features, groups, many=3)
    assert (groups[near.rows] != groups[:, None]).all()
    alone = suspects.neighbours(features[:4], np.zeros(4, int))
    assert (alone.rows == -1).all()
    assert suspects.votes(np.zeros(4, int), alone, 2).tolist() == [[1.0, 0.0]] * 4


def test_a_sample_is_taken_of_very_many_rows_and_said(monkeypatch):
    monkeypatch.setattr(suspects, "MOST", 50)
    features, codes = clouds(120)
    near = suspects.neighbours(features)
    assert near.sampled == 50
    assert len(np.unique(near.rows)) <= 50
    found = suspects.examine(table(120, codes), features, codes, np.full((120, 3), np.nan), LABELS)
    assert "sampled" in {one.kind for one in found}


def test_flipped_labels_are_ranked_first_and_named():
    features, truth = clouds()
    codes, wrong = flipped(truth)
    logits, folds = held_out(features, codes)
    near = suspects.neighbours(features)
    doubts = suspects.doubt(codes, logits, near, folds)
    assert average_precision(wrong, doubts.ranking) > 0.9
    alone = suspects.doubt(codes, np.full_like(logits, np.nan), near, folds)
    assert average_precision(wrong, alone.ranking) > 0.8
    assert doubts.flagged.mean() <= 0.15
    both = doubts.flagged & wrong
    assert both.sum() > 0.8 * wrong.sum()
    assert (doubts.other[both] == truth[both]).mean() > 0.9
    assert (doubts.wrong[doubts.flagged] > 0.5).all()
    assert doubts.share == pytest.approx(0.1, abs=0.04)
    clean = suspects.doubt(truth, held_out(features, truth)[0], near, folds)
    assert clean.share < 0.02
    assert clean.flagged.mean() < 0.02


def test_the_finding_names_rows_labels_and_how_sure():
    features, truth = clouds()
    codes, wrong = flipped(truth, 0.05)
    logits, folds = held_out(features, codes)
    found = suspects.examine(table(240, codes), features, codes, logits, LABELS, folds)
    finding = next(one for one in found if one.kind == "wrong-labels")
    assert finding.rows == tuple(f"r:{i}" for i in finding.numbers)
    assert len(finding.suggestions) == len(finding.sure) == len(finding.rows)
    assert sum(bool(wrong[i]) for i in finding.numbers) > 0.8 * wrong.sum()
    assert all(LABELS[codes[i]] != new for i, new in zip(finding.numbers, finding.suggestions))
    assert finding.confidence == pytest.approx(np.mean(finding.sure), abs=1e-3)
    assert "headstart doctor" in finding.fix


def test_held_out_rows_of_a_candidate_that_keeps_them_apart():
    features, codes = clouds(60)
    logits, folds = held_out(features, codes)
    rows = np.arange(0, 60, 2)
    spread = suspects.spread(logits[rows], rows, 60)
    assert np.isnan(spread[1::2]).all()
    np.testing.assert_array_equal(spread[rows], logits[rows])
    assert suspects.spread(logits, None, 60) is logits
    data = table(60, codes)
    one = suspects.examine(data, features, codes, logits[rows], LABELS, folds, held_out_rows=rows)
    other = suspects.examine(data, features, codes, spread, LABELS, folds)
    assert one == other


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 40), st.integers(2, 5))
def test_doubts_of_anything(seed, n, k):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k)) * 5
    logits[rng.random(n) < 0.3] = np.nan
    near = suspects.neighbours(rng.normal(size=(n, 3)).astype(np.float32))
    doubts = suspects.doubt(codes, logits, near, rng.integers(-1, 3, n))
    assert ((doubts.wrong >= 0) & (doubts.wrong <= 1)).all()
    assert (doubts.other != codes).all()
    assert doubts.flagged.sum() <= 0.15 * n
    assert sorted(doubts.ranking.tolist()) == list(range(n))


def test_a_row_unlike_all_others_is_far_out():
    features, codes = clouds(apart=6.0)
    features[17] = -40 * features.mean(axis=0) + np.random.default_rng(3).normal(size=16) * 30
    near = suspects.neighbours(features)
    assert suspects.far_rows(near, codes).tolist() == [17]
    plain, codes = clouds(apart=6.0)
    assert len(suspects.far_rows(suspects.neighbours(plain), codes)) == 0
    assert len(suspects.far_rows(suspects.neighbours(features[:19]), codes[:19])) == 0
    found = suspects.examine(table(240, codes), features, codes, np.full((240, 3), np.nan), LABELS)
    assert next(one for one in found if one.kind == "far-out").rows == ("r:17",)


def test_how_sure_is_how_often_it_is_right():
    right, said = [], []
    for seed in range(4):
        features, truth = clouds(600, apart=2.0, seed=seed)
        codes, wrong = flipped(truth, 0.1, seed)
        logits, folds = held_out(features, codes)
        doubts = suspects.doubt(codes, logits, suspects.neighbours(features), folds)
        right += wrong[doubts.flagged].tolist()
        said += doubts.wrong[doubts.flagged].tolist()
    assert len(right) > 60
    assert np.mean(right) == pytest.approx(np.mean(said), abs=0.15)
