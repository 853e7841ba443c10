"""Simple rivals."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from headstart import metrics
from headstart.errors import ConfigError, DataError
from headstart.evaluation import baselines
from headstart.types import Roles, Table

LABELS = ("cat", "dog", "emu")


def _table(inputs, codes, modality="image"):
    return Table(
        inputs=tuple(inputs),
        targets=tuple(LABELS[code] for code in codes),
        names=tuple(f"row {i}" for i in range(len(inputs))),
        modality=modality,
        roles=Roles("file", "folder"),
        source="here",
    )


def _case(n=120, m=60, d=8, skill=2.5, seed=0):
    """Training and test rows around three centres, the first class twice as frequent."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, d)) * skill
    codes, test_codes = (rng.choice(3, size, p=(0.5, 0.25, 0.25)) for size in (n, m))
    x, test_x = (
        (centres[c] + rng.normal(size=(len(c), d)) * 2 + 30).astype(np.float32)
        for c in (codes, test_codes)
    )
    train = _table([f"{i}.jpg" for i in range(n)], codes)
    test = _table([f"t{i}.jpg" for i in range(m)], test_codes)
    return train, codes, x, test, test_codes, test_x


def _texts(kind, n, seed):
    rng = np.random.default_rng(seed)
    words = {
        "english": (
            ["purr", "whiskers", "meow"],
            ["bark", "fetch", "leash"],
            ["feather", "desert", "egg"],
            ["the", "animal", "is", "near", "a", "house", "today"],
        ),
        "chinese": (
            ["喵喵", "胡须", "猫粮"],
            ["汪汪", "骨头", "狗绳"],
            ["羽毛", "沙漠", "鸟蛋"],
            list("今天天气很好我们出去"),
        ),
    }[kind]
    codes = np.arange(n) % 3
    space = " " if kind == "english" else ""
    return [space.join([*rng.choice(words[3], 5), rng.choice(words[c])]) for c in codes], codes


def _run(*case, seed=0, **more):
    return baselines.run(*case, LABELS, rng=np.random.default_rng(seed), **more)


def _run_texts(train, codes, test, test_codes, **more):
    x, test_x = np.zeros((len(train), 2), np.float32), np.zeros((len(test), 2), np.float32)
    return _run(
        _table(train, codes, "text"),
        codes,
        x,
        _table(test, test_codes, "text"),
        test_codes,
        test_x,
        **more,
    )


def test_majority_always_says_the_most_frequent_class():
    case = _case()
    (found,) = _run(*case, names=["majority"])
    codes, test_codes = case[1], case[4]
    shares = np.bincount(codes, minlength=3) / len(codes)
    assert found.name == "majority"
    assert found.metrics["accuracy"].value == pytest.approx(np.mean(test_codes == shares.argmax()))
    assert found.metrics["balanced_accuracy"].value == pytest.approx(1 / 3)
    assert found.metrics["log_loss"].value == pytest.approx(-np.log(shares[test_codes]).mean())


def _slow_knn(x, codes, test_x, count, k):
    """Votes of the nearest rows, one row at a time."""
    centre = x.astype(np.float64).mean(axis=0)
    answers = []
    for row in test_x.astype(np.float64) - centre:
        cosines = [
            float(row @ other / np.linalg.norm(row) / np.linalg.norm(other))
            for other in x.astype(np.float64) - centre
        ]
        nearest = sorted(range(len(x)), key=lambda i, c=cosines: -c[i])[:count]
        votes = np.zeros(k)
        for i in nearest:
            votes[codes[i]] += np.exp(cosines[i] / 0.07)
        answers.append(votes / votes.sum())
    return np.array(answers)


def test_knn_equals_a_slow_vote(monkeypatch):
    train, codes, x, test, test_codes, test_x = _case()
    monkeypatch.setattr(baselines, "NEIGHBOURS", (5,))
    monkeypatch.setattr(baselines, "_SMOOTHING", (0.1,))
    monkeypatch.setattr(baselines, "_BLOCK", 700)  # several blocks
    expected = 0.9 * _slow_knn(x, codes, test_x, 5, 3) + 0.1 / 3
    rows = baselines.Rows(train.inputs, codes, x, test.inputs, test_x, 3)
    found = baselines._knn(rows, np.random.default_rng(0)).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-4)
    (scored,) = _run(train, codes, x, test, test_codes, test_x, names=["knn"])
    assert scored.metrics["log_loss"].value == pytest.approx(
        metrics.log_loss(expected, test_codes), abs=1e-3
    )
    assert "the 5 nearest neighbours" in scored.note


