"""The page and the lines about one answer: escaped, in two languages, whole without a script."""

import base64
import hashlib
import re

import numpy as np
import pytest

import report_examples as ex
from headstart.errors import ConfigError
from headstart.report import why, why_terminal, why_view
from headstart.report.why_words import _PHRASES, WhyWords, odds
from headstart.report.words import columns
from headstart.runtime.explanation import Explanation, Neighbour, Span
from headstart.types import Prediction
from test_report_page_html import Reader


class Page(Reader):
    """As for the report; this page has a slider, too."""

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        if tag == "input":
            self.open.pop()


def read(text):
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


def of_text(text="a lovely shop", label="good", note="", answer="good", **more):
    spans, at = [], 0
    for i, word in enumerate(text.split()):
        start = text.index(word, at)
        at = start + len(word)
        spans.append(Span(word, start, at, (-1) ** i * (i + 1) / 2))
    near = tuple(
        Neighbour(f"reviews.csv:{i}", ("good", "bad")[i % 2], 0.9 - i / 10) for i in range(3)
    )
    prediction = Prediction(
        text, answer, 0.93, (answer,), probabilities={"good": 0.93, "bad": 0.07, label: 0.5}
    )
    return Explanation(
        text, prediction, label, near, None, tuple(spans), 130, 0.4, note, 1.0, **more
    )


def of_picture(name="photos/a.jpg", label="glass"):
    rng = np.random.default_rng(0)
    heat = np.full((60, 90), np.nan, np.float32)
    heat[:, 15:75] = 0.0
    heat[10:20, 20:35], heat[45:55, 60:75] = 0.01, -0.005
    prediction = Prediction(
        name, "glass", 0.81, ("glass",), probabilities={"glass": 0.81, label: 0.1}
    )
    near = (Neighbour("glass/1.jpg", "glass", 0.93), Neighbour("metal/2.jpg", "metal", 0.71))
    return Explanation(
        name, prediction, label, near, heat, (), 200, 1.4,
        "The model does not see the edges: 33 % of the picture.", 0.82,
        rng.integers(0, 255, (60, 90, 3), dtype=np.uint8),
    )  # fmt: skip


def test_every_sentence_is_in_both_languages():
    for english, chinese in _PHRASES.values():
        assert english.strip()
        assert re.search("[\u4e00-\u9fff×]", chinese)
        assert "|" not in chinese
        blanks = set(re.findall(r"{(\w+)", english)) - {"n"}
        assert blanks == set(re.findall(r"{(\w+)", chinese)) - {"n"}, english
    with pytest.raises(ConfigError):
        WhyWords("fr")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_shows_what_was_found(lang):
    both = [of_picture(), of_text()]
    page = read(why.render(both, ["", "a lovely shop"], lang, model="shop.headstart"))
    said = " ".join("".join(page.text).split())
    for part in (
        "shop.headstart",
        "glass",
        "good",
        "photos/a.jpg"[7:],
        "glass/1.jpg",
        "0.930",
        "reviews.csv:2",
    ):
        assert part in said
    assert "alovelyshop" in said.replace(" ", "")
    assert said.count("× ") >= 4
    assert ("33%" in said) if lang == "zh" else ("33 %" in said)
    if lang == "zh":
        left = re.sub(r"[\u4e00-\u9fff].*?|[A-Za-z]+\.\w+", "", said)
        assert "speaks" not in left
        assert "The " not in left
    pictures = [value for tag, name, value in page.attributes if tag == "img" and name == "src"]
    assert [one[:15] for one in pictures] == ["data:image/jpeg", "data:image/png;"]


def test_hostile_strings_stay_strings():
    for attack in ex.ATTACKS:
        one = of_text(f"{attack} x", label=attack, answer=attack, note=attack)
        page = read(
            why.render([one], [one.input], model=attack, contents={"reviews.csv:1": attack})
        )
        assert page.tags.count("script") == 1
        assert page.tags.count("img") == 0
        assert not [name for _, name, _ in page.attributes if name.startswith("on")]
        assert "\x1b" not in "".join(page.text)
        assert "\u202e" not in "".join(page.text)
        shown = why_terminal.told(one, one.input, colour=True)
        assert not re.findall("\x1b(?!\\[(?:48;5;\\d+|38;5;16|0|2)m)", shown)


