"""Pictures, folders and tables damaged in known ways (R9), and pictures damaged at random (R10)."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.errors import UnreadableInput
from headstart.preprocess import image
from trust.table import Outcome, forget_peak, importable, peak, resident

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "MPO", "AVIF")
_COLOURS = {"blue": (40, 60, 200), "green": (50, 190, 70), "red": (210, 50, 40)}


def _picture(rng: np.random.Generator, colour: tuple[int, int, int], size: int = 32) -> Image.Image:
    pixels = rng.normal(colour, 45, (size, size, 3)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


# --- a folder -----------------------------------------------------------------------------------

# kind of damage -> what becomes of the file's bytes
BROKEN: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "empty": lambda data, rng: b"",
    "text": lambda data, rng: b"these are words, not a picture\n" * 20,
    "html": lambda data, rng: b"<!doctype html><html><body>404 Not Found</body></html>",
    "git lfs": lambda data, rng: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "heic": lambda data, rng: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200),
    "noise": lambda data, rng: rng.bytes(400),
    "zeros": lambda data, rng: bytes(len(data)),
    "half": lambda data, rng: data[: len(data) // 2],
    "header only": lambda data, rng: data[:24],
    "zeroed from the middle": lambda data, rng: data[: len(data) // 3] + bytes(len(data) * 2 // 3),
    "bomb": lambda data, rng: png_header(30_000, 30_000),
    "no pixels": lambda data, rng: png_header(0, 32),
    "one byte": lambda data, rng: data[:1],
    "pdf": lambda data, rng: b"%PDF-1.7\n" + data,
}
# what looks odd and is a sound picture all the same: never listed
ODD = ("cmyk", "16 bit", "animated", "turned", "palette", "transparent", "grey", "renamed")


def png_header(width: int, height: int, mode: int = 2, depth: int = 8) -> bytes:
    """The start of a PNG file that claims a size, with a few bytes of pixels behind it."""
    head = struct.pack(">IIBBBBB", width, height, depth, mode, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))


def chunk(kind: bytes, data: bytes) -> bytes:
    """A piece of a PNG file with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _odd(kind: str, picture: Image.Image) -> tuple[str, bytes]:
    """The ending and the bytes of a sound but unusual picture."""
    if kind == "cmyk":
        return ".jpg", encoded(picture.convert("CMYK"), "JPEG")
    if kind == "16 bit":
        deep = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        return ".png", encoded(Image.fromarray(deep), "PNG")
    if kind == "animated":
        return ".gif", encoded(picture, "GIF", save_all=True, append_images=[picture.rotate(90)])
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        return ".jpg", encoded(picture, "JPEG", exif=exif)
    if kind == "renamed":  # a PNG that is called a JPEG
        return ".jpg", encoded(picture, "PNG")
    mode = {"palette": "P", "transparent": "RGBA", "grey": "L"}[kind]
    return ".png", encoded(picture.convert(mode), "PNG")


