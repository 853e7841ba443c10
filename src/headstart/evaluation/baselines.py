"""Simple rivals, fitted on the same training rows and measured on the same test rows.

A score means something beside what the obvious would have scored: "majority" always answers with
the most frequent class, "knn" takes a vote of the nearest training rows in the same features, and
for texts "tfidf" counts words and knows nothing of any pretrained model.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart import metrics
from headstart.errors import ConfigError
from headstart.evaluation.measure import measure, paired
from headstart.registry import suggestion
from headstart.scores import Baseline
from headstart.types import Table

NEIGHBOURS = (1, 3, 5, 10, 20)
"""Numbers of neighbours that leave-one-out chooses from."""

_SOFTNESS = 0.07  # votes weigh exp(cosine / 0.07), as in Wu et al. 2018
_SMOOTHING = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)  # shares of a vote that are spread evenly
_TRAIN_ROWS = 50_000  # neighbours are looked for among so many rows
_JUDGED_ROWS = 2_000  # leave-one-out takes so many rows
_BLOCK = 1 << 23  # similarities held at a time
_COEFFICIENTS = 30_000_000  # of the linear model: k * features, 240 MB
_CHARACTERS = 20_000  # of a text that are read
_HELD_OUT = 5  # every fifth row of a class sets the temperature


@dataclass(frozen=True)
class Rows:
    """What a baseline may look at.

    Attributes:
        train: n texts or other inputs.
        codes: (n,) class numbers in 0..k-1.
        features: (n, d).
        test: m inputs.
        test_features: (m, d).
        k: number of classes.
    """

    train: tuple
    codes: np.ndarray
    features: np.ndarray
    test: tuple
    test_features: np.ndarray
    k: int


@dataclass(frozen=True)
class Answer:
    """What a baseline says.

    Attributes:
        probabilities: (m, k) for the test rows; None where it could not run.
        note: how it was made, or why it could not run.
    """

    probabilities: np.ndarray | None
    note: str


def run(
    train: Table,
    train_codes: np.ndarray,
    train_features: np.ndarray,
    test: Table,
    test_codes: np.ndarray,
    test_features: np.ndarray,
    labels: Sequence[str],
    *,
    rng: np.random.Generator,
    names: Sequence[str] | None = None,
    model: np.ndarray | None = None,
    resamples: int = 1000,
) -> tuple[Baseline, ...]:
    """Fit the baselines on the training rows and measure them on the test rows.

    Args:
        train: n training rows.
        train_codes: (n,) class numbers; rows with -1 are not used.
        train_features: (n, d).
        test: m test rows.
        test_codes: (m,) class numbers; rows with -1 are left out of the scores.
        test_features: (m, d).
        labels: k labels.
        rng: draws whatever is drawn; each baseline gets a generator of its own.
        names: which of "majority", "knn", "tfidf" to run; None runs all that suit the data.
        model: (m,) class numbers that the model predicts for the test rows. With them each note says
            by how much the model is better, and whether by more than noise.
        resamples: number of bootstrap draws behind the intervals.

    Raises:
        ConfigError: there is no baseline of such a name.
        DataError: no test row is left to measure on.
        ValueError: the shapes do not fit.
    """
    wanted = list(_BASELINES) if names is None else list(names)
    for name in wanted:
        if name not in _BASELINES:
            there = list(_BASELINES)
            raise ConfigError(
                f"There is no baseline called {name!r}.",
                fix=suggestion(name, there) or f"one of: {', '.join(there)}",
            )
    if train.modality != "text" and names is None:
        wanted.remove("tfidf")
    rows = _rows(train, train_codes, train_features, test, test_codes, test_features, len(labels))
    # a stream for every row of the table: leaving one out does not change the others' draws
    streams = dict(zip(_BASELINES, rng.spawn(len(_BASELINES))))
    truth = np.asarray(test_codes)
    made = []
    for name in wanted:
        answer = _BASELINES[name](rows, streams[name])
        if answer.probabilities is None:
            made.append(Baseline(name, None, answer.note))
            continue
        scores = measure(
            answer.probabilities,
            truth,
            labels,
            split="test",
            protocol="",
            rng=streams[name],
            resamples=resamples,
        ).metrics
        note = answer.note
        if model is not None:
            note += "; " + _against(
                truth, model, answer.probabilities.argmax(axis=1), streams[name]
            )
        made.append(Baseline(name, scores, note))
    return tuple(made)


def _rows(
    train: Table,
    train_codes: np.ndarray,
    train_features: np.ndarray,
    test: Table,
    test_codes: np.ndarray,
    test_features: np.ndarray,
    k: int,
) -> Rows:
    for name, table, codes, features in (
        ("train", train, train_codes, train_features),
        ("test", test, test_codes, test_features),
    ):
        if np.shape(codes) != (len(table),) or np.shape(features)[:1] != (len(table),):
            raise ValueError(
                f"{name}: {len(table)} rows, but codes {np.shape(codes)}, features {np.shape(features)}"
            )
        if np.ndim(features) != 2:
            raise ValueError(f"{name}: features have to be (n, d), not {np.shape(features)}")
    codes = np.asarray(train_codes)
    known = np.flatnonzero(codes >= 0)
    if not len(known):
        raise ValueError("train: no row has a label")
    if len(known) == len(codes):
        return Rows(train.inputs, codes, train_features, test.inputs, test_features, k)
    inputs = tuple(train.inputs[i] for i in known)
    return Rows(inputs, codes[known], train_features[known], test.inputs, test_features, k)


def _against(
    codes: np.ndarray, model: np.ndarray, baseline: np.ndarray, rng: np.random.Generator
) -> str:
    """By how much the model is better than a baseline, in words."""
    found = paired(codes, model, baseline, rng)
    beyond = not found.low <= 0 <= found.high
    p = f"= {found.p:.2g}" if found.p >= 0.001 else "< 0.001"
    return (
        f"accuracy of the model minus this: {100 * found.difference:+.1f} points "
        f"({100 * found.low:+.1f} to {100 * found.high:+.1f}, p {p}), "
        f"{'beyond' if beyond else 'within'} noise"
    )


def _majority(rows: Rows, rng: np.random.Generator) -> Answer:
    """The most frequent class; the probabilities are the classes' shares."""
    shares = np.bincount(rows.codes, minlength=rows.k) / len(rows.codes)
    return Answer(np.tile(shares, (len(rows.test), 1)), "always the most frequent class")


