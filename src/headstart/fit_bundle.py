"""What a fit comes to: its report, and its bundle."""

from __future__ import annotations

import dataclasses
import datetime as dt
import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import headstart
from headstart.bundle import save as bundle
from headstart.fit_config import FitConfig
from headstart.fit_rows import fingerprint, targets
from headstart.model import Model, TemporaryFolder
from headstart.report import card, content, mistakes, page
from headstart.runtime.decide import probabilities
from headstart.runtime.familiar import Reference
from headstart.scores import Evaluation
from headstart.tasks.classification import Classification
from headstart.types import Backbone, Candidate, Decision, Finding, Skipped, Split, Table

_CHECKED_INPUTS = 8  # held-out inputs that a bundle is checked on


@dataclass(frozen=True)
class Fitted:
    """All that a fit found out.

    Attributes:
        table: n readable rows of the data.
        split: of them.
        tested: m rows that were measured.
        skipped: inputs whose features could not be computed.
        backbone: gave the features.
        candidate: the head.
        task: its labels.
        decision: how its logits become answers.
        evaluation: how good it is.
        findings: what was noticed about the data.
        reference: training rows that new inputs are held against.
        logits: (m, k) float32 before calibration, of the measured rows.
        computed: what computed the features, and in which precision.
    """

    table: Table
    split: Split
    tested: Table
    skipped: tuple[Skipped, ...]
    backbone: Backbone
    candidate: Candidate
    task: Classification
    decision: Decision
    evaluation: Evaluation
    findings: tuple[Finding, ...]
    reference: Reference
    logits: np.ndarray
    computed: Mapping[str, str]


def report_of(fitted: Fitted, title: str, seconds: Mapping[str, float]) -> content.Report:
    """What the report shows.

    Args:
        fitted: what the fit found out.
        title: of the report; empty takes the name of the data.
        seconds: what each stage took.
    """
    table, task = fitted.table, fitted.task
    return content.build(
        title=title or Path(table.source).stem or table.source,
        table=table,
        split=fitted.split,
        test=fitted.tested,
        features_skipped=fitted.skipped,
        backbone=fitted.backbone,
        candidate=fitted.candidate,
        evaluation=fitted.evaluation,
        decision=fitted.decision,
        findings=fitted.findings,
        mistakes=mistakes.worst(
            fitted.tested,
            probabilities(fitted.logits, fitted.decision),
            task.encode(targets(fitted.tested)),
            task.labels,
        ),
        seconds=dict(seconds),
        command=_command(),
        version=headstart.__version__,
        created=dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
    )


def bundled(
    fitted: Fitted, report: content.Report, config: FitConfig, seconds: Mapping[str, float]
) -> Model:
    """The model, in a temporary bundle that was checked on some of the measured rows.

    Args:
        fitted: what the fit found out.
        report: what its report shows.
        config: settings of the fit.
        seconds: what each stage took.

    Raises:
        BundleError: the bundle says something else than the fit did.
    """
    table, tested = fitted.table, fitted.tested
    holder = TemporaryFolder()
    folder = holder.path / "model"
    bundle.write_folder(
        folder,
        task=fitted.task,
        backbone=fitted.backbone,
        head=fitted.candidate.head,
        decision=fitted.decision,
        evaluation=fitted.evaluation,
        provenance={
            "features": dict(fitted.computed),
            "method": {
                "name": fitted.candidate.method,
                "chosen": dict(fitted.candidate.chosen),
            },
            "data": {
                "source": table.source,
                "rows": len(table),
                "fingerprint": fingerprint(table),
                "roles": dataclasses.asdict(table.roles),
            },
            "versions": _versions(),
            "seed": config.seed,
            "command": report.command,
            "created": report.created,
        },
        report=page.render(report, config.lang),
        card=card.model_card(report),
        reference=fitted.reference,
    )
    some = np.linspace(0, len(tested) - 1, min(len(tested), _CHECKED_INPUTS)).astype(int)
    predictor = bundle.check(folder, [tested.inputs[i] for i in some], fitted.logits[some])
    return Model(
        predictor,
        folder,
        report,
        fitted.evaluation,
        fitted.findings,
        dict(seconds),
        _holder=holder,
    )


def _command() -> str:
    """The command line that made this, or how Python was called, without machine paths."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    if program in ("headstart", "__main__.py", "headstart.exe"):
        return "headstart " + shlex.join(sys.argv[1:])
    return "headstart.fit(...)"


def _versions() -> dict[str, str]:
    import onnxruntime

    return {
        "headstart": headstart.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
