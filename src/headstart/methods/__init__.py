"""The table of methods: each makes a candidate from the same features, targets and folds."""

from __future__ import annotations

from headstart.registry import Registry

METHODS = Registry("method", "headstart.methods", {"probe": "headstart.methods.probe:fit"})