def test_leave_one_out_leaves_the_row_itself_out():
    """Pure noise: with the row itself among its neighbours, one neighbour would always be right."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6)).astype(np.float32)
    codes = rng.choice(3, 300, p=(0.8, 0.1, 0.1))
    units = baselines._unit(x, x.mean(axis=0))
    count, share = baselines._choose(units, codes, np.arange(300), 3)
    assert count == 20
    assert share >= 0.1
    own = np.array([7, 3])
    nearest, cosine = baselines._nearest(units[own], units, 299, own)
    assert 7 not in nearest[0]
    assert 3 not in nearest[1]
    assert (np.diff(cosine, axis=1) <= 0).all()


@pytest.mark.parametrize("n", [1, 2, 4])
def test_knn_with_hardly_any_rows(n):
    x = np.arange(n * 2, dtype=np.float32).reshape(n, 2)
    codes = np.arange(n) % 3
    table = _table(["x"] * n, codes)
    found = {one.name: one for one in _run(table, codes, x, table, codes, x)}
    assert 0 < found["knn"].metrics["log_loss"].value < 5


def test_knn_among_many_rows_draws_some(monkeypatch):
    monkeypatch.setattr(baselines, "_TRAIN_ROWS", 50)
    (found,) = _run(*_case(), names=["knn"])
    assert "among 50 training rows drawn at random" in found.note
    assert found.metrics["accuracy"].value > 0.5


def test_pictures_have_two_rivals_and_texts_three():
    pytest.importorskip("sklearn")
    assert [one.name for one in _run(*_case())] == ["majority", "knn"]
    train, codes = _texts("english", 60, 0)
    assert [one.name for one in _run_texts(train, codes, train, codes)] == [
        "majority",
        "knn",
        "tfidf",
    ]


@pytest.mark.parametrize(
    ("kind", "grams"), [("english", "pairs of words"), ("chinese", "three characters")]
)
def test_tfidf_reads_words_or_characters(kind, grams):
    pytest.importorskip("sklearn")
    train, codes = _texts(kind, 90, 0)
    test, test_codes = _texts(kind, 60, 1)
    majority, tfidf = _run_texts(train, codes, test, test_codes, names=["majority", "tfidf"])
    assert grams in tfidf.note
    assert tfidf.metrics["accuracy"].value > 0.95
    assert tfidf.metrics["log_loss"].value < 0.3 < majority.metrics["log_loss"].value


def test_tfidf_is_not_surer_than_it_is_right(monkeypatch):
    """Labels that are wrong for a third of the rows: the margins' temperature has to notice."""
    pytest.importorskip("sklearn")
    train, codes = _texts("english", 600, 0)
    test, test_codes = _texts("english", 3000, 1)
    rng = np.random.default_rng(0)
    noisy, noisy_test = (
        np.where(rng.random(len(c)) < 0.35, rng.integers(0, 3, len(c)), c)
        for c in (codes, test_codes)
    )
    rows = baselines.Rows(
        tuple(train), noisy, np.zeros((600, 1)), tuple(test), np.zeros((3000, 1)), 3
    )
    p = baselines._tfidf(rows, np.random.default_rng(0)).probabilities
    assert metrics.ece(p, noisy_test) < 0.1
    monkeypatch.setattr(metrics, "temperature", lambda logits, codes: (0.2, 0.0))
    sure = baselines._tfidf(rows, np.random.default_rng(0)).probabilities
    assert metrics.ece(sure, noisy_test) > 0.12
    assert metrics.log_loss(p, noisy_test) < metrics.log_loss(sure, noisy_test) - 0.2


def test_tfidf_with_two_classes_and_one_that_was_never_seen():
    pytest.importorskip("sklearn")
    train, codes = _texts("english", 90, 0)
    two = [i for i, code in enumerate(codes) if code < 2]
    (found,) = _run_texts([train[i] for i in two], codes[two], train, codes, names=["tfidf"])
    assert found.metrics["accuracy"].value == pytest.approx(2 / 3, abs=0.05)
    assert found.metrics["log_loss"].value < 4


