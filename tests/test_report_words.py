"""Sentences, numbers and translations."""

import ast
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import headstart.report.words
from headstart.errors import ConfigError
from headstart.report.overheard import chinese
from headstart.report.phrases import PHRASES
from headstart.report.words import Words, clip, columns, visible

ROOM = Path(headstart.report.words.__file__).parent


def fields(sentence):
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("key", PHRASES)
def test_both_languages_say_the_same(key):
    english, zh = PHRASES[key]
    assert bool(english) == bool(zh) or key.startswith("unit.")
    for variant in english.split("|"):
        # Chinese may need a measure word that English has not
        assert fields(zh) - {"unit"} == fields(english) | fields(variant) - {"unit"}
    assert english.count("|") in (0, 1)
    assert "|" not in zh


OTHERS = (
    "phrases",
    "why",
    "doctor",
    "diagnosis",
)  # pages and terminals with sentences of their own


def test_every_sentence_is_used_and_every_used_one_exists():
    sources = "".join(
        path.read_text("utf-8")
        for kind in ("*.py", "*.j2")
        for path in ROOM.glob(kind)
        if not path.name.startswith(OTHERS)
    )
    called = set(re.findall(r"""\bw\(\s*["']([a-z0-9_.-]+)["']""", sources))
    assert {key for key in called if not key.endswith(".")} <= set(PHRASES)  # others are completed
    groups = ("things.", "one.", "many.", "unit.", "split.", "metric.", "about.", "severity.", "method.",
              "chosen.", "value.", "stage.", "baseline.", "role.", "temperature.", "t.baseline.", "next.", "kind.", "sets.",
              "transfer.end.", "tried.rows.")  # fmt: skip
    literal = {
        node.value
        for path in ROOM.glob("*.py")
        if not path.name.startswith(OTHERS)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    unused = {key for key in PHRASES if key not in called | literal and not key.startswith(groups)}
    assert unused == set()


def test_one_and_many():
    w = Words("en")
    assert w("things.image", n=1) == "1 picture"
    assert w("things.image", n=1234) == "1,234 pictures"
    assert Words("zh")("things.image", n=1) == "1 张图片"


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.8214, "82.1 %"), (1.0, "100.0 %"), (0.9999, "99.9 %"), (0.00001, "0.1 %"), (0.0, "0.0 %")],
)
def test_shares_are_never_rounded_to_certainty(value, told):
    assert Words("en").percent(value) == told.replace(" ", "\u00a0")


@given(st.floats(0, 1), st.integers(0, 2))
def test_a_share_is_near_what_is_shown(value, digits):
    shown = float(Words("zh").percent(value, digits).rstrip("%"))
    assert abs(shown - 100 * value) <= 10.0**-digits


def test_numbers_dates_and_times():
    w, zh = Words("en"), Words("zh")
    assert w.percent(float("nan")) == w.decimal(float("nan")) == "–"
    assert [w.seconds(s).replace("\u00a0", " ") for s in (0.084, 4.25, 21.3, 125)] == [
        "0.08 s",
        "4.2 s",
        "21 s",
        "2 min 5 s",
    ]
    assert zh.seconds(21.3).replace("\u00a0", " ") == "21 秒"
    assert w.date("2026-11-24T09:30:00+00:00") == "2026-11-24 09:30 UTC"
    assert zh.date("2026-11-24T09:30:00+00:00") == "2026 年 11 月 24 日 09:30 UTC"
    assert w.date("yesterday") == "yesterday"


def test_an_unknown_language_is_refused():
    with pytest.raises(ConfigError, match="'de'"):
        Words("de")


@pytest.mark.parametrize(
    ("text", "wide"),
    [("abc", 3), ("中文", 4), ("é", 1), ("e\u0301", 1), ("ａ", 2), ("", 0), ("a\u200db", 2)],
)
def test_columns_of_a_terminal(text, wide):
    assert columns(text) == wide


@given(st.text())
def test_nothing_unseen_is_left(text):
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", visible(text))
    assert len(clip(text, 20)) <= 20
    assert "\n" not in clip(text, 20)


@pytest.mark.parametrize(
    ("english", "told"),
    [
        ("1,234 of 6,170 rows held out, drawn within every class (seed 7)", "从 6,170 行中按类别抽取 1,234 行留作测量（种子 7）"),
        ("all rows are for learning; the test set is given apart", "所有数据都用于学习；测试数据单独提供"),
        ("empty file", "空文件"),
        (
            "3 of 90 inputs were left out while reading: empty file (2); odd thing (1).",
            "读取 90 个输入时跳过了 3 个：空文件 (2)；odd thing (1)。",
        ),
        (
            'columns: "text" is the input, "label" the target (2 classes); "id", "when" are not used',
            '列："text" 是输入，"label" 是标签（2 类）；"id", "when" 未使用',
        ),
        (
            "9 classes have fewer than 5 rows: 'a', 'b' and 7 more.",
            "9 个类别不足 5 行：'a', 'b' 等（另有 7 个）。",
        ),
        ("2 rows have labels that the model never saw: left out of the scores", "2 行的标签是模型从未见过的，未计入得分"),
        ("empty file; something nobody knows", "empty file; something nobody knows"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_other_rooms_say_in_chinese(english, told):
    assert chinese(english) == told
