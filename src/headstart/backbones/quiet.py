"""Silence from other libraries while they load and convert a model."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_TALKERS = (
    "httpx", "httpx2", "huggingface_hub", "onnx_ir", "onnxscript", "timm", "torch", "torch._dynamo",
    "torch.export", "torch.fx", "torch.onnx", "transformers", "urllib3",
)  # fmt: skip
# levels, filters and progress bars belong to the whole process: two loads at once would restore
# each other's silence
_lock = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """No log lines, warnings or progress bars inside the block; all as it was after it.

    What goes wrong still raises. One thread at a time.
    """
    with _lock:
        levels = {name: logging.getLogger(name).level for name in _TALKERS}
        for name in _TALKERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with _no_bars():
                    yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without the download bars of huggingface_hub, where it is installed."""
    try:
        from huggingface_hub.utils import (
            are_progress_bars_disabled,
            disable_progress_bars,
            enable_progress_bars,
        )
    except ImportError:
        yield
        return
    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
