"""A backbone in 8-bit integers, its ranges taken from the user's own inputs.

Post-training static quantisation: Jacob et al., "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", 2018 (https://arxiv.org/abs/1712.05877). Convolutions and
products with weights become integer; norms, softmaxes, pooling and the unit length stay float32.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from headstart.backbones import shelf
from headstart.errors import BackboneError
from headstart.hashing import canonical_json, hash_parts
from headstart.types import Backbone

_VERSION = 2  # raise it when this file makes other graphs than before
_PRODUCTS = ("Conv", "Gemm", "MatMul")
_WITHOUT = "leave --precision int8 out"


def static_int8(backbone: Backbone, feeds: Iterable[Mapping[str, np.ndarray]]) -> Backbone:
    """The same backbone with 8-bit weights and activations; made once, then only looked up.

    Args:
        backbone: in float32.
        feeds: batches of the graph's inputs, as an engine takes them, made from the user's own
            inputs; some hundred rows in all are enough. The graph depends on them.

    Returns:
        A backbone with another `graph_id`; all else is as it was.

    Raises:
        BackboneError: there are no inputs, or nothing in the graph can be quantised.
    """
    batches = [{name: np.asarray(array) for name, array in feed.items()} for feed in feeds]
    if not any(len(array) for batch in batches for array in batch.values()):
        raise BackboneError(
            f"{backbone.name} cannot be quantised without inputs to take the ranges from.",
            fix=f"give at least one readable input, or {_WITHOUT}",
        )
    key = canonical_json({"int8": _VERSION, "graph": backbone.graph_id, "feeds": _hash(batches)})
    kept = shelf.take(key)
    if kept is not None:
        return kept
    tokenizer = backbone.tokenizer
    return shelf.keep(
        key,
        graph=_quantise(backbone, batches),
        name=backbone.name,
        modality=backbone.modality,
        dim=backbone.dim,
        licence=backbone.licence,
        sha256=backbone.sha256,
        preprocess=backbone.preprocess,
        tokenizer=tokenizer.read_text(encoding="utf-8") if tokenizer is not None else None,
    )


def _hash(batches: list[dict[str, np.ndarray]]) -> str:
    def parts() -> Iterator[bytes | str]:
        for batch in batches:
            for name in sorted(batch):
                array = np.ascontiguousarray(batch[name])
                yield f"{name} {array.dtype.str} {array.shape}"
                yield array.tobytes()

    return hash_parts(parts())


def _quantise(backbone: Backbone, batches: list[dict[str, np.ndarray]], **other: Any) -> bytes:
    try:
        with tempfile.TemporaryDirectory() as folder, _silence():
            made = _with_onnxruntime(backbone.graph, Path(folder), batches, other)
    except Exception as error:
        line = (str(error).splitlines() or [""])[0][:300]
        raise BackboneError(
            f"{backbone.name} cannot be quantised: {type(error).__name__}: {line}", fix=_WITHOUT
        ) from error
    if b"DequantizeLinear" not in made:
        raise BackboneError(
            f"{backbone.name} has no convolution and no product with weights: nothing to quantise.",
            fix=_WITHOUT,
        )
    return made


def _with_onnxruntime(
    graph: Path, folder: Path, batches: list[dict[str, np.ndarray]], other: dict[str, Any]
) -> bytes:
    import onnx
    import onnxruntime
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    folded, made = folder / "folded.onnx", folder / "int8.onnx"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # constants first: weights that the graph unpacks from 4 bits become weights to quantise
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    settings: dict[str, Any] = {
        "op_types_to_quantize": list(_PRODUCTS),
        "per_channel": True,
        # 7 bits of weight: processors without VNNI add two 8-bit products in 16 bits, and saturate;
        # with VNNI all 8 would do, but a bundle has to answer alike on both
        "reduce_range": True,
        "activation_type": quantization.QuantType.QUInt8,
        "weight_type": quantization.QuantType.QInt8,
        "calibrate_method": quantization.CalibrationMethod.MinMax,
        "extra_options": {
            "MatMulConstBOnly": True,
            # what leaves a product is quantised where the next one takes it: after the clipping in
            # between, whose narrow range is what 8 bits should be spent on
            "OpTypesToExcludeOutputQuantization": list(_PRODUCTS),
            "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
        },
    }
    quantization.quantize_static(folded, made, Reader(), **{**settings, **other})
    model = onnx.load(made)
    model.producer_name, model.producer_version = "headstart", ""
    for part in (model, model.graph, *model.graph.node):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    model.graph.ClearField("value_info")
    return model.SerializeToString(deterministic=True)


@contextmanager
def _silence() -> Iterator[None]:
    """Without onnxruntime's advice in the log, its warnings, and its folder on the module path."""
    root = logging.getLogger()
    disabled, paths = root.manager.disable, list(sys.path)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        sys.path[:] = paths
