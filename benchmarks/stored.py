"""Features of the open data sets, through the store: computed once, for all measurements of trust."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headstart.backbones.choose import backbone_for
from headstart.data.doctor import duplicate_groups
from headstart.features.extract import extract
from headstart.features.store import Store
from headstart.types import Roles, Table

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Rows:
    """Rows of one data set.

    Attributes:
        features: (n, d) float32.
        labels: n labels.
        codes: (n,) class numbers, in the order of the sorted labels.
        parts: n of "train", "val", "test".
        domains: n domains; empty strings where the data has none.
        groups: (n,) rows with the same content have the same number.
    """

    features: np.ndarray
    labels: np.ndarray
    codes: np.ndarray
    parts: np.ndarray
    domains: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def k(self) -> int:
        """Number of classes."""
        return int(self.codes.max()) + 1

    def take(self, rows: np.ndarray) -> Rows:
        """Some rows; classes are numbered anew."""
        some = replace(
            self,
            features=self.features[rows],
            labels=self.labels[rows],
            parts=self.parts[rows],
            domains=self.domains[rows],
            groups=self.groups[rows],
        )
        return replace(some, codes=np.unique(some.labels, return_inverse=True)[1])


def read(data: Path, name: str, backbone: str = "auto", most: int = 0) -> Rows:
    """A data set of the folder `data`, with its features.

    Args:
        data: the folder of the data sets.
        name: of the data set.
        backbone: by default the one that suits the data.
        most: rows to take at most, evenly spread; 0 takes all.
    """
    folder = data / name
    table, domains = _texts(folder) if (folder / "data.csv").is_file() else _pictures(folder)
    if most and len(table) > most:
        some = np.linspace(0, len(table) - 1, most).astype(int)
        table, domains = table.take(some), [domains[i] for i in some]
    features = extract(
        table,
        backbone_for(table, backbone, offline=True),
        store=Store(),
        progress=lambda done, total: print(f"\r{name} {done}/{total}", end="", file=sys.stderr),
    )
    print(file=sys.stderr)
    assert table.targets is not None
    assert table.split is not None
    labels = np.array(table.targets)
    rows = Rows(
        features.values,
        labels,
        np.unique(labels, return_inverse=True)[1],
        np.array(table.split),
        np.array(domains),
        duplicate_groups(table),
    )
    return rows.take(np.flatnonzero(features.readable))


def _texts(folder: Path) -> tuple[Table, list[str]]:
    with (folder / "data.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    texts = [line["text"] for line in lines]
    table = _table(folder, texts, [x["label"] for x in lines], [x["split"] for x in lines])
    return table, [line.get("domain", "") for line in lines]


def _pictures(folder: Path) -> tuple[Table, list[str]]:
    """SPLIT/CLASS/file or DOMAIN/SPLIT/CLASS/file; without such folders, all of one class."""
    found = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    parts, classes, domains = [], [], []
    for path in found:
        above = path.relative_to(folder).parts[:-1]
        at = next((i for i, one in enumerate(above) if one in PARTS), None)
        parts.append("test" if at is None else above[at])
        classes.append("" if at is None else above[at + 1])
        domains.append("" if not at else above[0])
    return _table(folder, found, classes, parts), domains


def _table(folder: Path, inputs: Sequence, labels: Sequence[str], parts: Sequence[str]) -> Table:
    names = tuple(f"{folder.name}:{i}" for i in range(len(inputs)))
    modality = "text" if isinstance(inputs[0], str) else "image"
    roles = Roles("input", "label", "split")
    return Table(
        tuple(inputs), tuple(labels), names, modality, roles, folder.name, split=tuple(parts)
    )
