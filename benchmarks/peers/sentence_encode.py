"""SentenceTransformer.encode with its defaults: texts to features."""

import time

import numpy as np
import sentence_transformers
import torch
from _shared import arguments, report, texts_of
from sentence_transformers import SentenceTransformer


def main() -> None:
    """All texts of a table, after a few to warm up."""
    given = arguments("train", "weights", "out")
    texts, _ = texts_of(given.train)
    model = SentenceTransformer(str(given.weights), device="cpu")
    model.encode(texts[:64])
    started = time.perf_counter()
    found = model.encode(texts)
    seconds = time.perf_counter() - started
    np.save(given.out, found)
    report(
        seconds=seconds,
        n=len(texts),
        threads=torch.get_num_threads(),
        versions={
            "sentence-transformers": sentence_transformers.__version__,
            "torch": torch.__version__,
        },
    )


if __name__ == "__main__":
    main()
