"""timm and PyTorch, eager: features of each picture once, then scikit-learn's LogisticRegressionCV."""

import os

import _lite0
import numpy as np
import sklearn
import timm
import torch
from _shared import Stages, arguments, report, scores
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision.datasets import ImageFolder


def extract(model: torch.nn.Module, folder: str) -> tuple[np.ndarray, list[str], int]:
    """Features of a folder of class folders, their labels, and how many pictures there were."""
    steps = timm.data.create_transform(
        input_size=224, interpolation="bicubic", mean=_lite0.MEAN, std=_lite0.STD, crop_pct=0.875
    )
    data = ImageFolder(folder, steps)
    loader = torch.utils.data.DataLoader(data, batch_size=32, num_workers=os.cpu_count() or 1)
    with torch.inference_mode():
        found = [model(pictures) for pictures, _ in loader]
    return torch.cat(found).numpy(), [data.classes[code] for code in data.targets], len(data)


def main() -> None:
    """Train folder to test folder."""
    given = arguments("train", "test", "weights")
    stages = Stages()
    model = _lite0.features(given.weights)
    stages.end("model")
    rows, labels, _ = extract(model, str(given.train))
    test_rows, truth, _ = extract(model, str(given.test))
    stages.end("features")
    head = make_pipeline(StandardScaler(), LogisticRegressionCV(max_iter=1000))
    head.fit(rows, labels)
    stages.end("fit")
    said = head.predict(test_rows).tolist()
    stages.end("test")
    report(
        **scores(truth, said),
        n_train=len(rows),
        stages=stages.seconds,
        versions={
            "timm": timm.__version__,
            "torch": torch.__version__,
            "sklearn": sklearn.__version__,
        },
    )


if __name__ == "__main__":
    main()
