"""A save that is killed, or whose disk fails, at every call to the system (R2, R3, R4)."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import HeadstartError
from trust import writer
from trust.table import ROOT, Outcome, environment

CALLS = ("openat", "write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2", "mkdir")  # fmt: skip
FAULTS = {"KILL": "signal=KILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}
_LINE = re.compile(r"(\w+)\((.*)\)\s+= ")


def strace() -> str:
    """Why strace cannot be used here; empty where it can."""
    if not shutil.which("strace"):
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else "this system does not let strace trace a process"


@dataclass(frozen=True)
class Call:
    """One call that a save made: its name, which of that name it was, and the line of strace."""

    name: str
    number: int
    line: str


def _save(
    kind: str,
    number: int,
    target: Path,
    log: Path | None = None,
    inject: str = "",
    faults: str = "",
) -> subprocess.CompletedProcess[str]:
    """A save in a process of its own, under strace where a log is wanted."""
    command = [sys.executable, "-m", "trust.writer", kind, str(number), str(target)]
    command += faults.split()
    if log is not None:
        told = ["strace", "-qq", "-y", "-o", str(log), "-e", f"trace={','.join(CALLS)}"]
        command = [*told, *(["-e", inject] if inject else []), *command]
    return subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip


def calls(kind: str, target: Path, number: int = 1) -> list[Call]:
    """The calls of one save that concern the target's folder, in order."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        done = _save(kind, number, target, log)
        if done.returncode:
            raise RuntimeError(done.stderr)
        lines = log.read_text("utf-8", "replace").splitlines()
    counts: dict[str, int] = {}
    found = []
    for line in lines:
        if match := _LINE.match(line):
            counts[match[1]] = counts.get(match[1], 0) + 1
            if str(target.parent) in line:
                found.append(Call(match[1], counts[match[1]], line))
    return found


# --- the order ----------------------------------------------------------------------------------


def order(count: int, work: Path) -> Outcome:
    """What is written reaches the disk before its name does, and the name before the save ends."""
    if why := strace():
        return Outcome(0, skipped=why)
    bad = []
    seen = []
    for kind in writer.KINDS[:count]:
        for old in (False, True):
            place = work / f"{kind}-{old}"
            place.mkdir()
            target = place / _name(kind)
            if old:
                writer.save(kind, 0, target)
            made = calls(kind, target)
            faults = _store_order(made) if kind == "store" else _order(made, target)
            bad += [f"{kind}: {fault}" for fault in faults]
            seen.append(len(made))
    return Outcome(len(seen), tuple(bad), f"{len(seen)} of {len(seen)} saves in order")


def _name(kind: str) -> str:
    return {"zip": "m.headstart", "report": "r.html", "csv": "p.csv"}.get(kind, kind)


def _order(made: list[Call], target: Path) -> list[str]:
    """Faults in the order of a save that ends with a rename."""
    renames = [i for i, call in enumerate(made) if call.name.startswith("rename")]
    if len(renames) != 1:
        return [f"{len(renames)} renames, not one"]
    at = renames[0]
    faults = []
    written = {}  # path of each file -> number of the last write to it
    synced = {}
    for i, call in enumerate(made):
        path = _descriptor(call.line)
        if call.name in ("write", "pwrite64") and path:
            written[path] = i
        if call.name in ("fsync", "fdatasync") and path:
            synced.setdefault(path, []).append(i)
    if not written:
        faults.append("nothing was written")
    for path, last in written.items():
        if not any(last < i < at for i in synced.get(path, ())):
            faults.append(f"{Path(path).name} is not synced between its last byte and the rename")
    folders = {str(Path(path).parent) for path in written} - {str(target.parent)}
    faults += [
        "the new folder is not synced before the rename"
        for folder in folders
        if not any(max(written.values()) < i < at for i in synced.get(folder, ()))
    ]
    if not any(i > at for i in synced.get(str(target.parent), ())):
        faults.append("the folder around it is not synced after the rename")
    return faults


