"""Makes the golden bundles of the present schema, and writes down what they answer.

    python scripts/golden.py

Bundles of every schema have to load and to answer the same for ever (tests/test_trust_golden.py). So the
script is run once for each schema, before the first release with it, and refuses to make a folder anew.
The backbones are the tests' own, which have no weights: a bundle takes a few kB.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tests" / "plugin")]

import headstart as hs  # noqa: E402
from headstart.runtime.reader import SCHEMA  # noqa: E402
from tests_support import COLOURS, paint  # noqa: E402

TARGET = ROOT / "tests" / "golden" / f"schema-{SCHEMA}"
TEXTS = (
    "lovely happy number 7", "sad broken thing", "great", "useless and awful", "喜欢 好",
    "number 11", "!?", "an answer in a text that is longer than thirty-two tokens, " * 2,
)  # fmt: skip


def photos(folder: Path) -> str:
    """Class folders of noisy colours."""
    rng = np.random.default_rng(7)
    for name, colour in COLOURS.items():
        for i in range(10):
            paint(folder / "photos" / name / f"{i}.png", colour, rng, (32, 32))
    return "photos"


def reviews(folder: Path) -> str:
    """A table of made-up reviews."""
    rng = np.random.default_rng(8)
    words = {"good": ["lovely", "great", "happy", "好"], "bad": ["awful", "broken", "sad", "坏"]}
    lines = [
        f"{' '.join(rng.choice(words[label], 3))} number {i},{label}"
        for i in range(24)
        for label in words
    ]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    return "reviews.csv"


def pictures(folder: Path) -> list[str]:
    """What the picture model is asked: sure ones, mixtures, another size."""
    rng = np.random.default_rng(9)
    folder.mkdir(parents=True)
    names = []
    asked = [*COLOURS.values(), (130, 100, 110), (90, 125, 135), (250, 250, 250)]
    for i, colour in enumerate(asked):
        size = (12, 20) if i == 3 else (32, 32)
        name = f"{i}.png"
        paint(folder / name, colour, rng, size)
        names.append(name)
    return names


def answers(model: Any, inputs: list[Any]) -> list[dict[str, Any]]:
    """What a model says, with every probability in full."""
    return [
        {
            "label": one.label,
            "set": list(one.set),
            "abstained": one.abstained,
            "probabilities": dict(one.probabilities),
        }
        for one in model.predict(inputs)
    ]


def main() -> int:
    """Make the bundles, unless they are there."""
    if TARGET.exists():
        sys.stderr.write(f"{TARGET} is there: what it holds must never change\n")
        return 2
    with tempfile.TemporaryDirectory() as work:
        os.environ["HEADSTART_CACHE"] = str(Path(work, "cache"))
        os.chdir(work)  # bundles name their data as it was typed: no place on this machine
        made = Path(work, "made")
        made.mkdir()
        image = hs.fit(photos(Path(work)), backbone="tiny:image")
        text = hs.fit(reviews(Path(work)), backbone="tiny:text")
        image.save(made / "image.headstart")
        text.save(made / "text.headstart")
        text.save(made / "text")
        asked = pictures(made / "pictures")
        arrays: list[Any] = [np.asarray(Image.open(made / "pictures" / name)) for name in asked]
        text_answers = answers(text, list(TEXTS))
        told = {
            "made_by": hs.__version__,
            "schema": SCHEMA,
            "bundles": {
                "image.headstart": {"pictures": asked, "answers": answers(image, arrays)},
                "text.headstart": {"texts": list(TEXTS), "answers": text_answers},
                "text": {"texts": list(TEXTS), "answers": text_answers},
            },
        }
        (made / "answers.json").write_text(
            json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        shutil.copytree(made, TARGET)
    sizes = sum(f.stat().st_size for f in TARGET.rglob("*") if f.is_file())
    sys.stdout.write(f"{TARGET}: {sizes / 1000:.0f} kB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
