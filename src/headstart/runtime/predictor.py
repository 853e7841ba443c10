"""A bundle -> Predictions. Needs numpy, onnxruntime, pillow and tokenizers; no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from headstart.engine.ort import OrtEngine
from headstart.errors import BundleError, UnreadableInput
from headstart.preprocess import image, text
from headstart.runtime.decide import decide, unreadable
from headstart.runtime.pipeline import Batch, Packet, Pipeline, packets_of
from headstart.runtime.reader import BundleFiles, open_bundle
from headstart.types import Decision, Input, Prediction, Preprocess

Run: TypeAlias = Callable[[Iterable[Packet]], Iterator[Batch]]
"""Runs a bundle's graph somewhere else, e.g. on a cluster; batches may come back in any order."""


class BundlePredictor:
    """A loaded bundle.

    Args:
        path: a bundle folder or a *.headstart file.

    Raises:
        BundleError: see `headstart.runtime.reader.open_bundle`.
    """

    def __init__(self, path: str | Path) -> None:
        self.files: BundleFiles = open_bundle(path)
        manifest = self.files.manifest
        self.labels: tuple[str, ...] = tuple(manifest["task"]["labels"])
        try:
            self.preprocess = Preprocess.from_json(manifest["preprocess"])
            self.decision = _decision(manifest["decision"])
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"{path}: bundle.json: preprocess or decision is malformed ({error}).",
                fix="make the bundle again with headstart fit",
            ) from error
        self.modality = self.preprocess.modality
        self.pipeline = Pipeline(
            self.preprocess,
            OrtEngine(self.files.read("model.onnx")),
            self.files.read("tokenizer.json") if self.modality == "text" else None,
            output="logits",
        )

    def predict(
        self,
        inputs: Sequence[Input],
        names: Sequence[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
        run: Run | None = None,
    ) -> list[Prediction]:
        """One prediction for each input, in order; an unreadable one abstains with the reason.

        Args:
            inputs: n pictures or texts (see `headstart.types.Input`).
            names: what to call them; by default paths and texts themselves.
            progress: called with (inputs done, inputs in all).
            run: what gives the logits; by default this process.
        """
        names = names if names is not None else [_name(value, i) for i, value in enumerate(inputs)]
        logits, reasons = self.logits(inputs, progress, run)
        readable = [i for i in range(len(inputs)) if i not in reasons]
        chosen = [names[i] for i in readable]
        answers = iter(decide(logits[readable], chosen, self.labels, self.decision))
        return [
            unreadable(names[i], reasons[i]) if i in reasons else next(answers)
            for i in range(len(inputs))
        ]

    def logits(
        self,
        inputs: Sequence[Input],
        progress: Callable[[int, int], None] | None = None,
        run: Run | None = None,
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Logits before calibration.

        Args:
            inputs: n pictures or texts.
            progress: called with (inputs done, inputs in all).
            run: as for `predict`.

        Returns:
            (n, k) float32, NaN for unreadable inputs; and input number -> reason for those.
        """
        values = np.full((len(inputs), len(self.labels)), np.nan, dtype=np.float32)
        reasons: dict[int, str] = {}
        room = image if self.modality == "image" else text

        def readable() -> Iterator[tuple[int, Any]]:
            for i, value in enumerate(inputs):
                content = _content(room, value)
                if isinstance(content, UnreadableInput):
                    reasons[i] = content.reason
                else:
                    yield i, content

        done = 0
        size = self.pipeline.packet_size(self.modality)
        for batch in (run or self.pipeline.run)(packets_of(readable(), size)):
            reasons.update(batch.unreadable)
            if batch.rows:
                values[batch.rows] = batch.values
            done += len(batch.rows) + len(batch.unreadable)
            if progress:
                progress(min(done, len(inputs)), len(inputs))
        return values, reasons


def _content(room: Any, value: Input) -> Any:
    """What the input is made of, or the reason why it cannot be used."""
    try:
        return room.content(value)
    except UnreadableInput as error:
        return error


def _decision(data: dict[str, Any]) -> Decision:
    decision = Decision(
        temperature=float(data["temperature"]),
        coverage=float(data["coverage"]),
        set_threshold=float(data["set_threshold"]),
        abstain_below=float(data.get("abstain_below", 0.0)),
    )
    if not (math.isfinite(decision.temperature) and decision.temperature > 0):
        raise ValueError(f"temperature is {decision.temperature}")
    return decision


def _name(value: Input, i: int) -> str:
    return str(value) if isinstance(value, (str, Path)) else f"input {i + 1}"