def folder(root: Path, count: int, rng: np.random.Generator) -> set[str]:
    """A folder of class folders with a tenth of its files damaged; gives the names of the damaged."""
    kinds = [*BROKEN, "link in a circle", "link to nowhere", "link out", "pipe", "secret"]
    damaged = set()
    places = set(rng.choice(count, max(len(kinds), count // 10), replace=False).tolist())
    names = list(_COLOURS)
    (root.parent / "outside.png").write_bytes(encoded(_picture(rng, (0, 0, 0)), "PNG"))
    done = 0
    for i in range(count):
        label = names[i % 3]
        place = root / label
        place.mkdir(parents=True, exist_ok=True)
        picture = _picture(rng, _COLOURS[label])
        if i in places:
            kind = kinds[done % len(kinds)]
            done += 1
            if name := _damage(place, i, kind, picture, rng):
                damaged.add(f"{label}/{name}")
        elif i % 10 == 3:
            suffix, data = _odd(ODD[i // 10 % len(ODD)], picture)
            (place / f"{i:05}{suffix}").write_bytes(data)
        else:
            kind, suffix = (("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"))[i // 3 % 3]
            (place / f"{i:05}{suffix}").write_bytes(encoded(picture, kind))
    return damaged


def _damage(place: Path, i: int, kind: str, picture: Image.Image, rng: np.random.Generator) -> str:
    """Put one damaged file there; its name, "" where this machine cannot have such a file."""
    path = place / f"{i:05}.{('jpg', 'png')[i % 2]}"
    if kind in BROKEN:
        data = encoded(picture, ("JPEG", "PNG")[i % 2])
        path.write_bytes(BROKEN[kind](data, rng))
    elif os.name == "nt":
        return ""
    elif kind == "link in a circle":
        path.symlink_to(path.name)
    elif kind == "link to nowhere":
        path.symlink_to("no such file")
    elif kind == "link out":
        path.symlink_to(place.parents[1] / "outside.png")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        if os.getuid() == 0:  # nothing is secret from root
            return ""
        path.write_bytes(encoded(picture, "PNG"))
        path.chmod(0)
    return path.name


def damaged_folder(count: int, work: Path) -> Outcome:
    """Exactly the damaged files of a folder are listed, each with a reason, the same on each run."""
    import headstart as hs

    importable()
    root = work / "photos"
    damaged = folder(root, count, np.random.default_rng(6))
    runs = [hs.fit(root, backbone="tiny:image").skipped for _ in range(2)]
    listed = {skip.input for skip in runs[0]}
    bad = [f"not listed: {name}" for name in sorted(damaged - listed)]
    bad += [f"listed, but sound: {name}" for name in sorted(listed - damaged)]
    bad += [f"no reason: {skip.input}" for skip in runs[0] if not skip.reason]
    if runs[0] != runs[1]:
        bad.append("two runs list different files")
    told = f"{len(damaged)} of {count:,} files damaged, {len(listed & damaged)} listed, {len(bad)} faults"
    return Outcome(count, tuple(bad[:100]), told)


# --- a table ------------------------------------------------------------------------------------

# kind -> lines of a CSV file, and whether the row (or each of the lines) is listed
LINES: dict[str, tuple[bytes, bool]] = {
    "ragged, too few": (b"just one field", True),
    "ragged, too many": (b"a text,good,and,more", True),
    "empty text": (b"   ,good", True),
    "no label": (b"a text without a label,", True),
    "the header again": (b"text,label", True),
    "an open quotation mark": (b'"never closed,good', True),
    "NUL": (b"a \0 text,bad", False),
    "latin-1": ("caf\xe9,good".encode("latin-1"), False),
    "quoted newline": (b'"two\nlines",bad', False),
    "a formula": (b"=cmd|calc,good", False),
    "surplus commas": (b"a text,bad,,,", False),
    "blank": (b"", False),
    "a stray quote": (b'5" screen,good', False),
    "control characters": (b"\x1b[31mred\x07,bad", False),
    "too long": (b"word " * 210_000 + b",good", True),
}


def damaged_table(count: int, work: Path) -> Outcome:
    """Exactly the damaged lines of a table are listed, by number, the same on each run.

    Args:
        count: lines of the table.
        work: an empty folder.
    """
    import headstart as hs

    importable()
    rng = np.random.default_rng(7)
    kinds = list(LINES)
    lines, wanted, number = [b"\xef\xbb\xbftext,label"], set(), 2
    words = ("lovely great happy", "awful broken sad")
    places = set(rng.choice(count, max(len(kinds), count // 20), replace=False).tolist())
    done = 0
    for i in range(count):
        line, broken = f"{words[i % 2]} {i},{('good', 'bad')[i % 2]}".encode(), False
        if i in places:
            line, broken = LINES[kinds[done % len(kinds)]]
            if done >= len(kinds) and len(line) > 10_000:
                line, broken = LINES["blank"]
            done += 1
        if broken:
            wanted.add(f"reviews.csv:{number}")
        lines.append(line)
        number += line.count(b"\n") + 1
    path = work / "reviews.csv"
    path.write_bytes(b"\n".join(lines) + b"\n")
    runs = [hs.fit(path, backbone="tiny:text").skipped for _ in range(2)]
    listed = {skip.input for skip in runs[0]}
    bad = [f"not listed: {name}" for name in sorted(wanted - listed)]
    bad += [f"listed, but sound: {name}" for name in sorted(listed - wanted)]
    if runs[0] != runs[1]:
        bad.append("two runs list different lines")
    told = f"{len(wanted)} of {count:,} lines damaged, {len(listed & wanted)} listed, {len(bad)} faults"
    return Outcome(count, tuple(bad[:100]), told)


# --- pictures at random -------------------------------------------------------------------------


def seeds(kind: str) -> list[bytes]:
    """A few sound files of a format, for mutation."""
    rng = np.random.default_rng(8)
    base = _picture(rng, (120, 90, 60), 24)
    if kind == "JPEG":
        exif = Image.Exif()
        exif[0x0112] = 3
        made = [encoded(base, kind), encoded(base, kind, progressive=True, exif=exif)]
        return [*made, encoded(base.convert("CMYK"), kind)]
    if kind == "PNG":
        modes = [
            encoded(base.convert(mode), kind) for mode in ("RGB", "RGBA", "P", "L", "1", "I;16")
        ]
        return [*modes, encoded(base, kind, save_all=True, append_images=[base.rotate(90)])]
    if kind == "GIF":
        return [encoded(base, kind), encoded(base, kind, save_all=True, append_images=[base.rotate(90)] * 3)]  # fmt: skip
    if kind == "TIFF":
        ways = ("raw", "tiff_lzw", "tiff_deflate", "jpeg", "packbits")
        return [encoded(base, kind, compression=way) for way in ways]
    if kind == "WEBP":
        moving = {"save_all": True, "append_images": [base.rotate(90)]}
        return [
            encoded(base, kind),
            encoded(base, kind, lossless=True),
            encoded(base, kind, **moving),
        ]
    if kind == "MPO":
        return [encoded(base, kind, save_all=True, append_images=[base.rotate(90)])]
    if kind == "PPM":
        return [encoded(base.convert(mode), kind) for mode in ("RGB", "L", "1")]
    return [encoded(base, kind)]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A file with a few bytes changed, cut, doubled, or set to extremes."""
    work = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(len(work) + 1)) if rng.random() < 0.5 else int(rng.integers(min(len(work), 80) + 1))  # fmt: skip
        way = int(rng.integers(7))
        if way == 0 and at < len(work):
            work[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            extremes = (
                b"\0\0\0\0",
                b"\xff\xff\xff\xff",
                b"\x7f\xff\xff\xff",
                b"\0\0\x80\0",
                b"\xff\xd9",
            )
            work[at : at + 4] = extremes[int(rng.integers(len(extremes)))]
        elif way == 2:
            del work[at : at + int(rng.integers(1, 40))]
        elif way == 3:
            work[at:at] = rng.bytes(int(rng.integers(1, 20)))
        elif way == 4:
            work[at:at] = work[max(0, at - 50) : at]
        elif way == 5:
            del work[max(at, 8) :]
        else:
            work[at : at + 8] = rng.bytes(8)
        if not work:
            return b"\0"
    return bytes(work)


def fuzz(kind: str) -> Callable[[int, Path], Outcome]:
    """A check of one format: whatever the bytes, a picture or a reason, soon, and within memory."""

    def run(count: int, work: Path) -> Outcome:
        if kind not in image._formats():
            return Outcome(0, skipped=f"this Pillow does not read {kind}")
        some = seeds(kind)
        for data in some:
            image.open_image(data)
        rng = np.random.default_rng([9, FORMATS.index(kind)])
        forget_peak()
        before = resident()
        bad, readable, slowest = [], 0, 0.0
        for i in range(count):
            data = mutated(some[i % len(some)], rng)
            started = time.perf_counter()
            try:
                picture, _ = image.open_image(data)
                readable += picture.mode == "RGB"
            except UnreadableInput as error:
                if not error.reason:
                    bad.append(f"{i}: no reason")
            except BaseException as error:  # whatever a decoder raises: this is what is looked for
                if isinstance(error, KeyboardInterrupt):
                    raise
                bad.append(f"{i}: {type(error).__name__}: {error}"[:200])
            slowest = max(slowest, time.perf_counter() - started)
        grown = max(0.0, peak() - before)
        told = f"{len(bad)} uncaught, slowest {slowest * 1e3:.0f} ms, +{grown:.0f} MB, {readable} readable"
        if count >= 1000:  # times and memory mean something in a process of their own only
            bad += [f"one took {slowest:.1f} s"] if slowest > 2 else []
            bad += [f"memory grew by {grown:.0f} MB"] if grown > 200 else []
        return Outcome(count, tuple(bad[:100]), told)

    return run