def _knn(rows: Rows, rng: np.random.Generator) -> Answer:
    """Vote of the nearest training rows by cosine; votes weigh exp(cosine / 0.07) (Wu et al. 2018)."""
    n = len(rows.codes)
    features, codes = rows.features, rows.codes
    if n > _TRAIN_ROWS:
        kept = np.sort(rng.choice(n, _TRAIN_ROWS, replace=False))
        features, codes = features[kept], codes[kept]
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    train = _unit(features, mean)
    judged = np.sort(rng.permutation(len(codes))[:_JUDGED_ROWS])
    neighbours, smoothing = _choose(train, codes, judged, rows.k)
    nearest, cosine = _nearest(_unit(rows.test_features, mean), train, neighbours, None)
    p = _smooth(_votes(codes[nearest], cosine, neighbours, rows.k), smoothing)
    among = f" among {len(codes):,} training rows drawn at random" if len(codes) < n else ""
    many = "the nearest neighbour" if neighbours == 1 else f"the {neighbours} nearest neighbours"
    return Answer(p, f"{many} by cosine in the same features{among}; chosen by leave-one-out")


def _choose(train: np.ndarray, codes: np.ndarray, judged: np.ndarray, k: int) -> tuple[int, float]:
    """Neighbours and smoothing by leave-one-out: the most rows right, then the least log loss."""
    counts = [count for count in NEIGHBOURS if count < len(codes)]
    if not counts:
        return 1, _SMOOTHING[0]  # a single training row
    nearest, cosine = _nearest(train[judged], train, counts[-1], judged)
    scored = []
    for count in counts:
        votes = _votes(codes[nearest], cosine, count, k)
        wrong = int((votes.argmax(axis=1) != codes[judged]).sum())
        losses = [metrics.log_loss(_smooth(votes, share), codes[judged]) for share in _SMOOTHING]
        best = int(np.argmin(losses))
        scored.append((wrong, losses[best], count, _SMOOTHING[best]))
    return min(scored)[2:]


