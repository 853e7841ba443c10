"""Text and picture backbones from transformers: `hf:org/model` of the hub, `hf:./folder`.

https://github.com/huggingface/transformers. The only file that knows transformers. Weights come
from safetensors only, and no code out of a model's repository is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.backbones import shelf
from headstart.backbones.hub_files import card_licence, snapshot
from headstart.backbones.picture_steps import compare_pictures, picture_steps
from headstart.backbones.quiet import quiet
from headstart.backbones.random_weights import random_weights
from headstart.backbones.sentence_parts import SentenceParts, read_parts
from headstart.backbones.torchvision_repair import repair_torchvision
from headstart.errors import BackboneError, MissingExtra
from headstart.hashing import canonical_json, hash_file
from headstart.manifest import read_json
from headstart.preprocess.text import TextEncoder, pad
from headstart.types import Backbone, Preprocess

_VERSION = 2  # raise it when this file makes other graphs than before
_INSTEAD = (
    "use --backbone starter:e5 (Chinese, English and a hundred more), starter:minilm (English), "
    "or starter:lite0 (pictures), which need no model hub"
)
_FILES = (
    "*.json", "*/config.json", "*_Transformer/*.json", "*_Dense/*.json", "README.md",
    "vocab.txt", "merges.txt", "*.model",
)  # fmt: skip
_WEIGHTS = (
    "model.safetensors", "model-*-of-*.safetensors",
    "*_Transformer/model.safetensors", "*_Dense/model.safetensors",
)  # fmt: skip
_MAX_LENGTH = 256  # tokens; longer texts cost much and add little to what a text is about
_TRIALS = (
    "The train was late again.",
    "这家店的服务很好，下次还会再来。",
    "Café déjà vu: 3 for 2, naïve & co. 😀",
    "ok",
    "one two three four five six seven eight nine ten " * 200,
)


def load(
    name: str,
    *,
    offline: bool = False,
    say: Callable[[str], None] | None = None,
    pretrained: bool = True,
    seed: int = 0,
) -> Backbone:
    """A transformers model as a backbone: one vector for each text, or for each picture.

    Texts: token states are pooled as the model's sentence-transformers files say, else averaged.
    Pictures: the model's own pooling, else its class token, else the mean. The graph is made once
    and kept; later calls read it from the shelf and import no torch.

    Args:
        name: what follows "hf:": a folder on this machine, or "org/model" (with "@revision" if a
            certain one is wanted).
        offline: never try the network.
        say: told what takes a while.
        pretrained: False gives random weights by the model's own initialiser: the configuration and the
            tokenizer are fetched, no weights. Dense layers after the pooling are then left out.
        seed: of the random weights.

    Raises:
        BackboneError: the name is unknown, the weights are neither here nor to be had or not in
            safetensors, or the model cannot be turned into a graph.
        MissingExtra: transformers or torch is not installed.
    """
    shown, local = f"hf:{name}", _local(name)
    drawn = None if pretrained else seed
    key = _key(name, local, drawn)
    kept = shelf.take(key)
    if kept is None:
        if say:
            say(f"making a graph of {shown}, once")
        with quiet():
            transformers = _import_transformers()
            with _no_bars(transformers):
                folder = local or _download(shown, name, offline=offline, weights=pretrained)
                kept = _build(transformers, key, shown, folder, drawn)
    return kept if drawn is None else random_weights(kept, drawn)


def _local(name: str) -> Path | None:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", name):
        raise BackboneError(f"hf:{name}: there is no such folder.", fix="check the path")
    return None


def _key(name: str, local: Path | None, seed: int | None = None) -> str:
    key: dict[str, Any] = {"adapter": "transformers", "version": _VERSION, "name": name}
    if local is not None:
        files = [*sorted(local.glob("*")), *sorted(local.glob("*/*"))]
        stats = [(str(f.relative_to(local)), f.stat()) for f in files if f.is_file()]
        key["name"] = str(local.resolve())
        key["files"] = [[path, stat.st_size, stat.st_mtime_ns] for path, stat in stats]
    if seed is not None:
        key["seed"] = seed
    return canonical_json(key)


def _import_transformers() -> Any:
    try:
        repair_torchvision()
        import torch  # noqa: F401  without it transformers imports, and fails later
        import transformers
    except ImportError as error:
        raise MissingExtra("transformers with torch", "train") from error
    return transformers


@contextmanager
def _no_bars(transformers: Any) -> Iterator[None]:
    """Without the bars transformers draws while it fills a model with weights."""
    logging = transformers.utils.logging
    if not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def _download(shown: str, name: str, *, offline: bool, weights: bool) -> Path:
    return snapshot(
        shown,
        name,
        (*_FILES, *_WEIGHTS) if weights else _FILES,
        complete=lambda folder: bool(_weight_files(folder)) if weights else _described(folder),
        offline=offline,
        instead=_INSTEAD,
    )


def _described(folder: Path) -> bool:
    """Whether a folder says how the model is made and how its inputs are prepared."""
    prepares = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "preprocessor_config.json")
    return any(folder.glob("**/config.json")) and any(
        any(folder.glob(f"**/{name}")) for name in prepares
    )


def _weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("model*.safetensors")) or sorted(
        folder.glob("*_Transformer/model*.safetensors")
    )


def _build(
    transformers: Any, key: str, shown: str, folder: Path, seed: int | None = None
) -> Backbone:
    parts = read_parts(shown, folder)
    model, trained_pooler = _model(transformers, shown, parts.model, seed)
    if seed is not None:
        shown = f"{shown} (random weights, seed {seed})"
        parts = replace(parts, dense=())
    wanted = model.main_input_name
    common = {
        "licence": card_licence(folder),
        "sha256": _weights_sha256(parts.model if seed is None else None, model),
    }
    if wanted == "pixel_values":
        return _keep_pictures(transformers, key, shown, folder, model, trained_pooler, common)
    if wanted == "input_ids":
        return _keep_texts(transformers, key, shown, parts, model, common)
    raise BackboneError(
        f"{shown} takes {wanted!r}: it is a model for neither texts nor pictures.", fix=_INSTEAD
    )


def _model(
    transformers: Any, shown: str, folder: Path, seed: int | None = None
) -> tuple[Any, bool]:
    """The part of the model that makes features, float32, and whether its pooler has weights."""
    raw = _config(shown, folder, weights=seed is None)
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        loader = transformers.AutoModel
        if type(config) in transformers.models.auto.modeling_auto.MODEL_FOR_TEXT_ENCODING_MAPPING:
            loader = transformers.AutoModelForTextEncoding  # leaves T5's decoder out
        model, missing = (
            _filled(loader, folder, config) if seed is None else _drawn(loader, config, seed)
        )
    except Exception as error:
        raise _unloadable(shown, raw, error) from error
    if getattr(config, "vision_config", None) is not None:
        model, prefix = getattr(model, "vision_model", None), "vision_model."
    elif getattr(config, "is_encoder_decoder", False) and loader is transformers.AutoModel:
        model, prefix = model.get_encoder(), "encoder."
    else:
        prefix = ""
    if model is None:
        raise BackboneError(f"{shown} has no part that sees pictures alone.", fix=_INSTEAD)
    _refuse_missing(shown, missing, prefix)
    # a pooler that came without weights holds random numbers: it must not be used
    return model.eval(), seed is None and not any("pooler" in key for key in missing)


def _config(shown: str, folder: Path, *, weights: bool) -> Mapping[str, Any]:
    file = folder / "config.json"
    if not file.exists():
        raise BackboneError(
            f"{shown} has no config.json: it is not a saved transformers model.",
            fix="give the folder that model.save_pretrained(...) wrote",
        )
    raw = read_json(file.read_bytes(), "config.json")
    if "model_type" not in raw and "architecture" in raw:
        raise BackboneError(
            f"{shown} is a timm model.",
            fix=f"use {shown.replace('hf:', 'timm:hf-hub:', 1)}, or "
            "timm:local-dir:FOLDER for a folder",
        )
    if weights and not _weight_files(folder):
        raise BackboneError(
            f"{shown} has no weights in safetensors; pickled weights are not read.",
            fix="save it again with model.save_pretrained(...), which writes safetensors",
        )
    return raw


def _filled(loader: Any, folder: Path, config: Any) -> tuple[Any, Collection[str]]:
    """The model with its weights, and the names of those that it lacks."""
    import torch

    with torch.random.fork_rng(
        devices=[]
    ):  # parts without weights are drawn from torch's generator
        model, report = loader.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation="eager",  # the smallest graph of the implementations
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    return model, report["missing_keys"]


def _drawn(loader: Any, config: Any, seed: int) -> tuple[Any, Collection[str]]:
    """The model with random weights by its own initialiser; it lacks none."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # noqa: TID251  it draws from torch's own generator; forked above
        model = loader.from_config(
            config, dtype=torch.float32, attn_implementation="eager", trust_remote_code=False
        )
    return model, ()


