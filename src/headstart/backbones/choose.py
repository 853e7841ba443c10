"""A backbone by name, or the one that suits the data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from headstart.backbones import SOURCES
from headstart.backbones.language import choose as choose_by_language
from headstart.errors import BackboneError, MissingExtra
from headstart.types import Backbone, Table

_LANGUAGE_SAMPLE = 2000  # texts looked at, evenly spread
_LARGER = {"starter:minilm": ("starter:e5",)}


def backbone_for(
    table: Table,
    name: str = "auto",
    *,
    offline: bool = False,
    say: Callable[[str], None] | None = None,
    pretrained: bool = True,
    seed: int = 0,
) -> Backbone:
    """The backbone for a table.

    Args:
        table: the data; its language decides between the text starters.
        name: "auto", or SOURCE:NAME such as "starter:minilm", "timm:resnet18", "hf:FOLDER". A network
            of "scratch:" that reads texts takes the tokenizer that suits their language.
        offline: never try the network.
        say: told about downloads.
        pretrained: False for the architecture with random weights; "auto" is then a small network of
            "scratch:".
        seed: of random weights.

    Raises:
        BackboneError: the name is malformed, the model absent, or for another modality.
    """
    why = ""
    if name == "auto" and not pretrained:
        name = "scratch:cnn" if table.modality == "image" else "scratch:textcnn"
    if name == "auto":
        name, why = _starter(table)
    elif name.startswith("scratch:") and "@" not in name and table.modality == "text":
        name += "@" + _starter(table)[0].removeprefix("starter:")
    backbone = backbone_named(name, offline=offline, say=say, pretrained=pretrained, seed=seed)
    if backbone.modality != table.modality:
        raise BackboneError(
            f"{name} takes {backbone.modality}s, the data holds {table.modality}s.",
            fix=f"leave --backbone out to get the starter for {table.modality}s",
        )
    return replace(backbone, why=why) if why else backbone


def larger(backbone: Backbone) -> tuple[str, ...]:
    """Names of starters that read the same inputs, cost more, and may know more."""
    return _LARGER.get(backbone.name, ())


def backbone_named(
    name: str,
    *,
    offline: bool = False,
    say: Callable[[str], None] | None = None,
    pretrained: bool = True,
    seed: int = 0,
) -> Backbone:
    """The backbone of this name: SOURCE:NAME.

    Args:
        name: e.g. "starter:minilm".
        offline: never try the network.
        say: told about downloads.
        pretrained: False for the architecture with random weights, which the backbone's `why` then says.
        seed: of random weights; networks of "scratch:" always have them.

    Raises:
        BackboneError: the name is malformed, or the model absent, or its source has no architectures
            without weights.
    """
    source, colon, rest = name.partition(":")
    if not colon or not rest:
        raise BackboneError(
            f"{name!r} is not the name of a backbone.",
            fix="write SOURCE:NAME, e.g. starter:lite0, timm:resnet18 or hf:FOLDER; "
            "headstart backbones lists the starters",
        )
    load = SOURCES.get(source)
    drawn = _drawn(load, name, pretrained=pretrained, seed=seed)
    try:
        backbone: Backbone = load(rest, offline=offline, say=say, **drawn)
    except MissingExtra as error:
        raise BackboneError(
            f"{name}: {error.message}",
            fix=f"{error.fix}; or leave --backbone out: the starters need no more than is here",
        ) from error
    return backbone


def _drawn(
    load: Callable[..., Backbone], name: str, *, pretrained: bool, seed: int
) -> dict[str, Any]:
    """What a source is told about random weights: those of "scratch:" and of other packages may know none."""
    known = inspect.signature(load).parameters
    if "pretrained" in known:
        return {} if pretrained else {"pretrained": False, "seed": seed}
    if "seed" in known:  # it has nothing but random weights
        return {"seed": seed}
    if pretrained:
        return {}
    raise BackboneError(
        f"{name} comes with its weights: there is no such architecture without them.",
        fix="take scratch:cnn for pictures, scratch:textcnn or scratch:lstm for texts, or a model of "
        "timm: or hf:",
    )


def _starter(table: Table) -> tuple[str, str]:
    if table.modality == "image":
        return "starter:lite0", "the starter for pictures"
    step = max(1, len(table) // _LANGUAGE_SAMPLE)
    name, why = choose_by_language([str(text) for text in table.inputs[::step]])
    return f"starter:{name}", why
