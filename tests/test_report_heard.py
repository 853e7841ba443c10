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
