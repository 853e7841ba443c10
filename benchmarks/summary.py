"""What the single runs amount to: medians, ratios, intervals, goals kept or not; and the tables."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from comparisons import COMPARISONS, HEADSTART, Comparison, Goal
from measure import interval_of_mean, interval_of_share


def summarise(comparison: Comparison, sides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One comparison.

    Args:
        comparison: the row of the table.
        sides: name of a side -> {"runs": the runs as dictionaries} or {"failed": why}.

    Returns:
        "sides": for each side that ran its seconds, memory, scores and how many times as fast
        Headstart is and by how many points its accuracy is higher; "goals": each with the value reached and whether it is kept.
    """
    found: dict[str, Any] = {}
    for name, side in sides.items():
        if side.get("runs"):
            found[name] = _side(comparison, side["runs"])
        else:
            found[name] = {"failed": side.get("failed", "not run")}
    ours = found.get(HEADSTART, {}).get("seconds")
    for name, side in found.items():
        if ours and "seconds" in side and name != HEADSTART:
            side["times"] = side["seconds"] / ours
            if "accuracy" in side and "accuracy" in found[HEADSTART]:
                side["points"] = 100 * (found[HEADSTART]["accuracy"] - side["accuracy"])
    return {"sides": found, "goals": [_goal(goal, found) for goal in comparison.goals]}


