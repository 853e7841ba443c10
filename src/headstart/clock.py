"""What is left of a budget for the ladder, when the rest of the fit has had its share; see `headstart.climb`."""

from __future__ import annotations

import time

import numpy as np

from headstart.evaluation.familiarity import sample
from headstart.ladder import Ground
from headstart.train.costs import Cost

_SPARE = 0.97  # of the time left is planned with
_LOOKING = 0.1  # of the time left may go into the features of rows that new inputs are held against
_LOOKED = 1_000  # of such rows at least


class Clock:
    """Plans with what was measured last.

    Args:
        ground: says until when, and what follows the ladder.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._answer, self._again = 0.0, 0.0  # seconds for features: of a new input, of a row here
        self._looked = len(ground.codes)  # rows whose features by a tuned network are made

    def measured(self, cost: Cost) -> None:
        """Plan with these costs, and with as many rows to look at as their features take a tenth of the time left."""
        self._answer, self._again = cost.answer, cost.again
        ground = self._ground
        if ground.until is None:
            return
        left, each = _LOOKING * (ground.until - time.monotonic()), self._again * self._times
        if each * len(ground.codes) > left:
            self._looked = min(max(int(left / each), _LOOKED), len(ground.codes))

    def left(self) -> float:
        """Seconds for the ladder from now on; endless without a budget."""
        ground = self._ground
        if ground.until is None:
            return float("inf")
        here = self._looked * self._times * self._again
        rest = ground.after + ground.waiting * self._answer + here
        return _SPARE * (ground.until - time.monotonic() - rest)

    def looked_at(self, part: np.ndarray) -> np.ndarray:
        """(m,) rows that new inputs are held against, and held-out ones: all, or what the time allows.

        Args:
            part: (h,) held-out rows.
        """
        codes = self._ground.codes
        if self._looked >= len(codes):
            return np.arange(len(codes))
        unseen = part[sample(codes[part], self._looked // 3)]
        return np.union1d(unseen, sample(codes, self._looked - len(unseen)))

    @property
    def _times(self) -> int:
        """How often their features are made: by the network that ships, and by the one that was judged."""
        return 2 if self._ground.judged else 1