def _unloadable(shown: str, raw: Mapping[str, Any], error: Exception) -> BackboneError:
    if "auto_map" in raw:
        return BackboneError(
            f"{shown} needs code out of its own repository, which is never run.", fix=_INSTEAD
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return BackboneError(
        f"transformers cannot load {shown}: {(lines or [type(error).__name__])[0][:300]}",
        fix=f"pip install -U transformers, or {_INSTEAD}",
    )


def _refuse_missing(shown: str, missing: Any, prefix: str) -> None:
    """Weights that are absent were drawn at random: fine for a pooler or decoder we do not use."""
    lost = [
        key
        for key in sorted(missing)
        if key.startswith(prefix) and "pooler" not in key and not key.startswith("decoder.")
    ]
    if lost:
        raise BackboneError(
            f"{shown} lacks {len(lost)} of its weights, e.g. {lost[0]!r}.",
            fix="copy or download the model again; a checkpoint of another architecture will not do",
        )


def _weights_sha256(folder: Path | None, model: Any) -> str:
    """Of the weights' file, or of the weights themselves where they lie in no single one."""
    from headstart.backbones.graph import weights_hash

    files = [] if folder is None else _weight_files(folder)
    return hash_file(files[0]) if len(files) == 1 else weights_hash(model.state_dict())


def _keep_texts(
    transformers: Any,
    key: str,
    shown: str,
    parts: SentenceParts,
    model: Any,
    common: Mapping[str, str],
) -> Backbone:
    import torch

    from headstart.backbones.graph import TEXT_AXES, make
    from headstart.backbones.wrappers import PooledTexts, dense_layers

    tokenizer = _tokenizer(transformers, shown, parts.model)
    limits = (parts.max_length, tokenizer.model_max_length, _positions(model), _MAX_LENGTH)
    length = min(int(limit) for limit in limits if limit)
    steps: list[Mapping[str, Any]] = [{"step": "tokenize", "max_length": length}]
    if parts.prefix:
        steps.insert(0, {"step": "prefix", "text": parts.prefix})
    content = tokenizer.backend_tokenizer.to_str()
    rows = _encode(shown, tokenizer, content, steps)
    module = PooledTexts(
        model,
        parts.pooling,
        tokenizer.pad_token_id or 0,
        dense_layers(shown, parts),
        normalize=parts.normalize,
    )
    feeds = [
        {name: torch.from_numpy(array) for name, array in pad(some).items()}
        for some in (rows[:2], rows[:1], rows[1:4], rows)  # padded, single, short, up to the limit
    ]
    graph, dim = make(module, feeds, TEXT_AXES)
    return shelf.keep(
        key,
        graph=graph,
        name=shown,
        modality="text",
        dim=dim,
        licence=common["licence"],
        sha256=common["sha256"],
        preprocess=Preprocess("text", tuple(steps)),
        tokenizer=content,
    )


def _tokenizer(transformers: Any, shown: str, folder: Path) -> Any:
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise BackboneError(
            f"The tokenizer of {shown} cannot be loaded: {lines[0][:300]}",
            fix=f"check that the folder holds a tokenizer.json, or {_INSTEAD}",
        ) from error
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise BackboneError(
            f"{shown} has a tokenizer written in Python ({type(tokenizer).__name__}), which cannot "
            "be carried in a bundle.",
            fix=f"a model with a tokenizer.json, or {_INSTEAD}",
        )
    return tokenizer


def _positions(model: Any) -> int | None:
    """The longest input in tokens that the model has positions for; None where nothing limits it."""
    limit = getattr(model.config, "max_position_embeddings", None)
    for name, module in model.named_modules():
        if (
            name.endswith("position_embeddings")
            and getattr(module, "padding_idx", None) is not None
        ):
            return int(module.num_embeddings) - int(module.padding_idx) - 1  # the RoBERTa family
    return int(limit) if limit and limit > 0 else None


def _encode(
    shown: str, tokenizer: Any, content: str, steps: list[Mapping[str, Any]]
) -> list[np.ndarray]:
    """Token rows of the trial texts, as the runtime makes them; compared with the model's own."""
    rows, _ = TextEncoder(content, steps).encode(_TRIALS)
    prefix = "".join(step["text"] for step in steps if step["step"] == "prefix")
    whole = [prefix + text for text in _TRIALS]
    own = tokenizer(whole, truncation=True, max_length=steps[-1]["max_length"])["input_ids"]
    if [row.tolist() for row in rows] != [list(row) for row in own]:
        raise BackboneError(
            f"The tokenizer of {shown} cannot be reproduced from its tokenizer.json.", fix=_INSTEAD
        )
    return rows


def _keep_pictures(
    transformers: Any,
    key: str,
    shown: str,
    folder: Path,
    model: Any,
    trained_pooler: bool,
    common: Mapping[str, str],
) -> Backbone:
    from headstart.backbones.graph import IMAGE_AXES, made_pixels, make
    from headstart.backbones.wrappers import PixelModule, PooledPictures, picture_pooling

    try:
        processor = transformers.AutoImageProcessor.from_pretrained(
            folder, backend="pil", local_files_only=True, trust_remote_code=False
        )
    except Exception as error:
        raise BackboneError(
            f"{shown} does not say how pictures are prepared (preprocessor_config.json).",
            fix="copy that file from the model's page into the folder",
        ) from error
    how = picture_steps(shown, processor.to_dict())
    compare_pictures(shown, processor, how)
    use = picture_pooling(model, how.height, how.width, trained=trained_pooler)
    module = PixelModule(
        PooledPictures(model, use), how.mean, how.std, how.scale, reverse=how.reverse
    )
    feeds = [{"pixels": made_pixels(how.height, how.width, rows)} for rows in (2, 1, 3)]
    graph, dim = make(module, feeds, IMAGE_AXES)
    return shelf.keep(
        key,
        graph=graph,
        name=shown,
        modality="image",
        dim=dim,
        licence=common["licence"],
        sha256=common["sha256"],
        preprocess=Preprocess("image", how.steps),
    )
