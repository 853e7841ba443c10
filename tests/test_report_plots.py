"""Plots: places say the numbers, scales hold the values, labels do not repeat."""

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headstart.report import plots

shares = st.lists(st.floats(0, 1), min_size=1, max_size=8)
UNIT = plots.Axis(0.0, 1.0, ((0.0, "0"), (1.0, "100")), "%")


def places(markup, kind, *names):
    """The attributes in percent of all marks of a class."""
    tags = re.findall(rf'<(?:circle|line) class="{kind}"[^>]*>', str(markup))
    return [
        tuple(float(re.search(rf' {name}="([\d.]+)%"', tag)[1]) for name in names) for tag in tags
    ]


@given(shares, st.booleans(), st.sampled_from([0.02, 0.1, 0.3]))
@example([1.0], False, 0.1)
@example([0.0], False, 0.1)
@example([0.9999, 1.0], True, 0.1)
@example([0.31, 0.6000000000000001], False, 0.1)
def test_a_scale_of_shares_holds_its_values_and_has_few_different_labels(values, full, least):
    axis = plots.shares(values, "t", full=full, least=least)
    assert axis.low <= min(values) + 1e-9
    assert axis.high >= max(values) - 1e-9
    assert -1e-9 <= axis.low < axis.high <= 1 + 1e-9
    assert axis.high - axis.low >= least - 1e-9
    labels = [text for _, text in axis.ticks]
    assert 2 <= len(labels) == len(set(labels)) <= 8
    assert [float(text) for text in labels] == pytest.approx([100 * at for at, _ in axis.ticks])
    assert axis.ticks[0][0] == pytest.approx(axis.low)
    assert axis.ticks[-1][0] == pytest.approx(axis.high)
    if full:
        assert axis.high == pytest.approx(1)


def test_a_scale_without_a_known_value_is_the_whole_one():
    axis = plots.shares([math.nan, math.inf], "t")
    assert (axis.low, axis.high) == (0.0, 1.0)


@given(st.integers(1, 10**9))
@example(1)
@example(2)
@example(999)
def test_a_scale_of_counts_begins_at_nothing_and_counts_in_whole_numbers(high):
    axis = plots.counts(high, "t")
    labels = [text for _, text in axis.ticks]
    assert (axis.low, axis.high) == (0.0, high)
    assert labels[0] == "0"
    assert 2 <= len(set(labels)) == len(labels) <= 6
    for value, text in axis.ticks:
        assert int(text.replace(",", "")) == value <= high + 1e-6


@given(st.floats(0, 1), st.floats(0, 1))
def test_marks_lie_where_the_numbers_say(x, y):
    (at,) = places(plots.dot("dot", UNIT, UNIT, (x, y)), "dot", "cx", "cy")
    assert at == pytest.approx((100 * x, 100 - 100 * y), abs=0.006)
    low, high = sorted((x, y))
    (span,) = places(plots.span("whisker", UNIT, UNIT, x, low, high), "whisker", "x1", "y1", "y2")
    assert span == pytest.approx((100 * x, 100 - 100 * low, 100 - 100 * high), abs=0.006)


def test_what_is_beyond_the_ends_stays_at_them_and_what_is_unknown_is_not_drawn():
    assert places(plots.dot("dot", UNIT, UNIT, (2.0, -1.0)), "dot", "cx", "cy") == [(100, 100)]
    assert plots.dot("dot", UNIT, UNIT, (math.nan, 0.5)) == ""
    assert plots.span("s", UNIT, UNIT, 0.5, math.nan, 1.0) == ""
    assert plots.drop("s", UNIT, UNIT, (0.5, math.nan)) == ""
    assert plots.curve("c", UNIT, UNIT, [(0.0, math.nan), (0.5, 0.5)]) == ""


def test_a_curve_goes_from_point_to_point():
    lines = places(
        plots.curve("c", UNIT, UNIT, [(0, 0), (0.5, 1), (1, 0.25)]), "c", "x1", "y1", "x2", "y2"
    )
    assert lines == [(0, 100, 50, 0), (50, 0, 100, 75)]


def test_a_curve_of_very_many_points_keeps_its_ends_and_few_pieces():
    points = [(i / 5000, i / 5000) for i in range(5001)]
    lines = places(plots.curve("c", UNIT, UNIT, points), "c", "x1", "y1", "x2", "y2")
    assert len(lines) < 150
    assert lines[0][:2] == (0, 100)
    assert lines[-1][2:] == (100, 0)


def test_a_frame_names_itself_in_words_and_escapes_them():
    drawn = str(plots.frame(UNIT, UNIT, [], "<b>", "</svg>&"))
    assert 'aria-label="&lt;b&gt;"' in drawn
    assert "<title>&lt;b&gt;</title><desc>&lt;/svg&gt;&amp;</desc>" in drawn
    assert drawn.count("</svg>") == 1
    assert drawn.count('class="grid"') == len(UNIT.ticks)


def test_a_strip_has_a_dot_for_each_value_and_their_mean():
    axis = plots.shares([0.8, 0.9], "")
    drawn = plots.strip(axis, [0.8, 0.85, math.nan, 0.9], (0.85, 0.82, 0.88), "title")
    assert places(drawn, "each", "cx") == [(0,), (50,), (100,)]
    assert places(drawn, "dot", "cx") == [(50,)]
    assert places(drawn, "range", "x1", "x2") == [(20, 80)]
