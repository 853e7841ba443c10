"""What graphs compute of shapes, on plain numbers: an int, or a tuple of ints for a list of them.

Sizes never become tensors on the device, so a graph runs without waiting for it, and torch.compile
follows the sizes that vary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor


def _each(how: Callable[..., Any]) -> Callable[..., Any]:
    def run(*values: Any) -> Any:
        lengths = [len(value) for value in values if isinstance(value, tuple) and len(value) != 1]
        if not any(isinstance(value, tuple) for value in values):
            return how(*values)
        n = lengths[0] if lengths else 1
        rows = [
            (value * n if len(value) == 1 else value) if isinstance(value, tuple) else (value,) * n
            for value in values
        ]
        return tuple(how(*row) for row in zip(*rows))

    return run


def _host_divide(a: Any, b: Any) -> Any:
    return a // b if (a >= 0) == (b > 0) else -(-a // b)  # ONNX rounds towards 0


def _host_gather(data: Any, indices: Any, *, axis: int = 0) -> Any:
    return tuple(data[i] for i in indices) if isinstance(indices, tuple) else data[indices]


def _host_slice(data: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    return data[starts[0] : ends[0] : steps[0] if steps is not None else None]


def _host_concat(*parts: Any, axis: int) -> Any:
    return tuple(value for part in parts for value in part)


def _host_unsqueeze(value: Any, axes: Any) -> Any:
    return (value,)


def _host_squeeze(value: Any, axes: Any = None) -> Any:
    return value[0] if isinstance(value, tuple) else value


def _host_reshape(value: Any, shape: Any, *, allowzero: int = 0) -> Any:
    values = value if isinstance(value, tuple) else (value,)
    return values if len(shape) else values[0]


def _host_product(
    value: Any, axes: Any = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Any:
    product = math.prod(value) if isinstance(value, tuple) else value
    return (product,) if keepdims and isinstance(value, tuple) else product


def _host_same(value: Any, **attributes: Any) -> Any:
    return value


def shape_of(x: Tensor, *, start: int = 0, end: int | None = None) -> tuple[int, ...]:
    """ONNX's Shape, as numbers of the host."""
    return tuple(x.shape[start:end])


def size_of(x: Tensor) -> int:
    """ONNX's Size, as a number of the host."""
    return math.prod(x.shape)


MEASURES: dict[str, Callable[..., Any]] = {"Shape": shape_of, "Size": size_of}

HOST: dict[str, Callable[..., Any]] = {
    "Add": _each(lambda a, b: a + b), "Sub": _each(lambda a, b: a - b),
    "Mul": _each(lambda a, b: a * b), "Div": _each(_host_divide),
    "Mod": _each(lambda a, b: a % b), "Max": _each(max), "Min": _each(min),
    "Equal": _each(lambda a, b: a == b), "Where": _each(lambda c, a, b: a if c else b),
    "Cast": _host_same, "Identity": _host_same, "Gather": _host_gather, "Slice": _host_slice,
    "Concat": _host_concat, "Unsqueeze": _host_unsqueeze, "Squeeze": _host_squeeze,
    "Reshape": _host_reshape, "ReduceProd": _host_product,
}  # fmt: skip
