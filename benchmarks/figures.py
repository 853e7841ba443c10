"""Measures the figures of docs/explain/figures.md, as whole processes through the command line.

    python benchmarks/figures.py --data DIR [--out DIR] [--only NAME ...]

DIR holds the open data sets trashnet, clinc150 and zh_reviews_10, each as a folder (see
docs/explain/figures.md for where they come from). Prints a Markdown table and, with --out, writes
figures.md and figures.json there. What the runs need besides (subsets as CSV, bundles) goes into a
temporary folder; the cache is the usual one (HEADSTART_CACHE), and each run says how warm it was.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
UNWANTED = ("torch", "numpy", "onnxruntime", "timm", "transformers")


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: what was measured.
        value: the figure.
        unit: "%", "s", "MB" or "".
        aim: the bound that it has to keep, None for a figure that is only reported.
        least: whether the aim is the least allowed (else the most).
        command: what gives it.
        detail: whatever belongs to it: intervals, single runs, stages.
    """

    what: str
    value: float
    unit: str
    aim: float | None
    least: bool
    command: str
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> bool | None:
        """Whether the aim is kept; None where there is none."""
        if self.aim is None:
            return None
        return self.value >= self.aim if self.least else self.value < self.aim


@dataclass(frozen=True)
class Bench:
    """What every measurement needs: the data, a temporary folder, bundles that were made."""

    data: Path
    room: Path
    bundles: dict[str, Path] = field(default_factory=dict)


# --- running ------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> tuple[dict[str, Any], float]:
    """Run `headstart ARGUMENTS --json` in a process of its own.

    Returns:
        What it printed, and the wall time of the whole process in seconds.

    Raises:
        SystemExit: it failed; with what it said.
    """
    words = [str(argument) for argument in arguments]
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "headstart", *words, "--json"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"headstart {' '.join(words)} ended with {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout), seconds


def modules(*arguments: str | Path) -> list[str]:
    """Which of the `UNWANTED` modules are loaded at the end of `headstart ARGUMENTS`."""
    code = (
        "import runpy, sys\n"
        "sys.argv = ['headstart', *sys.argv[1:]]\n"
        "try:\n    runpy.run_module('headstart', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as left:\n    assert not left.code, left.code\n"
        f"loaded = [name for name in {UNWANTED!r} if name in sys.modules]\n"
        "sys.stderr.write('\\nLOADED ' + ' '.join(loaded))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    return done.stderr.rpartition("LOADED")[2].split()


def wall(times: int, *arguments: str | Path) -> list[float]:
    """Wall times in seconds of the command line's whole process."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "headstart", *map(str, arguments)],
            capture_output=True,
            check=True,
        )
        seconds.append(time.perf_counter() - started)
    return seconds


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Iterable[dict[str, str]], columns: tuple[str, ...]) -> Path:
    """Write rows as CSV, these columns only."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def accuracy(what: str, aim: float, result: dict[str, Any], wall_s: float, command: str) -> Figure:
    """A figure from what `fit` printed."""
    metric = result["metrics"]["accuracy"]
    detail = {
        "low": 100 * metric["low"],
        "high": 100 * metric["high"],
        "n": result["n"],
        "split": result["split"],
        "skipped": len(result["skipped"]),
        "wall_s": wall_s,
        "seconds": result["seconds"],
    }
    return Figure(what, 100 * metric["value"], "%", aim, True, command, detail)


# --- the figures --------------------------------------------------------------------------------


def trashnet(bench: Bench) -> list[Figure]:
    """Photos of household waste, 6 classes: train folder to test folder; then again, all warm."""
    folder, out = bench.data / "trashnet", bench.room / "waste.headstart"
    command = "headstart fit trashnet/train --test trashnet/test --out waste.headstart"
    words = ("fit", folder / "train", "--test", folder / "test", "--out", out)
    result, first = run(*words)
    bench.bundles["starter:lite0"] = out
    warm = [run(*words)[1] for _ in range(5)]
    loaded = modules(*words)
    return [
        accuracy("trashnet, train folder to test folder", 80, result, first, command),
        Figure("second fit on trashnet, warm store, whole process, median of 5", statistics.median(warm),
               "s", 4, False, command + "  (again)", {"runs": warm, "loaded": loaded}),
    ]  # fmt: skip


def clinc150(bench: Bench) -> list[Figure]:
    """150 intents in English, MiniLM: train and val to test, rows of label "oos" left out."""
    rows = [row for row in rows_of(bench.data / "clinc150" / "data.csv") if row["label"] != "oos"]
    table = write_rows(bench.room / "clinc150.csv", rows, ("text", "label", "split"))
    out = bench.room / "intents.headstart"
    command = (
        "headstart fit clinc150.csv --input text --target label --backbone starter:minilm "
        "--out intents.headstart"
    )
    columns = ("--input", "text", "--target", "label", "--backbone", "starter:minilm")
    result, seconds = run("fit", table, *columns, "--out", out)
    bench.bundles["starter:minilm"] = out
    return [accuracy("clinc150, train to test without oos, MiniLM", 94.5, result, seconds, command)]


def zh_reviews(bench: Bench) -> list[Figure]:
    """Sentiment of Chinese reviews, multilingual-e5: its own split, then each domain left out."""
    rows = rows_of(bench.data / "zh_reviews_10" / "data.csv")
    columns = ("--input", "text", "--target", "label", "--backbone", "starter:e5")
    table = write_rows(bench.room / "reviews.csv", rows, ("text", "label", "split"))
    out = bench.room / "reviews.headstart"
    result, seconds = run("fit", table, *columns, "--out", out)
    bench.bundles["starter:e5"] = out
    command = "headstart fit reviews.csv --input text --target label --backbone starter:e5"
    whole = accuracy("zh_reviews_10, its split, multilingual-e5", 89.5, result, seconds, command)

    domains: dict[str, float] = {}
    for domain in sorted({row["domain"] for row in rows}):
        kept = [row for row in rows if row["domain"] != domain and row["split"] == "train"]
        left = [row for row in rows if row["domain"] == domain]
        train = write_rows(bench.room / "kept.csv", kept, ("text", "label"))
        test = write_rows(bench.room / "left.csv", left, ("text", "label"))
        result, _ = run("fit", train, "--test", test, *columns, "--out", bench.room / "x.headstart")
        domains[domain] = 100 * result["metrics"]["accuracy"]["value"]
    mean = statistics.fmean(domains.values())
    command = command.replace("reviews.csv", "others.csv --test left_out.csv")
    return [
        whole,
        Figure("zh_reviews_10, each of 10 domains left out in turn, mean", mean, "%", 88, True,
               command, {"domains": domains}),
    ]  # fmt: skip


def starting(bench: Bench) -> list[Figure]:
    """`--help` and `--version`: wall time, and what they load."""
    figures = []
    for option in ("--help", "--version"):
        runs = wall(10, option)
        detail = {"runs": runs, "loaded": modules(option)}
        what = f"headstart {option}, whole process, median of 10"
        figures.append(
            Figure(what, statistics.median(runs), "s", 0.3, False, f"headstart {option}", detail)
        )
    return figures


def cold_predict(bench: Bench) -> list[Figure]:
    """One photo, a process of its own each time."""
    if "starter:lite0" not in bench.bundles:
        trashnet(bench)
    photo = next(iter(sorted((bench.data / "trashnet" / "test").rglob("*.jpg"))))
    words = ("predict", bench.bundles["starter:lite0"], photo)
    runs = wall(5, *words)
    return [
        Figure("headstart predict of one image, cold process, median of 5", statistics.median(runs), "s",
               1.5, False, "headstart predict waste.headstart one.jpg",
               {"runs": runs, "loaded": modules(*words)}),
    ]  # fmt: skip


def sizes(bench: Bench) -> list[Figure]:
    """The wheel, the bundles made so far, the core's dependencies."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(bench.room)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = bench.room.glob("*.whl")
    figures = [
        Figure("the wheel", wheel.stat().st_size / 1e6, "MB", 1, False, "python -m build --wheel",
               {"name": wheel.name}),
        Figure("direct dependencies of the core", len(dependencies()), "", 13, False,
               "pyproject.toml", {"names": dependencies()}),
    ]  # fmt: skip
    for name, aim in (("starter:lite0", 20.0), ("starter:minilm", 95.0), ("starter:e5", 150.0)):
        if name in bench.bundles:
            size = bench.bundles[name].stat().st_size / 1e6
            figures.append(
                Figure(f"a bundle on {name}", size, "MB", aim, False, "fit ... --out FILE")
            )
    return figures


def dependencies() -> list[str]:
    """Names of the core's direct dependencies, as in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    block = re.search(r"^dependencies = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    return [re.split(r"[<>=!~;\[ ]", line)[0] for line in re.findall(r'"([^"]+)"', block[1])]


