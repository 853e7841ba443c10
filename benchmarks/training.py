"""What the training loop gains: kept activations, speed beside a plain loop, and starting from the solved probe.

    python benchmarks/training.py kept --data FOLDER-OF-THE-DATA-SETS
    python benchmarks/training.py plain --data FOLDER
    python benchmarks/training.py domains --data FOLDER --seeds 0 1

kept: the upper layers of a backbone are tuned with what the lower layers made of every row kept, and, with
the same seeds, with the lower layers run again each time. Rows of the training data alone: a fifth is held out.

plain: a step of tuning a whole backbone, beside the same network in a plain eager float32 loop of PyTorch
(timm's or transformers' module, random batches padded to their longest). Weights are random on the plain side:
they change no time. Turns alternate. Ours is in the kind of numbers that is quicker here, as a fit within a budget takes it.

domains: PACS, learned from three domains (their training pictures) and measured on test pictures of the same
domains and on all pictures of the fourth; the head starts at the probe's solution, or at zero with one
learning rate for all layers, which is plain fine-tuning.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from headstart.backbones.choose import backbone_for
from headstart.backbones.torchvision_repair import repair_torchvision
from headstart.data import table as tables
from headstart.features.extract import extract
from headstart.features.store import Store
from headstart.methods import finetune, probe
from headstart.metrics import accuracy, confusion
from headstart.tasks.classification import Classification
from headstart.train import preparing, tuning
from headstart.train.material import Material
from headstart.train.memory import freed_memory_kept
from headstart.train.order import batches
from headstart.types import Backbone, Head, Table

_DOMAINS = ("art_painting", "cartoon", "photo", "sketch")
_STEPS = 12  # timed in a turn
_TURNS = 3
_ENDLESS = 1700.0  # seconds, more than a training takes: with a budget it takes the quicker numbers


@dataclass(frozen=True)
class Rows:
    """Training rows of a data set, some of them held out.

    Attributes:
        table: the rows.
        codes: (n,) class numbers.
        classes: k.
        features: (n, d) by the frozen backbone.
        held: (m,) rows that are held out.
        material: for a method; its head is the probe's of the other rows.
    """

    table: Table
    codes: np.ndarray
    classes: int
    features: np.ndarray
    held: np.ndarray
    material: Material


def rows_of(table: Table, seed: int, share: float = 0.2) -> Rows:
    """Features, a part that is held out, and the probe of the rest."""
    backbone = backbone_for(table, "auto", offline=True, say=print)
    features = np.asarray(extract(table, backbone, store=Store()).values)
    assert table.targets is not None
    task = Classification.from_targets(table.targets)
    codes, k = task.encode(table.targets), len(task.labels)
    order = np.random.default_rng(seed).permutation(len(codes))
    held = np.sort(order[: int(share * len(codes))])
    learn = np.setdiff1d(np.arange(len(codes)), held)
    head = probe.fit(features[learn], codes[learn], np.arange(len(learn)) % 5, k).head
    material = Material(table.inputs, codes, k, held, backbone, head, seed=seed)
    return Rows(table, codes, k, features, held, material)


def right(logits: np.ndarray, codes: np.ndarray, k: int) -> float:
    """Accuracy in points."""
    return 100 * float(accuracy(confusion(logits.argmax(axis=1), codes, k)))


def training_rows(data: Path, name: str) -> Table:
    """All rows of a data set but those of the test."""
    if name == "trashnet":
        table = tables.read(data / name)
    else:
        table = tables.read(data / name / "data.csv", input="text", target="label")
    assert table.split is not None
    return table.take([row for row, part in enumerate(table.split) if part != "test"])


# --- kept: with what lies below kept, and without ------------------------------------------------


def kept(data: Path, seeds: list[int]) -> None:
    """Seconds an epoch and the held-out accuracy, with the lower layers kept and run again."""
    for name, config in (
        ("trashnet", finetune.Config(depth=0.25, epochs=4)),
        ("financial_phrasebank", finetune.Config(depth=1 / 3, epochs=2)),
    ):
        for seed in seeds:
            rows = rows_of(training_rows(data, name), seed)
            began = time.perf_counter()
            preparing.prepared(rows.material, config)
            prepared = time.perf_counter() - began
            found = {
                "kept": epochs_of(rows, config, again=False),
                "run again": epochs_of(rows, config, again=True),
            }
            ratio = found["run again"][0] / found["kept"][0]
            told = ", ".join(
                f"{how} {each:.1f} s {score:.1f} %" for how, (each, score) in found.items()
            )
            print(
                f"{name} seed {seed}: {told}; {ratio:.1f} times; to keep {prepared:.0f} s",
                flush=True,
            )


def epochs_of(rows: Rows, config: finetune.Config, *, again: bool) -> tuple[float, float]:
    """Median seconds of an epoch, and the held-out accuracy after the last."""
    material = rows.material
    modality = material.backbone.modality
    factor = finetune._HEAD[modality]
    ready = upper = preparing.prepared(material, config)
    if again:
        ready = preparing.prepared(material, replace(config, depth=1.0))
    changed = set(upper.module.origins().values())
    groups = finetune.groups(upper.module, upper.layers, config, factor)
    if again:  # the same parameters, by their names in the whole graph
        there = {origin: name for name, origin in ready.module.origins().items()}
        old = upper.module.origins()
        groups = [
            replace(one, names=tuple(there[old[n]] if n in old else n for n in one.names))
            for one in groups
        ]
        assert changed <= set(there)
    settings = tuning.settings_of(material, config, finetune._RATES[modality], 0.01, 0.0)
    trained = tuning.run(
        ready.module,
        ready.source,
        tuning.to_learn(material),
        material,
        groups=groups,
        loss=tuning.loss_of(config),
        score=tuning.scoring(rows.classes),
        settings=settings,
    )
    ends = [0.0, *(one.seconds for one in trained.history)]
    each = statistics.median(np.diff(ends)[1:])
    return each, right(trained.held_out, rows.codes[rows.held], rows.classes)


# --- plain: beside a loop of a few lines ---------------------------------------------------------


def plain(data: Path, seeds: list[int]) -> None:
    """Rows a second of our step, and of the plain one."""
    repair_torchvision()
    for name in ("trashnet", "financial_phrasebank"):
        rows = rows_of(training_rows(data, name), seeds[0])
        learn = tuning.to_learn(rows.material)
        image = rows.material.backbone.modality == "image"
        ours, sorted_batches = our_step(rows, learn)
        theirs = plain_pictures(rows) if image else plain_texts(rows)
        rng = np.random.default_rng(0)
        drawn = [rng.choice(learn, 32, replace=False) for _ in range(_STEPS)]
        some = [sorted_batches[i] for i in rng.permutation(len(sorted_batches) - 1)[:_STEPS]]
        rates: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(_TURNS):
            with freed_memory_kept():
                rates["ours"].append(
                    max(timed(partial(ours, short), some) for short in (False, True))
                )
            rates["plain"].append(timed(theirs, drawn))
        ratios = [a / b for a, b in zip(rates["ours"], rates["plain"])]
        print(
            f"{name}: ours {statistics.median(rates['ours']):.1f}, plain"
            f" {statistics.median(rates['plain']):.1f} rows a second;"
            f" {statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


Step = Callable[[np.ndarray], None]


def timed(step: Step, given: list[np.ndarray]) -> float:
    """Rows a second, after a step to warm up."""
    step(given[0])
    began = time.perf_counter()
    for batch in given:
        step(batch)
    return sum(map(len, given)) / (time.perf_counter() - began)


def our_step(
    rows: Rows, learn: np.ndarray
) -> tuple[Callable[[bool, np.ndarray], None], list[np.ndarray]]:
    """A step of the whole backbone as the loop makes it, and the loop's batches."""
    config = finetune.Config(depth=1.0)
    ready = preparing.prepared(rows.material, config)
    parameters = list(ready.module.parameters())
    image = rows.material.backbone.modality == "image"
    for one in parameters:
        one.requires_grad_(True)
        if image and one.ndim == 4:
            one.data = one.data.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(parameters, lr=1e-5, fused=True)  # as the loop

    def step(short: bool, batch: np.ndarray) -> None:
        inputs, targets = ready.source.batch(batch, 0, 0, train=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            logits = ready.module(*inputs)
        _learn(logits.float(), targets, parameters, optimiser)

    lengths = ready.source.lengths
    own = None if lengths is None else lengths[learn]
    return step, batches(learn, 32, 0, None, own, 0)


def plain_texts(rows: Rows) -> Step:
    """MiniLM's network from transformers, mean of the tokens, a linear head."""
    from transformers import BertConfig, BertModel

    source = preparing.source_of(rows.material, finetune.Config())
    net = BertModel(
        BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
        )
    ).train()
    head = torch.nn.Linear(384, rows.classes)
    parameters = [*net.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-5)

    def step(batch: np.ndarray) -> None:
        (ids, mask), targets = source.batch(batch, 0, 0, train=True)
        made = net(input_ids=ids, attention_mask=mask).last_hidden_state
        mean = (made * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        _learn(head(mean), targets, parameters, optimiser)

    return step


def plain_pictures(rows: Rows) -> Step:
    """EfficientNet-Lite0 from timm, as it comes, on the same augmented pictures."""
    import timm

    source = preparing.source_of(rows.material, finetune.Config())
    net = timm.create_model("tf_efficientnet_lite0", num_classes=rows.classes).train()
    parameters = list(net.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=1e-5)

    def step(batch: np.ndarray) -> None:
        (pixels,), targets = source.batch(batch, 0, 0, train=True)
        made = pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()
        _learn(net(made), targets, parameters, optimiser)

    return step


def _learn(
    logits: torch.Tensor,
    targets: torch.Tensor,
    parameters: list[torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
) -> None:
    torch.nn.functional.cross_entropy(logits, targets).backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


# --- domains: from the solved probe, or plainly --------------------------------------------------


def domains(data: Path, seeds: list[int]) -> None:
    """Accuracy within the domains that were learned from, and on the one that was not."""
    read = {name: tables.read(data / "pacs" / name) for name in _DOMAINS}
    labels = Classification.from_targets(read["photo"].targets or ()).labels
    found: dict[str, list[tuple[float, float]]] = {"probe": [], "from the probe": [], "plain": []}
    for seed in seeds:
        for out in _DOMAINS:
            for how, both in one_domain(read, labels, out, seed).items():
                found[how].append(both)
                print(f"{out} seed {seed} {how}: in {both[0]:.1f}, out {both[1]:.1f}", flush=True)
    for how, pairs in found.items():
        inside, outside = np.mean(pairs, axis=0)
        print(f"{how}: in {inside:.1f}, out {outside:.1f}")


def one_domain(
    read: dict[str, Table], labels: tuple[str, ...], out: str, seed: int
) -> dict[str, tuple[float, float]]:
    """Accuracy (inside, outside) of the probe, of tuning from it, and of plain fine-tuning."""
    parts = [
        (table, np.array([part == "train" for part in table.split or ()]))
        for name, table in read.items()
        if name != out
    ]
    inputs = [x for table, train in parts for x in table.take(np.flatnonzero(train)).inputs]
    codes = np.concatenate([_codes(table, labels)[train] for table, train in parts])
    tests = [table.take(np.flatnonzero(~train)) for table, train in parts]
    backbone = backbone_for(read[out], "auto", offline=True)
    features = np.concatenate([_features(t, backbone)[train] for t, train in parts])
    k = len(labels)
    folds = np.random.default_rng(seed).permutation(len(codes)) % 5
    head = probe.fit(features, codes, folds, k).head
    nothing = Head(np.zeros_like(head.weight), np.zeros_like(head.bias))
    nothing_held = np.empty(0, np.int64)
    material = Material(inputs, codes, k, nothing_held, backbone, head, seed=seed, budget=_ENDLESS)
    config = finetune.Config(epochs=6)
    tuned = finetune.fit(material, config)
    plain = replace(config, layer_decay=1.0, keep=0.0)
    bare = finetune.fit(replace(material, head=nothing), plain)
    made = {"probe": (backbone, head), "from the probe": (tuned.backbone, tuned.head)}
    made["plain"] = (bare.backbone, bare.head)

    def measured(table: Table, model: tuple[Backbone, Head]) -> float:
        logits = _features(table, model[0]) @ model[1].weight + model[1].bias
        return right(logits, _codes(table, labels), k)

    return {
        how: (float(np.mean([measured(t, model) for t in tests])), measured(read[out], model))
        for how, model in made.items()
    }


def _codes(table: Table, labels: tuple[str, ...]) -> np.ndarray:
    return np.array([labels.index(one) for one in table.targets or ()])


def _features(table: Table, backbone: Backbone) -> np.ndarray:
    return np.asarray(extract(table, backbone, store=Store()).values)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    jobs = {"kept": kept, "plain": plain, "domains": domains}
    parser.add_argument("job", choices=list(jobs))
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    args = parser.parse_args()
    jobs[args.job](args.data, args.seeds)


if __name__ == "__main__":
    main()
