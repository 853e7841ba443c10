"""Batches for contrastive tuning: some labels, and some rows of each, drawn by counters.

There is no list of pairs, which would grow with the square of the rows: all pairs within a batch count, and a
batch is a function of (seed, step). Labels come in rounds, so that each comes about equally often; the rows of
a label are drawn anew for each step. What is kept grows with the rows and their labels.

A row whose labels no other row has finds no partner. It is paired with another view of itself (as in SimCLR;
Chen et al. 2020, arXiv:2002.05709). Pictures come in two augmented views each anyway.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from headstart.errors import DataError
from headstart.preprocess.text import pad
from headstart.train.augment_texts import drop_tokens
from headstart.train.draws import Stream, words
from headstart.train.settings import Source
from headstart.train.sources import Texts

TWINS = 4  # other views of a text that has no partner
_DROPPED = 0.2  # of its tokens, in each


@dataclass(frozen=True)
class Sampler:
    """Which rows make a batch.

    Attributes:
        rows: (m,) a row for each of its labels, label by label.
        starts: (k + 1,) where each label begins among them; every label has a row.
        batch: rows in a batch, at most, but for at least one row of one label.
        seed: of the draws.
        least: rows of a label, at least, that a batch has of it where there are so many.
    """

    rows: np.ndarray
    starts: np.ndarray
    batch: int
    seed: int = 0
    least: int = 2

    @property
    def shape(self) -> tuple[int, int]:
        """Labels in a batch, and rows of each, at most."""
        labels = len(self.starts) - 1
        each = max(self.least, self.batch // labels)
        return max(1, min(labels, self.batch // each)), each

    def labels(self, step: int) -> np.ndarray:
        """The labels of a batch; a round shuffles all of them, and what would not fill a batch is left out."""
        count = len(self.starts) - 1
        some, _ = self.shape
        turn, part = divmod(step, count // some)
        keys = words(self.seed, turn, np.arange(count), Stream.PAIR_LABELS, 1)[:, 0]
        return np.argsort(keys, kind="stable")[part * some : (part + 1) * some]

    def draw(self, step: int) -> np.ndarray:
        """The rows of a batch.

        Args:
            step: counted from 0.

        Returns:
            (b,) different row numbers, ascending.
        """
        _, each = self.shape
        drawn = []
        for label in self.labels(step).tolist():
            rows = self.rows[self.starts[label] : self.starts[label + 1]]
            keys = words(self.seed, step, rows, Stream.PAIR_ROWS, 1)[:, 0]
            drawn.append(rows[np.argsort(keys, kind="stable")[:each]])
        return np.unique(np.concatenate(drawn))


def sampler(
    labels: np.ndarray, learn: np.ndarray, batch: int, seed: int = 0, least: int = 2
) -> Sampler:
    """A sampler of the rows to learn from.

    Args:
        labels: (n, k) 0 and 1.
        learn: (m,) rows that may be drawn.
        batch: rows in a batch, at most.
        seed: of the draws.
        least: rows of a label in a batch, at least, where there are so many.

    Raises:
        DataError: none of these rows has a label.
    """
    label, place = np.nonzero(np.asarray(labels)[learn].T)
    if not len(label):
        raise DataError(
            f"None of the {len(learn)} rows to learn from has a label.",
            fix="label rows, or take --method probe",
        )
    _, counts = np.unique(label, return_counts=True)
    return Sampler(learn[place], np.concatenate([[0], np.cumsum(counts)]), batch, seed, least)


def alone(labels: np.ndarray, learn: np.ndarray) -> np.ndarray:
    """Rows to learn from with labels that no other of them has."""
    some = np.asarray(labels)[learn] > 0
    shared = some.sum(0) > 1  # (k,)
    return learn[some.any(1) & ~(some & shared).any(1)]


@dataclass(frozen=True)
class Pairs:
    """A source whose batches are drawn so that rows have partners. It ignores which rows it is asked for.

    Attributes:
        inner: gives the inputs of rows.
        labels: (n, k) which row has which label.
        sampler: draws the rows.
        doubled: each row comes in two augmented views.
        twins: (n, v) rows of `inner` that are other views of a row; -1 where there is none. Rows without
            a partner come with one of them.
    """

    inner: Source
    labels: np.ndarray
    sampler: Sampler
    doubled: bool = False
    twins: np.ndarray | None = None

    def batch(
        self, rows: np.ndarray, epoch: int, step: int, *, train: bool
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """See `headstart.train.settings.Source`: inputs, and labels (b, k)."""
        if not train:
            inputs, _ = self.inner.batch(rows, epoch, step, train=False)
            return inputs, self._of(rows)
        drawn = self.sampler.draw(step)
        if self.doubled:
            return self._two_views(drawn, step)
        if self.twins is None:
            return self.inner.batch(drawn, epoch, step, train=True)[0], self._of(drawn)
        twin = self.twins[drawn, step % self.twins.shape[1]]
        both = np.concatenate([drawn, twin[twin >= 0]])
        inputs, _ = self.inner.batch(both, epoch, step, train=True)
        return inputs, self._of(np.concatenate([drawn, drawn[twin >= 0]]))

    def _two_views(self, drawn: np.ndarray, step: int) -> tuple[tuple[Tensor, ...], Tensor]:
        views = [self.inner.batch(drawn, 2 * step + i, step, train=True)[0] for i in range(2)]
        inputs = tuple(torch.cat(both) for both in zip(*views))
        return inputs, self._of(np.concatenate([drawn, drawn]))

    def _of(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.labels[rows].astype(np.float32))


def special_tokens(tokenizer: bytes) -> tuple[int, ...]:
    """Tokens of a tokenizer.json that stand for no words: beginning, end, padding and the like."""
    known = Tokenizer.from_buffer(tokenizer).get_added_tokens_decoder()
    return tuple(sorted(number for number, token in known.items() if token.special))


def with_twins(
    texts: Texts, rows: np.ndarray, special: tuple[int, ...], seed: int = 0
) -> tuple[Texts, np.ndarray]:
    """Texts, and behind them other views of some: the same with tokens left out.

    Args:
        texts: n token rows.
        rows: (m,) which of them get other views.
        special: tokens that stay.
        seed: of the draws.

    Returns:
        The longer source, and the places of the views: (n, TWINS), -1 without.
    """
    n, ids = len(texts.ids), list(texts.ids)
    twins = np.full((n, TWINS), -1, np.int64)
    if len(rows):
        feeds = pad([texts.ids[row] for row in rows])
        tokens, mask = (torch.from_numpy(feeds[key]) for key in ("input_ids", "attention_mask"))
        for view in range(TWINS):
            kept, real = drop_tokens(tokens, mask, rows, view, seed, rate=_DROPPED, special=special)
            twins[rows, view] = len(ids) + np.arange(len(rows))
            ids += [one[there.bool()].numpy() for one, there in zip(kept, real)]
    targets = np.concatenate([texts.targets, np.tile(texts.targets[rows], TWINS)])
    return replace(texts, ids=ids, targets=targets), twins
