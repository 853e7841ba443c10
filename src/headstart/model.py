"""A fitted or loaded model."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.bundle import save as bundle
from headstart.data import table as tables
from headstart.errors import DataError
from headstart.report import content, notebook, page
from headstart.runtime import explain as explaining
from headstart.runtime.explanation import Explanation
from headstart.runtime.predictor import BundlePredictor
from headstart.scores import Evaluation
from headstart.types import Finding, Prediction, Skipped, Table

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total); total 0 announces a stage, or is a message for the user."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model that predicts, explains how good it is, and can be saved. Made by `fit` and `load`.

    Attributes:
        predictor: the loaded bundle.
        folder: where the bundle lies.
        report: what the report shows.
        evaluation: how good it is; None for a loaded model, whose numbers are in `report`.
        findings: what was noticed about the data.
        seconds: what each stage of `fit` took.
    """

    predictor: BundlePredictor
    folder: Path
    report: content.Report
    evaluation: Evaluation | None = None
    findings: tuple[Finding, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    _holder: Any = field(default=None, repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """The k labels."""
        return self.predictor.labels

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """All inputs that were left out while fitting, by name and reason."""
        return self.report.skipped

    def predict(self, inputs: Any, *, progress: Progress | None = None) -> Predictions:
        """Predict.

        Args:
            inputs: one input or a sequence of them; a folder or a table file stands for its rows.
            progress: called with ("predict", done, total).

        Returns:
            One `Prediction` for each input, in order; an unreadable one abstains with the reason.
        """
        several = isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes))
        sources = list(inputs) if several else [inputs]
        table = tables.read_inputs(sources, modality=self.predictor.modality)
        told = (lambda done, total: progress("predict", done, total)) if progress else None
        return Predictions(self.predictor.predict(table.inputs, _spoken(table), told))

    def explain(
        self,
        input: Any,
        label: str | None = None,
        *,
        neighbours: int = 5,
        budget: int = explaining.BUDGET,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Explanation:
        """Why the model says what it says of one input: nearest training examples, and what its parts add.

        Args:
            input: one picture or text.
            label: the label to explain; by default the answer. Another one asks "why not that?".
            neighbours: how many training examples to show; 0 for none.
            budget: about so many passes through the graph.
            seed: of the trials that are drawn; the same seed gives the same explanation.
            progress: called with ("explain", passes done, passes meant).

        Returns:
            The explanation; for an input that cannot be read, one whose note says why.

        Raises:
            DataError: the model has no such label, or this is not one input.
            ConfigError: the budget or the number of neighbours is out of range.
        """
        table = tables.read_inputs([input], modality=self.predictor.modality)
        if len(table) != 1:
            raise DataError(
                f"{table.source} is {len(table):,} inputs, and one is explained at a time.",
                fix="call explain for each of them",
            )
        told = (lambda done, total: progress("explain", done, total)) if progress else None
        return explaining.explain(
            self.predictor,
            table.inputs[0],
            name=_spoken(table)[0],
            label=label,
            neighbours=neighbours,
            budget=budget,
            seed=seed,
            progress=told,
        )

    def save(self, path: str | Path) -> Path:
        """Save as a bundle: one file for a name ending in .headstart, else a folder; returns the path.

        Raises:
            BundleError: something that is no bundle stands there.
        """
        bundle.copy(self.folder, Path(path))
        return Path(path)

    def html(self, lang: str = "en") -> str:
        """The report as one HTML page, in English ("en") or Chinese ("zh")."""
        return page.render(self.report, lang)

    def __repr__(self) -> str:
        metrics = self.report.evaluation.metrics
        accuracy = metrics["accuracy"]
        return (
            f"Model({len(self.labels)} classes, {self.predictor.modality}, "
            f"accuracy {accuracy.value:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}])"
        )

    def _repr_html_(self) -> str:
        return notebook.card(self.report)


class TemporaryFolder:
    """A folder that goes when the last model that lies in it goes."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="headstart-"))
        weakref.finalize(self, shutil.rmtree, self.path, True)


class Predictions(list[Prediction]):
    """A list of predictions that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return notebook.predictions(self)


def _spoken(table: Table) -> tuple[str, ...]:
    """What predictions call their inputs: the text itself, or the picture's name."""
    if table.modality == "text":
        return tuple(str(text) for text in table.inputs)
    return table.names
