"""Compares Headstart with its peers, side by side, in one run.

    python benchmarks/compare.py --data DIR [--out DIR] [--envs DIR] [--only NAME ...] [--repeats N]
                                 [--without SIDE ...]
                                 [--quick] [--fresh] [--docs]

DIR holds the open data sets trashnet, clinc150 and financial_phrasebank. Each run is saved as it comes
(OUT/runs); a second call goes on where the first was stopped, --fresh begins anew. OUT/results.json has
everything (--only without a name just writes it anew), OUT/results.md the tables, OUT/bench.svg the picture. With --docs the tables and the picture
also go into docs/explain.

A peer is one row of `environments.PEERS`, one script in benchmarks/peers and one side in
`comparisons.COMPARISONS`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import chart
import environments
import summary
from comparisons import COMPARISONS, ROOT, Comparison, Room, Side
from measure import Failed, machine, process

DOCS = ROOT / "docs" / "explain"
_BEGIN, _END = "<!-- bench: begin -->", "<!-- bench: end -->"


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def compare(
    comparison: Comparison,
    room: Room,
    out: Path,
    repeats: int | None,
    only_kept: bool,
    without: Sequence[str] = (),
) -> dict[str, dict[str, Any]]:
    """Run all sides in turn, in alternating order; what was run before is only read.

    Args:
        comparison: the row of the table.
        room: what the runs need.
        out: the folder of the single runs.
        repeats: how often a side is run at most, if fewer than the table says.
        only_kept: whether nothing is run that was not run before.
        without: names of sides that are not run now; what they took before is read.

    Returns:
        Name of a side -> its runs, and why it failed if it did.
    """
    sides = [side for side in comparison.sides if side.quick or not room.quick]
    repeats = None if only_kept else repeats
    found: dict[str, dict[str, Any]] = {side.name: {"runs": []} for side in sides}
    for number in range(max(_times(side, repeats) for side in sides)):
        for side in sides if number % 2 == 0 else reversed(sides):
            if number < _times(side, repeats) and "failed" not in found[side.name]:
                kept = _one(comparison, side, number, room, out, only_kept or side.name in without)
                if "failed" in kept:
                    found[side.name]["failed"] = kept["failed"]
                else:
                    found[side.name]["runs"].append(kept)
    return found


def _times(side: Side, repeats: int | None) -> int:
    return side.repeats if repeats is None else min(side.repeats, repeats)


def _one(
    comparison: Comparison, side: Side, number: int, room: Room, out: Path, only_kept: bool
) -> dict[str, Any]:
    """One run, from its file if there is one; what failed is tried again next time."""
    slug = "".join(letter if letter.isalnum() else "-" for letter in side.name.lower())
    path = out / f"{comparison.name}.{slug}.{number}.json"
    if path.is_file():
        return json.loads(path.read_text("utf-8"))
    if only_kept:
        return {"failed": "not run"}
    say(f"  {side.name}, run {number + 1} ...")
    try:
        kept: dict[str, Any] = asdict(side.run(room, number))
        say(f"    {summary.seconds(kept['wall_s'])}")
    except (Failed, OSError, KeyError, ValueError) as failure:  # the others still count
        say(f"    {failure}")
        return {"failed": str(failure) or type(failure).__name__}
    path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    return kept


def described(room: Room) -> dict[str, str]:
    """Versions on Headstart's side."""
    code = (
        "import json, numpy, onnxruntime, headstart, importlib.util as u\n"
        "print(json.dumps({'version': headstart.__version__, 'numpy': numpy.__version__,"
        " 'onnxruntime': onnxruntime.__version__,"
        " 'sklearn': 'yes' if u.find_spec('sklearn') else 'no'}))"
    )
    return process([room.python, "-c", code], room.own_env()).result


def brought(room: Room, comparisons: dict[str, Any], out: Path) -> list[dict[str, Any]]:
    """The environments: Headstart's from its own measurement, the peers' from their records."""
    records = []
    runs = comparisons.get("from-nothing", {}).get("sides", {}).get("Headstart", {}).get("runs")
    if runs:
        result = runs[-1]["result"]
        records.append(
            {
                "name": "headstart",
                "about": "Headstart",
                "requirements": ["headstart", "numpy", "onnxruntime"],
                "packages": result["packages"],
                "megabytes": result["environment_mb"],
                "versions": result["versions"],
                "import_s": result["import_s"],
                "install_s": result["stages"]["install"],
            }
        )
    for peer in environments.PEERS.values():
        path = room.envs / f"{peer.name}.json"
        if not path.is_file():
            continue
        record = json.loads(path.read_text("utf-8"))
        if "failed" not in record:
            record["import_s"] = _import(peer, room, out)
        records.append(record)
    return records


