"""The settings of `fit`, in one place: names, ranges, help."""

from __future__ import annotations

from dataclasses import dataclass, field

from headstart.config import note
from headstart.features.precision import PRECISIONS
from headstart.methods import bitfit, contrastive, distil, finetune, lora, scratch
from headstart.methods.probe import Config as ProbeConfig

_FILE = note("settings of the method", flag=False)  # too many for flags: --set and a TOML file


@dataclass(frozen=True)
class FitConfig:
    """Settings of `fit`: keywords in Python, flags on the command line, keys in a TOML file."""

    test: str | None = field(
        default=None, metadata=note("data to measure on; without it, rows are held out", flag=False)
    )
    input: str | None = field(
        default=None, metadata=note("column of the inputs (default: guessed)")
    )
    target: str | None = field(
        default=None, metadata=note("column of the labels (default: guessed)")
    )
    split: str | None = field(
        default=None, metadata=note("column that says train, val or test (default: guessed)")
    )
    group: str | None = field(
        default=None,
        metadata=note("column of groups that must not be torn apart, e.g. the patient"),
    )
    time: str | None = field(
        default=None,
        metadata=note("column of dates or numbers: the latest rows are measured (never guessed)"),
    )
    backbone: str = field(
        default="auto", metadata=note("starter:NAME, timm:NAME or hf:NAME; auto suits the data")
    )
    method: str = field(
        default="auto",
        metadata=note(
            "how to learn: probe, finetune, lora, bitfit, contrastive, distil, scratch; auto takes the"
            " probe, and within a --budget what beats it by more than noise"
        ),
    )
    budget: str = field(
        default="",
        metadata=note(
            "time for the whole, e.g. 10m, 90s, 1h; without one, only the probe is tried"
        ),
    )
    no_pretrained: bool = field(
        default=False,
        metadata=note("the backbone's architecture with random weights, to learn from scratch"),
    )
    compare_scratch: bool = field(
        default=False,
        metadata=note("learn from scratch as well, to show what the pretrained backbone bought"),
    )
    unlabelled: str | None = field(
        default=None,
        metadata=note("further inputs without labels: a folder, or a table; for --method distil"),
    )
    teacher: str | None = field(
        default=None,
        metadata=note(
            "an earlier bundle that a smaller model learns from, in place of the probe; for --method distil"
        ),
    )
    engine: str = field(
        default="auto",
        metadata=note(
            "what runs the backbone: onnxruntime, openvino, torch; auto takes the fastest here"
        ),
    )
    precision: str = field(
        default="auto",
        metadata=note(
            "what the backbone computes in; auto takes less than float32 only where it changes nothing",
            choices=PRECISIONS,
        ),
    )
    cluster: str | None = field(
        default=None,
        metadata=note("compute features on a Ray cluster: auto, local or HOST:PORT"),
    )
    start: str | None = field(
        default=None,
        metadata=note(
            "an earlier bundle on the same backbone: quicker where few labels have changed"
        ),
    )
    test_size: float = field(
        default=0.2, metadata=note("share of rows held out without a test set", low=0.01, high=0.9)
    )
    coverage: float = field(
        default=0.9,
        metadata=note("share of prediction sets meant to hold the truth", low=0.5, high=0.999),
    )
    sets: str = field(
        default="lac",
        metadata=note(
            "how prediction sets are made: the smallest (lac), by mass (aps), covering each class (class)",
            choices=("lac", "aps", "class"),
        ),
    )
    at_precision: float = field(
        default=0.0,
        metadata=note(
            "withhold answers below the probability above which this share is right; 0: none",
            low=0.0,
            high=0.9999,
        ),
    )
    at_cost: float = field(
        default=0.0,
        metadata=note(
            "withhold answers that cost more than silence: cost of a mistake, silence being 1; 0: none",
            low=0.0,
            high=1e6,
        ),
    )
    refuse: float = field(
        default=0.01,
        metadata=note(
            "share of inputs like the training data that may be refused as unlike it; 0 never refuses",
            low=0.0,
            high=0.5,
        ),
    )
    repeats: int = field(
        default=0,
        metadata=note(
            "measure on so many further splits, for a score that is no luck", low=0, high=1000
        ),
    )
    curve: bool = field(default=True, metadata=note("what more labels would bring", flag=False))
    track: str = field(
        default="",
        metadata=note("follow it in tensorboard, wandb, mlflow, trackio; several with commas"),
    )
    seed: int = field(
        default=0, metadata=note("of the split and the intervals", low=0, high=2**32 - 1)
    )
    lang: str = field(default="en", metadata=note("language of the report", choices=("en", "zh")))
    offline: bool = field(default=False, metadata=note("never try to download anything"))
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    finetune: finetune.Config = field(default_factory=finetune.Config, metadata=_FILE)
    lora: lora.Config = field(default_factory=lora.Config, metadata=_FILE)
    bitfit: bitfit.Config = field(default_factory=bitfit.Config, metadata=_FILE)
    contrastive: contrastive.Config = field(default_factory=contrastive.Config, metadata=_FILE)
    distil: distil.Config = field(default_factory=distil.Config, metadata=_FILE)
    scratch: scratch.Config = field(default_factory=scratch.Config, metadata=_FILE)
