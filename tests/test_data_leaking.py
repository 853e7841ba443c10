"""Columns that give the label away, and those that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.data import table as tables
from headstart.data.columns import Columns
from headstart.data.leaking import determined, leaking_columns
from headstart.data.sources import columns_of

N = 400


def found(**others) -> dict[str, str]:
    """Column -> message, for columns beside a text and a label."""
    rng = np.random.default_rng(0)
    label = rng.choice(["cat", "dog", "eel"], N).tolist()
    columns = {"text": [f"a text, number {i}" for i in range(N)], "label": label}
    columns |= {name: make(label, rng) for name, make in others.items()}
    source = {name: list(values) for name, values in columns.items()}
    table = tables.read(source, input="text", target="label")
    findings = leaking_columns(columns_of(source), table)
    assert all(one.kind == "leaking-column" and not one.rows for one in findings)
    return {one.suggestions[0]: one.message for one in findings}


def test_the_label_under_another_name():
    names = {"cat": "0", "dog": "1", "eel": "2"}
    assert (
        "another name" in found(number=lambda label, rng: [names[one] for one in label])["number"]
    )


def test_a_column_that_knows_more_than_the_label():
    def breed(label, rng):
        return [f"{one} {rng.integers(0, 5)}" for one in label]

    message = found(breed=breed)["breed"]
    assert "alone gives 100 %" in message


def test_numbers_that_give_the_label_away():
    def weight(label, rng):
        return [{"cat": 4, "dog": 20, "eel": 1}[one] + rng.random() for one in label]

    assert "weight" in found(weight=weight)


@pytest.mark.parametrize(
    "make",
    [
        lambda label, rng: list(range(N)),  # an identifier
        lambda label, rng: [f"id-{i}" for i in range(N)],
        lambda label, rng: ["same"] * N,
        lambda label, rng: [None] * N,
        lambda label, rng: rng.choice(["x", "y"], N).tolist(),
        lambda label, rng: rng.normal(size=N).tolist(),
        # right in nine of ten rows: a good feature, not a leak
        lambda label, rng: [one if rng.random() < 0.9 else "cat" for one in label],
        lambda label, rng: [np.zeros(2)] * N,
    ],
)
def test_columns_that_give_nothing_away(make):
    assert found(other=make) == {}


def test_a_split_column_and_few_rows_are_no_leak():
    label = ["a", "b"] * 30
    data = {"text": [f"text {i}" for i in range(60)], "label": label, "twin": label}
    data["split"] = ["train" if one == "a" else "test" for one in label]
    table = tables.read(data)
    assert [one.suggestions for one in leaking_columns(columns_of(data), table)] == [("twin",)]
    assert leaking_columns(columns_of(data), table.take(range(10))) == ()
    assert leaking_columns(None, table) == ()


def test_determined_is_checked_on_rows_that_were_not_learned_from():
    rng = np.random.default_rng(1)
    effects = rng.choice(["a", "b"], 200).tolist()
    right, seen = determined([str(i) for i in range(200)], effects)
    assert right is None
    assert seen == 0
    right, seen = determined(effects, effects)
    assert (right, seen) == (1.0, 1.0)


def test_columns_of_a_file_and_of_a_folder(tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,label,more\nx,a,1\n")
    columns = columns_of(tmp_path / "a.csv")
    assert isinstance(columns, Columns)
    assert list(columns.values) == ["text", "label", "more"]
    assert columns_of(tmp_path) is None
