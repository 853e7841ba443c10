"""The guard: what is no better is not kept, what is better is, and the score is scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.evaluation import guard as room
from headstart.evaluation.guard import LEVEL, Entry, guard, least_lead


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


def test_the_best_of_those_that_lead_is_kept_and_the_first_of_two_equals():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 600)
    probe, better = noisy(truth, 0.5, rng), noisy(truth, 0.2, rng)
    dear = better.copy()
    wrong = np.flatnonzero(better != truth)[0]
    dear[wrong] = truth[wrong]
    entries = [
        entry("probe", probe, seconds=2),
        entry("lora", better, seconds=30),
        entry("finetune", dear, seconds=300),
    ]
    found = guard(truth, entries, rng)
    assert found.kept == "finetune", "what it cost is spent"
    assert [one.beyond for one in found.tried] == [False, True, True]
    assert found.tried[1].seconds == 30
    equal = guard(truth, [*entries[:2], entry("finetune", better, seconds=3)], rng)
    assert equal.kept == "lora"


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


def soft(truth, strength, rng, k=3):
    """Logits that know the truth so well, with noise of their own."""
    return rng.normal(size=(len(truth), k)) + strength * np.eye(k)[truth]


def test_the_gain_is_the_log_loss_of_scikit_learn_at_the_best_temperature():
    sk = pytest.importorskip("sklearn.metrics")
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, 200)
    logits = [soft(truth, strength, rng) for strength in (1.0, 3.0)]
    found = guard(truth, [Entry(str(i), z, 1.0) for i, z in enumerate(logits)], rng)

    def least(z):
        def loss(log_b):
            p = np.exp(np.exp(log_b) * z)
            return sk.log_loss(truth, p / p.sum(axis=1, keepdims=True))

        return optimize.minimize_scalar(loss, bounds=(-4, 4), method="bounded").fun

    gain = found.tried[1].gain
    assert gain.value == pytest.approx(least(logits[0]) - least(logits[1]), abs=1e-4)
    assert gain.low < gain.value < gain.high
    assert found.tried[0].gain.value == 0


def test_better_probabilities_count_where_the_answers_are_as_good():
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 120)
    told = noisy(truth, 0.3, rng)
    plain = 2.0 * np.eye(3)[told]
    knowing = plain * np.where(told == truth, 3.0, 0.5)[:, None]  # sure where it is right
    found = guard(truth, [Entry("probe", plain, 1.0), Entry("other", knowing, 9.0)], rng)
    assert found.kept == "other"
    assert found.tried[1].lead.value == 0
    assert found.tried[1].p_gain < 0.01 < found.tried[1].p
    worse = knowing.copy()
    right = np.flatnonzero(told == truth)[:5]
    worse[right] = np.eye(3)[(truth[right] + 1) % 3] * 0.1  # but five answers fewer are right
    found = guard(truth, [Entry("probe", plain, 1.0), Entry("other", worse, 9.0)], rng)
    assert found.tried[1].p_gain < 0.01
    assert found.kept == "probe"


def test_equally_good_probabilities_are_seldom_kept(monkeypatch):
    monkeypatch.setattr(room, "_DRAWS", 500)
    kept = 0
    for seed in range(200):
        rng = np.random.default_rng([seed, 7])
        truth = rng.integers(0, 3, 120)
        entries = [Entry(name, soft(truth, 1.0, rng), 1.0) for name in ("probe", "a", "b")]
        kept += guard(truth, entries, rng).kept != "probe"
    assert kept / 200 < LEVEL + 0.04


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


@pytest.mark.parametrize("rows", [10, 24, 60, 200])
@pytest.mark.parametrize("others", [1, 3])
def test_the_least_lead_is_the_guard_s_own(rows, others):
    truth = np.arange(rows) % 3
    wrong = (truth + 1) % 3

    def beyond(won):
        said = np.where(np.arange(rows) < won, truth, wrong)
        entries = [entry("probe", wrong), *[entry(str(i), said) for i in range(others)]]
        return guard(truth, entries, np.random.default_rng(0)).tried[1].p

    level = LEVEL / (2 * others)
    least = round(least_lead(rows, others) * rows)
    assert beyond(least + 1) < level < beyond(least - 1)
