"""Small files that claim to be huge (R11): refused from what they claim, without unpacking them."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from headstart.backbones import tensorfile
from headstart.data.table import read
from headstart.errors import HeadstartError, UnreadableInput
from headstart.manifest import load_tensors
from headstart.preprocess import image
from headstart.runtime.reader import open_bundle
from trust import bundles
from trust.damage import chunk, encoded, png_header
from trust.table import Outcome, forget_peak, peak, resident

MOST = 300.0  # MB, of a process that has done nothing else


def _zeros(megabytes: int) -> Iterator[bytes]:
    piece = bytes(1 << 20)
    for _ in range(megabytes):
        yield piece


def _packed(megabytes: int) -> bytes:
    """So many megabytes of zeros, a thousandth of that long."""
    packer = zlib.compressobj(1)
    return b"".join([*(packer.compress(piece) for piece in _zeros(megabytes)), packer.flush()])


def _png(megabytes: int) -> bytes:
    """A sound PNG of 8 pixels a byte: 900 million pixels are 112 MB of zeros."""
    side = 30_000 if megabytes >= 112 else 10_000
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    data = _packed(side * (side // 8 + 1) // (1 << 20) + 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _with_text(kind: bytes, data: bytes) -> bytes:
    """A small sound PNG with a packed text or colour profile that unpacks to much."""
    from PIL import Image

    sound = encoded(Image.new("RGB", (8, 8)), "PNG")
    return sound[:33] + chunk(kind, b"name\0\0" + data) + sound[33:]


def _pictures(megabytes: int) -> dict[str, bytes]:
    webp = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\x3f\0" * 2
    tiff = struct.pack("<2sHIH", b"II", 42, 8, 4) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in ((256, 1 << 30), (257, 1 << 30), (259, 1), (273, 8))
    )
    packed = _packed(megabytes)
    return {
        "PNG of 900 million pixels": _png(megabytes),
        "PNG that claims 2 billion a side": png_header(0x7FFFFFFF, 0x7FFFFFFF),
        "PNG whose piece claims 2 GB": png_header(32, 32)[:33] + b"\x7f\xff\xff\xffIDAT" + bytes(50),
        "PNG with a packed text": _with_text(b"zTXt", packed),
        "PNG with a packed profile": _with_text(b"iCCP", packed),
        "GIF": b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + bytes(6)
        + b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02\x4c\x01\0;",
        "BMP": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 154, 0, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0),
        "PPM": b"P6\n100000 100000\n255\n" + bytes(100),
        "JPEG": b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x22\0\x02\x11\x01\x03\x11\x01\xff\xd9",
        "WEBP": b"RIFF" + struct.pack("<I", len(webp) + 4) + b"WEBP" + webp,
        "TIFF": tiff + bytes(4),
    }  # fmt: skip


def _bundle(name: str, megabytes: int) -> bytes:
    """A bundle whose file is packed zeros; its manifest agrees with every size."""
    files = bundles.contents()
    manifest = bundles.manifest_of(files)
    if name != "bundle.json":
        manifest["files"][name]["bytes"] = megabytes << 20
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for other, data in {**files, "bundle.json": bundles.sealed(manifest)}.items():
            if other != name:
                made.writestr(other, data)
        with made.open(name, "w", force_zip64=True) as member:
            for piece in _zeros(megabytes):
                member.write(piece)
    return buffer.getvalue()


def _laughs() -> bytes:
    """A pickle whose one key is a tuple of tuples of tuples: hashing it would take for ever."""
    body = b"\x80\x02}()q\0" + b"h\0h\0\x86q\0" * 60 + b"K\x01u."
    return bundles.archive([("archive/data.pkl", body)])


def _take_bundle(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    files = open_bundle(path)
    for name in files.manifest["files"]:
        files.read(name)


def _cases(megabytes: int, work: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    for name, data in _pictures(megabytes).items():
        yield f"picture: {name}", lambda data=data: image.open_image(data)  # type: ignore[misc]
    for name in ("bundle.json", "model.onnx", "tokenizer.json", "report.html"):
        data = _bundle(name, megabytes)
        yield f"bundle: {name}", lambda data=data: _take_bundle(work / "m.headstart", data)  # type: ignore[misc]
    fat = b'{"schema": 1, "a": [' + b"[]," * 4_000_000 + b"0]}"
    yield (
        "bundle: 12 MB of brackets",
        lambda: _take_bundle(
            work / "m.headstart", bundles.archive([("bundle.json", fat)], zipfile.ZIP_DEFLATED)
        ),
    )
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}})
    text = len(header).to_bytes(8, "little") + header.encode()
    yield "tensors of 4 TB", lambda: load_tensors(text, "weights.safetensors")
    yield (
        "tensors with a header of 2^60",
        lambda: load_tensors(b"\xff" * 7 + b"\x0f" + bytes(8), "w"),
    )
    checkpoint = bundles.archive(
        [("a/data.pkl", b"\x80\x02}."), ("a/byteorder", bytes(min(megabytes, 100) << 20))],
        zipfile.ZIP_DEFLATED,
    )
    yield "checkpoint, packed", lambda: tensorfile.read(checkpoint)
    yield (
        "checkpoint that claims 4 GB of text",
        lambda: tensorfile.read(b"\x80\x02X\xff\xff\xff\xffabc."),
    )
    yield "checkpoint of nested keys", lambda: tensorfile.read(_laughs())
    (work / "nested.json").write_bytes(b"[" * 3_000_000)
    yield "json nested three million deep", lambda: read(work / "nested.json")
    (work / "data.csv.gz").write_bytes(_packed(megabytes))
    yield "gzip as data", lambda: read(work / "data.csv.gz")


def bombs(count: int, work: Path) -> Outcome:
    """Every bomb there is, each `count` MB unpacked where it can be; nothing may take much memory."""
    sound = {"picture: PNG with a packed text", "picture: PNG with a packed profile"}
    bad: list[str] = []
    worst, worst_name, done = 0.0, "", 0
    for name, take in _cases(count, work):
        done += 1
        forget_peak()
        before = resident()
        try:
            take()
        except (HeadstartError, UnreadableInput):
            pass
        except Exception as error:
            bad.append(f"{name}: {type(error).__name__}: {error}"[:200])
        else:
            if name not in sound:
                bad.append(f"{name}: not refused")
        grown = peak() - before
        if grown > worst:
            worst, worst_name = grown, name
        if grown > MOST - 130:
            bad.append(f"{name}: memory grew by {grown:.0f} MB")
    told = (
        f"{done} bombs, at most +{worst:.0f} MB ({worst_name}), peak of the process {peak():.0f} MB"
    )
    return Outcome(done, tuple(bad), told)
