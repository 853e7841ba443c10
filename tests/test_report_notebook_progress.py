"""Progress in a notebook, in a real kernel and without one."""

import re
import sys

import pytest

import headstart.report.notebook_progress as room
from headstart.report.notebook_progress import NotebookProgress, for_here
from headstart.stages import Passed, Stages
from headstart.types import Epoch
from headstart.wording import epoch_line

BEST = Epoch(2, 0.4, 0.312, 0.861, 1e-3, 20.0, True)


class Display:
    """A display that keeps all it was told."""

    def __init__(self):
        self.shown, self.handles = [], 0

    def __call__(self, html):
        self.handles += 1
        self.shown.append(html)
        return self

    def update(self, content):
        self.shown.append(content._repr_html_())


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: now[0])
    return now


def text(html):
    return re.sub(r"<[^>]+>", " ", html)


def test_an_epoch_on_one_line():
    assert epoch_line("finetune", BEST, 12, 240.0) == (
        "finetune  epoch 3 of 12  loss 0.312  score 86.1 ★  4 min left"
    )
    worse = Epoch(0, 1.5, None, None, 1e-3, 2.0, False)
    assert epoch_line("lora", worse, 1, 0.0) == "lora  epoch 1 of 1  loss 1.5"


def test_stages_and_a_bar_in_one_display(clock):
    display = Display()
    progress = NotebookProgress(display)
    progress("read", 0, 0)
    assert not display.shown  # short work shows nothing
    clock[0] += 2
    progress("features", 0, 400)
    clock[0] += 10
    progress("features", 100, 400)
    assert "features 100 of 400, 30 s left" in text(display.shown[-1])
    assert "width:25%" in display.shown[-1]
    assert display.handles == 1


def test_updates_are_few_and_the_last_one_is_shown(clock):
    display = Display()
    progress = NotebookProgress(display)
    clock[0] += 2
    for done in range(1001):
        clock[0] += 0.001
        progress("features", done, 1000)
    assert len(display.shown) < 10
    assert "features 1,000 of 1,000" in text(display.shown[-1])


def test_an_epoch_has_the_bar_of_its_training(clock):
    display = Display()
    stages = Stages(NotebookProgress(display))
    stages.epoch(Passed("finetune", BEST, 12, 240.0))
    assert "finetune  epoch 3 of 12  loss 0.312  score 86.1 ★  4 min left" in text(
        display.shown[-1]
    )
    assert "width:25%" in display.shown[-1]
    clock[0] += 2
    stages.progress("evaluate", 0, 0)
    assert "epoch" not in display.shown[-1]


def test_messages_stay_in_sight_and_are_only_text(clock):
    display = Display()
    progress = NotebookProgress(display)
    for i in range(8):
        progress(f"<script>alert({i})</script> was read", 0, 0)
    assert "<script" not in display.shown[-1]
    assert "alert(7)" in display.shown[-1]
    assert "alert(2)" not in display.shown[-1]


def test_at_the_end_the_bar_goes_and_the_messages_stay(clock):
    display = Display()
    progress = NotebookProgress(display)
    progress("columns were guessed", 0, 0)
    clock[0] += 30
    progress("features", 1, 2)
    progress.close()
    assert " ".join(text(display.shown[-1]).split()) == "columns were guessed done in 30 s"
    unused = Display()
    NotebookProgress(unused).close()
    assert unused.handles == 0


def test_nowhere_but_in_a_kernel(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert for_here() is None
    assert "IPython" not in sys.modules


def test_the_ipython_of_a_terminal_gets_none():
    ipython = pytest.importorskip("IPython", reason="IPython comes with the extra dev")
    assert ipython.get_ipython() is None
    assert for_here() is None


CELL = """
from headstart.report.notebook_progress import for_here
from headstart.stages import Passed, Stages
from headstart.types import Epoch

progress = for_here()
progress._started -= 5  # the second in which nothing is shown is over
stages = Stages(progress)
with stages.enter("fit"):
    for i in range(3):
        stages.epoch(Passed("finetune", Epoch(i, 1.0, 0.5 - i / 10, 0.25 * i, 1e-3, 1.0, True), 3, 2 - i))
"""


@pytest.mark.filterwarnings("ignore")  # of the kernel's own libraries
def test_in_a_kernel_one_output_is_updated_in_place():
    client = pytest.importorskip("nbclient", reason="nbclient comes with the extra dev")
    nbformat = pytest.importorskip("nbformat", reason="nbformat comes with the extra dev")
    pytest.importorskip("ipykernel", reason="ipykernel comes with the extra dev")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    client.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "display_data"
    assert "epoch 3 of 3  loss 0.3  score 50.0 ★" in output.data["text/html"]
    assert "widget" not in str(output)