def _import(peer: environments.Peer, room: Room, out: Path) -> float:
    """Measured in this run, beside everything else: the same environment may serve many runs."""
    path = out / f"import.{peer.name}.json"
    if not path.is_file():
        say(f"import of {peer.about} ...")
        python = environments.python_of(room.envs / peer.name)
        how = {"times": 1, "warm": False} if room.quick else {}
        took = environments.import_seconds(python, peer.imports, peer.vision, **how)
        path.write_text(json.dumps(took) + "\n", "utf-8")
    return json.loads(path.read_text("utf-8"))


def insert(page: Path, text: str) -> None:
    """Put the text between the two markers of a page; at its end, under a heading, if it has none."""
    content = page.read_text("utf-8")
    if _BEGIN not in content:
        content = f"{content.rstrip()}\n\n## Beside other tools\n\n{_BEGIN}\n{_END}\n"
    head, _, rest = content.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    page.write_text(f"{head}{_BEGIN}\n\n{text}\n\n{_END}{tail}", "utf-8")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="Compares Headstart with its peers.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument(
        "--out", type=Path, help="default: runs/bench, runs/bench-quick with --quick"
    )
    parser.add_argument("--envs", type=Path, default=environments.ENVS, help="peers' environments")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="runs Headstart")
    parser.add_argument("--only", nargs="*", choices=list(COMPARISONS), default=list(COMPARISONS))
    parser.add_argument("--without", nargs="+", default=[], help="names of sides not to run now")
    parser.add_argument("--repeats", type=int, help="of a side at most")
    parser.add_argument(
        "--quick", action="store_true", help="one repeat, the cheap sides, fewer texts"
    )
    parser.add_argument("--fresh", action="store_true", help="forget the runs kept in OUT")
    parser.add_argument(
        "--docs", action="store_true", help="write tables and picture into docs/explain"
    )
    parser.add_argument(
        "--no-imports", action="store_true", help="leave the environments' table out"
    )
    given = parser.parse_args()
    if not given.data.is_dir():
        raise SystemExit(f"There is no folder {given.data}.\n  fix: --data FOLDER")
    given.out = given.out or ROOT / "runs" / ("bench-quick" if given.quick else "bench")
    return given


def main() -> None:
    """Measure what is not measured yet, then write everything."""
    given = arguments()
    # ends as an interrupt does, so that the process being measured is ended too
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    out = given.out.absolute()
    if given.fresh:
        for part in ("runs", "work"):
            shutil.rmtree(out / part, ignore_errors=True)
    for part in ("runs", "work"):
        (out / part).mkdir(parents=True, exist_ok=True)
    # absolute, but not resolved: a virtual environment's interpreter is a link
    room = Room(
        given.data.resolve(),
        out / "work",
        given.envs.absolute(),
        given.python.absolute(),
        given.quick,
    )
    results: dict[str, Any] = {
        "machine": machine(),
        "headstart": described(room),
        "quick": given.quick,
        "comparisons": {},
        "environments": [],
    }
    repeats = 1 if given.quick and given.repeats is None else given.repeats
    for name, comparison in COMPARISONS.items():
        if given.quick and not any(side.quick for side in comparison.sides):
            continue
        wanted = name in given.only
        if wanted:
            say(f"{name}: {comparison.title}")
        sides = compare(comparison, room, out / "runs", repeats, not wanted, given.without)
        if wanted or any(side["runs"] for side in sides.values()):
            found = {"sides": sides, "summary": summary.summarise(comparison, sides)}
            results["comparisons"][name] = found | {"extra": comparison.after(room)}
            write(results, out, docs=False)
    if not given.no_imports:
        results["environments"] = brought(room, results["comparisons"], out / "runs")
    write(results, out, docs=given.docs)
    print(summary.table(results))
    print()
    print(summary.environments_table(results))


def write(results: dict[str, Any], out: Path, *, docs: bool) -> None:
    """results.json, results.md, bench.svg; and the documentation."""
    text = json.dumps(results, indent=1, ensure_ascii=False)
    (out / "results.json").write_text(text + "\n", "utf-8")
    (out / "results.md").write_text(summary.page(results, "bench.svg") + "\n", "utf-8")
    (out / "bench.svg").write_text(chart.svg(results), "utf-8")
    if docs:
        shutil.copyfile(out / "bench.svg", DOCS / "bench.svg")
        insert(DOCS / "figures.md", summary.page(results, "bench.svg"))


if __name__ == "__main__":
    main()
