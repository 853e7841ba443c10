"""The same run again, in other surroundings, for long, and in other batches (R6, R23, R24, R27)."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from headstart.runtime.predictor import BundlePredictor
from trust import damage
from trust.table import Outcome, environment, golden, importable, resident

# what may differ between two equal runs, and why
CHANGING = {
    "bundle.json": "created (the time), the sums of the two files below, checksum",
    "report.html": "created (the time) and seconds (what each stage took)",
    "README.md": "the line that says what each stage took",
}
_FIT = """
import os, random, sys
import headstart as hs
if sys.argv[3] == "shuffled":
    sound = os.scandir
    class Shuffled:
        def __init__(self, *given): self.entries = list(sound(*given)); random.shuffle(self.entries)
        def __iter__(self): return iter(self.entries)
        def __enter__(self): return self
        def __exit__(self, *a): pass
        def close(self): pass
    os.scandir = Shuffled
    listed = os.listdir
    os.listdir = lambda *given: random.sample(listed(*given), len(listed(*given)))
hs.fit(sys.argv[1], backbone=sys.argv[4], out=sys.argv[2], seed=3)
"""


def repeated(count: int, work: Path) -> Outcome:
    """Fits in fresh processes, with other hash seeds and folders listed in another order.

    Args:
        count: how many runs are compared with the first.
        work: an empty folder.
    """
    _photos(work / "photos")
    made = []
    for i in range(count + 1):
        (work / str(i)).mkdir()
        out = work / str(i) / "same.headstart"  # its name is the report's title
        order = "shuffled" if i % 2 else "plain"
        surroundings = {"PYTHONHASHSEED": str(i), "HEADSTART_CACHE": str(work / f"cache{i}")}
        done = subprocess.run(
            [sys.executable, "-c", _FIT, "photos", str(out), order, "tiny:image"],
            cwd=work, env=environment(**surroundings), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            return Outcome(i, (done.stderr[-500:],))
        made.append(_stable(out))
    bad = [
        f"run {i}: {name} differs"
        for i, one in enumerate(made[1:], 1)
        for name in one.keys() | made[0].keys()
        if one.get(name) != made[0].get(name)
    ]
    return Outcome(
        count, tuple(bad), f"{count + 1 - len({b[:6] for b in bad})} of {count + 1} runs equal"
    )


def _photos(root: Path, each: int = 14) -> None:
    rng = np.random.default_rng(12)
    for label, colour in damage._COLOURS.items():
        (root / label).mkdir(parents=True)
        for i in range(each):
            data = damage.encoded(damage._picture(rng, colour), "PNG")
            (root / label / f"{i}.png").write_bytes(data)


def _stable(path: Path) -> dict[str, Any]:
    """The files of a bundle without what may change (see `CHANGING`)."""
    from headstart.report import page

    with zipfile.ZipFile(path) as archive:
        files: dict[str, Any] = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files["bundle.json"])
    for name in ("created", "checksum"):
        manifest.pop(name)
    for name in ("report.html", "README.md"):
        manifest["files"].pop(name)
    shown = page.read(files.pop("report.html").decode()).to_json()
    for name in ("created", "seconds"):
        shown.pop(name, None)
    lines = files["README.md"].decode().splitlines()
    files["README.md"] = [line for line in lines if not line.startswith("- Time taken: ")]
    return {**files, "bundle.json": manifest, "report.html": shown}


# --- places -------------------------------------------------------------------------------------

NAMES = ("with spaces", "-rf", "\U0001f600\U0001f680", "new\nline", "x" * 200, "\u6570\u636e", "\U0001f4a9" * 55, "a'b\"c", "%41;$(touch evil)", "#?&", "dot.", "ИЖ\u0131İ")  # fmt: skip


def _worlds(work: Path) -> dict[str, dict[str, str]]:
    other = Path("/dev/shm") if Path("/dev/shm").is_dir() else work
    elsewhere = other / f"headstart-trust-{os.getpid()}"
    elsewhere.mkdir(exist_ok=True)
    return {
        "plain": {},
        "LC_ALL=C": {"LC_ALL": "C"},
        "LC_ALL=C, ASCII only": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        "Turkish": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
        "Latin-1 output": {"PYTHONIOENCODING": "latin-1"},
        "TMPDIR on another disk": {"TMPDIR": str(elsewhere)},
        "a home that cannot be written": {"HOME": "/proc", "XDG_CACHE_HOME": ""},
        "another time zone": {"TZ": "Asia/Kathmandu"},
    }


def _faketimes() -> dict[str, str]:
    """Clocks to try, where faketime is installed."""
    return {"an hour back": "-1h", "an hour ahead": "+1h", "2038": "@2038-01-19 03:14:05", "1970": "@1970-01-02 00:00:00"}  # fmt: skip


def _cli(work: Path, arguments: list[str], clock: str = "", **surroundings: str) -> Any:
    command = [sys.executable, "-m", "headstart", *arguments]
    if clock:
        command = ["faketime", "-f", clock, *command]
    return subprocess.run(
        command, cwd=work, env=environment(**surroundings), capture_output=True, check=False
    )


def _round(work: Path, name: str, world: dict[str, str], clock: str = "") -> list[str]:
    """Fit, predict, evaluate and report with paths of this name; what went wrong."""
    if "HOME" in world:
        world = {**world, "HEADSTART_CACHE": str(work / "cache")}
    else:
        world = {**world, "HEADSTART_CACHE": str(work / f"{name[:40]} cache")}
    source = f"./{name}" if name.startswith("-") else name
    out = (
        f"{source[:150]}.headstart"
        if len(os.fsencode(source)) < 200
        else f"./{name[:40]}.headstart"
    )
    _photos(work / name, 8)
    steps = (
        ["fit", source, "--backbone", "tiny:image", "--out", out, "--quiet"],
        ["predict", out, f"{source}/red", "--out", "answers.csv", "--quiet"],
        ["predict", out, f"{source}/red/0.png"],
        ["evaluate", out, source, "--json"],
        ["report", out, "--lang", "zh", "--out", "page.html"],
    )
    bad = []
    for step in steps:
        done = _cli(work, step, clock, **world)
        if done.returncode or b"Traceback" in done.stderr:
            bad.append(f"{step[0]}: {done.returncode}: {done.stderr[-200:]!r}")
    if not bad and b",red," not in (work / "answers.csv").read_bytes():
        bad.append("the answers are not there")
    return bad


def places(count: int, work: Path) -> Outcome:
    """The command line in other locales, homes, disks, clocks, and with odd names.

    Args:
        count: how many surroundings; more than there are tries all.
        work: an empty folder.
    """
    importable()
    cases: list[tuple[str, str, dict[str, str], str]] = []
    for i, (world, settings) in enumerate(_worlds(work).items()):
        cases.append((world, NAMES[i % 2 * 5], settings, ""))
    cases += [(f"the name {name[:30]!r}", name, {}, "") for name in NAMES]
    note = ""
    if shutil.which("faketime"):
        cases += [(f"clock {title}", "photos", {}, clock) for title, clock in _faketimes().items()]
    else:
        note = "; faketime is not installed"
    bad: list[str] = []
    chosen = np.random.default_rng(13).permutation(len(cases))[:count].tolist()
    for i in chosen:
        title, name, settings, clock = cases[i]
        place = work / f"w{i}"
        place.mkdir()
        bad += [f"{title}: {fault}" for fault in _round(place, name, settings, clock)]
    shutil.rmtree(f"/dev/shm/headstart-trust-{os.getpid()}", ignore_errors=True)
    failed = len({fault.partition(":")[0] for fault in bad})
    return Outcome(
        len(chosen), tuple(bad[:100]), f"{len(chosen) - failed} of {len(chosen)} passed{note}"
    )


# --- leaks --------------------------------------------------------------------------------------


def _held() -> tuple[int, int]:
    """Open files and threads of this process."""
    files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0  # noqa: PTH208
    return files, threading.active_count()


def _slope(step: Any, count: int, warm: int) -> tuple[float, list[str]]:
    """Bytes of memory that one more step takes, and what else grows."""
    for _ in range(warm):
        step()
    gc.collect()
    held = _held()
    marks = []
    for i in range(count):
        step()
        if i % max(1, count // 20) == 0:
            gc.collect()
            marks.append((i, resident() * 1e6))
    at, memory = np.array(marks).T
    slope = float(np.polyfit(at, memory, 1)[0]) if len(marks) > 1 else 0.0
    now = _held()
    grown = [
        f"{what} grew from {a} to {b}"
        for what, a, b in zip(("open files", "threads"), held, now)
        if b > a + 2
    ]
    return slope, grown


def leaking_predictions(count: int, work: Path) -> Outcome:
    """Memory, files and threads over many predictions, of pictures and texts in turn."""
    image = BundlePredictor(golden("image.headstart"))
    text = BundlePredictor(golden("text.headstart"))
    rng = np.random.default_rng(14)
    pictures = [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(8)]

    def step() -> None:
        image.predict(pictures[:1])
        text.predict(["lovely happy number"])

    slope, bad = _slope(step, count // 2, 50)
    if count >= 2000 and slope / 2 > 1000:
        bad.append(f"{slope / 2:.0f} bytes a prediction")
    return Outcome(count, tuple(bad), f"{max(0.0, slope / 2):.0f} bytes a prediction, files and threads {'grow' if bad else 'steady'}")  # fmt: skip


def leaking_fits(count: int, work: Path) -> Outcome:
    """Memory, files and threads over many fits in one process, each on other data."""
    import headstart as hs

    importable()
    rng = np.random.default_rng(15)

    def step() -> None:
        words = ("lovely great happy", "awful broken sad")
        rows = [(f"{words[i % 2]} {rng.integers(1 << 30)}", "ab"[i % 2]) for i in range(40)]
        hs.fit(rows, backbone="tiny:text").predict(["lovely"])

    slope, bad = _slope(step, count, 3)
    if count >= 20 and slope > 5e6:
        bad.append(f"{slope / 1e6:.1f} MB a fit")
    return Outcome(count, tuple(bad), f"{max(0.0, slope) / 1e6:.2f} MB a fit")


def leaking_loads(count: int, work: Path) -> Outcome:
    """Memory, files and threads over many loads of a bundle."""
    slope, bad = _slope(lambda: BundlePredictor(golden("text.headstart")), count, 10)
    if count >= 100 and slope > 1e6:
        bad.append(f"{slope / 1e6:.2f} MB a load")
    return Outcome(count, tuple(bad), f"{max(0.0, slope) / 1e3:.0f} kB a load")


# --- batches ------------------------------------------------------------------------------------


def batches(count: int, work: Path) -> Outcome:
    """What a model says of an input, alone, among 64, and beside much longer ones."""
    rng = np.random.default_rng(16)
    worst, other, bad = 0.0, 0, []
    for name in ("image.headstart", "text.headstart"):
        model = BundlePredictor(golden(name))
        asked = _asked(model.modality, count, rng)
        alone = np.concatenate([model.logits([one])[0] for one in asked])
        among = np.concatenate([model.logits(asked[i : i + 64])[0] for i in range(0, count, 64)])
        long = _asked(model.modality, 8, rng, long=True)
        beside = np.concatenate(
            [model.logits([*asked[i : i + 8], *long])[0][:-8] for i in range(0, count, 8)]
        )
        for said in (among, beside):
            worst = max(worst, float(np.abs(said - alone).max()))
            gap = np.sort(alone, 1)
            clear = gap[:, -1] - gap[:, -2] > 1e-4
            other += int((said.argmax(1) != alone.argmax(1))[clear].sum())
    if worst >= 1e-4:
        bad.append(f"logits differ by {worst:.2g}")
    if other:
        bad.append(f"{other} other answers")
    return Outcome(2 * count, tuple(bad), f"largest difference {worst:.1e}, {other} other answers")


def _asked(modality: str, count: int, rng: np.random.Generator, long: bool = False) -> list[Any]:
    if modality == "image":
        sides = rng.integers(8, 64 if not long else 400, (count, 2))
        return [rng.integers(0, 255, (*side, 3), dtype=np.uint8) for side in sides.tolist()]
    letters = np.array(list("abcdefghij klmnop qrstuvwxyz 好坏喜欢"))
    lengths = rng.integers(1, 30, count) if not long else np.full(count, 400)
    return ["a" + "".join(rng.choice(letters, n)) for n in lengths.tolist()]
