"""A virtual environment for each peer: made once, described once, used again.

    python benchmarks/environments.py [--envs DIR] [--only NAME ...]

An environment lies in DIR/NAME, what is known of it in DIR/NAME.json: the pinned requirements, packages
and megabytes, or the reason why it cannot be installed. As long as the requirements
of the table below stay the same, a second call only looks the record up.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.metadata
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ENVS = ROOT / "runs" / "envs"
TORCH = "torch==2.13.0"
TORCHVISION = "torchvision==0.28.0"
_PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")
_PATIENCE = 1800  # seconds for one step of an installation
# came with the virtual environment or with pip itself, not with the peer
_OF_THE_VENV = {"pip", "setuptools", "wheel"}


@dataclass(frozen=True)
class Peer:
    """One row of the table: a new peer is one more of these, and one file in benchmarks/peers.

    Attributes:
        name: of the environment.
        about: in plain words, as the tables and the chart call it.
        requirements: pinned; torch is installed before them and held by a constraint.
        imports: the module whose import time is measured.
        vision: whether it needs torchvision.
        runners: the scripts in benchmarks/peers that it runs.
    """

    name: str
    about: str
    requirements: tuple[str, ...]
    imports: str
    vision: bool
    runners: tuple[str, ...]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("fastai", "fastai fine_tune(1)", ("fastai==2.8.12", "timm==1.0.31"), "fastai.vision.all",
             True, ("fastai_finetune.py",)),
        Peer("timm", "timm + scikit-learn", ("timm==1.0.31", "scikit-learn==1.9.1"), "timm", True,
             ("timm_probe.py", "timm_extract.py")),
        Peer("sentence-transformers", "sentence-transformers + scikit-learn",
             ("sentence-transformers==6.2.0", "scikit-learn==1.9.1"), "sentence_transformers", False,
             ("sentence_probe.py", "sentence_encode.py", "sklearn_head.py")),
        Peer("setfit", "SetFit, 20 iterations", ("setfit==1.2.0",), "setfit", False,
             ("setfit_few.py",)),
        Peer("trainer", "Hugging Face Trainer",
             ("transformers==5.23.0", "accelerate==1.15.0", "datasets==5.2.0", "scikit-learn==1.9.1"),
             "transformers.trainer", False, ("trainer_finetune.py",)),
        Peer("autogluon", "AutoGluon MultiModal", ("autogluon.multimodal==1.6.3",),
             "autogluon.multimodal", True, ("autogluon_fit.py",)),
    )
}  # fmt: skip


class NotInstallable(Exception):
    """The package client refused; the message is its own."""


def python_of(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ready(peer: Peer, envs: Path = ENVS) -> dict[str, Any]:
    """Make the peer's environment, unless it is there.

    Args:
        peer: the row of the table.
        envs: the folder of all environments.

    Returns:
        Its record. It has a "failed" instead of sizes if it cannot be installed.
    """
    envs.mkdir(parents=True, exist_ok=True)
    with (envs / f"{peer.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs must not install into one folder
        return _ready(peer, envs)


def _ready(peer: Peer, envs: Path) -> dict[str, Any]:
    folder, kept = envs / peer.name, envs / f"{peer.name}.json"
    wanted = _wanted(peer)
    if kept.is_file():
        record = json.loads(kept.read_text("utf-8"))
        if record["requirements"] == wanted and ("failed" in record or python_of(folder).exists()):
            return record
    shutil.rmtree(folder, ignore_errors=True)
    record: dict[str, Any] = {"name": peer.name, "about": peer.about, "requirements": wanted}
    started = time.perf_counter()
    try:
        _install(peer, folder)
        record |= {"install_s": time.perf_counter() - started, **described(folder)}
    except NotInstallable as reason:
        shutil.rmtree(folder, ignore_errors=True)
        record["failed"] = f"not installable: {reason}"
    kept.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return record


def _wanted(peer: Peer) -> list[str]:
    return [TORCH, *([TORCHVISION] if peer.vision else []), *peer.requirements]


def _install(peer: Peer, folder: Path) -> None:
    """torch first and by itself: a later package must not bring another build of it."""
    _run(sys.executable, "-m", "venv", folder)
    python = python_of(folder)
    limits = folder / "constraints.txt"
    limits.write_text("\n".join([TORCH, *([TORCHVISION] if peer.vision else [])]) + "\n", "utf-8")
    _run(python, *_PIP, "install", TORCH)
    if peer.vision:
        _run(python, *_PIP, "install", "--no-deps", TORCHVISION)
    _run(python, *_PIP, "install", "-c", limits, *peer.requirements)


def _run(*words: str | Path) -> None:
    try:
        done = subprocess.run(
            [str(word) for word in words],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired as late:
        raise NotInstallable(f"stopped after {late.timeout:.0f} s") from late
    if done.returncode:
        raise NotInstallable(_refusal(done.stderr or done.stdout))


def _refusal(said: str) -> str:
    """The lines of the package client that tell why, on one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    starts = [place for place, line in enumerate(lines) if line.startswith("ERROR")]
    told = lines[starts[0] : starts[0] + 12] if starts else lines[-5:]
    return re.sub(r"\S*://\S+", "(address)", " / ".join(told))[:1500]


