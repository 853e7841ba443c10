"""Bundles that somebody damaged or forged (R13): refused by name, never half read, nothing written."""

from __future__ import annotations

import contextlib
import io
import json
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import HeadstartError
from headstart.hashing import hash_bytes
from headstart.manifest import dump_tensors, load_tensors
from headstart.runtime.predictor import BundlePredictor
from headstart.runtime.reader import FILES, manifest_checksum, open_bundle
from trust.table import Outcome, golden

Contents = dict[str, bytes]
ASKED = ["lovely happy", "sad"]
_FIELDS = (
    *FILES, "bundle.json", "schema", "files", "task", "labels", "preprocess", "decision",
    "backbone", "metrics", "list of files", "logits", "graph",
)  # fmt: skip


def contents(name: str = "text.headstart") -> Contents:
    """The files of a golden bundle, bundle.json among them."""
    files = open_bundle(golden(name))
    held = {name: files.read(name) for name in FILES if files.has(name)}
    return {"bundle.json": json.dumps(dict(files.manifest)).encode(), **held}


def signed(files: Mapping[str, bytes], manifest: dict[str, Any]) -> Contents:
    """The files with a manifest whose sums hold, as whoever changes a bundle can make them."""
    listed = manifest.get("files")
    if isinstance(listed, dict):
        for name, entry in listed.items():
            if name in files and isinstance(entry, dict):
                entry |= {"sha256": hash_bytes(files[name]), "bytes": len(files[name])}
    return {**files, "bundle.json": sealed(manifest)}


def sealed(manifest: dict[str, Any]) -> bytes:
    """bundle.json with a checksum that holds, where there can be one."""
    with contextlib.suppress(ValueError):  # half a character: no text, so no sum of it
        manifest = {**manifest, "checksum": manifest_checksum(manifest)}
    return json.dumps(manifest).encode()


def manifest_of(files: Contents) -> dict[str, Any]:
    """The manifest, to be changed."""
    return json.loads(files["bundle.json"])


