"""Exact multinomial logistic regression for many related problems at once.

The problem, for rows x_i (d) with classes y_i and row weights w_i that sum to 1:

    minimise  sum_i w_i * -log softmax(x_i W + b)[y_i]  +  penalty / 2 * ||W||^2        (b is free)

Four things make it fast:

* The features are turned into the eigenvectors of their Gram matrix (`solver_rows`) and each direction of
  each class is scaled by the root of the Hessian's diagonal where the search begins, estimated on a
  sample. What is left is well conditioned, and L-BFGS (Liu and Nocedal 1989) needs some five to ten steps.
* It stops when the next step promises less than a share of the loss: beyond that no answer changes.
* The problems of a cross-validation differ in their row weights only: they are solved in lockstep, one
  matrix product for all of them. Along a path of penalties, from strong to weak, and from few rows to
  many, each solution is the next one's start.
* Rows are taken in blocks, so that no array but the features grows with them; the features may lie in a
  file. All processors work on a block, in pieces whose bounds do not depend on how many there are.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from headstart.compute import generator, threads
from headstart.solver_rows import Rows, Run

_HISTORY = 20  # pairs that L-BFGS keeps, as far as they fit ...
_MEMORY = 2**26  # ... in so many numbers, but at least 5
_BLOCK = 2**22  # logits in memory at once
_BLOCK_ROWS = 2**14
_PIECE = 2**16  # logits that one thread works on: they stay in its cache
_SCALED_BY = 2000  # rows that the Hessian's diagonal is estimated on
_NOISE = 1e-7  # float32 sums do not show smaller shares of the loss


@dataclass(frozen=True)
class Solution:
    """Weights of p problems in rotated coordinates.

    Attributes:
        weight: (p, r, k) float32.
        bias: (p, k) float32.
        loss: (p,) penalised objective at the solution.
        steps: how many L-BFGS steps were taken.
        left: (p,) what one more step promised to take off the loss.
    """

    weight: np.ndarray
    bias: np.ndarray
    loss: np.ndarray
    steps: int
    left: np.ndarray


def logits(rows: Rows, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(n, k) logits of rows at one problem's weights (r, k) and bias (k,)."""
    made = np.empty((len(rows), len(bias)), dtype=np.float32)
    turned, done = rows.inward(weight), 0
    for x in rows.blocks(_BLOCK_ROWS, map):
        np.matmul(x, turned, out=made[done : done + len(x)])
        done += len(x)
    made += bias
    return made


def solve(
    rows: Rows,
    codes: np.ndarray,
    weights: np.ndarray,
    n_classes: int,
    penalty: float,
    *,
    start: Solution | None = None,
    tolerance: float = 1e-3,
    max_steps: int = 200,
) -> Solution:
    """Solve p problems that differ in their row weights.

    Args:
        rows: n rows of features.
        codes: (n,) class numbers.
        weights: (p, n) row weights >= 0, each row summing to 1; 0 leaves a row out.
        n_classes: k.
        penalty: of the squared weights (see the module's head); > 0.
        start: where to begin, e.g. the solution at a neighbouring penalty.
        tolerance: stop when the next step promises to lower the loss by less than this share of it.
        max_steps: at most so many L-BFGS steps.
    """
    p, r, k = len(weights), len(rows.spectrum), n_classes
    scaling = _scaling(rows, weights[0], k, penalty, start)
    point = np.zeros((p, r + 1, k), dtype=np.float32)
    if start is not None:
        point[:, :r], point[:, r] = start.weight, start.bias
        point /= scaling
    with ThreadPoolExecutor(threads()) as pool:
        run: Run = pool.map if len(rows) * p * k > 2 * _PIECE else map
        problem = _Problem(rows, codes, weights.astype(np.float32), k, penalty, scaling, run)
        point, loss, steps, left = _lbfgs(problem, point, tolerance, max_steps)
    plain = point * scaling
    return Solution(plain[:, :r], plain[:, r], loss, steps, left)


def _scaling(
    rows: Rows, weights: np.ndarray, k: int, penalty: float, start: Solution | None
) -> np.ndarray:
    """(r + 1, k): 1 / root of the Hessian's diagonal where the search begins, estimated on a sample.

    The diagonal is the mean of p (1 - p) z^2 over rows, for the class's probability p and the
    direction's value z. A bound such as Boehning's (1992) holds everywhere, but where the answers are
    nearly certain the curvature is a hundredth of it, and lies in the rows that are not.
    """
    r = len(rows.spectrum)
    if start is None:
        mean = np.full(k, (1 - 1 / k) / k)
        diagonal = np.outer(rows.spectrum, mean)
    else:
        some = np.flatnonzero(weights > 0)
        if len(some) > _SCALED_BY:
            some = np.sort(generator(0).choice(some, _SCALED_BY, replace=False))
        z = rows.few(some)  # (m, r)
        p = _softmax(z @ start.weight[0] + start.bias[0])
        p *= 1 - p
        share = (weights[some] / weights[some].sum()).astype(np.float32)
        mean = share @ p
        mean = 0.5 * mean + 0.5 * max(float(mean.mean()), 0.01 / k)
        # a class has few rows in the sample: a part of the diagonal is that of uncorrelated p and z
        diagonal = 0.7 * (np.square(z).T @ (p * share[:, None])) + 0.3 * np.outer(
            rows.spectrum, mean
        )
    scaling = np.empty((r + 1, k), dtype=np.float32)
    scaling[:r] = 1 / np.sqrt(diagonal + penalty)
    scaling[r] = 1 / np.sqrt(mean)
    return scaling


