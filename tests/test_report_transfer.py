"""What a pretrained backbone bought: kept in the page, said as the numbers say, drawn where they are."""

import dataclasses
import itertools
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import report_examples as ex
import report_trust as trust
from headstart.errors import BundleError
from headstart.report import card, page, plots, terminal
from headstart.report.content import Report
from headstart.report.kept_transfer import transfer_from
from headstart.report.kept_trials import brief
from headstart.report.transfer_view import figure
from headstart.report.transfer_words import ended, line, saved
from headstart.report.trust_view import blocks
from headstart.report.words import Words
from headstart.scores import Metric, Transfer
from test_report_page_html import assert_harmless, read
from test_report_plots import places

EN, ZH = Words("en"), Words("zh")
BASE = ex.waste(40)
TOO_FEW = "no comparison with learning from scratch: too few rows"


def plain(text):
    return " ".join(text.replace("\u00a0", " ").split())


def around(value, half=0.02):
    return Metric(value, value - half, value + half)


def made(needed=None, more_than=0, lead=0.05, half=0.02):
    """Curves from 60 to 960 rows."""
    rows = (60, 240, 960)
    with_ = tuple(map(around, (0.7, 0.8, 0.85)))
    without = tuple(map(around, (0.4, 0.6, 0.85 - lead)))
    leads = (around(0.3), around(0.2), around(lead, half))
    return Transfer(rows, with_, without, leads, needed, more_than, 200, "")


def having(one):
    return dataclasses.replace(
        BASE, evaluation=dataclasses.replace(BASE.evaluation, transfer=one)
    )  # fmt: skip


numbers = st.floats(-1, 1).map(lambda value: float(f"{value:.6g}"))
metrics = st.builds(Metric, numbers, numbers, numbers)


@st.composite
def transfers(draw):
    rows = tuple(sorted(draw(st.sets(st.integers(1, 10**6), max_size=5))))
    curves = [draw(st.tuples(*(metrics for _ in rows))) for _ in range(3)]
    count = st.integers(0, 10**6)
    return Transfer(
        rows, *curves, draw(st.none() | metrics) if rows else None, draw(count), draw(count), draw(st.text(max_size=9))
    )  # fmt: skip


@given(transfers())
def test_what_is_kept_comes_back(one):
    data = json.loads(json.dumps(brief(one.to_json()), allow_nan=False))
    assert transfer_from(data) == one
    saved(one, EN), ended(one, ZH), figure(one, EN)  # whatever it holds can be shown


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_page_keeps_it_and_shows_it_beside_the_learning_curve(lang):
    report = having(trust.transfer())
    text = page.render(report, lang)
    again = page.read(text)
    assert again.evaluation.transfer.to_json() == brief(trust.transfer().to_json())
    assert page.render(again, lang) == text
    assert_harmless(text)
    titles = [block.title for block in blocks(report, Words(lang))]
    assert titles.index(Words(lang)("transfer")) == titles.index(Words(lang)("learning")) + 1
    told = plain(" ".join(read(text).text))
    one, w = report.evaluation.transfer, Words(lang)
    assert plain(saved(one, w)) in told
    assert plain(ended(one, w)) in told


def test_pages_without_the_key_are_read():
    data = json.loads(json.dumps(having(made()).to_json()))
    assert data["schema"] == 1
    del data["evaluation"]["transfer"]
    report = Report.from_json(data)
    assert report.evaluation.transfer is None
    assert EN("transfer") not in page.render(report)


@pytest.mark.parametrize(
    "damage",
    [
        lambda t: t.update(rows=[0, 240, 960]),
        lambda t: t.update(rows=[240, 60, 960]),
        lambda t: t["with"].pop(),
        lambda t: t.update(needed=7),
        lambda t: t.pop("more_than"),
    ],
)
def test_damage_is_a_mistake_of_the_caller(damage):
    data = json.loads(json.dumps(having(made()).to_json()))
    damage(data["evaluation"]["transfer"])
    with pytest.raises(BundleError, match="damaged"):
        Report.from_json(data)


@pytest.mark.parametrize(
    ("one", "english", "chinese"),
    [
        (
            made(Metric(641.7, 512.2, 793.0)),
            "With 60 labels the pretrained backbone is as accurate as a network from scratch with about 640 "
            "(510 to 790): it saves about 580 labels.",
            "用 60 个标签，预训练骨干的准确率就相当于从零训练用约 640 个（510 至 790）：约省下 580 个标签。",
        ),
        (
            made(more_than=646),
            "With 60 labels the pretrained backbone is more accurate than a network from scratch with 640: "
            "it saves more than 580 labels.",
            "用 60 个标签，预训练骨干就比从零训练用 640 个更准确：省下的标签超过 580 个。",
        ),
        (
            made(more_than=960),  # all that there are: no rounding
            "With 60 labels the pretrained backbone is more accurate than a network from scratch with 960: "
            "it saves more than 900 labels.",
            "用 60 个标签，预训练骨干就比从零训练用 960 个更准确：省下的标签超过 900 个。",
        ),
        (
            made(Metric(71.2, 60.0, 98.9)),
            "With 60 labels the pretrained backbone is as accurate as a network from scratch with about 71 "
            "(60 to 99): whether it saves any is within noise.",
            "用 60 个标签，预训练骨干的准确率相当于从零训练用约 71 个（60 至 99）：是否省下标签，差别未超出误差。",
        ),
        (
            made(Metric(60.0, 60.0, 60.0)),
            "With 60 labels a network from scratch is no less accurate: the pretrained backbone saves no labels.",
            "用 60 个标签，从零训练的准确率并不更低：预训练骨干没有省下标签。",
        ),
        (
            made(),
            "How many labels the pretrained backbone saves cannot be told from these rows.",
            "仅凭这些数据，看不出预训练骨干省下多少标签。",
        ),
        (
            Transfer((), (), (), note=TOO_FEW),
            "No comparison with learning from scratch: too few rows",
            "没有与从零学习的比较：数据太少",
        ),
    ],
)  # fmt: skip
def test_the_sentence_that_decides_stands_on_every_surface(one, english, chinese):
    assert line(one, EN) == english
    assert line(one, ZH) == chinese
    report = having(one)
    assert english in plain(card.model_card(report)).replace("\\", "")
    for lang, words in (("en", english), ("zh", chinese)):
        assert words in plain(" ".join(read(page.render(report, lang)).text))
        said = terminal.summary(report, lang)
        assert words.replace(" ", "") in re.sub(r"\s", "", said)


