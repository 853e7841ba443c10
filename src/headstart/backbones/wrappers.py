"""Torch modules that give every backbone the same inputs and output: see `Backbone.graph`.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from headstart.backbones.sentence_parts import SentenceParts
from headstart.errors import BackboneError
from headstart.manifest import load_tensors


class PixelModule(nn.Module):
    """A picture model with its normalisation in front: "pixels" uint8 (n, h, w, 3) -> (n, d).

    Args:
        model: takes (n, 3, h, w) normalised pictures; gives (n, d), or (n, d, 1, 1).
        mean: of the three channels, in the unit of the rescaled pixels.
        std: as mean.
        scale: what a pixel is multiplied by first.
        reverse: the model wants blue, green, red.
    """

    gain: Tensor
    shift: Tensor

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        scale: float = 1 / 255,
        *,
        reverse: bool = False,
    ) -> None:
        super().__init__()
        self.model = model.float()
        means, deviations = torch.tensor(mean, dtype=torch.float64), torch.tensor(std).double()
        self.register_buffer("gain", (scale / deviations).float().view(1, 3, 1, 1))
        self.register_buffer("shift", (means / deviations).float().view(1, 3, 1, 1))
        self.reverse = reverse

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (n, d) of pictures (n, h, w, 3)."""
        planes = pixels.permute(0, 3, 1, 2)  # (n, 3, h, w), still uint8
        if self.reverse:
            planes = planes.flip(1)
        return self.model(planes.float() * self.gain - self.shift).flatten(1)


class PooledPictures(nn.Module):
    """One vector a picture out of a transformers vision model.

    Args:
        model: the vision model.
        use: "pooled" (its own pooling), "first" (the class token) or "mean" (over tokens or places).
    """

    def __init__(self, model: nn.Module, use: str) -> None:
        super().__init__()
        self.model = model
        self.use = use

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, d)."""
        out = self.model(pixel_values=pictures)
        if self.use == "pooled":
            return out.pooler_output.flatten(1)
        hidden = out.last_hidden_state  # (n, t, d), or (n, d, h, w) of a convolutional model
        if hidden.ndim == 4:
            return hidden.mean((2, 3))
        return hidden[:, 0] if self.use == "first" else hidden.mean(1)


class PooledTexts(nn.Module):
    """One vector a text out of a transformers text model: int64 (n, t) twice -> (n, d).

    Args:
        model: takes input_ids and attention_mask, gives an object with `last_hidden_state`.
        pooling: one or more of "mean", "cls", "max", "sqrt", "last"; several are concatenated.
        pad: token id that stands where the mask is 0, whatever the caller put there.
        after: layers that follow the pooling.
        normalize: whether the model's own pipeline scales its vectors to length 1.
    """

    def __init__(
        self,
        model: nn.Module,
        pooling: Sequence[str],
        pad: int,
        after: nn.Module | None = None,
        *,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.model = model.float()
        self.pooling = tuple(pooling)
        self.pad = pad
        self.after = after if after is not None else nn.Identity()
        self.normalize = normalize

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Features (n, d)."""
        # some models find positions, or the end of the text, by the padding's id
        ids = torch.where(attention_mask > 0, input_ids, self.pad)
        hidden = self.model(input_ids=ids, attention_mask=attention_mask).last_hidden_state
        features = torch.cat([pool(hidden, attention_mask, how) for how in self.pooling], dim=1)
        features = self.after(features)
        return nn.functional.normalize(features, dim=1) if self.normalize else features


def pool(hidden: Tensor, attention_mask: Tensor, how: str) -> Tensor:
    """Token states to one vector a text; the definitions are sentence-transformers'.

    Args:
        hidden: (n, t, d).
        attention_mask: (n, t), 1 for tokens, 0 for padding, which stands at the end.
        how: "mean", "cls", "max", "sqrt" (sum over the root of the length) or "last".

    Returns:
        (n, d).
    """
    mask = attention_mask.unsqueeze(2).to(hidden.dtype)  # (n, t, 1)
    if how == "cls":
        return hidden[:, 0]
    if how == "max":
        return hidden.masked_fill(mask == 0, torch.finfo(hidden.dtype).min).amax(1)
    if how == "last":  # a sum, because exporters turn a gather by batch into slow nodes
        length = attention_mask.sum(1, keepdim=True)
        places = attention_mask.cumsum(1)
        return (hidden * ((places == length) & (attention_mask > 0)).unsqueeze(2)).sum(1)
    total = (hidden * mask).sum(1)
    count = mask.sum(1).clamp(min=1e-9)
    return total / (count.sqrt() if how == "sqrt" else count)


def dense_layers(shown: str, parts: SentenceParts) -> nn.Module | None:
    """The dense layers after the pooling, with their weights; None where there are none.

    Args:
        shown: the backbone's name, for messages.
        parts: which layers, and where their weights lie.

    Raises:
        BackboneError: a layer has another activation, or no weights in safetensors.
    """
    layers: list[nn.Module] = []
    activations = {"Tanh": nn.Tanh, "ReLU": nn.ReLU, "GELU": nn.GELU, "Identity": nn.Identity}
    for folder, activation in parts.dense:
        file = folder / "model.safetensors"
        if activation not in activations or not file.exists():
            raise BackboneError(
                f"{shown} has a dense layer that cannot be read ({activation}, {folder.name}).",
                fix="use another text backbone, e.g. starter:e5 or starter:minilm",
            )
        tensors = load_tensors(file.read_bytes(), file.name)
        weight = torch.from_numpy(tensors["linear.weight"].astype(np.float32))  # (out, in)
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias="linear.bias" in tensors)
        layer.weight = nn.Parameter(weight)
        if "linear.bias" in tensors:
            bias = torch.from_numpy(tensors["linear.bias"].astype(np.float32))
            layer.bias = nn.Parameter(bias)
        layers += [layer, activations[activation]()]
    return nn.Sequential(*layers) if layers else None


def picture_pooling(model: nn.Module, height: int, width: int, *, trained: bool) -> str:
    """How one vector comes out of a transformers vision model: `use` of `PooledPictures`.

    Args:
        model: the vision model.
        height: of its pictures.
        width: of its pictures.
        trained: whether its pooler, if it has one, came with weights.
    """

    names = [name for name, _ in model.named_parameters()]
    # ViT's pooler (a layer with tanh) serves another aim, or came without weights
    if trained and not any("pooler.dense" in name for name in names):
        with torch.inference_mode():
            out = model(pixel_values=torch.zeros(1, 3, height, width))
        if getattr(out, "pooler_output", None) is not None:
            return "pooled"
    tokens = ("cls_token", "class_token", "class_embedding")
    return "first" if any(name.endswith(tokens) for name in names) else "mean"
