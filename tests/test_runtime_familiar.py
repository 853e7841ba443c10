"""Training rows kept beside a model: nearest neighbours beside scikit-learn's, and unsound files refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import BundleError
from headstart.evaluation.familiarity import reference_of
from headstart.manifest import dump_tensors, load_tensors
from headstart.runtime import familiar
from headstart.runtime.familiar import Reference, familiarity, nearest, unit


def made(m=60, d=8, k=3, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.arange(m) % k
    features = (rng.normal(size=(k, d))[codes] * 2 + rng.normal(size=(m, d))).astype("f4")
    names = [f"row {i} 名" for i in range(m)]
    return features, codes, reference_of(features, codes, names, k)


@pytest.mark.parametrize("count", [1, 2, 7, 60, 100])
@pytest.mark.parametrize("block", [1, 200, 1 << 22])
def test_neighbours_are_those_of_a_full_sort(count, block, monkeypatch):
    monkeypatch.setattr(familiar, "_BLOCK", block)
    _, _, reference = made()
    new, _, _ = made(m=25, seed=1)
    rows, cosines = nearest(reference, new, count)
    x = new.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    expected = x @ reference.features.T.astype(np.float64)
    assert rows.shape == cosines.shape == (25, min(count, 60))
    order = np.argsort(-expected, axis=1, kind="stable")[:, :count]
    np.testing.assert_allclose(cosines, np.take_along_axis(expected, order, axis=1), atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(expected, rows, axis=1), cosines, atol=1e-6)
    assert all(len(set(row)) == len(row) for row in rows.tolist())
    assert cosines.dtype == np.float32


def test_neighbours_are_those_of_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    _, _, reference = made(m=200)
    new, _, _ = made(m=50, seed=1)
    other = neighbors.NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute")
    distances, rows = other.fit(reference.features).kneighbors(new)
    found, cosines = nearest(reference, new, 5)
    assert (found == rows).mean() > 0.99  # but for equals
    # scikit-learn brings the half-precision rows to length 1 once more
    np.testing.assert_allclose(cosines, 1 - distances, atol=1e-3)


@pytest.mark.parametrize("d", [4, 64, 1280])
def test_copies_are_known_though_the_reference_is_of_half_precision(d):
    rng = np.random.default_rng(d)
    features = rng.normal(size=(300, d)).astype(np.float32)
    reference = Reference.from_tensors(
        Reference(unit(features), np.zeros(300, np.int32), tuple(map(str, range(300)))).to_tensors()
    )
    near = features[:100] + 0.03 * rng.normal(size=(100, d)) * np.linalg.norm(
        features[:100], axis=1, keepdims=True
    ) / np.sqrt(d)
    asked = np.concatenate([features * rng.uniform(0.1, 9, (300, 1)), near, np.zeros((1, d))])
    cosine = unit(near) @ unit(features).T
    wanted = [True] * 300 + (cosine.max(axis=1) > familiar.COPY).tolist() + [False]
    assert sum(wanted) < 400
    assert familiar.copies(reference, asked).tolist() == wanted


def test_equal_rows_are_all_found():
    features, codes, _ = made(m=9)
    same = np.concatenate([features, features[:4], features[:4]])
    reference = reference_of(same, np.concatenate([codes, codes[:4], codes[:4]]), [""] * 17, 3)
    rows, cosines = nearest(reference, features[:4], 3)
    assert [sorted(row) for row in rows.tolist()] == [[i, 9 + i, 13 + i] for i in range(4)]
    np.testing.assert_allclose(cosines, 1, atol=1e-3)
    assert (nearest(reference, features[:4], 1)[0] == rows).any(axis=1).all()


def test_strange_rows_are_less_familiar_and_so_are_uncertain_ones():
    features, _, reference = made()
    sure = np.tile([0.98, 0.01, 0.01], (60, 1))
    unsure = np.tile([0.4, 0.3, 0.3], (60, 1))
    strange = np.roll(features, 3, axis=1) * np.where(np.arange(8) % 2, 1, -1)
    alone = replace(reference, neighbours=1)
    assert familiarity(alone, features, sure).min() > 0.999
    cosines = np.sort(unit(features) @ reference.features.T, axis=1)[:, -5:].mean(axis=1)
    np.testing.assert_allclose(
        familiarity(reference, features, sure), cosines + 0.98 * reference.weight, atol=1e-5
    )
    assert (familiarity(reference, features, unsure) < familiarity(reference, features, sure)).all()
    assert np.median(familiarity(reference, strange, sure)) < np.quantile(
        familiarity(reference, features, sure), 0.01
    )
    assert familiarity(reference, features[:0], sure[:0]).shape == (0,)


def test_what_is_kept_is_what_was_there_before():
    """Half precision is applied before the threshold is set, so a saved model decides as the fitted one."""
    features, _, reference = made(m=150)
    again = Reference.from_tensors(load_tensors(dump_tensors(reference.to_tensors()), "x"))
    assert again.features.tobytes() == reference.features.tobytes()
    assert again.names == reference.names
    assert (again.codes == reference.codes).all()
    p = np.full((150, 3), 1 / 3)
    one, other = (familiarity(ref, features, p) for ref in (reference, again))
    assert one.tobytes() == other.tobytes()


def test_a_bundle_of_before_counts_one_neighbour():
    _, _, reference = made(m=20)
    tensors = reference.to_tensors()
    del tensors["neighbours"]
    assert Reference.from_tensors(tensors).neighbours == 1


def test_lengths():
    found = unit(np.array([[3.0, 4.0], [0.0, 0.0], [1e-20, 0.0], [1e19, 0.0]]))
    assert found == pytest.approx(np.array([[0.6, 0.8], [0, 0], [0, 0], [1, 0]]))
    assert found.dtype == np.float32
    same = reference_of(np.full((5, 3), 0.1, "f4"), np.zeros(5, int), [""] * 5, 1)
    assert same.weight == pytest.approx(0, abs=1e-6)
    none = reference_of(np.zeros((5, 3), "f4"), np.zeros(5, int), [""] * 5, 1)
    assert (Reference.from_tensors(none.to_tensors()).features == 0).all()


def _names(value):
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("features", None, "features is missing"),
        ("features", np.zeros((6, 4), np.float32), r"float32 \(6, 4\), not float16 with 2"),
        ("features", np.zeros(6, np.float16), "not float16 with 2 dimensions"),
        ("features", np.zeros((0, 4), np.float16), "without rows"),
        ("features", np.full((6, 4), np.nan, np.float16), "features holds values that are not"),
        ("features", np.full((6, 4), 2, np.float16), "not of length 1"),
        ("codes", np.zeros(5, np.int32), "codes has 5 rows, features have 6"),
        ("codes", np.full(6, -1, np.int32), "codes holds the class number -1"),
        ("codes", np.zeros(6, np.int64), "codes is int64"),
        ("weight", np.zeros(3), r"weight is not one number within 0..100"),
        ("weight", np.array([-0.1]), r"weight is not one number within 0..100"),
        ("weight", np.array([np.inf]), "weight holds values that are not finite"),
        ("weight", np.zeros(1, np.float32), "weight is float32"),
        ("neighbours", np.zeros(1, np.int32), r"neighbours is not one number within 1..1000"),
        ("neighbours", np.ones(1), "neighbours is float64"),
        ("names", _names(["a"] * 5), "names holds 5 names"),
        ("names", _names({"a": 1}), "names is not a JSON list of strings"),
        ("names", _names([1] * 6), "names is not a JSON list of strings"),
        ("names", np.frombuffer(b"[" * 9, np.uint8), "names is not a JSON list"),
        ("names", np.frombuffer(b"\xff\xfe", np.uint8), "names is not a JSON list"),
        ("names", np.zeros((2, 2), np.uint8), "names is uint8"),
    ],
)
def test_an_unsound_field_is_named(field, value, message):
    features, codes, _ = made(m=6, d=4)
    tensors = dict(reference_of(features, codes, list("abcdef"), 3).to_tensors())
    Reference.from_tensors(tensors)
    if value is None:
        del tensors[field]
    else:
        tensors[field] = value
    with pytest.raises(BundleError, match=message) as caught:
        Reference.from_tensors(tensors, "model.headstart: reference.safetensors")
    assert "model.headstart: reference.safetensors" in caught.value.message


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_bytes_are_refused_or_read(data):
    features, codes, _ = made(m=6, d=4)
    sound = bytearray(dump_tensors(reference_of(features, codes, list("abcdef"), 3).to_tensors()))
    for _ in range(data.draw(st.integers(1, 4))):
        sound[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = Reference.from_tensors(load_tensors(bytes(sound), "x"))
    except BundleError as error:
        assert error.fix
    else:
        assert len(found) == len(found.names) == len(found.codes) == 6
        assert np.isfinite(found.features).all()
