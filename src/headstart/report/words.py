"""The report's language: sentences, numbers, dates and times as a reader of it expects them."""

from __future__ import annotations

import datetime as dt
import math
import re
import unicodedata
from typing import Any

from headstart.errors import ConfigError
from headstart.report.overheard import chinese
from headstart.report.phrases import PHRASES
from headstart.scores import Metric

LANGUAGES = ("en", "zh")
LOSSES = frozenset({"log_loss"})
"""Metrics that are no shares, and lower is better."""

_NBSP = "\u00a0"
# controls, and the marks that turn the direction of the text around them
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def visible(text: str) -> str:
    """Control characters and marks that reverse text as visible escapes; tabs and newlines stay."""
    return _UNSEEN.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def clip(text: str, limit: int = 60) -> str:
    """One line of at most so many characters."""
    text = " ".join(visible(text).split()) or ("␣" if text else "")  # blank, but there
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def columns(text: str) -> int:
    """How many columns a text takes in a terminal: Chinese characters take two."""
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def points(value: float, *, sign: bool = False, digits: int = 1) -> str:
    """A share as percentage points: "2.1" or "+3"."""
    if not math.isfinite(value):
        return "–"
    text = f"{100 * value:+.{digits}f}" if sign else f"{100 * value:.{digits}f}"
    return text if float(text) else text.lstrip("+-")


class Words:
    """Sentences and numbers in one language.

    Args:
        lang: "en" or "zh".

    Raises:
        ConfigError: there is no such language.
    """

    def __init__(self, lang: str = "en") -> None:
        if lang not in LANGUAGES:
            raise ConfigError(
                f"There is no report in the language {lang!r}.",
                fix=f"one of: {', '.join(LANGUAGES)}",
            )
        self.lang = lang
        self._column = LANGUAGES.index(lang)

    def __call__(self, key: str, **values: Any) -> str:
        """The sentence of a key, with its values filled in."""
        text = PHRASES[key][self._column]
        if "|" in text:
            one, many = text.split("|")
            text = one if values["n"] == 1 else many
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        """Whether there is such a sentence."""
        return key in PHRASES

    def name(self, group: str, name: str) -> str:
        """The word for a name that another room gave (a metric, a stage); the name itself if unknown."""
        key = f"{group}.{name}"
        return self(key) if key in PHRASES else name

    def said(self, sentence: str) -> str:
        """A sentence of another room, which is English; translated where it is known."""
        return chinese(sentence) if self.lang == "zh" else sentence

    def capital(self, sentence: str) -> str:
        """The sentence with a capital first, where its language has them."""
        return sentence[:1].upper() + sentence[1:]

    def inner(self, name: str) -> str:
        """A name inside an English sentence starts small, if it is a common word."""
        small = self.lang == "en" and name[1:2].islower()
        return name[:1].lower() + name[1:] if small else name

    def foreign(self, sentence: str) -> bool:
        """Whether `said` leaves the sentence in English inside a page of another language."""
        return self.lang != "en" and self.said(sentence) == sentence and sentence.isascii()

    def things(self, modality: str, n: int) -> str:
        """ "340 pictures"."""
        return self(f"things.{modality}", n=n)

    def measured(self, modality: str, split: str, n: int) -> str:
        """ "340 held-out pictures"."""
        thing = self(f"one.{modality}" if n == 1 and self.lang == "en" else f"many.{modality}")
        unit = self(f"unit.{modality}")
        return self("measured_on", n=n, split=self.name("split", split), things=thing, unit=unit)

    def count(self, n: int) -> str:
        """ "2,527"."""
        return f"{n:,}"

    def percent(self, value: float, digits: int = 1) -> str:
        """A share as "82.1 %"; never rounded up to 100 or down to 0."""
        if not math.isfinite(value):
            return "–"
        text = f"{100 * value:.{digits}f}"
        if (0 < value < 1) and float(text) in (0.0, 100.0):
            step = 10.0**-digits
            text = f"{step if value < 0.5 else 100 - step:.{digits}f}"
        return f"{text}%" if self.lang == "zh" else f"{text}{_NBSP}%"

    def decimal(self, value: float, digits: int = 2) -> str:
        """ "0.53"; an en dash for what is not a number."""
        if not math.isfinite(value):
            return "–"
        if value and abs(value) < 10**-digits:
            return f"{value:.2g}"
        return f"{value:,.{digits}f}"

    def score(self, name: str, value: float) -> str:
        """A metric's value: a percentage, or a decimal for a loss."""
        return self.decimal(value) if name in LOSSES else self.percent(value)

    def interval(self, name: str, metric: Metric) -> str:
        """ "78.0 % to 86.0 %"."""
        return self(
            "card.interval", low=self.score(name, metric.low), high=self.score(name, metric.high)
        )

    def seconds(self, seconds: float) -> str:
        """ "0.42 s", "14 s", "2 min 5 s", "10 min"."""
        second, minute = ("秒", "分") if self.lang == "zh" else ("s", "min")
        if seconds < 9.95:
            digits = 2 if seconds < 0.995 else 1
            return f"{seconds:.{digits}f}{_NBSP}{second}"
        whole = round(seconds)
        if whole < 120:
            return f"{whole}{_NBSP}{second}"
        minutes = f"{whole // 60:,}{_NBSP}{minute}"
        return f"{minutes} {whole % 60}{_NBSP}{second}" if whole % 60 else minutes

    def date(self, text: str) -> str:
        """An ISO 8601 time for people; the text itself if it is none."""
        try:
            time = dt.datetime.fromisoformat(text)
        except ValueError:
            return text
        zone = " UTC" if time.utcoffset() == dt.timedelta(0) else ""
        if self.lang == "zh":
            return f"{time.year} 年 {time.month} 月 {time.day} 日 {time:%H:%M}{zone}"
        return f"{time:%Y-%m-%d %H:%M}{zone}"
