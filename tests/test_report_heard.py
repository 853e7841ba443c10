"""Every sentence that other rooms hand to the report has a Chinese form: real runs, no English left."""

import re

import numpy as np
import pytest

import headstart as hs
from tests_support import paint

# what may stay in Latin letters on a Chinese page: names, units, commands, abbreviations
_ALLOWED = re.compile(
    r"Headstart|headstart|TF-IDF|F1|CC0-1\.0|tiny:\w+|L2|SHA-256|logits?|probe|ONNX|CSV|UTF-8|Macro|none|soft|balanced"
)


def english(html):
    """Runs of three English words in what a reader sees, marked ones (lang="en") aside."""
    seen = re.sub(r"(?s)<(style|script|code|pre)\b.*?</\1>", " ", html)
    seen = re.sub(r"<[^>]+>", " | ", seen)
    seen = _ALLOWED.sub(" | ", seen)
    return re.findall(r"[A-Za-z]{2,}(?:[ ,]+[A-Za-z]{2,}){2,}", seen)


@pytest.mark.parametrize("kind", ["pictures", "table", "imbalanced"])
def test_no_english_sentence_is_left_on_a_chinese_page(kind, photos, reviews, tmp_path):
    if kind == "pictures":
        (photos / "red" / "empty.png").write_bytes(b"")
        (photos / "red" / "copy.png").write_bytes((photos / "red" / "red00.png").read_bytes())
        (photos / "blue" / "copy.png").write_bytes((photos / "red" / "red01.png").read_bytes())
        model = hs.fit(photos, backbone="tiny:image")
    elif kind == "table":
        with reviews.open("a") as file:
            file.write("lonely\n,good\nvery " + "long " * 40 + ",good\n")
        model = hs.fit(reviews, backbone="tiny:text")
    else:
        rng = np.random.default_rng(0)
        for i in range(40):
            paint(tmp_path / "p" / "many" / f"{i}.png", (200, 40, 40), rng)
        for i in range(3):
            paint(tmp_path / "p" / "few" / f"{i}.png", (40, 40, 200), rng)
        model = hs.fit(tmp_path / "p", backbone="tiny:image")
    assert english(model.html("en"))  # the check can see English
    assert english(model.html("zh")) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "failing failed on this graph (device lost)",
        "openvino does not run this graph; onnxruntime does (no such operator)",
        "features in int8: 94 % of the ten nearest neighbours stay, mean cosine 0.9440, "
        "cross-validated accuracy 80.1 instead of 81.0 %.",
        "features in bfloat16: 99 % of the ten nearest neighbours stay, mean cosine 0.9998.",
        "Not all features could be kept (No space left on device: /x): the next run computes them again.",
        "make room on the disk, or move the cache: set HEADSTART_CACHE to another folder",
        "leave --precision out: float32 keeps what is lost here",
        "The index of the features kept in /x was damaged (file is not a database): 12 entries could be "
        "read, what is missing is computed again.",
    ],
)
def test_what_the_machinery_says_has_a_chinese_form(sentence):
    from headstart.report.overheard import chinese

    told = chinese(sentence)
    assert told != sentence
    assert re.search("[\u4e00-\u9fff]", told)
    assert "（交叉验证准确率  %" not in told


def test_a_fit_in_int8_is_told_in_chinese(photos):
    from headstart.features import precision
    from headstart.report.overheard import chinese

    found = precision.Comparison(0.9, 0.99, 0.8, 0.7, 0.01)
    assert chinese(f"features in int8: {found}.") == (
        "特征以 int8 精度计算：十个最近邻中 90 % 不变，平均余弦 0.9900（交叉验证准确率 70.0 %，float32 为 80.0 %）。"
    )
