"""Torch on a GPU (CUDA or MPS): runs the same ONNX graphs as the other engines, in bfloat16 if asked.

The graph becomes a torch.fx module of straight-line torch calls. What depends on constants alone (such
as weights that the graph unpacks from 4 bits) is computed once, when the graph is loaded.
Importing this module imports no torch.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import BackboneError, ConfigError, MissingExtra

if TYPE_CHECKING:
    import torch

_OTHER = "use --engine onnxruntime"


def _gpu() -> str | None:
    """The device to use; torch, which takes seconds to import, is asked only where a GPU may be."""
    if not _perhaps():
        return None
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old driver warns; what matters is the answer
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else None


def _perhaps() -> bool:
    """Whether the system shows a device of NVIDIA's (/dev/dxg under WSL), AMD's or Apple's."""
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    if platform.system() == "Windows":
        return shutil.which("nvidia-smi") is not None
    dev = Path("/dev")
    return any(dev.glob("nvidia[0-9]*")) or (dev / "dxg").exists() or (dev / "kfd").exists()


class TorchEngine:
    """An ONNX graph, loaded and ready on a device.

    Args:
        graph: the model's path or its bytes.
        parallel: not used: a device does one run at a time.
        precision: of the weights and products; norms, sums and outputs stay in float32.
        device: "cuda", "mps" or "cpu"; by default the first of cuda and mps that is here.
        compiled: on CUDA, let torch.compile fuse what it can; where it cannot, the graph runs as it is.

    Raises:
        BackboneError: no such device, or the graph cannot be loaded, or it has an operator that this
            engine does not know.
        MissingExtra: torch is not installed.
    """

    name = "torch"
    parallel = 1
    batch = 32

    def __init__(
        self,
        graph: Path | bytes,
        parallel: int | None = None,
        precision: str = "float32",
        device: str | None = None,
        compiled: bool = True,
    ) -> None:
        if importlib.util.find_spec("torch") is None:
            raise MissingExtra("torch", "train")
        import torch

        from headstart.engine.torch_graph import module_of

        self._device = _device(device)
        kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
        if precision not in kinds:
            raise ConfigError(
                f"torch computes in {' or '.join(kinds)} here, not in {precision}.",
                fix="leave --precision out",
            )
        kind = kinds[precision]
        model = _read(graph)
        self._module = module_of(model, self._device, kind)
        constants = {tensor.name for tensor in model.graph.initializer}
        self.inputs = tuple(i.name for i in model.graph.input if i.name not in constants)
        self.outputs = tuple(output.name for output in model.graph.output)
        self._compiled: Any = None
        if compiled and self._device.type == "cuda":
            # pictures vary in their number, which torch.compile finds out; texts in both sizes
            several = any(len(_varying(value)) > 1 for value in model.graph.input)
            self._compiled = torch.compile(self._module, dynamic=True if several else None)

    @staticmethod
    def missing() -> str:
        """Why it cannot be used here; empty where it can."""
        if importlib.util.find_spec("torch") is None:
            return "torch is not installed (pip install 'headstart[train]')"
        return "" if _gpu() else "torch finds no CUDA or MPS device"

    @staticmethod
    def precisions() -> tuple[str, ...]:
        """What it computes in on a device."""
        return ("float32", "bfloat16")

    @staticmethod
    def version() -> str:
        """Of the library, with the device, as both decide how quick it is."""
        import torch

        gpu = _gpu()
        named = torch.cuda.get_device_name() if gpu == "cuda" else gpu
        return f"{torch.__version__} {named}"

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Graph input names -> arrays, to output names -> arrays; float32 where they are floats."""
        import torch

        with torch.inference_mode():
            given = [self._put(feeds[name]) for name in self.inputs]
            outputs = self._call(given)
            return {name: _array(output) for name, output in zip(self.outputs, outputs)}

    def _put(self, array: np.ndarray) -> torch.Tensor:
        import torch

        array = np.asarray(array, order="C")
        if not array.flags.writeable:  # torch has no read-only tensors, and warns
            array = array.copy()
        return torch.from_numpy(array).to(self._device)

    def _call(self, given: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        if self._compiled is not None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return self._compiled(*given)
            except Exception:  # noqa: BLE001  no compiler here, or a graph it cannot take
                self._compiled = None
        return self._module(*given)


def _device(name: str | None) -> torch.device:
    import torch

    chosen = name or _gpu()
    if chosen is None:
        raise BackboneError("The torch engine found no CUDA or MPS device.", fix=_OTHER)
    try:
        device = torch.device(chosen)
        torch.empty(0, device=device)
    except Exception as error:
        raise BackboneError(
            f"The torch engine cannot use the device {chosen!r}: {str(error).splitlines()[0]}",
            fix=_OTHER,
        ) from error
    return device


def _read(graph: Path | bytes) -> Any:
    import onnx

    try:
        model = onnx.load(graph) if isinstance(graph, Path) else onnx.load_from_string(graph)
        if not model.graph.output:
            raise ValueError("it has no output")
    except Exception as error:
        raise BackboneError(
            f"torch cannot load the graph: {(str(error).splitlines() or [''])[0][:300]}",
            fix="make the graph or the bundle again",
        ) from error
    return model


def _varying(value: Any) -> list[str]:
    return [d.dim_param for d in value.type.tensor_type.shape.dim if not d.HasField("dim_value")]


def _array(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.float() if tensor.dtype.is_floating_point else tensor
    array: np.ndarray = tensor.cpu().contiguous().numpy()
    return array
