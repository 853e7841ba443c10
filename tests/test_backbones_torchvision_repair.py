"""The repair: only where it is needed, and a non-maximum suppression that is right."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from headstart.backbones.torchvision_repair import non_maximum_suppression  # noqa: E402

pytestmark = pytest.mark.train
needs_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed"
)


def _python(code: str) -> str:
    """What a fresh interpreter prints; it must end well."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return float(width * height / (sum(areas) - width * height))


def _slow_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):  # a stable sort
        if all(_overlap(boxes[i], boxes[j]) <= threshold for j in kept):
            kept.append(i)
    return kept


def test_the_better_of_two_overlapping_boxes_stays() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    assert non_maximum_suppression(boxes, torch.tensor([0.8, 0.9, 0.1]), 0.5).tolist() == [1, 2]
    assert non_maximum_suppression(boxes, torch.tensor([0.8, 0.9, 0.1]), 0.7).tolist() == [1, 0, 2]


def test_a_box_that_was_suppressed_suppresses_nothing() -> None:
    chain = torch.tensor([[0.0, 0, 10, 1], [4, 0, 14, 1], [8, 0, 18, 1]])
    assert non_maximum_suppression(chain, torch.tensor([3.0, 2, 1]), 0.3).tolist() == [0, 2]


def test_no_boxes_and_empty_boxes() -> None:
    assert non_maximum_suppression(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []
    assert non_maximum_suppression(torch.zeros(2, 4), torch.ones(2), 0.5).tolist() == [0, 1]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 25),
    seed=st.integers(0, 10_000),
    threshold=st.sampled_from([0.1234, 0.3571, 0.5021]),
)
def test_agrees_with_a_naive_loop(n: int, seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 12, (n, 2))
    boxes = np.concatenate([low, low + rng.integers(1, 9, (n, 2))], axis=1).astype(np.float32)
    scores = rng.permutation(n).astype(np.float32)  # no ties: their order would be free
    found = non_maximum_suppression(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    assert found.tolist() == _slow_nms(boxes, scores, threshold)


@needs_torchvision
def test_timm_imports_and_torchvisions_own_functions_work() -> None:
    if importlib.util.find_spec("timm") is None:  # importing it here would need the repair
        pytest.skip("timm is not installed")
    out = _python(
        "from headstart.backbones.torchvision_repair import repair_torchvision as repair\n"
        "first = repair()\n"
        "import timm, torch, torchvision\n"
        "from torchvision.ops import batched_nms, nms\n"
        "boxes = torch.tensor([[0., 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])\n"
        "scores = torch.tensor([.8, .9, .1])\n"
        "print(first, repair(), nms(boxes, scores, .5).tolist(),\n"
        "      batched_nms(boxes, scores, torch.tensor([0, 1, 0]), .5).tolist())"
    )
    first, second, rest = out.split(" ", 2)
    assert first in ("healthy", "repaired")
    assert second == "imported"
    assert rest == "[1, 2] [1, 0, 2]"


@needs_torchvision
def test_repairs_only_when_the_operators_do_not_load() -> None:
    """Both outcomes on any installation: the library's loading is what decides."""
    code = (
        "import torch\n"
        "from headstart.backbones import torchvision_repair as it\n"
        "it._operators_load = lambda folder: {loads}\n"
        "it._let_nms_through = lambda: None\n"
        "print(it.repair_torchvision(), hasattr(torch.ops.torchvision, 'nms'))"
    )
    assert _python(code.format(loads="True")) == "healthy False"
    assert _python(code.format(loads="False")) == "repaired True"


def test_nothing_happens_without_torchvision() -> None:
    out = _python(
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'torchvision' else find(name, *rest)\n"
        "import sys\n"
        "from headstart.backbones.torchvision_repair import repair_torchvision\n"
        "print(repair_torchvision(), 'torch' in sys.modules)"
    )
    assert out == "absent False"


def test_nothing_happens_when_torchvision_was_imported_before() -> None:
    out = _python(
        "import sys, types\n"
        "sys.modules['torchvision'] = types.ModuleType('torchvision')\n"
        "from headstart.backbones.torchvision_repair import repair_torchvision\n"
        "print(repair_torchvision(), 'torch' in sys.modules)"
    )
    assert out == "imported False"
