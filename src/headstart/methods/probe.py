"""The probe: multinomial logistic regression on standardised, frozen features.

The penalty is chosen by cross-validation on the training rows, by the log loss after the best
temperature: a penalty is judged by how well it ranks and separates, not by how well its scale
happens to fit, which calibration mends anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from headstart.config import note
from headstart.metrics import accuracy, confusion, macro_f1, temperature
from headstart.solver import Rotated, Solution, rotate, solve, unrotate
from headstart.types import Candidate, Head

_PATH = 10.0 ** np.arange(1.0, -7.0, -1.0)  # from strong to weak; then half steps around the best
_ROUGH, _FINE = 3e-3, 3e-4  # the solver's tolerance: to choose a penalty, and in the end
_DEFAULT_PENALTY = 0.1  # where nothing can be held out: strong, as there is little data
_DRAWS = 200  # of the bootstrap that compares weightings
_IMBALANCE = 3.0  # largest to smallest class: from here on balanced weights are tried


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
class _Path:
    """A cross-validated path of penalties for one weighting of the classes."""

    weighting: str
    penalty: float
    score: float
    held_out: np.ndarray  # (n, k) logits, NaN where never held out
    tried: tuple[tuple[float, float], ...]
    solution: Solution


def fit(
    features: np.ndarray,
    codes: np.ndarray,
    folds: np.ndarray,
    n_classes: int,
    config: Config | None = None,
) -> Candidate:
    """Fit the probe.

    Args:
        features: (n, d) float32.
        codes: (n,) class numbers in 0..n_classes-1.
        folds: (n,) cross-validation fold of each row, -1 for rows that are never held out.
        n_classes: k.
        config: settings.
    """
    started = time.perf_counter()
    config = config or Config()
    rotated = rotate(features)
    used = _folds_to_use(folds, config.held_out_rows)
    paths = [
        _cross_validate(rotated, codes, folds, used, n_classes, weighting, config)
        for weighting in _weightings(codes, n_classes, config)
    ]
    best, why = _choose_weighting(paths, codes, n_classes)
    weights = _class_weights(codes, n_classes, best.weighting)[None, :]
    start = _first(best.solution)
    final = solve(rotated, codes, weights, n_classes, best.penalty, start=start, tolerance=_FINE)
    weight, bias = unrotate(rotated, final.weight[0], final.bias[0])
    chosen = {
        "penalty": best.penalty,
        "class_weight": best.weighting,
        "folds": len(used),
        "path": [{"penalty": p, "log_loss": s} for p, s in best.tried],
        "by": _by(len(used), int(np.isfinite(best.held_out[:, 0]).sum()), config) + why,
    }
    return Candidate(
        "probe", Head(weight, bias), best.held_out, chosen, time.perf_counter() - started
    )


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


def _cross_validate(
    rotated: Rotated,
    codes: np.ndarray,
    folds: np.ndarray,
    used: Sequence[int],
    k: int,
    weighting: str,
    config: Config,
) -> _Path:
    """All folds in lockstep along the path; each starts where the stronger penalty ended."""
    n = len(codes)
    row_weights = _class_weights(codes, k, weighting)
    masks = np.stack([folds != fold for fold in used]) if used else np.ones((1, n), bool)
    weights = masks * row_weights
    weights /= weights.sum(axis=1, keepdims=True)
    held = np.flatnonzero(np.isin(folds, list(used)))
    tried: list[tuple[float, float]] = []

    def attempt(penalty: float, start: Solution | None) -> _Path:
        found = solve(rotated, codes, weights, k, penalty, start=start, tolerance=_ROUGH)
        held_out = np.full((n, k), np.nan, dtype=np.float32)
        for i, fold in enumerate(used):
            rows = np.flatnonzero(folds == fold)
            held_out[rows] = rotated.rows[rows] @ found.weight[i] + found.bias[i]
        score = temperature(held_out[held], codes[held])[1] if len(held) else 0.0
        tried.append((penalty, float(score)))
        return _Path(weighting, penalty, float(score), held_out, (), found)

    if config.penalty or not used:
        best = attempt(config.penalty or _DEFAULT_PENALTY, None)
    else:
        best = _search(attempt)
    return replace(best, tried=tuple(sorted(tried, reverse=True)))


def _search(attempt: Callable[[float, Solution | None], _Path]) -> _Path:
    """Down the decades until the score worsens, then half a decade to each side of the best."""
    best = attempt(float(_PATH[0]), None)
    for penalty in _PATH[1:]:
        found = attempt(float(penalty), best.solution)
        if found.score >= best.score:
            break
        best = found
    beside = [attempt(float(best.penalty * step), best.solution) for step in (10**0.5, 10**-0.5)]
    return min([best, *beside], key=lambda path: path.score)


def _first(solution: Solution) -> Solution:
    return Solution(
        solution.weight[:1], solution.bias[:1], solution.loss[:1], 0, solution.gradient[:1]
    )


def _choose_weighting(paths: Sequence[_Path], codes: np.ndarray, k: int) -> tuple[_Path, str]:
    """Plain weights, unless others beat them by more than noise (paired bootstrap, 95 % one-sided).

    The measure is the mean of accuracy and macro-F1: full balance alone can buy a point of the one
    with many of the other.
    """
    plain = paths[0]
    held = np.flatnonzero(np.isfinite(plain.held_out[:, 0]))
    if len(paths) == 1 or not len(held):
        return plain, ""
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, len(held), len(held)) for _ in range(_DRAWS)]

    def scores(path: _Path) -> np.ndarray:
        predicted, truth = path.held_out[held].argmax(axis=1), codes[held]
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
