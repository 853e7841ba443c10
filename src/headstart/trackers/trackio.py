"""Trackio: a run in the project "headstart", in its local database, which `trackio show` shows.

The database lies where trackio keeps it: in TRACKIO_DIR, or in the Hugging Face cache. TRACKIO_SPACE_ID
and TRACKIO_SERVER_URL are respected.

The package (MIT) weighs 33 MB with the 14 that it brings, and is imported in about three seconds. Its
release 0.43 needs Pillow below 13.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headstart.errors import MissingExtra
from headstart.scores import Metric, Trials
from headstart.trackers import values
from headstart.types import Epoch

if TYPE_CHECKING:
    from headstart.trackers.watching import How

_PROJECT = "headstart"


class Trackio:
    """A run of trackio.

    Raises:
        MissingExtra: trackio is not installed.
    """

    def __init__(self) -> None:
        try:
            import trackio
        except ImportError:
            raise MissingExtra("trackio", "trackio") from None
        self._trackio: Any = trackio
        self._run: Any = None

    def start(self, name: str, settings: Mapping[str, Any]) -> None:
        """Begin the run; the settings are its config."""
        self._run = self._trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", _PROJECT),
            name=name,
            config=dict(settings),
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def epoch(self, method: str, epoch: Epoch) -> None:
        """METHOD/NAME, the epoch as their step."""
        self._trackio.log(values.of_epoch(method, epoch), step=epoch.epoch)

    def end(self, metrics: Mapping[str, Metric], trials: Trials | None) -> None:
        """measured/NAME, tried/METHOD, and what was kept."""
        made: dict[str, Any] = dict(values.of_end(metrics, trials))
        if trials:
            made["kept"] = values.kept(trials)
        self._trackio.log(made)

    def close(self, how: How) -> None:
        """Write what is left; how it ended is the last entry."""
        run, self._run = self._run, None
        if run is not None:
            try:
                self._trackio.log({"ended": how})
            finally:
                self._trackio.finish()
