"""The epochs of a training on standard error: one live line on a terminal, a line each elsewhere."""

import io
import sys

from headstart.cli.show import Progress
from headstart.stages import Passed, Stages
from headstart.types import Epoch

EPOCHS = (
    Passed("finetune", Epoch(0, 1.5, 1.25, 0.5, 1e-3, 2.0, True), 12, 5400.0),
    Passed("finetune", Epoch(2, 0.4, 0.31, 0.861, 1e-3, 6.0, True), 12, 240.0),
    Passed("finetune", Epoch(3, 0.3, 0.35, 0.85, 1e-3, 8.0, False), 12, 60.0),
)
LINES = [
    "finetune  epoch 1 of 12  loss 1.25  score 50.0 ★  1.5 h left",
    "finetune  epoch 3 of 12  loss 0.31  score 86.1 ★  4 min left",
    "finetune  epoch 4 of 12  loss 0.35  score 85.0  60 s left",
]


class Terminal(io.StringIO):
    """Standard error as a terminal; `screen` is the line that is left on it."""

    def isatty(self):
        return True

    @property
    def screen(self):
        line = ""
        for text in self.getvalue().split("\r"):
            line = text + line[len(text) :]
        return line.rstrip()


def test_a_line_an_epoch_where_it_is_kept(capsys):
    with Progress() as progress:
        stages = Stages(progress)
        for passed in EPOCHS:
            stages.epoch(passed)
    assert capsys.readouterr().err.splitlines() == LINES


def test_one_live_line_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress() as progress:
        for passed, line in zip(EPOCHS, LINES):
            progress.epoch(passed)
            assert terminal.screen == line
    assert terminal.screen == ""
    assert "\n" not in terminal.getvalue()


def test_quiet_is_quiet(capsys):
    with Progress(quiet=True) as progress:
        progress.epoch(EPOCHS[0])
    assert capsys.readouterr().err == ""
