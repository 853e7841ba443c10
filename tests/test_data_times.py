"""Points in time: many forms, one order; what cannot be ordered is refused with its row."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.table import read
from headstart.data.times import order_of, times_of
from headstart.errors import DataError


def read_times(*cells):
    return times_of(cells, [f"r.csv:{i + 2}" for i in range(len(cells))], "when")


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        ("2024-05-31", "2024-05-31"),
        ("2024-5-1", "2024-05-01"),
        ("2024/05/31", "2024-05-31"),
        ("2024.05.31", "2024-05-31"),
        ("31.05.2024", "2024-05-31"),
        ("31/05/2024", "2024-05-31"),
        ("05/31/2024", "2024-05-31"),
        ("31-05-2024 08:05", "2024-05-31T08:05:00"),
        ("2024年5月31日", "2024-05-31"),
        ("2024 年 5 月 31 日 14:30", "2024-05-31T14:30:00"),
        ("31 May 2024", "2024-05-31"),
        ("May 31, 2024", "2024-05-31"),
        ("Sept 3, 2024 7:00", "2024-09-03T07:00:00"),
        ("2024-05-31T14:30", "2024-05-31T14:30:00"),
        ("2024-05-31 14:30:05.25", "2024-05-31T14:30:05.25"),
        ("2024-05-31T14:30:00Z", "2024-05-31T14:30:00"),
        ("2024-05-31T00:30:00+02:00", "2024-05-30T22:30:00"),
        ("2024-05-31 14:30:00 -0530", "2024-05-31T20:00:00"),
        ("2024", "2024"),
        ("1717165800", "1717165800"),
        ("-3.5e2", "-3.5e2"),
        (17, "17"),
        (2024.0, "2024"),
        (np.int64(5), "5"),
        (dt.date(2024, 5, 31), "2024-05-31"),
        (dt.datetime(2024, 5, 31, 14, 30), "2024-05-31T14:30:00"),
        (np.datetime64("2024-05-31T14:30:10"), "2024-05-31T14:30:10"),
        (None, ""),
        ("  ", ""),
        (float("nan"), ""),
        (np.datetime64("NaT"), ""),
    ],
)
def test_forms(cell, wanted):
    assert read_times(cell) == (wanted,)


@pytest.mark.parametrize(
    "cell", ["yesterday", "2024-13-01", "2023-02-29", "31.06.2024", "2024-05", "12:30", "5 Maybe 2024",
             "2024-05-31T25:00", "2024-05-31 x", "1,5", "２０２４-0５"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_its_row(cell):
    with pytest.raises(DataError, match=r"r\.csv:3: when is ") as caught:
        read_times("2024-01-01" if "," not in cell else "1", cell)
    assert "2024-05-31" in caught.value.fix


def test_day_and_month_are_told_by_the_column():
    assert read_times("01/02/2024", "13/02/2024") == ("2024-02-01", "2024-02-13")
    assert read_times("01/02/2024", "02/13/2024") == ("2024-01-02", "2024-02-13")
    with pytest.raises(DataError, match=r"which number is the day.*r\.csv:2 is one of them"):
        read_times("01/02/2024", "03/04/2024")
    with pytest.raises(DataError, match=r"r\.csv:3 and r\.csv:2 differ"):
        read_times("02/13/2024", "13/02/2024")


def test_a_mix_is_refused():
    with pytest.raises(DataError, match=r"r\.csv:4: when is '7', but r\.csv:2 has '2024-01-01'"):
        read_times("2024-01-01", "2024-01-02", "7")
    with pytest.raises(DataError, match=r"r\.csv:3 has an offset from UTC, r\.csv:2 has none"):
        read_times("2024-01-01 10:00", "2024-01-01T10:00Z")


@given(st.lists(st.integers(-(10**16), 10**17), min_size=1, max_size=20))
def test_order_of_dates_is_that_of_time(microseconds):
    moments = [dt.datetime(2000, 1, 1) + dt.timedelta(microseconds=one) for one in microseconds]
    order = order_of(times_of(moments, [""] * len(moments), "when"))
    wanted = {moment: i for i, moment in enumerate(sorted(set(moments)))}
    assert order.tolist() == [wanted[moment] for moment in moments]


@given(st.lists(st.one_of(st.integers(-(10**12), 10**12), st.floats(-1e9, 1e9)), min_size=1))
def test_order_of_numbers_is_that_of_numbers(numbers):
    order = order_of(times_of(numbers, [""] * len(numbers), "when"))
    wanted = {number: i for i, number in enumerate(sorted(set(numbers)))}
    assert order.tolist() == [wanted[number] for number in numbers]


def test_a_column_of_a_file(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(
        "text,label,day\ngood one,a,2024-02-01\nbad one,b,2024-01-01\nno day,a,\nno label,,soon\n"
    )
    table = read(path, time="day")
    assert table.times == ("2024-02-01", "2024-01-01")
    assert table.roles.time == "day"
    assert table.take([1]).times == ("2024-01-01",)
    assert {s.input: s.reason for s in table.skipped} == {
        "r.csv:4": "no time",
        "r.csv:5": "no label",
    }
    assert '"day" the time: the latest rows are measured' in table.notes[0]
    assert read(path).times is None  # never guessed
    path.write_text(
        "text,label,day\ngood one,a,2024-02-01\nbad one,b,soon\nmore of it,a,2024-01-01\n"
    )
    with pytest.raises(DataError, match=r"r\.csv:3: day is 'soon'"):
        read(path, time="day")
    with pytest.raises(DataError, match="no column 'date'"):
        read(path, time="date")
    with pytest.raises(DataError, match="named both as target and as time"):
        read(path, time="label", target="label")


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_dates_of_data_frames(kind):
    days = [dt.datetime(2024, 1, i + 1, 12) for i in range(6)]
    columns = {"text": [f"words {i}" for i in range(6)], "label": ["a", "b"] * 3, "when": days}
    module = pytest.importorskip({"pandas": "pandas", "polars": "polars", "arrow": "pyarrow"}[kind])
    frame = module.table(columns) if kind == "arrow" else module.DataFrame(columns)
    table = read(frame, time="when")
    assert table.times[0] == "2024-01-01T12:00:00"
    assert order_of(table.times).tolist() == list(range(6))


def test_folders_have_no_times(photos):
    with pytest.raises(DataError, match="has no column 'when'"):
        read(photos, time="when")
