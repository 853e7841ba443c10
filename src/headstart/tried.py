"""What came of trying a rung of the ladder, and how that is told; see `headstart.climb`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from headstart.ladder import Rung
from headstart.scores import Trial, Trials
from headstart.types import Candidate


@dataclass(frozen=True)
class Tried:
    """A rung that was tried, or not.

    Attributes:
        rung: with the settings that were taken.
        candidate: with held-out logits of the compared rows; None where it was not made.
        seconds: what it cost.
        note: what was noticed, or why there is none.
        made: the training of each part.
    """

    rung: Rung
    candidate: Candidate | None
    seconds: float
    note: str = ""
    made: tuple[Candidate, ...] = ()


def joined(made: Sequence[Candidate]) -> Candidate:
    """The last training, with the held-out logits of all in their order."""
    least = min(made, key=lambda one: one.chosen.get("epochs", 1))
    rows = [one.held_out_rows for one in made if one.held_out_rows is not None]
    return replace(
        made[-1],
        chosen=least.chosen if not least.chosen.get("epochs", 1) else made[-1].chosen,
        held_out=np.concatenate([one.held_out for one in made]),
        held_out_rows=np.concatenate(rows),
        notes=tuple(dict.fromkeys(note for one in made for note in one.notes)),
    )


def with_trainings(trials: Trials, final: Candidate) -> Trials:
    """With the number of trainings whose mean ships, where it is one."""
    n = final.chosen.get("trainings")
    if n is None:
        return trials
    tried = tuple(
        replace(one, chosen={**one.chosen, "trainings": n}) if one.method == trials.kept else one
        for one in trials.tried
    )
    return replace(trials, tried=tried)


def told_of(found: Trials, tried: Sequence[Tried], probe: Candidate, asked: bool) -> Trials:
    """The guard's findings, with what was not tried, notes and histories."""
    known = {one.method: one for one in found.tried}
    told = [replace(known["probe"], chosen=dict(probe.chosen))]
    for one in tried:
        trial = known.get(one.rung.method) if one.candidate is not None else None
        trial = trial or Trial(one.rung.method, one.seconds)
        made = one.candidate
        told.append(
            replace(
                trial,
                note=one.note,
                chosen=dict(made.chosen) if made else {},
                history=made.history if made else (),
            )
        )
    wished = [one.rung.method for one in tried if one.candidate and asked]
    kept = wished[0] if wished else found.kept
    return replace(found, tried=tuple(told), kept=kept, asked=kept != found.kept)
