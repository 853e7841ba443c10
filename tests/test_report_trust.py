"""How far to trust it: kept in JSON, drawn as measured, said in words that follow from the numbers."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import report_examples as ex
import report_trust as trust
from headstart.errors import BundleError
from headstart.report import page
from headstart.report.content import Report
from headstart.report.kept_trust import decision_from, decision_json, trust_from, trust_json
from headstart.report.trust_view import blocks
from headstart.report.trust_words import gain_words, sentences, wilson
from headstart.report.words import Words, points
from headstart.scores import Answered, LearningCurve, Metric, Reliability
from headstart.types import Decision
from test_report_page_html import read
from test_report_plots import places

W = Words("en")
FIRST = {  # what version 0.1 wrote
    "evaluation": {"metrics", "per_class", "labels", "confusion", "n", "split", "protocol", "baselines",
                   "coverage", "set_size", "notes"},
    "decision": {"temperature", "coverage", "set_threshold", "abstain_below"},
    "roles": {"input", "target", "split", "group"},
    "finding": {"kind", "severity", "message", "fix", "rows", "n_rows"},
}  # fmt: skip


def plain(text):
    return text.replace("\u00a0", " ")


def changed(report, **changes):
    return dataclasses.replace(report, evaluation=dataclasses.replace(report.evaluation, **changes))


def block(report, title):
    """The block of a heading; None where there is none."""
    return next((one for one in blocks(report, W) if one.title == W(title)), None)


# kept


numbers = st.floats(0, 1).map(lambda value: round(value, 6))
metrics = st.builds(Metric, numbers, numbers, numbers)


@given(
    st.lists(st.tuples(numbers, numbers, st.integers(1, 10**6)), max_size=15),
    st.none() | metrics,
    st.dictionaries(st.text(max_size=9), st.integers(1, 99), max_size=3),
    st.lists(metrics, max_size=4),
)
def test_what_is_kept_comes_back(bins, accuracy, reasons, curve):
    evaluation = dataclasses.replace(
        ex.tiny().evaluation,
        reliability=Reliability(0.1, 0.2, 0.05, tuple(bins)),
        answered=Answered(Metric(0.5, 0.4, 0.6), accuracy, reasons),
        learning=LearningCurve(tuple(range(len(curve))), tuple(curve), 7, accuracy, "note"),
        repeats=trust.repeats({"accuracy": Metric(0.5, 0.4, 0.6)}),
        leaked=3,
        without_leaked={"accuracy": Metric(0.5, 0.4, 0.6)},
    )
    data = json.loads(json.dumps(trust_json(evaluation), allow_nan=False))
    again = dataclasses.replace(evaluation, **trust_from(data))
    for name in ("reliability", "risk", "answered", "learning", "leaked", "without_leaked"):
        assert getattr(again, name) == getattr(evaluation, name)
    assert trust_json(again) == data


def test_a_decision_comes_back_and_old_ones_are_read():
    decision = Decision(1.5, 0.95, 0.1, 0.3, (1.0, 2.0), (0.0, -0.5), "class", (0.1, 0.2), 0.4, 0.9)
    assert decision_from(json.loads(json.dumps(decision_json(decision)))) == decision
    old = {name: decision_json(decision)[name] for name in FIRST["decision"]}
    assert decision_from(old) == Decision(1.5, 0.95, 0.1, 0.3)
    with pytest.raises(ValueError, match="magic"):
        decision_from({**old, "sets": "magic"})


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", ["waste", "spam"])
def test_a_report_of_the_first_version_is_still_read_and_shown(name, lang):
    data = getattr(ex, name)(40).to_json()
    for part in ("evaluation", "decision", "roles"):
        data[part] = {key: data[part][key] for key in FIRST[part]}
    data["findings"] = [{key: one[key] for key in FIRST["finding"]} for one in data["findings"]]
    assert data["schema"] == 1
    report = Report.from_json(json.loads(json.dumps(data)))
    evaluation = report.evaluation
    assert (evaluation.reliability, evaluation.leaked, report.roles.time) == (None, None, None)
    assert evaluation.without_leaked == {}
    text = page.render(report, lang)
    assert 'id="trust"' in text
    assert "91.2" in text  # the coverage of the sets, which was measured then
    assert 'class="plot"' not in text


@pytest.mark.parametrize(
    "damage",
    [
        lambda e: e["reliability"].update(bins=[[0.5, 0.5]]),
        lambda e: e.update(risk={"answered": [1.0]}),
        lambda e: e["learning"].update(accuracy=[0.5]),
        lambda e: e["answered"].update(share=None),
        lambda e: e.update(without_leaked=[1]),
        lambda e: e.update(leaked="many"),
    ],
)
def test_damaged_trust_is_a_mistake_of_the_caller(damage):
    data = ex.waste(40).to_json()
    damage(data["evaluation"])
    with pytest.raises(BundleError, match="damaged"):
        Report.from_json(data)


# drawn


def test_the_reliability_plot_shows_every_bin_and_its_interval():
    report = ex.waste()
    drawn = block(report, "calibration").figure
    bins = report.evaluation.reliability.bins
    dots = places(drawn, "dot", "cx", "cy")
    whiskers = places(drawn, "whisker", "x1", "y1", "y2")
    assert len(dots) == len(whiskers) == len(bins) == 15
    ticks = [float(t) / 100 for t in re.findall(r'class="at-x"[^>]*>([\d.]+)<', str(drawn))]
    low, high = ticks[0], ticks[-1]
    for (mean, right, n), (x, y), (_, bottom, top) in zip(bins, dots, whiskers):
        assert low + x / 100 * (high - low) == pytest.approx(mean, abs=1e-3)
        assert low + (100 - y) / 100 * (high - low) == pytest.approx(right, abs=1e-3)
        ends = [max(low + (100 - one) / 100 * (high - low), low) for one in (bottom, top)]
        assert ends == pytest.approx([max(end, low) for end in wilson(right, n)], abs=1e-3)
    assert places(drawn, "even", "x1", "y1", "x2", "y2") == [(0, 100, 100, 0)]


@given(st.integers(1, 500), st.data())
def test_wilsons_interval_solves_its_equation(n, data):
    hits = data.draw(st.integers(0, n))
    share, z = hits / n, 1.959963984540054
    # the ends are where (share - p)^2 = z^2 p (1 - p) / n
    roots = np.roots([1 + z * z / n, -2 * share - z * z / n, share * share])
    assert wilson(share, n) == pytest.approx(sorted(np.clip(roots.real, 0, 1)), abs=1e-7)


def test_the_point_of_the_model_is_marked_on_the_risk_curve():
    report = ex.waste()
    drawn = block(report, "withholding").figure
    one = report.evaluation.answered
    (x, y) = places(drawn, "dot", "cx", "cy")[0]
    assert x == pytest.approx(100 * one.share.value, abs=0.01)
    ticks = [float(t) / 100 for t in re.findall(r'class="at-y"[^>]*>([\d.]+)<', str(drawn))]
    assert ticks[0] + (100 - y) / 100 * (ticks[-1] - ticks[0]) == pytest.approx(
        one.accuracy.value, abs=1e-3
    )
    assert len(places(drawn, "curve", "x1")) == len(report.evaluation.risk.answered) - 1
    assert "large dot" in block(report, "withholding").caption


def test_without_an_operating_point_nothing_is_marked():
    one = block(ex.spam(), "withholding")
    assert places(one.figure, "dot", "cx") == []
    assert "large dot" not in one.caption
    assert one.told[0] == W("withheld.none")


def test_the_learning_curve_ends_in_its_extrapolation():
    report = ex.waste()
    drawn, curve = block(report, "learning").figure, report.evaluation.learning
    dots = places(drawn, "dot", "cx")
    last = curve.rows[-1] + curve.more
    assert [100 * n / last for n in curve.rows] == pytest.approx([x for (x,) in dots], abs=0.01)
    assert places(drawn, "hollow", "cx") == [(100,)]
    assert places(drawn, "whisker ahead", "x1") == [(100,)]
    assert len(places(drawn, "dashed", "x1")) == 1
    short = changed(report, learning=dataclasses.replace(curve, more=0, gain=None))
    assert places(block(short, "learning").figure, "hollow", "cx") == []
    assert "Dashed" not in block(short, "learning").caption


def test_every_split_is_a_dot():
    report = ex.waste()
    drawn = block(report, "repeats").figure
    assert len(places(drawn, "each", "cx")) == 5 * len(report.evaluation.repeats.values)
    assert "log" not in str(drawn).lower()  # a loss has no place on a scale of shares


def test_plots_say_their_numbers_to_who_cannot_see_them():
    text = page.render(ex.waste())
    told = re.findall(r"<desc>(.*?)</desc>", text)
    assert len(told) == 3
    assert all(len(one) > 40 for one in told)
    assert plain(told[0]).count("promised") == 15
    assert "1,317 labels:" in told[2]


def test_points_that_are_not_known_are_left_out():
    report = ex.waste()
    evaluation = report.evaluation
    nan = float("nan")
    broken = changed(
        report,
        reliability=Reliability(0.1, nan, 0.05, ((nan, 0.5, 3), (0.9, 0.9, 20), (0.5, 0.5, 0))),
        risk=dataclasses.replace(evaluation.risk, accuracy=(nan,) * 49 + (0.8,)),
        learning=LearningCurve((5, 9), (Metric(nan, nan, nan), Metric(0.5, 0.4, 0.6)), 0, None, ""),
        answered=Answered(Metric(0.0, 0.0, 0.1), None, {"probability below 0.9": 340}),
    )
    text = page.render(broken)
    assert ">nan" not in re.sub(r"(?s)<(style|script).*?</\1>", "", text)
    assert "nan%" not in text
    assert len(places(block(broken, "calibration").figure, "dot", "cx")) == 1
    assert block(broken, "withholding").figure == ""
    assert block(broken, "withholding").told[0] == W("withheld.every")
    assert page.read(text).to_json() == broken.to_json()


# said


@pytest.mark.parametrize(
    ("ece", "expected"), [(0.012, "less than a perfectly"), (0.08, "with care")]
)
def test_the_error_is_judged_by_what_chance_shows(ece, expected):
    report = ex.waste()
    reliability = dataclasses.replace(report.evaluation.reliability, ece=ece, noise=0.03)
    report = changed(report, reliability=reliability)
    told = " ".join(block(report, "calibration").told)
    assert f"On average they are {100 * ece:.1f} points off" in told
    assert expected in told
    assert "3.0 points" in told
    (short,) = [one for one in sentences(report.evaluation, W) if "points off" in one]
    assert ("less than chance" in short) == (ece < 0.03)


@pytest.mark.parametrize(
    ("gain", "told"),
    [
        (Metric(0.03, 0.01, 0.05), "200 more labels: about +3 points (+1 to +5)."),
        (Metric(0.003, -0.001, 0.007), "200 more labels: about +0.3 points (-0.1 to +0.7)."),
        (Metric(0.0001, -0.0002, 0.0003), "200 more labels: about 0.0 points (0.0 to 0.0)."),
        (None, ""),
    ],
)
def test_what_more_labels_bring_is_said_in_points(gain, told):
    report = ex.waste(40)
    curve = dataclasses.replace(report.evaluation.learning, gain=gain)
    assert gain_words(changed(report, learning=curve).evaluation, W) == told


def test_points_of_what_is_not_known_are_a_dash():
    assert points(math.nan) == "–"
    assert points(0.0214) == "2.1"


def test_withheld_answers_are_counted_by_their_reasons():
    report = ex.waste()
    one = block(report, "withholding")
    assert {why: n for why, n, _ in one.reasons} == dict(report.evaluation.answered.reasons)
    told = plain(" ".join(one.told))
    answered = report.evaluation.answered
    assert f"It answers {100 * answered.share.value:.1f} % of the inputs" in told
    assert f"right on {100 * answered.accuracy.value:.1f} % of those" in told
    assert "at least 90 % of its answers are right" in told
    assert "below 42.0 % are withheld" in told
    assert f"Answering everything, it would be right on {100 * report.evaluation.metrics['accuracy'].value:.1f} %" in told  # fmt: skip


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (Decision(set_threshold=0.07), "at least 7.0 % (LAC)"),
        (Decision(set_threshold=0.0), "too few rows to leave any out"),
        (Decision(sets="aps", set_threshold=0.62), "up to 62.0 % of probability together (APS)"),
        (Decision(sets="class", class_thresholds=(0.1,) * 6), "of their own class"),
    ],
)
def test_sets_say_how_they_are_made_and_what_they_hold(decision, said):
    report = dataclasses.replace(ex.waste(), decision=decision)
    facts = {term: plain(value) for term, value in block(report, "sets").facts}
    assert said in facts["How made"]
    assert facts["Meant to hold the truth"] == "90 %"
    assert facts["Measured"].startswith("91.2 % (")
    assert facts["Mean size"] == "1.43 of 6 labels"


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_score_without_leaked_rows_stands_beside_the_other(lang):
    report = ex.spam()
    header = page.render(report, lang).partition("<main>")[0]
    told = plain(" ".join("".join(read(header + "</body></html>").text).split()))
    for name, metric in report.evaluation.metrics.items():
        without = report.evaluation.without_leaked[name]
        for value in (metric.value, without.value):
            assert (f"{value:.2f}" if name == "log_loss" else f"{100 * value:.1f}") in told
    assert ("40 of the 240 rows" if lang == "en" else "240 行测试数据中有 40 行") in told
    assert header.count('class="without"') == 4


def test_when_every_row_was_learned_from_there_is_no_score_to_believe():
    report = changed(ex.waste(40), leaked=40)
    assert "there is no honest score" in page.render(report)
    assert 'class="without"' not in page.render(report)


def test_a_report_without_any_of_it_says_so():
    report = changed(
        ex.waste(40), reliability=None, risk=None, answered=None, learning=None, repeats=None,
        coverage=None, set_size=None,
    )  # fmt: skip
    report = dataclasses.replace(report, decision=Decision())
    assert blocks(report, W) == []
    assert W("trust.none") in page.render(report)


@pytest.mark.parametrize("name", ["waste", "intents", "spam", "tiny", "hostile"])
def test_both_languages_draw_the_same(name):
    report = getattr(ex, name)()
    english, chinese = (blocks(report, Words(lang)) for lang in ("en", "zh"))
    assert len(english) == len(chinese) > 0
    for one, other in zip(english, chinese):
        for kind in ("circle", "line"):
            assert str(one.figure).count(f"<{kind}") == str(other.figure).count(f"<{kind}")
        assert len(one.told) == len(other.told)


@pytest.mark.parametrize(
    ("temperature", "said"),
    [(1.31, "too confident"), (0.7, "too timid"), (0.99, ""), (1.02, "")],
)
def test_only_a_temperature_that_changes_something_is_judged(temperature, said):
    report = dataclasses.replace(ex.spam(), decision=Decision(temperature=temperature))
    told = " ".join(block(report, "calibration").told)
    assert f"{temperature:.2f} (the temperature)" in told
    assert said in told
    assert ("Without that" in told) == bool(said)


def test_an_interval_of_some_points_is_said_with_tenths_and_a_wide_one_without():
    report = ex.waste(40)
    for gain, said in (
        (Metric(0.0132, 0.0054, 0.0226), "+1.3 points (+0.5 to +2.3)"),
        (Metric(0.0132, -0.04, 0.06), "+1 points (-4 to +6)"),
    ):
        curve = dataclasses.replace(report.evaluation.learning, gain=gain)
        assert said in gain_words(changed(report, learning=curve).evaluation, W)
