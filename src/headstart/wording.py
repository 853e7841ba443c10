"""Sentences that count: 1 row is, 1,200 rows are."""

from __future__ import annotations


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
