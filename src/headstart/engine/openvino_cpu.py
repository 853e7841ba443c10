"""OpenVINO on the processor: a second engine there, with bfloat16 where the processor has it."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headstart.compute import threads
from headstart.errors import BackboneError, ConfigError, MissingExtra


class OpenVinoEngine:
    """An ONNX graph, compiled for this processor. See `headstart.types.Engine`.

    Args:
        graph: the model's path or its bytes.
        parallel: how many runs go on at once; by default one for each processor.
        precision: "float32"; "bfloat16" where `precisions` names it.

    Raises:
        BackboneError: OpenVINO refuses the graph.
        ConfigError: the processor does not compute in this precision.
        MissingExtra: OpenVINO is not installed.
    """

    name = "openvino"
    batch = 1

    def __init__(
        self, graph: Path | bytes, parallel: int | None = None, precision: str = "float32"
    ) -> None:
        if self.missing():
            raise MissingExtra("OpenVINO", "openvino")
        if precision not in self.precisions():
            raise ConfigError(
                f"OpenVINO computes in {' or '.join(self.precisions())} on this processor, "
                f"not in {precision}.",
                fix="leave --precision out",
            )
        self.parallel = parallel or threads()
        core = _core()
        try:
            model = core.read_model(str(graph) if isinstance(graph, Path) else graph, b"")
            # one stream a run, as in onnxruntime; the hint keeps bfloat16 from being taken unasked
            self._compiled = core.compile_model(
                model,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
                    "INFERENCE_NUM_THREADS": self.parallel,
                    "NUM_STREAMS": self.parallel,
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except Exception as error:
            lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
            raise BackboneError(
                f"OpenVINO {self.version()} cannot load the graph: {lines[-1].strip()[:300]}",
                fix="use --engine onnxruntime",
            ) from error
        # what is fused with an output shares its port: a port can have several names
        self._ports = [sorted(node.get_names()) for node in self._compiled.inputs]
        self._results = [sorted(node.get_names()) for node in self._compiled.outputs]
        self._own = threading.local()  # a request serves one run at a time

    @staticmethod
    def missing() -> str:
        """Why it cannot be used here; empty where it can."""
        if importlib.util.find_spec("openvino") is None:
            return "OpenVINO is not installed (pip install 'headstart[openvino]')"
        return ""

    @staticmethod
    def precisions() -> tuple[str, ...]:
        """What it computes in on this processor."""
        able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return ("float32", "bfloat16") if "BF16" in able else ("float32",)

    @staticmethod
    def version() -> str:
        """Of the library."""
        return importlib.metadata.version("openvino")

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Graph input names -> arrays, to output names -> arrays."""
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        given = {
            port: next(feeds[name] for name in names if name in feeds)
            for port, names in enumerate(self._ports)
        }
        request.infer(given, share_inputs=True)
        found: dict[str, np.ndarray] = {}
        for port, names in enumerate(self._results):
            # copied: the request's own memory is written anew by the next run
            found |= dict.fromkeys(names, np.array(request.get_output_tensor(port).data))
        return found


@functools.cache
def _core() -> Any:
    import openvino

    return openvino.Core()
