"""Progress in a notebook: one display that is updated in place, in plain HTML, without widgets."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

from markupsafe import Markup

from headstart.report.words import clip
from headstart.wording import duration, epoch_line

_QUIET_SECONDS = 1.0  # shorter work shows no bar, as on a terminal
_EVERY = (
    0.2  # seconds between two updates, at least: each is a message that a saved notebook may keep
)
_LINES = 5  # messages that stay in sight
_BOX = "font-family:system-ui,sans-serif;line-height:1.5;max-width:48em"
_QUIET = "opacity:.75;font-size:.9em"


class NotebookProgress:
    """Shows stage, bar, messages and epochs in one output of a cell.

    Call it with (stage, done, total), as every progress; `epoch` shows an epoch of a training.

    Args:
        show: gets HTML and returns a handle whose `update` replaces it; IPython's by default.
    """

    def __init__(self, show: Any = None) -> None:
        self._show = show or _show
        self._handle: Any = None
        self._started = time.monotonic()
        self._stage, self._stage_started, self._shown = "", self._started, 0.0
        self._done, self._total = 0, 0
        self._epoch: Any = None
        self._messages: list[str] = []
        self._over = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show where the work is."""
        now = time.monotonic()
        if " " in stage:  # a message, not a stage: always shown
            self._messages = [*self._messages, stage][-_LINES:]
            self._update(now)
            return
        changed = stage != self._stage
        if changed:
            self._stage, self._stage_started, self._epoch = stage, now, None
        self._done, self._total = done, total
        if now - self._started >= _QUIET_SECONDS and (
            changed or now - self._shown >= _EVERY or (total and done == total)
        ):
            self._update(now)

    def epoch(self, passed: Any) -> None:
        """Show an epoch; the bar is that of the training.

        Args:
            passed: a `headstart.stages.Passed`, which stands above this room.
        """
        self._epoch = passed
        self._update(time.monotonic())

    def close(self) -> None:
        """The work is over: the messages stay, and how long it took takes the place of the bar."""
        now = time.monotonic()
        self._over = f"done in {duration(now - self._started)}"
        if self._handle is not None:
            self._update(now)

    def _update(self, now: float) -> None:
        self._shown = now
        html = self._html(now)
        if self._handle is None:
            self._handle = self._show(html)
        else:
            self._handle.update(_Html(html))

    def _html(self, now: float) -> str:
        lines = [
            Markup('<div style="{}">{}</div>').format(_QUIET, clip(one, 300))
            for one in self._messages
        ]
        if self._over:
            lines.append(Markup("<div>{}</div>").format(self._over))
        elif self._epoch is not None:
            passed = self._epoch
            share = (passed.epoch.epoch + 1) / max(passed.of, 1)
            lines.append(
                _bar(share, epoch_line(passed.method, passed.epoch, passed.of, passed.left))
            )
        elif self._total:
            text = f"{self._stage} {self._done:,} of {self._total:,}"
            if 0 < self._done < self._total:
                spent = now - self._stage_started
                text += f", {duration(spent * (self._total - self._done) / self._done)} left"
            lines.append(_bar(self._done / self._total, text))
        elif self._stage:
            lines.append(Markup("<div>{} …</div>").format(clip(self._stage)))
        return str(Markup('<div style="{}">{}</div>').format(_BOX, Markup("").join(lines)))


def for_here() -> NotebookProgress | None:
    """The progress to use where the caller gave none: one for a notebook, or None anywhere else.

    IPython is not imported: where it is not loaded, this is no notebook. A terminal's IPython is none
    either, and gets None.
    """
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return None
    shell = ipython.get_ipython()
    kernel = shell is not None and getattr(shell, "kernel", None) is not None
    return NotebookProgress() if kernel else None


def _bar(share: float, text: str) -> Markup:
    percent = 100 * min(max(share, 0.0), 1.0)
    return Markup(
        '<div style="background:rgba(128,128,128,.2);height:.5em;border-radius:.25em;margin:.3em 0">'
        '<div style="background:rgb(70,140,210);height:.5em;border-radius:.25em;width:{:.0f}%"></div></div>'
        '<div style="font-variant-numeric:tabular-nums;white-space:pre-wrap">{}</div>'
    ).format(percent, text)


class _Html:
    """HTML for a display, without an import of IPython."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "progress of headstart"


def _show(html: str) -> Any:
    module = importlib.import_module("IPython.display")  # loaded already, and no dependency
    return module.display(_Html(html), display_id=True)
