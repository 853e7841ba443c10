"""Shared fixtures: a cache of its own for each test, a tiny backbone that comes in by the plug-in door."""

import os
import socket
import sys
from pathlib import Path

import hypothesis
import numpy as np
import pytest

# the same examples in every CI run: a new find must not fail somebody else's change; no example has a
# deadline: how long one takes depends on what else the machine does
hypothesis.settings.register_profile("any", deadline=None)
hypothesis.settings.register_profile("ci", derandomize=True, print_blob=True, deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "any")

PLUGIN = Path(__file__).parent / "plugin"
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(PLUGIN))  # its dist-info folder makes the entry point known

# the starters' cache, filled by the set-up step; tests that need no weights get an empty one
SHARED_CACHE = os.environ.get("HEADSTART_CACHE")


@pytest.fixture(autouse=True)
def _own_cache(request, tmp_path_factory, monkeypatch):
    if request.node.get_closest_marker("starter") is None:
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch):
    """No test reaches the network: connections but to this machine are refused."""
    connect = socket.socket.connect

    def guarded(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in (
            "127.0.0.1",
            "::1",
            "localhost",
        ):
            raise OSError(f"tests must not reach the network: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def photos(tmp_path):
    """A folder of class folders: three colours, 20 pictures each."""
    from tests_support import COLOURS, paint

    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for i in range(20):
            paint(tmp_path / "photos" / name / f"{name}{i:02}.png", colour, rng)
    return tmp_path / "photos"


@pytest.fixture
def reviews(tmp_path):
    """A CSV of made-up reviews in two classes."""
    rng = np.random.default_rng(1)
    good = ["lovely", "great", "wonderful", "happy", "perfect", "好", "喜欢"]
    bad = ["awful", "broken", "terrible", "sad", "useless", "坏", "差"]
    lines = ["text,label"]
    for i in range(120):
        label, words = (("good", good), ("bad", bad))[i % 2]
        lines.append(f"{' '.join(rng.choice(words, 4))} number {i},{label}")
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
