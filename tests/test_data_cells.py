"""Cells that a spreadsheet would run are marked, and come back as they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.cells import plain, safe


@given(st.text() | st.text("'=+-@\t\ra"))
def test_cells_come_back_and_run_in_no_spreadsheet(text):
    cell = safe(text)
    assert plain(cell) == text
    assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r")


@pytest.mark.parametrize("text", ["", "'", "'tis", "a=b", " =1"])
def test_other_cells_stay_as_they_are(text):
    assert safe(text) == text