@pytest.mark.parametrize(
    ("lead", "half", "english", "chinese"),
    [
        (0.031, 0.02, "With all 960 it is still 3.1 points ahead (1.1 to 5.1).", "它仍领先 3.1 个百分点（1.1 至 5.1）"),
        (0.004, 0.02, "With all 960 the two are even within noise (-1.6 to +2.4 points).", "差别未超出误差（-1.6 至 +2.4 个百分点）"),
        (-0.05, 0.02, "With all 960 the network from scratch is 5.0 points ahead (3.0 to 7.0).", "从零训练领先 5.0 个百分点（3.0 至 7.0）"),
    ],
)  # fmt: skip
def test_what_is_left_with_all_rows(lead, half, english, chinese):
    one = made(lead=lead, half=half)
    assert ended(one, EN) == english
    assert chinese in ended(one, ZH)


def test_no_more_than_a_bound_is_claimed():
    for more_than in range(61, 960):
        (shown,) = re.findall(r"from scratch with ([\d,]+):", saved(made(more_than=more_than), EN))
        assert 60 < int(shown.replace(",", "")) <= more_than


def test_both_curves_lie_where_the_numbers_say():
    one = made(Metric(640.0, 510.0, 790.0))
    drawn = str(figure(one, EN))
    x, y = plots.ratios(one.rows, ""), plots.shares([0.38, 0.87], "", least=0.2)
    for kind, curve in (("ours", one.with_), ("scratch", one.without)):
        dots = places(drawn, f"dot {kind}", "cx", "cy")
        assert len(dots) == 3
        assert [dot[0] for dot in dots] == pytest.approx([0, 50, 100], abs=0.01)  # 4 times each
        wanted = [100 - 100 * (m.value - y.low) / (y.high - y.low) for m in curve]
        assert [dot[1] for dot in dots] == pytest.approx(wanted, abs=0.01)
        (area,) = re.findall(rf'<path class="area {kind}" d="M([^"]*)z"', drawn)
        corners = [tuple(map(float, one.split())) for one in area.split("L")]
        assert len(corners) == 6
        half = 100 * 0.02 / (y.high - y.low)
        assert [above for _, above in corners[:3]] == pytest.approx([v - half for v in wanted], abs=0.02)  # fmt: skip
    across, down = places(drawn, "drop", "x1", "x2")
    assert across == pytest.approx((0, down[0]), abs=0.01)
    assert down[0] == down[1] == pytest.approx(100 * x.place(640), abs=0.01)
    assert 50 < down[0] < 100
    assert "60 labels: pretrained 70.0 %, from scratch 40.0 %" in plain(drawn)
    assert not places(str(figure(made(more_than=960), EN)), "drop", "x1")


@pytest.mark.parametrize("lead", [0.3, 0.05, 0.001, 0.0, -0.02])
def test_names_at_the_ends_do_not_lie_upon_each_other(lead):
    drawn = str(figure(made(lead=lead), EN))
    found = re.findall(r'<text class="end (\w+)" x="100%" y="([\d.]+)%" dx="\d+" dy="([-\d.]+)"', drawn)  # fmt: skip
    heights = {name: 2.72 * float(y) + float(dy) for name, y, dy in found}
    assert abs(heights["ours"] - heights["scratch"]) >= 17.9
    assert (heights["ours"] < heights["scratch"]) == (lead >= 0)


def test_one_number_of_rows_is_drawn_without_a_curve():
    one = Transfer((40,), (around(0.7),), (around(0.5),), (around(0.2),), None, 0, 50, "")
    drawn = str(figure(one, EN))
    assert len(places(drawn, "dot ours", "cx")) == len(places(drawn, "whisker ours", "x1")) == 1
    assert ended(one, EN) == ""


def test_hostile_notes_do_nothing():
    report = having(dataclasses.replace(made(), note=ex.HOSTILE))
    assert_harmless(page.render(report, "zh"))


@given(st.sets(st.integers(1, 10**7), min_size=1, max_size=9).map(sorted))
def test_a_logarithmic_scale_has_few_ticks_apart_from_each_other_and_the_last_one(values):
    axis = plots.ratios(values, "t")
    at = [axis.place(value) for value, _ in axis.ticks]
    assert axis.ticks[-1][1] == f"{values[-1]:,}"
    assert all(b - a >= 0.14 - 1e-9 for a, b in itertools.pairwise(at))
    assert axis.place(values[0]) == (0 if len(values) > 1 else pytest.approx(0.5))
