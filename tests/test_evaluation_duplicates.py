"""Groups and leaks, exact and near, and what is said about them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from headstart.data.doctor import duplicate_groups
from headstart.evaluation import copies, duplicates
from headstart.preprocess import likeness
from headstart.types import Roles, Table
from tests_support import scene

A, B = "please block my credit card", "what is the weather like in town"
TYPO, CASE = "please blcok my credit card", "Please block my credit card!"


def table(inputs, targets=None, modality="text", prefix="row") -> Table:
    names = tuple(f"{prefix} {i}" for i in range(len(inputs)))
    labels = None if targets is None else tuple(targets)
    return Table(tuple(inputs), labels, names, modality, Roles("x", "y"), "x")


def test_exact_and_near_copies_share_a_group():
    assert duplicates.near_groups(table([B, A, TYPO, CASE, B])).tolist() == [0, 1, 1, 1, 0]
    assert duplicates.near_groups(table([])).tolist() == []
    assert duplicates.near_groups(table([A])).tolist() == [0]


def test_pictures_with_and_without_prints_at_hand():
    rng = np.random.default_rng(0)
    images = [scene(rng) for _ in range(4)]
    images.append(ImageOps.mirror(images[2]))
    data = table(images, modality="image")
    assert duplicates.near_groups(data).tolist() == [0, 1, 2, 3, 2]
    prints = likeness.prints(images)
    assert duplicates.near_groups(data, prints=prints).tolist() == [0, 1, 2, 3, 2]
    first, rest = data.take([0, 1, 2]), data.take([3, 4])
    found = duplicates.leaked(first, None, rest, None, prints=prints[:3], test_prints=prints[3:])
    assert found.tolist() == [False, True]


def test_leaked_rows_and_their_twins():
    train, test = table([B, A, CASE, "another text here"]), table([TYPO, B, A, "quite another one"])
    assert duplicates.leaked(train, None, test, None).tolist() == [True, True, True, False]
    of_test, of_train = duplicates.twins(train, None, test, None)
    assert of_test.tolist() == [1, 0, 1, -1]
    assert of_train.tolist() == [1, 2, 2, -1]
    assert duplicates.leaked(train, None, table([]), None).tolist() == []
    assert duplicates.leaked(table([]), None, test, None).tolist() == [False] * 4


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_merged_groups_are_the_connected_parts(edges):
    groups, others = np.arange(10), np.arange(10)
    for a, b in edges:
        others[others == others[a]] = others[b]
    found = duplicates.merged(groups, others)
    assert ((found[:, None] == found[None, :]) == (others[:, None] == others[None, :])).all()
    first = list(dict.fromkeys(found.tolist()))
    assert first == sorted(first)


def test_merging_goes_through_chains():
    assert duplicates.merged(np.array([0, 1, 1, 2]), np.array([5, 5, 7, 7])).tolist() == [0] * 4


def test_a_sample_is_taken_of_very_many_rows(monkeypatch):
    monkeypatch.setattr(duplicates, "MOST", 3)
    texts = [f"{word} is a word of its own here" for word in ("river", "stone", "winter", "garden")]
    groups = duplicates.near_groups(table([*texts, *texts]))
    assert groups.tolist() == [0, 1, 2, 3] * 2  # exact copies are found among all rows


def test_what_is_said_within_a_table():
    data = table([A, B, TYPO, CASE], ["card", "weather", "loan", "card"])
    groups = duplicates.near_groups(data)
    near, clash = copies.within(data, duplicate_groups(data), groups)
    assert (near.kind, near.numbers, near.severity) == ("near-duplicates", (0, 2, 3), "info")
    assert near.suggestions == ("", "row 0", "row 0")
    assert (clash.kind, clash.rows) == ("near-conflicts", ("row 0", "row 2", "row 3"))
    assert "row 0 is 'card', row 2 is 'loan'" in clash.message
    alike = table([A, TYPO], ["card", "card"])
    kinds = [one.kind for one in copies.within(alike, np.arange(2), np.zeros(2, int))]
    assert kinds == ["near-duplicates"]
    # a conflict between exact copies only is told by the doctor of bytes
    only = table([A, CASE], ["card", "loan"])
    assert copies.within(only, duplicate_groups(only), duplicates.near_groups(only)) == []


def test_what_is_said_across_two_tables():
    train = table([B, A, CASE, TYPO, "another text here"], list("wccca"))
    test = table([A, "quite another one", B], list("cqw"), prefix="test")
    exact, near = copies.across(train, test)
    assert (exact.kind, exact.severity, exact.numbers) == ("leak", "error", (0, 1, 2))
    assert exact.suggestions == ("test 2", "test 0", "test 0")
    assert exact.message == "2 of 3 test rows are also among the training rows."
    assert near.kind == "near-leak"
    assert near.numbers == (3,)
    assert copies.across(train, test.take([1])) == []


@pytest.mark.parametrize("modality", ["text", "image"])
def test_tables_of_two_modalities_have_nothing_in_common(modality):
    one, other = table([A], modality=modality), table([A], modality="text")
    found = duplicates.leaked(one, None, other, None)
    assert found.tolist() == [modality == "text"]


def test_exact_copies_across_tables(tmp_path):
    train = table(["One text", "two", "three"])
    test = table(["ONE TEXT.", "four", "three"])
    (finding,) = copies.across(train, test)
    assert (finding.kind, finding.rows) == ("leak", ("row 0", "row 2"))
    assert finding.suggestions == ("row 0", "row 2")
    assert finding.message == "2 of 3 test rows are also among the training rows."
    assert copies.across(train, table(["four"])) == []
    assert copies.across(train, table([])) == []
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    one, two = table([tmp_path / "a.png"], modality="image"), table([b"x", data], modality="image")
    assert copies.across(one, two)[0].suggestions == ("row 1",)
    assert copies.across(one, train) == []
