"""Low-rank updates: nothing at first, of the stated rank in the end, and merged as they were."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from headstart.train.low_rank import low_rank, merge  # noqa: E402

pytestmark = pytest.mark.train


def net(out: int = 9) -> torch.nn.Sequential:
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 12, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(12, out)
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.floats(0.5, 32), st.integers(0, 2**32))
def test_updates_begin_at_nothing_and_are_merged_as_they_were(rank, alpha, seed):
    module, before = net(), {name: p.detach().clone() for name, p in net().named_parameters()}
    x = torch.randn((4, 3, 3, 3), generator=torch.Generator().manual_seed(1))
    plain = module(x)
    pairs = low_rank(module, ["0.weight", "3.weight"], rank, alpha, seed)
    assert torch.equal(module(x), plain)
    with torch.no_grad():
        for left, _ in pairs:
            p = module.get_parameter(left)
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(2)))
    factors = [
        (module.get_parameter(left).detach().clone(), module.get_parameter(right).detach().clone())
        for left, right in pairs
    ]
    changed = module(x)
    assert not torch.allclose(changed, plain)
    merge(module)
    torch.testing.assert_close(module(x), changed)
    assert {name for name, _ in module.named_parameters()} == set(before)
    for name, (left, right) in zip(("0.weight", "3.weight"), factors):
        moved = (module.get_parameter(name) - before[name]).detach().reshape(len(left), -1)
        torch.testing.assert_close(moved, alpha / rank * left @ right, rtol=1e-3, atol=1e-4)
        assert np.linalg.matrix_rank(moved.double().numpy(), tol=1e-3) <= rank
    assert torch.equal(module.get_parameter("0.bias"), before["0.bias"])


def test_small_weights_are_left_alone_and_factors_depend_on_the_seed():
    module = net(out=2)
    assert low_rank(module, ["3.weight"], 8, 16, 0) == []  # 2 x 12 is smaller than its factors
    one, other, same = (net() for _ in range(3))
    (a,), (b,), (c,) = (
        low_rank(m, ["3.weight"], 2, 4, s) for m, s in ((one, 0), (other, 1), (same, 0))
    )
    assert torch.equal(one.get_parameter(a[1]), same.get_parameter(c[1]))
    assert not torch.equal(one.get_parameter(a[1]), other.get_parameter(b[1]))
