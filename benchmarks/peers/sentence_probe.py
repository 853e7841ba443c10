"""sentence-transformers for the features, scikit-learn's LogisticRegressionCV for the head."""

import sentence_transformers
import sklearn
import torch
from _shared import Stages, arguments, report, scores, texts_of
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegressionCV


def main() -> None:
    """Train table to test table."""
    given = arguments("train", "test", "weights")
    stages = Stages()
    texts, labels = texts_of(given.train)
    test_texts, truth = texts_of(given.test)
    model = SentenceTransformer(str(given.weights), device="cpu")
    stages.end("model")
    rows, test_rows = model.encode(texts), model.encode(test_texts)
    stages.end("features")
    head = LogisticRegressionCV(max_iter=1000)
    head.fit(rows, labels)
    stages.end("fit")
    said = head.predict(test_rows).tolist()
    stages.end("test")
    report(
        **scores(truth, said),
        n_train=len(texts),
        stages=stages.seconds,
        versions={
            "sentence-transformers": sentence_transformers.__version__,
            "sklearn": sklearn.__version__,
            "torch": torch.__version__,
        },
    )


if __name__ == "__main__":
    main()
