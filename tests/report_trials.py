"""Made-up trials for the examples of reports, judged by the guard itself."""

from __future__ import annotations

import dataclasses

import numpy as np

from headstart.evaluation.guard import Entry, guard
from headstart.report.content import Report
from headstart.scores import Trial, Trials
from headstart.types import Epoch

MISSING = "torch is not installed: pip install 'headstart[train]'"
LONG = (
    "Out of memory in epoch 3: batches pass in 4 pieces from here on. The lower 34 of 52 layers are "
    "run once and kept, which took 128 s and 1.4 GB in the cache; the backbone has layers that cannot be "
    "exported with other weights, so the normalisation after the last convolution stays as it was pretrained, "
    "which may cost a little of what could have been gained here."
)


def history(epochs: int, best: int, seconds: float, top: float = 0.85) -> tuple[Epoch, ...]:
    """A training that learns until its best epoch (from 0) and overfits after it."""
    made, lowest = [], np.inf
    for i in range(epochs):
        loss = 0.42 + 0.5 * np.exp(-2.5 * i / max(best, 1)) + 0.006 * max(i - best, 0)
        loss += 0.008 * np.sin(5.1 * i) * (i != best)
        score = top - 0.5 * (loss - 0.42) ** 1.2 + 0.004 * np.sin(3.7 * i)
        better = bool(loss < lowest)
        lowest = min(loss, lowest)
        made.append(
            Epoch(i, loss - 0.1, loss, score, 1e-3 * 0.9**i, seconds * (i + 1) / epochs, better)
        )
    return tuple(made)


def trials(*rivals: tuple[str, float, float, int], n: int = 480, seed: int = 0, budget: float = 600.0) -> Trials:  # fmt: skip
    """The probe, right on 80 % of the rows, and rivals: name, share right, seconds, epochs."""
    rng = np.random.default_rng(seed)
    k = 6
    codes = np.arange(n) % k
    hard = rng.random(n)  # the same rows are hard for all
    entries = []
    for i, (name, right, seconds, _) in enumerate((("probe", 0.8, 1.6, 0), *rivals)):
        logits = np.zeros((n, k))
        own = hard + np.random.default_rng([seed, i]).normal(0, 0.03, n)
        said = np.where(own < right, codes, (codes + 1) % k)
        logits[np.arange(n), said] = 1
        entries.append(Entry(name, logits, seconds))
    found = guard(codes, entries, rng)
    epochs = {name: (count, seconds) for name, _, seconds, count in rivals}
    tried = []
    for one in found.tried:
        count, seconds = epochs.get(one.method, (0, 0.0))
        top = 0.0 if one.score is None else one.score.value
        passed = history(count, max(count * 2 // 3, 0), seconds, top) if count else ()
        chosen = {"epochs": count, "lr": 1e-3} if count else {"penalty": 0.01}
        tried.append(dataclasses.replace(one, history=passed, chosen=chosen))
    return dataclasses.replace(found, tried=tuple(tried), budget=budget)


def noise() -> Trials:
    """One rival, which does not lead beyond noise."""
    return trials(("finetune", 0.806, 64.0, 12))


def won() -> Trials:
    """Three, of which two lead; the best has a long remark."""
    found = trials(
        ("bitfit", 0.808, 22.0, 8), ("lora", 0.868, 48.0, 10), ("finetune", 0.874, 95.0, 12)
    )
    return dataclasses.replace(
        found, tried=(*found.tried[:-1], dataclasses.replace(found.tried[-1], note=LONG))
    )  # fmt: skip


def many() -> Trials:
    """Six, one not tried, long remarks, one worse than the probe."""
    found = trials(
        ("bitfit", 0.806, 22.0, 8),
        ("lora", 0.83, 48.0, 10),
        ("finetune", 0.90, 95.0, 25),
        ("contrastive", 0.74, 1215.0, 60),
        budget=0.0,
    )
    tried = list(found.tried)
    tried[3] = dataclasses.replace(tried[3], note=LONG)
    tried.append(Trial("distil", 0.0, note=MISSING))
    return dataclasses.replace(found, tried=tuple(tried))


def alone() -> Trials:
    """The probe, and what could not be tried."""
    found = trials()
    others = (Trial("finetune", 0.0, note=MISSING), Trial("mine-own_method", 3.0))
    return dataclasses.replace(found, tried=(*found.tried, *others))


def surer() -> Trials:
    """One rival that answers alike, and is surer where it is right: it is kept for its probabilities."""
    rng = np.random.default_rng(7)
    n, k = 480, 6
    codes = np.arange(n) % k
    said = np.where(rng.random(n) < 0.8, codes, (codes + 1) % k)
    flat, told = np.zeros((n, k)), np.zeros((n, k))
    flat[np.arange(n), said] = 1
    flip = rng.random(n)
    better = np.where(flip < 0.01, codes, np.where(flip > 0.992, (codes + 1) % k, said))
    told[np.arange(n), better] = np.where(better == codes, rng.normal(4, 1, n), rng.normal(1, 1, n))
    found = guard(codes, [Entry("probe", flat, 1.6), Entry("finetune", told, 64.0)], rng)
    tuned = dataclasses.replace(found.tried[1], history=history(12, 8, 64.0, 0.81))
    return dataclasses.replace(found, tried=(found.tried[0], tuned), budget=600.0)


def asked() -> Trials:
    """One rival within noise that was asked for."""
    return dataclasses.replace(noise(), kept="finetune", budget=0.0, asked=True)


def having(report: Report, tried: Trials | None) -> Report:
    """The report with what was tried."""
    return dataclasses.replace(
        report, evaluation=dataclasses.replace(report.evaluation, trials=tried)
    )
