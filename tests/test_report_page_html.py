"""The HTML report: back and forth, light, escaped, in two languages."""

import dataclasses
import html.parser
import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import report_examples as ex
from headstart.errors import BundleError, ConfigError
from headstart.report import page
from headstart.types import Finding, Skipped

VOID = {"meta", "link", "img", "br"}
DRAWN = {"line", "circle", "rect", "path"}  # closed by themselves, in SVG
TAGS = {
    "html", "head", "title", "style", "script", "body", "header", "main", "section", "footer", "nav",
    "h1", "h2", "h3", "h4", "p", "div", "span", "bdi", "b", "i", "a", "ol", "ul", "li", "dl", "dt", "dd",
    "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary", "figure", "figcaption",
    "blockquote", "pre", "code", "svg", "text", "desc",
} | VOID | DRAWN  # fmt: skip


NAMES = ["waste", "intents", "reviews", "spam", "tiny", "hostile"]


class Reader(html.parser.HTMLParser):
    """Tags, attributes and visible text of a page; raises where the tags do not nest."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID | DRAWN:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def assert_harmless(text):
    """Only our own elements and attributes, one inert script, nothing that loads."""
    reader = read(text)
    assert set(reader.tags) <= TAGS
    assert reader.tags.count("script") == 1
    names = {name for _, name, _ in reader.attributes}
    assert not [name for name in names if name.startswith("on")]
    for tag, name, value in reader.attributes:
        if name == "href":
            assert value == "data:," or value.startswith("#"), (tag, value)
        if name == "src":
            assert value.startswith("data:image/jpeg;base64,")
        if name == "style":
            assert re.fullmatch(r"(width:[\d.]+%|--a:[\d.]+)", value)
    return reader


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", NAMES)
def test_a_report_survives_the_page(name, lang):
    report = getattr(ex, name)()
    text = page.render(report, lang)
    assert page.read(text).to_json() == report.to_json()
    assert page.render(page.read(text), lang) == text
    assert_harmless(text)


def test_the_page_stays_light():
    report = ex.hostile(k=200, skipped=2000)
    assert len(report.mistakes) == 12
    assert all(one.image for one in report.mistakes)
    text = page.render(report)
    assert len(text.encode()) < 1_000_000
    assert "all listed in --json" in text


def test_however_many_names_there_are_the_page_stays_light_and_counts_them_all():
    report = ex.waste(40)
    many = tuple(Skipped(f"{'folder/' * 20}{i}.jpg", "empty file") for i in range(20_000))
    rows = tuple(f"{'folder/' * 20}{i}.jpg" for i in range(20_000))
    report = dataclasses.replace(
        report,
        skipped=many,
        findings=(Finding("duplicates", "info", "many", "", rows),) * 3,
        finding_rows=(20_000,) * 3,
    )
    text = page.render(report)
    assert len(text.encode()) < 1_000_000
    again = page.read(text)
    assert again.n_skipped == 20_000
    assert again.finding_rows == (20_000,) * 3
    assert "20,000 inputs were left out" in page.render(again)


def test_the_verdict_says_the_numbers():
    report = ex.waste()
    told = " ".join(" ".join(read(page.render(report)).text).split()).replace("\u00a0", " ")
    correct = int(report.evaluation.confusion.trace())
    accuracy = report.evaluation.metrics["accuracy"]
    assert (
        f"Right on {correct} of 340 held-out pictures, that is {100 * accuracy.value:.0f} %" in told
    )
    assert f"between {100 * accuracy.low:.0f} % and {100 * accuracy.high:.0f} %" in told
    assert "Always guessing the largest class would get 24 %" in told
    assert f"{100 * accuracy.value:.1f} %" in told
    assert "only 17 examples" in told
    for skip in report.skipped:
        assert skip.input in told
    for finding in report.findings:
        assert finding.message in told


def test_a_model_that_is_no_better_than_a_simple_rival_is_called_so():
    codes = ex.np.arange(60) % 3
    p = ex.answers(codes, 3, 0.5, 1)
    rivals = (("knn", 0.97, 0.97, ""),)
    labels = ("a", "b", "c")
    report = ex.waste(40)
    beaten = dataclasses.replace(report, evaluation=ex.evaluation(p, codes, labels, rivals=rivals))
    told = " ".join(read(page.render(beaten)).text)
    assert "It does not beat a simple rival: nearest neighbours scores 97.0" in told
    assert "simple rival:" not in " ".join(read(page.render(report)).text)


def test_reasons_that_differ_in_their_numbers_are_one_group():
    skipped = tuple(
        Skipped(f"{n}.jpg", f"{n} x {n} pixels, more than the limit of 50 million")
        for n in (8000, 9000)
    )
    told = " ".join(read(page.render(dataclasses.replace(ex.waste(40), skipped=skipped))).text)
    assert "… x … pixels, more than the limit of … million" in told
    for skip in skipped:
        assert skip.reason in told
    same = tuple(Skipped(f"{n}.jpg", "5 x 5 pixels") for n in range(9))
    told = " ".join(read(page.render(dataclasses.replace(ex.reviews(40), skipped=same))).text)
    assert told.count("5 x 5 pixels") == 2  # the group, and what to do next


def test_headings_go_down_by_single_steps_and_every_picture_has_words():
    for name in NAMES:
        text = page.render(getattr(ex, name)())
        levels = [int(n) for n in re.findall(r"<h([1-4])[ >]", text)]
        assert levels.count(1) == 1
        assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
        images = re.findall(r"<img [^>]*>", text)
        assert all(re.search(r' alt="[^"]+"', one) for one in images)
        for svg in re.findall(r"<svg [^>]*>", text):
            assert 'aria-hidden="true"' in svg or re.search(r'role="img" aria-label="[^"]+"', svg)
        assert len(re.findall("<table", text)) == len(re.findall("<caption", text))


def test_every_sentence_of_the_chinese_page_is_chinese():
    for name in ("waste", "intents", "reviews", "spam", "tiny"):
        report = getattr(ex, name)()
        text = page.render(report, "zh")
        assert '<html lang="zh-CN">' in text
        assert 'lang="en"' not in text  # no sentence of another room was left untranslated
        text = re.sub(r"(?s)<(pre|code|bdi|blockquote|script|style)\b.*?</\1>", " ", text)
        text = re.sub(r"(?s)<img [^>]*>", " ", text)
        spoken = " ".join(read(text).text) + " ".join(re.findall(r'aria-label="([^"]*)"', text))
        for word in (*report.evaluation.labels, report.title, "TF-IDF", "SHA-256"):
            spoken = spoken.replace(word, " ")
        english = re.findall(r"[A-Za-z]{2,}(?:[ ,;]+[A-Za-z]{2,}){2,}", spoken)
        allowed = [one for one in english if "headstart" in one.lower() or "pip install" in one]
        assert english == allowed


def test_an_unknown_sentence_of_another_room_is_marked_as_english():
    report = dataclasses.replace(ex.waste(40), data_notes=("a note nobody translated",))
    assert '<span lang="en">A note nobody translated</span>' in page.render(report, "zh")


def test_an_unknown_language_is_refused_with_those_there_are():
    with pytest.raises(ConfigError) as raised:
        page.render(ex.waste(40), "tlh")
    assert "en, zh" in raised.value.fix


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html></html>",
        '<script type="application/json" id="headstart-report">{"schema": 1}',
        '<script type="application/json" id="headstart-report">{</script>',
        '<script type="application/json" id="headstart-report">[]</script>',
        '<script type="application/json" id="headstart-report">{}</script>',
        '<script type="application/json" id="headstart-report">' + "[" * 100_000 + "</script>",
    ],
)
def test_a_page_without_a_sound_report_is_a_mistake_of_the_caller(text):
    with pytest.raises(BundleError):
        page.read(text)


def test_the_policy_forbids_everything_but_styles_and_inline_pictures():
    text = page.render(ex.waste(40))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert set(rules) <= {"default-src", "style-src", "img-src", "base-uri", "form-action"}
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_the_data_in_the_page_is_json_that_cannot_end_its_element():
    text = page.render(ex.hostile(k=12, n=24, skipped=24))
    data = text.partition('id="headstart-report">')[2].partition("</script>")[0]
    assert not set("<>&\u2028\u2029") & set(data)
    assert json.loads(data)["title"] == ex.HOSTILE


SMALL = ex.hostile(k=3, n=9, skipped=2)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(ex.ATTACKS)


@settings(max_examples=60, deadline=None)
@given(title=words, label=words, name=words, reason=words, note=words, command=words)
def test_whatever_the_data_says_it_is_only_text(title, label, name, reason, note, command):
    evaluation = dataclasses.replace(
        SMALL.evaluation,
        labels=(label, *SMALL.evaluation.labels[1:]),
        per_class=tuple(
            dataclasses.replace(one, label=label) for one in SMALL.evaluation.per_class
        ),
        notes=(note,),
    )
    report = dataclasses.replace(
        SMALL,
        title=title,
        command=command,
        evaluation=evaluation,
        skipped=(Skipped(name, reason),),
        findings=(Finding(reason, "warning", note, name, (name,)),),
        finding_rows=(1,),
        mistakes=tuple(
            dataclasses.replace(m, name=name, truth=label, label=label) for m in SMALL.mistakes
        ),
    )
    text = page.render(report)
    assert_harmless(text)
    assert page.read(text).to_json() == report.to_json()
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text.partition("<script")[0]
    )


def test_the_page_with_its_examples_stays_light():
    text = page.render(ex.waste())
    assert text.count('class="examples') == 2
    assert len(text.encode()) < 1_000_000
