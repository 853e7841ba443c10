"""onnxruntime on the processor: the default engine, and the only one the runtime needs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from headstart.compute import threads
from headstart.errors import BackboneError, ConfigError

_OUTSIDE = "session.model_external_initializers_file_folder_path"


class OrtEngine:
    """An ONNX graph, loaded and ready. See `headstart.types.Engine`.

    Args:
        graph: the model's path or its bytes.
        parallel: how many runs are meant to go on at once, each on a thread of its own; by default one
            for each processor. One run is then computed by one thread: no time goes into handing parts
            of it around, and its bits do not depend on the machine's number of processors.
        precision: "float32" alone.

    Raises:
        BackboneError: onnxruntime refuses the graph.
    """

    name = "onnxruntime"
    batch = 1

    def __init__(
        self, graph: Path | bytes, parallel: int | None = None, precision: str = "float32"
    ) -> None:
        if precision not in self.precisions():
            raise ConfigError(
                f"onnxruntime computes in float32 here, not in {precision}.",
                fix="leave --precision out",
            )
        self.parallel = parallel or threads()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if isinstance(graph, bytes):
            # a bundle's graph holds all its weights; one that names a file would have it read from the
            # folder we stand in, so the only place to look is one that holds nothing
            options.add_session_config_entry(_OUTSIDE, os.devnull)
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph) if isinstance(graph, Path) else graph,
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:
            raise BackboneError(
                f"onnxruntime {onnxruntime.__version__} cannot load the graph: "
                f"{str(error).splitlines()[0][:300]}",
                fix="pip install -U onnxruntime; if it stays, make the graph or the bundle again",
            ) from error
        self.inputs = tuple(node.name for node in self._session.get_inputs())
        self.outputs = tuple(node.name for node in self._session.get_outputs())

    @staticmethod
    def missing() -> str:
        """Always there: it comes with Headstart."""
        return ""

    @staticmethod
    def precisions() -> tuple[str, ...]:
        """What it computes in."""
        return ("float32",)

    @staticmethod
    def version() -> str:
        """Of the library."""
        return str(onnxruntime.__version__)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Graph input names -> arrays, to output names -> arrays."""
        try:
            known = {name: feeds[name] for name in self.inputs}
            return dict(zip(self.outputs, self._session.run(None, known)))
        except MemoryError:
            raise
        except Exception as error:  # its own classes, RuntimeError, KeyError: by what is wrong
            raise BackboneError(
                f"The graph (model.onnx) cannot be run: {str(error).splitlines()[0][:300]}",
                fix="make the graph or the bundle again: it does not fit its preprocessing",
            ) from error
