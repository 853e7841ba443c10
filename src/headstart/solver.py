"""Exact multinomial logistic regression for many related problems at once.

The problem, for rows x_i (d) with classes y_i and row weights w_i that sum to 1:

    minimise  sum_i w_i * -log softmax(x_i W + b)[y_i]  +  penalty / 2 * ||W||^2        (b is free)

Three things make it fast:

* The features are rotated once into the eigenvectors of their Gram matrix and each direction is scaled
  by 1 / sqrt(c * eigenvalue + penalty), roughly the diagonal of the Hessian; with c = 1/2 it would be a
  bound on it (Boehning 1992), c is its mean where the search begins. What is left is well conditioned,
  and L-BFGS (Liu and Nocedal 1989) needs some ten to twenty steps. Directions with an eigenvalue of
  zero drop out, so n < d costs n columns.
* The problems of a cross-validation differ in their row weights only: they are solved in lockstep, one
  matrix product for all of them, and the held-out rows' logits come with it.
* Along the path of penalties, from strong to weak, each solution is the next one's start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_HISTORY = 10
_TINY = 1e-6  # eigenvalues below this share of the largest carry no information in float32


@dataclass(frozen=True)
class Rotated:
    """Features in the coordinates the solver works in; made once, shared by all folds and penalties.

    Attributes:
        rows: (n, r) float32, standardised, rotated features; the columns are uncorrelated.
        spectrum: (r,) mean square of each column.
        basis: (d, r), so that `standardised @ basis == rows`.
        mean: (d,) of the features.
        scale: (d,) standard deviation; 1 for constant features.
    """

    rows: np.ndarray
    spectrum: np.ndarray
    basis: np.ndarray
    mean: np.ndarray
    scale: np.ndarray


def rotate(features: np.ndarray) -> Rotated:
    """Standardise and rotate features.

    Args:
        features: (n, d) float32, n >= 1.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    scale = features.std(axis=0, dtype=np.float64)
    # a feature that hardly varies is constant: dividing by rounding noise would blow it up
    scale[scale <= 1e-6 * max(float(scale.max(initial=0.0)), 1e-12)] = 1.0
    x = ((features - mean.astype(np.float32)) / scale.astype(np.float32)).astype(np.float32)
    n, d = x.shape
    if n < d:
        values, vectors = np.linalg.eigh((x @ x.T).astype(np.float64))
        keep = values > _TINY * max(values[-1], 1e-12)
        roots = np.sqrt(values[keep])
        basis = (x.T @ (vectors[:, keep] / roots).astype(np.float32)).astype(np.float32)
        rows = (vectors[:, keep] * roots).astype(np.float32)
    else:
        values, vectors = np.linalg.eigh((x.T @ x).astype(np.float64))
        keep = values > _TINY * max(values[-1], 1e-12)
        basis = vectors[:, keep].astype(np.float32)
        rows = x @ basis
    spectrum = np.maximum(values[keep], 0) / n
    return Rotated(np.ascontiguousarray(rows), spectrum, basis, mean, scale)


@dataclass(frozen=True)
class Solution:
    """Weights of p problems in rotated coordinates.

    Attributes:
        weight: (p, r, k) float32.
        bias: (p, k) float32.
        loss: (p,) penalised objective at the solution.
        steps: how many L-BFGS steps were taken.
        gradient: (p,) largest preconditioned gradient entry that was left.
    """

    weight: np.ndarray
    bias: np.ndarray
    loss: np.ndarray
    steps: int
    gradient: np.ndarray

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(p, n, k) logits of rotated rows (n, r)."""
        return np.stack([rows @ w + b for w, b in zip(self.weight, self.bias)])


def unrotate(
    rotated: Rotated, weight: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A solution (r, k), (k,) as weights for plain features: (d, k), (k,), standardisation folded in."""
    plain = (rotated.basis.astype(np.float64) @ weight) / rotated.scale[:, None]
    return plain.astype(np.float32), (bias - rotated.mean @ plain).astype(np.float32)


