"""The probe's choices, against scikit-learn's cross-validated logistic regression."""

import numpy as np
import pytest

from headstart.methods import probe
from headstart.metrics import accuracy, confusion, macro_f1
from headstart.solver_rows import rotate


def data(n, d, k, seed, shares=None):
    rng = np.random.default_rng(seed)
    codes = rng.choice(k, n, p=shares) if shares else np.arange(n) % k
    centres = np.random.default_rng(99).normal(size=(k, d)) * 0.35
    return (centres[codes] + rng.normal(size=(n, d))).astype("f4"), codes.astype(np.int64)


def test_as_good_as_a_searched_reference():
    linear = pytest.importorskip("sklearn.linear_model")
    from sklearn.model_selection import PredefinedSplit
    from sklearn.preprocessing import StandardScaler

    features, codes = data(400, 60, 4, 1)
    fresh, truth = data(4000, 60, 4, 2)
    folds = np.arange(400) // 4 % 5
    made = probe.fit(features, codes, folds, 4)
    mine = ((fresh @ made.head.weight + made.head.bias).argmax(1) == truth).mean()
    scaler = StandardScaler().fit(features)
    best = max(
        np.mean(
            [
                linear.LogisticRegression(C=c, max_iter=2000)
                .fit(scaler.transform(features[train]), codes[train])
                .score(scaler.transform(features[test]), codes[test])
                for train, test in PredefinedSplit(folds).split()
            ]
        )
        for c in 10.0 ** np.arange(-4, 2)
    )
    theirs = [
        linear.LogisticRegression(C=c, max_iter=2000).fit(scaler.transform(features), codes)
        .score(scaler.transform(fresh), truth)
        for c in 10.0 ** np.arange(-4, 2)
    ]  # fmt: skip
    assert mine >= max(theirs) - 0.01  # the best of theirs was picked with the answers in hand
    held = (made.held_out.argmax(1) == codes).mean()
    assert held >= best - 0.02


def test_the_penalty_follows_the_noise():
    rng = np.random.default_rng(0)
    codes = np.arange(300) % 3
    folds = np.arange(300) // 3 % 5
    clear = (np.eye(3)[codes] @ rng.normal(size=(3, 40)) * 4 + rng.normal(size=(300, 40))).astype(
        "f4"
    )
    noisy = (np.eye(3)[codes] @ rng.normal(size=(3, 40)) * 0.3 + rng.normal(size=(300, 40))).astype(
        "f4"
    )
    chosen = [probe.fit(x, codes, folds, 3).chosen["penalty"] for x in (clear, noisy)]
    assert chosen[0] < chosen[1]


