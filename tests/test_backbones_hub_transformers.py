"""transformers models as backbones: the vectors the model itself gives, each text on its own, unpadded."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)
pytest.importorskip("onnxscript")

from headstart.backbones.choose import backbone_named  # noqa: E402
from headstart.backbones.hub_files import card_licence  # noqa: E402
from headstart.backbones.hub_transformers import _key, load  # noqa: E402
from headstart.backbones.picture_steps import picture_steps  # noqa: E402
from headstart.backbones.quiet import quiet  # noqa: E402
from headstart.backbones.sentence_parts import read_parts  # noqa: E402
from headstart.backbones.torchvision_repair import repair_torchvision  # noqa: E402
from headstart.engine.ort import OrtEngine  # noqa: E402
from headstart.errors import BackboneError, MissingExtra  # noqa: E402
from headstart.hashing import hash_file  # noqa: E402
from headstart.preprocess.image import prepare  # noqa: E402
from headstart.preprocess.text import TextEncoder, pad  # noqa: E402
from headstart.types import Backbone  # noqa: E402

with quiet():
    repair_torchvision()
    import transformers
    from huggingface_hub import constants
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

pytestmark = pytest.mark.train

TEXTS = (
    "the train was late",
    "这家店的服务很好",
    "the train was late again and again and the next train was late too",
    "late",
)
SIZES = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
BERT = {**SIZES, "intermediate_size": 32, "vocab_size": 120}
SQUARE = {"height": 32, "width": 32}


def _tokenizer(folder: Path, start: int = 0) -> None:
    """A WordPiece tokenizer trained on the texts; XLM-R counts its special tokens otherwise."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    special = special[start:] + special[:start]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    made.train_from_iterator(TEXTS * 3, trainer)
    ends = [(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=None, special_tokens=ends
    )
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]",
        cls_token="[CLS]", sep_token="[SEP]",
    )  # fmt: skip
    wrapped.save_pretrained(folder)


def _save(folder: Path, make: Callable[[], Any], start: int = 0) -> Any:
    """A model with random weights, saved with the tokenizer."""
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = make().eval()
        model.save_pretrained(folder)
        _tokenizer(folder, start)
    return model


def _alone(model: Any, folder: Path, prefix: str = "") -> list[np.ndarray]:
    """Token states (t, d) of each text, one at a time, without padding."""
    with quiet(), torch.inference_mode():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        states = []
        for text in TEXTS:
            ids = tokenizer(prefix + text, return_tensors="pt")["input_ids"]
            states.append(model(input_ids=ids).last_hidden_state[0].numpy())
    return states


def _vectors(backbone: Backbone) -> np.ndarray:
    """What the runtime gives for all texts in one padded batch."""
    assert backbone.tokenizer is not None
    encoder = TextEncoder(backbone.tokenizer.read_bytes(), backbone.preprocess.steps)
    rows, _ = encoder.encode(TEXTS)
    return OrtEngine(backbone.graph).run(pad(rows))["features"]


def _same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def _xlm_roberta() -> Any:
    limits = {"pad_token_id": 1, "bos_token_id": 3, "eos_token_id": 0}
    config = transformers.XLMRobertaConfig(**BERT, **limits, max_position_embeddings=50)
    return transformers.XLMRobertaModel(config)


