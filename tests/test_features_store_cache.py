"""headstart cache: what is shown of the store, and its limit."""

import json

import numpy as np
import pytest

from headstart.cli.main import main
from headstart.features.store import DEFAULT_LIMIT, Store


@pytest.fixture
def cache(capsys):
    """Run `headstart cache`; gives (exit status, standard output, standard error)."""

    def call(*arguments):
        capsys.readouterr()
        status = main(["cache", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


@pytest.fixture
def store():
    made = Store()
    for graph, n in (("ab" * 32, 10), ("cd" * 32, 30)):
        keys = [bytes([n, i]) for i in range(n)]
        made.writer(graph, 100).append(keys, np.full((n, 100), 0.1, np.float32), [""] * n)
    return made


def test_features_are_shown_by_graph_and_with_their_limit(cache, store):
    shown = json.loads(cache("--json")[1])
    assert shown["entries"] == 40
    assert shown["limit"] == DEFAULT_LIMIT
    assert shown["features"] == [
        {"graph": "cd" * 32, "entries": 30, "bytes": 12_000},
        {"graph": "ab" * 32, "entries": 10, "bytes": 4000},
    ]
    text = cache()[1]
    assert "40 entries, kept up to 21.5 GB" in text
    assert "30 of the graph cdcdcdcdcdcd" in text


def test_a_limit_trims_now_and_is_remembered(cache, store):
    store.get([bytes([10, 0])], 100)
    shown = json.loads(cache("--limit", "12kB", "--json")[1])
    assert (shown["limit"], shown["freed"], shown["entries"]) == (12_000, 4000, 30)
    cache("--clear", "all")
    shown = json.loads(cache("--json")[1])
    assert (shown["limit"], shown["entries"]) == (12_000, 0)
    assert Store().limit == 12_000


@pytest.mark.parametrize("option", ["--limit", "--trim"])
@pytest.mark.parametrize("size", ["lots", "-1GB", "5 G B", "9" * 400, ""])
def test_a_slip_in_one_option_leaves_all_as_it_was(cache, store, option, size):
    status, _, err = cache("--clear", "all", f"{option}={size}")
    assert status == 2
    assert f"{option} {size}: not a size" in err
    assert store.size().rows == 40


def test_a_limit_that_cannot_be_written(cache, store, monkeypatch):
    from headstart.features import store as module

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "atomic_write", full)
    status, _, err = cache("--limit", "1GB")
    assert status == 2
    assert "No space left" in err
    assert "Traceback" not in err


def test_a_damaged_store_is_said_so(cache, store):
    data = (store.folder / "index.sqlite").read_bytes()
    (store.folder / "index.sqlite").write_bytes(data[:16] + bytes(4096))
    status, out, err = cache()
    assert status == 0
    assert "was damaged" in err
    assert "0 entries" in out
