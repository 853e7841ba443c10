"""A torch module as an ONNX graph, checked against the module on made inputs.

The graph holds its weights, takes any number of rows (and texts of any length), and carries no trace
of the machine that made it, so that the same weights give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.compute import generator
from headstart.engine.ort import OrtEngine
from headstart.errors import BackboneError, MissingExtra
from headstart.hashing import hash_parts

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

IMAGE_AXES: Mapping[str, Mapping[int, str]] = {"pixels": {0: "n"}}
TEXT_AXES: Mapping[str, Mapping[int, str]] = {
    "input_ids": {0: "n", 1: "t"},
    "attention_mask": {0: "n", 1: "t"},
}
TOLERANCE = 1e-3  # of the features' root mean square; sound graphs stay below 1e-5
_ANOTHER = "use another backbone, e.g. starter:lite0 (pictures) or starter:e5 (texts)"
_MOST_BYTES = 2_000_000_000  # a protocol buffer ends at 2 GiB, and the nodes need room too


def make(
    module: nn.Module,
    feeds: Sequence[Mapping[str, Tensor]],
    dynamic: Mapping[str, Mapping[int, str]],
) -> tuple[bytes, int]:
    """A checked graph: `export` of the first input, `check` on all.

    Args:
        module: takes the tensors of an input by name and returns the features, (n, d).
        feeds: inputs; the first has at least two rows.
        dynamic: as for `export`.

    Returns:
        The serialised ONNX model, and d.

    Raises:
        BackboneError: see `dimension`, `export` and `check`.
    """
    dim = dimension(module, feeds[0])
    graph = export(module, feeds[0], dynamic)
    check(graph, module, feeds)
    return graph, dim


def dimension(module: nn.Module, example: Mapping[str, Tensor]) -> int:
    """d, the length of the module's feature vectors.

    Args:
        module: takes the tensors of `example` by name.
        example: one input.

    Raises:
        BackboneError: it gives something else than one vector a row.
    """
    import torch

    try:
        with torch.inference_mode():
            out = module.eval()(**example)
    except Exception as error:
        raise BackboneError(
            f"The backbone does not run on its own inputs: {_first_line(error)}", fix=_ANOTHER
        ) from error
    rows = len(next(iter(example.values())))
    if not isinstance(out, torch.Tensor) or out.ndim != 2 or len(out) != rows:
        shape = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        raise BackboneError(
            f"The backbone gives {shape} for {rows} inputs, not one vector each.",
            fix=_ANOTHER,
        )
    return int(out.shape[1])


def export(
    module: nn.Module,
    example: Mapping[str, Tensor],
    dynamic: Mapping[str, Mapping[int, str]],
) -> bytes:
    """Turn a module into a graph.

    Args:
        module: takes the tensors of `example` by name and returns the features, (n, d).
        example: one input, of at least two rows; the graph's inputs get these names, in this order.
        dynamic: input name -> axis -> name of the axes whose length may vary.

    Returns:
        The serialised ONNX model with the output "features", float32.

    Raises:
        BackboneError: the module cannot be expressed as a graph, or weighs more than 2 GB.
        MissingExtra: torch or onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401  torch would report its absence in its own words
        import torch
    except ImportError as error:
        raise MissingExtra("torch with onnxscript", "train") from error

    held = [*module.parameters(), *module.buffers()]
    weight = sum(tensor.numel() * tensor.element_size() for tensor in held)
    if weight > _MOST_BYTES:
        raise BackboneError(
            f"The backbone weighs {weight / 1e9:.1f} GB; a graph in one file can hold 2 GB.",
            fix="use a smaller one of the same family",
        )
    axes = {name: torch.export.Dim(name) for axis in dynamic.values() for name in axis.values()}
    shapes = {
        name: {axis: axes[label] for axis, label in dynamic.get(name, {}).items()}
        for name in example
    }
    try:
        # a failing export prints the whole program
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()), torch.no_grad():
            program = torch.onnx.export(
                module.eval(),
                (),
                kwargs=dict(example),
                input_names=list(example),
                output_names=["features"],
                dynamic_shapes=shapes,
                dynamo=True,
                verbose=False,
            )
        assert program is not None
        return _clean(program.model_proto)
    except Exception as error:
        raise BackboneError(
            f"The backbone cannot be turned into a graph: {_first_line(error)}",
            fix=_ANOTHER,
        ) from error


