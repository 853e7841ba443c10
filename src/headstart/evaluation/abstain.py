"""When to withhold an answer: a threshold on the calibrated probability, for a precision or for a cost."""

from __future__ import annotations

import numpy as np

from headstart.errors import ConfigError, DataError

CONFIDENCE = 0.95
"""The stated precision is reached with this probability over the draw of the held-out rows."""

GRID = (
    *(i / 10000 for i in range(9999, 9990, -1)),
    *(i / 1000 for i in range(999, 990, -1)),
    *(i / 100 for i in range(99, -1, -1)),
)
"""The thresholds that are tried, strict ones first. Fixed beforehand: that is what the test rests on."""


def for_precision(
    top: np.ndarray, right: np.ndarray, precision: float, confidence: float = CONFIDENCE
) -> float:
    """The lowest threshold above which the share of right answers is at least `precision`.

    Learn then Test (Angelopoulos et al. 2021) with a fixed sequence of thresholds: from strict to lenient,
    the hypothesis "fewer than `precision` of the answers above this are right" is tested by the exact
    binomial tail (Clopper and Pearson 1934), and the first that cannot be refuted ends the sequence. It
    begins where so many rows are answered that a test succeeds although half of the permitted mistakes
    are made; with fewer rows than that in all, where it succeeds if none is made.

    Args:
        top: (n,) calibrated probabilities of the answers to rows that the model had not seen.
        right: (n,) bool, which of them are right.
        precision: within 0..1, ends excluded.
        confidence: of the statement.

    Raises:
        ConfigError: the precision is not between 0 and 1.
        DataError: the rows do not show this precision at any threshold.
    """
    if not 0 < precision < 1:
        raise ConfigError(
            f"at_precision is {precision:g}.", fix="take a share between 0 and 1, e.g. 0.95"
        )
    top, right = np.asarray(top), np.asarray(right)
    error = 1 - confidence
    rows = _enough(precision, error, 0.5)
    if len(top) < rows:
        rows = _enough(precision, error, 0.0)
    found = _walk(top, right, precision, error, rows)
    if found is None:
        raise _not_shown(right, precision, error)
    return found


def for_cost(cost: float) -> float:
    """The threshold that costs least (Chow 1970): answer if the expected cost is below that of not answering.

    Args:
        cost: of a mistake, where withholding an answer costs 1 and a right answer nothing. Up to 1, every
            answer is worth giving.

    Raises:
        ConfigError: the cost is not above 0.
    """
    if not 0 < cost < float("inf"):
        raise ConfigError(f"at_cost is {cost:g}.", fix="take a number above 0, e.g. 10")
    return max(0.0, 1 - 1 / cost)


def at_most(mistakes: int, n: int, share: float) -> float:
    """P(no more than so many mistakes in n answers) where a share of them is wrong; binomial, exact."""
    if mistakes >= n:
        return 1.0
    i = np.arange(mistakes + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])  # log i!
    terms = logs[n] - logs[i] - logs[n - i] + i * np.log(share) + (n - i) * np.log1p(-share)
    return min(1.0, float(np.exp(terms).sum()))


def _walk(
    top: np.ndarray, right: np.ndarray, precision: float, error: float, rows: int
) -> float | None:
    """The last threshold of the sequence whose test succeeds; None if none does."""
    last = None
    for threshold in GRID:
        answered = top >= threshold
        n = int(answered.sum())
        if n < rows:
            continue
        if at_most(n - int(right[answered].sum()), n, 1 - precision) > error:
            break
        last = threshold
    return last


def _enough(precision: float, error: float, part: float) -> int:
    """How many answers refute "less than `precision`" although `part` of the permitted mistakes are made."""
    n = 1
    while at_most(int(part * (1 - precision) * n), n, 1 - precision) > error:
        n = max(n + 1, int(n * 1.02))
    return n


def _not_shown(right: np.ndarray, precision: float, error: float) -> DataError:
    n, least = len(right), _enough(precision, error, 0.0)
    why = (
        f"{n:,} rows are too few for that, at least {least:,} are needed"
        if n < least
        else f"of all {n:,}, {right.mean():.1%} are right, and the most certain are not right enough"
    )
    return DataError(
        f"The held-out rows do not show a precision of {precision:g} at any threshold ({why}).",
        fix="ask for a lower precision, or add labelled rows",
    )