def _side(comparison: Comparison, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    seconds = [run["wall_s"] if comparison.whole else run["result"]["seconds"] for run in runs]
    last = runs[-1]["result"]
    side: dict[str, Any] = {
        "seconds": statistics.median(seconds),
        "fastest": min(seconds),
        "slowest": max(seconds),
        "runs": len(runs),
        "cpu_s": statistics.median(run["cpu_s"] for run in runs),
        "peak_mb": max(run["peak_mb"] for run in runs),
    }
    if comparison.things:
        side["rate"] = last["n"] / side["seconds"]
    if comparison.scored and "accuracy" in last:
        for score in ("accuracy", "macro_f1"):
            values = [run["result"][score] for run in runs if score in run["result"]]
            if values:
                side[score] = statistics.fmean(values)
                side[f"{score}_interval"] = _interval(comparison, score, values, last["n_test"])
    for key in ("disk_mb", "environment_mb", "cache_mb"):
        if key in last:
            side[key] = max(run["result"][key] for run in runs)
    return side


def _interval(
    comparison: Comparison, score: str, values: Sequence[float], n: int
) -> list[float] | None:
    """Over the draws where there are draws; else of a share of the test rows; macro-F1 is no share."""
    if comparison.draws:
        return list(interval_of_mean(values)) if len(values) > 1 else None
    return list(interval_of_share(statistics.fmean(values), n)) if score == "accuracy" else None


def _goal(goal: Goal, sides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Text, value reached (None where a side is missing) and whether the goal is kept."""
    side = sides.get(goal.against, {})
    if goal.limit:
        value = side.get(goal.of)
        text = f"under {goal.limit:g} {goal.unit}"
        kept = None if value is None else value < goal.limit
        return {"of": goal.against, "text": text, "value": value, "kept": kept}
    value = side.get("times")
    if goal.ratio >= 1:
        text = f"{goal.ratio:g} times as fast"
    else:
        text = f"at most {1 / goal.ratio:.3g} times the time"
    kept = None if value is None else value >= goal.ratio
    return {"of": goal.against, "text": text, "value": value, "kept": kept}


# --- tables -------------------------------------------------------------------------------------


def seconds(value: float) -> str:
    """0.034 s, 2.31 s, 45 s, 12.1 min."""
    if value >= 600:
        return f"{value / 60:.1f} min"
    digits = 3 if value < 0.1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} s"


def times(value: float) -> str:
    """3.4×, 28×."""
    return f"{value:.{2 if value < 2 else 1 if value < 10 else 0}f}×"


def _score(side: Mapping[str, Any], name: str) -> str:
    if name not in side:
        return ""
    text = f"{100 * side[name]:.1f} %"
    interval = side.get(f"{name}_interval")
    return f"{text} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else text


def _goals(found: Sequence[Mapping[str, Any]], tool: str) -> str:
    marks = {True: "kept", False: "**missed**", None: "not measured"}
    return "; ".join(
        f"{goal['text']}: {marks[goal['kept']]}" for goal in found if goal["of"] == tool
    )


def table(results: Mapping[str, Any]) -> str:
    """The comparisons as a Markdown table."""
    lines = [
        "| job | with | time | Headstart is | processor time | memory | accuracy | macro-F1 | aim |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, kept in results["comparisons"].items():
        comparison = COMPARISONS[name]
        found = summarise(comparison, kept["sides"])
        for place, (tool, side) in enumerate(found["sides"].items()):
            job = comparison.title if not place else ""
            aim = _goals(found["goals"], tool)
            if "failed" in side:
                lines.append(
                    f"| {job} | {tool} | {side['failed'].split(':')[0]} | | | | | | {aim} |"
                )
                continue
            cells = [
                job,
                tool,
                _time(side),
                _beside(side),
            ]
            cells += [seconds(side["cpu_s"]), f"{side['peak_mb']:,.0f} MB"]
            cells += [_score(side, "accuracy"), _score(side, "macro_f1"), aim]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _beside(side: Mapping[str, Any]) -> str:
    if "times" not in side:
        return ""
    text = f"{times(side['times'])} as fast"
    return f"{text}, {side['points']:+.1f} points" if "points" in side else text


def _time(side: Mapping[str, Any]) -> str:
    text = seconds(side["seconds"])
    if side["runs"] > 1:
        text += f" ({seconds(side['fastest'])} to {seconds(side['slowest'])}, {side['runs']} runs)"
    if "rate" in side:
        text += f", {side['rate']:,.0f} a second"
    if "disk_mb" in side:
        text += (
            f", {side['disk_mb']:,.0f} MB on disk: environment {side['environment_mb']:,.0f}, "
            f"cache {side['cache_mb']:,.0f}"
        )
    return text


def environments_table(results: Mapping[str, Any]) -> str:
    """What each tool brings along."""
    lines = [
        "| tool | packages | on disk | import | versions |",
        "| --- | --- | --- | --- | --- |",
    ]
    for record in results["environments"]:
        if "failed" in record:
            lines.append(f"| {record['about']} | {_told(record['failed'])} | | | |")
            continue
        pins = ", ".join(f"{name} {version}" for name, version in _main_versions(record).items())
        lines.append(
            f"| {record['about']} | {record['packages']} | {record['megabytes']:,.0f} MB | "
            f"{seconds(record['import_s'])} | {pins} |"
        )
    return "\n".join(lines)


def _main_versions(record: Mapping[str, Any]) -> dict[str, str]:
    """The versions of what was asked for, and of torch."""
    names = [one.partition("==")[0].lower() for one in record["requirements"]]
    known = {name.replace("_", "-"): version for name, version in record["versions"].items()}
    wanted = {
        name: known.get(name.replace("_", "-").replace(".", "-"), known.get(name)) for name in names
    }
    return {name: version for name, version in wanted.items() if version}


def page(results: Mapping[str, Any], picture: str) -> str:
    """The whole section of the documentation."""
    box = results["machine"]
    days = sorted({run["at"][:10] for run in _runs(results)}) or [box["date"]]
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    notes = [
        f"- {COMPARISONS[name].title}: {COMPARISONS[name].job}.{_extra(kept.get('extra') or {})}"
        for name, kept in results["comparisons"].items()
    ]
    reasons = [
        f"- {COMPARISONS[name].title}, {tool}: {_told(side['failed'])}"
        for name, kept in results["comparisons"].items()
        for tool, side in kept["sides"].items()
        if side.get("failed") and not side.get("runs")
    ]
    parts = [
        "Measured by `make bench`: every run a process of its own, the tools in turn in alternating order, "
        "the same data and the same weights, each peer in a virtual environment of its own. Times are "
        "medians (with the fastest and the slowest run), intervals 95 %.",
        f"Measured on {when}, {box['processors']} processors of {box['processor']}, "
        f"{box['memory_gb']:.0f} GB, no GPU used; {box['system']}, Python {box['python']}; "
        f"Headstart {results['headstart']['version']}, numpy {results['headstart']['numpy']}, onnxruntime "
        f"{results['headstart']['onnxruntime']}.",
        f"![How long each job takes, with Headstart and with its peers]({picture})",
        table(results),
        "Processor time and memory are of the whole process; memory is the largest process of a tool's.",
        "\n".join(notes),
        *(["What did not run:\n\n" + "\n".join(reasons)] if reasons else []),
        "What each tool brings along (without pip and setuptools; import: a Python process that imports "
        "it and ends, median of 3):",
        environments_table(results),
    ]
    return "\n\n".join(parts)


def _told(reason: str) -> str:
    """A reason without this machine's paths, on one line of a table."""
    return re.sub(r"(?<!\w)/(?:[\w.+-]+/)+", "", reason).replace("|", "/").replace("\n", " ")[:600]


def _extra(extra: Mapping[str, Any]) -> str:
    if "cosine_min" not in extra:
        return ""
    return (
        f" Features of the two, row by row: cosine {extra['cosine_mean']:.4f} in the mean, "
        f"{extra['cosine_min']:.4f} at least."
    )


def _runs(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        run
        for kept in results["comparisons"].values()
        for side in kept["sides"].values()
        for run in side.get("runs", [])
    ]
