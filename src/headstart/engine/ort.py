"""onnxruntime on the processor: the default engine, and the only one the runtime needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from headstart.compute import threads
from headstart.errors import BackboneError


class OrtEngine:
    """An ONNX graph, loaded and ready.

    Args:
        graph: the model's path or its bytes.
        n_threads: threads for one run; by default all this process may use.

    Raises:
        BackboneError: onnxruntime refuses the graph.
    """

    name = "onnxruntime"

    def __init__(self, graph: Path | bytes, n_threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads or threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # idle threads that spin burn the second core that decodes the next batch
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Graph input names -> arrays, to output names -> arrays."""
        known = {name: feeds[name] for name in self.inputs}
        return dict(zip(self.outputs, self._session.run(None, known)))
