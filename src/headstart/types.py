"""The nouns that pass between rooms, and the Protocols of what can be plugged in.

Every noun is a frozen dataclass: a stage takes nouns and returns a new one.
Shapes are written (n, d): n rows, d feature dimensions, k classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

Modality: TypeAlias = Literal["image", "text"]

Input: TypeAlias = Any
"""One input, by reference. Images: a path (str or Path), the file's bytes, a PIL image or a uint8
array (h, w), (h, w, 3) or (h, w, 4). Texts: a str."""

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Skipped:
    """One input that was left out, by name, with the reason."""

    input: str
    reason: str

    def to_json(self) -> dict[str, str]:
        """As `{"input", "reason"}`."""
        return {"input": self.input, "reason": self.reason}


@dataclass(frozen=True)
class Roles:
    """Which column plays which part. For a folder of class folders, input is "file", target "folder"."""

    input: str
    target: str | None = None
    split: str | None = None
    group: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class Table:
    """Rows by reference: nothing is decoded until a stage asks for it.

    Attributes:
        inputs: n inputs (see `Input`).
        targets: n labels as strings, or None where the data has none.
        names: n names for messages and reports: the path relative to the folder, or
            "reviews.csv:17" (line of the file, the header is line 1).
        modality: what the inputs are.
        roles: which column was taken for what.
        source: what was read, as the user would type it.
        split: n of "train", "val", "test", where the data says so.
        groups: n group names (rows of one group never straddle a split), where the data says so.
        times: n points in time, where a column of them was named: dates as in ISO 8601 (UTC where the
            data gives offsets) or plain numbers, never both (see `headstart.data.times`).
        skipped: rows that were left out while reading.
        notes: what was guessed or repaired while reading, one sentence each, for the user.
    """

    inputs: tuple[Input, ...]
    targets: tuple[str, ...] | None
    names: tuple[str, ...]
    modality: Modality
    roles: Roles
    source: str
    split: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    times: tuple[str, ...] | None = None
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Sequence[int] | np.ndarray) -> Table:
        """The table of these rows, in this order; what was skipped while reading stays noted."""
        index = [int(i) for i in rows]

        def pick(column: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(column[i] for i in index)

        return replace(
            self,
            inputs=pick(self.inputs),
            names=pick(self.names),
            targets=None if self.targets is None else pick(self.targets),
            split=None if self.split is None else pick(self.split),
            groups=None if self.groups is None else pick(self.groups),
            times=None if self.times is None else pick(self.times),
        )


@dataclass(frozen=True)
class Split:
    """Which rows of a table are for learning and which for measuring.

    Attributes:
        train: row numbers to learn from.
        test: row numbers to measure on; never shown to any choice made while fitting.
        protocol: one sentence that says how the rows were divided.
        name: "test" or "val" (given by the caller or the data), or "held-out" (taken from the
            training rows).
        folds: for each training row, the number of its cross-validation fold.
        notes: e.g. how many duplicates were kept together.
    """

    train: np.ndarray
    test: np.ndarray
    protocol: str
    name: str
    folds: np.ndarray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """Something about the data that the user should know.

    Attributes:
        kind: a stable identifier such as "duplicates", "imbalance", "animated".
        severity: "info", "warning" or "error".
        message: one sentence for a person, with the count.
        fix: what to do about it; empty where nothing needs doing.
        rows: names of the rows concerned (all of them).
        confidence: how sure the finding is, 0 to 1: the mean of `sure` where rows differ; None where
            there is nothing to doubt.
        numbers: numbers of these rows in the table that was examined, in the order of `rows`; empty
            where they are rows of no table.
        suggestions: what to do with each row, in the order of `rows`: the label that it should probably
            have, or the name of the row that it repeats; empty without suggestions.
        sure: how sure each suggestion is, 0 to 1, in the order of `rows`; empty without.
    """

    kind: str
    severity: Literal["info", "warning", "error"]
    message: str
    fix: str = ""
    rows: tuple[str, ...] = ()
    confidence: float | None = None
    numbers: tuple[int, ...] = ()
    suggestions: tuple[str, ...] = ()
    sure: tuple[float, ...] = ()


@dataclass(frozen=True)
class Preprocess:
    """How one input becomes the arrays a graph takes: a serialisable list of steps.

    Attributes:
        modality: what goes in.
        steps: each a JSON object with the key "step" (see `headstart.preprocess`).
    """

    modality: Modality
    steps: tuple[Mapping[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"modality": self.modality, "steps": [dict(step) for step in self.steps]}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Preprocess:
        """The inverse of `to_json`."""
        return Preprocess(data["modality"], tuple(dict(step) for step in data["steps"]))


@dataclass(frozen=True)
class Backbone:
    """A pretrained model as an inference graph on disk.

    Attributes:
        name: e.g. "starter:lite0", "timm:resnet18", "hf:bert-base-chinese".
        modality: what it takes.
        dim: d, the length of its feature vector.
        licence: SPDX name of the weights' licence, or "unknown".
        sha256: of the weights it was made from.
        preprocess: how inputs are prepared for the graph.
        graph: path of the ONNX graph. Inputs: "pixels" uint8 (n, h, w, 3) for images; "input_ids"
            and "attention_mask" int64 (n, t) for texts. Output: "features" float32 (n, d).
        graph_id: hash of graph and preprocessing: the store's key beside the input's hash.
        tokenizer: path of tokenizer.json, texts only.
        why: why this backbone was taken, one sentence, where it was chosen for the user.
    """

    name: str
    modality: Modality
    dim: int
    licence: str
    sha256: str
    preprocess: Preprocess
    graph: Path
    graph_id: str
    tokenizer: Path | None = None
    why: str = ""


@dataclass(frozen=True)
class Features:
    """Feature vectors of a table.

    Attributes:
        values: (n, d) float32; row i is row i of the table. Rows that could not be read are zero.
        readable: (n,) bool.
        skipped: the unreadable rows, by name and reason.
        findings: what was noticed while reading (animated pictures, cut texts, ...).
        computed: how many rows were computed now rather than found in the store.
        engine: name of the engine that computed them; empty where all were found.
    """

    values: np.ndarray
    readable: np.ndarray
    skipped: tuple[Skipped, ...] = ()
    findings: tuple[Finding, ...] = ()
    computed: int = 0
    engine: str = ""


@dataclass(frozen=True)
class Head:
    """A linear head: `logits = features @ weight + bias`, standardisation folded in.

    Attributes:
        weight: (d, k) float32.
        bias: (k,) float32.
    """

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Epoch:
    """One pass of a training over its rows.

    Attributes:
        epoch: counted from 0.
        train_loss: mean over the rows that were learned from, each before its step.
        held_loss: loss on the held-out rows; None without any.
        score: score on the held-out rows; None without any, or where it is not finite.
        lr: learning rate of the last step, of a group with factor 1.
        seconds: since the start of the training, interrupted time not counted.
        best: none before it was as good: by held-out loss, or by score where the last epoch is kept
            whatever the others say.
    """

    epoch: int
    train_loss: float
    held_loss: float | None
    score: float | None
    lr: float
    seconds: float
    best: bool

    def to_json(self) -> dict[str, Any]:
        """Its attributes."""
        return dataclasses.asdict(self)


OnEpoch = Callable[[Epoch, int], None]
"""Told of every epoch, and how many are planned."""


@dataclass(frozen=True)
class Candidate:
    """What a method made.

    Attributes:
        method: its name.
        head: how features become logits.
        held_out: (n_train, k) out-of-fold logits of the training rows, for calibration and choices;
            NaN in rows that were never held out.
        chosen: what was chosen and by what, for the report (e.g. {"penalty": 0.1, "by": "..."}).
        seconds: what it cost.
        held_out_rows: where (n_train, k) would be too large: held_out is (m, k), and row i of it belongs
            to training row held_out_rows[i].
        backbone: where the method changed the backbone's weights: the one that the head belongs to.
        features: (n_train, d) of the training rows by that backbone; None where it did not change, or where
            they were not needed to judge it.
        feature_rows: where they are of some rows alone: features is (m, d), and row i of it belongs to
            training row feature_rows[i], ascending.
        history: epochs of the training; empty where nothing was trained.
        notes: what was noticed on the way, as sentences.
    """

    method: str
    head: Head
    held_out: np.ndarray
    chosen: Mapping[str, Any]
    seconds: float
    held_out_rows: np.ndarray | None = None
    backbone: Backbone | None = None
    features: np.ndarray | None = None
    feature_rows: np.ndarray | None = None
    history: tuple[Epoch, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """How logits become an answer.

    Attributes:
        temperature: probabilities are softmax((logits * scale + shift) / temperature), in this order.
        coverage: the share of prediction sets meant to hold the truth, e.g. 0.9.
        set_threshold: labels with probability >= this belong to the set (the top label always does);
            for sets "aps", labels with `metrics.mass_up_to` <= this: the mass of probability that a set
            holds.
        abstain_below: answers with a lower probability are withheld; 0 never withholds.
        scale: (k,) what logits are multiplied by first; empty: 1 (vector scaling, Guo et al. 2017).
        shift: (k,) what is then added, before the temperature divides; empty: 0.
        sets: how prediction sets are made: "lac", "aps", or "class" (LAC with a threshold for each
            class, which then covers every class as stated).
        class_thresholds: (k,) for sets "class", in place of `set_threshold`; empty otherwise.
        familiar_above: inputs whose familiarity (see `headstart.runtime.familiar`) is lower are refused
            as unlike the training data; None never refuses.
        at_precision: what the answers' share of right ones was meant to be, where `abstain_below` was
            chosen for it; None otherwise.
    """

    temperature: float = 1.0
    coverage: float = 0.9
    set_threshold: float = 0.0
    abstain_below: float = 0.0
    scale: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()
    sets: Literal["lac", "aps", "class"] = "lac"
    class_thresholds: tuple[float, ...] = ()
    familiar_above: float | None = None
    at_precision: float | None = None


@dataclass(frozen=True)
class Prediction:
    """One answer.

    Attributes:
        input: the input's name.
        label: the answer, None where there is none.
        probability: calibrated, of `label`; None where the input could not be read.
        set: labels that hold the truth with the stated coverage, most probable first.
        abstained: whether the answer is withheld; label and probability are what it would have been.
        reason: why: "unlike the training data", "probability below 0.83", or what is wrong with the input;
            empty otherwise.
        probabilities: label -> probability, all classes.
    """

    input: str
    label: str | None
    probability: float | None
    set: tuple[str, ...] = ()
    abstained: bool = False
    reason: str = ""
    probabilities: Mapping[str, float] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """With the keys of the CSV's columns."""
        return {
            "input": self.input,
            "label": self.label,
            "probability": self.probability,
            "set": list(self.set),
            "abstained": self.abstained,
            "reason": self.reason,
        }


