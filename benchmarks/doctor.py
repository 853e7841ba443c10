"""What the doctor finds of what was planted: duplicates across splits, and flipped labels; and how fast.

    python benchmarks/doctor.py labels DATA --seeds 5
    python benchmarks/doctor.py duplicates DATA --rows 300 --pairs pairs.txt
    python benchmarks/doctor.py speed --rows 20000

Test rows are never looked at by `labels`. `duplicates` plants changed copies of training rows and counts
how many are found again; pairs found among rows as they are, before anything was planted, go to --pairs,
for a person to judge: they are honest copies or false alarms.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from headstart.backbones.choose import backbone_for
from headstart.compute import generator
from headstart.data import split as splitting
from headstart.data import table as tables
from headstart.data.plan import SURE
from headstart.evaluation import duplicates, suspects
from headstart.features.extract import extract
from headstart.features.prints import prints
from headstart.features.store import Store
from headstart.methods import probe
from headstart.preprocess.image import open_image
from headstart.tasks.classification import Classification
from headstart.types import Roles, Table

FLIPPED = 0.1


def average_precision(found: np.ndarray) -> float:
    """Of a ranking: the mean precision at each row that was to be found. `found` is bool, best first."""
    hits = np.cumsum(found)
    return float((hits[found] / (np.flatnonzero(found) + 1)).mean())


def interval(values: list[float]) -> dict[str, float]:
    """Mean, and half the width of its 95 % interval over seeds (Student's t)."""
    t = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
    n = len(values)
    half = t.get(n, 1.96) * float(np.std(values, ddof=1)) / n**0.5 if n > 1 else float("nan")
    return {"mean": round(float(np.mean(values)), 4), "half": round(half, 4)}


def learned(data: str, offline: bool = True) -> tuple[Table, np.ndarray, np.ndarray | None, Table]:
    """The rows to learn from with their features and prints, and the test rows."""
    table = tables.read(data)
    parts = np.array(table.split or ["train"] * len(table))
    train = table.take(np.flatnonzero(parts != "test"))
    store = Store()
    backbone = backbone_for(train, offline=offline)
    features = extract(train, backbone, store=store)
    rows = np.flatnonzero(features.readable)
    looks = prints(train, store)
    return (
        train.take(rows),
        features.values[rows],
        None if looks is None else looks[rows],
        table.take(np.flatnonzero(parts == "test")),
    )


# --- labels -------------------------------------------------------------------------------------


def flip(codes: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Codes of which a tenth became another one, all others alike likely; and which they are."""
    wrong = np.zeros(len(codes), dtype=bool)
    wrong[rng.choice(len(codes), round(FLIPPED * len(codes)), replace=False)] = True
    moved = (codes + rng.integers(1, k, len(codes))) % k
    return np.where(wrong, moved, codes), wrong


def measure_labels(data: str, seeds: int) -> dict[str, Any]:
    """Average precision of the ranking, and how many rows are flagged, over seeds."""
    table, features, looks, _ = learned(data)
    task = Classification.from_targets(table.targets or ())
    truth = task.encode(table.targets or ())
    groups = duplicates.near_groups(table, features, prints=looks)
    near = suspects.neighbours(features, groups)
    values: dict[str, list[float]] = {}
    for seed in range(seeds):
        codes, wrong = flip(truth, len(task.labels), generator(seed, 99))
        flipped = Table(
            table.inputs, tuple(task.labels[c] for c in codes), table.names, table.modality,
            Roles("x", "y"), table.source,
        )  # fmt: skip
        split = splitting.make_split(flipped, groups=groups, seed=seed, with_test=False)
        config = probe.Config(held_out_rows=10**9)
        made = probe.fit(features, codes, split.folds, len(task.labels), config)
        doubts = suspects.doubt(codes, made.held_out, near, split.folds)
        flagged, sure = doubts.flagged, doubts.flagged & (doubts.wrong >= SURE)
        right = doubts.other == truth
        for name, value in {
            "average_precision": average_precision(wrong[doubts.ranking]),
            "flagged": flagged.mean(),
            "precision": wrong[flagged].mean(),
            "recall": flagged[wrong].mean(),
            "estimated_share": doubts.share,
            "said": doubts.wrong[flagged].mean(),
            "sure": sure.mean(),
            "sure_precision": wrong[sure].mean() if sure.any() else np.nan,
            "suggestion_right": right[flagged & wrong].mean(),
        }.items():
            values.setdefault(name, []).append(float(value))
    return {"rows": len(table), "seeds": seeds, **{n: interval(v) for n, v in values.items()}}


# --- duplicates ---------------------------------------------------------------------------------


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


PICTURES: dict[str, Callable[[Image.Image], bytes]] = {
    **{f"JPEG {q}": lambda image, q=q: _jpeg(image, q) for q in (30, 50, 75, 95)},
    **{f"resized {f}": lambda image, f=f: _png(_scaled(image, f)) for f in (0.5, 0.75, 1.5, 2)},
    "mirrored": lambda image: _png(ImageOps.mirror(image)),
    "upside down": lambda image: _png(ImageOps.flip(image)),
    "turned 90": lambda image: _png(image.transpose(Image.Transpose.ROTATE_90)),
    "turned 180": lambda image: _png(image.transpose(Image.Transpose.ROTATE_180)),
    "turned 270": lambda image: _png(image.transpose(Image.Transpose.ROTATE_270)),
    "mirrored, 0.5, JPEG 50": lambda image: _jpeg(_scaled(ImageOps.mirror(image), 0.5), 50),
}


def _typo(text: str, rng: random.Random) -> str:
    """One letter replaced, left out, doubled by another, or two neighbours swapped."""
    places = [i for i, char in enumerate(text) if char.isalpha()]
    at = rng.choice(places)
    letters = (
        "abcdefghijklmnopqrstuvwxyz" if text[at].isascii() else "的一是了我不在人有这中大来上个国"
    )
    kind = rng.randrange(4)
    if kind == 3 and at + 1 in places and text[at] != text[at + 1]:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    other = rng.choice([c for c in letters if c != text[at].lower()])
    return text[:at] + ["", other, text[at] + other][min(kind, 2)] + text[at + 1 :]


def _swap(text: str, rng: random.Random) -> str:
    """Two neighbouring words change places."""
    words = text.split(" ")
    places = [i for i in range(len(words) - 1) if words[i] != words[i + 1]]
    if not places:
        return text
    at = rng.choice(places)
    return " ".join([*words[:at], words[at + 1], words[at], *words[at + 2 :]])


TEXTS: dict[str, Callable[[str, random.Random], str]] = {
    "case": lambda text, rng: text.upper(),
    "punctuation": lambda text, rng: (
        text.replace(",", "").replace("，", " ").rstrip(".!?。！") + "!!"
    ),
    "one typo": _typo,
    "two words swapped": _swap,
}


def _changed(table: Table, rows: np.ndarray) -> Iterator[tuple[str, list[Any]]]:
    """Kind of change -> the changed inputs."""
    if table.modality == "image":
        images = [open_image(table.inputs[row])[0] for row in rows]
        yield "exact", [Path(table.inputs[row]).read_bytes() for row in rows]
        for kind, change in PICTURES.items():
            yield kind, [change(image) for image in images]
        return
    rng = random.Random(0)
    yield "exact", [table.inputs[row] for row in rows]
    for kind, alter in TEXTS.items():
        yield kind, [alter(str(table.inputs[row]), rng) for row in rows]


def measure_duplicates(data: str, many: int, pairs: str | None) -> dict[str, Any]:
    """Share of planted copies that are found, by kind; and the honest rows that are called copies."""
    table, features, looks, _ = learned(data)
    backbone, store = backbone_for(table, offline=True), Store()
    found: dict[str, Any] = {}
    rng = generator(0, 98)
    rows = np.sort(rng.choice(len(table), min(many, len(table)), replace=False))
    if table.modality == "text":  # shorter ones are copies only where they are equal
        rows = np.array([r for r in rows if len(str(table.inputs[r])) >= 20])
    groups = duplicates.near_groups(table, features, prints=looks)
    for kind, inputs in _changed(table, rows):
        planted = Table(
            tuple(inputs), None, tuple(map(str, rows)), table.modality, Roles("x"), "planted"
        )
        seen = extract(planted, backbone, store=store)
        own = prints(planted, store)
        of_test, _ = duplicates.twins(
            table, features, planted, seen.values, prints=looks, test_prints=own
        )
        right = (of_test >= 0) & (groups[of_test] == groups[rows])
        found[kind] = {"n": len(rows), "found": round(float(right.mean()), 4)}
    found["honest"] = _honest(table, groups, pairs)
    return found


def _honest(table: Table, groups: np.ndarray, pairs: str | None) -> dict[str, Any]:
    """Rows that are called copies before anything is planted; the pairs are written down."""
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(row)
    near = [own for own in members.values() if len(own) > 1]
    if pairs:
        text = table.modality == "text"
        lines = [
            "\t".join(str(table.inputs[row] if text else table.names[row]) for row in own)
            for own in near
        ]
        Path(pairs).write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = sum(map(len, near))
    return {
        "rows": len(table),
        "called copies": rows,
        "groups": len(near),
        "largest": max(map(len, near), default=0),
    }


# --- speed --------------------------------------------------------------------------------------


def measure_speed(rows: int, dim: int = 384, k: int = 20) -> dict[str, Any]:
    """Seconds for made-up texts and features, by the clock and of all processors together."""
    rng = generator(0, 97)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 6)) for _ in range(5000)]
    texts = tuple(" ".join(rng.choice(words, 12)) for _ in range(rows))
    codes = rng.integers(0, k, rows)
    centres = rng.normal(size=(k, dim))
    features = (centres[codes] * 0.3 + rng.normal(size=(rows, dim))).astype(np.float32)
    table = Table(texts, tuple(map(str, codes)), texts, "text", Roles("x", "y"), "made up")
    looks = rng.normal(size=(rows, 259)).astype(np.float32)
    looks[:, -1] = 200
    seconds = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started, used = time.perf_counter(), time.process_time()
        made = work()
        seconds[name] = {
            "wall": round(time.perf_counter() - started, 2),
            "processors": round(time.process_time() - used, 2),
        }
        return made

    groups = timed("near texts", lambda: duplicates.near_groups(table, features))
    pictures = Table(tuple(map(str, range(rows))), None, texts, "image", Roles("x"), "made up")
    timed("near pictures", lambda: duplicates.near_groups(pictures, features, prints=looks))
    near = timed("neighbours", lambda: suspects.neighbours(features, groups))
    logits = rng.normal(size=(rows, k))
    timed("doubt", lambda: suspects.doubt(codes, logits, near, rng.integers(0, 5, rows)))
    return seconds


def main() -> int:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("labels", "duplicates", "speed"))
    parser.add_argument("data", nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--pairs", help="where the honest pairs are written")
    given = parser.parse_args()
    if given.what == "speed":
        made: dict[str, Any] = measure_speed(given.rows)
    elif given.what == "labels":
        made = measure_labels(given.data, given.seeds)
    else:
        made = measure_duplicates(given.data, given.rows, given.pairs)
    sys.stdout.write(json.dumps(made, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
