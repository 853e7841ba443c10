"""EfficientNet-Lite0's published weights in timm's model of that name."""

import _torchvision  # noqa: F401  before timm
import timm
import torch

MEAN = STD = (0.5, 0.5, 0.5)  # what these weights were trained with
_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_LATER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def fill(model: torch.nn.Module, path: str) -> torch.nn.Module:
    """Load the weights file into a timm model, which may have no classifier.

    Args:
        model: timm's tf_efficientnet_lite0.
        path: the .pth file.
    """
    places = [
        f"{stage}.{i}" for stage, blocks in enumerate(model.blocks) for i in range(len(blocks))
    ]
    tensors = {}
    kept = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251  tensors only
    for name, tensor in kept.items():
        first, _, rest = name.partition(".")
        if first == "_blocks":
            number, part, rest = rest.split(".", 2)
            place = places[int(number)]
            names = _FIRST if place.startswith("0.") else _LATER
            tensors[f"blocks.{place}.{names[part]}.{rest}"] = tensor
        else:
            tensors[f"{_OUTSIDE[first]}.{rest}"] = tensor
    if not hasattr(model, "classifier") or isinstance(model.classifier, torch.nn.Identity):
        tensors = {name: one for name, one in tensors.items() if not name.startswith("classifier.")}
    model.load_state_dict(tensors, strict=True)
    return model


def features(path: str) -> torch.nn.Module:
    """The network without its classifier, ready to be used: pictures to (n, 1280)."""
    return fill(
        timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0), path
    ).eval()
