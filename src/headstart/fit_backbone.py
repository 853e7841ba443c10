"""Within a budget, a larger starter is tried as well, and taken where it is better by more than noise.

Which backbone suits some texts cannot be read off their language alone. A probe on each, on some of the
training rows, says it: the same rows, the same folds, and the guard that also judges methods.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from headstart.backbones.choose import backbone_named, larger
from headstart.compute import generator
from headstart.errors import HeadstartError
from headstart.evaluation.guard import Entry, guard
from headstart.features.extract import How
from headstart.features.store import Store
from headstart.fit_config import FitConfig
from headstart.fit_rows import targets
from headstart.methods import METHODS
from headstart.stages import Stages, readable
from headstart.tasks.classification import Classification
from headstart.types import Backbone, Candidate, Table

_ROWS = 1000  # training rows, at most, that judge
_LEAST = 150  # with fewer nothing could be told apart
_FEW, _MORE = 16, 96  # rows: the difference in time is that of the rows, loading aside
_SHARE = 0.5  # of the time left that a larger backbone's features may take, where nothing follows
_TUNED = 0.1  # where it is to be tuned afterwards, which brings more
_FETCHED = 300.0  # seconds of a budget from which on a starter may be downloaded


@dataclass(frozen=True)
class Rows:
    """Training rows, and what the backbone at hand makes of them.

    Attributes:
        table: n labelled rows.
        features: (n, d).
        groups: (n,) rows of one group are judged together.
        waiting: how many rows the fit needs features of, these among them.
    """

    table: Table
    features: np.ndarray
    groups: np.ndarray
    waiting: int


def better(
    rows: Rows, backbone: Backbone, config: FitConfig, until: float, store: Store, stages: Stages, *,
    tuned: bool,
) -> Backbone | None:  # fmt: skip
    """A larger starter, where these rows say that it is better by more than noise.

    Args:
        rows: that are learned from.
        backbone: at hand.
        config: of the fit.
        until: when the fit has to be done, of `time.monotonic`.
        store: keeps the features.
        stages: are told.
        tuned: whether methods that change weights are tried afterwards: a larger backbone must leave them
            their time.
    """
    if len(rows.table) < _LEAST or len(set(targets(rows.table))) < 2:
        return None
    for name in larger(backbone):
        offline = config.offline or float(until - time.monotonic()) < _FETCHED
        try:
            rival = backbone_named(name, offline=offline, say=stages.say)
        except HeadstartError:
            continue  # it is not on this machine
        share = _TUNED if tuned else _SHARE
        found = _held_against(rows, backbone, rival, config, until, store, stages, share)
        if found is not None:
            return found
    return None


def _held_against(
    rows: Rows, backbone: Backbone, rival: Backbone, config: FitConfig, until: float, store: Store,
    stages: Stages, share: float,
) -> Backbone | None:  # fmt: skip
    rng = generator(config.seed, 19)
    some = np.sort(rng.permutation(len(rows.table))[:_ROWS])
    how = How(config.engine, cluster=config.cluster or "")
    took, first = [], 0
    for count in (_FEW, _FEW, _MORE):  # the first time, an engine may still have to be chosen
        began = time.monotonic()
        readable(rows.table.take(some[first : first + count]), rival, store, how, stages)
        took.append(time.monotonic() - began)
        first += count
    each = max(took[2] - took[1], 0.0) / (_MORE - _FEW)
    left = until - time.monotonic()
    if each * rows.waiting > share * left:
        stages.say(
            f"{rival.name} is not tried: its features would take {each * rows.waiting:.0f} of"
            f" {max(left, 0):.0f} s, more than {share:.0%}"
        )
        return None
    kept, features = readable(rows.table.take(some), rival, store, how, stages)
    some = some[kept]
    task = Classification.from_targets(targets(rows.table))
    codes, k = task.encode(targets(rows.table))[some], len(task.labels)
    _, group = np.unique(rows.groups[some], return_inverse=True)
    folds = rng.permutation(int(group.max()) + 1)[group] % 5
    probe = METHODS.get("probe")
    made: list[Candidate] = [
        probe(values, codes, folds, k) for values in (rows.features[some], features.values)
    ]
    judged = made[0].held_out_rows
    truth = codes if judged is None else codes[judged]
    entries = [
        Entry(one.name, candidate.held_out, candidate.seconds)
        for one, candidate in zip((backbone, rival), made)
    ]
    found = guard(truth, entries, rng)
    trial = found.tried[1]
    assert trial.lead is not None
    lead, low, high = (100 * value for value in (trial.lead.value, trial.lead.low, trial.lead.high))
    told = (
        f"{lead:+.1f} points ({low:+.1f} to {high:+.1f}) beside {backbone.name} on {len(truth):,}"
        " training rows"
    )
    if found.kept != rival.name:
        stages.say(f"{rival.name}: {told}: {backbone.name} is kept")
        return None
    return replace(rival, why=told)
