"""The probe's choices, against scikit-learn's cross-validated logistic regression."""

import numpy as np
import pytest

from headstart.methods import probe
from headstart.metrics import accuracy, confusion, macro_f1


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
