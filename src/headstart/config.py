"""Settings: frozen dataclasses whose fields carry their own help, filled from TOML or keywords.

The same dataclass gives `fit(...)` its keywords, `headstart fit` its flags and a TOML file its keys.
Unknown keys are refused; all errors of one configuration are reported together.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from headstart.errors import ConfigError
from headstart.registry import suggestion

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

_UNITS = {"h": 3600, "m": 60, "s": 1}
_NUMBER = r"\d+(?:\.\d+)?"
_TIME = re.compile(
    rf"(?P<plain>{_NUMBER})|(?=.)(?:(?P<h>{_NUMBER})\s*h)?\s*(?:(?P<m>{_NUMBER})\s*m(?:in)?)?\s*"
    rf"(?:(?P<s>{_NUMBER})\s*s(?:ec)?)?"
)


def note(
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
    flag: bool = True,
) -> dict[str, Any]:
    """Metadata of a field: its help text, and its range or choices.

    Args:
        help: one line for `--help`.
        low: smallest value allowed.
        high: largest value allowed.
        choices: the values allowed.
        flag: whether the command line offers it.
    """
    return {"help": help, "low": low, "high": high, "choices": choices, "flag": flag}


def build(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """A settings object from plain values, nested mappings for nested settings.

    Args:
        cls: a frozen dataclass.
        values: field name -> value; missing ones keep their default.
        where: the file or call the values come from, for messages.

    Raises:
        ConfigError: with every unknown key, wrong type and value out of range.
    """
    errors: list[str] = []
    made = _build(cls, values, "", errors)
    if errors:
        source = f" in {where}" if where else ""
        one = "one setting is" if len(errors) == 1 else f"{len(errors)} settings are"
        raise ConfigError(
            f"{one} not right{source}:\n    " + "\n    ".join(errors),
            fix="headstart fit --help lists the settings",
        )
    return made


def _build(cls: type[T], values: Mapping[str, Any], prefix: str, errors: list[str]) -> T:
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    known: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in fields:
            close = suggestion(name, list(fields)).partition("?")[0]
            there = f" There are: {', '.join(fields)}" if prefix else ""  # no flag names these
            errors.append(
                f"{prefix}{key}: there is no such setting{f'; {close}?' if close else '.'}{there}"
            )
        elif dataclasses.is_dataclass(hints[name]):
            if isinstance(value, Mapping):
                known[name] = _build(
                    typing.cast(type, hints[name]), value, f"{prefix}{name}.", errors
                )
            elif isinstance(value, typing.cast(type, hints[name])):
                known[name] = value
            else:
                errors.append(f"{prefix}{key}: expected a table of settings, got {value!r}")
        else:
            checked = _check(value, hints[name], fields[name].metadata, f"{prefix}{key}", errors)
            known[name] = checked
    return cls(**known)


def _check(value: Any, hint: Any, metadata: Mapping[str, Any], key: str, errors: list[str]) -> Any:
    kinds = typing.get_args(hint) if _is_union(hint) else (hint,)
    if value is None and type(None) in kinds:
        return None
    kind = next(k for k in kinds if k is not type(None))
    if typing.get_origin(kind) is typing.Literal:
        kind = str
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is str and isinstance(value, Path):
        value = str(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        errors.append(f"{key}: expected {_word(kind)}, got {value!r}")
        return value
    choices, low, high = metadata.get("choices"), metadata.get("low"), metadata.get("high")
    if choices and value not in choices:
        errors.append(f"{key}: {value!r} is not one of {', '.join(choices)}")
    elif (low is not None and value < low) or (high is not None and value > high):
        only = f"only {low:g} is possible ({metadata.get('help')})"
        errors.append(
            f"{key}: {only if low == high else f'{value!r} is not between {low:g} and {high:g}'}"
        )
    return value


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _word(kind: type) -> str:
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(kind, kind.__name__)


def seconds(text: str, name: str = "budget") -> float:
    """A length of time in words: "90s", "10m", "1h30m", or a number of seconds; empty is 0.

    Args:
        text: as typed.
        name: of the setting, for messages.

    Raises:
        ConfigError: it is none.
    """
    plain = str(text).strip().lower()
    found = _TIME.fullmatch(plain)
    if not plain or found is None:
        if not plain:
            return 0.0
        raise ConfigError(
            f"{name}: {text!r} is not a length of time.", fix="write 90s, 10m, 1h30m or 2h"
        )
    if found["plain"]:
        return float(found["plain"])
    return sum(float(found[unit] or 0) * many for unit, many in _UNITS.items())


def read_value(text: str) -> Any:
    """A value as TOML reads it ("0.25", "true", "[1, 2]"); a text where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def read_toml(path: str | Path) -> dict[str, Any]:
    """The settings in a TOML file.

    Raises:
        ConfigError: no such file, or not TOML; with the line.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}.", fix="check --config"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", fix="mend that line") from error
