"""The table of backbone sources: the part of a backbone's name before the colon."""

from __future__ import annotations

from headstart.registry import Registry

SOURCES = Registry(
    "backbone source",
    "headstart.backbones",
    {
        "starter": "headstart.backbones.starter:load",
        "scratch": "headstart.backbones.scratch:load",
        "timm": "headstart.backbones.hub_timm:load",
        "hf": "headstart.backbones.hub_transformers:load",
    },
)
