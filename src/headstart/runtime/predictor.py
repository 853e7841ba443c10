"""A bundle -> Predictions. Needs numpy, onnxruntime, pillow and tokenizers; no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from headstart.compute import threads
from headstart.engine.ort import OrtEngine
from headstart.errors import BundleError, UnreadableInput
from headstart.preprocess import image, text
from headstart.runtime.decide import decide, unreadable
from headstart.runtime.reader import BundleFiles, open_bundle
from headstart.types import Decision, Input, Prediction, Preprocess

_CHUNK = 1024  # inputs read and answered together: bounds memory
_IMAGE_BATCH = 16


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
        self._engine = OrtEngine(self.files.read("model.onnx"))
        self._encoder: text.TextEncoder | None = None
        if self.modality == "text":
            self._encoder = text.TextEncoder(
                self.files.read("tokenizer.json"), self.preprocess.steps
            )

    def predict(
        self,
        inputs: Sequence[Input],
        names: Sequence[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Prediction]:
        """One prediction for each input, in order; an unreadable one abstains with the reason.

        Args:
            inputs: n pictures or texts (see `headstart.types.Input`).
            names: what to call them; by default paths and texts themselves.
            progress: called with (inputs done, inputs in all).
        """
        names = names if names is not None else [_name(value, i) for i, value in enumerate(inputs)]
        predictions: list[Prediction] = []
        for start in range(0, len(inputs), _CHUNK):
            some = inputs[start : start + _CHUNK]
            logits, reasons = self.logits(some)
            readable = [i for i in range(len(some)) if i not in reasons]
            chosen = [names[start + i] for i in readable]
            answers = dict(
                zip(readable, decide(logits[readable], chosen, self.labels, self.decision))
            )
            predictions += [
                answers.get(i) or unreadable(names[start + i], reasons[i]) for i in range(len(some))
            ]
            if progress:
                progress(start + len(some), len(inputs))
        return predictions

    def logits(self, inputs: Sequence[Input]) -> tuple[np.ndarray, dict[int, str]]:
        """Logits before calibration.

        Returns:
            (n, k) float32, NaN for unreadable inputs; and input number -> reason for those.
        """
        values = np.full((len(inputs), len(self.labels)), np.nan, dtype=np.float32)
        reasons: dict[int, str] = {}
        batches = self._images if self.modality == "image" else self._texts
        for rows, feeds in batches(inputs, reasons):
            values[rows] = self._engine.run(feeds)["logits"]
        return values, reasons

    def _images(self, inputs: Sequence[Input], reasons: dict[int, str]) -> Iterator[_Batch]:
        def prepare(value: Input) -> np.ndarray | str:
            try:
                return image.prepare(value, self.preprocess.steps)[0]
            except UnreadableInput as error:
                return error.reason

        with ThreadPoolExecutor(threads()) as pool:
            rows: list[int] = []
            pixels: list[np.ndarray] = []
            for i, result in enumerate(pool.map(prepare, inputs)):
                if isinstance(result, str):
                    reasons[i] = result
                else:
                    rows.append(i)
                    pixels.append(result)
                if len(rows) == _IMAGE_BATCH:
                    yield rows, {"pixels": np.stack(pixels)}
                    rows, pixels = [], []
            if rows:
                yield rows, {"pixels": np.stack(pixels)}

    def _texts(self, inputs: Sequence[Input], reasons: dict[int, str]) -> Iterator[_Batch]:
        assert self._encoder is not None
        texts: list[str] = []
        rows: list[int] = []
        for i, value in enumerate(inputs):
            content = _content_or_reason(value)
            if isinstance(content, UnreadableInput):
                reasons[i] = content.reason
            else:
                rows.append(i)
                texts.append(content)
        ids, _ = self._encoder.encode(texts)
        for numbers, feeds in self._encoder.batches(ids):
            yield [rows[i] for i in numbers], feeds


def _content_or_reason(value: Input) -> str | UnreadableInput:
    try:
        return text.content(value)
    except UnreadableInput as error:
        return error


_Batch = tuple[list[int], dict[str, np.ndarray]]


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
