"""Random numbers inside a module, such as dropout, as a function of counters.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def own_random(device: torch.device, *counters: int) -> Iterator[None]:
    """Random numbers of torch (dropout) that depend on counters only; the caller's go on untouched.

    Args:
        device: where the module is.
        counters: seed, step and the like.
    """
    number = int(np.random.SeedSequence(counters).generate_state(1, np.uint64)[0] >> 1)
    cuda = device.type == "cuda"
    places = [torch.cuda.current_device() if device.index is None else device.index] if cuda else []
    with torch.random.fork_rng(devices=places):
        torch.random.set_rng_state(torch.Generator().manual_seed(number).get_state())
        for place in places:
            state = torch.Generator(f"cuda:{place}").manual_seed(number).get_state()
            torch.cuda.set_rng_state(state, place)
        yield
