"""SetFit: contrastive fine-tuning on pairs (20 iterations, one epoch, its defaults), then its head."""

import tempfile

import setfit
import torch
from _shared import Stages, arguments, report, scores, texts_of
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments


def main() -> None:
    """A few labelled texts to a test table."""
    given = arguments("train", "test", "weights", "seed")
    stages = Stages()
    texts, labels = texts_of(given.train)
    test_texts, truth = texts_of(given.test)
    names = sorted(set(labels))
    model = SetFitModel.from_pretrained(str(given.weights), labels=names, device="cpu")
    stages.end("model")
    with tempfile.TemporaryDirectory() as room:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=room,
                num_iterations=20,
                seed=given.seed,
                report_to="none",
                save_strategy="no",
                show_progress_bar=False,
            ),
            train_dataset=Dataset.from_dict(
                {"text": texts, "label": [names.index(label) for label in labels]}
            ),
        )
        trainer.train()
    stages.end("fit")
    said = [str(one) for one in model.predict(test_texts)]
    stages.end("test")
    report(
        **scores(truth, said),
        n_train=len(texts),
        stages=stages.seconds,
        versions={"setfit": setfit.__version__, "torch": torch.__version__},
    )


if __name__ == "__main__":
    main()
