"""What new inputs are held against, where a tuned backbone has features of some rows alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from headstart.evaluation import familiarity
from headstart.fit_familiar import reference_of, threshold
from headstart.ladder import Climbed
from headstart.metrics import softmax
from headstart.types import Candidate, Head


def test_familiarity_is_judged_by_the_rows_whose_features_were_made():
    """As if there were no others."""
    rng = np.random.default_rng(0)
    n, k = 400, 3
    codes, features = np.arange(n) % k, rng.normal(size=(n, 8)).astype(np.float32)
    held, rows = np.arange(0, n, 2), np.sort(rng.permutation(n)[:250])
    head = Head(np.zeros((8, k), np.float32), np.zeros(k, np.float32))
    made = Candidate("tuned", head, rng.normal(size=(len(held), k)), {}, 1.0, held)
    table = SimpleNamespace(names=tuple(map(str, range(n))), split=None)
    learned = SimpleNamespace(table=table, split=SimpleNamespace(folds=np.arange(n) % 4))
    every = replace(made, features=features)
    some = replace(made, features=features[rows], feature_rows=rows)
    answers = softmax(made.held_out)

    def found(one):
        climbed = Climbed(one, None, one, held)
        reference = reference_of(learned, one, codes, k)
        return reference, threshold(learned, climbed, codes, answers, 0.95, reference.weight)

    for one, kept in ((every, np.arange(n)), (some, rows)):
        reference, least = found(one)
        assert reference.names == tuple(str(row) for row in kept)
        assert np.array_equal(reference.codes, codes[kept])
        judged = np.isin(held, kept)
        assert least == familiarity.threshold(
            features[kept],
            codes[kept],
            np.where(np.isin(kept, held), 0, -1),
            answers[judged],
            0.95,
            rows=np.flatnonzero(np.isin(kept, held)),
            weight=reference.weight,
        )
