"""Cells of CSV files that people open in a spreadsheet, which runs some of them as formulas."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe(cell: str) -> str:
    """A cell that a spreadsheet would run as a formula gets a leading apostrophe (OWASP, CSV injection).

    So does one that looks as if it had got one, so that `plain` gives every cell back.
    """
    return f"'{cell}" if cell.startswith(_FORMULA) or _marked(cell) else cell


def plain(cell: str) -> str:
    """The inverse of `safe`."""
    return cell[1:] if _marked(cell) else cell


def _marked(cell: str) -> bool:
    return cell[:1] == "'" and cell[1:].startswith((*_FORMULA, "'"))
