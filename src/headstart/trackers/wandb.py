"""Weights & Biases: a run in the project "headstart".

Offline unless there is a key: the run then lies in `wandb/`, and `wandb sync` sends it later. WANDB_MODE
and the other variables of wandb are respected; nothing ever asks for a login.

The package (MIT) weighs 64 MB with the 19 that it brings, and is imported in about three seconds; a run
starts a process of its own.
"""

from __future__ import annotations

import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from headstart.errors import HeadstartError, MissingExtra
from headstart.scores import Metric, Trials
from headstart.trackers import values
from headstart.types import Epoch

if TYPE_CHECKING:
    from headstart.trackers.watching import How

_PROJECT = "headstart"
_HOST = "api.wandb.ai"
_SECONDS = 30.0  # to reach the server


class WeightsAndBiases:
    """A run of wandb.

    Raises:
        MissingExtra: wandb is not installed.
        HeadstartError: WANDB_MODE asks for the server, and there is no key.
    """

    def __init__(self) -> None:
        # what breaks in wandb is reported to its makers unless this says no
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError:
            raise MissingExtra("wandb", "wandb") from None
        self._mode = mode()
        self._wandb: Any = wandb
        self._run: Any = None
        self._known: set[str] = set()

    def start(self, name: str, settings: Mapping[str, Any]) -> None:
        """Begin the run; the settings are its config."""
        # about this call, not about the machine: no console, no measuring, no code, no host name
        quiet = self._wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_disable_meta=True,
            init_timeout=_SECONDS,
        )
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=name,
            config=dict(settings),
            mode=self._mode,
            dir=os.environ.get("WANDB_DIR") or str(Path.cwd()),  # it would remember an earlier one
            settings=quiet,
        )

    def epoch(self, method: str, epoch: Epoch) -> None:
        """METHOD/NAME over METHOD/epoch."""
        count = f"{method}/epoch"
        if method not in self._known:
            self._known.add(method)
            self._run.define_metric(count, hidden=True)
            self._run.define_metric(f"{method}/*", step_metric=count)
        self._run.log({count: epoch.epoch, **values.of_epoch(method, epoch)})

    def end(self, metrics: Mapping[str, Metric], trials: Trials | None) -> None:
        """The summary: measured/NAME, tried/METHOD, and what was kept."""
        summary: dict[str, Any] = dict(values.of_end(metrics, trials))
        if trials:
            summary["kept"] = values.kept(trials)
        self._run.summary.update(summary)

    def close(self, how: How) -> None:
        """Finish the run; one that did not come to its end counts as failed."""
        run, self._run = self._run, None
        if run is not None:
            run.finish(exit_code={"done": 0, "failed": 1, "stopped": 130}[how])


def mode() -> str | None:
    """What `wandb.init` is told: "offline", or None where wandb itself is to decide.

    Raises:
        HeadstartError: WANDB_MODE asks for the server, and there is no key: wandb would ask for one.
    """
    chosen = os.environ.get("WANDB_MODE")
    if has_key():
        return None
    if chosen in ("online", "run", "shared"):
        raise HeadstartError(
            f"WANDB_MODE is {chosen!r}, and there is no key for {_host()}.",
            fix="wandb login, or set WANDB_API_KEY, or WANDB_MODE=offline",
        )
    return None if chosen else "offline"


def has_key() -> bool:
    """Whether wandb would find a key: in its variables, or in the file that `wandb login` writes."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    given = os.environ.get("NETRC")
    places = [Path(given)] if given else [Path.home() / ".netrc", Path.home() / "_netrc"]
    return any(_host() in _hosts(path) for path in places)


def _hosts(path: Path) -> list[str]:
    try:
        return list(netrc.netrc(str(path)).hosts)
    except (OSError, netrc.NetrcParseError):
        return []


def _host() -> str:
    return urlsplit(os.environ.get("WANDB_BASE_URL", "")).hostname or _HOST
