"""timm and PyTorch, eager, on pictures that lie in memory already: how long the network alone takes."""

import statistics
import time

import _lite0
import numpy as np
import timm
import torch
from _shared import arguments, report


def main() -> None:
    """Twice through uint8 pictures (n, 224, 224, 3); the second time counts."""
    given = arguments("arrays", "weights", "out")
    pixels = np.load(given.arrays, mmap_mode="r")
    pixels = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2)  # (n, 3, 224, 224) uint8
    model = _lite0.features(given.weights)
    best = {}
    with torch.inference_mode():
        for size in (16, 32, 64):  # the batch size that suits it best counts
            batches = [(part.float() / 255 - 0.5) / 0.5 for part in pixels[: 4 * size].split(size)]
            seconds = []
            for batch in batches:
                started = time.perf_counter()
                model(batch)
                seconds.append((time.perf_counter() - started) / len(batch))
            best[size] = statistics.median(seconds)
        size = min(best, key=best.__getitem__)
        started = time.perf_counter()
        found = [model((part.float() / 255 - 0.5) / 0.5) for part in pixels.split(size)]
        seconds = time.perf_counter() - started
    np.save(given.out, torch.cat(found).numpy())
    report(
        seconds=seconds,
        n=len(pixels),
        batch=size,
        threads=torch.get_num_threads(),
        versions={"timm": timm.__version__, "torch": torch.__version__},
    )


if __name__ == "__main__":
    main()
