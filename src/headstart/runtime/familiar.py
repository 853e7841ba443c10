"""How far an input is like the training data: held against training rows that the bundle keeps.

A classifier answers for anything: a photograph of a dog is sorted into kinds of waste, and its probability
can be high, as a linear head is sure far from all it has seen. What the features know is how near the
nearest training rows are. numpy only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from headstart.errors import BundleError

COPY = 0.9999
"""Cosine to a training row above which an input counts as a copy of it."""

_BLOCK = 1 << 22  # cosines held at a time
_FILE = "reference.safetensors"
_AGAIN = "copy the bundle again from where it was made, or make it again with headstart fit"


@dataclass(frozen=True)
class Reference:
    """Training rows that new inputs are held against.

    Attributes:
        features: (m, d) float32 rows of length 1 (a row of zeros stays so), not centred; `unit` does the
            same to new ones. They are of half precision, as the file keeps them, so that a bundle finds
            the same neighbours as the model it was made from.
        codes: (m,) int32 class numbers.
        names: m names of the training rows.
        weight: of the answer's probability beside the cosines (see `familiarity`).
        neighbours: how many of the nearest rows count.
    """

    features: np.ndarray
    codes: np.ndarray
    names: tuple[str, ...]
    weight: float = 0.0
    neighbours: int = 1

    def __len__(self) -> int:
        return len(self.features)

    def to_tensors(self) -> dict[str, np.ndarray]:
        """As the bundle keeps it: features in float16, names as the UTF-8 bytes of a JSON list."""
        names = json.dumps(list(self.names), ensure_ascii=False).encode("utf-8", "surrogatepass")
        return {
            "features": self.features.astype(np.float16),
            "codes": self.codes.astype(np.int32),
            "names": np.frombuffer(names, dtype=np.uint8),
            "weight": np.array([self.weight], dtype=np.float64),
            "neighbours": np.array([self.neighbours], dtype=np.int32),
        }

    @staticmethod
    def from_tensors(tensors: Mapping[str, np.ndarray], where: str = _FILE) -> Reference:
        """The inverse of `to_tensors`.

        Args:
            tensors: untrusted.
            where: the name of their file, for errors.

        Raises:
            BundleError: a tensor is missing, or of the wrong kind, shape or range.
        """
        features = _tensor(tensors, where, "features", np.float16, 2)
        m, d = features.shape
        if not (m and d):
            raise _wrong(
                where, "features", f"has the shape {features.shape}, without rows or columns"
            )
        codes = _tensor(tensors, where, "codes", np.int32, 1)
        if codes.shape != (m,):
            raise _wrong(where, "codes", f"has {len(codes)} rows, features have {m}")
        if codes.min() < 0:
            raise _wrong(where, "codes", f"holds the class number {codes.min()}")
        weight = _tensor(tensors, where, "weight", np.float64, 1)
        if weight.shape != (1,) or not 0 <= weight[0] <= 100:
            raise _wrong(where, "weight", "is not one number within 0..100")
        neighbours = np.ones(1, np.int32)  # bundles of before it was kept
        if "neighbours" in tensors:
            neighbours = _tensor(tensors, where, "neighbours", np.int32, 1)
        if neighbours.shape != (1,) or not 1 <= neighbours[0] <= 1000:
            raise _wrong(where, "neighbours", "is not one number within 1..1000")
        single = features.astype(np.float32)
        lengths = np.linalg.norm(single, axis=1)
        # half precision leaves the others within a thousandth
        if not ((np.abs(lengths - 1) < 1e-2) | (lengths == 0)).all():
            raise _wrong(where, "features", "holds rows that are not of length 1")
        return Reference(
            single, codes, _names(tensors, where, m), float(weight[0]), int(neighbours[0])
        )


def unit(features: np.ndarray) -> np.ndarray:
    """Features (n, d) brought to length 1, float32; a row of zeros stays so."""
    x = np.asarray(features, dtype=np.float32)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, lengths, out=np.zeros_like(x), where=lengths > 1e-12)


def nearest(
    reference: Reference, features: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The training rows nearest to each input by cosine.

    Args:
        reference: m training rows.
        features: (n, d) of the inputs, as the backbone gives them.
        count: how many; no more than m are given.

    Returns:
        (n, count) row numbers of the reference, nearest first; and their cosines, float32.
    """
    count = min(count, len(reference))
    x = unit(features)
    rows = np.empty((len(x), count), dtype=np.int64)
    cosines = np.empty((len(x), count), dtype=np.float32)
    for part, similar in _similar(reference, x):
        if count == 1:
            top = similar.argmax(axis=1)[:, None]
        elif count < similar.shape[1]:
            top = np.argpartition(-similar, count - 1, axis=1)[:, :count]
            top.sort(axis=1)
        else:
            top = np.tile(np.arange(count), (len(similar), 1))
        values = np.take_along_axis(similar, top, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[part] = np.take_along_axis(top, order, axis=1)
        cosines[part] = np.take_along_axis(values, order, axis=1)
    return rows, cosines


def familiarity(
    reference: Reference, features: np.ndarray, probabilities: np.ndarray
) -> np.ndarray:
    """How much each input is like the training data, (n,) float64; higher is more like it.

    The mean cosine to the nearest training rows, plus the calibrated probability of the answer with a weight
    that suits the spread of the cosines. The one sees that an input lies where no training row does (Sun et
    al. 2022), the other that it lies between the classes (Hendrycks and Gimpel 2017).

    Args:
        reference: training rows.
        features: (n, d) of the inputs, as the backbone gives them.
        probabilities: (n, k) calibrated.
    """
    _, cosines = nearest(reference, features, reference.neighbours)
    top = np.asarray(probabilities, dtype=np.float64).max(axis=1, initial=0.0)
    return cosines.mean(axis=1, dtype=np.float64) + reference.weight * top


def copies(reference: Reference, features: np.ndarray) -> np.ndarray:
    """Which inputs are copies of training rows, as far as the backbone tells them apart, (n,) bool.

    Args:
        reference: training rows.
        features: (n, d) of the inputs, as the backbone gives them.
    """
    # half precision changes the rows' lengths by more than what is looked for
    lengths = np.maximum(np.linalg.norm(reference.features, axis=1), 1e-12)
    out = np.zeros(len(features), dtype=bool)
    for part, similar in _similar(reference, unit(features)):
        out[part] = (similar / lengths).max(axis=1) > COPY
    return out


def _similar(reference: Reference, x: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Slices of x (n, d), and their cosines with all rows, (b, m)."""
    step = max(1, _BLOCK // len(reference))
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        yield part, x[part] @ reference.features.T


def _tensor(
    tensors: Mapping[str, np.ndarray],
    where: str,
    name: str,
    dtype: type[np.generic],
    dimensions: int,
) -> np.ndarray:
    array = tensors.get(name)
    if array is None:
        raise _wrong(where, name, "is missing")
    if array.dtype != dtype or array.ndim != dimensions:
        kind = np.dtype(dtype).name
        raise _wrong(
            where, name, f"is {array.dtype} {array.shape}, not {kind} with {dimensions} dimensions"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _wrong(where, name, "holds values that are not finite")
    return array


def _names(tensors: Mapping[str, np.ndarray], where: str, m: int) -> tuple[str, ...]:
    data = _tensor(tensors, where, "names", np.uint8, 1).tobytes()
    try:
        names = json.loads(data.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise _wrong(where, "names", "is not a JSON list of strings") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _wrong(where, "names", "is not a JSON list of strings")
    if len(names) != m:
        raise _wrong(where, "names", f"holds {len(names)} names, features have {m} rows")
    return tuple(names)


def _wrong(where: str, name: str, why: str) -> BundleError:
    return BundleError(f"{where}: {name} {why}.", fix=_AGAIN)
