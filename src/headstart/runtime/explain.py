"""Why a model says what it says of one input: the nearest training examples, and what its parts add.

No gradients and no second model: the graph that serves is asked again with parts of the input taken away.
What is measured is the log-odds of a label, log p / (1 - p) of the calibrated probability p: a weight of
0.7 doubles the odds, and weights can be added where probabilities cannot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from headstart.compute import generator, threads
from headstart.errors import BundleError, ConfigError, DataError
from headstart.preprocess import image, text
from headstart.registry import suggestion
from headstart.runtime import additive, explain_image, explain_text
from headstart.runtime.decide import probabilities
from headstart.runtime.explanation import Explanation, Neighbour, Span
from headstart.runtime.familiar import nearest
from headstart.runtime.predictor import BundlePredictor
from headstart.types import Decision, Input

BUDGET = 200
_BUDGETS = (16, 20_000)
_BATCH = 8
_WEAK = 0.3  # of the fidelity: with less the reader is warned
_SMALLEST = 1e-300

Progress = Callable[[int, int], None]
"""Called with (passes done, passes meant)."""


def explain(
    predictor: BundlePredictor,
    input: Input,
    *,
    name: str | None = None,
    label: str | None = None,
    neighbours: int = 5,
    budget: int = BUDGET,
    seed: int = 0,
    progress: Progress | None = None,
) -> Explanation:
    """Why a model says what it says of one input.

    Args:
        predictor: the loaded bundle.
        input: a picture or a text (see `headstart.types.Input`).
        name: what to call it; by default the path or the text itself.
        label: the label to explain; by default the answer. Another one asks "why not that?".
        neighbours: how many training examples to show; 0 for none.
        budget: about so many passes through the graph.
        seed: of the trials that are drawn; the same seed gives the same explanation.
        progress: called with (passes done, passes meant).

    Returns:
        The explanation; for an input that cannot be read, one without a label whose note says why.

    Raises:
        DataError: the model has no such label.
        ConfigError: the budget or the number of neighbours is out of range.
    """
    check(predictor.labels, label, neighbours, budget)
    started = time.perf_counter()
    (prediction,) = predictor.predict([input], None if name is None else [name])
    if not prediction.probabilities:
        note = f"It cannot be explained: {prediction.reason}."
        return Explanation(prediction.input, prediction, None, note=note)
    most = max(prediction.probabilities, key=prediction.probabilities.__getitem__)
    wanted = most if label is None else label
    asked = Asked(predictor, predictor.labels.index(wanted), progress, budget)
    notes: list[str] = []
    near = _near(predictor, asked, input, neighbours, notes)
    rng = generator(seed)
    cut = cut_up(predictor, asked, input)
    left = budget - asked.passes
    found = additive.account(cut.ask, cut.parts(left), left, rng)
    shown, told = cut.shown(found.weights)
    notes += [told] if told else []
    if found.fidelity < _WEAK:
        notes.append(
            "The parts do not add up: take the weights as hints only "
            f"(they account for {100 * found.fidelity:.0f} % of how the answer changed)."
        )
    return Explanation(
        prediction.input,
        prediction,
        wanted,
        neighbours=near,
        passes=asked.passes,
        seconds=time.perf_counter() - started,
        note=" ".join(notes),
        fidelity=found.fidelity,
        **shown,
    )


def check(labels: Sequence[str], label: str | None, neighbours: int, budget: int) -> None:
    """Whether an explanation can be asked for like this.

    Raises:
        DataError: the model has no such label; the fix lists those it has.
        ConfigError: the budget or the number of neighbours is out of range.
    """
    if label is not None and label not in labels:
        raise DataError(
            f"The model has no label {label!r}.",
            fix=suggestion(label, list(labels)) or f"one of: {', '.join(labels)}",
        )
    low, high = _BUDGETS
    if not low <= budget <= high:
        raise ConfigError(
            f"The budget is {budget} passes.", fix=f"give one between {low} and {high:,}"
        )
    if neighbours < 0:
        raise ConfigError(f"{neighbours} neighbours cannot be shown.", fix="give 0 or more")


def log_odds(logits: np.ndarray, decision: Decision, target: int) -> np.ndarray:
    """(n,) log-odds of one label, calibrated, from logits (n, k).

    Rows that are not finite, as a graph may give for a text without any token, count as knowing nothing.
    """
    known = np.isfinite(logits).all(axis=1)
    p = probabilities(np.where(known[:, None], logits, 0), decision)
    p[~known] = 1 / p.shape[1]
    others = np.delete(p, target, axis=1).sum(axis=1)
    return np.log(np.maximum(p[:, target], _SMALLEST)) - np.log(np.maximum(others, _SMALLEST))


class Asked:
    """The serving graph with one question: the log-odds of a label.

    Attributes:
        passes: inputs that went through the graph so far.

    Args:
        predictor: the loaded bundle.
        target: number of the label.
        progress: called with (passes done, passes meant).
        budget: passes meant.
    """

    def __init__(
        self,
        predictor: BundlePredictor,
        target: int,
        progress: Progress | None = None,
        budget: int = BUDGET,
    ) -> None:
        # the very engine and tokenizer that serve; nothing is loaded twice
        self.engine, self.encoder = predictor.pipeline.engine, predictor.pipeline.encoder
        self.decision, self.target, self.labels = predictor.decision, target, predictor.labels
        self.progress, self.budget, self.passes = progress, budget, 1

    def pixels(self, make: Callable[[int, int], np.ndarray], count: int) -> np.ndarray:
        """Log-odds (count,) of prepared pictures; `make(start, stop)` gives those of one batch."""
        size = _BATCH * self.engine.batch

        def feeds(start: int) -> Callable[[], dict[str, np.ndarray]]:
            return lambda: {"pixels": make(start, min(start + size, count))}

        done = self._run(map(feeds, range(0, count, size)))
        return log_odds(np.concatenate(done), self.decision, self.target)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Log-odds of texts; equal ones go through the graph once."""
        assert self.encoder is not None
        unique = sorted(set(texts))
        ids, _ = self.encoder.encode(unique)
        batches = list(self.encoder.batches(ids, self.engine.batch))
        done = self._run(partial(dict, feeds) for _, feeds in batches)
        logits = np.zeros((len(unique), len(self.labels)), np.float32)
        for (rows, _), values in zip(batches, done):
            logits[rows] = values
        known = dict(zip(unique, log_odds(logits, self.decision, self.target).tolist()))
        return np.array([known[one] for one in texts])

    def features(self, content: Any, steps: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """(1, d) float32 features of one input, as the backbone gives them."""
        if self.encoder is None:
            feeds = {"pixels": image.prepare(content, steps)[0][None]}
        else:
            ids, _ = self.encoder.encode([content])
            ((_, feeds),) = self.encoder.batches(ids)
        self.passes += 1
        return self.engine.run(feeds)["features"].astype(np.float32)

    def is_cut(self, content: str) -> bool:
        """Whether a text is longer than what the model reads."""
        assert self.encoder is not None
        return bool(self.encoder.encode([content])[1][0])

    def _run(self, feeds: Iterator[Callable[[], dict[str, np.ndarray]]]) -> list[np.ndarray]:
        """Logits of batches that are made and run on as many threads as there are processors."""
        with ThreadPoolExecutor(max(threads(), self.engine.parallel)) as pool:
            done = []
            for logits in pool.map(lambda make: self.engine.run(make())["logits"], feeds):
                done.append(logits)
                self.passes += len(logits)
                if self.progress:
                    self.progress(min(self.passes, self.budget), self.budget)
        return done


def cut_up(predictor: BundlePredictor, asked: Asked, input: Input) -> CutPicture | CutText:
    """An input in parts that can be taken away, by its modality."""
    if predictor.modality == "image":
        return CutPicture(asked, predictor, input)
    return CutText(asked, input)


def _near(
    predictor: BundlePredictor, asked: Asked, input: Input, count: int, notes: list[str]
) -> tuple[Neighbour, ...]:
    if not count:
        return ()
    reference = predictor.reference
    if reference is None or not len(reference.names):
        notes.append(
            "The bundle keeps nothing of its training examples, so the nearest cannot be shown."
        )
        return ()
    room = image if predictor.modality == "image" else text
    features = asked.features(room.content(input), predictor.preprocess.steps)
    if features.shape[1] != reference.features.shape[1]:
        raise BundleError(
            f"{predictor.files.path}: reference.safetensors has {reference.features.shape[1]} features, "
            f"the graph {features.shape[1]}.",
            fix="make the bundle again with headstart fit",
        )
    rows, cosines = nearest(reference, features, min(count, len(reference.names)))
    return tuple(
        Neighbour(reference.names[row], predictor.labels[int(reference.codes[row])], cosine)
        for row, cosine in zip(rows[0].tolist(), cosines[0].tolist())
    )


class CutPicture:
    """A picture in cells that can be covered.

    Args:
        asked: the question.
        predictor: the loaded bundle.
        input: a readable picture.
        below: (h, w, 3) uint8, seen where cells are taken away; by default the blurred picture.
    """

    def __init__(
        self,
        asked: Asked,
        predictor: BundlePredictor,
        input: Input,
        below: np.ndarray | None = None,
    ) -> None:
        self._asked, self._steps = asked, predictor.preprocess.steps
        self._content = image.content(input)
        self.pixels, _ = image.prepare(self._content, self._steps)
        self._below = explain_image.cover(self.pixels) if below is None else below

    def parts(self, budget: int) -> additive.Parts:
        """The cells."""
        return explain_image.parts(explain_image.side(self.pixels))

    def ask(self, kept: np.ndarray) -> np.ndarray:
        """Log-odds (p,) where only these cells are seen, (p, n) bool."""
        return self._asked.pixels(
            lambda start, stop: explain_image.covered(self.pixels, self._below, kept[start:stop]),
            len(kept),
        )

    def shown(self, weights: np.ndarray) -> tuple[dict[str, Any], str]:
        """The heat map and the picture for showing, and what to note."""
        picture, (height, width) = explain_image.opened(self._content, self._steps)
        box = explain_image.seen(height, width, self._steps)
        heat = explain_image.spread(weights, height, width, box)
        unseen = float(np.isnan(heat).mean())
        edges = f"The model does not see the edges: {100 * unseen:.0f} % of the picture."
        return {"heat": heat, "picture": picture}, edges if unseen > 0.005 else ""


class CutText:
    """A text in words or characters that can be left out.

    Args:
        asked: the question.
        input: a text that is not empty.
    """

    def __init__(self, asked: Asked, input: Input) -> None:
        self._asked, self._content = asked, text.content(input)
        sound = str(input).replace("\0", " ").encode("utf-8", "replace").decode()
        self._lead = sound.index(self._content)  # what `content` strips
        self._where = explain_text.pieces(self._content)
        self._read = explain_text.read_so_far(self._content, self._where, asked.is_cut)
        self._end = self._where[self._read - 1][1]

    def parts(self, budget: int) -> additive.Parts:
        """The words or characters that the model reads."""
        return explain_text.parts(self._read, budget)

    def ask(self, kept: np.ndarray) -> np.ndarray:
        """Log-odds (p,) where only these pieces are there, (p, n) bool."""
        read, where = self._content[: self._end], self._where[: self._read]
        return self._asked.texts([explain_text.without(read, where, row) for row in kept])

    def shown(self, weights: np.ndarray) -> tuple[dict[str, Any], str]:
        """The spans, and what to note."""
        spans = [
            self._span(start, stop, float(weight))
            for (start, stop), weight in zip(self._where, weights)
        ]
        if self._read == len(self._where):
            return {"spans": tuple(spans)}, ""
        rest = self._span(self._where[self._read][0], self._where[-1][1], 0.0, seen=False)
        note = f"The model reads the first {self._end:,} characters of this text only."
        return {"spans": (*spans, rest)}, note

    def _span(self, start: int, stop: int, weight: float, seen: bool = True) -> Span:
        piece = self._content[start:stop]
        return Span(piece, self._lead + start, self._lead + stop, weight, seen)
