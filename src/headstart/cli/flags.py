"""Command-line flags out of a settings dataclass, so that names and help exist once."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from headstart.config import read_value
from headstart.errors import ConfigError


def add_flags(function: Callable[..., None], cls: type) -> Callable[..., None]:
    """Give a command one flag for each field of a settings dataclass.

    The command must take `**settings`; it receives only the flags the caller typed, nested settings
    as nested mappings. `probe: ProbeConfig` with the field `penalty` becomes `--probe-penalty`.

    Args:
        function: the command, with its own parameters annotated for typer.
        cls: the settings.
    """
    own = [
        p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD
    ]
    hints = typing.get_type_hints(function, include_extras=True)
    own = [p.replace(annotation=hints[p.name]) for p in own]
    places: dict[str, tuple[str, ...]] = {}
    flags = list(_flags(cls, (), places))

    def command(**keywords: Any) -> None:
        settings: dict[str, Any] = {}
        for name, place in places.items():
            value = keywords.pop(name)
            if value is not None:
                inner = settings
                for key in place[:-1]:
                    inner = inner.setdefault(key, {})
                inner[place[-1]] = value
        function(**keywords, **settings)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(own + flags)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in own + flags}
    return command


def with_set(settings: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """Settings, and those of `--set NAME=VALUE` within them: finetune.depth=0.25.

    Args:
        settings: of the other flags, nested.
        given: as typed; a value is read as TOML reads it, and as a text where that is none.

    Raises:
        ConfigError: there is no "=" in it.
    """
    made = dict(settings)
    for text in given:
        name, equals, value = text.partition("=")
        if not (equals and name.strip()):
            raise ConfigError(
                f"--set {text!r} is not a setting.", fix="write --set finetune.depth=0.25"
            )
        *places, last = (part.strip().replace("-", "_") for part in name.split("."))
        inner = made
        for place in places:
            inner[place] = dict(inner.get(place, {}))
            inner = inner[place]
        inner[last] = read_value(value.strip())
    return made


def _flags(
    cls: type, place: tuple[str, ...], places: dict[str, tuple[str, ...]]
) -> typing.Iterator[inspect.Parameter]:
    import typer

    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        here = (*place, field.name)
        if not field.metadata.get("flag", True):
            continue
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _flags(typing.cast(type, hints[field.name]), here, places)
            continue
        name = "_".join(here)
        places[name] = here
        kind = _plain(hints[field.name])
        option = typer.Option(
            "--" + name.replace("_", "-") if kind is not bool else f"--{name.replace('_', '-')}",
            help=_help(field.metadata, field.default),
            show_default=False,
        )
        yield inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,  # so that only what was typed overrides a TOML file
            annotation=Annotated[typing.Optional[kind], option],  # noqa: UP045  made at run time
        )


def _plain(hint: Any) -> type:
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    if typing.get_origin(hint) is typing.Literal:
        return str
    return kinds[0] if kinds else hint


def _help(metadata: Mapping[str, Any], default: Any) -> str:
    text = metadata.get("help", "")
    if metadata.get("choices"):
        text += f" ({', '.join(metadata['choices'])})"
    if default not in (None, False, ""):
        text += f" [default: {default}]"
    return text
