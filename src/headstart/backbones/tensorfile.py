"""Reads tensors out of PyTorch's checkpoint files without PyTorch, and without running anything.

A checkpoint is a pickle, and unpickling runs what the file says. This reader never unpickles: it
walks the opcodes with the tables of `pickletools`, which only decode, and interprets the few that a
flat dictionary of tensors needs. Every other opcode and every other name is refused. Both layouts of
`torch.save` are read: one stream with the storages behind it (before PyTorch 1.6), and a zip file.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.errors import BackboneError

_MAGIC = 0x1950A86A20F9469CFC6C  # first value of the one-stream layout
_PROTOCOL = 1001
_DTYPES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "|i1", "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}  # fmt: skip
_MAX_OPCODES = 200_000
_PUSH = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PLAIN = {
    *_PUSH, *_CONSTANTS, *_EMPTY, *_TUPLES, "PROTO", "MARK", "TUPLE", "SETITEM", "SETITEMS", "APPEND",
    "APPENDS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "STOP",
}  # fmt: skip
_TENSOR = {"GLOBAL", "BINPERSID", "REDUCE", "BUILD"}
_CODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


def read(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint that is a flat dictionary of them.

    Args:
        data: the file's content.

    Returns:
        Name -> array, in the file's order.

    Raises:
        BackboneError: the file is damaged, or holds anything but a flat dictionary of tensors.
    """
    try:
        found = _read_zip(data) if data[:4] == b"PK\x03\x04" else _read_stream(data)
    except (ValueError, KeyError, IndexError, TypeError, EOFError, OverflowError) as error:
        raise _refusal(f"it is damaged ({error})") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise _refusal(f"its zip file is damaged ({error})") from error
    if not isinstance(found, dict):
        raise _refusal(f"it holds a {type(found).__name__}, not a dictionary")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise _refusal(f"its entry {name!r} is not a named tensor")
    return found


def _refusal(why: str) -> BackboneError:
    return BackboneError(
        f"The weights file cannot be read: {why}.",
        fix="use a file that holds only a state dictionary, or fetch it again",
    )


@dataclass(frozen=True)
class _Name:
    """A global that the file mentions: text only, nothing is imported."""

    module: str
    attribute: str


@dataclass(frozen=True)
class _Storage:
    dtype: np.dtype[Any]
    key: str
    count: int


class _Lazy:
    """A tensor as described by the stream; in the old layout its numbers come later."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        storage, offset, shape, strides = arguments[:4]
        if not isinstance(storage, _Storage):
            raise _refusal("a tensor has no storage")
        sizes = (offset, *shape, *strides)
        if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in sizes):
            raise _refusal("a tensor's shape is malformed")
        self.storage, self.offset = storage, offset
        self.shape, self.strides = tuple(shape), tuple(strides)

    def array(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor out of its storage's numbers, a contiguous copy."""
        count = 1
        for size in self.shape:
            count *= size
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides))
        # more elements than the storage holds: a tensor that overlaps itself, never a weight
        if count and (last >= len(numbers) or count > len(numbers)):
            raise _refusal("a tensor does not fit its storage")
        if count == 0:
            return np.empty(self.shape, numbers.dtype)
        steps = [step * numbers.itemsize for step in self.strides]
        view = np.lib.stride_tricks.as_strided(
            numbers[self.offset :], self.shape, steps, writeable=False
        )
        return np.array(view, order="C")


def _interpret(stream: io.BytesIO, storages: bool = True) -> Any:
    """The value that one pickle in the stream describes; the stream stands behind it afterwards.

    Args:
        stream: where the pickle begins.
        storages: whether tensors may occur.
    """
    machine = _Machine()
    for _ in range(_MAX_OPCODES):
        opcode = _CODES.get(stream.read(1))
        if opcode is None:
            raise _refusal("it ends too early, or is no pickle")
        # refused by its name, before its argument is decoded
        if opcode.name not in _PLAIN and not (storages and opcode.name in _TENSOR):
            raise _refusal(
                f"it uses the pickle operation {opcode.name}, which no plain tensor file needs"
            )
        argument = opcode.arg.reader(stream) if opcode.arg else None
        if opcode.name == "STOP":
            return machine.stack.pop()
        machine.step(opcode.name, argument)
    raise _refusal("it has too many entries")


