"""The closed reader of PyTorch checkpoints: right numbers out of sound files, nothing out of others."""

import io
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.backbones import tensorfile
from headstart.errors import BackboneError

# ---- opcodes of the pickle format, written by hand
STOP, PROTO = b".", b"\x80\x02"


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    return b"J" + struct.pack("<i", value)


def name(module, attribute):
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def tuple_of(*items):
    return b"(" + b"".join(items) + b"t"


def tensor(key, count, shape, strides, *, offset=0, kind="FloatStorage", device="cpu", view=b"N"):
    storage = tuple_of(
        text("storage"), name("torch", kind), text(key), text(device), number(count), view
    )
    return (
        name("torch._utils", "_rebuild_tensor_v2")
        + tuple_of(
            storage + b"Q",
            number(offset),
            tuple_of(*map(number, shape)),
            tuple_of(*map(number, strides)),
            b"\x89",
            name("collections", "OrderedDict") + b")R",
        )
        + b"R"
    )


def dictionary(**entries):
    return b"}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u"


def stream(body, *storages, magic=None, little=b"\x88"):
    """The layout before PyTorch 1.6: three small values, the value itself, the storages."""
    magic = magic or b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
    info = dictionary(little_endian=little)
    keys = b"](" + b"".join(text(key) for key, _ in storages) + b"e"
    values = b"".join(struct.pack("<q", array.size) + array.tobytes() for _, array in storages)
    pickles = (magic, b"M" + struct.pack("<H", 1001), info, body, keys)
    return b"".join(PROTO + part + STOP for part in pickles) + values