def solve(
    rotated: Rotated,
    codes: np.ndarray,
    weights: np.ndarray,
    n_classes: int,
    penalty: float,
    *,
    start: Solution | None = None,
    tolerance: float = 1e-4,
    max_steps: int = 200,
) -> Solution:
    """Solve p problems that differ in their row weights.

    Args:
        rotated: the features.
        codes: (n,) class numbers.
        weights: (p, n) row weights >= 0, each row summing to 1; 0 leaves a row out.
        n_classes: k.
        penalty: of the squared weights (see the module's head); > 0.
        start: where to begin, e.g. the solution at a neighbouring penalty.
        tolerance: stop when no entry of the preconditioned gradient exceeds this share of its size
            at zero weights.
        max_steps: at most so many L-BFGS steps.
    """
    p, r, k = len(weights), rotated.rows.shape[1], n_classes
    curvature = _curvature(rotated.rows, weights, k, start)
    scaling = np.ones(r + 1)
    scaling[:r] = 1.0 / np.sqrt(curvature * rotated.spectrum + penalty)
    scaling[r] = 1.0 / np.sqrt(curvature)
    problem = _Problem(
        rotated.rows, codes, weights.astype(np.float32), k, penalty, scaling.astype(np.float32)
    )
    point = np.zeros((p, r + 1, k), dtype=np.float32)
    if start is not None:
        point[:, :r], point[:, r] = start.weight, start.bias
        point /= problem.scaling[:, None]
    point, loss, steps, gradient = _lbfgs(problem, point, tolerance, max_steps)
    plain = point * problem.scaling[:, None]
    return Solution(plain[:, :r], plain[:, r], loss, steps, gradient)


