"""What is kept of the training rows, and the threshold that keeps the stated share of familiar inputs."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.evaluation import familiarity as room
from headstart.evaluation.familiarity import judging, reference_of, threshold
from headstart.runtime.familiar import familiarity, unit


def world(n, seed, k=4, d=12):
    """Classes in fixed places; (features, codes, probabilities)."""
    rng = np.random.default_rng([seed, 1])
    centres = np.random.default_rng(0).normal(size=(k, d)) * 3
    codes = rng.integers(0, k, n)
    features = (centres[codes] + rng.normal(size=(n, d))).astype(np.float32)
    p = rng.dirichlet(np.ones(k) * 0.3, n)
    return features, codes, p


def test_small_data_is_kept_as_a_whole():
    features, codes, _ = world(50, 0)
    names = [f"n{i}" for i in range(50)]
    reference = reference_of(features, codes, names, 4)
    assert reference.names == tuple(names)
    assert (reference.codes == codes).all()
    assert reference.codes.dtype == np.int32
    np.testing.assert_allclose(reference.features, unit(features), atol=1e-3, rtol=1e-3)
    # the weight is one and a half standard deviations of the cosines to the nearest other row
    cosines = reference.features.astype(float) @ reference.features.T.astype(float)
    np.fill_diagonal(cosines, -2)
    assert reference.weight == pytest.approx(
        2 * np.sort(cosines, axis=1)[:, -5:].mean(axis=1).std(), rel=1e-3
    )


def test_large_data_is_sampled_within_classes(monkeypatch):
    codes = np.repeat([0, 1, 2, 3], [6000, 3000, 997, 3])
    features = np.random.default_rng(0).normal(size=(10_000, 4)).astype(np.float32)
    names = [str(i) for i in range(10_000)]
    reference = reference_of(features, codes, names, 4, limit=500)
    counts = np.bincount(reference.codes)
    assert counts.tolist() == [300, 150, 49, 1]
    rows = np.array([int(name) for name in reference.names])
    assert (np.diff(rows) > 0).all()
    assert (codes[rows] == reference.codes).all()
    again = reference_of(features, codes, names, 4, limit=500)
    assert again.names == reference.names
    monkeypatch.setattr(room, "BYTES", 2 * 4 * 100)
    assert len(reference_of(features, codes, names, 4)) <= 100


@pytest.mark.parametrize("keep", [0.8, 0.95])
def test_the_stated_share_of_new_rows_is_kept(keep):
    kept = []
    for seed in range(60):
        features, codes, p = world(400, seed)
        at = threshold(features, codes, np.arange(400) % 5, p, keep)
        reference = reference_of(features, codes, [""] * 400, 4)
        new, _, new_p = world(400, 1000 + seed)
        kept.append((familiarity(reference, new, new_p) >= at).mean())
    # five folds see four fifths of the rows: a little more is kept
    assert keep - 0.005 < np.mean(kept) < keep + 0.02


def test_a_row_is_held_against_other_folds_only(monkeypatch):
    """Every row has a double in its own fold: it must not make the rows familiar."""
    monkeypatch.setattr(room, "SPREADS", 0.0)  # the cosines alone
    features, codes, p = world(100, 3)
    folds = np.arange(100) % 5
    single = threshold(features, codes, folds, p, 0.9)
    twice = threshold(*(np.concatenate([a, a]) for a in (features, codes, folds, p)), 0.9)
    assert twice == pytest.approx(single, abs=0.03)  # each of the other rows counts twice
    torn = threshold(
        np.concatenate([features, features]),
        np.concatenate([codes, codes]),
        np.concatenate([folds, (folds + 1) % 5]),
        np.concatenate([p, p]),
        0.9,
    )
    assert torn > twice + 0.01


def test_it_is_the_conformal_quantile():
    features, codes, p = world(39, 5)
    folds = np.arange(39) % 3
    scores = np.empty(39)
    for fold in range(3):
        others, inside = folds != fold, folds == fold
        reference = reference_of(features[others], codes[others], [""] * int(others.sum()), 4)
        scores[inside] = familiarity(reference, features[inside], p[inside])
    assert threshold(features, codes, folds, p, 0.95) == pytest.approx(np.sort(scores)[1])
    assert threshold(features, codes, folds, p, 0.9) == pytest.approx(np.sort(scores)[3])
    assert threshold(features, codes, folds, p, 0.99) is None  # 40 * 0.01 is no row


def test_rows_that_were_never_held_out_do_not_count():
    features, codes, p = world(200, 2)
    folds = np.arange(200) % 5
    some = np.flatnonzero(folds < 2)
    gone = p.copy()
    gone[folds >= 2] = np.nan
    by_nan = threshold(features, codes, folds, gone, 0.9)
    by_rows = threshold(features, codes, folds, p[some], 0.9, rows=some)
    assert by_nan == by_rows
    never = folds.copy()
    never[150:] = -1  # held against, never judged
    assert threshold(features, codes, never, p, 0.9) is not None
    assert threshold(features, codes, np.full(200, -1), p, 0.9) is None
    assert threshold(features, codes, np.zeros(200, int), p, 0.9) is None  # no other fold


def test_many_rows_are_judged_by_a_sample(monkeypatch):
    monkeypatch.setattr(room, "_JUDGED", 300)
    features, codes, p = world(2000, 4)
    folds = np.arange(2000) % 5
    sampled = threshold(features, codes, folds, p, 0.9)
    monkeypatch.setattr(room, "_JUDGED", 3000)
    assert sampled == pytest.approx(threshold(features, codes, folds, p, 0.9), abs=0.1)


def test_inputs_stay_as_they_are_and_wrong_shapes_say_so():
    features, codes, p = world(40, 0)
    folds = np.arange(40) % 4
    for array in (features, codes, p, folds):
        array.flags.writeable = False
    threshold(features, codes, folds, p, 0.9)
    reference_of(features, codes, [""] * 40, 4)
    for arguments, message in (
        ((features, codes, folds, p, 1.0), "between 0 and 1"),
        ((features, codes[:3], folds, p), "do not fit"),
        ((features, codes, folds, p[:3]), r"have to be \(40, k\)"),
    ):
        with pytest.raises(ValueError, match=message):
            threshold(*arguments)
    with pytest.raises(ValueError, match="do not fit together"):
        reference_of(features, codes, [""] * 39, 4)
    with pytest.raises(ValueError, match=r"within 0\.\.2"):
        reference_of(features, codes, [""] * 40, 3)


def test_rows_marked_for_validation_judge_alone_where_there_are_enough():
    folds = np.arange(1000) % 5
    few, many = np.arange(1000) < 199, np.arange(1000) < 200
    assert (judging(folds, few) == folds).all()
    assert (judging(folds, many) == np.where(many, 0, -1)).all()