def _store_order(made: list[Call]) -> list[str]:
    """Rows, and the name of a new shard, are on the disk before the index leads to them."""
    shard = [
        i for i, c in enumerate(made) if c.name == "write" and re.search(r"\.f(16|32)>", c.line)
    ]
    if not shard:
        return ["no rows were written"]
    last = shard[-1]
    index = [
        i for i, c in enumerate(made)
        if i > last and c.name in ("write", "pwrite64") and "index.sqlite" in c.line
    ]  # fmt: skip
    syncs = {
        kind: [
            i for i, c in enumerate(made) if c.name == "fsync" and i > last and _is(kind, c.line)
        ]
        for kind in ("shard", "folder")
    }
    faults = [
        f"the {kind} is not synced before the index is written"
        for kind, when in syncs.items()
        if not when or not index or when[0] > index[0]
    ]
    ends = [i for i, c in enumerate(made) if c.name in ("fsync", "fdatasync") and "index.sqlite" in c.line]  # fmt: skip
    if index and (not ends or ends[-1] < index[0]):
        faults.append("the index is not synced after its last page")
    return faults


def _is(kind: str, line: str) -> bool:
    path = _descriptor(line)
    return path.endswith((".f16", ".f32")) if kind == "shard" else path.endswith("/store")


def _descriptor(line: str) -> str:
    """The path of a call's first argument, where that is a handle."""
    match = re.match(r"\w+\(\d+<([^>]*)>", line)
    return match[1] if match else ""


# --- a fault at every call ----------------------------------------------------------------------


@dataclass(frozen=True)
class Saves:
    """A kind of save, with what lies at its target before and after."""

    kind: str
    folder: Path

    def begin(self, old: bool) -> Path:
        """A fresh place, with or without an earlier save in it."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        target = place / _name(self.kind)
        if old:
            writer.save(self.kind, 0, target)
        return target

    def judge(self, target: Path, before: Any, after: Any, done: Any, fault: str) -> Iterator[str]:
        """What is wrong after a save that was disturbed."""
        try:
            now = writer.state(self.kind, target)
        except HeadstartError as error:
            yield f"what is there is damaged: {error.message}"
            return
        if not self._sound(now, before, after):
            yield "neither the old nor the new is there"
        if fault == "KILL":
            if done.returncode not in (-9, 137):
                yield f"the process was not killed: exit status {done.returncode}"
        elif done.returncode == 0 and now != after:
            yield "the save failed with exit status 0"
        elif done.returncode != 0:
            told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
            if len(told) != 1 or "Traceback" in done.stderr:
                yield f"the cause is not one line: {done.stderr[-300:]!r}"
            left = [p.name for p in target.parent.iterdir() if p.name.endswith(".tmp")]
            if left and self.kind != "store":
                yield f"left behind: {left}"
        writer.save(self.kind, 1, target)
        if writer.state(self.kind, target) != after:
            yield "the next save did not work"

    def _sound(self, now: Any, before: Any, after: Any) -> bool:
        if self.kind != "store":
            return now in (before, after)
        if now == "wrong":
            return False
        kept = set(before or ())
        return kept <= set(now or ())  # what was acknowledged is there, and nothing is wrong


def every_call(count: int, work: Path) -> Outcome:
    """Kills and errors at calls of every kind of save, under strace.

    Args:
        count: how many faults in all, spread over kinds and calls; more than there are tries all.
        work: an empty folder.
    """
    if why := strace():
        return Outcome(0, skipped=why)
    plans = []
    for kind in writer.KINDS:
        saves = Saves(kind, work / kind)
        saves.folder.mkdir(parents=True)
        for old in (True, False):
            target = saves.begin(old)
            made = calls(kind, target)
            after = writer.state(kind, target)
            plans += [(saves, old, call, fault, after) for call in made for fault in FAULTS]
    chosen = np.random.default_rng(0).permutation(len(plans))[:count]
    bad: list[str] = []
    for i in sorted(chosen.tolist()):
        saves, old, call, fault, after = plans[i]
        bad += _disturbed(saves, old, call, fault, after)
    told = f"{len(chosen)} of {len(plans)} points tried, {len(bad)} bad"
    return Outcome(len(chosen), tuple(bad[:100]), told)


def _disturbed(saves: Saves, old: bool, call: Call, fault: str, after: Any) -> list[str]:
    target = saves.begin(old)
    before = writer.state(saves.kind, target)
    inject = f"inject={call.name}:{FAULTS[fault]}:when={call.number}"
    with tempfile.TemporaryDirectory() as folder:
        done = _save(saves.kind, 1, target, Path(folder, "log"), inject)
    where = f"{saves.kind}, {fault} at {call.name} {call.number} ({call.line[:120]})"
    bad = [f"{where}: {fault}" for fault in saves.judge(target, before, after, done, fault)]
    shutil.rmtree(target.parent, ignore_errors=True)
    return bad


def python_calls(count: int, work: Path) -> Outcome:
    """The same with the functions of `os` made to fail: for machines without strace.

    Args:
        count: how many faults in all.
        work: an empty folder.
    """
    plans = [
        (kind, f"{call}:{n}:{fault}")
        for kind, call, most in (
            ("zip", "fsync", 2), ("zip", "replace", 1), ("csv", "fsync", 2), ("csv", "replace", 1),
            ("folder", "fsync", 7), ("folder", "mkdir", 1),
        )
        for n in range(1, most + 1)
        for fault in FAULTS
    ]  # fmt: skip
    plans += [("folder", f"noswap rename:{n}:{fault}") for n in (1, 2) for fault in FAULTS]
    chosen = np.random.default_rng(1).permutation(len(plans))[:count]
    bad: list[str] = []
    for i in sorted(chosen.tolist()):
        kind, fault = plans[i]
        saves = Saves(kind, work / kind)
        saves.folder.mkdir(parents=True, exist_ok=True)
        target = saves.begin(old=True)
        before = writer.state(kind, target)
        reference = saves.begin(old=False)
        writer.save(kind, 1, reference)
        after = writer.state(kind, reference)
        done = _save(kind, 1, target, faults=fault)
        what = fault.rpartition(":")[2]
        bad += [f"{kind}, {fault}: {one}" for one in saves.judge(target, before, after, done, what)]
    return Outcome(len(chosen), tuple(bad[:100]), f"{len(chosen)} of {len(plans)} points tried")


# --- a full disk --------------------------------------------------------------------------------


@contextmanager
def _no_larger(size: int) -> Iterator[None]:
    """Files of this process may not grow beyond so many bytes."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def file_limit(count: int, work: Path) -> Outcome:
    """Saves that hit a limit on the size of files at a random byte."""
    if os.name == "nt":
        return Outcome(0, skipped="no such limit on Windows")
    rng = np.random.default_rng(2)
    bad: list[str] = []
    for i in range(count):
        kind = ("zip", "folder", "csv", "report")[i % 4]
        saves = Saves(kind, work)
        target = saves.begin(old=True)
        before = writer.state(kind, target)
        limit = int(rng.integers(0, _largest(target)))
        bad += _refused(kind, target, before, f"limit of {limit} bytes", limit=limit)
    return Outcome(count, tuple(bad[:100]), f"{count - len(bad)} of {count} refused, nothing lost")


