"""Augmentation of texts: some tokens are hidden or left out, keyed by (seed, epoch, row).

Dropping words is one of the "easy" augmentations of Wei and Zou 2019 (EDA); hiding them behind the mask
token keeps places and lengths, and masked language models know it from their own training.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from headstart.errors import ConfigError
from headstart.train.draws import Stream, draws


def drop_tokens(
    ids: Tensor,
    mask: Tensor,
    rows: np.ndarray,
    epoch: int,
    seed: int,
    *,
    rate: float,
    special: Collection[int],
    mask_id: int | None = None,
    pad_id: int = 0,
    side: Literal["right", "left"] = "right",
) -> tuple[Tensor, Tensor]:
    """Each ordinary token of a text disappears with the same chance, but never all of them.

    A token's draw belongs to its place in the text, counted without padding: the same text loses the same
    tokens at whatever length its batch is padded to.

    Args:
        ids: (n, t) int64 token ids.
        mask: (n, t) attention mask, 1 for tokens and 0 for padding.
        rows: (n,) row numbers in the table.
        epoch: the epoch's number.
        seed: the run's seed.
        rate: how likely a token disappears, from 0 to below 1.
        special: ids that always stay: the tokenizer's beginning, end, separator and so on.
        mask_id: what takes the place of a token; None: it is left out, and padding fills the row.
        pad_id: the id of padding.
        side: on which side padding stands.

    Returns:
        ids and mask of the same shape and type. At least one ordinary token of each text that has any
        stays as it is.

    Raises:
        ConfigError: the rate is outside its range, or the shapes do not agree.
    """
    _check(ids, mask, rows, rate)
    gone = _gone(ids, mask, rows, epoch, seed, rate, special)
    if mask_id is not None:
        return ids.masked_fill(gone, mask_id), mask.clone()
    kept = mask.bool() & ~gone
    first = kept if side == "left" else ~kept  # what does not belong stands first, or last
    order = first.long().argsort(dim=1, stable=True)
    kept = kept.gather(1, order)
    return ids.gather(1, order).masked_fill(~kept, pad_id), kept.to(mask.dtype)


def hide_tokens(
    ids: Tensor,
    mask: Tensor,
    rows: np.ndarray,
    epoch: int,
    seed: int,
    *,
    rate: float,
    special: Collection[int],
) -> Tensor:
    """An attention mask that hides the tokens which `drop_tokens` drops; they keep their places.

    For activations of layers below, which no longer hold tokens that could be left out: no token above
    attends to a hidden one, and a mean over the tokens leaves it out.

    Args:
        ids: (n, t) int64 token ids.
        mask: (n, t) attention mask, 1 for tokens and 0 for padding.
        rows: (n,) row numbers in the table.
        epoch: the epoch's number.
        seed: the run's seed.
        rate: how likely a token is hidden, from 0 to below 1.
        special: ids that always stay.

    Returns:
        A mask of the same shape and type. At least one ordinary token of each text that has any stays.

    Raises:
        ConfigError: the rate is outside its range, or the shapes do not agree.
    """
    _check(ids, mask, rows, rate)
    return mask.masked_fill(_gone(ids, mask, rows, epoch, seed, rate, special), 0)


def _gone(
    ids: Tensor,
    mask: Tensor,
    rows: np.ndarray,
    epoch: int,
    seed: int,
    rate: float,
    special: Collection[int],
) -> Tensor:
    """(n, t) bool: the tokens that disappear."""
    real = mask.bool()
    ordinary = real & ~torch.isin(ids, torch.tensor(sorted(special), dtype=ids.dtype))
    u = torch.from_numpy(draws(seed, epoch, rows, Stream.TOKENS, ids.shape[1]))
    place = (real.long().cumsum(1) - 1).clamp(min=0)  # (n, t)
    u = u.gather(1, place).masked_fill(~ordinary, -1)
    best = u == u.amax(1, keepdim=True)  # the last that may go
    return ordinary & (u < rate) & ~best


def _check(ids: Tensor, mask: Tensor, rows: np.ndarray, rate: float) -> None:
    if ids.shape != mask.shape or ids.ndim != 2 or len(rows) != len(ids):
        raise ConfigError(
            f"Token ids of shape {tuple(ids.shape)} came with a mask of {tuple(mask.shape)} and "
            f"{len(rows)} row numbers.",
            fix="give ids and mask of shape (texts, tokens), and one row number for each text",
        )
    if not 0 <= rate < 1:
        raise ConfigError(
            f"The rate of dropped tokens is {rate}.", fix="choose one from 0 to below 1, e.g. 0.1"
        )
