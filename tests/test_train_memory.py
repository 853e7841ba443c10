"""Freed memory stays with the process while a training runs, and is given back afterwards."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from headstart.train import memory
from headstart.train.memory import freed_memory_kept

resource = pytest.importorskip("resource")

pytestmark = pytest.mark.skipif(memory._glibc() is None, reason="the C library is not glibc")
_SIZE = 64 << 20  # more than glibc ever keeps by itself


def faults_of(times: int) -> int:
    """Pages that the system handed out while a large block was filled and freed again and again."""
    library = memory._glibc()
    assert library is not None
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        block = library.malloc(_SIZE)
        ctypes.memset(block, 1, _SIZE)
        library.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def held() -> int:
    """Pages of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_a_block_that_is_asked_for_again_is_there() -> None:
    outside = faults_of(4)
    with freed_memory_kept():
        faults_of(1)
        inside = faults_of(4)
    assert inside < outside / 10


def test_afterwards_it_is_given_back_also_after_an_error() -> None:
    def failing() -> None:
        with freed_memory_kept():
            faults_of(1)
        assert memory._inside == 1
        raise ValueError("stop")

    before = held()
    with pytest.raises(ValueError, match="stop"), freed_memory_kept():
        failing()
    assert memory._inside == 0
    assert held() - before < _SIZE / 4096 / 2


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with freed_memory_kept():
        assert memory._glibc() is None
