"""Settings: unknown keys refused, all errors at once, the same from Python and TOML."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from headstart import config
from headstart.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    penalty: float = field(default=0.0, metadata=config.note("penalty", low=0, high=10))
    kind: Literal["a", "b"] = field(default="a", metadata=config.note("kind", choices=("a", "b")))


@dataclass(frozen=True)
class Outer:
    seed: int = field(default=0, metadata=config.note("seed", low=0, high=9))
    name: str | None = field(default=None, metadata=config.note("name"))
    fast: bool = field(default=False, metadata=config.note("fast"))
    inner: Inner = field(default_factory=Inner)


def test_values_from_python_and_toml_are_the_same(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text('seed = 3\nfast = true\n[inner]\npenalty = 2\nkind = "b"\n')
    wanted = Outer(3, None, True, Inner(2.0, "b"))
    assert config.build(Outer, config.read_toml(path)) == wanted
    assert (
        config.build(Outer, {"seed": 3, "fast": True, "inner": {"penalty": 2, "kind": "b"}})
        == wanted
    )
    assert config.build(Outer, {"inner": Inner(1.0)}).inner.penalty == 1.0


def test_all_errors_come_at_once_with_the_file():
    values = {
        "sead": 1,
        "seed": 99,
        "fast": 1,
        "name": 5,
        "inner": {"kind": "c", "penalty": "x", "more": 1},
    }
    with pytest.raises(ConfigError) as caught:
        config.build(Outer, values, "my.toml")
    text = str(caught.value)
    for part in (
        "my.toml", "7 settings", "sead", "did you mean 'seed'", "seed: 99 is not between 0 and 9",
        "fast: expected true or false, got 1", "name: expected a text", "inner.kind: 'c' is not one of a, b",
        "inner.penalty: expected a number", "inner.more",
    ):  # fmt: skip
        assert part in text


def test_where_one_value_is_possible_it_is_said_why():
    from headstart.methods.contrastive import Config

    with pytest.raises(
        ConfigError, match=r"keep: only 0 is possible \(has no part in this method\)"
    ):
        config.build(Config, {"keep": 0.5})


@pytest.mark.parametrize("content", [b"seed = ", b"\xff\xfe"])
def test_a_file_that_is_no_toml(tmp_path, content):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"x\.toml is not valid TOML"):
        config.read_toml(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        config.read_toml(tmp_path / "none.toml")


def test_every_setting_of_fit_has_help_and_a_sound_default():
    import dataclasses
    import typing

    from headstart.fit_config import FitConfig

    def walk(cls):
        hints = typing.get_type_hints(cls)
        for one in dataclasses.fields(cls):
            if dataclasses.is_dataclass(hints[one.name]):
                yield from walk(hints[one.name])
            else:
                yield one

    for one in walk(FitConfig):
        assert one.metadata["help"], one.name
    defaults = {
        one.name: one.default
        for one in dataclasses.fields(FitConfig)
        if one.default is not dataclasses.MISSING
    }
    assert config.build(FitConfig, defaults) == FitConfig()
