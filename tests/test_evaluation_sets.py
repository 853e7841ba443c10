"""Thresholds of prediction sets, beside slow formulas and another library, and what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart import metrics
from headstart.evaluation.sets import KINDS, mass_threshold, set_threshold, thresholds
from headstart.runtime.decide import prediction_sets
from headstart.types import Decision


def draw(n, k=5, seed=0, spread=2.0):
    """Probabilities that are wrong by a factor, and truths."""
    rng = np.random.default_rng([seed, n, k])
    z = rng.normal(size=(n, k)) * spread
    codes = (z + rng.gumbel(size=(n, k))).argmax(axis=1)
    return metrics.softmax(z * 1.7), codes


def slow_mass(row, label):
    """Romano, Sesia and Candes (2020), equation 7: all that is before, and the part u of its own."""
    order = sorted(range(len(row)), key=lambda j: (-row[j], j))
    before = sum(row[j] for j in order[: order.index(label)])
    u = 1000 * sum(j * value for j, value in enumerate(row)) % 1.0
    return before + row[label] * u


def slow_set(row, cal_scores, score, labels, coverage):
    """The conformal p-value of every label, by the definition (Vovk et al. 2005, section 2.2)."""
    n = len(cal_scores)
    return {
        label
        for label in labels
        # share of rows at least as strange, the new one among them; it is in unless that is too small
        if 1 + sum(s >= score(row, label) - 1e-12 for s in cal_scores)
        > (n + 1) * (1 - coverage) + 1e-9
    }


@pytest.mark.parametrize("coverage", [0.7, 0.9, 0.95])
@pytest.mark.parametrize("kind", KINDS)
def test_sets_are_those_of_conformal_p_values(kind, coverage):
    p, codes = draw(83)
    new, _ = draw(40, seed=1)
    decision = Decision(**thresholds(p, codes, coverage, kind))
    found = prediction_sets(new, decision)
    labels = range(p.shape[1])

    def lac(row, label):
        return 1 - row[label]

    score = slow_mass if kind == "aps" else lac
    for row, inside in zip(new, found):
        if kind == "class":
            wanted = set()
            for c in labels:
                own = [lac(r, c) for r, y in zip(p, codes) if y == c]
                wanted |= slow_set(row, own, lac, [c], coverage)
        else:
            wanted = slow_set(row, [score(r, y) for r, y in zip(p, codes)], score, labels, coverage)
        assert set(np.flatnonzero(inside).tolist()) == wanted | {int(row.argmax())}


@pytest.mark.parametrize("kind", KINDS)
def test_sets_are_those_of_crepes(kind):
    crepes = pytest.importorskip("crepes")
    p, codes = draw(211, k=4)
    new, _ = draw(300, k=4, seed=1)
    scores, new_scores = 1 - p, 1 - new
    if kind == "aps":
        scores, new_scores = metrics.mass_up_to(p), metrics.mass_up_to(new)
    other = crepes.ConformalClassifier()
    own = scores[np.arange(len(p)), codes]
    by_class = {"bins": codes} if kind == "class" else {}
    other.fit(own, **by_class)
    if kind == "class":
        wanted = np.stack(
            [
                other.predict_set(
                    new_scores, bins=np.full(len(new), c), confidence=0.9, smoothing=False
                )[:, c]
                for c in range(4)
            ],
            axis=1,
        )
    else:
        wanted = other.predict_set(new_scores, confidence=0.9, smoothing=False)
    wanted = wanted.astype(bool)
    wanted[np.arange(len(new)), new.argmax(axis=1)] = True
    found = prediction_sets(new, Decision(**thresholds(p, codes, 0.9, kind)))
    assert (found == wanted).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_is_held_as_often_as_promised(kind):
    """200 exchangeable splits; what the threshold alone promises, before the top label is added."""
    held, worst = [], []
    for seed in range(200):
        p, codes = draw(700, k=4, seed=seed)
        fields = thresholds(p[:200], codes[:200], 0.9, kind)
        new, truth = p[200:], codes[200:]
        inside = {
            "lac": new >= fields["set_threshold"],
            "aps": metrics.mass_up_to(new) <= fields["set_threshold"],
            "class": new >= np.array(fields.get("class_thresholds", [0.0])),
        }[kind]
        hits = inside[np.arange(500), truth]
        held.append(hits.mean())
        worst.append([hits[truth == c].mean() for c in range(4)])
        sets = prediction_sets(new, Decision(**fields))
        assert sets.any(axis=1).all()
        assert (sets >= inside).all()
    # each class has a rank of its own, and each rounds up
    assert np.mean(held) == pytest.approx(0.9, abs=0.015)
    if kind == "class":
        assert np.mean(worst, axis=0) == pytest.approx(np.full(4, 0.9), abs=0.025)


def test_class_sets_cover_a_class_that_others_do_not():
    """A rare class that the model hardly knows."""
    covered = {kind: [] for kind in KINDS}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        codes = (rng.random(1500) < 0.15).astype(int)
        z = rng.normal(size=(1500, 2))
        z[:, 0] += 2  # the rare class is rarely answered
        z[np.arange(1500), codes] += 1
        p = metrics.softmax(z)
        rare = codes[700:] == 1
        for kind in KINDS:
            decision = Decision(**thresholds(p[:700], codes[:700], 0.9, kind))
            covered[kind].append(prediction_sets(p[700:], decision)[rare, 1].mean())
    assert np.mean(covered["lac"]) < 0.6
    assert np.mean(covered["class"]) == pytest.approx(0.9, abs=0.025)


def test_mass_sets_grow_with_doubt():
    """Rows of two kinds, sure and unsure: the unsure are covered about as often with "aps"."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(6000, 6)) * np.where(np.arange(6000) % 2, 4.0, 0.7)[:, None]
    codes = (z + rng.gumbel(size=z.shape)).argmax(axis=1)
    p = metrics.softmax(z)
    unsure = np.arange(3000, 6000) % 2 == 0
    held = {}
    for kind in ("lac", "aps"):
        decision = Decision(**thresholds(p[:3000], codes[:3000], 0.9, kind))
        hits = prediction_sets(p[3000:], decision)[np.arange(3000), codes[3000:]]
        held[kind] = (hits[unsure].mean(), hits[~unsure].mean())
    assert held["lac"][0] < 0.87
    assert held["aps"][0] > 0.88


