"""Files that outlive a process, against the safetensors library and a simulated crash."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headstart import manifest
from headstart.errors import BundleError

DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=12).filter(lambda s: s != "__metadata__" and s.isprintable()),
        st.sampled_from(DTYPES).flatmap(
            lambda code: hnp.arrays(
                code, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
            )
        ),
        max_size=4,
    )
)
def test_tensors_agree_with_the_safetensors_library(tensors):
    safetensors = pytest.importorskip("safetensors.numpy")
    theirs = safetensors.load(manifest.dump_tensors(tensors))
    mine = manifest.load_tensors(safetensors.save(tensors), "x")
    again = manifest.load_tensors(manifest.dump_tensors(tensors, {"format": "np"}), "x")
    for name, array in tensors.items():
        for other in (theirs[name], mine[name], again[name]):
            assert other.dtype == array.dtype
            assert other.shape == array.shape
            assert other.tobytes() == array.tobytes()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 200), st.integers(0, 255), st.integers(0, 200))
def test_damaged_tensors_are_refused_or_read_never_worse(position, value, cut):
    data = bytearray(
        manifest.dump_tensors({"a": np.arange(6, dtype="f4").reshape(2, 3), "b": np.zeros(3, "i8")})
    )
    data[position % len(data)] = value
    try:
        manifest.load_tensors(bytes(data[: len(data) - cut]), "x.safetensors")
    except BundleError as error:
        assert "x.safetensors" in str(error)


def test_atomic_write_leaves_the_old_content_when_it_fails(tmp_path, monkeypatch):
    target = tmp_path / "file"
    manifest.atomic_write(target, "old")

    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        manifest.atomic_write(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_atomic_folder_replaces_as_a_whole_or_not_at_all(tmp_path):
    target = tmp_path / "model"
    with manifest.atomic_folder(target) as folder:
        (folder / "a").write_text("1")
    with pytest.raises(RuntimeError), manifest.atomic_folder(target) as folder:  # noqa: PT012
        (folder / "b").write_text("2")
        raise RuntimeError
    assert {path.name for path in target.iterdir()} == {"a"}
    with manifest.atomic_folder(target) as folder:
        (folder / "c").write_text("3")
    assert {path.name for path in target.iterdir()} == {"c"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("text", ["", "[1]", "{", '"x"', "[" * 100_000, "\xff"])
def test_json_that_is_no_object_is_refused_with_the_file_named(text):
    with pytest.raises(BundleError, match=r"bundle\.json"):
        manifest.read_json(text.encode("latin-1"), "bundle.json")
