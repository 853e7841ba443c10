"""The probe: multinomial logistic regression on standardised, frozen features.

The penalty is chosen by cross-validation on the training rows, by the log loss after the best
temperature: a penalty is judged by how well it ranks and separates, not by how well its scale
happens to fit, which calibration mends anyway.

With many rows the search begins on few: the path of penalties is walked on a sample, and the sample
grows eightfold at a time up to all rows. Each round begins at the last one's solution and penalty, and
goes on to weaker penalties as long as they are better, since more rows ask for less penalty. The
penalty is relative to the mean loss, so it carries over from one size to the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from headstart.compute import generator
from headstart.config import note
from headstart.metrics import accuracy, confusion, macro_f1, temperature
from headstart.solver import Solution, logits, solve
from headstart.solver_rows import IN_MEMORY, Rows, rerotate, rotate, unrotate
from headstart.types import Candidate, Head

_PATH = 10.0 ** np.arange(1.0, -7.0, -1.0)  # from strong to weak; then half steps around the best
_HALF = 10**0.5
_ROUGH, _FINE = 3e-3, 1e-3  # the solver's tolerance: to choose a penalty, and in the end;
_SMALL, _SHARPER = (
    6 * 10**8,
    30,
)  # with fewer products a pass it is that much sharper, up to so much
_PLATEAU = 2e-3  # share of the log loss that a decade has to gain for the next to be tried
_DEFAULT_PENALTY = 0.1  # where nothing can be held out: strong, as there is little data
_DRAWS = 200  # of the bootstrap that compares weightings
_IMBALANCE = 3.0  # largest to smallest class: from here on balanced weights are tried
_FIRST, _FIRST_OF_CLASS, _GROWTH = 4096, 24, 8  # rows of the first sample, and how samples grow
_REFINED = 100_000  # rows up to which a penalty is refined: beyond, the last one says enough
_SCORED = 2**21  # held-out logits that are looked at, unless the settings want more rows
_SPREAD = 2**25  # held-out logits, with those of all other rows, that are handed on as NaN


@dataclass(frozen=True)
class Config:
    """Settings of the probe."""

    class_weight: Literal["auto", "none", "soft", "balanced"] = field(
        default="auto",
        metadata=note(
            "weight small classes up: fully (balanced), by the root of it (soft), not (none); auto: what "
            "raises the cross-validated mean of accuracy and macro-F1 beyond noise",
            choices=("auto", "none", "soft", "balanced"),
        ),
    )
    penalty: float = field(
        default=0.0,
        metadata=note("L2 penalty; 0 chooses it by cross-validation", low=0.0, high=1e6),
    )
    held_out_rows: int = field(
        default=3000,
        metadata=note("folds are evaluated until so many rows were held out", low=1, high=10**9),
    )


@dataclass(frozen=True)
class _Data:
    """What all weightings, penalties and stages share.

    Attributes:
        rows: n rows.
        codes: (n,) class numbers.
        k: how many classes.
        masks: (p, n) which rows the p folds' problems learn from.
        held: (m,) rows that are held out and scored.
        problem: (m,) in which problem each of them is held out.
        held_rows: those rows.
    """

    rows: Rows
    codes: np.ndarray
    k: int
    masks: np.ndarray
    held: np.ndarray
    problem: np.ndarray
    held_rows: Rows

    def weights(self, weighting: str, index: np.ndarray) -> np.ndarray:
        """(p, m) row weights of the rows `index` in each problem."""
        weights = self.masks[:, index] * _class_weights(self.codes, self.k, weighting)[index]
        return weights / weights.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class _Stage:
    """Rows that one round of the search learns from."""

    rows: Rows
    index: np.ndarray


@dataclass(frozen=True)
class _Path:
    """A cross-validated path of penalties for one weighting of the classes."""

    weighting: str
    penalty: float
    score: float
    held_out: np.ndarray  # (m, k) logits of the held-out rows
    tried: tuple[tuple[float, float, int], ...]  # penalty, score, rows
    solution: Solution


def fit(
    features: np.ndarray | Rows,
    codes: np.ndarray,
    folds: np.ndarray,
    n_classes: int,
    config: Config | None = None,
    *,
    start: Head | None = None,
    in_memory: int = IN_MEMORY,
) -> Candidate:
    """Fit the probe.

    Args:
        features: (n, d) float32; large ones are best memory-mapped, they are read in blocks. Or what
            `headstart.solver_rows.rotate` made of them, to share it between fits of other labels.
        codes: (n,) class numbers in 0..n_classes-1.
        folds: (n,) cross-validation fold of each row, -1 for rows that are never held out.
        n_classes: k.
        config: settings.
        start: an earlier head for nearly the same labels, where the final search begins. The folds'
            searches do not begin there: the head has seen their held-out rows, and it shows.
        in_memory: bytes of features up to which they are taken into memory.
    """
    started = time.perf_counter()
    config = config or Config()
    rows = rotate(features, in_memory) if isinstance(features, np.ndarray) else features
    known = None if start is None else _solution(rows, start)
    data = _hold_out(rows, codes, folds, n_classes, config)
    stages = _stages(data)
    if known and not len(data.held):
        stages = stages[-1:]  # there is nothing to choose, and a better start than a sample's
    paths = [
        _cross_validate(data, stages[0], weighting, config, known)
        for weighting in _weightings(codes, n_classes, config)
    ]
    best, why = _choose_weighting(paths, codes[data.held], n_classes)
    for stage in stages[1:]:
        best = _refine(data, stage, best, config)
    weights = _class_weights(codes, n_classes, best.weighting)[None, :]
    final = solve(
        rows,
        codes,
        weights,
        n_classes,
        best.penalty,
        start=(known if len(data.held) else None) or _first(best.solution),
        tolerance=_tolerance(_FINE, rows, data),
    )
    weight, bias = unrotate(rows, final.weight[0], final.bias[0])
    used = len(data.masks) if len(data.held) else 0
    chosen = {
        "penalty": best.penalty,
        "class_weight": best.weighting,
        "folds": used,
        "path": [{"penalty": p, "log_loss": s, "rows": n} for p, s, n in best.tried],
        "by": _by(used, len(data.held), config) + why,
    }
    held_out, held = _spread(best.held_out, data.held, len(codes))
    seconds = time.perf_counter() - started
    return Candidate("probe", Head(weight, bias), held_out, chosen, seconds, held)


def _solution(rows: Rows, head: Head) -> Solution:
    weight, bias = rerotate(rows, head.weight, head.bias)
    return Solution(weight[None], bias[None], np.zeros(1), 0, np.zeros(1))


def _by(folds: int, rows: int, config: Config) -> str:
    if config.penalty:
        return "the penalty was given"
    if not folds:
        return "too few rows to hold any out: a strong default penalty"
    return f"cross-validated log loss, {folds} fold{'s' * (folds > 1)}, {rows:,} rows held out"


def _folds_to_use(folds: np.ndarray, rows: int) -> list[int]:
    """As many folds as hold out `rows` rows: with much data one fold says enough."""
    used: list[int] = []
    count = 0
    for fold in range(int(folds.max(initial=-1)) + 1):
        if count >= rows:
            break
        size = int((folds == fold).sum())
        if size:
            used.append(fold)
            count += size
    return used


def _weightings(codes: np.ndarray, k: int, config: Config) -> Sequence[str]:
    if config.class_weight != "auto":
        return [config.class_weight]
    counts = np.bincount(codes, minlength=k)
    return (
        ["none", "soft", "balanced"]
        if counts.max() >= _IMBALANCE * max(counts.min(), 1)
        else ["none"]
    )


def _class_weights(codes: np.ndarray, k: int, weighting: str) -> np.ndarray:
    """(n,) row weights that sum to 1."""
    if weighting == "none":
        return np.full(len(codes), 1 / len(codes))
    counts = np.maximum(np.bincount(codes, minlength=k), 1)
    weights = (1.0 / counts[codes]) ** (0.5 if weighting == "soft" else 1.0)
    return weights / weights.sum()


def _hold_out(rows: Rows, codes: np.ndarray, folds: np.ndarray, k: int, config: Config) -> _Data:
    """The folds' problems, and the rows they are scored on: of very many, a sample."""
    used = _folds_to_use(folds, config.held_out_rows)
    masks = np.stack([folds != fold for fold in used] or [np.ones(len(codes), bool)])
    held = np.flatnonzero(np.isin(folds, used))
    most = max(config.held_out_rows, _SCORED // k)
    if len(held) > most:
        held = np.sort(generator(0, 1).choice(held, most, replace=False))
    return _Data(rows, codes, k, masks, held, np.searchsorted(used, folds[held]), rows.take(held))


def _stages(data: _Data) -> list[_Stage]:
    """Samples of the rows that any problem learns from, each `_GROWTH` times the last; then all."""
    whole = np.flatnonzero(data.masks.any(axis=0))
    everything = len(whole) == len(data.rows)
    sizes = []
    size = max(_FIRST, _FIRST_OF_CLASS * data.k)
    while 2 * size < len(whole):
        sizes.append(size)
        size *= _GROWTH
    samples = [whole[_stratified(data.codes[whole], size)] for size in sizes]
    stages = [_Stage(data.rows.take(index), index) for index in samples]
    return [*stages, _Stage(data.rows if everything else data.rows.take(whole), whole)]


def _stratified(codes: np.ndarray, size: int) -> np.ndarray:
    """About `size` of the rows, drawn within each class by its share, at least five of each; sorted."""
    order = np.lexsort((generator(0, 2).random(len(codes)), codes))
    counts = np.bincount(codes)
    rank = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    wanted = np.maximum(np.ceil(counts * (size / len(codes))), 5)
    return np.sort(order[rank < wanted[codes[order]]])


def _attempt(
    data: _Data, stage: _Stage, weighting: str, penalty: float, start: Solution | None
) -> _Path:
    """All folds' problems in lockstep at one penalty, scored on the rows they had not seen."""
    found = _solve(data, stage, weighting, penalty, start)
    held_out = np.empty((len(data.held), data.k), dtype=np.float32)
    for i, (weight, bias) in enumerate(zip(found.weight, found.bias)):
        part = np.flatnonzero(data.problem == i)
        held = data.held_rows if len(part) == len(data.held) else data.held_rows.take(part)
        held_out[part] = logits(held, weight, bias)
    score = float(temperature(held_out, data.codes[data.held])[1]) if len(data.held) else 0.0
    tried = ((float(penalty), score, len(stage.index)),)
    return _Path(weighting, float(penalty), score, held_out, tried, found)


def _solve(
    data: _Data, stage: _Stage, weighting: str, penalty: float, start: Solution | None
) -> Solution:
    weights, codes = data.weights(weighting, stage.index), data.codes[stage.index]
    tolerance = _tolerance(_ROUGH, stage.rows, data)
    return solve(stage.rows, codes, weights, data.k, penalty, start=start, tolerance=tolerance)


def _tolerance(tolerance: float, rows: Rows, data: _Data) -> float:
    products = len(rows) * len(rows.spectrum) * data.k * len(data.masks)
    return float(tolerance / np.clip(_SMALL / max(products, 1), 1, _SHARPER))


def _cross_validate(
    data: _Data, stage: _Stage, weighting: str, config: Config, known: Solution | None
) -> _Path:
    """The path of penalties; each starts where the stronger one ended."""
    if config.penalty or not len(data.held):
        penalty = config.penalty or _DEFAULT_PENALTY
        start = known if not len(data.held) else None
        if start is None:  # a weak penalty is reached sooner by way of stronger ones
            for stronger in (p for p in _PATH if p > 3 * penalty):
                start = _solve(data, stage, weighting, stronger, start)
        return _attempt(data, stage, weighting, penalty, start)
    tried: list[tuple[float, float, int]] = []

    def attempt(penalty: float, start: Solution | None) -> _Path:
        found = _attempt(data, stage, weighting, penalty, start)
        tried.extend(found.tried)
        return found

    best = _search(attempt)
    return replace(best, tried=tuple(sorted(tried, reverse=True)))


def _search(attempt: Callable[[float, Solution | None], _Path]) -> _Path:
    """Down the decades until the score hardly falls, then half a decade to each side of the best.

    With many classes nothing is learned at the strong end, where the score does not fall either.
    """
    best = attempt(float(_PATH[0]), None)
    top = best.score
    for penalty in _PATH[1:]:
        found = attempt(float(penalty), best.solution)
        gain = best.score - found.score
        best = found if gain > 0 else best
        if gain < 0 or (best.score < 0.9 * top and gain <= _PLATEAU * best.score):
            break
    beside = [attempt(float(best.penalty * step), best.solution) for step in (_HALF, 1 / _HALF)]
    return min([best, *beside], key=lambda path: path.score)


def _refine(data: _Data, stage: _Stage, best: _Path, config: Config) -> _Path:
    """The best penalty so far on more rows, and weaker ones as long as they are better."""
    tried = best.tried
    best = _attempt(data, stage, best.weighting, best.penalty, best.solution)
    tried = (*tried, *best.tried)
    searching = not config.penalty and len(data.held) and len(stage.index) <= _REFINED
    while searching and best.penalty > _PATH[-1]:
        found = _attempt(data, stage, best.weighting, best.penalty / _HALF, best.solution)
        tried = (*tried, *found.tried)
        if found.score >= best.score:
            break
        best = found
    return replace(best, tried=tried)


def _spread(logits: np.ndarray, held: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Held-out logits among those of all n rows, NaN where never held out; of too many, themselves."""
    k = logits.shape[1]
    if n * k > max(_SPREAD, logits.size):
        return logits, held
    spread = np.full((n, k), np.nan, dtype=np.float32)
    spread[held] = logits
    return spread, None


def _first(solution: Solution) -> Solution:
    return Solution(solution.weight[:1], solution.bias[:1], solution.loss[:1], 0, solution.left[:1])


def _choose_weighting(paths: Sequence[_Path], truth: np.ndarray, k: int) -> tuple[_Path, str]:
    """Plain weights, unless others beat them by more than noise (paired bootstrap, 95 % one-sided).

    The measure is the mean of accuracy and macro-F1: full balance alone can buy a point of the one
    with many of the other.
    """
    plain = paths[0]
    if len(paths) == 1 or not len(truth):
        return plain, ""
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(truth), len(truth)) for _ in range(_DRAWS)]

    def scores(path: _Path) -> np.ndarray:
        predicted = path.held_out.argmax(axis=1)
        counts = [confusion(truth[rows], predicted[rows], k) for rows in draws]
        return np.array([(float(accuracy(c)) + float(macro_f1(c))) / 2 for c in counts])

    base = scores(plain)
    best, why = plain, "; weighting the classes gained nothing beyond noise"
    highest = 0.0
    for path in paths[1:]:
        gains = scores(path) - base
        if np.quantile(gains, 0.05) > 0 and gains.mean() > highest:
            highest = float(gains.mean())
            best = path
            why = (
                f"; {path.weighting} class weights: {100 * highest:+.1f} points of the mean of accuracy "
                "and macro-F1"
            )
    return best, why
