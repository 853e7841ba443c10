"""Runs the checks in full and writes what came out into docs/explain/trust.md (`make trust`).

    python -m trust.run                  all, in full: about forty minutes on two processors
    python -m trust.run --quick          a part of each: minutes
    python -m trust.run --only R13       some; the other rows keep their last results

Each check is a process of its own with a limit on its time: one that crashes or hangs costs its row only.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trust.table import ROOT, Check, Outcome, environment

PAGE = ROOT / "docs" / "explain" / "trust.md"
LAST = ROOT / "trust" / "last.json"
START, END = "<!-- results -->", "<!-- /results -->"
SECONDS = 1200  # for one check

# scripts of other parts, run where they are there; the last line that each prints is its figure
OTHERS = (
    ("R25", "planted faults in data are found", "benchmarks/doctor.py", "tests/test_data_doctor.py"),
    ("R26", "sets and probabilities keep what they say", "benchmarks/coverage.py", "tests/test_evaluation_calibrate.py"),
    ("R26", "what is unfamiliar or unsure is refused", "benchmarks/refusal.py", "tests/test_evaluation_calibrate.py"),
)  # fmt: skip


def checks() -> list[Check]:
    """The table: promise, what is done, figure aimed at, how many cases."""
    from trust import bombs, bundles, damage, faults, pickles, runs, store, training

    def test(name: str) -> str:
        return f"tests/test_trust_{name}"

    fuzzed = [
        Check("R10", f"fuzz-{kind.lower()}", f"{kind} files changed at random", "0 uncaught, none > 2 s, < +200 MB",
              damage.fuzz(kind), 500, 10_000, test("inputs.py::test_changed_pictures"))
        for kind in damage.FORMATS
    ]  # fmt: skip
    return [
        Check("R1", "killed-trainings", "trainings of pictures and texts, five ways, killed at random", "100 of 100 end with the same bytes",
              training.killed, 20, 100, test("training.py::test_killed_trainings_end_with_the_same_bytes")),
        Check("R2", "every-call", "kill, EIO and ENOSPC at every call of a save (strace)", "old or new, never neither",
              faults.every_call, 40, 10_000, test("faults.py::test_a_fault_at_some_calls")),
        Check("R2", "python-calls", "the same where there is no strace, by failing functions", "old or new, never neither",
              faults.python_calls, 12, 500, test("faults.py::test_a_fault_at_some_functions")),
        Check("R3", "order", "write, sync, rename, sync the folder, for each kind of file", "100 % of writers",
              faults.order, 5, 5, test("faults.py::test_what_is_written_reaches_the_disk_before_its_name")),
        Check("R4", "file-limit", "saves that hit a limit at a random byte", "50 of 50: nothing lost, one line",
              faults.file_limit, 20, 50, test("faults.py::test_a_limit_on_the_size_of_files")),
        Check("R4", "small-disk", "saves on a full disk of 1 MB", "50 of 50: nothing lost, one line",
              faults.small_disk, 10, 50, test("faults.py::test_a_full_disk")),
        Check("R5", "resumed-batches", "trainings stopped after a random step", "the same batches, step 100,000 in < 1 s",
              training.resumed, 10, 50, test("training.py::test_stopped_trainings_go_on_with_the_same_batches")),
        Check("R6", "repeated", "fits in fresh processes, hash seeds and folder orders changed", "equal but for times",
              runs.repeated, 1, 5, test("runs.py::test_the_same_run_again")),
        Check("R7", "signalled-trainings", "SIGINT and SIGTERM at random moments of a training", "ended in 2 s, kept, 50 of 50 alike",
              training.signalled, 10, 50, test("training.py::test_a_signal_ends_a_training_soon_and_keeps_it")),
        Check("R8", "two-trainings", "two trainings in one folder; the first is killed or goes on", "20 of 20 refused, then taken over",
              training.raced, 6, 20, test("training.py::test_two_trainings_in_one_folder")),
        Check("R9", "damaged-folder", "a tenth of a folder damaged in 19 ways", "exactly the damaged are listed",
              damage.damaged_folder, 400, 1000, test("inputs.py::test_exactly_the_damaged_pictures_are_listed")),
        Check("R9", "damaged-table", "lines of a table damaged in 15 ways", "exactly the damaged are listed",
              damage.damaged_table, 500, 2000, test("inputs.py::test_exactly_the_damaged_lines_are_listed")),
        *fuzzed,
        Check("R11", "bombs", "pictures, bundles, weights, data that unpack to 4 GB", "peak < 300 MB each",
              bombs.bombs, 200, 4000, test("inputs.py::test_bombs")),
        Check("R13", "mutated-bundles", "bundles of texts changed at random", "0 crashes, 0 files outside, 0 wrong sums",
              bundles.mutated, 3000, 70_000, test("bundles.py::test_changed_bundles")),
        Check("R13", "mutated-image-bundles", "bundles of pictures changed at random", "0 crashes, 0 files outside, 0 wrong sums",
              lambda n, work: bundles.mutated(n, work, "image.headstart", 17), 1500, 30_000,
              test("bundles.py::test_changed_bundles_of_pictures")),
        Check("R13", "hostile-archives", "names that lead out, links, doubles", "200 archives, 0 escapes",
              bundles.hostile_archives, 203, 203, test("bundles.py::test_hostile_archives")),
        Check("R13", "special-archives", "archives, tensors and graphs that lie", "all refused",
              bundles.special_archives, 99, 99, test("bundles.py::test_archives_that_lie")),
        Check("R13", "senseless-answers", "NaN weights, wrong number of labels, no sums", "all refused",
              bundles.answers_without_sense, 99, 99, test("bundles.py::test_answers_without_sense")),
        Check("R14", "pickles", "200 pickles in every place that a file is read from", "0 run",
              pickles.zoo, 20, 200, test("bundles.py::test_pickles_never_run")),
        Check("R15", "audited", "hostile configurations with code beside them", "0 events outside the list",
              pickles.audited, 40, 100, test("bundles.py::test_loading_asks_for_nothing")),
        Check("R21", "killed-writers", "writers of the store killed", "0 acknowledged rows lost",
              store.killed, 10, 100, test("store.py::test_killed_writers")),
        Check("R21", "four-writers", "four processes write to one store", "0 rows lost",
              store.together, 500, 5000, test("store.py::test_four_writers")),
        Check("R21", "damaged-pages", "random pages of the store overwritten", "0 wrong vectors",
              store.damaged, 30, 300, test("store.py::test_damaged_pages")),
        Check("R23", "places", "locales, homes, disks, clocks, odd names", "all pass",
              runs.places, 6, 99, test("runs.py::test_other_surroundings")),
        Check("R24", "leaking-predictions", "many predictions", "< 1 kB each",
              runs.leaking_predictions, 4000, 20_000, test("runs.py::test_predictions_do_not_leak")),
        Check("R24", "leaking-fits", "many fits in one process", "< 5 MB each",
              runs.leaking_fits, 20, 50, test("runs.py::test_fits_do_not_leak")),
        Check("R24", "leaking-loads", "many loads of a bundle", "< 1 MB each",
              runs.leaking_loads, 100, 200, test("runs.py::test_loads_do_not_leak")),
        Check("R27", "batches", "inputs alone, among 64, beside long ones", "same answers, < 1e-4",
              runs.batches, 500, 1000, test("runs.py::test_an_answer_does_not_depend_on_its_batch")),
    ]  # fmt: skip


def one(name: str, count: int) -> Outcome:
    """Run one check in this process."""
    (check,) = [check for check in checks() if check.name == name]
    with tempfile.TemporaryDirectory(prefix="trust-", ignore_cleanup_errors=True) as work:
        os.environ["HEADSTART_CACHE"] = str(Path(work, "cache"))
        place = Path(work, "work")
        place.mkdir()
        return check.run(count, place)


def _apart(check: Check, count: int) -> Outcome:
    """Run one check in a process of its own."""
    command = [sys.executable, "-m", "trust.run", "--one", check.name, "--count", str(count)]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(0, (f"it took more than {SECONDS} s",))
    if done.returncode:
        return Outcome(0, (f"exit status {done.returncode}: {done.stderr[-500:]}",))
    told = json.loads(done.stdout.splitlines()[-1])
    return Outcome(**{**told, "bad": tuple(told["bad"])})


def main(arguments: list[str] | None = None) -> int:
    """See the module's docstring; the status is 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a part of each")
    parser.add_argument("--only", nargs="+", default=[], help="promises or names of checks")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        sys.stdout.write(json.dumps(dataclasses.asdict(one(given.one, given.count))) + "\n")
        return 0
    last = json.loads(LAST.read_text("utf-8")) if LAST.exists() else {}
    broken = False
    for check in checks():
        if given.only and not {check.promise, check.name} & set(given.only):
            continue
        started = time.perf_counter()
        outcome = _apart(check, check.quick if given.quick else check.full)
        broken |= bool(outcome.bad)
        last[check.name] = _told(outcome, time.perf_counter() - started, given.quick)
        sys.stdout.write(f"{check.promise:4} {check.name:22} {_verdict(last[check.name])}\n")
        for fault in outcome.bad[:10]:
            sys.stdout.write(f"       {fault[:300]}\n")
        sys.stdout.flush()
        _keep(last)  # at once: a long run may be broken off
    _others(given, last)
    _keep(last)
    return int(broken)