def _unit(features: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Centred rows of length 1, float32; a row at the centre stays 0."""
    x = features.astype(np.float32) - mean
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _nearest(
    queries: np.ndarray, train: np.ndarray, count: int, own: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest training rows (m, count), nearest first, and their cosines.

    Args:
        queries: (m, d) of length 1.
        train: (n, d) of length 1, n >= count.
        count: how many.
        own: (m,) the queries' own places among the training rows, which do not count; or None.
    """
    count = min(count, len(train))
    found = np.empty((len(queries), count), dtype=np.int64)
    cosines = np.empty((len(queries), count), dtype=np.float32)
    step = max(1, _BLOCK // len(train))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        similar = queries[part] @ train.T  # (b, n)
        if own is not None:
            similar[np.arange(len(similar)), own[part]] = -2
        top = np.argpartition(similar, len(train) - count, axis=1)[:, len(train) - count :]
        values = np.take_along_axis(similar, top, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        found[part] = np.take_along_axis(top, order, axis=1)
        cosines[part] = np.take_along_axis(values, order, axis=1)
    return found, cosines


def _votes(classes: np.ndarray, cosine: np.ndarray, count: int, k: int) -> np.ndarray:
    """Shares of the votes (m, k) float64 of the first `count` neighbours' classes (m, >= count)."""
    classes, cosine = classes[:, :count], cosine[:, :count].astype(np.float64)
    m, count = classes.shape
    weights = np.exp((cosine - cosine[:, :1]) / _SOFTNESS)
    weights /= weights.sum(axis=1, keepdims=True)
    cells = (np.arange(m)[:, None] * k + classes).ravel()
    return np.bincount(cells, weights=weights.ravel(), minlength=m * k).reshape(m, k)


def _smooth(p: np.ndarray, share: float) -> np.ndarray:
    """Laplace's smoothing: a share of the votes is spread evenly, so that no class is impossible."""
    return (1 - share) * p + share / p.shape[1]


def _tfidf(rows: Rows, rng: np.random.Generator) -> Answer:
    """Linear support vector machine on TF-IDF; a temperature makes its margins probabilities."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError:
        return Answer(None, "scikit-learn is not installed: pip install 'headstart[sklearn]'")
    if not all(isinstance(text, str) for text in (*rows.train, *rows.test)):
        return Answer(None, "it counts words, and these inputs are no texts")
    if len(np.unique(rows.codes)) < 2:
        return Answer(None, "the training rows are all of one class")
    texts, tested = ([text[:_CHARACTERS] for text in part] for part in (rows.train, rows.test))
    spaced = not _unspaced(texts)
    vectorizer = TfidfVectorizer(
        analyzer="word" if spaced else "char",
        ngram_range=(1, 2) if spaced else (1, 3),
        token_pattern=r"(?u)\b\w+\b" if spaced else None,
        sublinear_tf=True,
        max_features=max(20_000, _COEFFICIENTS // rows.k),
        dtype=np.float64,
    )
    try:
        x = vectorizer.fit_transform(texts)
    except ValueError:  # scikit-learn's "empty vocabulary"
        return Answer(None, "the training texts hold no words")
    fit_rows, held = _hold_out(rows.codes, rng)
    seed = int(rng.integers(2**31))
    temperature = 1.0
    if len(held):
        margins = _margins(x[fit_rows], rows.codes[fit_rows], x[held], rows.k, seed)
        temperature, _ = metrics.temperature(margins, rows.codes[held])
    margins = _margins(x, rows.codes, vectorizer.transform(tested), rows.k, seed)
    p = _smooth(metrics.softmax(margins / temperature), 1e-3)
    grams = "words and pairs of words" if spaced else "one to three characters"
    return Answer(p, f"TF-IDF of {grams}, linear support vector machine, no pretrained model")


def _margins(x: Any, codes: np.ndarray, tested: Any, k: int, seed: int) -> np.ndarray:
    """Margins (m, k) of sparse rows `tested` (m, v) by a machine fitted on sparse x (n, v).

    liblinear solves one class against the rest, which is what makes 150 classes a matter of
    seconds; multinomial regression on as many sparse coefficients takes minutes.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough, for a baseline
        # two rows a class make scikit-learn ask whether this is a regression
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        machine = LinearSVC(C=1.0, dual=True, tol=0.01, random_state=seed).fit(x, codes)
    found = machine.decision_function(tested)
    if found.ndim == 1:  # two classes: one margin
        found = np.stack([-found, found], axis=1)
    margins = np.full((len(found), k), -2.0)  # a class without training rows: surely not
    margins[:, machine.classes_] = found
    return margins


def _hold_out(codes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit on and rows to hold out: every fifth of a class, or every second of few.

    Nothing is held out where what stays would be fewer than two classes.
    """
    place = np.empty(len(codes), dtype=np.int64)
    shuffled = rng.permutation(len(codes))
    order = shuffled[np.argsort(codes[shuffled], kind="stable")]
    sizes = np.bincount(codes)
    place[order] = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    for every in (_HELD_OUT, 2):
        out = place % every == every - 1
        if out.any():
            break
    return np.flatnonzero(~out), np.flatnonzero(out)


def _unspaced(texts: Sequence[str]) -> bool:
    """Whether these texts are of a script without spaces between words (a fifth of their letters)."""
    sample = "".join(text[:1000] for text in texts[:: max(1, len(texts) // 1000)])
    return len(_UNSPACED.findall(sample)) > 0.2 * sum(map(str.isalpha, sample))


_UNSPACED = re.compile(
    "[\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff"  # Japanese kana
    "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff]"  # Chinese
)

_BASELINES: dict[str, Callable[[Rows, np.random.Generator], Answer]] = {
    "majority": _majority,
    "knn": _knn,
    "tfidf": _tfidf,
}
