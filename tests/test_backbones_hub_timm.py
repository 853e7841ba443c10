"""timm models as backbones: the features timm itself gives, from pictures prepared as timm does."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
if importlib.util.find_spec("timm") is None:
    pytest.skip("timm is not installed", allow_module_level=True)
pytest.importorskip("onnxscript")

from headstart.backbones import hub_timm  # noqa: E402
from headstart.backbones.choose import backbone_named  # noqa: E402
from headstart.backbones.graph import weights_hash  # noqa: E402
from headstart.backbones.quiet import quiet  # noqa: E402
from headstart.backbones.torchvision_repair import repair_torchvision  # noqa: E402
from headstart.engine.ort import OrtEngine  # noqa: E402
from headstart.errors import BackboneError, MissingExtra  # noqa: E402
from headstart.hashing import hash_file  # noqa: E402
from headstart.preprocess.image import prepare  # noqa: E402
from headstart.types import Backbone  # noqa: E402

with quiet():
    repair_torchvision()
    import timm
    from huggingface_hub import constants
    from safetensors.torch import save_file

pytestmark = pytest.mark.train
UNTRAINED = ("test_vit", "test_efficientnet", "test_convnext")


def _whole(name: str, seed: int = 0) -> torch.nn.Module:
    """The model with its classifier, drawn from a seed, by timm alone."""
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return timm.create_model(name).eval()


def _photo(size: tuple[int, int] = (301, 213)) -> Image.Image:
    coarse = np.random.default_rng(7).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and of torch for weights that are elsewhere."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def _in_hub(cache: Path, repository: str, files: dict[str, bytes]) -> Path:
    """Put files into the hub's cache, as a download would leave them."""
    commit = "0" * 40
    place = cache / f"models--{repository.replace('/', '--')}"
    folder = place / "snapshots" / commit
    folder.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _weights(model: torch.nn.Module, file: Path) -> bytes:
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, file)
    return file.read_bytes()


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries wait between their attempts: without sleep there is no long wait."""

    def refuse(seconds: float) -> None:
        raise AssertionError(f"waits {seconds} seconds")

    monkeypatch.setattr(time, "sleep", refuse)


def _like_timm(backbone: Backbone, model: torch.nn.Module) -> None:
    """Graph and steps give what timm's transform and model give, for a photo on its side and upright."""
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    engine = OrtEngine(backbone.graph)
    for size in ((301, 213), (180, 260)):
        photo = _photo(size)
        pixels, _ = prepare(photo, backbone.preprocess.steps)
        found = engine.run({"pixels": pixels[None]})["features"]
        with torch.inference_mode():
            states = model.forward_features(transform(photo)[None])
            expected = model.forward_head(states, pre_logits=True).numpy()
        assert found.shape == (1, backbone.dim)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    batch = engine.run({"pixels": np.stack([pixels] * 3)})["features"]
    np.testing.assert_allclose(batch[2], found[0], atol=1e-4 * np.abs(found).max())


@pytest.mark.parametrize("name", UNTRAINED)
def test_features_are_timms_own(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    state = torch.get_rng_state()
    backbone = hub_timm.load(name, pretrained=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert capfd.readouterr() == ("", "")
    assert backbone.name == f"timm:{name} (random weights, seed 0)"
    assert (backbone.modality, backbone.tokenizer) == ("image", None)
    _like_timm(backbone, _whole(name))


def test_weights_of_the_hubs_cache_and_a_second_use_without_torch(
    hub: Path, tmp_path: Path
) -> None:
    model = _whole("test_resnet", seed=5)
    content = _weights(model, tmp_path / "w.safetensors")
    folder = _in_hub(hub, "timm/test_resnet.r160_in1k", {"model.safetensors": content})
    backbone = hub_timm.load("test_resnet", offline=True)
    assert backbone.name == "timm:test_resnet"
    assert backbone.licence == "apache-2.0"
    assert backbone.sha256 == hash_file(folder / "model.safetensors")
    _like_timm(backbone, model)

    code = (
        "import sys\n"
        "from headstart.backbones.hub_timm import load\n"
        "print(load('test_resnet').graph_id, 'torch' in sys.modules, 'timm' in sys.modules)"
    )
    again = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, timeout=60
    )
    assert again.stdout.split() == [backbone.graph_id, "False", "False"], again.stderr


@pytest.mark.parametrize(
    "name",
    [
        "resnet18.a1_in1k",
        "vit_base_patch16_siglip_224.webli",  # squeezed, not cropped
        "tf_efficientnet_lite0.in1k",
        "vit_base_patch16_clip_224.openai",
        "mobilenetv3_large_100.ra_in1k",
        "inception_v3.tv_in1k",
    ],
)
def test_steps_are_timms_transform(name: str) -> None:
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    transform = timm.data.create_transform(**config, normalize=False)
    steps = hub_timm.steps_of(name, config)
    for size in ((301, 213), (180, 260), (90, 500), (224, 224)):
        expected = transform(_photo(size)).numpy().transpose(1, 2, 0)
        np.testing.assert_array_equal(prepare(_photo(size), steps)[0], expected)


@pytest.mark.parametrize(
    "change",
    [{"crop_mode": "border"}, {"input_size": (3, 224, 160)}, {"interpolation": "random"}],
)
def test_preparations_that_cannot_be_reproduced_are_refused(change: dict[str, object]) -> None:
    config = timm.data.resolve_data_config(
        pretrained_cfg=timm.get_pretrained_cfg("resnet18").to_dict()
    )
    with pytest.raises(BackboneError, match="not supported"):
        hub_timm.steps_of("timm:x", {**config, **change})


def test_random_weights_follow_the_seed() -> None:
    with quiet():
        drawn = [
            weights_hash(hub_timm._untrained(timm, "test_resnet", seed).state_dict())
            for seed in (0, 0, 1)
        ]
    assert drawn[0] == drawn[1] != drawn[2]
    reference = _whole("test_resnet", 1)
    reference.reset_classifier(0)
    assert drawn[2] == weights_hash(reference.state_dict())


def test_a_folder_and_a_repository_of_its_own(hub: Path, tmp_path: Path) -> None:
    model = _whole("test_resnet", seed=2)
    config = {"architecture": "test_resnet", "num_classes": 1000, "pretrained_cfg": {
        "input_size": [3, 64, 64], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6],
        "num_classes": 1000, "classifier": "fc", "first_conv": "conv1.0", "license": "mit",
    }}  # fmt: skip
    content = _weights(model, tmp_path / "w.safetensors")
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": content}
    folder = _in_hub(hub, "someone/mine", files)
    model.reset_classifier(0)
    for name in (f"local-dir:{folder}", "hf-hub:someone/mine"):
        with quiet():
            found, sha256 = hub_timm._pretrained(timm, name, offline=True)
        assert sha256 == hash_file(folder / "model.safetensors")
        assert weights_hash(found.state_dict()) == weights_hash(model.state_dict())
        assert timm.data.resolve_model_data_config(found)["mean"] == [0.1, 0.2, 0.3]


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "test_resnet"}))
    state = _whole("test_resnet").state_dict()
    del state["layer1.0.conv1.weight"]  # loosely loaded, this layer would stay at random
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(BackboneError, match=r"layer1\.0\.conv1\.weight"):
        hub_timm.load(f"local-dir:{tmp_path}")