def _keep(last: dict[str, Any]) -> None:
    LAST.write_text(json.dumps(last, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write(last)


def _told(outcome: Outcome, seconds: float, quick: bool) -> dict[str, Any]:
    return {
        "cases": outcome.done,
        "measured": outcome.measured,
        "bad": list(outcome.bad[:5]),
        "faults": len(outcome.bad),
        "skipped": outcome.skipped,
        "seconds": round(seconds, 1),
        "quick": quick,
        "date": dt.date.today().isoformat(),
        "machine": machine(),
    }


def machine() -> str:
    """What it ran on, without names of this one machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{platform.system()} {platform.machine()}, {cores} processors, Python {platform.python_version()}"


def _others(given: argparse.Namespace, last: dict[str, Any]) -> None:
    """Scripts of other parts, where there are any."""
    for promise, _, script, _ in OTHERS:
        path = ROOT / script
        if not path.exists() or (given.only and promise not in given.only):
            continue
        started = time.perf_counter()
        command = [sys.executable, str(path), *(["--quick"] if given.quick else [])]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
        )  # fmt: skip
        lines = done.stdout.strip().splitlines() or [""]
        bad = () if done.returncode == 0 else (done.stderr[-300:],)
        last[script] = _told(Outcome(1, bad, lines[-1]), time.perf_counter() - started, given.quick)


def _verdict(told: dict[str, Any]) -> str:
    if told["skipped"]:
        return f"not run: {told['skipped']}"
    kept = "kept" if not told["faults"] else f"BROKEN ({told['faults']})"
    return f"{kept}: {told['measured']} ({told['cases']:,} cases, {told['seconds']:g} s)"


def rows(last: dict[str, Any]) -> list[str]:
    """The lines of the table, one a check."""
    listed = [(check.promise, check.what, check.aim, check.test, check.name) for check in checks()]
    listed += [
        (promise, what, f"see {script}", test, script)
        for promise, what, script, test in OTHERS
        if script in last
    ]
    lines = ["| # | what is done | aim | last result | test |", "| --- | --- | --- | --- | --- |"]
    for promise, what, aim, test, name in listed:
        told = last.get(name)
        result = "not run yet" if told is None else _verdict(told)
        if told is not None:
            result += f", {told['date']}{', a part' if told['quick'] else ''}"
        result = result.replace("|", "/").replace("\n", " ")
        place, _, function = test.partition("::")
        link = f"[{function or place}](../../{place})"
        lines.append(f"| {promise} | {what} | {aim} | {result} | {link} |")
    machines = sorted({told["machine"] for told in last.values()})
    return [*lines, "", *(f"Measured on: {one}." for one in machines)]


def write(last: dict[str, Any]) -> None:
    """Put the results into the page, between its marks."""
    text = PAGE.read_text("utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    PAGE.write_text(before + START + "\n" + "\n".join(rows(last)) + "\n" + END + after, "utf-8")


if __name__ == "__main__":
    sys.exit(main())
