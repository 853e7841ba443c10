"""A backbone by name, or the one that suits the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from headstart.backbones import SOURCES
from headstart.backbones.language import choose as choose_by_language
from headstart.errors import BackboneError, MissingExtra
from headstart.types import Backbone, Table

_LANGUAGE_SAMPLE = 2000  # texts looked at, evenly spread


def backbone_for(
    table: Table,
    name: str = "auto",
    *,
    offline: bool = False,
    say: Callable[[str], None] | None = None,
) -> Backbone:
    """The backbone for a table.

    Args:
        table: the data; its language decides between the text starters.
        name: "auto", or SOURCE:NAME such as "starter:minilm", "timm:resnet18", "hf:FOLDER".
        offline: never try the network.
        say: told about downloads.

    Raises:
        BackboneError: the name is malformed, the model absent, or for another modality.
    """
    why = ""
    if name == "auto":
        name, why = _starter(table)
    backbone = backbone_named(name, offline=offline, say=say)
    if backbone.modality != table.modality:
        raise BackboneError(
            f"{name} takes {backbone.modality}s, the data holds {table.modality}s.",
            fix=f"leave --backbone out to get the starter for {table.modality}s",
        )
    return replace(backbone, why=why) if why else backbone


def backbone_named(
    name: str, *, offline: bool = False, say: Callable[[str], None] | None = None
) -> Backbone:
    """The backbone of this name: SOURCE:NAME.

    Args:
        name: e.g. "starter:minilm".
        offline: never try the network.
        say: told about downloads.

    Raises:
        BackboneError: the name is malformed, or the model absent.
    """
    source, colon, rest = name.partition(":")
    if not colon or not rest:
        raise BackboneError(
            f"{name!r} is not the name of a backbone.",
            fix="write SOURCE:NAME, e.g. starter:lite0, timm:resnet18 or hf:FOLDER; "
            "headstart backbones lists the starters",
        )
    load = SOURCES.get(source)
    try:
        backbone: Backbone = load(rest, offline=offline, say=say)
    except MissingExtra as error:
        raise BackboneError(
            f"{name}: {error.message}",
            fix=f"{error.fix}; or leave --backbone out: the starters need no more than is here",
        ) from error
    return backbone


def _starter(table: Table) -> tuple[str, str]:
    if table.modality == "image":
        return "starter:lite0", "the starter for pictures"
    step = max(1, len(table) // _LANGUAGE_SAMPLE)
    name, why = choose_by_language([str(text) for text in table.inputs[::step]])
    return f"starter:{name}", why
