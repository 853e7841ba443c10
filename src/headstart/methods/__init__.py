"""The tables of methods, which all make a candidate.

`METHODS` learn a head from features, targets and folds; `TUNING` change the backbone's weights, and are
given inputs (see `headstart.train.material.Material`).
"""

from __future__ import annotations

from headstart.registry import Registry

METHODS = Registry("method", "headstart.methods", {"probe": "headstart.methods.probe:fit"})

TUNING = Registry(
    "method that changes weights",
    "headstart.tuning",
    {
        name: f"headstart.methods.{name}:fit"
        for name in ("bitfit", "contrastive", "distil", "finetune", "lora", "scratch")
    },
)
