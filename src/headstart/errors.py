"""The errors that callers see. Each says what is wrong, where, and how to mend it."""

from __future__ import annotations


class HeadstartError(Exception):
    """A mistake the caller can mend: shown as two lines, exit status 2, no traceback.

    Args:
        message: what is wrong and where (file, row, column), with what was found.
        fix: what to do about it, as an instruction.
    """

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  fix: {self.fix}"


class DataError(HeadstartError):
    """The data cannot be used: no such file, no such column, nothing left to learn from."""


class BackboneError(HeadstartError):
    """A pretrained model is unknown, absent, not what it claims to be, or cannot be turned into a graph."""


class BundleError(HeadstartError):
    """A bundle is absent, damaged, unsafe, or newer than this version."""


class ConfigError(HeadstartError):
    """A setting is unknown or out of range; all such errors of one configuration are reported at once."""


class MissingExtra(HeadstartError):
    """Something optional is not installed; the fix names the extra that brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed.", fix=f"pip install 'headstart[{extra}]'")


class UnreadableInput(Exception):
    """One input cannot be used. Never ends a run: the row is skipped and listed with this reason.

    Args:
        reason: a short phrase for the list of skipped inputs, e.g. "empty file".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