def write(path: Path, files: Mapping[str, bytes]) -> Path:
    """Files as one archive, or as a folder where the name has no ending."""
    if path.suffix:
        path.write_bytes(archive(list(files.items())))
        return path
    path.mkdir(exist_ok=True)
    for old in path.iterdir():
        old.unlink()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def archive(entries: list[tuple[Any, bytes]], way: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file of these entries, names or ZipInfos, in this order and as often as they come."""
    import warnings

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", way) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same name twice is the point
        for name, data in entries:
            made.writestr(name, data)
    return buffer.getvalue()


def judge(path: Path, original: Contents | None = None, must: str = "") -> list[str]:
    """What is wrong with how a bundle was taken.

    Args:
        path: the bundle.
        original: what its files must be if it is answered with; None where sums were made to hold.
        must: "refused" or "answered", where one of them is right.
    """
    try:
        predictor = BundlePredictor(path)
        asked = ASKED if predictor.modality == "text" else [np.zeros((8, 8, 3), np.uint8)]
        answers = predictor.predict(asked)
        load_tensors(predictor.files.read("weights.safetensors"), "weights.safetensors")
    except HeadstartError as error:
        bad = [] if error.fix else ["no fix"]
        if not any(field in error.message for field in _FIELDS):
            bad.append(f"names no field: {error.message}")
        return [*bad, f"refused: {error.message}"] if must == "answered" else bad
    except Exception as error:
        return [f"{type(error).__name__}: {error}"[:300]]
    if must == "refused":
        return ["not refused"]
    bad = []
    for one in answers:
        total = sum(one.probabilities.values())
        if one.label is not None and not (math.isfinite(total) and abs(total - 1) < 1e-6):
            bad.append(f"answered with probabilities that add up to {total}")
    if original is not None:
        for name in FILES:
            with contextlib.suppress(HeadstartError):  # the sum is wrong, and that was noticed
                if predictor.files.has(name) and predictor.files.read(name) != original[name]:
                    bad.append(f"{name} was read though its sum is wrong")
    return bad


# --- at random ----------------------------------------------------------------------------------

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 0.5, 1e308, -1e308, "", "x", "../x", "a" * 300,
    "\ud800", "\0", [], {}, [None], [[[]]], {"a": {}}, ["a", "b"], [1, 2, 3], "NaN",
)  # fmt: skip


def _changed(value: Any, rng: np.random.Generator) -> Any:
    """A JSON value with something inside it replaced, removed or added."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = list(value)[int(rng.integers(len(value)))]
        if rng.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = int(rng.integers(len(value)))
        if rng.random() < 0.2:
            return [*value[:at], *value[at + 1 :]]
        return [*value[:at], _changed(value[at], rng), *value[at + 1 :]]
    return _VALUES[int(rng.integers(len(_VALUES)))]


def _bytes(data: bytes, rng: np.random.Generator) -> bytes:
    work = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(work) or 1))
        way = int(rng.integers(4))
        if way == 0 and work:
            work[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            work[at : at + 8] = rng.bytes(8)
        elif way == 2:
            del work[at:]
        else:
            work[at:at] = rng.bytes(5)
    return bytes(work)


def _mutant(files: Contents, rng: np.random.Generator) -> tuple[Contents | bytes, bool]:
    """A damaged bundle as files or as an archive's bytes, and whether its sums were made to hold."""
    way = int(rng.integers(8))
    name = list(files)[int(rng.integers(len(files)))]
    if way == 0:
        return {**files, name: _bytes(files[name], rng)}, False
    if way == 1:
        return {other: data for other, data in files.items() if other != name}, False
    if way == 2:
        return _bytes(archive(list(files.items())), rng), False
    if way == 3:  # a file under another's name
        other = list(files)[int(rng.integers(len(files)))]
        return {**files, name: files[other]}, False
    if way == 4 and name != "bundle.json":
        return signed({**files, name: _bytes(files[name], rng)}, manifest_of(files)), True
    manifest = manifest_of(files)
    for _ in range(int(rng.integers(1, 3))):
        key = list(manifest)[int(rng.integers(len(manifest)))]
        if rng.random() < 0.1:
            del manifest[key]
        else:
            manifest[key] = _changed(manifest[key], rng)
    return {**files, "bundle.json": sealed(manifest)}, True


def mutated(count: int, work: Path, which: str = "text.headstart", seed: int = 10) -> Outcome:
    """Bundles changed at random, half of them with sums that hold."""
    files = contents(which)
    rng = np.random.default_rng(seed)
    inside = work / "inside"
    inside.mkdir()
    (work / "canary").write_text("untouched")
    bad: list[str] = []
    for i in range(count):
        mutant, whole = _mutant(files, rng)
        if isinstance(mutant, bytes):
            path = inside / "m.headstart"
            path.write_bytes(mutant)
        else:
            path = write(inside / ("m" if i % 2 else "m.headstart"), mutant)
        bad += [f"{i}: {fault}" for fault in judge(path, None if whole else files)]
    bad += _strays(work, {"canary", "inside", "inside/m", "inside/m.headstart"})
    kinds = len({fault.partition(": ")[2][:60] for fault in bad})
    return Outcome(count, tuple(bad[:100]), f"{len(bad)} crashes of {kinds} kinds, 0 files outside")


def _strays(work: Path, known: set[str]) -> list[str]:
    """Files that nobody of us made."""
    found = {path.relative_to(work).as_posix() for path in work.rglob("*")}
    strays = {name for name in found - known if not name.startswith("inside/m/")}
    return [f"a file outside: {name}" for name in sorted(strays)]


# --- archives made to harm ----------------------------------------------------------------------

EVIL = (
    "../evil", "../../evil", "/evil", "..\\evil", "C:\\evil", "\\\\server\\evil", "a/../../evil",
    "./bundle.json", "bundle.json/", "MODEL.ONNX", "model.onnx ", " model.onnx", "model.onnx/evil",
    "\uff4dodel.onnx", "con", "../model.onnx", "%2e%2e/model.onnx", "x" * 255, "x" * 60_000, ".", "..",
    "\U0001f600", "a\nb", "-rf", "~/evil", "$(touch evil)", "evil.py", "__init__.py", "model.onnx;1",
)  # fmt: skip


def _placed(files: Contents, evil: str, way: int) -> tuple[bytes, str]:
    """An archive with an evil name in one of seven places, and what must come of it."""
    entries: list[tuple[Any, bytes]] = list(files.items())
    without = [(name, data) for name, data in entries if name != "model.onnx"]
    manifest = manifest_of(files)
    if way == 0:
        return archive([*entries, (evil, b"evil")]), "answered"
    if way == 1:
        return archive([*without, (evil, files["model.onnx"])]), "refused"
    if way == 2:  # the manifest lists it under the evil name too
        manifest["files"][evil] = manifest["files"].pop("model.onnx")
        listed = {**files, "bundle.json": sealed(manifest)}
        return archive(
            [(evil if n == "model.onnx" else n, d) for n, d in listed.items()]
        ), "refused"
    link = zipfile.ZipInfo("model.onnx" if way == 4 else evil)
    link.create_system, link.external_attr = 3, 0o120777 << 16
    if way == 3:
        return archive([*entries, (link, b"../../canary")]), "answered"
    if way == 4:
        return archive([*without, (link, evil.encode())]), "refused"
    if way == 5:
        return archive([(evil.rstrip("/") + "/", b""), *entries]), "answered"
    return archive([*entries, ("model.onnx", evil.encode())]), "refused"


def hostile_archives(count: int, work: Path) -> Outcome:
    """Archives with names that lead out, links, doubles and directories, in every place."""
    files = contents()
    inside = work / "inside"
    inside.mkdir()
    (work / "canary").write_text("untouched")
    bad: list[str] = []
    done = 0
    for way in range(7):
        for evil in EVIL:
            if done == count:
                break
            done += 1
            data, must = _placed(files, evil, way)
            path = inside / "m.headstart"
            path.write_bytes(data)
            bad += [f"{evil[:40]!r}, place {way}: {fault}" for fault in judge(path, files, must)]
    if (work / "canary").read_text() != "untouched":
        bad.append("the canary was changed")
    bad += _strays(work, {"canary", "inside", "inside/m.headstart"})
    return Outcome(done, tuple(bad[:100]), f"{done} archives, {len(bad)} escapes or crashes")


def _central(data: bytes, offset: int, value: bytes) -> bytes:
    """The archive with a field of the last entry's central record overwritten."""
    at = data.rindex(b"PK\x01\x02") + offset
    return data[:at] + value + data[at + len(value) :]


def _special() -> dict[str, Callable[[Contents], bytes]]:
    def packed(files: Contents, way: int) -> bytes:
        return archive(list(files.items()), way)

    def many(files: Contents) -> bytes:
        return archive([*files.items(), *((f"{i}", b"") for i in range(65_536))])

    def pair(files: Contents, name: str, data: bytes) -> bytes:
        return archive(list(signed({**files, name: data}, manifest_of(files)).items()))

    def order(files: Contents) -> bytes:
        """With a model at the end, whose record is then the one that is overwritten."""
        others = [(name, data) for name, data in files.items() if name != "model.onnx"]
        return archive([*others, ("model.onnx", files["model.onnx"])])

    return {
        "65,536 entries": many,
        "bzip2": lambda f: packed(f, zipfile.ZIP_BZIP2),
        "lzma": lambda f: packed(f, zipfile.ZIP_LZMA),
        "encrypted": lambda f: _flag(packed(f, zipfile.ZIP_STORED)),
        "sizes that lie": lambda f: _central(order(f), 24, struct.pack("<I", 0xFFFFFFF0)),
        "offset that lies": lambda f: _central(archive([("bundle.json", f["bundle.json"])]), 42, b"\xff\xff\xff\x7f"),
        "no end": lambda f: packed(f, 0)[:-22],
        "end alone": lambda f: b"PK\x05\x06" + bytes(18),
        "zip64 that lies": lambda f: packed(f, 0)[:-22] + b"PK\x06\x07" + b"\xff" * 16 + b"PK\x05\x06" + b"\xff" * 16 + bytes(2),
        "directory claims 4 GB": lambda f: packed(f, 0)[:-10] + b"\xf0\xff\xff\xff" + packed(f, 0)[-6:],
        "json, not an object": lambda f: archive([("bundle.json", b"[1]")]),
        "json nested too deep": lambda f: archive([("bundle.json", b'{"a":' * 100_000)]),
        "json of another encoding": lambda f: archive([("bundle.json", f["bundle.json"].decode().encode("utf-16"))]),
        "tensors that overlap": lambda f: pair(f, "weights.safetensors", _lying({"data_offsets": [0, 1 << 60]})),
        "tensors without a shape": lambda f: pair(f, "weights.safetensors", _lying({"shape": [0, 10**30]})),
        "tensors with 70 dimensions": lambda f: pair(f, "weights.safetensors", _lying({"shape": [0] * 70, "data_offsets": [0, 0]})),
        "20,001 tensors": lambda f: pair(f, "weights.safetensors", dump_tensors({f"t{i}": np.zeros(0, "f4") for i in range(20_001)})),
        "a graph that is none": lambda f: pair(f, "model.onnx", b"not a graph"),
        "a graph of other inputs": lambda f: pair(f, "model.onnx", contents("image.headstart")["model.onnx"]),
        "a graph with outer weights": lambda f: pair(f, "model.onnx", outer_weights(f["model.onnx"])),
        "a tokenizer that is none": lambda f: pair(f, "tokenizer.json", b"{}"),
    }  # fmt: skip


def _flag(data: bytes) -> bytes:
    """The bit that says "encrypted", in every record of the directory."""
    pieces = data.split(b"PK\x01\x02")
    return pieces[0] + b"".join(b"PK\x01\x02" + p[:4] + b"\x01" + p[5:] for p in pieces[1:])


def _lying(changed: dict[str, Any]) -> bytes:
    entry = {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8], **changed}
    head = json.dumps({"head.weight": entry}).encode()
    return len(head).to_bytes(8, "little") + head + bytes(8)


