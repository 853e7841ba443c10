"""AutoGluon MultiModal on pictures, its defaults; only the network and its weights are given."""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import _lite0
import pandas as pd
import timm
import torch
from _shared import Stages, arguments, pictures_of, report, scores
from autogluon.multimodal import MultiModalPredictor

TIME_LIMIT = 600  # seconds of training; it then keeps the best of what it has


def checkpoint(folder: Path, weights: str) -> str:
    """The network as a folder of the kind that AutoGluon takes in place of a name."""
    model = _lite0.features(weights)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    config = {
        "architecture": "tf_efficientnet_lite0",
        "num_classes": 0,
        "num_features": model.num_features,
        "mean": _lite0.MEAN,
        "std": _lite0.STD,
        "input_size": [3, 224, 224],
        "crop_pct": 0.875,
        "interpolation": "bicubic",
    }
    config = config | {"pretrained_cfg": config}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return str(folder)


def frame(folder: Path) -> pd.DataFrame:
    """Paths and labels."""
    files, labels = pictures_of(folder)
    return pd.DataFrame({"image": [str(file) for file in files], "label": labels})


def main() -> None:
    """Train folder to test folder."""
    given = arguments("train", "test", "weights", "seed")
    stages = Stages()
    train, test = frame(given.train), frame(given.test)
    with tempfile.TemporaryDirectory() as room:
        (Path(room) / "network").mkdir()
        network = checkpoint(Path(room) / "network", given.weights)
        predictor = MultiModalPredictor(label="label", path=f"{room}/model", verbosity=1)
        stages.end("model")
        predictor.fit(
            train,
            hyperparameters={
                "model.names": ["timm_image"],
                "model.timm_image.checkpoint_name": network,
                "env.num_gpus": 0,
            },
            seed=given.seed,
            time_limit=TIME_LIMIT,
        )
        stages.end("fit")
        said = [str(label) for label in predictor.predict(test.drop(columns="label"))]
    stages.end("test")
    report(
        **scores(test["label"].tolist(), said),
        n_train=len(train),
        stages=stages.seconds,
        versions={
            "autogluon": version("autogluon.multimodal"),
            "timm": timm.__version__,
            "torch": torch.__version__,
        },
    )


if __name__ == "__main__":
    main()
