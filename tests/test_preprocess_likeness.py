"""Prints of pictures: what changes them and what does not; the cosine transform against its definition."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from headstart.errors import UnreadableInput
from headstart.preprocess import likeness
from tests_support import scene

TURNS = {
    0: lambda image: image,
    1: ImageOps.mirror,
    2: ImageOps.flip,
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
}


def cosine(one: Image.Image, other: Image.Image) -> float:
    shaped = likeness.shapes(np.stack([likeness.print_of(one), likeness.print_of(other)]))
    return float(likeness.best_orientation(shaped[:1], shaped[1:])[0][0])


def test_coefficients_are_those_of_the_definition():
    image = scene(np.random.default_rng(0))
    small = np.asarray(
        image.resize((32, 32), Image.Resampling.BILINEAR).convert("YCbCr"), dtype=float
    )
    found = likeness.print_of(image)
    x = np.arange(32)
    for u, v in ((0, 0), (3, 5), (15, 1)):
        scale = (np.sqrt(1 / 32) if u == 0 else 0.25) * (np.sqrt(1 / 32) if v == 0 else 0.25)
        waves = np.outer(np.cos(np.pi * (2 * x + 1) * u / 64), np.cos(np.pi * (2 * x + 1) * v / 64))
        assert found[u * 16 + v] == pytest.approx(scale * (small[:, :, 0] * waves).sum(), abs=0.05)
    chroma = small[:, :, 1:].mean(axis=(0, 1))
    assert found[likeness.CHROMA] == pytest.approx(chroma, abs=0.01)
    assert found.shape == (likeness.WIDTH,)


@pytest.mark.parametrize("size", [(1, 1), (999, 1000), (4031, 2), (12345, 60)])
def test_sizes_survive_half_precision(size):
    pixels = Image.new("L", size, 9)
    kept = np.stack([likeness.print_of(pixels), np.full(likeness.WIDTH, np.nan)])
    found = likeness.sizes(kept.astype(np.float16).astype(np.float32))
    assert found.tolist() == [list(size), [0, 0]]


@pytest.mark.parametrize("number", TURNS)
def test_orientations_are_told_apart(number):
    image = scene(np.random.default_rng(1))
    shaped = likeness.shapes(
        np.stack([likeness.print_of(image), likeness.print_of(TURNS[number](image))])
    )
    value, which = likeness.best_orientation(shaped[:1], shaped[1:])
    assert value[0] > 0.999
    assert which[0] == number


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_every_turn_is_found(turn):
    image = scene(np.random.default_rng(2))
    assert cosine(image, image.transpose(turn)) > 0.999


def test_compression_and_size_change_little_and_other_pictures_much():
    rng = np.random.default_rng(3)
    image, other = scene(rng, (300, 200)), scene(rng, (300, 200))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=30)
    assert cosine(image, Image.open(buffer)) > 0.98
    assert cosine(image, image.resize((150, 100))) > 0.98
    assert cosine(image, other) < 0.8


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_invariants_are_never_further_apart_than_the_best_orientation(seed):
    shaped = np.random.default_rng(seed).normal(size=(8, 256)).astype(np.float32)
    shaped /= np.linalg.norm(shaped, axis=1, keepdims=True)
    found = likeness.invariants(shaped)
    best, _ = likeness.best_orientation(shaped[:4], shaped[4:])
    assert (np.einsum("pd,pd->p", found[:4], found[4:]) >= best - 1e-5).all()
    turned = shaped.reshape(-1, 16, 16).transpose(0, 2, 1) * np.where(np.arange(16) % 2, -1, 1)
    np.testing.assert_allclose(likeness.invariants(turned.reshape(8, 256)), found, atol=1e-6)


def test_blank_and_unreadable_pictures(tmp_path):
    flat = tmp_path / "flat.jpg"
    Image.new("RGB", (80, 60), (200, 30, 90)).save(flat, quality=30)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    values = likeness.prints([flat, tmp_path / "broken.png", scene(np.random.default_rng(4))])
    assert likeness.blank(values).tolist() == [True, False, False]
    assert np.isnan(values[1]).all()
    with pytest.raises(UnreadableInput):
        likeness.print_of(tmp_path / "broken.png")