@pytest.mark.parametrize(
    ("train", "codes", "reason"),
    [
        (["one", "two"], [0, 0], "one class"),
        (["...", "!!"], [0, 1], "no words"),
        ([b"one", b"two"], [0, 1], "no texts"),
    ],
)
def test_tfidf_says_why_it_could_not_run(train, codes, reason):
    pytest.importorskip("sklearn")
    (found,) = _run_texts(train, np.array(codes), train, np.array(codes), names=["tfidf"])
    assert found.metrics is None
    assert reason in found.note


def test_without_scikit_learn_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    train, codes = _texts("english", 12, 0)
    majority, tfidf = _run_texts(train, codes, train, codes, names=["majority", "tfidf"])
    assert majority.metrics is not None
    assert tfidf.metrics is None
    assert tfidf.note == "scikit-learn is not installed: pip install 'headstart[sklearn]'"


def test_scripts_without_spaces():
    for text, expected in (
        ("我们今天去公园", True),
        ("これはペンです", True),
        ("สวัสดีครับ", True),
        ("the 猫 sat on the mat", False),
        ("сегодня хорошая погода", False),
        ("오늘은 날씨가 좋다", False),
        ("", False),
    ):
        assert baselines._unspaced([text]) is expected, text


def test_hold_out_takes_from_every_class_and_leaves_some_of_it():
    codes = np.random.default_rng(0).integers(0, 4, 203)
    kept, held = baselines._hold_out(codes, np.random.default_rng(1))
    assert sorted([*kept, *held]) == list(range(203))
    sizes = np.bincount(codes)
    assert np.bincount(codes[held]).tolist() == (sizes // 5).tolist()
    kept, held = baselines._hold_out(np.array([0, 0, 1, 1, 2]), np.random.default_rng(1))
    assert np.bincount(np.array([0, 0, 1, 1, 2])[held], minlength=3).tolist() == [1, 1, 0]
    assert not len(baselines._hold_out(np.arange(3), np.random.default_rng(1))[1])


def test_rows_with_unknown_labels_are_left_out():
    train, codes, x, test, test_codes, test_x = _case()
    hidden, hidden_test = codes.copy(), test_codes.copy()
    hidden[::3], hidden_test[::4] = -1, -1
    rows, test_rows = np.flatnonzero(hidden >= 0), np.flatnonzero(hidden_test >= 0)
    some = _run(train, hidden, x, test, hidden_test, test_x)
    alone = _run(
        train.take(rows),
        codes[rows],
        x[rows],
        test.take(test_rows),
        test_codes[test_rows],
        test_x[test_rows],
    )
    for one, other in zip(some, alone):
        for (
            name,
            metric,
        ) in one.metrics.items():  # the products are of other shapes: they round otherwise
            expected = other.metrics[name]
            assert (metric.value, metric.low, metric.high) == pytest.approx(
                (expected.value, expected.low, expected.high), rel=1e-4
            )


def test_a_model_is_compared_row_by_row():
    case = _case()
    majority, _ = _run(*case, model=case[4])
    assert "accuracy of the model minus this: +" in majority.note
    assert majority.note.endswith("beyond noise")
    always = np.zeros(60, dtype=int)
    majority, _ = _run(*case, model=always)
    assert "+0.0 points" in majority.note
    assert majority.note.endswith("within noise")


def test_same_generator_same_numbers_whatever_else_runs():
    case = _case()
    for array in (case[1], case[2], case[4], case[5]):
        array.flags.writeable = False
    both, again, alone = _run(*case), _run(*case), _run(*case, names=["knn"])
    assert both == again
    assert alone == both[1:]


def test_mistakes_say_so():
    train, codes, x, test, test_codes, test_x = _case()
    with pytest.raises(ConfigError, match="no baseline called 'majorty'") as caught:
        _run(train, codes, x, test, test_codes, test_x, names=["majorty"])
    assert "did you mean 'majority'" in caught.value.fix
    with pytest.raises(DataError, match="None of the 60 rows"):
        _run(train, codes, x, test, np.full(60, -1), test_x)
    for wrong, message in (
        ((train, codes[1:], x, test, test_codes, test_x), r"train: 120 rows, but codes \(119,\)"),
        ((train, codes, x, test, test_codes, test_x[1:]), r"test: 60 rows, .* features \(59, 8\)"),
        ((train, codes, x[:, 0], test, test_codes, test_x), r"features have to be \(n, d\)"),
        ((train, np.full(120, -1), x, test, test_codes, test_x), "no row has a label"),
    ):
        with pytest.raises(ValueError, match=message):
            _run(*wrong)
