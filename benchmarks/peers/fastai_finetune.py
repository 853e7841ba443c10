"""fastai as its documentation shows it: pictures from a folder, augmentation, fine_tune(1).

vision_learner would fetch the weights by itself; here its parts are put together by hand, so that the
same weights come from a file: a timm body, fastai's head, two parameter groups, the body frozen. What
fine_tune(1) does then is fastai's own: one epoch of the head, one of everything.
"""

from pathlib import Path

import _lite0
import fastai
import timm
import torch
from _shared import Stages, arguments, pictures_of, report, scores
from fastai.vision.all import (
    ImageDataLoaders,
    Learner,
    Normalize,
    Resize,
    accuracy,
    aug_transforms,
    default_split,
    set_seed,
)
from fastai.vision.learner import TimmBody, add_head


def main() -> None:
    """Train folder to test folder; the validation folder beside them is what fastai watches."""
    given = arguments("train", "val", "test", "weights", "seed")
    stages = Stages()
    set_seed(given.seed)
    dls = ImageDataLoaders.from_folder(
        given.train.parent,
        train=given.train.name,
        valid=given.val.name,
        item_tfms=Resize(224),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(_lite0.MEAN, _lite0.STD)],
    )
    stages.end("data")
    network = timm.create_model(
        "tf_efficientnet_lite0", pretrained=False, num_classes=0, global_pool=""
    )
    body = TimmBody(_lite0.fill(network, given.weights))
    model = add_head(body, network.num_features, dls.c)
    learner = Learner(dls, model, splitter=default_split, metrics=accuracy)
    learner.freeze()
    stages.end("model")
    with learner.no_bar():
        learner.fine_tune(1)
        stages.end("fit")
        files, truth = pictures_of(given.test)
        probabilities, _ = learner.get_preds(dl=dls.test_dl([Path(file) for file in files]))
    said = [dls.vocab[i] for i in probabilities.argmax(dim=1).tolist()]
    stages.end("test")
    report(
        **scores(truth, said),
        n_train=len(dls.train_ds),
        stages=stages.seconds,
        versions={
            "fastai": fastai.__version__,
            "timm": timm.__version__,
            "torch": torch.__version__,
        },
    )


if __name__ == "__main__":
    main()
