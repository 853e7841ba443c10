"""The table of trackers: each shows the epochs and the outcome of a fit in a tool of its own.

A row is a class made as `cls()`, which fails with `MissingExtra` where its package is not installed; its
instances are a `headstart.trackers.watching.Tracker`. Every package is imported when the tracker is
made, never before.
"""

from __future__ import annotations

from headstart.registry import Registry

TRACKERS = Registry(
    "tracker",
    "headstart.trackers",
    {
        "mlflow": "headstart.trackers.mlflow:MLflow",
        "tensorboard": "headstart.trackers.tensorboard:TensorBoard",
        "trackio": "headstart.trackers.trackio:Trackio",
        "wandb": "headstart.trackers.wandb:WeightsAndBiases",
    },
)
"""Name -> implementation, resolved on first use, with entry points and "did you mean"."""