def archive(body, *storages, compression=zipfile.ZIP_STORED, order=b"little"):
    """The layout since PyTorch 1.6."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        made.writestr("model/data.pkl", PROTO + body + STOP)
        made.writestr("model/byteorder", order)
        for key, array in storages:
            made.writestr(f"model/data/{key}", array.tobytes())
    return file.getvalue()


NUMBERS = np.arange(6, dtype=np.float32)
SOUND = dictionary(a=tensor("0", 6, (2, 3), (3, 1)))


@pytest.mark.parametrize("layout", [stream, archive])
def test_reads_tensors_their_views_and_their_types(layout):
    body = dictionary(
        a=tensor("0", 6, (2, 3), (3, 1)),
        turned=tensor("0", 6, (3, 2), (1, 3)),
        last=tensor("0", 6, (2,), (1,), offset=4),
        one=tensor("1", 1, (), (), kind="LongStorage"),
    )
    read = tensorfile.read(layout(body, ("0", NUMBERS), ("1", np.array([7], np.int64))))
    assert list(read) == ["a", "turned", "last", "one"]
    assert np.array_equal(read["a"], NUMBERS.reshape(2, 3))
    assert read["a"].dtype == np.float32
    assert np.array_equal(read["turned"], NUMBERS.reshape(2, 3).T)
    assert read["last"].tolist() == [4, 5]
    assert read["one"].shape == ()
    assert read["one"] == 7


def marker_calls(marker):
    """Pickles that write the file `marker` when they are loaded, each by another way."""
    path = text(str(marker))
    touch = f"open({str(marker)!r}, 'w').close()"
    return {
        "system": name("os", "system") + b"(" + text(f"echo > {marker}") + b"tR",
        "posix": name("posix", "system") + b"(" + text(f"echo > {marker}") + b"tR",
        "eval": name("builtins", "eval") + b"(" + text(touch) + b"tR",
        "exec in a dictionary": dictionary(a=name("builtins", "exec") + b"(" + text(touch) + b"tR"),
        "stack global": text("builtins") + text("eval") + b"\x93(" + text(touch) + b"tR",
        "old instance": b"(" + path + text("w") + b"ibuiltins\nopen\n",
        "new object": name("pathlib", "Path") + b"(" + path + b"t\x81",
        "object": b"(" + name("builtins", "open") + path + text("w") + b"o",
        "extension": b"\x82\x01",
        "text persistent id": b"P" + str(marker).encode() + b"\n",
        "torch.load": name("torch", "load") + b"(" + path + b"tR",
        "torch.hub": name("torch.hub", "load") + b"(" + path + b"tR",
        "almost a storage": name("torch", "FloatStorage.from_file") + b"(" + path + b"tR",
        "a storage called": name("torch", "FloatStorage") + b"(" + path + b"tR",
        "dictionary made of pairs": name("collections", "OrderedDict") + b"(" + path + b"tR",
        "state of an object": name("collections", "OrderedDict")
        + b")R"
        + name("builtins", "eval")
        + b"("
        + text(touch)
        + b"tRb",
        "behind a mark": b"(" + name("os", "system") + text("true") + b"1" + SOUND,
    }


@pytest.mark.parametrize("layout", [stream, archive])
@pytest.mark.parametrize("kind", sorted(marker_calls("x")))
def test_a_file_that_runs_something_is_refused_and_runs_nothing(layout, kind, tmp_path):
    marker = tmp_path / "marker"
    body = marker_calls(marker)[kind]
    with pytest.raises(BackboneError) as refused:
        tensorfile.read(layout(body, ("0", NUMBERS)))
    assert refused.value.fix
    assert not marker.exists()


def test_the_first_values_of_the_old_layout_may_not_call_anything(tmp_path):
    marker = tmp_path / "marker"
    call = name("os", "system") + b"(" + text(f"echo > {marker}") + b"tR"
    for file in (
        stream(SOUND, ("0", NUMBERS), magic=call),
        stream(SOUND, ("0", NUMBERS), little=call),
    ):
        with pytest.raises(BackboneError):
            tensorfile.read(file)
    assert not marker.exists()


@pytest.mark.parametrize(
    "body",
    [
        dictionary(a=tensor("0", 6, (2, 4), (4, 1))),  # more than the storage holds
        dictionary(a=tensor("0", 6, (6,), (1,), offset=1)),
        dictionary(a=tensor("0", 6, (2,), (6,))),
        dictionary(a=tensor("0", 6, (-1,), (1,))),
        dictionary(a=tensor("0", 6, (2,), (-1,), offset=3)),
        dictionary(a=tensor("0", 6, (1 << 30,), (0,))),  # few bytes that unfold into many
        dictionary(a=tensor("0", 6, (2,), (1, 1))),
        dictionary(a=tensor("0", -6, (2,), (1,))),
        dictionary(a=tensor("../../0", 6, (2,), (1,))),
        dictionary(a=tensor("0", 6, (2,), (1,), view=tuple_of(text("0"), number(0), number(2)))),
        dictionary(a=tensor("0", 6, (2,), (1,), kind="ComplexFloatStorage")),
        dictionary(a=number(3)),
        dictionary(a=dictionary(b=number(3))),
        b"}" + number(1) + tensor("0", 6, (2,), (1,)) + b"s",
        b"}" + b"]" + tensor("0", 6, (2,), (1,)) + b"s",
        b"](" + tensor("0", 6, (2,), (1,)) + b"e",
        number(1),
        b"s",
        b"t",
        b"h\x09",
        b"",
    ],
)
@pytest.mark.parametrize("layout", [stream, archive])
def test_malformed_descriptions_are_refused(layout, body):
    with pytest.raises(BackboneError, match="cannot be read"):
        tensorfile.read(layout(body, ("0", NUMBERS)))


def test_a_compressed_or_big_endian_or_empty_archive_is_refused():
    broken = io.BytesIO()
    with zipfile.ZipFile(broken, "w") as made:
        made.writestr("model/other", b"")
    for file in (
        archive(SOUND, ("0", NUMBERS), compression=zipfile.ZIP_DEFLATED),
        archive(SOUND, ("0", NUMBERS), order=b"big"),
        archive(SOUND),
        archive(SOUND, ("0", NUMBERS[:5])),
        broken.getvalue(),
    ):
        with pytest.raises(BackboneError):
            tensorfile.read(file)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_anywhere_gives_numbers_or_a_refusal(data):
    layout = data.draw(st.sampled_from([stream, archive]))
    file = bytearray(layout(SOUND, ("0", NUMBERS)))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(file)))
    try:
        read = tensorfile.read(bytes(file[:cut]))
    except BackboneError:
        return
    assert all(isinstance(value, np.ndarray) for value in read.values())


@pytest.mark.train
@pytest.mark.parametrize("zipped", [False, True])
def test_equals_what_torch_saved(zipped):
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = OrderedDict(
        base=base,
        turned=base.T,
        part=base[1:3, ::2],
        half=base.half(),
        whole=torch.tensor(5),
        flags=torch.tensor([True, False]),
        bytes=torch.arange(5, dtype=torch.uint8),
        empty=torch.zeros(0, 3),
    )
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)).state_dict()
    for tensors in (state, dict(state), module):
        file = io.BytesIO()
        torch.save(tensors, file, _use_new_zipfile_serialization=zipped)
        read = tensorfile.read(file.getvalue())
        assert list(read) == list(tensors)
        for key, value in tensors.items():
            assert read[key].dtype == value.numpy().dtype
            assert np.array_equal(read[key], value.numpy())


@pytest.mark.train
def test_a_whole_module_saved_by_torch_is_refused():
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save(torch.nn.Linear(2, 2), file)
    with pytest.raises(BackboneError, match="Linear"):
        tensorfile.read(file.getvalue())
