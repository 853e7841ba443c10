"""Content hashes of bytes, files, rows and graphs: the one place where keys are made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def hash_bytes(data: bytes | memoryview) -> str:
    """SHA-256 of bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file's content, 64 hex digits; reads in pieces, so large files cost no memory."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hash_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value, 64 hex digits."""
    return hash_bytes(canonical_json(value).encode())


def hash_parts(parts: Iterable[bytes | str]) -> str:
    """SHA-256 of a sequence of parts; each part's length goes in, so that ("ab", "c") != ("a", "bc")."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def graph_id(graph_sha256: str, preprocess: dict[str, Any], tokenizer_sha256: str = "") -> str:
    """Key of a graph with its preprocessing: what a feature depends on besides the input."""
    return hash_parts([graph_sha256, canonical_json(preprocess), tokenizer_sha256])


def feature_key(input_digest: bytes, graph: str) -> bytes:
    """The store's key of one (input content, graph) pair, 32 bytes."""
    return hashlib.sha256(input_digest + bytes.fromhex(graph)).digest()