def test_a_changed_folder_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"one")
    first = hub_timm._key(f"local-dir:{tmp_path}", True, 0)
    assert hub_timm._key(f"local-dir:{tmp_path}", True, 0) == first
    (tmp_path / "model.safetensors").write_bytes(b"other")
    assert hub_timm._key(f"local-dir:{tmp_path}", True, 0) != first


@pytest.mark.parametrize(
    ("name", "message", "fix"),
    [
        ("resnt18", "no model called 'resnt18'", "did you mean resnet18"),
        ("resnet18.a9_in1k", "no weights called 'a9_in1k'", "resnet18.a1_in1k"),
        ("resnet10t_no_such", "no model called", "did you mean"),
        ("efficientnet_b8", "no pretrained weights", "starter:lite0"),
        ("local-dir:/no/such/folder", "there is no folder", "path"),
        ("hf-hub:not a name", "neither a folder", "spelling"),
    ],
)
def test_names_that_do_not_exist(name: str, message: str, fix: str) -> None:
    with pytest.raises(BackboneError) as caught:
        hub_timm.load(name)
    assert message in caught.value.message
    assert fix in caught.value.fix


@pytest.mark.parametrize("name", ["resnet18", "hf-hub:someone/model", "legacy_seresnet18"])
def test_without_a_network(
    name: str, hub: Path, no_waiting: None, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BackboneError) as caught:
        hub_timm.load(name)
    assert f"timm:{name} is not on this machine and could not be downloaded" in caught.value.message
    assert "--backbone starter:lite0" in caught.value.fix
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["resnet18", "hf-hub:someone/model", "legacy_seresnet18"])
def test_offline_does_not_touch_the_network(
    name: str, hub: Path, no_waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **rest: asked.append(args))
    monkeypatch.setattr(socket.socket, "connect", lambda *args: asked.append(args))
    with pytest.raises(BackboneError, match="offline nothing is downloaded"):
        hub_timm.load(name, offline=True)
    assert not asked


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra) as caught:
        hub_timm.load("resnet18")
    assert caught.value.fix == "pip install 'headstart[train]'"


def test_without_pretrained_weights_it_says_so_and_is_another(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _whole("test_resnet", seed=5)
    content = _weights(model, tmp_path / "w.safetensors")
    _in_hub(hub, "timm/test_resnet.r160_in1k", {"model.safetensors": content})
    pretrained = backbone_named("timm:test_resnet", offline=True)
    drawn = backbone_named("timm:test_resnet", offline=True, pretrained=False, seed=3)
    assert pretrained.why == ""
    assert drawn.why == "random weights, seed 3: nothing in it was pretrained"
    assert drawn.graph_id != pretrained.graph_id
    assert drawn.sha256 != pretrained.sha256
    _like_timm(drawn, _whole("test_resnet", seed=3))
    monkeypatch.setitem(sys.modules, "timm", None)  # it is made once
    assert backbone_named("timm:test_resnet", pretrained=False, seed=3) == drawn
    with pytest.raises(BackboneError, match="timm"):
        backbone_named("timm:test_resnet", pretrained=False, seed=4)


def test_of_a_model_of_the_hub_the_configuration_is_enough(
    hub: Path, no_waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **rest: asked.append(args))
    config = {
        "architecture": "test_resnet",
        "num_classes": 10,
        "pretrained_cfg": {**_whole("test_resnet").pretrained_cfg, "num_classes": 10},
    }
    _in_hub(hub, "someone/model", {"config.json": json.dumps(config).encode()})
    name = "hf-hub:someone/model"
    found = hub_timm.load(name, offline=True, pretrained=False)
    assert found.name == f"timm:{name} (random weights, seed 0)"
    assert not asked
    with pytest.raises(BackboneError, match="offline nothing is downloaded"):
        hub_timm.load("hf-hub:someone/else", offline=True, pretrained=False)
    assert not asked
    _in_hub(hub, "someone/odd", {"config.json": json.dumps({"architecture": "no_such"}).encode()})
    with pytest.raises(BackboneError, match="cannot be made"):
        hub_timm.load("hf-hub:someone/odd", offline=True, pretrained=False)
