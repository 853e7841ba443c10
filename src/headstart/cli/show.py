"""What all commands share: errors as two lines, JSON on standard output, progress on standard error."""

from __future__ import annotations

import errno
import functools
import json
import os
import sys
import time
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headstart.errors import HeadstartError
from headstart.wording import duration, epoch_line

if TYPE_CHECKING:
    from headstart.stages import Passed

_QUIET_SECONDS = 1.0  # shorter work shows no progress
_MISTAKE, _SKIPPED = 2, 3


def say(text: str = "") -> None:
    """A line on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def result(text: str) -> None:
    """A line on standard output; what its encoding lacks (ASCII, Latin-1) is written as an escape."""
    try:
        sys.stdout.write(text + "\n")
    except UnicodeEncodeError:
        name = sys.stdout.encoding or "ascii"
        sys.stdout.write(text.encode(name, "backslashreplace").decode(name) + "\n")


def result_json(value: Any) -> None:
    """The one machine-readable object on standard output."""
    text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # JSON has escapes of its own
        text = json.dumps(value, indent=1, allow_nan=False)
    sys.stdout.write(text + "\n")


def finish(skipped: int, strict: bool) -> None:
    """Exit with status 3 where inputs were skipped and the caller is strict about it."""
    import typer

    if strict and skipped:
        say(f"{skipped} inputs were skipped (--strict: exit status 3)")
        raise typer.Exit(_SKIPPED)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command: a caller's mistake becomes two lines (or JSON) and exit status 2."""

    @functools.wraps(function)
    def run(*args: Any, **keywords: Any) -> None:
        import typer

        try:
            function(*args, **keywords)
        except HeadstartError as error:
            if keywords.get("json"):
                result_json({"error": {"message": error.message, "fix": error.fix}})
            say(f"error: {error}")
            raise typer.Exit(_MISTAKE) from None
        except BrokenPipeError:
            # the reader of our output left (e.g. head): not an error of anybody
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            if error.filename is None or error.errno is None:  # not about a file: a bug of ours
                raise
            message = f"{error.filename}: {error.strerror}."
            if keywords.get("json"):
                result_json({"error": {"message": message, "fix": _disk_fix(error.errno)}})
            say(f"error: {message}\n  fix: {_disk_fix(error.errno)}")
            raise typer.Exit(_MISTAKE) from None

    return run


def _disk_fix(code: int) -> str:
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "make room there, or write to another disk; what was there before is unchanged"
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "choose a folder that you may write to"
    if code in (errno.ENOENT, errno.ENOTDIR):
        return "check the path; its folder has to exist"
    return "check the disk and the path; what was there before is unchanged"


class Progress:
    """Progress on standard error: one live line on a terminal, a line every ten percent elsewhere.

    Call it with (stage, done, total); total 0 announces a stage. Silent for the first second.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._started = time.monotonic()
        self._live = sys.stderr.isatty() and not quiet
        self._stage, self._stage_started, self._tenth = "", self._started, -1
        self._shown = 0.0
        self._written = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._wipe()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show where the work is."""
        if self.quiet:
            return
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._stage_started, self._tenth = stage, now, -1
            if " " in stage:  # a message, not a stage: always shown
                self._wipe()
                say(stage)
                return
        if now - self._started < _QUIET_SECONDS:
            return
        if self._live:
            if now - self._shown > 0.1 or done == total:
                self._line(self._text(stage, done, total, now))
                self._shown = now
        elif total and (tenth := 10 * done // total) > self._tenth:
            self._tenth = tenth
            if now - self._stage_started > _QUIET_SECONDS:
                say(self._text(stage, done, total, now))

    def epoch(self, passed: Passed) -> None:
        """Show an epoch of a training: in the live line on a terminal, as a line of its own elsewhere."""
        if self.quiet:
            return
        text = epoch_line(passed.method, passed.epoch, passed.of, passed.left)
        if self._live:
            self._line(text)
            self._shown = time.monotonic()
        else:
            say(text)

    def _text(self, stage: str, done: int, total: int, now: float) -> str:
        if not total:
            return f"{stage} ..."
        spent = now - self._stage_started
        left = f", {duration(spent * (total - done) / done)} left" if 0 < done < total else ""
        return f"{stage}: {100 * done // total:3d} % ({done:,} of {total:,}{left})"

    def _line(self, text: str) -> None:
        padded = text.ljust(self._written)
        sys.stderr.write(f"\r{padded}")
        sys.stderr.flush()
        self._written = len(text)

    def _wipe(self) -> None:
        if self._live and self._written:
            sys.stderr.write("\r" + " " * self._written + "\r")
            sys.stderr.flush()
            self._written = 0


def size(count: float) -> str:
    """Bytes for people: 13.5 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
