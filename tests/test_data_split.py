"""Splits: proportions, groups, tiny classes, the data's own parts; the same on every run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.split import make_split
from headstart.errors import ConfigError, DataError
from headstart.types import Roles, Table


def table(targets, *, split=None, groups=None) -> Table:
    n = len(targets)
    return Table(
        inputs=tuple(f"text number {i}" for i in range(n)),
        targets=tuple(map(str, targets)),
        names=tuple(f"r.csv:{i + 2}" for i in range(n)),
        modality="text",
        roles=Roles("text", "label"),
        source="r.csv",
        split=None if split is None else tuple(split),
        groups=None if groups is None else tuple(map(str, groups)),
    )


def check(data: Table, split, n_folds: int = 5) -> None:
    """What must hold for every split without a split column."""
    n = len(data)
    assert sorted([*split.train, *split.test]) == list(range(n))
    assert split.train.dtype == split.test.dtype == split.folds.dtype == np.int64
    assert list(split.train) == sorted(split.train)
    assert list(split.test) == sorted(split.test)
    targets = np.array(data.targets)
    assert set(targets[split.train]) == set(targets)  # each class keeps a training row
    assert split.folds.shape == split.train.shape
    used = sorted(set(split.folds.tolist()) - {-1})
    assert used == list(range(len(used)))
    assert len(used) <= n_folds
    for fold in used:  # holding a fold out leaves every class something to learn from
        assert set(targets[split.train[split.folds != fold]]) == set(targets)


labels = st.lists(st.integers(0, 6), min_size=6, max_size=120).filter(
    lambda found: len(set(found)) > 1 and max(Counter(found).values()) > 1
)


@given(labels, st.integers(0, 5), st.sampled_from([0.1, 0.2, 0.33, 0.5, 0.8]))
@settings(deadline=None)
def test_shares_are_within_one_row(found, seed, share):
    data = table(found)
    split = make_split(data, seed=seed, test_size=share)
    check(data, split)
    sizes = Counter(data.targets)
    held = Counter(data.targets[i] for i in split.test)
    for label, n in sizes.items():
        assert abs(held[label] - share * n) <= 1 or n == 1
    eligible = sum(n for n in sizes.values() if n > 1)
    assert share > 0.5 or abs(len(split.test) - share * eligible) <= 1
    assert len(split.test) >= 1
    folds = Counter(zip((data.targets[i] for i in split.train), split.folds.tolist()))
    for label in sizes:
        counts = [folds[label, fold] for fold in range(int(split.folds.max()) + 1)]
        assert folds[label, -1] or max(counts) - min(counts) <= 1


@given(labels, st.data(), st.integers(0, 3))
@settings(deadline=None)
def test_groups_are_never_parted(found, draw, seed):
    n = len(found)
    groups = np.array(draw.draw(st.lists(st.integers(0, 12), min_size=n, max_size=n)))
    data = table(found)
    targets = np.array(data.targets)
    rest = (set(targets[groups != group].tolist()) for group in set(groups.tolist()))
    if not any(others == set(targets.tolist()) for others in rest):
        with pytest.raises(DataError, match="held out"):  # each group holds the last of some class
            make_split(data, groups=groups, seed=seed)
        return
    split = make_split(data, groups=groups, seed=seed)
    check(data, split)
    assert not set(groups[split.train]) & set(groups[split.test])
    for group in set(groups[split.train].tolist()):
        assert len(set(split.folds[groups[split.train] == group].tolist())) == 1


def test_groups_of_the_table_are_kept():
    groups = [i // 4 for i in range(100)]
    data = table([i % 2 for i in range(100)], groups=groups)
    split = make_split(data)
    check(data, split)
    parted = {groups[i] for i in split.train} & {groups[i] for i in split.test}
    assert parted == set()
    assert len(split.test) == 20
    assert split.notes[0] == "100 rows belong to 25 groups, which were kept together"


def test_coarse_groups_come_near_the_share():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 50)  # twelve people, fifty rows each
    data = table(rng.integers(0, 3, 600))
    for seed in range(5):
        split = make_split(data, groups=groups, seed=seed)
        check(data, split)
        assert 50 <= len(split.test) <= 150


def test_duplicates_do_not_gather_in_the_test_part():
    targets = [i % 2 for i in range(1000)]
    groups = np.arange(1000)
    groups[:300] = np.repeat(np.arange(150), 2)
    targets[:300] = np.repeat(np.arange(150) % 2, 2).tolist()
    split = make_split(table(targets), groups=groups)
    assert len(split.test) == 200
    assert 30 <= (split.test < 300).sum() <= 90  # 60 expected


def test_no_two_groups_fit():
    data = table([0, 1] * 6)
    split = make_split(data, groups=np.repeat([0, 1], 6))
    check(data, split)
    assert len(split.test) == 6
    with pytest.raises(DataError, match="No row can be held out"):
        make_split(table([0] * 4 + [1] * 4), groups=np.repeat([0, 1], 4))


def test_two_hundred_classes_of_two_rows():
    data = table([i // 2 for i in range(400)])
    split = make_split(data)
    check(data, split)
    assert len(split.test) == 80
    assert any("120 of 200 classes have no row to measure on" in note for note in split.notes)
    assert (split.folds == -1).sum() == 80  # their other row went to the test part
    by_class = Counter(data.targets[i] for i in split.test)
    assert max(by_class.values()) == 1


def test_class_with_one_row_stays_in_training():
    data = table(["a"] * 10 + ["b"] * 10 + ["once"])
    split = make_split(data)
    check(data, split)
    assert 20 in split.train
    assert split.folds[list(split.train).index(20)] == -1
    assert any("1 of 3 classes have no row to measure on: 'once'" in note for note in split.notes)


def test_same_seed_same_split_and_other_seed_another():
    data = table([i % 3 for i in range(200)])
    first, again, other = make_split(data), make_split(data), make_split(data, seed=1)
    assert (first.test == again.test).all()
    assert (first.folds == again.folds).all()
    assert set(first.test) != set(other.test)


@given(st.permutations(range(40)))
@settings(deadline=None, max_examples=20)
def test_order_of_rows_does_not_matter(order):
    data = table([i % 3 for i in range(40)])
    wanted = make_split(data)
    shuffled = data.take(order)
    split = make_split(shuffled)
    assert {shuffled.inputs[i] for i in split.test} == {data.inputs[i] for i in wanted.test}
    folds = dict(zip((data.inputs[i] for i in wanted.train), wanted.folds.tolist()))
    assert dict(zip((shuffled.inputs[i] for i in split.train), split.folds.tolist())) == folds


def test_the_split_of_the_data_is_kept():
    parts = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    data = table([0, 1] * 6, split=parts)
    split = make_split(data)
    assert (split.name, list(split.train), list(split.test)) == ("test", [*range(9)], [9, 10, 11])
    assert split.protocol == (
        "the split of the data: learned from its train and val rows, measured on its test rows"
    )
    assert set(split.folds.tolist()) == {0, 1, 2, 3, 4}
    without = make_split(data, with_test=False)
    assert list(without.train) == [*range(9)]
    assert len(without.test) == 0
    assert "3 rows that the data marks as test are kept out" in without.notes


def test_train_and_val_only():
    data = table([0, 1] * 6, split=["train"] * 9 + ["val"] * 3)
    split = make_split(data)
    assert (split.name, list(split.test)) == ("val", [9, 10, 11])
    assert list(make_split(data, with_test=False).train) == [*range(12)]
    only = make_split(replace(data, split=("train",) * 12))
    assert only.name == "held-out"
    assert len(only.test) == 2


def test_with_test_elsewhere():
    split = make_split(table([0, 1] * 6), with_test=False)
    assert list(split.train) == [*range(12)]
    assert len(split.test) == 0
    assert split.test.dtype == np.int64
    single = make_split(table(list("abcd")), with_test=False)
    assert single.folds.tolist() == [-1] * 4


def test_notes_on_classes_and_groups_of_a_given_split():
    data = table(["a", "b", "a", "b", "a", "new"], split=["train"] * 4 + ["test"] * 2)
    split = make_split(data, groups=np.array([0, 1, 2, 3, 0, 5]))
    assert "1 classes are in the test rows only: 'new'" in split.notes
    assert "1 of 3 classes have no row to measure on: 'b'" in split.notes
    assert "1 test rows belong to groups that have training rows too" in split.notes


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (table(["x"] * 8), r"only one class \('x'\)"),
        (table(["x", "y", "x"]), "3 usable rows"),
        (replace(table(["x", "y"] * 3), targets=None), "no labels"),
        (table(["x", "y"] * 3, split=["test"] * 6), "no training rows"),
        (table(["x", "y"] * 3, split=["train", "test"] * 3), r"only one class \('x'\)"),
        (table(list("abcde")), "No row can be held out"),
    ],
)
def test_data_that_cannot_be_split(data, message):
    with pytest.raises(DataError, match=message) as caught:
        make_split(data)
    assert caught.value.fix


def test_settings_out_of_range():
    data = table([0, 1] * 6)
    for wrong in ({"test_size": 0.0}, {"test_size": 1.0}, {"n_folds": 1}):
        with pytest.raises(ConfigError):
            make_split(data, **wrong)
    assert set(make_split(data, n_folds=2).folds.tolist()) == {0, 1}


def test_folds_are_of_even_size():
    data = table([i % 7 for i in range(500)])
    folds = make_split(data).folds
    assert max(np.bincount(folds)) - min(np.bincount(folds)) <= 1


def timed(targets, times, **more) -> Table:
    return replace(
        table(targets, **more),
        times=tuple(map(str, times)),
        roles=Roles("text", "label", time="day"),
    )


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=8, max_size=80), st.data()
)
@settings(deadline=None)
def test_the_latest_rows_are_measured(found, draw):
    targets, times = (np.array(column) for column in zip(*found))
    groups = np.array(
        draw.draw(st.lists(st.integers(0, 40), min_size=len(found), max_size=len(found)))
    )
    data = timed(targets, times)
    try:
        split = make_split(data, groups=groups)
    except DataError as error:
        assert any(
            part in error.message
            for part in ("only one class", "same time", "groups that have", "are all")
        )
        return
    assert sorted([*split.train, *split.test]) == list(range(len(found)))
    assert not set(groups[split.train]) & set(groups[split.test])
    cut = times[split.test].min()
    late = [row for row in split.train.tolist() if times[row] >= cut]
    early = set(groups[times < cut])
    assert all(groups[row] in early for row in late)  # learned from for their group's sake only
    assert not late or any("later rows are learned from" in note for note in split.notes)
    assert split.folds.shape == split.train.shape
    names = targets[split.train]
    for fold in set(split.folds.tolist()) - {-1}:
        assert set(names[split.folds != fold]) == set(names)


def test_time_splits_say_from_when_to_when():
    days = [f"2024-{1 + i // 28:02}-{1 + i % 28:02}" for i in range(100)]
    split = make_split(timed([i % 2 for i in range(100)], days))
    assert split.test.tolist() == list(range(80, 100))
    assert split.name == "held-out"
    assert split.protocol == (
        "the latest 20 of 100 rows held out, 2024-03-25 to 2024-04-16; "
        "learned from 2024-01-01 to 2024-03-24"
    )
    assert "the folds of the cross-validation are blocks of time" in split.notes
    assert split.folds.tolist() == np.repeat(np.arange(5), 16).tolist()
    assert (make_split(timed([i % 2 for i in range(100)], days), seed=7).test == split.test).all()


def test_equal_times_stay_together():
    times = np.repeat([1, 2, 10], [40, 33, 27])  # as numbers: 10 is later than 2
    split = make_split(timed([i % 2 for i in range(100)], times))
    assert split.test.tolist() == list(range(73, 100))
    assert split.folds.tolist() == [0] * 40 + [1] * 33


def test_groups_that_straddle_the_cut_are_learned_from():
    groups = np.arange(100)
    groups[[5, 85, 95]] = 5
    split = make_split(timed([i % 2 for i in range(100)], range(100)), groups=groups)
    assert split.test.tolist() == [i for i in range(80, 100) if i not in (85, 95)]
    assert "2 later rows are learned from, as their 1 groups have earlier rows too" in split.notes
    folds = dict(zip(split.train.tolist(), split.folds.tolist()))
    assert folds[5] == folds[85] == folds[95] == 4  # where the latest of them belongs


def test_time_and_parts_of_the_data():
    parts = ["train"] * 80 + ["test"] * 20
    data = timed([i % 2 for i in range(100)], range(100, 0, -1), split=parts)
    split = make_split(data)
    assert split.name == "test"
    assert split.test.tolist() == list(range(80, 100))
    assert split.folds.tolist() == np.repeat(np.arange(5)[::-1], 16).tolist()
    without = make_split(replace(data, split=None), with_test=False)
    assert without.folds.tolist() == np.repeat(np.arange(5)[::-1], 20).tolist()


def test_what_cannot_be_divided_by_time():
    with pytest.raises(DataError, match="all rows have the same time"):
        make_split(timed([0, 1] * 6, ["2024-01-01"] * 12))
    with pytest.raises(DataError, match="groups that have earlier ones"):
        make_split(timed([0, 1] * 6, range(12)), groups=np.arange(12) % 3)
    with pytest.raises(DataError, match=r"earlier rows of r\.csv are all '0'") as caught:
        make_split(timed([0] * 9 + [1] * 3, range(12)), test_size=0.25)
    assert "--test-size" in caught.value.fix
    later = make_split(timed(["a", "b"] * 9 + ["new"] * 4, range(22)))
    assert "1 classes are in the test rows only: 'new'" in later.notes
