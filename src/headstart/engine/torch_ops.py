"""The operators of ONNX as torch functions: operator name -> function, for the torch engine.

The functions take an operator's inputs in order and its attributes by name, as the specification calls
them (https://onnx.ai/onnx/operators), and know nothing of precision: products (Conv, Gemm, MatMul) run
in the shorter of their operands' types, sums and means return float32, all else follows torch's type
promotion. So a graph with bfloat16 weights keeps its norms, softmaxes and pooled vectors in float32.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

DTYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32,
    7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64, 16: torch.bfloat16,
}  # fmt: skip

Ints = Sequence[int]


@dataclass(frozen=True)
class Operator:
    """One row of the table.

    Attributes:
        run: inputs in order, attributes by name -> a tensor, or a tuple of them.
        host: positions of the inputs that are numbers for the host (shapes, axes), not tensors.
        plain: positions of the inputs that may be a plain number where the graph holds a constant.
        makes: it makes a tensor from numbers, so it is told the device.
    """

    run: Callable[..., Any]
    host: tuple[int, ...] = ()
    plain: tuple[int, ...] = ()
    makes: bool = False


OPERATORS: dict[str, Operator] = {}


def operator(
    *names: str, host: tuple[int, ...] = (), plain: tuple[int, ...] = (), makes: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put a function into the table under these names; see `Operator` for the rest."""

    def put(run: Callable[..., Any]) -> Callable[..., Any]:
        OPERATORS.update(dict.fromkeys(names, Operator(run, host, plain, makes)))
        return run

    return put


# what takes the same tensors as in torch, and no attribute
_SAME: dict[str, Callable[..., Any]] = {
    "Abs": torch.abs, "Add": torch.add, "And": torch.logical_and, "BitwiseAnd": torch.bitwise_and,
    "BitwiseNot": torch.bitwise_not, "BitwiseOr": torch.bitwise_or, "BitwiseXor": torch.bitwise_xor,
    "Ceil": torch.ceil, "Cos": torch.cos, "Equal": torch.eq, "Erf": torch.erf, "Exp": torch.exp,
    "Floor": torch.floor, "Greater": torch.gt, "GreaterOrEqual": torch.ge,
    "HardSwish": functional.hardswish, "IsNaN": torch.isnan, "Less": torch.lt,
    "LessOrEqual": torch.le, "Log": torch.log, "Mish": functional.mish, "Mul": torch.mul,
    "Neg": torch.neg, "Not": torch.logical_not, "Or": torch.logical_or,
    "Reciprocal": torch.reciprocal, "Relu": torch.relu, "Round": torch.round,
    "Sigmoid": torch.sigmoid, "Sign": torch.sign, "Sin": torch.sin, "Softplus": functional.softplus,
    "Sqrt": torch.sqrt, "Sub": torch.sub, "Tanh": torch.tanh, "Where": torch.where,
    "Xor": torch.logical_xor,
}  # fmt: skip
OPERATORS.update({name: Operator(function) for name, function in _SAME.items()})


@operator("Div")
def _div(a: Tensor, b: Tensor) -> Tensor:
    return torch.div(a, b, rounding_mode=None if a.dtype.is_floating_point else "trunc")


