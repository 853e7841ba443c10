"""EfficientNet-Lite0 as an ONNX graph, straight from its weights.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019
(https://arxiv.org/abs/1905.11946); Lite: no squeeze-and-excitation, ReLU6 in place of swish.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from headstart.backbones.graph_build import FLOAT, GraphBuilder

SIZE = 224
DIM = 1280
_EPS = 1e-3  # of the batch normalisation, as in the TensorFlow original
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)  # of the 16 blocks

Weights = Mapping[str, np.ndarray]


def lite0(weights: Weights) -> bytes:
    """The features part of EfficientNet-Lite0: "pixels" uint8 (n, 224, 224, 3) to (n, 1280).

    Args:
        weights: the tensors of the checkpoint; the classifier is left out.
    """
    net = _Net(weights)
    add, constant = net.graph.add, net.graph.constant
    # (x / 255 - 0.5) / 0.5 = (x - 127.5) / 127.5: the division is in the stem's weights; the
    # subtraction cannot be, as the zeros of the padding stand for 127.5
    x = add("Cast", "pixels", to=FLOAT)
    x = add("Transpose", x, perm=[0, 3, 1, 2])
    x = add("Sub", x, constant(127.5))
    x, size = net.conv(x, SIZE, "_conv_stem", "_bn0", stride=2, scale=1 / 127.5)
    for i, stride in enumerate(_STRIDES):
        x, size = net.block(x, size, f"_blocks.{i}.", stride)
    x, _ = net.conv(x, size, "_conv_head", "_bn1")
    x = add("Flatten", add("GlobalAveragePool", x), axis=1)
    return net.graph.finish({"pixels": (np.uint8, ("n", SIZE, SIZE, 3))}, x, DIM)


class _Net:
    """Adds layers; `size` is the height and width of what flows."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.graph = GraphBuilder()
        self._clip = (self.graph.constant(0.0), self.graph.constant(6.0))

    def block(self, x: str, size: int, at: str, stride: int) -> tuple[str, int]:
        """An inverted bottleneck: widen, convolve each channel, narrow; plus its input if it fits."""
        y, before = x, size
        if at + "_expand_conv.weight" in self.weights:
            y, size = self.conv(y, size, at + "_expand_conv", at + "_bn0")
        y, size = self.conv(y, size, at + "_depthwise_conv", at + "_bn1", stride=stride)
        y, size = self.conv(y, size, at + "_project_conv", at + "_bn2", relu=False)
        narrow = self.weights[at + "_project_conv.weight"].shape[0]
        wide = self.weights[at + "_depthwise_conv.weight"].shape[0]
        first = self.weights.get(at + "_expand_conv.weight")
        entering = wide if first is None else first.shape[1]
        if stride == 1 and narrow == entering:
            y = self.graph.add("Add", y, x)
        assert size == -(-before // stride)
        return y, size

    def conv(
        self,
        x: str,
        size: int,
        conv: str,
        norm: str,
        *,
        stride: int = 1,
        scale: float = 1.0,
        relu: bool = True,
    ) -> tuple[str, int]:
        """Convolution with its batch normalisation folded in, then ReLU6."""
        kernel = self.weights[conv + ".weight"]  # (out, in / groups, k, k)
        bias = self.weights[norm + ".bias"].astype(np.float64)
        gain = self.weights[norm + ".weight"] / np.sqrt(
            self.weights[norm + ".running_var"].astype(np.float64) + _EPS
        )
        bias = bias - gain * self.weights[norm + ".running_mean"]
        folded = kernel * (gain * scale)[:, None, None, None]
        k = kernel.shape[2]
        out = -(-size // stride)
        # TensorFlow's SAME: what is odd goes to the right and below
        missing = max((out - 1) * stride + k - size, 0)
        before, after = missing // 2, missing - missing // 2
        y = self.graph.add(
            "Conv",
            x,
            self.graph.constant(folded.astype(np.float32)),
            self.graph.constant(bias.astype(np.float32)),
            kernel_shape=[k, k],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=kernel.shape[0] if "_depthwise" in conv else 1,
        )
        return (self.graph.add("Clip", y, *self._clip) if relu else y), out
