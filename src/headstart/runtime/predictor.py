"""A bundle -> Predictions. Needs numpy, onnxruntime, pillow and tokenizers; no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from headstart.engine.ort import OrtEngine
from headstart.errors import BundleError, UnreadableInput
from headstart.manifest import load_tensors
from headstart.preprocess import image, text
from headstart.runtime import decision as decisions
from headstart.runtime.decide import decide, probabilities, unreadable
from headstart.runtime.familiar import Reference, copies, familiarity
from headstart.runtime.pipeline import Batch, Packet, Pipeline, packets_of
from headstart.runtime.reader import BundleFiles, open_bundle
from headstart.types import Input, Prediction, Preprocess

Run: TypeAlias = Callable[[Iterable[Packet]], Iterator[Batch]]
"""Runs a bundle's graph somewhere else, e.g. on a cluster; batches may come back in any order."""

Told: TypeAlias = Callable[[int, int], None]
"""Called with (inputs done, inputs in all)."""

_TOGETHER = 1024  # inputs that are held against the reference at a time: one product of matrices
_AGAIN = "make the bundle again with headstart fit"


@dataclass(frozen=True)
class Outputs:
    """What the graph says of n inputs.

    Attributes:
        logits: (n, k) float32 before calibration, NaN for unreadable inputs.
        features: (n, d) float32, NaN for unreadable inputs; None where the bundle keeps no reference.
        reasons: input number -> reason, for unreadable inputs.
    """

    logits: np.ndarray
    features: np.ndarray | None
    reasons: Mapping[int, str]


