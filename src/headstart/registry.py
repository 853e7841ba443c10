"""Name -> implementation, resolved on first use, with entry points and "did you mean"."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from headstart.errors import HeadstartError


class Registry:
    """A table of named variants.

    Our own rows and those of other packages come in the same way: as "module:attribute" strings,
    imported when first asked for. Other packages declare theirs as entry points of `group`.

    Args:
        kind: what the rows are, for messages, e.g. "backbone".
        group: entry point group, e.g. "headstart.backbones".
        rows: name -> "module:attribute".
    """

    def __init__(self, kind: str, group: str, rows: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._rows = dict(rows)

    def targets(self) -> dict[str, str]:
        """name -> "module:attribute" of our rows and of the entry points; ours win a clash."""
        from importlib.metadata import entry_points  # slow to load, and most names are our own

        found = {point.name: point.value for point in entry_points(group=self.group)}
        return {**found, **self._rows}

    def names(self) -> list[str]:
        """All known names, sorted."""
        return sorted(self.targets())

    def get(self, name: str) -> Any:
        """The implementation; imports its module.

        Raises:
            HeadstartError: the name is unknown; the message lists the names there are.
        """
        target = self._rows.get(name) or self.targets().get(name)
        if target is None:
            raise self.unknown(name)
        module, _, attribute = target.partition(":")
        return getattr(importlib.import_module(module), attribute)

    def unknown(self, name: str) -> HeadstartError:
        """The error for a name that is not in the table."""
        names = self.names()
        return HeadstartError(
            f"There is no {self.kind} called {name!r}.",
            fix=suggestion(name, names) or f"one of: {', '.join(names)}",
        )


def suggestion(name: str, names: list[str]) -> str:
    """ "did you mean ...?" for a near miss, else an empty string."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}? There are: {', '.join(names)}" if close else ""
