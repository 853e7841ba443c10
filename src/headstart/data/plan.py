"""A plan of what to do with doubtful rows: written as CSV, edited by a person, checked, then carried out.

Nothing is changed without one. Each line names a row, what was found, what to do and how sure that is;
its last column is a fingerprint of the row, so that a plan that was made for other data is refused.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from headstart.data.cells import plain, safe
from headstart.data.delimited import decode, guess_delimiter
from headstart.errors import DataError, UnreadableInput
from headstart.hashing import hash_parts
from headstart.manifest import atomic_write
from headstart.preprocess import image
from headstart.registry import suggestion as nearest
from headstart.types import Finding, Table

Action = Literal["keep", "drop", "relabel"]
ACTIONS: tuple[Action, ...] = ("keep", "drop", "relabel")
SURE = 0.9
"""From here on a probably wrong label is proposed to be changed; below, it is listed and kept."""

_DROPPED = {
    "duplicates",
    "blank",
    "leak",
    "near-leak",
}  # proposed to be dropped; other rows are kept
_REASONS = {
    "duplicates": "repeats {other}",
    "near-duplicates": "a copy of {other} but for small changes",
    "conflicting-labels": "the same content has another label elsewhere",
    "near-conflicts": "nearly the same content has another label elsewhere",
    "wrong-labels": "the label is probably {other!r}",
    "leak": "also among the test rows: {other}",
    "near-leak": "nearly the same as a test row: {other}",
    "blank": "a picture of one colour",
    "no-letters": "a text without letters",
    "lengths": "far longer or shorter than the others",
    "sizes": "far larger or smaller than the others",
    "far-out": "unlike all others",
}


@dataclass(frozen=True)
class PlanRow:
    """What to do with one row.

    Attributes:
        row: its number in the table, from 0.
        name: its name.
        finding: kinds of the findings, joined by "+".
        action: "keep", "drop" or "relabel".
        label: the label it has; with "relabel" another one here wins over the suggestion.
        suggestion: the label it should get; empty without one.
        confidence: how sure the suggestion is, 0 to 1; None where nothing is to be doubted or told.
        reason: why, for a person.
        check: fingerprint of its content and label.
    """

    row: int
    name: str
    finding: str
    action: Action
    label: str
    suggestion: str
    confidence: float | None
    reason: str
    check: str


COLUMNS = tuple(field.name for field in fields(PlanRow))


def make(table: Table, findings: Sequence[Finding]) -> tuple[PlanRow, ...]:
    """The plan that the findings propose: one line for each row that something can be done about.

    Args:
        table: n labelled rows, test rows included; those are never in a plan.
        findings: their `numbers` count the rows of this table.
    """
    proposals: dict[int, list[tuple[str, str, float | None, str]]] = {}
    for finding in findings:
        for i, row in enumerate(finding.numbers):
            other = finding.suggestions[i] if finding.suggestions else ""
            sure = finding.sure[i] if finding.sure else finding.confidence
            if finding.kind in _REASONS and (other or not finding.suggestions):
                proposals.setdefault(row, []).append(
                    (finding.kind, other, sure, _do(finding.kind, sure))
                )
    return tuple(
        _row(table, row, proposals[row]) for row in sorted(proposals) if not _tested(table, row)
    )


def _do(kind: str, sure: float | None) -> str:
    if kind == "wrong-labels":
        return "relabel" if (sure or 0) >= SURE else "keep"
    return "drop" if kind in _DROPPED else "keep"


def _row(
    table: Table, row: int, proposals: Sequence[tuple[str, str, float | None, str]]
) -> PlanRow:
    kinds = [kind for kind, _, _, _ in proposals]
    wanted = {action for _, _, _, action in proposals}
    # where copies have different labels a person decides which of them goes
    torn = bool({"conflicting-labels", "near-conflicts"} & set(kinds))
    action = next((one for one in ("drop", "relabel") if one in wanted and not torn), "keep")
    label = next((other for kind, other, _, _ in proposals if kind == "wrong-labels"), "")
    sure = [s for _, _, s, _ in proposals if s is not None]
    reasons = "; ".join(_REASONS[kind].format(other=other) for kind, other, _, _ in proposals)
    assert table.targets is not None
    return PlanRow(
        row,
        table.names[row],
        "+".join(kinds),
        action,  # type: ignore[arg-type]
        table.targets[row],
        label,
        min(sure) if sure else None,
        reasons,
        fingerprint(table, row),
    )


def _tested(table: Table, row: int) -> bool:
    return table.split is not None and table.split[row] == "test"


def fingerprint(table: Table, row: int) -> str:
    """16 hex digits that change with the row's content or label."""
    value = table.inputs[row]
    if table.modality == "text":
        content: bytes | str = str(value)
    else:
        try:
            content = image.digest(image.content(value))
        except UnreadableInput:
            content = "unreadable"
    label = table.targets[row] if table.targets is not None else ""
    parts = [content if isinstance(content, bytes) else _bytes(content), _bytes(label)]
    return hash_parts(parts)[:16]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def write(path: str | Path, plan: Sequence[PlanRow]) -> None:
    """Write a plan as CSV: UTF-8 with a byte order mark, by which spreadsheets know it.

    Raises:
        DataError: the file cannot be written.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in plan:
        sure = "" if one.confidence is None else f"{one.confidence:.3f}"
        cells = [one.name, one.finding, one.action, one.label, one.suggestion, sure, one.reason]
        writer.writerow([one.row, *map(safe, cells), one.check])
    text = buffer.getvalue().encode("utf-8", "backslashreplace")
    try:
        atomic_write(path, b"\xef\xbb\xbf" + text)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: str | Path, error: OSError) -> DataError:
    """The error for a file that cannot be written."""
    return DataError(
        f"{path} cannot be written: {error.strerror or error}.",
        fix="name a file in a folder that exists and may be written to",
    )


def read(path: str | Path) -> tuple[PlanRow, ...]:
    """Read a plan back, as written or as a spreadsheet saved it.

    Raises:
        DataError: no such file, a column is missing, or a line is not right; with its number.
    """
    try:
        text, _ = decode(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise DataError(
            f"The plan {path} cannot be read: {error.strerror or error}.",
            fix="make one with: headstart doctor DATA --fix plan.csv",
        ) from error
    lines = io.StringIO(text, newline="").readlines()
    if not lines:
        raise DataError(f"The plan {path} is empty.", fix="make one with --fix plan.csv")
    reader = csv.DictReader(lines, delimiter=guess_delimiter(lines))
    try:
        absent = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if absent:
            raise DataError(
                f"The plan {path} has no column {absent[0]!r}.",
                fix=f"its columns are {', '.join(COLUMNS)}: make it anew with --fix plan.csv",
            )
        return tuple(_parsed(cells, f"{path}:{reader.line_num}") for cells in reader)
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num} cannot be read: {error}.", fix="mend the quotation marks"
        ) from error


def _parsed(cells: Mapping[str, Any], where: str) -> PlanRow:
    told = {name: plain(cells[name] or "") for name in COLUMNS}
    action = told["action"].strip().casefold()
    if action not in ACTIONS:
        raise DataError(
            f"{where}: there is no action {told['action']!r}.", fix=f"one of: {', '.join(ACTIONS)}"
        )
    try:
        row = int(told["row"])
        sure = float(told["confidence"].replace(",", ".")) if told["confidence"].strip() else None
    except ValueError:
        raise DataError(
            f"{where}: row {told['row']!r}, confidence {told['confidence']!r} are no numbers.",
            fix="leave the columns row, name, confidence and check as they were written",
        ) from None
    return PlanRow(
        row, told["name"], told["finding"], action, told["label"], told["suggestion"], sure,
        told["reason"], told["check"],
    )  # fmt: skip


def settle(
    plan: Sequence[PlanRow], table: Table, test: Table | None = None
) -> dict[int, str | None]:
    """What to do with which row of a table, after every line was checked.

    Args:
        plan: as read.
        table: the data that the plan was made for.
        test: the test data, whose rows are never edited.

    Returns:
        Row number -> the new label, or None for a row to be dropped.

    Raises:
        DataError: a line does not fit the data, names a test row, or asks for something impossible.
    """
    assert table.targets is not None
    labels = sorted(set(table.targets))
    chosen: dict[int, str | None] = {}
    for line in plan:
        _check(line, table, test)
        label = table.targets[line.row]
        if line.action == "keep":
            if line.label != label:
                raise DataError(
                    f"The plan has another label for {line.name} ({line.label!r} instead of {label!r}) "
                    "but the action keep.",
                    fix="write relabel as its action, or put the label back",
                )
            continue
        new = None if line.action == "drop" else _new_label(line, label, labels)
        if chosen.setdefault(line.row, new) != new:
            raise DataError(
                f"The plan says two things about {line.name}.", fix="leave one line for each row"
            )
    return chosen


def _check(line: PlanRow, table: Table, test: Table | None) -> None:
    fits = 0 <= line.row < len(table) and table.names[line.row] == line.name
    if (fits and _tested(table, line.row)) or (not fits and test and line.name in test.names):
        if line.action == "keep":
            return
        raise DataError(
            f"The plan would edit {line.name}, which is a test row; test rows are never edited.",
            fix="remove its line from the plan; mend the test data itself if it is wrong",
        )
    if not fits or fingerprint(table, line.row) != line.check:
        raise DataError(
            f"The plan does not fit the data: {line.name} is not the row that it was made for.",
            fix="make the plan anew with --fix plan.csv",
        )


def _new_label(line: PlanRow, label: str, labels: Sequence[str]) -> str:
    new = line.label if line.label != label else line.suggestion
    if not new:
        raise DataError(
            f"The plan would relabel {line.name} but has no suggestion.",
            fix="write the new label into the column suggestion",
        )
    if new not in labels:
        raise DataError(
            f"The plan would relabel {line.name} to {new!r}, which no row of the data has.",
            fix=nearest(new, list(labels)) or f"one of: {', '.join(labels[:20])}",
        )
    return new
