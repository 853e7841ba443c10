"""scikit-learn's LogisticRegressionCV with its own grid, on features that are there already."""

import time

import numpy as np
import sklearn
from _shared import arguments, report, scores
from sklearn.linear_model import LogisticRegressionCV


def main() -> None:
    """features.npz holds train, codes, test and truth."""
    given = arguments("features")
    kept = np.load(given.features)
    train, codes = kept["train"], kept["codes"]
    started = time.perf_counter()
    head = LogisticRegressionCV(max_iter=1000)
    head.fit(train, codes)
    seconds = time.perf_counter() - started
    said = head.predict(kept["test"]).tolist()
    report(
        **scores(kept["truth"].tolist(), said),
        seconds=seconds,
        n_train=len(train),
        versions={"sklearn": sklearn.__version__},
    )


if __name__ == "__main__":
    main()