class _Machine:
    """Does what the known opcodes say, to values of our own making."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[Any, Any] = {}

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def step(self, name: str, argument: Any) -> None:
        """Opcodes that make numbers, texts, tuples, lists and dictionaries."""
        stack = self.stack
        if name in _PUSH:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name in _TUPLES:
            items = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(reversed(items)))
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._since_mark()
            # texts only: the hash of tuples within tuples, each twice, would take for ever
            if any(type(key) is not str for key in items[::2]):
                raise _refusal("a dictionary has a key that is no text")
            _as(dict, stack[-1]).update(zip(items[::2], items[1::2], strict=True))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._since_mark()
            _as(list, stack[-1]).extend(items)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in _TENSOR:
            self._tensor(name, argument)

    def _tensor(self, name: str, argument: Any) -> None:
        """Opcodes that describe tensors and their storages."""
        stack = self.stack
        if name == "GLOBAL":
            stack.append(_global(argument))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_rebuild(stack.pop(), arguments))
        elif name == "BUILD":
            stack.pop()  # attributes of the dictionary (versions of modules): not needed
            _as(dict, stack[-1])


def _as(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind:
        raise _refusal(f"a {type(value).__name__} stands where a {kind.__name__} belongs")
    return value


def _global(argument: str) -> _Name:
    module, _, attribute = argument.partition(" ")
    name = _Name(module, attribute)
    known = {_Name("torch._utils", "_rebuild_tensor_v2"), _Name("collections", "OrderedDict")}
    if name not in known and not (module == "torch" and attribute in _DTYPES):
        raise _refusal(f"it calls for {module}.{attribute}, which no plain tensor file needs")
    return name


def _storage(described: Any) -> _Storage:
    """("storage", type, key, device, count) with, in the old layout, a view at the end."""
    kind, type_name, key, _, count = _as(tuple, described)[:5]
    if kind != "storage" or not isinstance(type_name, _Name) or type_name.module != "torch":
        raise _refusal("a storage is malformed")
    if len(described) > 5 and described[5] is not None:
        raise _refusal("a storage is a view of another one")
    if not isinstance(key, str) or type(count) is not int or count < 0:
        raise _refusal("a storage is malformed")
    return _Storage(np.dtype(_DTYPES[type_name.attribute]), key, count)


def _rebuild(function: Any, arguments: Any) -> Any:
    if function == _Name("collections", "OrderedDict") and arguments == ():
        return {}
    if function == _Name("torch._utils", "_rebuild_tensor_v2"):
        return _Lazy(_as(tuple, arguments))
    raise _refusal("it calls something that no plain tensor file needs")


def _fill(described: Any, numbers: Callable[[_Storage], np.ndarray]) -> Any:
    """Tensors in place of their descriptions."""
    if not isinstance(described, dict):
        return described
    return {
        name: value.array(numbers(value.storage)) if isinstance(value, _Lazy) else value
        for name, value in described.items()
    }


def _read_zip(data: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        index = next(
            (name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")), None
        )
        if index is None:
            raise _refusal("it is a zip file without data.pkl")
        root = index.removesuffix("data.pkl")
        order = entries.get(root + "byteorder")
        if order is not None and _member(archive, order) != b"little":
            raise _refusal("its numbers are big-endian")
        described = _interpret(io.BytesIO(_member(archive, entries[index])))
        cache: dict[_Storage, np.ndarray] = {}

        def numbers(storage: _Storage) -> np.ndarray:
            if storage not in cache:
                piece = _member(archive, entries[f"{root}data/{storage.key}"])
                cache[storage] = np.frombuffer(piece, storage.dtype, storage.count)
            return cache[storage]

        return _fill(described, numbers)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    # stored as it is: nothing can unpack to more than the file's own size
    if info.compress_type != zipfile.ZIP_STORED:
        raise _refusal(f"its part {info.filename!r} is compressed, which torch.save never does")
    return archive.read(info)


def _read_stream(data: bytes) -> Any:
    stream = io.BytesIO(data)
    if _interpret(stream, storages=False) != _MAGIC:
        raise _refusal("it is not a PyTorch checkpoint")
    if _interpret(stream, storages=False) != _PROTOCOL:
        raise _refusal("it is a PyTorch checkpoint of an unknown version")
    if _as(dict, _interpret(stream, storages=False)).get("little_endian") is not True:
        raise _refusal("its numbers are big-endian")
    described = _interpret(stream)
    order = _as(list, _interpret(stream, storages=False))
    sizes = {
        value.storage.key: value.storage
        for value in (described.values() if isinstance(described, dict) else ())
        if isinstance(value, _Lazy)
    }
    at = stream.tell()
    found: dict[str, np.ndarray] = {}
    for key in order:
        storage = sizes[key]  # each storage: its element count, then its numbers
        if int.from_bytes(data[at : at + 8], "little") != storage.count:
            raise _refusal("a storage has another size than it says")
        found[key] = np.frombuffer(data, storage.dtype, storage.count, at + 8)
        at += 8 + storage.count * storage.dtype.itemsize
    return _fill(described, lambda storage: found[storage.key])
