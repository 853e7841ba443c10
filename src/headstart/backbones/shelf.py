"""Graphs that were made once, kept on disk: made by an adapter, read by everyone, torch-free to read."""

from __future__ import annotations

from pathlib import Path

from headstart.compute import cache_dir
from headstart.errors import HeadstartError
from headstart.hashing import graph_id, hash_bytes, hash_parts
from headstart.manifest import atomic_folder, dump_json, read_json
from headstart.types import Backbone, Modality, Preprocess

_VERSION = 1  # raise it when graphs made by older code must be made again


def _folder(key: str) -> Path:
    shelf = cache_dir() / "graphs"
    shelf.mkdir(exist_ok=True)
    return shelf / hash_parts([str(_VERSION), key])[:32]


def take(key: str) -> Backbone | None:
    """The backbone kept under this key, None if there is none.

    Args:
        key: all that the graph depends on: name, revision, options.
    """
    folder = _folder(key)
    try:
        kept = read_json((folder / "backbone.json").read_bytes(), "backbone.json")
    except (FileNotFoundError, NotADirectoryError, HeadstartError):
        return None
    graph = folder / "graph.onnx"
    tokenizer = folder / "tokenizer.json"
    if not graph.exists() or graph.stat().st_size != kept["bytes"]:
        return None
    return Backbone(
        name=kept["name"],
        modality=kept["modality"],
        dim=kept["dim"],
        licence=kept["licence"],
        sha256=kept["sha256"],
        preprocess=Preprocess.from_json(kept["preprocess"]),
        graph=graph,
        graph_id=kept["graph_id"],
        tokenizer=tokenizer if kept["tokenizer"] else None,
    )


def keep(
    key: str,
    *,
    graph: bytes,
    name: str,
    modality: Modality,
    dim: int,
    licence: str,
    sha256: str,
    preprocess: Preprocess,
    tokenizer: str | None = None,
) -> Backbone:
    """Put a graph on the shelf and return it as a backbone.

    Args:
        key: as for `take`.
        graph: the serialised ONNX model; see `Backbone.graph` for its inputs and output.
        name: the backbone's name.
        modality: what it takes.
        dim: length of its features.
        licence: of the weights.
        sha256: of the weights file.
        preprocess: how inputs are prepared.
        tokenizer: content of tokenizer.json, texts only.
    """
    identity = graph_id(
        hash_bytes(graph), preprocess.to_json(), hash_bytes((tokenizer or "").encode())
    )
    with atomic_folder(_folder(key)) as folder:
        (folder / "graph.onnx").write_bytes(graph)
        if tokenizer is not None:
            (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
        described = {
            "name": name,
            "modality": modality,
            "dim": dim,
            "licence": licence,
            "sha256": sha256,
            "preprocess": preprocess.to_json(),
            "graph_id": identity,
            "bytes": len(graph),
            "tokenizer": tokenizer is not None,
        }
        (folder / "backbone.json").write_text(dump_json(described), encoding="utf-8")
    kept = take(key)
    assert kept is not None
    return kept
