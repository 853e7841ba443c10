"""Headstart: transfer learning for the data you have.

import headstart as hs

model = hs.fit("photos/")
model.predict(["a.jpg"])
model.save("flowers.headstart")
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

# onnxruntime 1.32 begins a list of events for its maker, with a number for this machine, when it is
# imported; it looks at this first. Who wants the list sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

_PUBLIC = {
    "read": "headstart.api",
    "fit": "headstart.api",
    "evaluate": "headstart.api",
    "compare": "headstart.api",
    "doctor": "headstart.api",
    "load": "headstart.api",
    "Model": "headstart.model",
    "HeadstartError": "headstart.errors",
}

__all__ = [
    "HeadstartError",
    "Model",
    "__version__",
    "compare",
    "doctor",
    "evaluate",
    "fit",
    "load",
    "read",
]


def __getattr__(name: str) -> Any:
    """Public names are resolved on first use, so that `import headstart` costs nothing."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'headstart' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