def _largest(target: Path) -> int:
    files = [target] if target.is_file() else list(target.iterdir())
    return max(file.stat().st_size for file in files) * 9 // 10


def _refused(
    kind: str, target: Path, before: Any, where: str, limit: int | None = None
) -> Iterator[str]:
    """What is wrong after a save for which there was no room."""
    try:
        if limit is None:
            writer.save(kind, 1, target)
        else:
            with _no_larger(limit):
                writer.save(kind, 1, target)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            yield f"{kind}, {where}: {error}"
        if error.filename != str(target) or "MB free" not in str(error):
            yield f"{kind}, {where}: the message does not say what is missing: {error}"
    else:
        if limit is None or writer.state(kind, target) == before:
            yield f"{kind}, {where}: not refused"
        return  # the second one was small enough
    if writer.state(kind, target) != before:
        yield f"{kind}, {where}: the old one is gone"
    if left := [path.name for path in target.parent.iterdir() if path != target]:
        yield f"{kind}, {where}: left behind {left}"


def small_disk(count: int, work: Path) -> Outcome:
    """Saves on a file system of 1 MB that is filled up to a random byte."""
    mount = shutil.which("mount")
    disk = work / "disk"
    disk.mkdir()
    arguments = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if (
        not mount
        or subprocess.run([mount, *arguments], capture_output=True, check=False).returncode
    ):
        return Outcome(0, skipped="no right to mount a file system here")
    rng = np.random.default_rng(3)
    bad: list[str] = []
    try:
        for i in range(count):
            kind = ("zip", "folder", "report")[i % 3]
            target = Saves(kind, disk).begin(old=True)
            before = writer.state(kind, target)
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            left = int(rng.integers(0, 15_000))  # less than the smallest of them
            (disk / "filler").write_bytes(bytes(max(0, free - left)))
            bad += _refused(kind, target, before, f"{left} bytes left")
            (disk / "filler").unlink()
            shutil.rmtree(target.parent)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    return Outcome(count, tuple(bad[:100]), f"{count - len(bad)} of {count} refused, nothing lost")
