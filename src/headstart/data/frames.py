"""Tables that other libraries made: Parquet, pandas, polars, Arrow, Hugging Face datasets.

None of these libraries is imported unless a file needs it: an object of theirs can only be in the
caller's hands if the library is loaded already.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.columns import Columns, check_header, check_lengths
from headstart.data.schema import SPLIT_OF
from headstart.errors import DataError, MissingExtra

# what nanoarrow turns into Python values; views of strings crash it (0.9), so they go to pyarrow
_PLAIN_TYPES = frozenset(
    {"NULL", "BOOL", "HALF_FLOAT", "FLOAT", "DOUBLE", "STRING", "LARGE_STRING", "BINARY"}
    | {"LARGE_BINARY", "FIXED_SIZE_BINARY", "STRUCT", "LIST", "LARGE_LIST", "FIXED_SIZE_LIST"}
    | {"DICTIONARY", "DATE32", "DATE64"}
    | {f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
)


def is_instance(value: Any, module: str, *names: str) -> bool:
    """Whether a value is of a class of a library that is loaded; loads nothing."""
    loaded = sys.modules.get(module)
    return any(
        isinstance(value, cls)
        for name in names
        if isinstance(cls := getattr(loaded, name, None), type)
    )


def read_frame(value: Any) -> Columns | None:
    """A table in memory as columns; None if it is of no known kind.

    Raises:
        DataError: two columns share a name, or the columns differ in length.
        MissingExtra: the Arrow types need pyarrow.
    """
    notes: tuple[str, ...] = ()
    if is_instance(value, "pandas", "DataFrame"):
        source, columns = "the pandas table", _pandas(value)
    elif is_instance(value, "pandas", "Series") or is_instance(value, "polars", "Series"):
        source, columns = "the series", {"input": _sequence(value, "input")}
    elif is_instance(value, "polars", "LazyFrame"):
        source, columns = "the polars table", value.collect().to_dict(as_series=False)
    elif is_instance(value, "polars", "DataFrame"):
        source, columns = "the polars table", value.to_dict(as_series=False)
    elif is_instance(value, "datasets", "DatasetDict"):
        return _dataset_dict(value)
    elif is_instance(value, "datasets", "Dataset"):
        source, columns = "the dataset", _dataset(value)
    elif is_instance(value, "datasets", "IterableDataset", "IterableDatasetDict"):
        raise DataError(
            "A streamed dataset has no length, so it cannot be split.",
            fix="load it without streaming=True, or take a part into a list",
        )
    elif isinstance(value, Mapping):
        source, columns = "the dict", {str(k): _sequence(v, k) for k, v in value.items()}
    elif getattr(value, "__arrow_c_stream__", None) is not None:
        source = "the Arrow table"
        columns, notes = _arrow(value, source)
    else:
        return None
    n = check_lengths(columns, source)
    names = tuple(f"row {i}" for i in range(n))
    return Columns(columns, names, source, Path(), notes=notes)


def _sequence(column: Any, name: Any) -> list[Any]:
    if is_instance(column, "pandas", "Series"):
        return _pandas_cells(column)
    if is_instance(column, "polars", "Series"):
        return column.to_list()
    if isinstance(column, (str, bytes)) or not isinstance(column, (Sequence, np.ndarray)):
        raise DataError(
            f"Column {str(name)!r} of the dict holds a {type(column).__name__}, not a list.",
            fix="give a dict of columns: name -> list of values",
        )
    return list(column)


def _pandas_cells(series: Any) -> list[Any]:
    """NA, NaT and NaN become None, categories their values."""
    return series.astype(object).where(series.notna(), None).tolist()


def _pandas(frame: Any) -> dict[str, list[Any]]:
    check_header(list(frame.columns), "the pandas table")
    return {str(name): _pandas_cells(frame[name]) for name in frame.columns}


def _arrow(value: Any, source: str) -> tuple[dict[str, list[Any]], tuple[str, ...]]:
    """Columns of anything with `__arrow_c_stream__`; the stream is read once."""
    import nanoarrow

    stream = nanoarrow.c_array_stream(value)
    fields = list(nanoarrow.Schema(stream.get_schema()).fields)
    check_header([field.name for field in fields], source)
    odd = [field.name for field in fields if not _plain(field)]
    if odd:
        try:
            import pyarrow as pa
        except ImportError as error:
            raise MissingExtra(
                f"pyarrow, which the Arrow types of {', '.join(map(repr, odd))} need,", "parquet"
            ) from error
        return _pyarrow(pa.table(stream)), ()
    columns: dict[str, list[Any]] = {field.name: [] for field in fields}
    for chunk in nanoarrow.ArrayStream(stream):
        for name, child in zip(columns, chunk.iter_children()):
            columns[name].extend(child.iter_py())
    return columns, ()


def _plain(field: Any) -> bool:
    """Whether a field and all it is made of are types that nanoarrow reads."""
    name = field.type.name
    if name == "DICTIONARY":
        return _plain(field.value_type)
    return name in _PLAIN_TYPES and all(_plain(inner) for inner in field.fields)


def read_parquet(path: Path, source: str) -> Columns:
    """Read a Parquet file; numbered classes get the names that Hugging Face stores beside them.

    Raises:
        MissingExtra: pyarrow is not installed.
        DataError: the file is not Parquet, damaged, or has no rows.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("pyarrow, which reads Parquet files,", "parquet") from error
    try:
        # as a file object: a path would be taken apart for names like "label=3" in its folders
        with path.open("rb") as file:
            table = parquet.read_table(file)
    except (pa.ArrowException, OSError) as error:
        first = (str(error).splitlines() or ["damaged"])[0]
        raise DataError(
            f"{source} cannot be read as Parquet: {first}", fix="copy or make the file again"
        ) from error
    check_header(table.column_names, source)
    columns = _pyarrow(table)
    if not check_lengths(columns, source):
        raise DataError(f"{source} has no rows.", fix="give a file with rows")
    names = tuple(f"{path.name}:{i}" for i in range(1, table.num_rows + 1))
    return Columns(columns, names, source, path.parent)


