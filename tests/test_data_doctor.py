"""Findings about duplicates, labels, class sizes, skipped rows and leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from headstart.data.doctor import duplicate_groups, examine, extreme, pictures
from headstart.preprocess import likeness
from headstart.types import Roles, Skipped, Table


def table(inputs, targets=None, modality="text") -> Table:
    inputs = tuple(inputs)
    names = tuple(f"row {i}" for i in range(len(inputs)))
    labels = None if targets is None else tuple(targets)
    return Table(inputs, labels, names, modality, Roles("x", "y"), "x")


def word(i: int) -> str:
    return f"text {i}"


def kinds(findings) -> dict[str, tuple[str, ...]]:
    return {finding.kind: finding.rows for finding in findings}


def test_texts_that_are_the_same():
    texts = [
        "Good, very good!",
        "good very  GOOD",
        "Ｇｏｏｄ very good",
        "good\u200b very-good…",
        "bad",
    ]
    assert duplicate_groups(table(texts)).tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("great 😀", "great 😡"),
        ("👍", "👎"),
        ("?", "!"),
        ("a b", "ab"),
        ("2+2", "2 2"),
        ("好", "不好"),
    ],
)
def test_texts_that_are_not_the_same(one, other):
    assert duplicate_groups(table([one, other])).tolist() == [0, 1]


@given(st.lists(st.text(max_size=8), max_size=30))
def test_groups_are_numbered_by_first_appearance(texts):
    groups = duplicate_groups(table(texts))
    assert groups.shape == (len(texts),)
    assert groups.dtype == np.int64
    seen: list[int] = []
    for i, group in enumerate(groups.tolist()):
        if group not in seen:
            assert group == len(seen)
            seen.append(group)
        assert texts[i] not in texts[:i] or groups[texts.index(texts[i])] == group


def test_pictures_that_are_the_same(tmp_path):
    for name, colour in (("a", 1), ("b", 2)):
        Image.new("RGB", (4, 4), (colour, 0, 0)).save(tmp_path / f"{name}.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "copy.png").write_bytes(data)
    (tmp_path / "empty.png").touch()
    (tmp_path / "empty2.png").touch()
    pixels = np.zeros((4, 4, 3), np.uint8)
    inputs = [
        tmp_path / "a.png", tmp_path / "b.png", str(tmp_path / "copy.png"), data, tmp_path / "gone.png",
        tmp_path / "gone.png", tmp_path / "empty.png", tmp_path / "empty2.png", tmp_path, pixels,
        pixels.copy(), pixels.reshape(4, 12), Image.fromarray(pixels), b"", b"", 7,
    ]  # fmt: skip
    groups = duplicate_groups(table(inputs, modality="image")).tolist()
    assert groups[:4] == [0, 1, 0, 0]
    assert len(set(groups[4:9])) == 5  # what cannot be read equals nothing
    assert groups[9] == groups[10] == groups[12] != groups[11]
    assert groups[13] != groups[14]


def test_files_of_their_own_size_are_not_read(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "b.png").write_bytes(b"bb")
    from pathlib import Path

    def refuse(*args, **kwargs):
        raise AssertionError("read")

    monkeypatch.setattr(Path, "open", refuse)
    groups = duplicate_groups(table([tmp_path / "a.png", tmp_path / "b.png"], modality="image"))
    assert groups.tolist() == [0, 1]


def test_duplicates_and_conflicts():
    data = table(["same", "Same!", "other", "other", "third"], ["a", "b", "a", "a", "b"])
    findings = examine(data, duplicate_groups(data))
    found = kinds(findings)
    assert found["duplicates"] == ("row 0", "row 1", "row 2", "row 3")
    assert found["conflicting-labels"] == ("row 0", "row 1")
    message = next(f.message for f in findings if f.kind == "conflicting-labels")
    assert "row 0 is 'a', row 1 is 'b'" in message


def test_class_sizes():
    targets = ["big"] * 40 + ["small"] * 4 + ["one"]
    data = table(map(word, range(45)), targets)
    found = kinds(examine(data, duplicate_groups(data)))
    assert found == {
        "single-rows": ("row 44",),
        "small-classes": ("row 40", "row 41", "row 42", "row 43"),
        "imbalance": (),
    }
    even = table(map(word, range(12)), ["a", "b"] * 6)
    assert examine(even, duplicate_groups(even)) == ()
    nine = table(map(word, range(50)), ["a"] * 45 + ["b"] * 5)
    assert examine(nine, duplicate_groups(nine)) == ()
    ten = table(map(word, range(55)), ["a"] * 50 + ["b"] * 5)
    assert list(kinds(examine(ten, duplicate_groups(ten)))) == ["imbalance"]


def test_one_class_and_no_labels():
    one = table(["a", "b", "c"], ["x"] * 3)
    (finding,) = examine(one, duplicate_groups(one))
    assert (finding.kind, finding.severity) == ("one-class", "error")
    unlabelled = table(["a", "b"])
    assert examine(unlabelled, duplicate_groups(unlabelled)) == ()


@pytest.mark.parametrize(("n", "severity"), [(1, "info"), (5, "warning")])
def test_skipped(n, severity):
    gone = tuple(Skipped(f"x.csv:{i}", "empty text") for i in range(n))
    data = replace(table(map(word, range(40)), ["a", "b"] * 20), skipped=gone)
    (finding,) = examine(data, duplicate_groups(data))
    assert (finding.kind, finding.severity, len(finding.rows)) == ("skipped", severity, n)
    assert f"empty text ({n})" in finding.message


def test_duplicates_name_the_row_they_repeat():
    data = table(["same", "other", "Same!", "same"], ["a"] * 4)
    finding = next(f for f in examine(data, duplicate_groups(data)) if f.kind == "duplicates")
    assert finding.numbers == (0, 2, 3)
    assert finding.suggestions == ("", "row 0", "row 0")
    assert finding.confidence == 1.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("12.5 %", False),
        ("...!", False),
        ("👍", True),
        ("1 a", True),
        ("好", True),
        ("12\n\t—", False),
    ],
)
def test_texts_without_letters(text, says):
    data = table(["a text", "another", text], ["a", "b", "a"])
    found = kinds(examine(data, duplicate_groups(data)))
    assert ("no-letters" in found) is not says
    assert says or found["no-letters"] == ("row 2",)


def test_lengths_far_from_the_others():
    texts = [f"a text of some length, number {i:03}" for i in range(40)]
    data = table([*texts, "x" * 100_000, "y"], ["a", "b"] * 21)
    finding = next(f for f in examine(data, duplicate_groups(data)) if f.kind == "lengths")
    assert finding.rows == ("row 40", "row 41")
    assert "100,000" in finding.message
    data = table(texts, ["a", "b"] * 20)
    assert "lengths" not in kinds(examine(data, duplicate_groups(data)))


@given(st.lists(st.integers(0, 10**6), max_size=60), st.integers(1, 50))
def test_extremes_do_not_depend_on_the_unit_of_large_sizes(values, factor):
    sizes = np.array(values, dtype=np.int64) + 1
    assert extreme(sizes).tolist() == extreme(sizes * factor).tolist()
    assert len(extreme(np.full(30, 7))) == 0


def test_pictures_of_one_colour_and_odd_sizes(tmp_path):
    rng = np.random.default_rng(0)
    inputs = []
    for i in range(25):
        pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        inputs.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels).save(inputs[-1])
    Image.new("RGB", (60, 40), (10, 200, 30)).save(tmp_path / "flat.jpg", quality=30)
    Image.fromarray(rng.integers(0, 256, (2000, 2400, 3), dtype=np.uint8)).save(
        tmp_path / "big.jpg"
    )
    Image.fromarray(rng.integers(0, 256, (9, 60, 3), dtype=np.uint8)).save(tmp_path / "thin.png")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    inputs += [tmp_path / name for name in ("flat.jpg", "big.jpg", "thin.png", "broken.png")]
    data = table(inputs, modality="image")
    found = kinds(pictures(data, likeness.prints(data.inputs)))
    assert found == {"blank": ("row 25",), "sizes": ("row 26", "row 27")}