class BundlePredictor:
    """A loaded bundle.

    Args:
        path: a bundle folder or a *.headstart file.

    Raises:
        BundleError: see `headstart.runtime.reader.open_bundle`; or a field of the decision, the
            preprocessing or the reference is unsound.
    """

    def __init__(self, path: str | Path) -> None:
        self.files: BundleFiles = open_bundle(path)
        manifest = self.files.manifest
        self.labels: tuple[str, ...] = tuple(manifest["task"]["labels"])
        self.decision = decisions.from_json(
            manifest["decision"], len(self.labels), f"{path}: bundle.json"
        )
        try:
            self.preprocess = Preprocess.from_json(manifest["preprocess"])
            if self.preprocess.modality not in ("image", "text"):
                raise ValueError(f"modality is {self.preprocess.modality!r}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"{path}: bundle.json: preprocess is malformed ({error}).", fix=_AGAIN
            ) from error
        self.reference = self._reference()
        self.modality = self.preprocess.modality
        self.pipeline = Pipeline(
            self.preprocess,
            self._engine(),
            self.files.read("tokenizer.json") if self.modality == "text" else None,
            output="logits",
            with_features=self.reference is not None,
        )

    def _engine(self) -> OrtEngine:
        """The graph, with all that is asked of it."""
        engine = OrtEngine(self.files.read("model.onnx"))
        for name in ("logits", *(["features"] if self.reference is not None else [])):
            if name not in engine.outputs:
                raise BundleError(
                    f"{self.files.path}: the graph (model.onnx) has no output {name!r}.", fix=_AGAIN
                )
        return engine

    @property
    def refuses(self) -> bool:
        """Whether inputs unlike the training data are refused: then `run` has to give features."""
        return self.decision.familiar_above is not None

    def predict(
        self,
        inputs: Sequence[Input],
        names: Sequence[str] | None = None,
        progress: Told | None = None,
        run: Run | None = None,
    ) -> list[Prediction]:
        """One prediction for each input, in order; an unreadable one abstains with the reason.

        Args:
            inputs: n pictures or texts (see `headstart.types.Input`).
            names: what to call them; by default paths and texts themselves.
            progress: called with (inputs done, inputs in all).
            run: what gives the logits, and the features where the bundle `refuses`; by default this
                process.
        """
        names = names if names is not None else [_name(value, i) for i, value in enumerate(inputs)]
        logits = self._empty(inputs)
        familiar = np.full(len(inputs), np.nan) if self.refuses else None
        reasons: dict[int, str] = {}
        waiting: list[Batch] = []
        for batch in self._batches(inputs, reasons, progress, run):
            logits[batch.rows] = batch.values
            if familiar is None:
                continue
            waiting.append(batch)
            if sum(len(one.rows) for one in waiting) >= _TOGETHER:
                self._compare(waiting, familiar)
                waiting = []
        if familiar is not None:
            self._compare(waiting, familiar)
        readable = [i for i in range(len(inputs)) if i not in reasons]
        answers = iter(
            decide(
                logits[readable],
                [names[i] for i in readable],
                self.labels,
                self.decision,
                None if familiar is None else familiar[readable],
            )
        )
        return [
            unreadable(names[i], reasons[i]) if i in reasons else next(answers)
            for i in range(len(inputs))
        ]

    def logits(
        self, inputs: Sequence[Input], progress: Told | None = None, run: Run | None = None
    ) -> tuple[np.ndarray, dict[int, str]]:
        """Logits before calibration.

        Args:
            inputs: n pictures or texts.
            progress: called with (inputs done, inputs in all).
            run: as for `predict`.

        Returns:
            (n, k) float32, NaN for unreadable inputs; and input number -> reason for those.
        """
        values = self._empty(inputs)
        reasons: dict[int, str] = {}
        for batch in self._batches(inputs, reasons, progress, run):
            values[batch.rows] = batch.values
        return values, reasons

    def outputs(self, inputs: Sequence[Input]) -> Outputs:
        """Logits and features of one run of the graph.

        Args:
            inputs: n pictures or texts.
        """
        logits, features = self._empty(inputs), None
        if self.reference is not None:
            d = self.reference.features.shape[1]
            features = np.full((len(inputs), d), np.nan, dtype=np.float32)
        reasons: dict[int, str] = {}
        for batch in self._batches(inputs, reasons, None, None):
            logits[batch.rows] = batch.values
            if features is not None:
                features[batch.rows] = self._features([batch])
        return Outputs(logits, features, reasons)

    @property
    def knows_copies(self) -> bool:
        """Whether it can be told which inputs are copies of training rows.

        Their features have to be there, and computed in full: in less than that a row's own features
        are not those that the graph gives for it.
        """
        computed = self.files.manifest.get("features")
        precise = isinstance(computed, dict) and computed.get("precision") == "float32"
        return precise and self.reference is not None

    def copies(self, batches: Sequence[Batch]) -> np.ndarray:
        """Which inputs of some batches are copies of training rows.

        Args:
            batches: as the pipeline gives them, n inputs in all, n >= 1.

        Returns:
            (n,) bool.

        Raises:
            BundleError: the graph's features do not fit the reference.
        """
        assert self.reference is not None
        return copies(self.reference, self._features(batches))

    def _empty(self, inputs: Sequence[Input]) -> np.ndarray:
        return np.full((len(inputs), len(self.labels)), np.nan, dtype=np.float32)

    def _batches(
        self,
        inputs: Sequence[Input],
        reasons: dict[int, str],
        progress: Told | None,
        run: Run | None,
    ) -> Iterator[Batch]:
        """Batches with rows; the reasons of unreadable inputs are added to `reasons`."""
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
                self._check("logits", batch.values, len(self.labels))
                yield batch
            done += len(batch.rows) + len(batch.unreadable)
            if progress:
                progress(min(done, len(inputs)), len(inputs))

    def _compare(self, batches: Sequence[Batch], familiar: np.ndarray) -> None:
        """Hold batches against the reference; `familiar` (n,) takes what is found."""
        if not batches:
            return
        assert self.reference is not None
        logits = np.concatenate([batch.values for batch in batches])
        p = probabilities(logits, self.decision)
        rows = [row for batch in batches for row in batch.rows]
        familiar[rows] = familiarity(self.reference, self._features(batches), p)

    def _features(self, batches: Sequence[Batch]) -> np.ndarray:
        assert self.reference is not None
        given = [batch.features for batch in batches if batch.features is not None]
        if len(given) < len(batches):
            raise ValueError("the run gives no features, and this bundle needs them")
        features = np.concatenate(given)
        self._check("features", features, self.reference.features.shape[1])
        return features

    def _check(self, output: str, values: np.ndarray, width: int) -> None:
        if values.ndim != 2 or values.shape[1] != width:
            raise BundleError(
                f"{self.files.path}: the graph's {output} are {values.shape}, not (n, {width}).",
                fix=_AGAIN,
            )
        if not np.isfinite(values).all():
            raise BundleError(
                f"{self.files.path}: the graph's {output} are not finite numbers.", fix=_AGAIN
            )

    def _reference(self) -> Reference | None:
        """The training rows that the bundle keeps, if it keeps any."""
        path = self.files.path
        if not self.files.has("reference.safetensors"):
            if self.refuses:
                raise BundleError(
                    f"{path}: bundle.json: decision.familiar_above needs reference.safetensors, which "
                    "the bundle lacks.",
                    fix=_AGAIN,
                )
            return None
        where = f"{path}: reference.safetensors"
        tensors = load_tensors(self.files.read("reference.safetensors"), where)
        reference = Reference.from_tensors(tensors, where)
        if reference.codes.max() >= len(self.labels):
            raise BundleError(
                f"{where}: codes holds the class number {reference.codes.max()}, there are "
                f"{len(self.labels)} labels.",
                fix=_AGAIN,
            )
        return reference


def _content(room: Any, value: Input) -> Any:
    """What the input is made of, or the reason why it cannot be used."""
    try:
        return room.content(value)
    except UnreadableInput as error:
        return error


def _name(value: Input, i: int) -> str:
    return str(value) if isinstance(value, (str, Path)) else f"input {i + 1}"