def _curvature(rows: np.ndarray, weights: np.ndarray, k: int, start: Solution | None) -> float:
    """The Hessian's scale c: the mean of p (1 - p) over rows and classes, where the search begins.

    A bound such as Boehning's 1/2 holds everywhere, but where the answers are nearly certain the
    curvature is a hundredth of it, and directions would be scaled as if the penalty did not matter.
    """
    if start is None:
        return (1 - 1 / k) / k
    some = slice(None, None, max(1, len(rows) // 2000))
    logits = rows[some] @ start.weight[0] + start.bias[0]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    share = weights[0, some] / max(float(weights[0, some].sum()), 1e-12)
    return max(float(share @ (1 - np.square(p).sum(axis=1))), 0.01) / k


class _Problem:
    """Objective and gradient in scaled coordinates, for any subset of the p problems."""

    def __init__(
        self,
        rows: np.ndarray,
        codes: np.ndarray,
        weights: np.ndarray,
        k: int,
        penalty: float,
        scaling: np.ndarray,
    ) -> None:
        self.rows, self.codes, self.weights = rows, codes, weights
        self.k, self.penalty, self.scaling = k, penalty, scaling
        self.every = np.arange(len(codes))
        self.totals = weights.sum(axis=1, dtype=np.float64)

    def __call__(self, which: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss (q,) and gradient (q, r + 1, k) of problems `which` at `point` (q, r + 1, k)."""
        n, r, k, q = len(self.codes), self.rows.shape[1], self.k, len(which)
        plain = point * self.scaling[:, None]  # (q, r + 1, k)
        stacked = plain[:, :r].transpose(1, 0, 2).reshape(r, q * k)
        logits = (self.rows @ stacked).reshape(n, q, k)
        logits += plain[:, r]
        logits -= logits.max(axis=2, keepdims=True)
        picked = logits[self.every, :, self.codes]  # (n, q)
        np.exp(logits, out=logits)
        total = logits.sum(axis=2)  # (n, q)
        w = self.weights[which].T  # (n, q)
        loss = ((np.log(total) - picked) * w).sum(axis=0, dtype=np.float64)
        logits *= (w / total)[:, :, None]  # weighted probabilities
        logits[self.every, :, self.codes] -= w
        gradient = np.empty_like(point)
        gradient[:, :r] = (
            (self.rows.T @ logits.reshape(n, q * k)).reshape(r, q, k).transpose(1, 0, 2)
        )
        gradient[:, r] = logits.sum(axis=0)
        gradient[:, :r] += self.penalty * plain[:, :r]
        loss += 0.5 * self.penalty * np.square(plain[:, :r], dtype=np.float64).sum(axis=(1, 2))
        return loss, gradient * self.scaling[:, None]


def _lbfgs(
    problem: _Problem, point: np.ndarray, tolerance: float, max_steps: int
) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """L-BFGS with backtracking on all problems in lockstep; finished ones leave the matrix product."""
    p = len(point)
    everyone = np.arange(p)
    zero = np.abs(problem(everyone, np.zeros_like(point))[1]).max(axis=(1, 2))
    goal = tolerance * np.maximum(zero, 1e-12)
    loss, gradient = problem(everyone, point)
    memory: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # steps s, changes y, 1 / <s, y>
    active = np.abs(gradient).max(axis=(1, 2)) > goal
    steps = 0
    while active.any() and steps < max_steps:
        steps += 1
        which = np.flatnonzero(active)
        direction = -_two_loops(memory, gradient, which)
        slope = np.einsum("qij,qij->q", direction, gradient[which])
        uphill = slope >= 0  # lost in rounding: fall back to the gradient
        direction[uphill] = -gradient[which][uphill]
        slope[uphill] = -np.square(gradient[which][uphill]).sum(axis=(1, 2))
        new_point, new_loss, new_gradient, moved = _backtrack(
            problem, which, point[which], loss[which], direction, slope
        )
        s = np.zeros_like(point)
        y = np.zeros_like(point)
        s[which] = new_point - point[which]
        y[which] = new_gradient - gradient[which]
        curvature = np.einsum("pij,pij->p", s, y, dtype=np.float64)
        usable = curvature > 1e-10 * np.einsum("pij,pij->p", y, y, dtype=np.float64)
        s[~usable] = 0  # a zero pair changes nothing in the two loops
        y[~usable] = 0
        memory = [
            *memory[-_HISTORY + 1 :],
            (s, y, np.where(usable, 1 / np.where(usable, curvature, 1), 0)),
        ]
        point[which], loss[which], gradient[which] = new_point, new_loss, new_gradient
        active[which] = moved & (np.abs(new_gradient).max(axis=(1, 2)) > goal[which])
    return point, loss, steps, np.abs(gradient).max(axis=(1, 2))


def _two_loops(memory: list, gradient: np.ndarray, which: np.ndarray) -> np.ndarray:
    """The inverse Hessian's estimate times the gradient (Nocedal and Wright 2006, algorithm 7.4)."""
    q = gradient[which].copy()
    alphas = []
    for s, y, rho in reversed(memory):
        alpha = (rho[which] * np.einsum("qij,qij->q", s[which], q)).astype(np.float32)
        q -= alpha[:, None, None] * y[which]
        alphas.append(alpha)
    if memory:
        s, y, rho = memory[-1]
        yy = np.einsum("qij,qij->q", y[which], y[which], dtype=np.float64)
        known = (rho[which] > 0) & (yy > 0)
        gamma = np.where(known, 1 / np.where(known, rho[which] * yy, 1), 1).astype(np.float32)
        q *= gamma[:, None, None]
    for (s, y, rho), alpha in zip(memory, reversed(alphas)):
        beta = (rho[which] * np.einsum("qij,qij->q", y[which], q)).astype(np.float32)
        q += (alpha - beta)[:, None, None] * s[which]
    return q


def _backtrack(
    problem: _Problem,
    which: np.ndarray,
    point: np.ndarray,
    loss: np.ndarray,
    direction: np.ndarray,
    slope: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Halve the step of those problems that did not fall enough (Armijo); they alone are tried again."""
    step = np.ones(len(which), dtype=np.float32)
    new_point = point + direction
    new_loss, new_gradient = problem(which, new_point)
    noise = 1e-6 * np.abs(loss)  # float32 sums cannot show a smaller fall
    for _ in range(20):
        bad = ~(new_loss <= loss + 1e-4 * step * slope + noise)
        if not bad.any():
            break
        step[bad] *= 0.5 if _ else 0.25
        new_point[bad] = point[bad] + step[bad, None, None] * direction[bad]
        new_loss[bad], new_gradient[bad] = problem(which[bad], new_point[bad])
    failed = ~(new_loss <= loss + noise)
    new_point[failed], new_loss[failed] = point[failed], loss[failed]
    new_gradient[failed] = problem(which[failed], point[failed])[1] if failed.any() else 0
    return new_point, new_loss, new_gradient, ~failed
