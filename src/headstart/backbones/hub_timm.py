"""Picture backbones from timm: `timm:resnet18`, `timm:hf-hub:org/model`, `timm:local-dir:/folder`.

https://github.com/huggingface/pytorch-image-models. The only file that knows timm.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.backbones import shelf
from headstart.backbones.hub_files import absent, snapshot
from headstart.backbones.quiet import quiet
from headstart.backbones.random_weights import random_weights
from headstart.backbones.torchvision_repair import repair_torchvision
from headstart.errors import BackboneError, MissingExtra
from headstart.hashing import canonical_json, hash_file
from headstart.preprocess.image import MAX_PIXELS
from headstart.types import Backbone, Preprocess

if TYPE_CHECKING:
    from torch import nn

_VERSION = 2  # raise it when this file makes other graphs than before
_INSTEAD = "use --backbone starter:lite0, which needs no model hub"
_INTERPOLATIONS = ("bicubic", "bilinear", "lanczos", "nearest", "box", "hamming")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the better first


def load(
    name: str,
    *,
    offline: bool = False,
    say: Callable[[str], None] | None = None,
    pretrained: bool = True,
    seed: int = 0,
) -> Backbone:
    """A timm classification model without its classifier: pooled features before the last layer.

    The graph is made once and kept; later calls read it from the shelf and import no torch.

    Args:
        name: what follows "timm:", e.g. "resnet18", "resnet18.a1_in1k", "hf-hub:org/model",
            "local-dir:/path/to/folder".
        offline: never try the network.
        say: told what takes a while.
        pretrained: False gives random weights by timm's own initialiser, for trials and as a baseline; of
            a model of the hub its configuration alone is fetched.
        seed: of the random weights.

    Raises:
        BackboneError: the name is unknown, the weights are neither here nor to be had, or the model
            cannot be turned into a graph.
        MissingExtra: timm or torch is not installed.
    """
    key = _key(name, pretrained, seed)
    kept = shelf.take(key)
    if kept is not None:
        return kept if pretrained else random_weights(kept, seed)
    timm = _import_timm()
    if say:
        say(f"making a graph of timm:{name}, once")
    with quiet():
        if pretrained:
            model, sha256 = _pretrained(timm, name, offline=offline)
            return _keep(timm, key, f"timm:{name}", model, sha256)
        shown = f"timm:{name} (random weights, seed {seed})"
        model = _untrained(timm, name, seed, offline=offline)
        return random_weights(_keep(timm, key, shown, model, ""), seed)


def _key(name: str, pretrained: bool, seed: int) -> str:
    key: dict[str, Any] = {"adapter": "timm", "version": _VERSION, "name": name}
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:")).expanduser()
        if not folder.is_dir():
            raise BackboneError(
                f"timm:{name}: there is no folder {str(folder)!r}.", fix="check the path"
            )
        files = [file for file in sorted(folder.iterdir()) if file.is_file()]
        key["files"] = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]
        key["name"] = f"local-dir:{folder.resolve()}"
    if not pretrained:
        key["seed"] = seed
    return canonical_json(key)


def _import_timm() -> Any:
    with quiet():
        try:
            repair_torchvision()
            import timm
        except ImportError as error:
            raise MissingExtra("timm", "train") from error
        return timm


def _pretrained(timm: Any, name: str, *, offline: bool) -> tuple[nn.Module, str]:
    """The model with its weights, and the SHA-256 of their file ("" where no file can be named)."""
    shown = f"timm:{name}"
    if name.startswith("hf-hub:"):
        folder = _repository(name, name.removeprefix("hf-hub:"), offline=offline)
        return _create(timm, shown, f"local-dir:{folder}"), _hash_weights(folder)
    if name.startswith("local-dir:"):
        folder = Path(name.removeprefix("local-dir:")).expanduser()
        return _create(timm, shown, f"local-dir:{folder}"), _hash_weights(folder)
    config = _config(timm, name)
    if config.hf_hub_id:
        folder = _repository(name, config.hf_hub_id, offline=offline)
        file = next(folder / file for file in _WEIGHTS if (folder / file).exists())
        state = timm.models.load_state_dict(str(file), device="cpu", weights_only=True)
        return _create(timm, shown, name, {"state_dict": state}), _hash_weights(folder)
    if not config.url:
        raise _no_weights(timm, name)
    return _from_address(timm, name, config.url, offline=offline)


def _repository(name: str, repository: str, *, offline: bool) -> Path:
    def complete(folder: Path) -> bool:
        return any((folder / file).exists() for file in _WEIGHTS)

    found: Path | None = None
    for weights in _WEIGHTS:  # pickled weights only where there are no safetensors
        found = snapshot(
            f"timm:{name}",
            repository,
            ("config.json", weights),
            complete=complete,
            offline=offline,
            instead=_INSTEAD,
        )
        if complete(found):
            return found
    raise BackboneError(
        f"timm:{name} holds neither {' nor '.join(_WEIGHTS)}.", fix=f"another model, or {_INSTEAD}"
    )


def _from_address(timm: Any, name: str, url: str, *, offline: bool) -> tuple[nn.Module, str]:
    """Weights that lie on a plain web server; timm keeps them in torch's own cache."""
    import torch

    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if offline and not file.exists():
        raise BackboneError(
            f"timm:{name} is not on this machine, and offline nothing is downloaded.",
            fix=f"run once without --offline where there is a network, or {_INSTEAD}",
        )
    try:
        with (
            redirect_stdout(StringIO()),
            redirect_stderr(StringIO()),
        ):  # torch announces, and counts
            model = _create(timm, f"timm:{name}", name)
    except OSError as error:
        raise absent(f"timm:{name}", _INSTEAD, error) from error
    return model, hash_file(file) if file.exists() else ""


