"""A Hugging Face Trainer fine-tunes MiniLM with a classification head: one epoch, its defaults."""

import tempfile

import torch
import transformers
from _shared import Stages, arguments, report, scores, texts_of
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)


def main() -> None:
    """Train table to test table."""
    given = arguments("train", "test", "weights", "seed")
    stages = Stages()
    texts, labels = texts_of(given.train)
    test_texts, truth = texts_of(given.test)
    names = sorted(set(labels))
    tokenizer = AutoTokenizer.from_pretrained(given.weights)
    transformers.set_seed(given.seed)
    model = AutoModelForSequenceClassification.from_pretrained(given.weights, num_labels=len(names))
    stages.end("model")

    def table(of: list[str], targets: list[str] | None) -> Dataset:
        columns = {"text": of}
        if targets is not None:
            columns["labels"] = [names.index(label) for label in targets]
        rows = Dataset.from_dict(columns)
        return rows.map(
            lambda some: tokenizer(some["text"], truncation=True, max_length=256),
            batched=True,
            remove_columns="text",
        )

    with tempfile.TemporaryDirectory() as room:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=room,
                num_train_epochs=1,
                seed=given.seed,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=table(texts, labels),
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        trainer.train()
        stages.end("fit")
        logits = trainer.predict(table(test_texts, None)).predictions
    said = [names[i] for i in logits.argmax(axis=1).tolist()]
    stages.end("test")
    report(
        **scores(truth, said),
        n_train=len(texts),
        stages=stages.seconds,
        versions={"transformers": transformers.__version__, "torch": torch.__version__},
    )


if __name__ == "__main__":
    main()
