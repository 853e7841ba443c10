"""Logits to answers: the order of scaling, each kind of set, and why an answer is withheld."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.runtime.decide import decide, prediction_sets, probabilities, reasons
from headstart.types import Decision

LABELS = ("a", "b", "c")


def slow(z, decision):
    """The documented formula, in plain Python."""
    scale = decision.scale or (1.0,) * len(z)
    shift = decision.shift or (0.0,) * len(z)
    e = [np.exp((x * a + b) / decision.temperature) for x, a, b in zip(z, scale, shift)]
    return np.array(e) / sum(e)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-20, 20), min_size=3, max_size=3),
    st.floats(0.2, 5),
    st.sampled_from([(), (0.5, 1.5, 1.0)]),
    st.sampled_from([(), (0.3, -0.2, 1.0)]),
)
def test_scale_then_shift_then_temperature(z, temperature, scale, shift):
    decision = Decision(temperature=temperature, scale=scale, shift=shift)
    found = probabilities(np.array([z], dtype=np.float32), decision)
    wanted = slow(np.float32(z).astype(float).tolist(), decision)
    np.testing.assert_allclose(found[0], wanted, rtol=1e-9, atol=1e-12)


def test_each_kind_of_sets():
    p = np.array([[0.6, 0.3, 0.1], [0.34, 0.33, 0.33], [0.05, 0.9, 0.05]])
    lac = prediction_sets(p, Decision(set_threshold=0.3))
    assert lac.tolist() == [[True, True, False], [True, True, True], [False, True, False]]
    # before a label and with it: 0..0.6, 0.6..0.9, 0.9..1 in the first row
    aps = prediction_sets(p, Decision(sets="aps", set_threshold=0.9))
    assert aps[0].tolist()[:2] == [True, True]
    assert prediction_sets(p, Decision(sets="aps", set_threshold=1.0)).all()
    by_class = Decision(sets="class", class_thresholds=(0.7, 0.32, 0.05))
    assert prediction_sets(p, by_class).tolist() == [
        [True, False, True],  # the top label is always in
        [True, True, True],
        [False, True, True],
    ]
    assert (
        prediction_sets(p, Decision(sets="aps", set_threshold=0.0)).sum(axis=1).tolist() == [1] * 3
    )


def test_why_an_answer_is_withheld():
    p = np.array([[0.9, 0.05, 0.05], [0.5, 0.3, 0.2], [0.9, 0.05, 0.05], [0.5, 0.3, 0.2]])
    decision = Decision(abstain_below=0.83, familiar_above=1.0)
    familiar = np.array([1.0, 2.0, 0.9, 0.5])
    unsure, strange = "probability below 0.83", "unlike the training data"
    assert reasons(p, decision, familiar) == ["", unsure, strange, strange]
    assert reasons(p, decision) == ["", unsure, "", unsure]
    assert reasons(p, Decision(), familiar) == [""] * 4
    assert reasons(p[:0], decision, familiar[:0]) == []
    answers = decide(np.log(p), list("wxyz"), LABELS, decision, familiar)
    assert [one.abstained for one in answers] == [False, True, True, True]
    assert [one.reason for one in answers] == ["", unsure, strange, strange]
    # what is withheld is told all the same
    assert [one.label for one in answers] == ["a"] * 4
    assert answers[3].probability == pytest.approx(0.5)


def test_answers_are_plain_values_in_order():
    z = np.log([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]]).astype(np.float32)
    first, second = decide(z, ["x", "y"], LABELS, Decision(set_threshold=0.25))
    assert (first.input, first.label, first.set) == ("x", "b", ("b", "c"))
    assert (second.label, second.set) == ("a", ("a",))
    assert list(first.probabilities) == list(LABELS)
    assert sum(first.probabilities.values()) == pytest.approx(1)
    assert type(first.probability) is float
    assert all(type(value) is float for value in first.probabilities.values())
    assert first.probability == first.probabilities["b"]


def test_a_label_that_scaling_lifts_is_the_answer():
    z = np.array([[1.0, 0.9, 0.0]])
    assert decide(z, ["x"], LABELS, Decision())[0].label == "a"
    assert decide(z, ["x"], LABELS, Decision(scale=(1, 1, 1), shift=(0, 0.5, 0)))[0].label == "b"