def test_the_policy_allows_this_one_script():
    html = why.render([of_picture()], [""])
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert (
        f"script-src &#39;sha256-{digest}&#39;" in html or f"script-src 'sha256-{digest}'" in html
    )
    assert "default-src 'none'" in html
    assert not re.findall(r"https?://", html)


def test_inputs_that_could_not_be_read_are_listed():
    bad = Explanation(
        "b.jpg", Prediction("b.jpg", None, None, abstained=True, reason="empty file"), None
    )
    said = "".join(read(why.render([of_picture(), bad], ["", ""])).text)
    assert "Not explained" in said
    assert "empty file" in said
    assert "Not explained" not in "".join(read(why.render([of_picture()], [""])).text)


def test_another_label_and_a_withheld_answer_are_said():
    said = "".join(read(why.render([of_picture(label="metal")], [""])).text)
    assert "What speaks for “metal”?" in said
    assert "which the model gives 10.0" in said
    one = of_text()
    held = Prediction(
        "x", "good", 0.4, (), True, "probability below 0.5", {"good": 0.4, "bad": 0.6}
    )
    shown = Explanation("x", held, "good", spans=one.spans)
    assert "withheld: probability below 0.5" in "".join(
        read(why.render([shown], ["a lovely shop"])).text
    )
    assert "withheld" in why_terminal.told(shown, "a lovely shop")


def test_characters_that_pull_the_same_way_are_one_piece():
    text, weights = "我很喜欢它差", [0.01, 0.5, 1.0, 0.9, -0.01, -1.0]
    spans = tuple(Span(c, i, i + 1, w) for i, (c, w) in enumerate(zip(text, weights)))
    found = [(bar.name, round(bar.weight, 2)) for bar in why_view.pieces(spans)]
    assert found == [("很喜欢", 2.4), ("差", -1.0)]
    words = tuple(Span(w, 5 * i, 5 * i + 4, 1.0) for i, w in enumerate(["good", "fine"]))
    assert [bar.name for bar in why_view.pieces(words)] == ["good", "fine"]  # a space is between
    assert why_view.pieces((Span("a", 0, 1, 0.0), Span("rest", 2, 6, 0.0, seen=False))) == []


def test_the_places_add_up_to_the_whole_heat():
    one = of_picture()
    bars = why_view.places(one.heat, WhyWords("en"))
    assert bars[0].name == "top left"
    assert bars[0].weight > 0
    assert bars[-1].weight < 0
    assert sum(bar.weight for bar in bars) == pytest.approx(np.nansum(one.heat), rel=1e-4)
    assert max(bar.share for bar in bars) == 1


def test_the_whole_text_is_shown_once():
    text = "  我很 good，\n shop  and more "
    spans = tuple(
        Span(text[a:b], a, b, w)
        for a, b, w in ((2, 3, 1.0), (3, 4, -0.5), (5, 10, 0.001), (12, 16, 0.2))
    ) + (Span(text[18:26], 18, 26, 0.0, seen=False),)
    runs = why_view.marked(text, spans, WhyWords("en"))
    assert "".join(run.text for run in runs).rstrip() == text.rstrip()
    assert [run.kind for run in runs if run.text.strip()] == [
        "for",
        "against",
        "plain",
        "for",
        "unseen",
    ]


@pytest.mark.parametrize(
    ("weight", "shown"),
    [
        (0, "1.0"),
        (0.6931, "2.0"),
        (-0.6931, "0.5"),
        (5, "150"),
        (-9, "0.00012"),
        (50, "490,000,000"),
    ],
)
def test_odds_for_people(weight, shown):
    assert odds(weight) == shown


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_terminal_lines_fit(lang):
    for one, text in ((of_picture(), ""), (of_text(), "a lovely shop")):
        lines = why_terminal.told(one, text, lang).splitlines()
        assert max(map(columns, lines)) <= 100
        assert all(line == line.rstrip() for line in lines)
    assert "\x1b[48;5;" in why_terminal.told(of_text(), "a lovely shop", colour=True)
    shown = why_terminal.told(
        of_text(), "a lovely shop", contents={"reviews.csv:0": "never\x07 mind"}
    )
    assert "never\\x07 mind" in shown
