"""The table of tasks: what is to be predicted, and how it is measured."""

from __future__ import annotations

from headstart.registry import Registry

TASKS = Registry(
    "task",
    "headstart.tasks",
    {"classification": "headstart.tasks.classification:Classification"},
)
