"""Sentences that count: 1 row is, 1,200 rows are."""

from __future__ import annotations

from headstart.types import Epoch


def counted(n: int, one: str, many: str) -> str:
    """A number and what it counts, in the form that suits it.

    Args:
        n: the number.
        one: what follows 1, e.g. "row is".
        many: what follows any other number, e.g. "rows are".
    """
    return f"{n:,} {one if n == 1 else many}"


def share(n: int, total: int, noun: str, one: str, many: str) -> str:
    """A number of a total, e.g. "1 of 90 rows is".

    Args:
        n: the number.
        total: of how many.
        noun: what they are, in the singular, e.g. "row".
        one: the verb for 1, e.g. "is".
        many: the verb for any other number, e.g. "are".
    """
    return f"{n:,} of {counted(total, noun, noun + 's')} {one if n == 1 else many}"


def duration(seconds: float) -> str:
    """Seconds for people: 45 s, 4 min, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def epoch_line(method: str, epoch: Epoch, of: int, left: float) -> str:
    """An epoch on one line, e.g. "finetune  epoch 3 of 12  loss 0.31  score 86.1 ★  4 min left".

    Args:
        method: that trains.
        epoch: what it came to: the loss is that on held-out rows where there are any, the score is in
            percent, and ★ marks what is better than all before.
        of: epochs that are planned.
        left: seconds that are expected; 0: the end.
    """
    loss = epoch.train_loss if epoch.held_loss is None else epoch.held_loss
    parts = [method, f"epoch {epoch.epoch + 1} of {of}", f"loss {loss:.3g}"]
    if epoch.score is not None:
        parts.append(f"score {100 * epoch.score:.1f}")
    if epoch.best:
        parts[-1] += " ★"
    if left > 0:
        parts.append(f"{duration(left)} left")
    return "  ".join(parts)
