"""The operators of ONNX that are layers: products, convolutions, pools, norms, quantisation.

They join the table of `headstart.engine.torch_ops`; what is said there holds here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from headstart.engine.torch_ops import DTYPES, Ints, operator


def _alike(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All in the shortest of their types: a bfloat16 weight makes a bfloat16 product."""
    types = {tensor.dtype for tensor in tensors}
    if len(types) == 1:
        return tensors
    shortest = min(types, key=lambda kind: kind.itemsize)
    return tuple(tensor.to(shortest) for tensor in tensors)


@operator("MatMul")
def _matmul(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(*_alike(a, b))


@operator("Gemm")
def _gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Tensor:
    a, b = _alike(a, b)
    product = torch.matmul(a.T if transA else a, b.T if transB else b)
    product = product if alpha == 1 else product * alpha
    if c is None:
        return product
    return product + (c if beta == 1 else c * beta)


@operator("Einsum")
def _einsum(*tensors: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation, *_alike(*tensors))


# ---- convolution and pools: x is (n, c, *sizes), pads are ONNX's: all befores, then all afters


def _sides(
    x: Tensor, kernel: Ints, auto_pad: str, pads: Ints | None, strides: Ints, dilations: Ints
) -> list[int]:
    """The padding as ONNX writes it, worked out where the graph leaves it to the engine."""
    n = len(kernel)
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        return list(pads) if pads is not None and auto_pad != "VALID" else [0] * (2 * n)
    before, after = [], []
    for size, k, stride, gap in zip(x.shape[2:], kernel, strides, dilations):
        missing = max((-(-size // stride) - 1) * stride + (k - 1) * gap + 1 - size, 0)
        small, large = missing // 2, missing - missing // 2
        before.append(small if auto_pad == "SAME_UPPER" else large)
        after.append(large if auto_pad == "SAME_UPPER" else small)
    return before + after


def _padded(x: Tensor, sides: Sequence[int], value: float) -> Tensor:
    n = len(sides) // 2
    flat = [side for axis in range(n)[::-1] for side in (sides[axis], sides[axis + n])]
    return functional.pad(x, flat, value=value)


def _even(sides: Sequence[int]) -> bool:
    n = len(sides) // 2
    return list(sides[:n]) == list(sides[n:])


@operator("Conv")
def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    n = weight.ndim - 2
    strides, dilations = tuple(strides or (1,) * n), tuple(dilations or (1,) * n)
    sides = _sides(x, weight.shape[2:], auto_pad, pads, strides, dilations)
    x, weight = _alike(x, weight)
    padding: tuple[int, ...] = (0,) * n
    if _even(sides):
        padding = tuple(sides[:n])
    else:
        x = _padded(x, sides, 0.0)
    bias = None if bias is None else bias.to(x.dtype)
    conv = (torch.conv1d, torch.conv2d, torch.conv3d)[n - 1]
    if group > 1 and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        return _in_float32(conv, x, weight, bias, strides, padding, dilations, group)
    return conv(x, weight, bias, strides, padding, dilations, group)


def _in_float32(
    conv: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None, *rest: object
) -> Tensor:
    """A convolution by groups without autocast: a processor's bfloat16 derivative takes four times as long."""
    with torch.autocast("cpu", enabled=False):
        return conv(x.float(), weight.float(), None if bias is None else bias.float(), *rest)


@operator("MaxPool")
def _max_pool(
    x: Tensor,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
) -> Tensor:
    n = len(kernel_shape)
    strides, dilations = tuple(strides or (1,) * n), tuple(dilations or (1,) * n)
    sides = _sides(x, kernel_shape, auto_pad, pads, strides, dilations)
    padding: tuple[int, ...] = (0,) * n
    if _even(sides) and all(2 * side <= k for side, k in zip(sides, kernel_shape)):
        padding = tuple(sides[:n])
    else:
        x = _padded(x, sides, -math.inf)
    pool = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[n - 1]
    return pool(x, tuple(kernel_shape), strides, padding, dilations, bool(ceil_mode))


@operator("AveragePool")
def _average_pool(
    x: Tensor,
    *,
    kernel_shape: Ints,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    n = len(kernel_shape)
    kernel, strides = tuple(kernel_shape), tuple(strides or (1,) * n)
    sides = _sides(x, kernel, auto_pad, pads, strides, (1,) * n)
    pool = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[n - 1]
    if _even(sides) and all(2 * side <= k for side, k in zip(sides, kernel)):
        padding = tuple(sides[:n])
        return pool(x, kernel, strides, padding, bool(ceil_mode), bool(count_include_pad))
    mean = pool(_padded(x, sides, 0.0), kernel, strides, 0, bool(ceil_mode))
    if count_include_pad:
        return mean
    inside = _padded(torch.ones_like(x[:1, :1]), sides, 0.0)
    return mean / pool(inside, kernel, strides, 0, bool(ceil_mode))


@operator("GlobalAveragePool")
def _global_average_pool(x: Tensor) -> Tensor:
    half = x.dtype in (torch.bfloat16, torch.float16)
    axes = tuple(range(2, x.ndim))
    return torch.mean(x, axes, True, dtype=torch.float32 if half else None)


@operator("GlobalMaxPool")
def _global_max_pool(x: Tensor) -> Tensor:
    return torch.amax(x, tuple(range(2, x.ndim)), True)


# ---- norms


@operator("BatchNormalization")
def _batch_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
) -> Tensor:
    shape = (-1,) + (1,) * (x.ndim - 2)
    gain = scale.float() * torch.rsqrt(variance.float() + epsilon)
    shift = bias.float() - mean.float() * gain
    return (x * gain.reshape(shape) + shift.reshape(shape)).to(x.dtype)


@operator("LayerNormalization")
def _layer_norm(
    x: Tensor,
    scale: Tensor,
    bias: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:
    shape = x.shape[axis:]
    gain = scale.to(x.dtype).expand(shape)
    shift = None if bias is None else bias.to(x.dtype).expand(shape)
    return functional.layer_norm(x, shape, gain, shift, epsilon)


@operator("RMSNormalization")
def _rms_norm(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    axes = tuple(range(axis % x.ndim, x.ndim))
    wide = x.float()
    root = torch.rsqrt(torch.mean(torch.square(wide), axes, True) + epsilon)
    return (wide * root).to(x.dtype) * scale.to(x.dtype)


@operator("InstanceNormalization")
def _instance_norm(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    gain, shift = scale.to(x.dtype), bias.to(x.dtype)
    return functional.instance_norm(x, weight=gain, bias=shift, eps=epsilon)


# ---- quantisation


def _along(value: Tensor, x: Tensor, axis: int) -> Tensor:
    """A scale or zero point, shaped to meet x: one number, or one for each place of the axis."""
    if value.numel() == 1:
        return value.reshape(())
    return value.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


@operator("QuantizeLinear")
def _quantize(
    x: Tensor,
    scale: Tensor,
    zero: Tensor | None = None,
    *,
    axis: int = 1,
    output_dtype: int = 0,
    saturate: int = 1,
) -> Tensor:
    kind = zero.dtype if zero is not None else DTYPES[output_dtype or 2]
    steps = torch.round(x.float() / _along(scale.float(), x, axis))
    if zero is not None:
        steps = steps + _along(zero, x, axis)
    limits = torch.iinfo(kind)
    return torch.clamp(steps, limits.min, limits.max).to(kind)


@operator("DequantizeLinear")
def _dequantize(
    x: Tensor, scale: Tensor, zero: Tensor | None = None, *, axis: int = 1, output_dtype: int = 0
) -> Tensor:
    steps: Any = x.float()
    if zero is not None:
        steps = steps - _along(zero, x, axis).float()
    return steps * _along(scale.float(), x, axis)