def _first_line(error: BaseException) -> str:
    """The deepest cause in one line: the exporter wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _clean(model: onnx.ModelProto) -> bytes:
    """Without the notes on how it was made: stack traces, paths, versions."""
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    model.graph.ClearField("value_info")
    model.producer_name, model.producer_version = "headstart", ""
    return model.SerializeToString(deterministic=True)


def check(graph: bytes, module: nn.Module, inputs: Sequence[Mapping[str, Tensor]]) -> float:
    """Compare a graph with the module it was made from.

    Args:
        graph: as `export` returns it.
        module: the module, which runs in inference mode.
        inputs: several inputs: other numbers of rows, other lengths of text.

    Returns:
        The largest difference, as a share of the features' root mean square.

    Raises:
        BackboneError: they differ by more than `TOLERANCE`, give numbers that are not finite, or
            the graph does not run on one of the inputs.
    """
    import torch

    engine = OrtEngine(graph)
    worst = 0.0
    for feeds in inputs:
        try:
            with torch.inference_mode():
                expected = module.eval()(**feeds).numpy()
            values = engine.run({name: tensor.numpy() for name, tensor in feeds.items()})
            found = values["features"]
        except Exception as error:
            shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in feeds.items())
            raise _unfaithful(f"does not run on {shapes} ({_first_line(error)})") from error
        if found.dtype != np.float32 or found.shape != expected.shape or found.ndim != 2:
            raise _unfaithful(
                f"gives {found.dtype} {found.shape} where the backbone gives {expected.shape}"
            )
        worst = max(worst, _difference(expected, found))
    if worst > TOLERANCE:
        raise _unfaithful(f"differs from the backbone by {worst:.1e} of its features' size")
    return worst


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    if not np.isfinite(expected).all() or not np.isfinite(found).all():
        raise _unfaithful("gives numbers that are not finite")
    size = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64))))
    return float(np.abs(expected - found).max()) / (size or 1.0)


def _unfaithful(how: str) -> BackboneError:
    return BackboneError(
        f"The graph made from this backbone {how}.",
        fix="use another backbone; or pip install -U torch onnxscript onnxruntime and try again",
    )


def made_pixels(height: int, width: int, rows: int, seed: int = 0) -> Tensor:
    """Pictures to try a graph on: noise over ramps, each row of another brightness.

    Args:
        height: h.
        width: w.
        rows: n.
        seed: other seeds give other pictures.

    Returns:
        uint8 (n, h, w, 3).
    """
    import torch

    rng = generator(seed, rows)
    ramp = np.linspace(0, 1, width)[None, None, :, None] * rng.uniform(0, 200, (rows, 1, 1, 3))
    noise = rng.normal(0, 40, (rows, height, width, 3))
    level = rng.uniform(20, 120, (rows, 1, 1, 1))
    return torch.from_numpy(np.clip(ramp + noise + level, 0, 255).astype(np.uint8))


def weights_hash(state: Mapping[str, Any]) -> str:
    """SHA-256 over the tensors of a state dict and their names, for weights without a file.

    Args:
        state: name -> tensor.
    """
    import torch

    def pieces() -> Iterator[bytes | str]:
        for name in sorted(state):
            tensor = state[name].detach().cpu().contiguous()
            yield f"{name} {tensor.dtype} {tuple(tensor.shape)}"
            yield tensor.reshape(-1).view(torch.uint8).numpy().tobytes()  # numpy has no bfloat16

    return hash_parts(pieces())