def outer_weights(graph: bytes) -> bytes:
    """The graph with its head's weights said to lie in a file elsewhere on this machine."""
    import onnx

    model = onnx.load_from_string(graph)
    for tensor in model.graph.initializer:
        if tensor.name == "head.weight":
            size = len(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", "canary"), ("offset", "0"), ("length", str(size))):
                tensor.external_data.add(key=key, value=value)
    return model.SerializeToString()


def special_archives(count: int, work: Path) -> Outcome:
    """Archives, tensors and graphs that lie about themselves; all are refused."""
    import os

    files = contents()
    made = _special()
    bad: list[str] = []
    here = Path.cwd()
    (work / "canary").write_bytes(bytes(100_000))
    os.chdir(work)  # where a graph that names a file would look for it
    try:
        for name in list(made)[:count]:
            path = work / "m.headstart"
            path.write_bytes(made[name](files))
            bad += [f"{name}: {fault}" for fault in judge(path, None, "refused")]
    finally:
        os.chdir(here)
    done = min(count, len(made))
    return Outcome(
        done, tuple(bad), f"{done - len({b.partition(':')[0] for b in bad})} of {done} refused"
    )


def answers_without_sense(count: int, work: Path) -> Outcome:
    """Graphs whose answers fit nothing: NaN, other numbers of labels, forged fields."""
    files = contents()
    manifest = manifest_of(files)
    task = manifest["task"]
    cases: dict[str, Contents] = {
        "NaN weights": signed({**files, "model.onnx": _poisoned(files["model.onnx"])}, manifest_of(files)),
        "no logits": signed({**files, "model.onnx": _renamed(files["model.onnx"])}, manifest_of(files)),
        "more labels": {**files, "bundle.json": sealed({**manifest, "task": {**task, "labels": ["a", "b", "c"]}})},
        "the same label twice": {**files, "bundle.json": sealed({**manifest, "task": {**task, "labels": ["a", "a"]}})},
        "no sum": {**files, "bundle.json": _unsummed(files)},
        "a number for a sum": {**files, "bundle.json": _unsummed(files, 7)},
    }  # fmt: skip
    bad: list[str] = []
    for name in list(cases)[:count]:
        path = write(work / "m.headstart", cases[name])
        bad += [f"{name}: {fault}" for fault in judge(path, None, "refused")]
    done = min(count, len(cases))
    return Outcome(
        done, tuple(bad), f"{done - len({b.partition(':')[0] for b in bad})} of {done} refused"
    )


def _poisoned(graph: bytes) -> bytes:
    import onnx

    model = onnx.load_from_string(graph)
    for tensor in model.graph.initializer:
        if tensor.name == "head.bias":
            tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, "<f4").tobytes()
    return model.SerializeToString()


def _renamed(graph: bytes) -> bytes:
    import onnx

    model = onnx.load_from_string(graph)
    for places in [node.output for node in model.graph.node]:
        places[:] = ["answers" if name == "logits" else name for name in places]
    for output in model.graph.output:
        output.name = "answers" if output.name == "logits" else output.name
    return model.SerializeToString()


def _unsummed(files: Contents, value: Any = None) -> bytes:
    manifest = manifest_of(files)
    entry = manifest["files"]["model.onnx"]
    entry.pop("sha256") if value is None else entry.update(sha256=value)
    return sealed(manifest)
