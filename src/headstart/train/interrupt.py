"""Ctrl-C, and what a system sends to end a program, wait until nothing is half done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_DEFAULT: dict[signal.Signals, Callable[[int, FrameType | None], Any] | signal.Handlers] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


@contextmanager
def deferred(agreed: Callable[[int], int] = lambda number: number) -> Iterator[Callable[[], None]]:
    """A function to call where a stop does no harm: it raises what the signal means.

    That is KeyboardInterrupt after Ctrl-C (SIGINT), and SystemExit with 143 after SIGTERM, as shells count.
    Sent a second time, a signal stops at once. Outside the main thread, or where the program handles a
    signal itself, nothing is changed.

    Args:
        agreed: the signal that came, 0 without one -> the one to stop for, e.g. what came to another
            process that must stop at the same place.
    """
    came: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        if came:
            signal.signal(number, _DEFAULT[signal.Signals(number)])
            os.kill(os.getpid(), number)
        came.append(number)

    def check() -> None:
        number = agreed(came[0] if came else 0)
        if number == signal.SIGTERM:
            raise SystemExit(128 + number)
        if number:
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    ours = [one for one in _DEFAULT if main and signal.getsignal(one) == _DEFAULT[one]]
    for one in ours:
        signal.signal(one, press)
    try:
        yield check
    finally:
        for one in ours:
            signal.signal(one, _DEFAULT[one])
