"""Names to implementations: lazily, with plug-ins and near misses."""

import sys

import pytest

from headstart.backbones import SOURCES
from headstart.engine import ENGINES
from headstart.errors import HeadstartError
from headstart.methods import METHODS
from headstart.registry import Registry
from headstart.tasks import TASKS


@pytest.mark.parametrize("table", [ENGINES, METHODS, SOURCES, TASKS], ids=lambda table: table.kind)
def test_every_row_of_every_table_resolves(table):
    for name in table.names():
        assert callable(table.get(name)), name


def test_a_row_is_imported_on_first_use_only():
    sys.modules.pop("colorsys", None)
    table = Registry("thing", "headstart.nothing", {"one": "colorsys:rgb_to_hsv"})
    assert table.names() == ["one"]
    assert "colorsys" not in sys.modules
    assert table.get("one")(0, 0, 0) == (0.0, 0.0, 0)


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(HeadstartError, match="did you mean 'probe'"):
        METHODS.get("prob")
    with pytest.raises(HeadstartError, match="one of: probe"):
        METHODS.get("xyzzy")


def test_plug_ins_come_in_by_the_same_door():
    assert "tiny" in SOURCES.names()
    assert SOURCES.get("tiny").__module__ == "headstart_test_plugin"