def described(folder: Path) -> dict[str, Any]:
    """Packages, megabytes and versions of an environment, without what every environment has."""
    packages: dict[str, str] = {}
    for site in folder.glob("lib*/**/site-packages"):
        for found in importlib.metadata.distributions(path=[str(site)]):
            packages[found.metadata["Name"].lower()] = found.version
    kept = {name: version for name, version in packages.items() if name not in _OF_THE_VENV}
    return {
        "packages": len(kept),
        "megabytes": megabytes(folder),
        "versions": dict(sorted(kept.items())),
    }


def megabytes(folder: Path) -> float:
    """What the files of an environment take, in MB of 10^6 bytes, without pip and setuptools.

    A package that a peer really needs beside them (setuptools, for torch) is left out as well: it is
    small, and telling who asked for it is not worth the trouble.
    """
    total = 0
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            part = path.relative_to(folder).as_posix().partition("site-packages/")[2].split("/")[0]
            if re.split(r"[-.]", part)[0].lower() not in _OF_THE_VENV | {"_distutils_hack"}:
                total += path.stat().st_size
    return total / 1e6


def import_seconds(
    python: Path, module: str, vision: bool = False, times: int = 3, warm: bool = True
) -> float:
    """Wall time of a whole process that imports a module and does nothing else; median.

    Args:
        python: the interpreter.
        module: what is imported.
        vision: whether torchvision is repaired beforehand.
        times: how often.
        warm: whether one more import before the measured ones fills the file cache.
    """
    folder = str(ROOT / "benchmarks" / "peers")
    before = f"import sys; sys.path.insert(0, {folder!r}); import _torchvision; " if vision else ""
    seconds = []
    for _ in range(times + warm):
        started = time.perf_counter()
        _run(python, "-c", f"{before}import {module}")
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[-times:])


def forget_failure(record: Path) -> None:
    """Let an environment that could not be installed be tried again."""
    if record.is_file() and "failed" in json.loads(record.read_text("utf-8")):
        record.unlink()


def main() -> None:
    """Make the environments and print what is in them."""
    parser = argparse.ArgumentParser(description="Makes a virtual environment for each peer.")
    parser.add_argument("--envs", type=Path, default=ENVS, help=f"where they are kept ({ENVS})")
    parser.add_argument("--only", nargs="+", choices=list(PEERS), default=list(PEERS))
    given = parser.parse_args()
    for name in given.only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        forget_failure(given.envs / f"{name}.json")  # asked for by name: try again
        record = ready(PEERS[name], given.envs)
        print(
            f"  {record['failed']}"
            if "failed" in record
            else f"  {record['packages']} packages, {record['megabytes']:.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