def test_a_given_penalty_is_taken():
    features, codes = data(100, 10, 2, 3)
    made = probe.fit(features, codes, np.arange(100) // 2 % 5, 2, probe.Config(penalty=0.5))
    assert made.chosen["penalty"] == 0.5
    assert made.chosen["by"] == "the penalty was given"
    assert np.isfinite(made.held_out).all()


def test_with_much_data_fewer_folds_are_evaluated():
    features, codes = data(1000, 8, 2, 4)
    made = probe.fit(features, codes, np.arange(1000) // 2 % 5, 2, probe.Config(held_out_rows=300))
    assert made.chosen["folds"] == 2
    assert np.isfinite(made.held_out[:, 0]).sum() == 400


def test_class_weights_are_taken_where_they_help_and_only_there():
    folds = np.arange(900) % 5
    shares = [0.7, 0.2, 0.1]
    features, codes = data(900, 6, 3, 5, shares=shares)
    fresh, truth = data(6000, 6, 3, 6, shares=shares)
    score = {}
    for weighting in ("auto", "none", "soft", "balanced"):
        made = probe.fit(features, codes, folds, 3, probe.Config(class_weight=weighting))
        counts = confusion(truth, (fresh @ made.head.weight + made.head.bias).argmax(1), 3)
        score[weighting] = float(macro_f1(counts) + accuracy(counts)) / 2
        chosen = made.chosen["class_weight"]
        assert weighting in ("auto", chosen)
    assert score["auto"] >= score["none"] - 0.005
    assert score["soft"] != score["none"] != score["balanced"]
    even, codes = data(900, 20, 3, 7)
    assert probe.fit(even, codes, folds, 3).chosen["class_weight"] == "none"


def test_noise_alone_moves_no_weights():
    """Two weightings with the same answers: plain ones are kept."""
    features, codes = data(600, 40, 2, 8, shares=[0.85, 0.15])
    features[codes == 1] += 5  # so clear that weights change nothing
    made = probe.fit(features, codes, np.arange(600) % 5, 2)
    assert made.chosen["class_weight"] == "none"
    assert "beyond noise" in made.chosen["by"]


def test_a_search_that_grows_ends_where_a_search_on_all_rows_ends(monkeypatch):
    features, codes = data(4000, 30, 5, 9)
    folds = np.random.default_rng(0).integers(0, 5, 4000)
    whole = probe.fit(features, codes, folds, 5)
    monkeypatch.setattr(probe, "_FIRST", 150)
    grown = probe.fit(features, codes, folds, 5)
    assert len({stage["rows"] for stage in whole.chosen["path"]}) == 1
    sizes = sorted({stage["rows"] for stage in grown.chosen["path"]})
    assert len(sizes) == 3
    assert sizes[0] < 200
    fresh, truth = data(6000, 30, 5, 10)
    right = [
        ((fresh @ made.head.weight + made.head.bias).argmax(1) == truth).mean()
        for made in (whole, grown)
    ]
    assert right[1] >= right[0] - 0.005
    assert grown.held_out.shape == (4000, 5)


def test_a_warm_start_reaches_the_same_head():
    features, codes = data(1500, 20, 4, 11)
    folds = np.arange(1500) % 5
    before = probe.fit(features, codes, folds, 4)
    changed = codes.copy()
    changed[::100] = (changed[::100] + 1) % 4
    config = probe.Config(penalty=before.chosen["penalty"], class_weight="none")
    cold = probe.fit(features, changed, folds, 4, config)
    warm = probe.fit(features, changed, folds, 4, config, start=before.head)
    one, other = (features @ m.head.weight + m.head.bias for m in (cold, warm))
    np.testing.assert_allclose(one - one.mean(1, keepdims=True), other - other.mean(1, keepdims=True),
                               atol=0.05)  # fmt: skip
    # the held-out rows were not seen by the start of their own fold's search
    assert np.array_equal(cold.held_out, warm.held_out)


def test_a_warm_start_without_held_out_rows():
    features, codes = data(800, 20, 4, 12)
    before = probe.fit(features, codes, np.arange(800) % 5, 4)
    config = probe.Config(penalty=before.chosen["penalty"])
    again = probe.fit(features, codes, np.full(800, -1), 4, config, start=before.head)
    assert np.isnan(again.held_out).all()
    one, other = (features @ m.head.weight + m.head.bias for m in (before, again))
    assert (one.argmax(1) == other.argmax(1)).mean() > 0.995


def test_rotated_once_fitted_twice():
    features, codes = data(600, 15, 3, 17)
    folds = np.arange(600) % 5
    rows = rotate(features)
    for labels in (codes, (codes + 1) % 3):
        one, other = probe.fit(features, labels, folds, 3), probe.fit(rows, labels, folds, 3)
        assert one.head.weight.tobytes() == other.head.weight.tobytes()


def test_very_many_held_out_logits_come_with_their_rows(monkeypatch):
    from headstart.evaluation.calibrate import calibrate

    features, codes = data(1000, 10, 3, 13)
    folds = np.arange(1000) % 5
    spread = probe.fit(features, codes, folds, 3, probe.Config(held_out_rows=200))
    monkeypatch.setattr(probe, "_SPREAD", 0)
    compact = probe.fit(features, codes, folds, 3, probe.Config(held_out_rows=200))
    assert spread.held_out_rows is None
    assert compact.held_out.shape == (200, 3)
    assert np.array_equal(spread.held_out[compact.held_out_rows], compact.held_out)
    assert calibrate(spread.held_out, codes, folds=folds) == calibrate(
        compact.held_out, codes, folds=folds, rows=compact.held_out_rows
    )


def test_of_very_many_held_out_rows_a_sample_is_scored(monkeypatch):
    features, codes = data(3000, 10, 3, 14)
    monkeypatch.setattr(probe, "_SCORED", 900)
    made = probe.fit(features, codes, np.arange(3000) % 2, 3, probe.Config(held_out_rows=250))
    held = np.isfinite(made.held_out).all(axis=1)
    assert held.sum() == 300
    assert not (held & (np.arange(3000) % 2 == 1)).any()


def test_noise_asks_for_a_strong_penalty():
    rng = np.random.default_rng(15)
    features = rng.normal(size=(2000, 50)).astype("f4")
    codes = np.arange(2000) % 4
    made = probe.fit(features, codes, rng.integers(0, 5, 2000), 4)
    assert made.chosen["penalty"] >= 0.1
    logits = features @ made.head.weight + made.head.bias
    assert np.abs(logits - logits.mean(1, keepdims=True)).max() < 2


def test_with_many_classes_the_search_goes_on_where_strong_penalties_learn_nothing(monkeypatch):
    monkeypatch.setattr(probe, "_SHARPER", 1)  # as with many rows: the first steps promise little
    rng = np.random.default_rng(18)
    codes = rng.permutation(np.arange(1500) % 250)
    features = (2 * rng.normal(size=(250, 12))[codes] + rng.normal(size=(1500, 12))).astype("f4")
    config = probe.Config("none", held_out_rows=300)
    made = probe.fit(features, codes, rng.integers(0, 5, 1500), 250, config)
    assert made.chosen["path"][0]["log_loss"] > 5.4  # nearly log(250): nothing was learned
    assert made.chosen["penalty"] < 0.1
    assert (made.held_out.argmax(1) == codes)[np.isfinite(made.held_out[:, 0])].mean() > 0.2


def test_samples_keep_every_class():
    rng = np.random.default_rng(16)
    codes = rng.choice(5, 10_000, p=[0.6, 0.3, 0.09, 0.0095, 0.0005])
    some = probe._stratified(codes, 500)
    assert np.array_equal(some, np.unique(some))
    counts, all_counts = np.bincount(codes[some]), np.bincount(codes)
    assert (counts >= np.minimum(all_counts, 5)).all()
    assert np.abs(counts - np.maximum(all_counts / 20, 5)).max() <= 1 or counts[4] < 5