def _hash_weights(folder: Path) -> str:
    file = folder / _WEIGHTS[0]
    return hash_file(file) if file.exists() else ""


def _config(timm: Any, name: str) -> Any:
    """timm's description of a name in its table.

    Raises:
        BackboneError: the name or its tag is unknown; with the nearest one.
    """
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        known = timm.list_models()
        near = difflib.get_close_matches(architecture, known, n=3, cutoff=0.5)
        raise BackboneError(
            f"timm {timm.__version__} has no model called {architecture!r}.",
            fix=f"did you mean {_either(near)}?"
            if near
            else f"one of its {len(known)} names: https://huggingface.co/timm",
        )
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:
        config = None
    if config is None:
        raise _no_weights(timm, name)
    return config


def _no_weights(timm: Any, name: str) -> BackboneError:
    architecture, _, tag = name.partition(".")
    ready = [n for n in timm.list_pretrained() if n.partition(".")[0] == architecture]
    what = f"weights called {tag!r}" if tag else "pretrained weights"
    if ready:
        near = difflib.get_close_matches(name, ready, n=3, cutoff=0.0)
        return BackboneError(
            f"timm has no {what} for {architecture}.", fix=f"did you mean {_either(near)}?"
        )
    near = difflib.get_close_matches(architecture, timm.list_models(pretrained=True), n=3)
    return BackboneError(
        f"timm has no {what} for {architecture}.", fix=f"use {_either([*near, 'starter:lite0'])}"
    )


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)