@operator("Mod")
def _mod(a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


@operator("Pow")
def _pow(x: Tensor, exponent: Tensor) -> Tensor:
    y = torch.pow(x, exponent)
    return y if x.dtype.is_floating_point else y.to(x.dtype)


@operator("Max")
def _max(*values: Tensor) -> Tensor:
    return functools.reduce(torch.maximum, values)


@operator("Min")
def _min(*values: Tensor) -> Tensor:
    return functools.reduce(torch.minimum, values)


@operator("Sum")
def _sum(*values: Tensor) -> Tensor:
    return functools.reduce(torch.add, values)


@operator("Clip", plain=(1, 2))
def _clip(x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    if isinstance(min, float) and isinstance(max, float) and x.dtype.is_floating_point:
        # the same, and its derivative is one pass, not four
        return functional.hardtanh(x, min, max)
    return x if min is None and max is None else torch.clamp(x, min, max)


@operator("Cast")
def _cast(x: Tensor, *, to: int, saturate: int = 1, round_mode: str = "up") -> Tensor:
    if to == 1 and x.dtype == torch.bfloat16:
        return x  # float32 in the graph is what the engine chose to compute it in
    return x.to(DTYPES[to])


@operator("CastLike")
def _cast_like(x: Tensor, like: Tensor, *, saturate: int = 1) -> Tensor:
    return x.to(like.dtype)


@operator("Identity")
def _identity(x: Tensor) -> Tensor:
    return x


@operator("Dropout")
def _dropout(x: Tensor, ratio: Any = None, training: Any = None, *, seed: int = 0) -> Tensor:
    return x


@operator("Gelu")
def _gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    return functional.gelu(x, approximate=approximate)


@operator("HardSigmoid")
def _hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return torch.clamp(x * alpha + beta, 0, 1)


@operator("LeakyRelu")
def _leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    return functional.leaky_relu(x, alpha)


@operator("Elu")
def _elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return functional.elu(x, alpha)


@operator("PRelu")
def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


@operator("Softmax")
def _softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


@operator("LogSoftmax")
def _log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return torch.log_softmax(x, axis)


# ---- shapes


@operator("ConstantOfShape", host=(0,), makes=True)
def _constant_of_shape(
    shape: Ints, *, device: Any, value: float = 0.0, dtype: torch.dtype = torch.float32
) -> Tensor:
    return torch.full(tuple(shape), value, dtype=dtype, device=device)


@operator("Range", host=(0, 1, 2), makes=True)
def _range(start: Any, limit: Any, delta: Any, *, device: Any) -> Tensor:
    return torch.arange(start, limit, delta, device=device)


@operator("Reshape", host=(1,))
def _reshape(x: Tensor, shape: Ints, *, allowzero: int = 0) -> Tensor:
    if not allowzero:
        # a 0 copies; asked of plain numbers only, as a size that varies is never 0
        shape = [x.shape[i] if isinstance(s, int) and s == 0 else s for i, s in enumerate(shape)]
    return x.reshape(tuple(shape))


@operator("Flatten")
def _flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("Transpose")
def _transpose(x: Tensor, *, perm: Ints | None = None) -> Tensor:
    return x.permute(tuple(perm if perm is not None else range(x.ndim)[::-1]))


@operator("Squeeze", host=(1,))
def _squeeze(x: Tensor, axes: Ints | None = None) -> Tensor:
    return torch.squeeze(x) if axes is None else torch.squeeze(x, tuple(axes))


@operator("Unsqueeze", host=(1,))
def _unsqueeze(x: Tensor, axes: Ints) -> Tensor:
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@operator("Expand", host=(1,))
def _expand(x: Tensor, shape: Ints) -> Tensor:
    rank = max(x.ndim, len(shape))
    own = (1,) * (rank - x.ndim) + tuple(x.shape)
    asked = (1,) * (rank - len(shape)) + tuple(shape)
    return x.expand(tuple(a if isinstance(b, int) and b == 1 else b for a, b in zip(own, asked)))


@operator("Tile", host=(1,))
def _tile(x: Tensor, repeats: Ints) -> Tensor:
    return x.repeat(tuple(repeats))


@operator("Concat")
def _concat(*parts: Tensor, axis: int) -> Tensor:
    return torch.cat(parts, axis)


@operator("Split", host=(1,))
def _split(
    x: Tensor, split: Ints | None = None, *, axis: int = 0, num_outputs: int = 1
) -> tuple[Tensor, ...]:
    if split is None:
        return torch.split(x, -(-x.shape[axis] // num_outputs), axis)
    return torch.split(x, list(split), axis)


@operator("Slice", host=(1, 2, 3, 4))
def _slice(
    x: Tensor, starts: Ints, ends: Ints, axes: Ints | None = None, steps: Ints | None = None
) -> Tensor:
    for i, (start, end) in enumerate(zip(starts, ends)):
        axis = axes[i] % x.ndim if axes is not None else i
        step = steps[i] if steps is not None else 1
        if step > 0:
            x = x[(slice(None),) * axis + (slice(start, end, step),)]
        else:
            places = list(range(*slice(start, end, step).indices(x.shape[axis])))
            x = x.index_select(axis, torch.tensor(places, dtype=torch.int64, device=x.device))
    return x


@operator("Gather", plain=(1,))
def _gather(x: Tensor, indices: Any, *, axis: int = 0) -> Tensor:
    if isinstance(indices, int):
        return x.select(axis, indices)
    axis = axis % x.ndim
    places = _from_the_start(indices, x.shape[axis])
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    return x.index_select(axis, places.reshape(-1)).reshape(shape)


@operator("GatherElements")
def _gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    return torch.gather(x, axis, _from_the_start(indices, x.shape[axis]))


@operator("GatherND")
def _gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    lead = [
        torch.arange(n, device=x.device).reshape(
            [-1 if i == j else 1 for j in range(indices.ndim - 1)]
        )
        for i, n in enumerate(x.shape[:batch_dims])
    ]
    return x[(*lead, *(part.long() for part in indices.unbind(-1)))]


def _from_the_start(indices: Tensor, size: int) -> Tensor:
    return torch.where(indices < 0, indices + size, indices).long()


@operator("Trilu", plain=(1,))
def _trilu(x: Tensor, k: Any = 0, *, upper: int = 1) -> Tensor:
    return torch.triu(x, int(k)) if upper else torch.tril(x, int(k))


@operator("CumSum", host=(1,))
def _cum_sum(x: Tensor, axis: int | Ints, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    along = axis if isinstance(axis, int) else axis[0]
    y = torch.flip(x, (along,)) if reverse else x
    total = torch.cumsum(y, along, dtype=x.dtype)
    total = total - y if exclusive else total
    return torch.flip(total, (along,)) if reverse else total


@operator("Pad", host=(1, 3), plain=(2,))
def _pad(
    x: Tensor, pads: Ints, value: Any = None, axes: Ints | None = None, *, mode: str = "constant"
) -> Tensor:
    axes = [a % x.ndim for a in axes] if axes is not None else list(range(x.ndim))
    sides = [(0, 0)] * x.ndim
    for i, axis in enumerate(axes):
        sides[axis] = (pads[i], pads[i + len(axes)])
    while mode != "constant" and len(sides) > 1 and sides[0] == (0, 0) and x.ndim - len(sides) < 2:
        sides = sides[1:]  # torch mirrors the last axes only
    flat = [n for side in sides[::-1] for n in side]
    if mode == "constant":
        return functional.pad(x, flat, value=0.0 if value is None else float(value))
    return functional.pad(x, flat, mode={"edge": "replicate", "wrap": "circular"}.get(mode, mode))


# ---- sums over axes, in float32


def _sums(x: Tensor) -> torch.dtype | None:
    return torch.float32 if x.dtype in (torch.bfloat16, torch.float16) else None


def _reduction(how: Callable[[Tensor, tuple[int, ...], bool], Tensor]) -> Callable[..., Tensor]:
    def run(
        x: Tensor, axes: Ints | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> Tensor:
        if not axes and noop_with_empty_axes:
            return x
        return how(x, tuple(axes) if axes else tuple(range(x.ndim)), bool(keepdims))

    return run


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
        x = torch.prod(x, axis, keep, dtype=x.dtype)
    return x


def _log_sum_exp(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.logsumexp(x, axes, keep)


_REDUCTIONS: dict[str, Callable[[Tensor, tuple[int, ...], bool], Tensor]] = {
    "ReduceSum": lambda x, a, k: torch.sum(x, a, k, dtype=_sums(x) or x.dtype),
    "ReduceMean": lambda x, a, k: torch.mean(x, a, k, dtype=_sums(x)),
    "ReduceMax": torch.amax,
    "ReduceMin": torch.amin,
    "ReduceProd": _product,
    "ReduceL1": lambda x, a, k: torch.sum(torch.abs(x), a, k, dtype=_sums(x) or x.dtype),
    "ReduceL2": lambda x, a, k: torch.linalg.vector_norm(x, 2, a, k, dtype=_sums(x)),
    "ReduceSumSquare": lambda x, a, k: torch.sum(torch.square(x), a, k, dtype=_sums(x) or x.dtype),
    "ReduceLogSumExp": _log_sum_exp,
}
OPERATORS.update({name: Operator(_reduction(how), host=(1,)) for name, how in _REDUCTIONS.items()})


@operator("ArgMax")
def _arg_max(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    if not select_last_index:
        return torch.argmax(x, axis, bool(keepdims))
    return x.shape[axis] - 1 - torch.argmax(torch.flip(x, (axis,)), axis, bool(keepdims))