FIGURES: dict[str, Callable[[Bench], list[Figure]]] = {
    "trashnet": trashnet,
    "clinc150": clinc150,
    "zh_reviews": zh_reviews,
    "starting": starting,
    "cold_predict": cold_predict,
    "sizes": sizes,
}


# --- printing -----------------------------------------------------------------------------------


def line(figure: Figure) -> str:
    """A row of the Markdown table."""

    def show(value: float) -> str:
        digits = {"%": 1, "s": 2, "MB": 2, "": 0}[figure.unit]
        return f"{value:.{digits}f} {figure.unit}".strip()

    value = show(figure.value)
    if "low" in figure.detail:
        value += f" ({figure.detail['low']:.1f} to {figure.detail['high']:.1f})"
    bound = (
        "" if figure.aim is None else f"{'at least' if figure.least else 'under'} {figure.aim:g}"
    )
    loaded = ", ".join(figure.detail.get("loaded", [])) if "loaded" in figure.detail else None
    note = "" if loaded is None else f"loads {loaded or 'none of ' + ', '.join(UNWANTED)}"
    kept = {True: "yes", False: "**no**", None: ""}[figure.kept]
    return f"| {figure.what} | {value} | {bound} | {kept} | `{figure.command}` | {note} |"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*: (.+)", info.read_text("utf-8", "replace"))
        model = found[1] if found else ""
    return {
        "processors": threads,
        "processor": model or platform.processor(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measures the figures of docs/explain/figures.md.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, help="folder for figures.md and figures.json")
    parser.add_argument("--only", nargs="+", choices=list(FIGURES), default=list(FIGURES))
    given = parser.parse_args()
    if not given.data.is_dir():
        raise SystemExit(f"There is no folder {given.data}.\n  fix: --data FOLDER")

    figures: list[Figure] = []
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="headstart-figures-") as room:
        bench = Bench(given.data, Path(room))
        for name in given.only:
            print(f"{name} ...", file=sys.stderr, flush=True)
            started = time.perf_counter()
            try:
                figures += FIGURES[name](bench)
            except SystemExit as stopped:  # the others are still worth having
                failed.append(name)
                print(stopped, file=sys.stderr)
            print(f"  {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    table = "\n".join(
        ["| what | measured | aim | kept | command | |", "| --- | --- | --- | --- | --- | --- |"]
        + [line(figure) for figure in figures]
    )
    print(table)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "figures.md").write_text(table + "\n", "utf-8")
        everything = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
        text = json.dumps(everything, indent=1, ensure_ascii=False)
        (given.out / "figures.json").write_text(text + "\n", "utf-8")
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
