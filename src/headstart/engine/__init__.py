"""The table of engines: what can run an ONNX graph here."""

from __future__ import annotations

from headstart.registry import Registry

ENGINES = Registry("engine", "headstart.engines", {"onnxruntime": "headstart.engine.ort:OrtEngine"})
