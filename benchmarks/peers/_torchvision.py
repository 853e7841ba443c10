"""Imported before timm or fastai: lets torchvision be imported where its compiled library does not load.

torchvision describes the operators nms and qnms at import, and the import fails if nobody has declared
them. No runner uses them: declaring is enough.
"""

import importlib.util
from pathlib import Path

import torch


def _loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    for library in Path(spec.submodule_search_locations[0]).glob("_C*"):
        try:
            torch.ops.load_library(str(library))
        except (ImportError, OSError):
            continue
        return True
    return False


if not _loads():
    OPERATORS = torch.library.Library("torchvision", "FRAGMENT")  # they live as long as this object
    for name in ("nms", "qnms"):
        OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