def _t5() -> Any:
    config = transformers.T5Config(
        vocab_size=120, d_model=24, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    return transformers.T5Model(config)


@pytest.mark.parametrize(
    ("make", "start", "length"),
    [
        # positions count from the padding's id upwards, and the runtime pads with 0, not with that id
        pytest.param(_xlm_roberta, 3, 48, id="xlm-roberta"),
        pytest.param(_t5, 0, 256, id="t5"),
    ],
)
def test_texts_are_averaged_over_their_tokens(
    make: Callable[[], Any], start: int, length: int, tmp_path: Path
) -> None:
    model = _save(tmp_path, make, start)
    backbone = load(str(tmp_path))
    whole = model.get_encoder() if model.config.is_encoder_decoder else model
    _same(_vectors(backbone), np.stack([s.mean(0) for s in _alone(whole, tmp_path)]))
    assert [dict(step) for step in backbone.preprocess.steps] == [
        {"step": "tokenize", "max_length": length}
    ]
    assert (backbone.modality, backbone.dim) == ("text", 24)


def test_e5_prefix_cache_of_the_hub_and_a_second_use_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "hub" / "models--someone--tiny-e5"
    folder = place / "snapshots" / ("0" * 40)
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    # saved with a language model's head, and so without a pooler, as most checkpoints are
    model = _save(folder, lambda: transformers.BertForMaskedLM(transformers.BertConfig(**BERT)))
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# Tiny\n")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    state = torch.get_rng_state()
    capfd.readouterr()
    backbone = load("someone/tiny-e5", offline=True)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), state)
    assert (backbone.name, backbone.licence) == ("hf:someone/tiny-e5", "mit")
    assert backbone.sha256 == hash_file(folder / "model.safetensors")
    assert dict(backbone.preprocess.steps[0]) == {"step": "prefix", "text": "query: "}
    states = _alone(model.bert, folder, prefix="query: ")
    _same(_vectors(backbone), np.stack([s.mean(0) for s in states]))

    code = (
        "import sys\n"
        "from headstart.backbones.hub_transformers import load\n"
        "print(load('someone/tiny-e5').graph_id, 'torch' in sys.modules)"
    )
    again = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, timeout=60
    )
    assert again.stdout.split() == [backbone.graph_id, "False"], again.stderr


def test_sentence_transformers_parts_are_followed(tmp_path: Path) -> None:
    config = transformers.DistilBertConfig(
        vocab_size=120, dim=24, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=40
    )
    model = _save(tmp_path, lambda: transformers.DistilBertModel(config))
    kinds = ("Transformer", "Pooling", "Dense", "Normalize")
    paths = ("", "1_Pooling", "2_Dense", "3_Normalize")
    parts = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(zip(kinds, paths))
    ]
    (tmp_path / "modules.json").write_text(json.dumps(parts))
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 30}')
    for name, content in (
        ("1_Pooling", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}),
        ("2_Dense", {"activation_function": "torch.nn.modules.activation.Tanh"}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(content))
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(7, 24)).astype(np.float32), np.ones(7, dtype=np.float32)
    save_file(
        {"linear.weight": torch.from_numpy(weight), "linear.bias": torch.from_numpy(bias)},
        tmp_path / "2_Dense" / "model.safetensors",
    )
    backbone = load(str(tmp_path))
    first = np.stack([states[0] for states in _alone(model, tmp_path)])
    expected = np.tanh(first @ weight.T + bias)
    _same(_vectors(backbone), expected / np.linalg.norm(expected, axis=1, keepdims=True))
    assert backbone.preprocess.steps[-1]["max_length"] == 30
    assert backbone.dim == 7


def _vit() -> Any:
    config = transformers.ViTConfig(**SIZES, intermediate_size=32, image_size=32, patch_size=8)
    return transformers.ViTForImageClassification(config)


def _clip() -> Any:
    towers = {
        "text_config": BERT,
        "vision_config": {**SIZES, "intermediate_size": 32, "image_size": 32, "patch_size": 8},
    }
    return transformers.CLIPModel(transformers.CLIPConfig(**towers, projection_dim=8))


def _convnext() -> Any:
    config = transformers.ConvNextConfig(hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1])
    return transformers.ConvNextModel(config)


