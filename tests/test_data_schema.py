"""Guessing the roles of columns."""

from __future__ import annotations

import pytest

from headstart.data.schema import guess
from headstart.errors import DataError

TEXTS = [f"this is sentence number {i} of them" for i in range(12)]
LABELS = ["yes", "no", "maybe"] * 4


def roles(columns, **named):
    found, modality, _ = guess(columns, **named)
    return found.input, found.target, found.split, found.group, modality


def test_known_names_and_the_note():
    columns = {"text": TEXTS, "label": ["a", "b"] * 6, "split": ["train", "val", "test"] * 4,
               "domain": ["x", "y"] * 6}  # fmt: skip
    found, modality, notes = guess(columns)
    assert (found.input, found.target, found.split, modality) == ("text", "label", "split", "text")
    assert notes == (
        'columns: "text" is the input, "label" the target (2 classes), "split" divides the rows;'
        ' "domain" is not used',
    )


@pytest.mark.parametrize(
    "text", ["Text", "sentence", "Review", "utterance", "评论", "内容", "review-text"]
)
@pytest.mark.parametrize("label", ["label", "Class", "intent", "sentiment", "y", "标签", "类别"])
def test_names_in_many_forms(text, label):
    assert roles({label: LABELS, text: TEXTS}) == (text, label, None, None, "text")


def test_statistics_decide_for_unknown_names():
    assert roles({"v1": ["ham", "spam"] * 6, "v2": TEXTS})[:2] == ("v2", "v1")
    chinese = [f"这家店的第{i}道菜很好吃" for i in range(12)]
    assert roles({"甲": chinese, "乙": LABELS})[:2] == ("甲", "乙")
    codes = [f"{i:08x}" for i in range(12)]  # no spaces, as many as rows: no input, no target
    assert roles({"code": codes, "v1": LABELS, "v2": TEXTS})[:2] == ("v2", "v1")


def test_short_texts_beside_a_known_target():
    assert roles({"words": [f"w{i}" for i in range(12)], "label": LABELS})[0] == "words"


def test_pictures():
    paths = [f"img/{i}.JPG" for i in range(12)]
    assert roles({"file": paths, "label": LABELS}) == ("file", "label", None, None, "image")
    assert roles({"where": paths, "label": LABELS, "note": TEXTS})[0] == "where"
    assert roles({"image": [b"data"] * 12, "title": TEXTS, "label": LABELS})[4] == "image"
    assert roles({"image": [{"bytes": b"x", "path": None}] * 12, "label": LABELS})[4] == "image"
    assert roles({"text": TEXTS, "image": paths, "label": LABELS}, modality="text")[0] == "text"
    assert (
        roles({"file": [str(i) for i in range(12)], "label": LABELS}, modality="image")[0] == "file"
    )


def test_what_is_not_clear_is_refused():
    with pytest.raises(DataError, match="'text1' or 'text2'") as caught:
        guess({"text1": TEXTS, "text2": TEXTS[::-1], "label": LABELS})
    assert "--input" in caught.value.fix
    with pytest.raises(DataError, match="target: it could be 'a' or 'b'") as caught:
        guess({"text": TEXTS, "a": LABELS, "b": LABELS})
    assert "--target" in caught.value.fix
    with pytest.raises(DataError, match="'image' or 'text'"):
        guess({"text": TEXTS, "image": ["a.png"] * 12, "label": LABELS})
    with pytest.raises(DataError, match="'one' or 'two'"):
        guess({"one": ["a.png"] * 12, "two": ["b.png"] * 12, "label": LABELS})
    with pytest.raises(DataError, match="The columns are: en, zh"):
        guess({"en": TEXTS, "zh": ["好" * (i + 2) for i in range(12)]}, input="en")


@pytest.mark.parametrize("name", ["label", "id"])
def test_a_column_of_different_values_is_never_the_target(name):
    with pytest.raises(DataError, match="target"):
        guess({"text": TEXTS, name: [f"value {i}" for i in range(12)]}, input="text")


def test_measurements_are_no_classes():
    with pytest.raises(DataError, match="measurements"):
        guess({"text": TEXTS * 10, "label": [i / 7 for i in range(60)] * 2})


def test_named_columns_win_and_are_checked():
    columns = {"text": TEXTS, "title": TEXTS, "label": LABELS, "other": LABELS}
    assert roles(columns, input="title", target="other")[:2] == ("title", "other")
    with pytest.raises(DataError, match="named both as input and as target"):
        guess(columns, input="text", target="text")
    with pytest.raises(
        DataError, match="no column 'lable'; the columns are: text, title, label"
    ) as e:
        guess(columns, target="lable")
    assert "did you mean 'label'" in e.value.fix


def test_split_needs_the_right_values():
    assert roles({"text": TEXTS, "label": LABELS, "split": ["a", "b"] * 6})[2] is None
    assert roles({"text": TEXTS, "label": LABELS, "part of": ["Train", "dev"] * 6})[2] == "part of"


def test_groups_by_name():
    people = [f"p{i // 2}" for i in range(40)]
    columns = {"text": TEXTS * 4, "label": LABELS * 4, "patient": people[:48] + ["p19"] * 8}
    assert roles(columns)[3] == "patient"
    columns["patient"] = ["p1", "p2"] * 24  # too few to divide fairly
    assert roles(columns)[3] is None
    assert roles(columns, group="patient")[3] == "patient"


def test_without_labels():
    assert roles({"text": TEXTS, "label": LABELS}, labelled=False)[:2] == ("text", None)
    assert roles({"anything": ["x", "y"]}, labelled=False)[:2] == ("anything", None)
    assert roles({"text": TEXTS, "l": LABELS}, labelled=False, target="l")[1] == "l"


def test_empty_columns_and_odd_cells_are_harmless():
    columns = {"text": TEXTS, "label": LABELS, "empty": [None] * 12, "lists": [[1], {}] * 6}
    assert roles(columns)[:2] == ("text", "label")
