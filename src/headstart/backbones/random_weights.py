"""How a backbone says that nothing in it was pretrained."""

from __future__ import annotations

from dataclasses import replace

from headstart.types import Backbone

_START = "random weights"


def random_weights(backbone: Backbone, seed: int) -> Backbone:
    """The backbone, which says so in `why`.

    Args:
        backbone: made with random weights.
        seed: of them.
    """
    return replace(backbone, why=f"{_START}, seed {seed}: nothing in it was pretrained")


def is_random(backbone: Backbone) -> bool:
    """Whether a backbone says of itself that its weights are random."""
    return backbone.why.startswith(_START)
