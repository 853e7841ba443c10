"""Signals wait for a place where a stop does no harm; a second one does not wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from headstart.train.interrupt import deferred

WORK = """
import signal, sys, time
from headstart.train.interrupt import deferred
with deferred() as check:
    print("begun", flush=True)
    for line in sys.stdin:
        if line == "check\\n":
            check()
        print("went on", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are others there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_waits_and_the_second_does_not(number: signal.Signals) -> None:
    source = Path(__file__).parents[1] / "src"
    for second in (False, True):
        process = subprocess.Popen(
            [sys.executable, "-c", WORK], env=os.environ | {"PYTHONPATH": str(source)}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        process.stdin.write("more\n")
        process.stdin.flush()
        assert process.stdout.readline() == "went on\n"
        if second:
            process.send_signal(number)
        else:
            process.stdin.write("check\n")
            process.stdin.flush()
        status = process.wait(30)
        process.stdin.close()
        process.stdout.close()
        assert status == (143 if number == signal.SIGTERM and not second else -number)


def test_what_came_to_another_process_stops_this_one_too() -> None:
    asked: list[int] = []

    def agreed(number: int) -> int:
        asked.append(number)
        return int(signal.SIGTERM)

    with pytest.raises(SystemExit) as came, deferred(agreed) as check:
        check()
    assert came.value.code == 143
    assert asked == [0]


def test_handlers_of_the_program_and_other_threads_are_left_alone() -> None:
    def own(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, own)
    try:
        with deferred():
            assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)

    def elsewhere() -> None:
        with deferred() as check:
            check()
            seen.append(signal.getsignal(signal.SIGTERM))

    seen: list[object] = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]


def test_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with deferred():
        pass
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
