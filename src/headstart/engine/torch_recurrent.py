"""The recurrent operators of ONNX: RNN (Elman 1990), GRU (Cho et al. 2014), LSTM (Hochreiter 1997).

They join the table of `headstart.engine.torch_ops`; what is said there holds here. Torch's own kernels run
them, with the weights' rows in torch's order of gates. Sequences are (t, n, c), time first; where lengths
(n,) are given, a sequence ends there: what follows is 0, and the backward direction starts there. All is
computed in float32: a state gathers the rounding of every step, and not every processor has an LSTM for less.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from headstart.engine.torch_ops import operator
from headstart.errors import BackboneError

_LSTM = (0, 2, 3, 1)  # places of torch's gates i, f, g, o in ONNX's i, o, f, c
_GRU = (1, 0, 2)  # of torch's r, z, n in ONNX's z, r, h


@operator("RNN")
def _rnn(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    state: Tensor | None = None,
    *,
    hidden_size: int = 0,
    direction: str = "forward",
    activations: Sequence[str] = ("Tanh",),
) -> tuple[Tensor, ...]:
    kernels = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}
    named = {name.lower() for name in activations}
    if len(named) != 1 or not named <= set(kernels):
        raise BackboneError(
            f"The torch engine does not know the operator RNN with {', '.join(activations)}.",
            fix="use --engine onnxruntime",
        )
    return _run(kernels[named.pop()], (0,), x, w, r, b, lengths, (state,), direction)


@operator("GRU")
def _gru(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    state: Tensor | None = None,
    *,
    hidden_size: int = 0,
    direction: str = "forward",
    linear_before_reset: int = 0,
) -> tuple[Tensor, ...]:
    if linear_before_reset:
        return _run(torch.gru, _GRU, x, w, r, b, lengths, (state,), direction)
    with torch.autocast(x.device.type, enabled=False):
        return _early_reset(x, w, r, b, lengths, state, direction)


@operator("LSTM")
def _lstm(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    state: Tensor | None = None,
    cell: Tensor | None = None,
    *,
    hidden_size: int = 0,
    direction: str = "forward",
) -> tuple[Tensor, ...]:
    return _run(torch.lstm, _LSTM, x, w, r, b, lengths, (state, cell), direction)


def _run(
    kernel: Callable[..., Any],
    gates: tuple[int, ...],
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    states: tuple[Tensor | None, ...],
    direction: str,
) -> tuple[Tensor, ...]:
    """One layer.

    Args:
        kernel: torch's.
        gates: place in ONNX's order of each of torch's gates; g of them.
        x: (t, n, c).
        w: (d, g h, c) of the inputs; d directions.
        r: (d, g h, h) of the state.
        b: (d, 2 g h) of both.
        lengths: (n,).
        states: (d, n, h) to begin with; None: 0.
        direction: "forward", "reverse" or "bidirectional".

    Returns:
        States (t, d, n, h), and the last of each sequence (d, n, h), of an LSTM with its cells.
    """
    x, w, r = x.float(), w.float(), r.float()
    both = direction == "bidirectional"
    back = direction == "reverse"
    weights = [
        part
        for d in range(len(w))
        for part in _weights(w[d], r[d], None if b is None else b[d].float(), gates)
    ]
    begun = [_begun(state, x, r) for state in states]
    first = begun[0] if len(begun) == 1 else begun
    rest = (weights, b is not None, 1, 0.0, torch.is_grad_enabled(), both)
    x = _turned(x, lengths) if back else x
    with torch.autocast(x.device.type, enabled=False):
        if lengths is None:
            out, *last = kernel(x, first, *rest, False)
        else:
            out, last = _packed(kernel, x, lengths, begun, rest)
    out = _turned(out, lengths) if back else out
    t, n, _ = out.shape
    return out.reshape(t, n, len(w), -1).transpose(1, 2), *last


def _packed(
    kernel: Callable[..., Any],
    x: Tensor,
    lengths: Tensor,
    begun: list[Tensor],
    rest: tuple[Any, ...],
) -> tuple[Tensor, list[Tensor]]:
    """The layer over sequences of their own lengths; an empty one gives 0."""
    packed = pack_padded_sequence(x, lengths.long().clamp(min=1).cpu(), enforce_sorted=False)
    order, back = packed.sorted_indices, packed.unsorted_indices
    assert order is not None
    assert back is not None
    begun = [state.index_select(1, order) for state in begun]
    first = begun[0] if len(begun) == 1 else begun
    data, *last = kernel(packed.data, packed.batch_sizes, first, *rest)
    made = PackedSequence(data, packed.batch_sizes, order, back)
    out, _ = pad_packed_sequence(made, total_length=len(x))
    some = (lengths > 0)[:, None].to(out.device)
    return out * some, [state.index_select(1, back) * some for state in last]


def _weights(w: Tensor, r: Tensor, b: Tensor | None, gates: tuple[int, ...]) -> list[Tensor]:
    """Of one direction as torch wants them: the rows of each gate where torch has them."""
    parts = [w, r, *(() if b is None else b.chunk(2))]
    return [torch.cat([part.chunk(len(gates))[gate] for gate in gates]) for part in parts]


def _begun(state: Tensor | None, x: Tensor, r: Tensor) -> Tensor:
    if state is None:
        return torch.zeros(len(r), x.shape[1], r.shape[2], device=x.device)
    return state.float()


def _turned(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sequence from its end to its start; what follows its end stays."""
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(len(x), device=x.device)[:, None]
    ends = lengths.long()[None]
    places = torch.where(steps < ends, ends - 1 - steps, steps)
    return torch.gather(x, 0, places[:, :, None].expand(x.shape))


def _early_reset(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    state: Tensor | None,
    direction: str,
) -> tuple[Tensor, ...]:
    """A GRU that resets the state before its product, step by step: torch has no kernel for it."""
    x, w, r = x.float(), w.float(), r.float()
    begun, steps = _begun(state, x, r), list(range(len(x)))
    outs, lasts = [], []
    for d in range(len(w)):
        h, size = begun[d], r.shape[2]
        given, own = (b[d].float().chunk(2)) if b is not None else (0.0, x.new_zeros(3 * size))
        inputs = x @ w[d].T + given  # (t, n, 3 h): z, r, h
        made: dict[int, Tensor] = {}
        turned = direction == "reverse" or d == 1
        for t in reversed(steps) if turned else steps:
            gates = inputs[t, :, : 2 * size] + h @ r[d, : 2 * size].T + own[: 2 * size]
            update, reset = torch.sigmoid(gates).chunk(2, 1)
            product = (reset * h) @ r[d, 2 * size :].T + own[2 * size :]
            new = torch.tanh(inputs[t, :, 2 * size :] + product)
            new = (1 - update) * new + update * h
            alive = None if lengths is None else (t < lengths)[:, None]
            made[t] = new if alive is None else torch.where(alive, new, torch.zeros_like(new))
            h = new if alive is None else torch.where(alive, new, h)
        outs.append(torch.stack([made[t] for t in steps]))
        lasts.append(h)
    return torch.stack(outs, 1), torch.stack(lasts)
