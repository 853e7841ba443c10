"""From an empty virtual environment to a tested model, without torch; every step from its beginning.

    python from_nothing.py CHECKOUT TRAIN TEST ROOM

Makes a virtual environment, installs the checkout with pip (its download cache switched off), fits
on the folders with an empty cache, so that the starter is fetched as well, and looks for the report.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import environments


def main() -> None:
    """Do it and say how long each step took and how much it left on the disk."""
    checkout, train, test, room = map(Path, sys.argv[1:5])
    venv, cache, out = room / "venv", room / "cache", room / "waste.headstart"
    env = {**os.environ, "HEADSTART_CACHE": str(cache), "PIP_NO_CACHE_DIR": "1"}
    env.pop("PYTHONPATH", None)
    python = environments.python_of(venv)
    steps = {
        "venv": [sys.executable, "-m", "venv", venv],
        "install": [python, "-m", "pip", "install", "--quiet", checkout],
        "fit": [python, "-m", "headstart", "fit", train, "--test", test, "--out", out, "--json"],
    }
    seconds, said = {}, ""
    for name, words in steps.items():
        started = time.perf_counter()
        done = subprocess.run(
            [str(word) for word in words], env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr[-800:]}")
        seconds[name], said = time.perf_counter() - started, done.stdout
    assert out.is_file()
    assert (room / "waste.report.html").is_file()
    total = sum(seconds.values())
    known = environments.described(venv)
    kept = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) / 1e6
    found = json.loads(said)
    result = {
        "seconds": total,
        "stages": seconds,
        "fit_stages": found["seconds"],
        "accuracy": found["metrics"]["accuracy"]["value"],
        "n_test": found["n"],
        "packages": known["packages"],
        "versions": known["versions"],
        "environment_mb": known["megabytes"],
        "cache_mb": kept,
        "disk_mb": known["megabytes"] + kept,
        "import_s": environments.import_seconds(python, "headstart"),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
