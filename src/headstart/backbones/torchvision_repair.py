"""Makes `import torchvision` work where its compiled operators do not load.

timm and the picture code of transformers import torchvision. The wheel of some package indexes was
compiled for another build of torch: its library `_C` does not load, and the import then ends in
"operator torchvision::nms does not exist", because torchvision describes that operator (and its
quantised sister) without asking whether it is there. Declaring the two operators beforehand is
enough for everything a backbone needs; `nms` is also given a kernel, so that it works as well.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Outcome: TypeAlias = Literal["absent", "imported", "healthy", "repaired"]

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")  # the two that torchvision describes unconditionally
_libraries: list[Any] = []  # the operators live as long as the object that declared them
_lock = threading.Lock()


def repair_torchvision() -> Outcome:
    """Repair torchvision if, and only if, it needs it. Call it before timm or transformers.

    Returns:
        "absent" (not installed) or "imported" (somebody imported it already): nothing was done;
        "healthy": its operators load, nothing was changed; "repaired".

    Raises:
        ImportError: torch is not installed.
    """
    with _lock:
        if "torchvision" in sys.modules:
            return "imported"
        spec = importlib.util.find_spec("torchvision")
        if spec is None or not spec.submodule_search_locations:
            return "absent"
        # a healthy library must not meet operators that were declared a second time
        if _operators_load(Path(spec.submodule_search_locations[0])):
            return "healthy"
        _declare_operators()
        _let_nms_through()
        return "repaired"


def _operators_load(folder: Path) -> bool:
    """Whether the compiled library loads; loading it twice, as torchvision will, is harmless."""
    import torch

    for library in sorted(file for file in folder.glob("_C*") if file.suffix in (".so", ".pyd")):
        try:
            torch.ops.load_library(str(library))
        except (ImportError, OSError):
            continue
        return True
    return False


def _declare_operators() -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in _OPERATORS:
        if not hasattr(torch.ops.torchvision, operator):  # somebody else may have repaired it too
            library.define(operator + _SIGNATURE)
            if operator == "nms":
                for device in ("CPU", "CUDA"):
                    library.impl("nms", non_maximum_suppression, device)
    _libraries.append(library)


def _let_nms_through() -> None:
    """torchvision's `nms` refuses to run without the compiled library; now there is a kernel."""
    from torchvision.ops import boxes

    boxes._assert_has_ops = lambda: None


def non_maximum_suppression(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression, as `torchvision.ops.nms` defines it.

    Args:
        dets: (n, 4) boxes as x1, y1, x2, y2.
        scores: (n,).
        iou_threshold: a box goes when it overlaps a better one that stays by more than this.

    Returns:
        (m,) int64: which boxes stay, best first.
    """
    import torch

    order = scores.argsort(descending=True, stable=True)
    low, high = dets[order].float().split(2, dim=1)  # (n, 2) each
    area = (high - low).prod(1)  # (n,)
    stays = torch.ones(len(order), dtype=torch.bool, device=dets.device)
    for best in range(len(order)):
        if not stays[best]:
            continue
        rest = slice(best + 1, None)
        sides = torch.minimum(high[best], high[rest]) - torch.maximum(low[best], low[rest])
        shared = sides.clamp(min=0).prod(1)
        # 0 / 0 of two empty boxes is no overlap: the comparison with NaN is false
        stays[rest] &= ~(shared / (area[best] + area[rest] - shared) > iou_threshold)
    return order[stays]
