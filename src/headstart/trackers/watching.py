"""A progress that also tells trackers: what `fit` hands on when it is asked to track."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol, runtime_checkable

from headstart.model import Progress
from headstart.scores import Metric, Trials
from headstart.stages import Passed
from headstart.trackers import TRACKERS
from headstart.types import Epoch

How = Literal["done", "failed", "stopped"]


@runtime_checkable
class Tracker(Protocol):
    """Shows one fit in a tool of its own. May raise anything: it is then left out of the rest."""

    def start(self, name: str, settings: Mapping[str, Any]) -> None:
        """A fit begins.

        Args:
            name: of the run, for people; any text.
            settings: name -> plain value, without paths (see `headstart.trackers.values.settings_of`).
        """
        ...

    def epoch(self, method: str, epoch: Epoch) -> None:
        """A method has finished an epoch; methods come one after the other."""
        ...

    def end(self, metrics: Mapping[str, Metric], trials: Trials | None) -> None:
        """What came out; not called where the fit did not come to its end."""
        ...

    def close(self, how: How) -> None:
        """The last call, in every case: the fit is done, has failed, or was stopped with Ctrl-C."""
        ...


class Watched:
    """A progress, and trackers that are told with it.

    A tracker that fails is said once and left out; the fit goes on. What a tracker's library prints goes
    to standard error, and its warnings go nowhere: standard output belongs to the caller.

    Args:
        progress: told first.
        trackers: name -> tracker.
    """

    def __init__(self, progress: Progress, trackers: Mapping[str, Tracker]) -> None:
        self._progress, self._trackers = progress, dict(trackers)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Where the work is."""
        self._progress(stage, done, total)

    def start(self, name: str, settings: Mapping[str, Any]) -> None:
        """Tell the trackers that a fit begins."""
        self._each(lambda tracker: tracker.start(name, settings))

    def epoch(self, passed: Passed) -> None:
        """Tell of an epoch."""
        told = getattr(self._progress, "epoch", None)
        if told is not None:
            told(passed)
        self._each(lambda tracker: tracker.epoch(passed.method, passed.epoch))

    def end(self, metrics: Mapping[str, Metric], trials: Trials | None) -> None:
        """Tell the trackers what came out."""
        self._each(lambda tracker: tracker.end(metrics, trials))

    def close(self, how: How) -> None:
        """Close the trackers; they are told of nothing after that."""
        self._each(lambda tracker: tracker.close(how))
        self._trackers.clear()

    def _each(self, tell: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            self._one(name, tracker, tell)

    def _one(self, name: str, tracker: Tracker, tell: Callable[[Tracker], None]) -> None:
        try:
            with _quietly():
                tell(tracker)
        except Exception as error:  # noqa: BLE001  a tracker's library may raise anything
            del self._trackers[name]
            why = " ".join(str(error).split())[:200] or type(error).__name__
            self(f"The tracker {name} failed and is left out from here on: {why}", 0, 0)
            with contextlib.suppress(Exception), _quietly():
                tracker.close("failed")


@contextmanager
def watching(
    progress: Progress, names: str | Sequence[str], name: str, settings: Mapping[str, Any]
) -> Iterator[Watched]:
    """Let trackers watch a fit; they are closed when the block ends, however it ends.

        with watching(progress, config.track, title, settings_of(config)) as told:
            model = Fitting(config, Stages(told), title).run(data, test)
            told.end(model.evaluation.metrics, model.evaluation.trials)

    Args:
        progress: the caller's; it is told all that it would be told without trackers.
        names: of the table of trackers, as a sequence or with commas between them; none is right too.
        name: of the run; empty: "fit".
        settings: what the fit was asked for (see `headstart.trackers.values.settings_of`).

    Yields:
        The progress to use instead.

    Raises:
        HeadstartError: a name is unknown, or a package is not installed: before anything has begun.
    """
    with _quietly():
        watched = Watched(progress, {one: TRACKERS.get(one)() for one in split_names(names)})
    how: How = "failed"
    try:
        watched.start(name or "fit", settings)
        yield watched
        how = "done"
    except KeyboardInterrupt:
        how = "stopped"
        raise
    finally:
        watched.close(how)


def split_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names of trackers, each once: "tensorboard,wandb" is two."""
    several = names.split(",") if isinstance(names, str) else names
    return tuple(dict.fromkeys(one.strip() for one in several if one.strip()))


@contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        yield
