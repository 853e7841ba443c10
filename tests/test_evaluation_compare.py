"""Two models on the same rows: the difference, its noise, and the sentence about it."""

import json

import numpy as np
import pytest

from headstart.errors import DataError
from headstart.evaluation.compare import comparison, same_labels
from headstart.evaluation.measure import mcnemar, measure

LABELS = ("a", "b")


def compared(right_a, right_b, names=("one", "two")):
    n = len(right_a)
    codes = np.arange(n) % 2
    predicted = tuple(np.where(right, codes, 1 - codes) for right in (right_a, right_b))
    evaluations = tuple(
        measure(
            np.eye(2)[one], codes, LABELS, split="test", protocol="", rng=np.random.default_rng(0)
        )
        for one in predicted
    )
    return comparison(codes, predicted, evaluations, names, np.random.default_rng(1))


def test_a_clear_difference_is_beyond_noise():
    found = compared(np.arange(200) >= 10, np.arange(200) >= 40)
    assert found.difference.value == pytest.approx(0.15)
    assert found.difference.low > 0.09
    assert found.p == mcnemar(30, 0)
    assert found.beyond
    assert found.sentence().startswith(
        "accuracy of one minus that of two on the same 200 rows: +15.0 points (+"
    )
    assert found.sentence().endswith("McNemar p < 0.001), beyond noise: one is better")
    assert found.sentence("zh").endswith("超出噪声：one 更好")
    assert str(found) == found.sentence()
    other = compared(np.arange(200) >= 40, np.arange(200) >= 10)
    assert other.difference.value == pytest.approx(-0.15)
    assert other.sentence().endswith("two is better")


def test_a_small_difference_is_within_noise():
    found = compared(np.arange(100) >= 3, np.arange(100) >= 4)
    assert found.difference.low < 0 < found.difference.high
    assert not found.beyond
    assert found.p == 1
    assert found.sentence().endswith("p = 1), within noise: neither is shown to be better")
    assert "在噪声之内" in found.sentence("zh")


def test_as_json():
    found = compared(np.arange(40) >= 3, np.arange(40) >= 12)
    told = json.loads(json.dumps(found.to_json()))
    assert set(told["accuracy_difference"]) == {"value", "low", "high"}
    assert told["names"] == ["one", "two"]
    assert told["n"] == 40
    assert told["beyond_noise"] is found.beyond
    assert told["sentence"] == found.sentence()


def test_models_with_other_labels_are_refused():
    same_labels(("a", "b"), ("b", "a"), ("m", "n"))
    with pytest.raises(DataError, match=r"only m knows 'c'; only n knows 'x'\.") as caught:
        same_labels(("a", "b", "c"), ("a", "b", "x"), ("m", "n"))
    assert "same classes" in caught.value.fix
    many = [f"l{i:02}" for i in range(20)]
    with pytest.raises(DataError, match=r"only n knows 'l00', .*, 'l07' and 12 more\."):
        same_labels((), many, ("m", "n"))
