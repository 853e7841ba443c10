"""What follows the model in a sentence-transformers folder: pooling, dense layers, normalisation.

Read from its JSON files, without the library: modules.json lists the parts in order, each part's
folder holds a config.json. https://sbert.net
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import BackboneError
from headstart.manifest import read_json

_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "sqrt",
    "pooling_mode_lasttoken": "last",
}
_MODES = {"cls": "cls", "max": "max", "mean": "mean", "mean_sqrt_len_tokens": "sqrt",
          "mean_sqrt_len": "sqrt", "lasttoken": "last"}  # fmt: skip


@dataclass(frozen=True)
class SentenceParts:
    """How token states become one vector.

    Attributes:
        model: the folder of the transformers model.
        pooling: see `headstart.backbones.wrappers.pool`; several are concatenated.
        dense: (folder of the weights, name of the activation) of each dense layer.
        normalize: whether vectors are scaled to length 1.
        max_length: the longest text in tokens that it was made for; None where nothing says.
        prefix: what stands before each text; "" for nothing.
    """

    model: Path
    pooling: tuple[str, ...] = ("mean",)
    dense: tuple[tuple[Path, str], ...] = ()
    normalize: bool = False
    max_length: int | None = None
    prefix: str = ""


def read_parts(shown: str, folder: Path) -> SentenceParts:
    """The parts of a model folder; mean pooling where there is no modules.json.

    Args:
        shown: the backbone's name, for messages and to recognise the E5 family.
        folder: the model's folder.

    Raises:
        BackboneError: a part is of a kind that cannot be reproduced.
    """
    prefix = _prefix(shown, folder)
    parts = _json(folder / "modules.json")
    if parts is None:
        return SentenceParts(folder, prefix=prefix)
    model, normalize = folder, False
    pooling: tuple[str, ...] = ("mean",)
    dense: list[tuple[Path, str]] = []
    for part in parts:
        # the class path changed between versions of sentence-transformers, its last name did not
        kind, place = str(part["type"]).rsplit(".", 1)[-1], _inside(shown, folder, part)
        if kind == "Transformer":
            model = place
        elif kind == "Pooling":
            pooling = _pooling(shown, _json(place / "config.json") or {})
        elif kind == "Dense":
            config = _json(place / "config.json") or {}
            dense.append((place, str(config.get("activation_function", "Tanh")).rsplit(".", 1)[-1]))
        elif kind == "Normalize":
            normalize = True
        elif kind != "Dropout":
            raise _unsupported(shown, f"the part {kind!r}")
    limit = (_json(model / "sentence_bert_config.json") or {}).get("max_seq_length")
    return SentenceParts(
        model, pooling, tuple(dense), normalize, int(limit) if limit else None, prefix
    )


def _json(file: Path) -> Any:
    if not file.exists():
        return None
    # modules.json is a list, which the reader of objects refuses
    return read_json('{"it": ' + file.read_text("utf-8") + "}", file.name)["it"]


def _inside(shown: str, folder: Path, part: Mapping[str, Any]) -> Path:
    place = (folder / str(part.get("path", ""))).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise _unsupported(shown, f"a part outside of its folder ({part['path']!r})")
    return place


def _pooling(shown: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    named = config.get("pooling_mode")
    if named:
        names = [named] if isinstance(named, str) else list(named)
        modes = [_MODES.get(name, name) for name in names]
    else:
        asked = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
        # sentence-transformers concatenates in its own order, whatever the file's
        modes = [_FLAGS[key] for key in _FLAGS if key in asked]
        modes += [key for key in asked if key not in _FLAGS]
    unknown = [mode for mode in modes if mode not in _MODES.values()]
    if unknown:
        raise _unsupported(shown, f"the pooling {unknown[0]!r}")
    return tuple(modes) or ("mean",)


def _prefix(shown: str, folder: Path) -> str:
    settings = _json(folder / "config_sentence_transformers.json") or {}
    default = settings.get("default_prompt_name")
    if default:
        return str((settings.get("prompts") or {}).get(default, ""))
    # E5 was trained with it and loses without; classification counts as symmetric, so never
    # "passage: " (https://arxiv.org/abs/2212.03533)
    return "query: " if re.search(r"(?<![a-z0-9])e5(?![a-z0-9])", shown.lower()) else ""


def _unsupported(shown: str, what: str) -> BackboneError:
    return BackboneError(
        f"{shown} has {what}, which is not supported.",
        fix="use another text backbone, e.g. starter:e5 or starter:minilm",
    )