def test_threshold_is_the_finite_sample_quantile():
    p = np.arange(1, 20)[:, None] / 20  # 19 rows, the truth has 0.05 .. 0.95
    codes = np.zeros(19, dtype=int)
    for coverage in (0.5, 0.8, 0.9, 0.95):
        rank = math.ceil(round(20 * coverage, 6))
        found = set_threshold(p, codes, coverage)
        assert found == pytest.approx(sorted(p[:, 0], reverse=True)[rank - 1])
        assert (p[:, 0] >= found).sum() == rank
        mass = mass_threshold(p, codes, coverage)
        assert (metrics.mass_up_to(p)[:, 0] <= mass).sum() >= rank
    assert set_threshold(p, codes, 0.96) == 0  # 20 of 19 rows
    assert mass_threshold(p, codes, 0.96) == 1
    # in floating point 100 * 0.55 is a little more than 55: still 55 rows, not 56
    many = np.arange(1, 100)[:, None] / 100
    assert (many >= set_threshold(many, np.zeros(99, dtype=int), 0.55)).sum() == 55


@pytest.mark.parametrize("kind", KINDS)
def test_too_few_rows_let_all_labels_in(kind):
    p, codes = draw(8, k=3)
    fields = thresholds(p, codes, 0.9, kind)
    new, _ = draw(50, k=3, seed=9)
    assert prediction_sets(new, Decision(**fields)).all()
    # a class without rows is always in, so that it can be found at all
    p, codes = draw(200, k=3)
    few = codes != 1
    fields = thresholds(p[few], codes[few], 0.9, "class")
    assert fields["class_thresholds"][1] == 0
    assert min(fields["class_thresholds"][0], fields["class_thresholds"][2]) > 0


def _wraps(row):
    """Where rounding may take the part from 1 to 0."""
    part = 1000 * float(row @ np.arange(4)) % 1.0
    return min(part, 1 - part) < 1e-6


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda row: sum(row) > 0.01),
        min_size=1,
        max_size=6,
    )
)
def test_mass_is_that_of_the_slow_formula_and_keeps_the_order(rows):
    p = np.array(rows)
    p /= p.sum(axis=1, keepdims=True)
    mass = metrics.mass_up_to(p)
    for row, found in zip(p, mass):
        slow = np.array([slow_mass(row, j) for j in range(4)])
        assert np.abs(found - slow).max() < 1e-9 or _wraps(row)
        order = np.argsort(-row, kind="stable")
        assert (np.diff(found[order]) >= -1e-12).all()
        assert 0 <= found.min() <= found.max() <= 1


def test_an_unknown_kind_is_named():
    p, codes = draw(20)
    with pytest.raises(ValueError, match="lac, aps, class, not 'raps'"):
        thresholds(p, codes, 0.9, "raps")