@runtime_checkable
class Engine(Protocol):
    """Runs an ONNX graph. A row of the table is a class, made as
    `cls(graph: Path | bytes, parallel: int | None = None, precision: str = "float32")`, with three
    static methods besides: `missing() -> str` (why it cannot be used here; empty where it can),
    `precisions() -> tuple[str, ...]` (what it computes in on this machine, "float32" among them) and
    `version() -> str`. A class that fails to load a graph raises `BackboneError`.

    Attributes:
        name: of the table of engines.
        parallel: how many calls of `run` are worth making at once, from threads of their own.
        batch: how many times as large as for a processor a batch should be: 1 for a processor, more
            for a device that is only busy with many inputs at once.
    """

    @property
    def name(self) -> str:
        """Of the table of engines."""
        ...

    @property
    def parallel(self) -> int:
        """How many calls of `run` are worth making at once."""
        ...

    @property
    def batch(self) -> int:
        """How many times as large as for a processor a batch should be."""
        ...

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Graph input names -> arrays, to output names -> arrays."""
        ...


@runtime_checkable
class Task(Protocol):
    """Encodes targets and names what is measured."""

    @property
    def name(self) -> str:
        """Of the table of tasks."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """k labels in the order of the classes."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that are measured."""
        ...

    def encode(self, targets: Sequence[str]) -> np.ndarray:
        """Labels to class numbers (n,) int64; -1 for a label this task does not know."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What a bundle keeps of it."""
        ...


class Method(Protocol):
    """Makes a candidate from features.

    `start` is given only where the user named an earlier bundle: its head, for these classes.
    """

    def __call__(
        self,
        features: np.ndarray,
        codes: np.ndarray,
        folds: np.ndarray,
        n_classes: int,
        config: Any,
        *,
        start: Head | None = None,
    ) -> Candidate:
        """See `headstart.methods`."""
        ...


class Predictor(Protocol):
    """Inputs to predictions; what `serve` and the apps receive."""

    labels: tuple[str, ...]

    def predict(self, inputs: Sequence[Input]) -> list[Prediction]:
        """One prediction for each input, in order; an unreadable one abstains with the reason."""
        ...