def _untrained(timm: Any, name: str, seed: int, *, offline: bool = True) -> nn.Module:
    import torch

    if name.startswith("hf-hub:"):
        name = f"local-dir:{_described(name, offline=offline)}"
    elif name.startswith("local-dir:"):
        name = f"local-dir:{Path(name.removeprefix('local-dir:')).expanduser()}"
    else:
        _config_or_none(timm, name)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # noqa: TID251  timm draws from torch's generator; forked above
            return _features(timm.create_model(name, pretrained=False))
    except (RuntimeError, KeyError, ValueError, AttributeError, OSError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise BackboneError(
            f"timm:{name} cannot be made: {lines[0][:300]}",
            fix=f"check that its config.json is one of timm, or {_INSTEAD}",
        ) from error


def _described(name: str, *, offline: bool) -> Path:
    """The folder with the configuration of a model of the hub."""
    return snapshot(
        f"timm:{name}",
        name.removeprefix("hf-hub:"),
        ("config.json",),
        complete=lambda folder: (folder / "config.json").exists(),
        offline=offline,
        instead=_INSTEAD,
    )


def _config_or_none(timm: Any, name: str) -> None:
    """Refuse an unknown architecture; one without any weights is fine."""
    if timm.is_model(name.partition(".")[0]) and not name.partition(".")[2]:
        return
    _config(timm, name)


def _create(
    timm: Any, shown: str, name: str, overlay: Mapping[str, Any] | None = None
) -> nn.Module:
    """The model, its weights loaded strictly.

    With `num_classes=0` timm loads loosely and would leave a layer that has no weights at random, so
    the classifier is taken off afterwards: the same features (compared on 60 architectures).
    """
    import torch

    try:
        with torch.random.fork_rng(devices=[]):  # weights are drawn first, then replaced
            return _features(
                timm.create_model(
                    name, pretrained=True, pretrained_cfg_overlay=dict(overlay) if overlay else None
                )
            )
    except (RuntimeError, KeyError, ValueError, AttributeError, FileNotFoundError) as error:
        lines = str(error).splitlines() or [""]
        raise BackboneError(
            f"{shown} cannot be loaded: {' '.join(line.strip() for line in lines[:2])[:300]}",
            fix=f"check that the weights belong to this model and are complete, or {_INSTEAD}",
        ) from error


def _features(model: Any) -> nn.Module:
    """The model without its classifier, and with attention written out.

    The fused attention cannot be exported for every model, and makes the larger graph.
    """
    if model.num_classes:
        model.reset_classifier(0)
    for part in model.modules():
        if getattr(part, "fused_attn", False):
            part.fused_attn = False
    return model.eval()


def _keep(timm: Any, key: str, shown: str, model: Any, sha256: str) -> Backbone:
    from headstart.backbones.graph import IMAGE_AXES, made_pixels, make, weights_hash
    from headstart.backbones.wrappers import PixelModule

    config = timm.data.resolve_model_data_config(model)
    channels, height, width = config["input_size"]
    if channels != 3:
        raise BackboneError(f"{shown} wants {channels} channels, not 3.", fix=_INSTEAD)
    steps = steps_of(shown, config)
    sha256 = sha256 or weights_hash(model.state_dict())
    module = PixelModule(model, config["mean"], config["std"])
    feeds = [{"pixels": made_pixels(height, width, rows)} for rows in (2, 1, 3)]
    graph, dim = make(module, feeds, IMAGE_AXES)
    return shelf.keep(
        key,
        graph=graph,
        name=shown,
        modality="image",
        dim=dim,
        licence=str(model.pretrained_cfg.get("license") or "unknown"),
        sha256=sha256,
        preprocess=Preprocess("image", steps),
    )


def steps_of(shown: str, config: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """timm's evaluation transform (`timm.data.create_transform`) as our steps.

    Args:
        shown: the backbone's name, for messages.
        config: of `timm.data.resolve_model_data_config`.

    Raises:
        BackboneError: it prepares pictures in a way that our steps do not have.
    """
    _, height, width = config["input_size"]
    mode, interpolation = config["crop_mode"], config["interpolation"]
    square = height == width
    if interpolation not in _INTERPOLATIONS or not (
        mode == "squash" or (mode == "center" and square)
    ):
        raise BackboneError(
            f"{shown} prepares pictures in a way that is not supported (crop mode {mode!r}, "
            f"{height} x {width}, interpolation {interpolation!r}).",
            fix=f"another timm model, or {_INSTEAD}",
        )
    whole = [math.floor(side / config["crop_pct"]) for side in (height, width)]
    resize = (
        {"step": "resize", "size": whole, "mode": "exact", "interpolation": interpolation}
        if mode == "squash"
        else {
            "step": "resize",
            "size": whole[0],
            "mode": "shortest",
            "interpolation": interpolation,
        }
    )
    decode = {"step": "decode", "max_pixels": MAX_PIXELS, "margin": 2}
    return decode, resize, {"step": "center_crop", "size": [height, width]}
