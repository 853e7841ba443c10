"""The table of engines: what can run an ONNX graph here. See `headstart.types.Engine` for what a row promises."""

from __future__ import annotations

from headstart.registry import Registry

ENGINES = Registry(
    "engine",
    "headstart.engines",
    {
        "onnxruntime": "headstart.engine.ort:OrtEngine",
        "openvino": "headstart.engine.openvino_cpu:OpenVinoEngine",
        "torch": "headstart.engine.torch_gpu:TorchEngine",
    },
)