@pytest.mark.parametrize(
    ("make", "processor", "vector"),
    [
        pytest.param(
            _vit,  # its pooler has no weights in such a checkpoint: the class token it is
            lambda: transformers.ViTImageProcessor(size=SQUARE),
            lambda model, x: model.vit(pixel_values=x).last_hidden_state[:, 0],
            id="vit",
        ),
        pytest.param(
            _clip,
            lambda: transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE),
            lambda model, x: model.vision_model(pixel_values=x).pooler_output,
            id="clip",
        ),
        pytest.param(
            _convnext,
            lambda: transformers.ConvNextImageProcessor(size={"shortest_edge": 48}),
            lambda model, x: model(pixel_values=x).pooler_output,
            id="convnext",
        ),
    ],
)
def test_pictures_are_prepared_and_pooled_as_the_model_does(
    make: Callable[[], Any], processor: Callable[[], Any], vector: Any, tmp_path: Path
) -> None:
    model = _save(tmp_path, make)
    with quiet():
        processor().save_pretrained(tmp_path)
        own = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    backbone = load(str(tmp_path))
    coarse = np.random.default_rng(2).integers(0, 256, (5, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize((240, 180), Image.Resampling.BICUBIC)
    pixels, _ = prepare(photo, backbone.preprocess.steps)
    found = OrtEngine(backbone.graph).run({"pixels": pixels[None]})["features"]
    with torch.inference_mode():
        expected = vector(model, own(images=[photo], return_tensors="pt")["pixel_values"])
    _same(found, expected.flatten(1).numpy())
    assert (backbone.modality, backbone.dim, backbone.tokenizer) == ("image", 24, None)


def test_a_processor_that_does_more_than_it_says_is_refused(tmp_path: Path) -> None:
    config = transformers.EfficientNetConfig(
        image_size=32, width_coefficient=0.25, depth_coefficient=0.25
    )
    _save(tmp_path, lambda: transformers.EfficientNetModel(config))
    with quiet():  # normalises a second time by the deviation alone
        transformers.EfficientNetImageProcessor(size=SQUARE).save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="EfficientNetImageProcessor"):
        load(str(tmp_path))


def test_pictures_of_any_size_are_refused() -> None:
    settings = {"do_resize": True, "size": {"shortest_edge": 800, "longest_edge": 1333}}
    with pytest.raises(BackboneError, match="any size"):
        picture_steps("hf:x", settings)


def test_old_settings_with_a_number_for_a_size() -> None:
    how = picture_steps("hf:x", {"do_resize": True, "size": 40, "resample": 3, "do_normalize": True,
                                 "image_mean": 0.5, "image_std": [0.1, 0.2, 0.3]})  # fmt: skip
    assert dict(how.steps[1]) == {
        "step": "resize", "size": [40, 40], "mode": "exact", "interpolation": "bicubic",
    }  # fmt: skip
    assert (how.mean, how.std, how.scale) == ((0.5,) * 3, (0.1, 0.2, 0.3), 1.0)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ("cls", "mean")),
        ({"pooling_mode": "lasttoken"}, ("last",)),
        ({"pooling_mode_weightedmean_tokens": True}, None),
    ],
)
def test_pooling_settings(pooling: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    parts = [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    (tmp_path / "modules.json").write_text(json.dumps(parts))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    if expected is None:
        with pytest.raises(BackboneError, match="pooling_mode_weightedmean_tokens"):
            read_parts("hf:x", tmp_path)
    else:
        assert read_parts("hf:x", tmp_path).pooling == expected


def test_a_part_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text('[{"path": "../x", "type": "a.Pooling"}]')
    with pytest.raises(BackboneError, match="outside"):
        read_parts("hf:x", tmp_path)


def test_only_e5_gets_a_prefix(tmp_path: Path) -> None:
    named = {name: read_parts(f"hf:{name}", tmp_path).prefix for name in (
        "intfloat/multilingual-e5-small", "me/E5", "me/face5", "me/e52",
    )}  # fmt: skip
    assert list(named.values()) == ["query: ", "query: ", "", ""]
    settings = {"prompts": {"s": "similar: "}, "default_prompt_name": "s"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(settings))
    assert read_parts("hf:me/E5", tmp_path).prefix == "similar: "


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("license: mit\n", "unknown"),
        ("", "unknown"),
    ],
)
def test_licence_of_the_model_card(card: str, licence: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(card)
    assert card_licence(tmp_path) == licence


def test_weights_that_are_missing_are_not_drawn_at_random(tmp_path: Path) -> None:
    model = _save(tmp_path, lambda: transformers.BertModel(transformers.BertConfig(**BERT)))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    del state["encoder.layer.0.output.dense.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"lacks 1 of its weights.*encoder\.layer\.0"):
        load(str(tmp_path))


def _write(folder: Path, config: dict[str, Any], *names: str) -> str:
    (folder / "config.json").write_text(json.dumps(config))
    for name in names:
        (folder / name).write_bytes(b"x")
    return str(folder)


@pytest.mark.parametrize(
    ("config", "files", "message"),
    [
        ({"model_type": "bert"}, ["pytorch_model.bin"], "no weights in safetensors"),
        (
            {"model_type": "new", "auto_map": {"AutoModel": "m.M"}},
            ["model.safetensors"],
            "never run",
        ),
        ({"model_type": "no_such"}, ["model.safetensors"], "cannot load"),
        ({"architecture": "resnet18"}, ["model.safetensors"], "is a timm model"),
        ({"model_type": "bert"}, ["model.safetensors"], "cannot load"),  # not a safetensors file
    ],
)
def test_folders_that_cannot_be_loaded(
    config: dict[str, Any], files: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(BackboneError, match=message) as caught:
        load(_write(tmp_path, config, *files))
    assert caught.value.fix


def test_no_model_in_a_folder_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"no config\.json"):
        load(str(tmp_path))
    with pytest.raises(BackboneError, match="no such folder"):
        load(str(tmp_path / "nothing"))
    with pytest.raises(BackboneError, match="neither a folder"):
        load("not a name")


def test_a_changed_folder_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    first = _key("x", tmp_path)
    assert _key("x", tmp_path) == first
    (tmp_path / "1_Pooling" / "config.json").write_text("{ }")
    assert _key("x", tmp_path) != first


@pytest.mark.parametrize("offline", [False, True])
def test_without_a_network(
    offline: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(seconds: float) -> None:
        raise AssertionError(f"waits {seconds} seconds")

    monkeypatch.setattr(time, "sleep", refuse)  # what the hub's client does between its attempts
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(BackboneError) as caught:
        load("someone/model", offline=offline)
    assert "hf:someone/model is not on this machine" in caught.value.message
    assert ("offline" in caught.value.message) == offline
    assert "starter:e5 (Chinese, English and a hundred more)" in caught.value.fix
    assert capfd.readouterr() == ("", "")


def test_without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra) as caught:
        load("someone/model")
    assert caught.value.fix == "pip install 'headstart[train]'"


def _drawn(make: Callable[[], Any], seed: int) -> Any:
    """A model by transformers' own initialiser alone."""
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().eval()


def test_without_pretrained_weights_it_says_so_and_is_another(tmp_path: Path) -> None:
    def make() -> Any:
        config = transformers.XLMRobertaConfig(
            **BERT, pad_token_id=1, bos_token_id=3, eos_token_id=0, max_position_embeddings=50
        )
        return transformers.AutoModel.from_config(config, attn_implementation="eager")

    _save(tmp_path, make, 3)
    pretrained = backbone_named(f"hf:{tmp_path}")
    drawn = backbone_named(f"hf:{tmp_path}", pretrained=False, seed=4)
    assert pretrained.why == ""
    assert drawn.why == "random weights, seed 4: nothing in it was pretrained"
    assert drawn.name == f"hf:{tmp_path} (random weights, seed 4)"
    assert drawn.graph_id != pretrained.graph_id
    assert drawn.sha256 != pretrained.sha256
    assert len({_key("a", None, seed) for seed in (None, 0, 1)}) == 3
    assert drawn == backbone_named(f"hf:{tmp_path}", pretrained=False, seed=4)
    states = _alone(_drawn(make, 4), tmp_path)
    _same(_vectors(drawn), np.stack([state.mean(axis=0) for state in states]))


def test_weights_are_not_needed_where_none_are_wanted(tmp_path: Path) -> None:
    _save(tmp_path, _xlm_roberta, 3)
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(BackboneError, match="no weights in safetensors"):
        load(str(tmp_path))
    found = load(str(tmp_path), offline=True, pretrained=False)
    assert np.isfinite(_vectors(found)).all()


def test_of_pictures_without_weights(tmp_path: Path) -> None:
    config = transformers.ViTConfig(**SIZES, intermediate_size=32, image_size=32, patch_size=16)
    _save(tmp_path, lambda: transformers.ViTModel(config))
    with quiet():
        transformers.ViTImageProcessor(size=SQUARE).save_pretrained(tmp_path)
    found = load(str(tmp_path), pretrained=False, seed=1)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    features = OrtEngine(found.graph).run({"pixels": pixels})["features"]
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1
    model = _drawn(lambda: transformers.AutoModel.from_config(config), 1)
    with torch.inference_mode():
        expected = model(pixel_values=scaled).last_hidden_state[:, 0].numpy()
    _same(features, expected)
