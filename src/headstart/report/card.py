"""The model card: README.md of a bundle, with the front matter that model hubs read."""

from __future__ import annotations

import json
import math
import re
import shlex
from typing import Any

from headstart.report.advice import advice, bundle_name, python_example
from headstart.report.content import Report
from headstart.report.findings_view import ordered
from headstart.report.trials_view import Row, tried
from headstart.report.trials_words import called, compared
from headstart.report.trust_words import calibrated, rules, sentences, withholds
from headstart.report.view import protocol, verdict, warnings
from headstart.report.words import LOSSES, Words, clip, visible
from headstart.scores import Metric
from headstart.types import Finding

_CLASSES = 100  # rows of the per-class table
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_ACTIVE = re.compile(r"([\\`*_\[\]<>|~&$@])")
_BLOCK = re.compile(r"^([#+=-]|\d+(?=[.)]))")
_LINK = re.compile(r"(?i)(?<=[a-z])(:)(?=//)|(?<=www)(\.)")
_BARE = re.compile(r"[a-z][a-z0-9_.-]*")
_METRICS = {"accuracy": "accuracy", "macro_f1": "f1"}


def model_card(report: Report) -> str:
    """README.md for the bundle: YAML front matter and Markdown, in English."""
    w = Words("en")
    parts = [
        _front_matter(report),
        _intro(report, w),
        _data(report, w),
        _tried(report, w),
        _scores(report, w),
        _per_class(report, w),
        _limits(report, w),
        _use(report),
        _provenance(report, w),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def text(value: str, limit: int = 200) -> str:
    """A text from the data as Markdown that shows it and does nothing else."""
    escaped = _ACTIVE.sub(r"\\\1", clip(value, limit))
    escaped = _LINK.sub(lambda found: "\\" + found.group(), escaped)
    return _BLOCK.sub(lambda found: _unblocked(found.group()), escaped)


def _unblocked(start: str) -> str:
    """The first characters of a line, so that they begin no list, heading or rule."""
    return f"{start}&#8203;" if start[0].isdigit() else f"\\{start}"


def code(value: str) -> str:
    """A text as a code block that it cannot leave."""
    value = visible(value)
    longest = max((len(run) for run in re.findall("`+", value)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}bash\n{value}\n{fence}"


def scalar(value: str) -> str:
    """A text as a YAML scalar: bare where that is safe, else in double quotes."""
    if _BARE.fullmatch(value) and value not in (
        "null",
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
    ):
        return value
    quoted = json.dumps(visible(value), ensure_ascii=False)
    return re.sub(
        "[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda c: f"\\u{ord(c.group()):04x}", quoted
    )


def _front_matter(report: Report) -> str:
    backbone = report.backbone
    licence = backbone.licence.strip()
    known = licence not in ("", "unknown")
    base = _base_model(backbone.name)
    pairs: list[tuple[str, Any]] = [("license", licence.lower() if known else "unknown")]
    if base:
        pairs.append(("base_model", base))
    modality = "image" if report.modality == "image" else "text"
    pairs += [
        ("library_name", "headstart"),
        ("pipeline_tag", f"{modality}-classification"),
        (
            "tags",
            ["headstart", f"{modality}-classification", "onnx", "transfer-learning", backbone.name],
        ),
        ("metrics", [_METRICS[name] for name in report.evaluation.metrics if name in _METRICS]),
    ]
    lines = ["---"]
    for key, value in pairs:
        if isinstance(value, str):
            lines.append(f"{key}: {scalar(value)}")
        elif value:
            lines += [f"{key}:", *(f"- {scalar(one)}" for one in value)]
    return "\n".join([*lines, "---"])


def _base_model(name: str) -> str:
    """The backbone's identifier on the Hugging Face Hub; empty where it has none.

    The Hub refuses a card whose base_model is anything else; such a name is among the tags.
    """
    source, _, rest = name.partition(":")
    if source == "timm" and _HUB_ID.fullmatch(rest):
        return rest if "/" in rest else f"timm/{rest}"
    return rest if source == "hf" and _HUB_ID.fullmatch(rest) and not rest.startswith(".") else ""


def _intro(report: Report, w: Words) -> str:
    thing = "pictures" if report.modality == "image" else "texts"
    labels = [one.label for one in report.classes if one.train]
    some = ", ".join(text(label, 40) for label in labels[:12])
    more = f" and {len(labels) - 12:,} more" if len(labels) > 12 else ""
    lines = [
        f"# {text(report.title, 80)}",
        "",
        f"A model that sorts {thing} into {len(labels):,} classes: {some}{more}. "
        f"It was made with Headstart {text(report.version)}: "
        f"{_method(report, w)}, on top of the backbone {text(report.backbone.name)}.",
        "",
        f"**{text(verdict(report, w), 600)}**",
    ]
    for warning in warnings(report, w):
        lines += ["", f"> {text(warning, 400)}"]
    return "\n".join(lines)


def _method(report: Report, w: Words) -> str:
    if report.method == "probe":
        return "a linear head (logistic regression) on frozen features"
    known = w.has(f"method.short.{report.method}")
    return called(report.method, w) if known else f"the method {text(report.method)}"


def _data(report: Report, w: Words) -> str:
    lines = [
        "## Data",
        "",
        f"{report.n_train:,} labelled rows of {text(report.source)} were learned from, "
        f"{w.measured(report.modality, report.evaluation.split, report.evaluation.n)} were measured on"
        + (f" ({text(report.test_source)})" if report.test_source else "")
        + f". {text(protocol(report, w), 400).rstrip()}"
        + ("" if report.protocol.endswith(".") else "."),
    ]
    if report.n_skipped:
        lines += ["", f"{report.n_skipped:,} inputs could not be used; `report.html` says why."]
    told = [f"- {text(w.capital(note), 400)}" for note in report.notes[:10]]
    for finding, n, _ in ordered(report)[:10]:
        told.append(_finding(finding, n, w))
    lines += ["", *told] if told else []
    return "\n".join(lines)


def _finding(finding: Finding, n: int, w: Words) -> str:
    """A line of the list: what, how many rows, how sure, what to do."""
    sure = finding.confidence
    about = [w("findings.rows", n=n)] if n else []
    about += [w("findings.sure", value=w.percent(sure, 0))] if sure and sure < 1 else []
    counted = f" ({', '.join(about)})" if about else ""
    stop = "" if finding.fix.endswith((".", "?", "!")) else "."
    fix = f" {text(w.capital(finding.fix), 300)}{stop}" if finding.fix else ""
    return f"- {text(finding.message, 400)}{counted}{fix}"


def _tried(report: Report, w: Words) -> str:
    """What was tried, as a table, and what is kept; empty where nothing was compared."""
    trials, seen = compared(report.evaluation), tried(report.evaluation, w)
    if trials is None or seen is None:
        return ""
    lines = ["## What was tried", "", text(seen.decided, 600)]
    if seen.rows:
        lines += [
            "",
            f"| Method | Score (%) | Lead over {text(seen.first)} (points) | p |"
            f"{' Log loss | Cost |' if seen.losses else ' Cost |'}",
            "|---|" + "---:|" * (5 if seen.losses else 4),
        ]
        lines += [f"| {' | '.join(_cells(row, seen.losses))} |" for row in seen.rows]
        lines += ["", text(w("card.tried", n=trials.rows), 400)]
        lines += ["", text(w("tried.caption.loss", first=seen.first), 400)] if seen.losses else []
    noted = [one for one in seen.told if one.note[0]]
    lines += (
        ["", *(f"- {text(one.name)}: {text(one.note[0], 600)}" for one in noted)] if noted else []
    )
    return "\n".join(lines)


def _cells(row: Row, losses: bool) -> list[str]:
    """One candidate of the table."""
    title = text(row.name) + (f" ({row.mark})" if row.kept else "")
    score = f"{row.score} ({row.interval})" if row.score else "not tried"
    lead = f"{row.lead} ({row.bounds})" if row.lead else ""
    cost = f"{row.cost} ({row.times})" if row.times else row.cost
    apart = [f"{row.loss} ({row.loss_p})" if row.loss else ""] if losses else []
    return [one.replace("<", "&lt;") for one in (title, score, lead, row.p, *apart, cost)]


def _scores(report: Report, w: Words) -> str:
    evaluation = report.evaluation
    rivals = [(one, one.metrics) for one in evaluation.baselines if one.metrics]
    without = evaluation.without_leaked
    titles = ["This model"]
    if without:
        titles.append(w.capital(w("card.without", n=evaluation.leaked)))
    titles += [text(w.name("baseline", one.name)) for one, _ in rivals]
    measured = w.measured(report.modality, evaluation.split, evaluation.n)
    lines = [
        "## How good it is",
        "",
        f"Measured on {measured}, with 95 % bootstrap intervals; rivals on the same rows.",
        "",
        "| Metric | " + " | ".join(titles) + " |",
        "|---|" + "---:|" * len(titles),
    ]
    for name, metric in evaluation.metrics.items():
        cells = [_value(name, metric, w)]
        cells += [_value(name, without.get(name), w)] if without else []
        cells += [_value(name, m.get(name), w) for _, m in rivals]
        title = text(w.name("metric", name)) + (" (lower is better)" if name in LOSSES else "")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    decision = report.decision
    told = [*sentences(evaluation, w, decision), *calibrated(decision, w), *rules(decision, w)]
    if told:
        lines += ["", "## How far to trust it", "", *(f"- {text(one, 400)}" for one in told)]
    return "\n".join(lines)


def _value(name: str, metric: Metric | None, w: Words) -> str:
    if metric is None or not math.isfinite(metric.value):
        return "–"
    return f"{w.score(name, metric.value)} ({w.interval(name, metric)})"


def _per_class(report: Report, w: Words) -> str:
    rows = report.evaluation.per_class
    trained = {one.label: one.train for one in report.classes}
    lines = [
        "## Class by class",
        "",
        "| Class | Precision | Recall | F1 | Measured | Learned from |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for one in rows[:_CLASSES]:
        scores = " | ".join(w.percent(value) for value in (one.precision, one.recall, one.f1))
        lines.append(
            f"| {text(one.label, 60)} | {scores} | {one.n:,} | {trained.get(one.label, 0):,} |"
        )
    if len(rows) > _CLASSES:
        lines += ["", f"and {len(rows) - _CLASSES:,} more classes, all in `report.html`."]
    return "\n".join(lines)


def _limits(report: Report, w: Words) -> str:
    thing = "pictures" if report.modality == "image" else "texts"
    known = report.backbone.licence not in ("", "unknown")
    otherwise = (
        ", or withholds the answer" if withholds(report.decision) else ", whatever it is given"
    )
    lines = [
        "## Limits",
        "",
        f"- It answers with one of its {len(report.evaluation.labels):,} classes{otherwise}.",
        f"- The scores hold for {thing} like those measured; on others they can be much worse.",
        "- What the backbone learned from, and its biases, are those of its makers."
        + ("" if known else " Its licence is unknown: find out before you publish or sell."),
    ]
    lines += ["", "What would make it better:", ""]
    lines += [f"- {text(sentence, 400)}" for sentence in advice(report, w)]
    return "\n".join(lines)


def _use(report: Report) -> str:
    bundle = bundle_name(report)
    inputs = ("new/", "labelled/") if report.modality == "image" else ("new.csv", "labelled.csv")
    commands = "\n".join(
        [
            "pip install headstart",
            f"headstart predict {bundle} {inputs[0]} --out predictions.csv",
            f"headstart evaluate {bundle} {inputs[1]}",
        ]
    )
    python = code(python_example(report)).replace("bash", "python", 1)
    return f"## How to use it\n\n{code(commands)}\n\n{python}"


def _provenance(report: Report, w: Words) -> str:
    stages = ", ".join(
        f"{text(w.name('stage', stage))} {w.seconds(spent)}"
        for stage, spent in report.seconds.items()
    )
    total = w.seconds(sum(report.seconds.values()))
    rows = [
        (
            "Backbone",
            f"{text(report.backbone.name)}, licence {text(report.backbone.licence or 'unknown')}",
        ),
        ("Backbone SHA-256", text(report.backbone.sha256)),
        ("Made on", text(w.date(report.created))),
        ("Time taken", total + (f" ({stages})" if stages else "")),
    ]
    if "by" in report.chosen:
        rows.insert(1, ("Chosen by", text(str(report.chosen["by"]), 400)))
    listed = "\n".join(f"- {name}: {value}" for name, value in rows)
    return f"## Provenance\n\n{listed}\n\n{code(_one_line(report.command))}"


def _one_line(command: str) -> str:
    try:
        return shlex.join(shlex.split(command)) if "\n" in command else command
    except ValueError:
        return " ".join(command.split())
