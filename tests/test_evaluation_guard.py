"""The guard: what is no better is not kept, what is better is, and the score is scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.evaluation import guard as room
from headstart.evaluation.guard import LEVEL, Entry, guard


def entry(name, said, k=3, seconds=1.0):
    return Entry(name, np.eye(k)[said] * 2.0, seconds)


def noisy(truth, share, rng, k=3):
    """Answers of which a share is drawn anew."""
    return np.where(rng.random(len(truth)) < share, rng.integers(0, k, len(truth)), truth)


def test_scores_are_those_of_scikit_learn():
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth = rng.choice(4, 300, p=[0.6, 0.3, 0.08, 0.02])
    answers = [noisy(truth, share, rng, 4) for share in (0.5, 0.3)]
    found = guard(truth, [entry(str(i), said, 4) for i, said in enumerate(answers)], rng)
    for one, said in zip(found.tried, answers):
        meant = (sk.accuracy_score(truth, said) + sk.f1_score(truth, said, average="macro")) / 2
        assert one.score.value == pytest.approx(meant)
        assert one.score.low < meant < one.score.high
    assert found.tried[1].lead.value == pytest.approx(
        found.tried[1].score.value - found.tried[0].score.value
    )


def test_a_candidate_that_is_no_better_is_seldom_kept(monkeypatch):
    monkeypatch.setattr(room, "_DRAWS", 500)
    kept = 0
    for seed in range(200):
        rng = np.random.default_rng([seed, 3])
        truth = rng.integers(0, 3, 120)
        entries = [entry(name, noisy(truth, 0.4, rng)) for name in ("probe", "a", "b")]
        kept += guard(truth, entries, rng).kept != "probe"
    assert kept / 200 < LEVEL + 0.04


def test_one_that_is_better_is_kept_and_the_cheaper_of_two_equals():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 600)
    probe, better = noisy(truth, 0.5, rng), noisy(truth, 0.2, rng)
    dear = better.copy()
    dear[0] = truth[0]
    entries = [
        entry("probe", probe, seconds=2),
        entry("lora", better, seconds=30),
        entry("finetune", dear, seconds=300),
    ]
    found = guard(truth, entries, rng)
    assert found.kept == "lora"
    assert [one.beyond for one in found.tried] == [False, True, True]
    assert found.tried[1].seconds == 30
    best = guard(truth, [*entries[:2], entry("finetune", truth, seconds=300)], rng)
    assert best.kept == "finetune"


def test_within_noise_the_simplest_is_kept_and_it_is_said():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 80)
    probe = noisy(truth, 0.3, rng)
    other = probe.copy()
    other[np.flatnonzero(probe != truth)[:2]] = truth[np.flatnonzero(probe != truth)[:2]]
    found = guard(truth, [entry("probe", probe), entry("finetune", other, seconds=40)], rng)
    assert found.kept == "probe"
    assert found.tried[1].lead.value > 0 >= found.tried[1].lead.low
    assert found.tried[1].to_json()["beyond_noise"] is False


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(3)))
def test_names_of_classes_do_not_matter(seed, order):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, 60)
    said = [noisy(truth, 0.4, rng) for _ in range(2)]
    turned = np.array(order)
    one = guard(truth, [entry(str(i), a) for i, a in enumerate(said)], np.random.default_rng(0))
    other = guard(
        turned[truth],
        [entry(str(i), turned[a]) for i, a in enumerate(said)],
        np.random.default_rng(0),
    )
    assert one.tried[1].lead.value == pytest.approx(other.tried[1].lead.value)
    assert one.tried[0].score.low <= one.tried[0].score.value <= one.tried[0].score.high


def test_wrong_shapes():
    with pytest.raises(ValueError, match="nothing to compare"):
        guard(np.zeros(0, int), [], np.random.default_rng(0))
    with pytest.raises(ValueError, match="answer the 3 rows with 2 logits"):
        guard(np.zeros(3, int), [Entry("a", np.zeros((3, 2)), 1), Entry("b", np.zeros((4, 2)), 1)],
              np.random.default_rng(0))  # fmt: skip