def _softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


class _Problem:
    """Objective and gradient in scaled coordinates, for any subset of the p problems."""

    def __init__(
        self,
        rows: Rows,
        codes: np.ndarray,
        weights: np.ndarray,
        k: int,
        penalty: float,
        scaling: np.ndarray,
        run: Run,
    ) -> None:
        self.rows, self.codes, self.weights = rows, codes, weights
        self.k, self.penalty, self.scaling, self.run = k, penalty, scaling, run
        size = max(1, min(_BLOCK_ROWS, _BLOCK // (len(weights) * k), len(rows)))
        self.size = size
        self.space = np.empty(size * len(weights) * k, dtype=np.float32)

    def __call__(self, which: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Loss (q,) and gradient (q, r + 1, k) of problems `which` at `point` (q, r + 1, k)."""
        r, k, q = point.shape[1] - 1, self.k, len(which)
        plain = point * self.scaling  # (q, r + 1, k)
        bias = plain[:, r]
        turned = self.rows.inward(plain[:, :r].transpose(1, 0, 2).reshape(r, q * k))  # (c, q * k)
        product, biases, loss = np.zeros_like(turned), np.zeros((q, k)), np.zeros(q)
        done = 0
        for x in self.rows.blocks(self.size, self.run):
            flat = self.space[: len(x) * q * k].reshape(len(x), q * k)
            np.matmul(x, turned, out=flat)
            logits = flat.reshape(len(x), q, k)
            for part_loss, part_bias in self._residuals(logits, bias, which, done):
                loss += part_loss
                biases += part_bias
            product += x.T @ flat
            done += len(x)
        gradient = np.empty_like(point)
        gradient[:, :r] = self.rows.outward(product).reshape(r, q, k).transpose(1, 0, 2)
        gradient[:, r] = biases
        gradient[:, :r] += self.penalty * plain[:, :r]
        loss += 0.5 * self.penalty * np.square(plain[:, :r], dtype=np.float64).sum(axis=(1, 2))
        return loss, gradient * self.scaling

    def _residuals(
        self, logits: np.ndarray, bias: np.ndarray, which: np.ndarray, first: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """A block's logits (b, q, k), without bias, become weighted residuals, in place.

        Returns:
            For each piece of the block, in order, its loss (q,) and its residuals' sum (q, k).
        """
        b, q, k = logits.shape
        step = max(1, _PIECE // (q * k))

        def piece(at: int) -> tuple[np.ndarray, np.ndarray]:
            z = logits[at : at + step]
            rows = slice(first + at, first + at + len(z))
            every, codes = np.arange(len(z)), self.codes[rows]
            w = self.weights[which, rows].T  # (n, q)
            z += bias
            z -= z.max(axis=2, keepdims=True)
            picked = z[every, :, codes]  # (n, q)
            np.exp(z, out=z)
            total = z.sum(axis=2)  # (n, q)
            loss = ((np.log(total) - picked) * w).sum(axis=0, dtype=np.float64)
            z *= (w / total)[:, :, None]  # weighted probabilities
            z[every, :, codes] -= w
            return loss, z.sum(axis=0)

        return list(self.run(piece, range(0, b, step)))  # type: ignore[arg-type]


def _lbfgs(
    problem: _Problem, point: np.ndarray, tolerance: float, max_steps: int
) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """L-BFGS with backtracking on all problems in lockstep; finished ones leave the matrix product.

    A step promises half the slope along it: the scaled Hessian is nearly the identity from the start.
    """
    p = len(point)
    loss, gradient = problem(np.arange(p), point)
    history = int(np.clip(_MEMORY // (2 * point.size), 5, _HISTORY))
    memory: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # steps s, changes y, 1 / <s, y>
    left = np.zeros(p)
    active = np.ones(p, dtype=bool)
    steps = 0
    while True:
        which = np.flatnonzero(active)
        direction = -_two_loops(memory, gradient, which)
        slope = np.einsum("qij,qij->q", direction, gradient[which])
        uphill = slope >= 0  # lost in rounding: fall back to the gradient
        direction[uphill] = -gradient[which][uphill]
        slope[uphill] = -np.square(gradient[which][uphill]).sum(axis=(1, 2))
        left[which] = -slope / 2
        going = left[which] > max(tolerance, _NOISE) * loss[which]
        active[which] = going
        which, direction, slope = which[going], direction[going], slope[going]
        if not len(which) or steps == max_steps:
            return point, loss, steps, left
        steps += 1
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
            *memory[-history + 1 :],
            (s, y, np.where(usable, 1 / np.where(usable, curvature, 1), 0)),
        ]
        point[which], loss[which], gradient[which] = new_point, new_loss, new_gradient
        active[which] = moved
        if not moved.any():
            return point, loss, steps, left


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
