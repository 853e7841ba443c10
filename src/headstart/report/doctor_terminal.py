"""What `headstart doctor` prints: one line a finding, the most serious first, and what to type next."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from headstart.data.cleaned import Cleaned
from headstart.report.diagnosis import Checkup
from headstart.report.doctor_phrases import PHRASES
from headstart.report.words import LANGUAGES, Words, clip, columns, visible
from headstart.types import Finding

_SHOWN = 3  # rows named below a finding
# a break may come at a space and around a wide character, but not before its punctuation
_WIDE = r"\u2e80-\u9fff\uac00-\ud7af\uff00-\uffef"
_PIECES = re.compile(rf" |[{_WIDE}][，。、；：！？）]*|[^ {_WIDE}]+[，。、；：！？）]*")
_MARKS = {"error": ("✗", "31"), "warning": ("!", "33"), "info": ("·", "36")}  # ANSI colours
_INDENT = 2
# what a number of rows says more shortly than the message does
_PAIRED = {"wrong-labels": "becomes", "leak": "copies", "near-leak": "copies",
           "duplicates": "copies", "near-duplicates": "copies"}  # fmt: skip


class _Say:
    """The doctor's sentences in one language, and the words that all reports share."""

    def __init__(self, lang: str, colour: bool) -> None:
        self.words = Words(lang)
        self.lang = self.words.lang
        self.colour = colour

    def __call__(self, key: str, **values: object) -> str:
        text = PHRASES[key][LANGUAGES.index(self.lang)]
        if "|" in text:
            one, many = text.split("|")
            text = one if values["n"] == 1 else many
        return text.format(**values)

    def painted(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text


def summary(
    checkup: Checkup,
    lang: str = "en",
    width: int = 80,
    *,
    colour: bool = False,
    data: str = "",
    plan: str = "",
) -> str:
    """What the doctor found, for a terminal.

    Args:
        checkup: what was found.
        lang: "en" or "zh".
        width: columns of the terminal; Chinese characters take two.
        colour: whether the terminal shows colours.
        data: what the user typed as DATA, for the commands at the end.
        plan: where the plan was written; empty where it was not, and how to write it is told.

    Raises:
        ConfigError: there is no such language.
    """
    say = _Say(lang, colour)
    lines = [_head(checkup, say, width), ""]
    numbers = [f"{len(finding.rows):,}" if finding.rows else "" for finding in checkup.findings]
    broad = max([3, *map(len, numbers)])
    labels = {line.row: line.label for line in checkup.plan}
    for finding, number in zip(checkup.findings, numbers):
        lines += _finding(finding, number, broad, labels, say, width)
    if not checkup.findings:
        lines.append(" " * _INDENT + say("healthy"))
    lines += _next(checkup, say, data or checkup.source, plan, width)
    return "\n".join(line.replace("\u00a0", " ").rstrip() for line in lines)


def applied(made: Cleaned, lang: str = "en") -> str:
    """One sentence on the cleaned copy, and one on the data.

    Raises:
        ConfigError: there is no such language.
    """
    say = _Say(lang, False)
    told = say(
        "applied", rows=made.rows, path=made.path, dropped=made.dropped, relabelled=made.relabelled
    )
    return visible(f"{told}\n{say('untouched')}")


def written(path: str, lang: str = "en") -> str:
    """One sentence on the plan's file."""
    return visible(_Say(lang, False)("plan.written", path=path))


def _head(checkup: Checkup, say: _Say, width: int) -> str:
    parts = [say(f"head.{checkup.modality}", n=checkup.rows)]
    parts.append(say("head.classes", n=len(checkup.labels)))
    if checkup.tested:
        parts.append(say("head.tested", n=checkup.tested))
    looked = say("head.backbone", name=checkup.backbone) if checkup.backbone else say("head.bytes")
    parts += [looked, say("head.seconds", seconds=sum(checkup.seconds.values()))]
    name = clip(Path(checkup.source).name or checkup.source, 40)
    told = _fit(" · ".join(parts), max(20, width - columns(name) - 2))
    return f"{say.painted(name, '1')}  {told}"


def _finding(
    finding: Finding,
    number: str,
    broad: int,
    labels: dict[int, str],
    say: _Say,
    width: int,
) -> list[str]:
    """A line with mark, number and what it counts; below it a few of the rows."""
    mark, code = _MARKS[finding.severity]
    start = " " * _INDENT + say.painted(mark, code) + " " + number.rjust(broad) + "  "
    inner = _INDENT + 2 + broad + 2
    key = next(
        (
            one
            for one in (f"kind.{finding.kind}", f"kind.{finding.kind}.image")
            if one in PHRASES and finding.rows
        ),
        "",
    )
    text = say(key, n=len(finding.rows)) if key else say.words.said(finding.message)
    if finding.confidence is not None and finding.confidence < 1:
        text = say("sure", text=text, value=say.words.percent(finding.confidence, 0))
    lines = [
        start + line if not i else " " * inner + line
        for i, line in enumerate(_wrapped(text, width - inner))
    ]
    return lines + [
        " " * (inner + 2) + say.painted(_fit(row, width - inner - 2), "2")
        for row in _examples(finding, labels, say)
    ]


def _examples(finding: Finding, labels: dict[int, str], say: _Say) -> list[str]:
    """A few rows, with what they repeat or what they should be called."""
    form = _PAIRED.get(finding.kind)
    shown = []
    for i, name in enumerate(finding.rows):
        if form and not (finding.suggestions and finding.suggestions[i]):
            continue
        if form:
            other = finding.suggestions[i]
            label = labels.get(finding.numbers[i], "") if finding.numbers else ""
            shown.append(
                say(form, name=clip(name, 40), label=clip(label, 24), other=clip(other, 40))
            )
        else:
            shown.append(clip(name, 60))
        if len(shown) == _SHOWN:
            break
    left = len(finding.rows) - len(shown)
    if shown and left > 0 and not form:
        shown[-1] += say.words("sep") + say("more", n=left)
    return shown


def _next(checkup: Checkup, say: _Say, data: str, plan: str, width: int) -> list[str]:
    if not checkup.plan:
        return []
    start = "$ headstart doctor " + shlex.quote(visible(data))
    written = shlex.quote(visible(plan)) if plan else "plan.csv"
    steps = [
        ("plan.write", f"{start} --fix {written}") if not plan else ("plan.look", ""),
        ("plan.apply", f"{start} --apply {written} --out cleaned.csv"),
    ]
    lines = ["", *_wrapped(say("plan", n=len(checkup.plan), **checkup.actions), width)]
    for sentence, typed in steps:
        lines += [" " * _INDENT + line for line in _wrapped(say(sentence), width - _INDENT)]
        lines += [" " * 2 * _INDENT + typed] if typed else []
    return [*lines, say("untouched")]


def _fit(text: str, width: int) -> str:
    """The text cut to so many columns."""
    text = visible(" ".join(text.split()))
    if columns(text) <= width:
        return text
    while text and columns(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most so many columns, broken at spaces and between Chinese characters."""
    lines = [""]
    for piece in _PIECES.findall(visible(" ".join(text.split()))):
        if columns(lines[-1] + piece) <= width or not lines[-1]:
            lines[-1] += piece
        elif piece != " ":
            lines.append(piece)
    return [_fit(line, max(width, 20)) for line in lines]
