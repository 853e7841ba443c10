"""The notebooks of docs/tutorials run from top to bottom, each in an empty folder."""

import json
import re
from pathlib import Path

import pytest

from headstart.backbones.choose import backbone_named
from headstart.errors import HeadstartError

FOLDER = Path(__file__).parents[1] / "docs" / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_saved_without_outputs_or_places(path):
    notebook = json.loads(path.read_text("utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code
    for cell in code:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
    assert not re.search(r"/(home|root|Users|tmp)/|[A-Z]:\\\\", path.read_text("utf-8"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_somewhere(path):
    for target in re.findall(r"\]\((\.\.[^)#]+)", path.read_text("utf-8")):
        assert (FOLDER / target).exists(), target


@pytest.mark.starter
@pytest.mark.filterwarnings("ignore")  # of the kernel's own libraries
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    client = pytest.importorskip("nbclient", reason="nbclient comes with the extra dev")
    nbformat = pytest.importorskip("nbformat", reason="nbformat comes with the extra dev")
    pytest.importorskip("ipykernel", reason="ipykernel comes with the extra dev")
    for name in ("starter:lite0", "starter:minilm"):
        try:
            backbone_named(name, offline=True)
        except HeadstartError as error:
            pytest.skip(f"{name} is not in the cache: {error.message}")
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    client.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = "".join(str(output.get("text", output.get("data", ""))) for output in outputs)
    assert "Headstart model" in shown  # the card
    value, low, high = map(
        float, re.search(r"new \w+: ([\d.]+) \[([\d.]+), ([\d.]+)\]", shown).groups()
    )
    assert low <= value <= high
    assert value > 0.6  # a third is chance
    assert list(tmp_path.glob("*.headstart"))