def _pyarrow(table: Any) -> dict[str, list[Any]]:
    """Columns of a pyarrow table, with class names where its metadata has them."""
    classes = _class_names((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    columns = {}
    for name, column in zip(table.column_names, table.columns):
        try:
            values = column.to_pylist()
        except (ValueError, TypeError, ImportError):  # times finer than Python's need pandas
            values = column.cast("string").to_pylist()
        if name in classes:
            values = [_class_name(value, classes[name]) for value in values]
        columns[name] = values
    return columns


def _class_names(metadata: bytes) -> dict[str, list[str]]:
    """Column -> class names, out of what Hugging Face writes into the schema."""
    try:
        features = json.loads(metadata).get("info", {}).get("features", {})
        return {
            name: [str(label) for label in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # a hint only: without it the numbers are the labels


def _class_name(value: Any, names: Sequence[str]) -> Any:
    """A class number as its name; None for -1, which stands for "no label"."""
    if value is None or (isinstance(value, int) and value < 0):
        return None
    return names[value] if isinstance(value, int) and value < len(names) else value


def _dataset(data: Any) -> dict[str, list[Any]]:
    """Columns of a `datasets.Dataset`; pictures stay bytes or paths."""
    import datasets

    data = data.with_format(None)
    for name, feature in data.features.items():
        if isinstance(feature, datasets.Image):
            data = data.cast_column(name, datasets.Image(decode=False))
    # other decoders (sound, video) need libraries of their own, and no role here
    odd = [n for n, f in data.features.items() if type(f).__name__ in ("Audio", "Video", "Pdf")]
    data = data.remove_columns(odd)
    columns: dict[str, list[Any]] = data[:]
    for name, feature in data.features.items():
        if isinstance(feature, datasets.ClassLabel) and feature.names:
            columns[name] = [_class_name(value, feature.names) for value in columns[name]]
    return columns


def _dataset_dict(data: Any) -> Columns:
    """The parts of a `DatasetDict` below each other; their names become the column "split"."""
    known = [key for key in data if key.casefold() in SPLIT_OF]
    others = [key for key in data if key not in known]
    keys = known or others
    parts = {key: _dataset(data[key]) for key in keys}
    if not parts:
        raise DataError("The DatasetDict is empty.", fix="give a dataset with rows")
    headers = {tuple(sorted(part)) for part in parts.values()}
    if len(headers) > 1:
        raise DataError(
            f"The parts of the dataset ({', '.join(keys)}) have different columns.",
            fix="give the parts the same columns, or read one of them",
        )
    first = next(iter(parts.values()))
    columns = {name: [v for part in parts.values() for v in part[name]] for name in first}
    sizes = {key: check_lengths(part, f"part {key!r}") for key, part in parts.items()}
    names = tuple(f"{key} row {i}" for key in keys for i in range(sizes[key]))
    if known:
        columns["split"] = [SPLIT_OF[key.casefold()] for key in keys for _ in range(sizes[key])]
    left = others if known else []
    notes = tuple(f"part {key!r} of the dataset is not used" for key in left)
    return Columns(columns, names, "the dataset", Path(), notes=notes)
