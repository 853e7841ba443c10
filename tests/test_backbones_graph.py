"""Torch module to graph: the same numbers, any batch, and nothing of this machine inside."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from headstart.backbones import graph as graphs  # noqa: E402
from headstart.backbones.quiet import quiet  # noqa: E402
from headstart.backbones.wrappers import PixelModule, PooledTexts, picture_pooling, pool  # noqa: E402
from headstart.engine.ort import OrtEngine  # noqa: E402
from headstart.errors import BackboneError  # noqa: E402

pytestmark = pytest.mark.train


def _picture_module(seed: int = 0) -> PixelModule:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # layers draw from torch's own generator, forked above
        body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 5, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1)
        )
    return PixelModule(body, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)).eval()


class _States(torch.nn.Module):
    """Stands for a text model whose states depend on every id of the row, under the mask too."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(11, 6)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        states = self.table(input_ids)
        seen = torch.tanh(states + states.sum(1, keepdim=True))
        return type("Out", (), {"last_hidden_state": seen})()


@pytest.fixture(scope="module")
def pictures() -> tuple[PixelModule, bytes]:
    module = _picture_module()
    with quiet():
        made = graphs.export(module, {"pixels": graphs.made_pixels(16, 12, 2)}, graphs.IMAGE_AXES)
    return module, made


def test_names_types_and_axes_are_the_contract(pictures) -> None:
    model = onnx.load_from_string(pictures[1])
    onnx.checker.check_model(model, full_check=True)
    (pixels,), (features,) = model.graph.input, model.graph.output
    assert (pixels.name, features.name) == ("pixels", "features")
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert features.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    shape = [d.dim_param or d.dim_value for d in pixels.type.tensor_type.shape.dim]
    assert shape == ["n", 16, 12, 3]
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_normalisation_is_inside(pictures) -> None:
    module, graph = pictures
    pixels = graphs.made_pixels(16, 12, 4, seed=3)
    mean, std = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.4])
    planes = ((pixels.numpy() / 255 - mean) / std).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        expected = module.model(torch.from_numpy(planes).float()).numpy()[:, :, 0, 0]
    found = OrtEngine(graph).run({"pixels": pixels.numpy()})["features"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_same_weights_give_the_same_bytes_without_traces_of_this_machine(pictures) -> None:
    with quiet():
        again = graphs.export(
            _picture_module(), {"pixels": graphs.made_pixels(16, 12, 2)}, graphs.IMAGE_AXES
        )
    assert again == pictures[1]
    assert b"site-packages" not in again
    assert b".py" not in again


def test_check_accepts_the_graph_and_refuses_another_ones(pictures) -> None:
    module, graph = pictures
    inputs = [{"pixels": graphs.made_pixels(16, 12, rows)} for rows in (1, 5)]
    assert graphs.check(graph, module, inputs) < 1e-4
    with pytest.raises(BackboneError, match="differs from the backbone"):
        graphs.check(graph, _picture_module(seed=1), inputs)


def test_check_refuses_a_graph_that_stops_at_another_size(pictures) -> None:
    module, graph = pictures
    with pytest.raises(BackboneError, match="does not run on pixels"):
        graphs.check(graph, module, [{"pixels": graphs.made_pixels(20, 20, 1)}])


def test_check_refuses_numbers_that_are_not_finite(pictures) -> None:
    module = _picture_module()
    with torch.no_grad():
        module.model[0].bias.fill_(float("nan"))
    with pytest.raises(BackboneError, match="not finite"):
        graphs.check(pictures[1], module, [{"pixels": graphs.made_pixels(16, 12, 1)}])


def test_texts_of_other_lengths_and_whatever_stands_under_the_mask() -> None:
    module = PooledTexts(_States(), ("mean", "cls", "max", "last"), pad=0, normalize=True).eval()
    rng = np.random.default_rng(0)

    def feeds(rows: int, length: int) -> dict[str, torch.Tensor]:
        mask = np.arange(length) < rng.integers(1, length + 1, (rows, 1))
        ids = rng.integers(1, 11, (rows, length))
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
        }

    with quiet():
        graph, dim = graphs.make(module, [feeds(2, 5), feeds(1, 1), feeds(4, 9)], graphs.TEXT_AXES)
    assert dim == 24
    batch = {name: tensor.numpy() for name, tensor in feeds(3, 7).items()}
    engine = OrtEngine(graph)
    found = engine.run(batch)["features"]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    other = {**batch, "input_ids": np.where(batch["attention_mask"], batch["input_ids"], 9)}
    np.testing.assert_array_equal(engine.run(other)["features"], found)


def test_a_module_that_wants_one_number_of_rows_is_refused() -> None:
    class TwoRows(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return (
                pixels.float().reshape(2, -1)[:, :4] if len(pixels) == 2 else pixels[0, 0].float()
            )

    feeds = [{"pixels": graphs.made_pixels(4, 4, rows)} for rows in (2, 3)]
    with quiet(), pytest.raises(BackboneError) as caught:
        graphs.make(TwoRows(), feeds, graphs.IMAGE_AXES)
    assert caught.value.fix


def test_a_map_of_features_is_refused() -> None:
    class Map(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.float()

    with pytest.raises(BackboneError, match=r"gives \(2, 4, 4, 3\) for 2 inputs"):
        graphs.dimension(Map(), {"pixels": graphs.made_pixels(4, 4, 2)})


def test_more_than_two_gigabytes_are_refused_before_any_work() -> None:
    heavy = torch.nn.Linear(30_000, 20_000, device="meta")  # 2.4 GB, if it had memory
    with pytest.raises(BackboneError, match=r"weighs 2\.4 GB"):
        graphs.export(heavy, {"input": torch.zeros(2, 30_000)}, {"input": {0: "n"}})


@pytest.mark.parametrize("how", ["mean", "cls", "max", "sqrt", "last"])
def test_pooling_against_a_loop_over_rows(how: str) -> None:
    rng = np.random.default_rng(5)
    hidden, lengths = rng.normal(size=(4, 6, 3)).astype(np.float32), [1, 6, 3, 5]
    mask = (np.arange(6) < np.array(lengths)[:, None]).astype(np.int64)
    rows = {
        "mean": lambda row: row.mean(0),
        "cls": lambda row: row[0],
        "max": lambda row: row.max(0),
        "sqrt": lambda row: row.sum(0) / np.sqrt(len(row)),
        "last": lambda row: row[-1],
    }
    expected = [rows[how](row[:length]) for row, length in zip(hidden, lengths)]
    found = pool(torch.from_numpy(hidden), torch.from_numpy(mask), how).numpy()
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("parameter", "trained", "expected"),
    [
        ("layernorm", True, "pooled"),
        ("layernorm", False, "mean"),  # without weights it holds random numbers
        ("dense", True, "mean"),  # made for another aim
        ("cls_token", False, "first"),
    ],
)
def test_how_a_vision_model_is_pooled(parameter: str, trained: bool, expected: str) -> None:
    class Vision(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pooler = torch.nn.ParameterDict({parameter: torch.zeros(1)})

        def forward(self, pixel_values: torch.Tensor) -> object:
            return type("Out", (), {"pooler_output": pixel_values})()

    assert picture_pooling(Vision(), 8, 8, trained=trained) == expected


def test_weights_hash_sees_names_types_shapes_and_values() -> None:
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones((), dtype=torch.bfloat16)}
    whole = graphs.weights_hash(state)
    assert graphs.weights_hash(dict(reversed(state.items()))) == whole
    others = [
        {**state, "a": state["a"].reshape(3, 2)},
        {**state, "a": state["a"] + 1},
        {**state, "b": state["b"].float()},
        {"c": state["a"], "b": state["b"]},
    ]
    assert len({whole, *map(graphs.weights_hash, others)}) == 5


def test_quiet_silences_and_gives_everything_back(caplog) -> None:
    logger = logging.getLogger("timm.models")
    parent = logging.getLogger("timm")
    before, filters = parent.level, list(warnings.filters)

    def work() -> None:
        logger.error("nobody hears this")
        warnings.warn("nor this", stacklevel=1)
        raise ValueError("this is heard")

    with pytest.raises(ValueError, match="this is heard"), quiet():
        work()
    assert (parent.level, list(warnings.filters)) == (before, filters)
    assert not caplog.records
    logger.error("but this")
    assert [record.message for record in caplog.records] == ["but this"]
