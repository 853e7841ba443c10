"""Pictures of every awkward kind become upright RGB, or a reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from headstart.errors import UnreadableInput
from headstart.preprocess import image

STEPS = (
    {"step": "decode", "max_pixels": 50_000_000},
    {"step": "resize", "size": 256, "mode": "shortest", "interpolation": "bicubic"},
    {"step": "center_crop", "size": [224, 224]},
)
rng = np.random.default_rng(0)
PICTURE = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))


def encoded(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_formats(kind):
    array, note = image.prepare(encoded(PICTURE, kind), STEPS)
    assert array.shape == (224, 224, 3)
    assert array.dtype == np.uint8
    assert note == ""


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK", "YCbCr", "I", "F", "I;16"])
def test_modes_in_memory(mode):
    grey = PICTURE.convert("L")
    picture = (
        Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        if mode == "I;16"
        else PICTURE.convert(mode)
    )
    opened, _ = image.open_image(picture)
    assert opened.mode == "RGB"
    assert opened.size == (80, 60)
    if mode in ("L", "I", "F", "I;16"):  # the same greys whatever the depth
        difference = np.abs(
            np.asarray(opened).astype(int) - np.asarray(grey.convert("RGB")).astype(int)
        )
        assert difference.max() <= 1


def photo(width, height, seed=0):
    """Detail at every scale, as in a photo: noise summed over octaves."""
    draw = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for octave in range(2, 9):
        small = draw.normal(0, 30 / octave, (height >> octave or 1, width >> octave or 1, 3))
        rows = np.arange(height) * len(small) // height
        columns = np.arange(width) * small.shape[1] // width
        total += small[rows][:, columns]
    return Image.fromarray(np.clip(total + 128, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(2400, 1600), (1100, 2100), (4000, 520)])
def test_a_large_jpeg_decoded_small_is_the_same_to_a_level(size, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo(*size), "JPEG", quality=90, exif=exif)
    quick = ({**STEPS[0], "margin": 2}, *STEPS[1:])
    whole, _ = image.prepare(data, STEPS)
    small, _ = image.prepare(data, quick)
    assert np.abs(whole.astype(int) - small).mean() < 1
    opened, _ = image.open_image(data, least=512)
    assert min(opened.size) >= 512
    assert opened.size[0] * opened.size[1] < size[0] * size[1] or min(size) < 1024


def test_a_small_jpeg_and_the_callers_own_picture_are_decoded_whole():
    quick = ({**STEPS[0], "margin": 2}, *STEPS[1:])
    data = encoded(photo(800, 600), "JPEG")
    assert (image.prepare(data, quick)[0] == image.prepare(data, STEPS)[0]).all()
    own = Image.open(io.BytesIO(encoded(photo(2400, 1600), "JPEG")))
    image.prepare(own, quick)
    assert own.size == (2400, 1600)


def test_cmyk_jpeg_keeps_its_colours():
    red = Image.new("RGB", (32, 32), (220, 30, 30))
    opened, _ = image.open_image(encoded(red.convert("CMYK"), "JPEG"))
    assert np.abs(np.asarray(opened).reshape(-1, 3).mean(0) - [220, 30, 30]).max() < 12


def test_16_bit_png_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 256 * 4).reshape(4, 256).astype(np.uint16)
    opened, _ = image.open_image(encoded(Image.fromarray(ramp), "PNG"))
    assert np.abs(np.asarray(opened)[:, :, 0].astype(int) - ramp // 256).max() <= 1


def test_transparency_is_laid_over_white():
    opened, _ = image.open_image(encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG"))
    assert (np.asarray(opened) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = Image.fromarray(
        np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, np.ones((16, 16), np.uint8))
    )
    undo = {
        1: lambda p: p, 2: lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda p: p.rotate(180), 4: lambda p: p.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda p: p.transpose(Image.Transpose.TRANSPOSE), 6: lambda p: p.rotate(90, expand=True),
        7: lambda p: p.transpose(Image.Transpose.TRANSVERSE), 8: lambda p: p.rotate(-90, expand=True),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(undo[orientation](upright), "PNG", exif=exif)
    assert np.array_equal(np.asarray(image.open_image(data)[0])[:, :, 0], np.asarray(upright))


def test_animations_give_their_first_frame_and_say_so():
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    opened, note = image.open_image(
        encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    )
    assert note == "animated"
    assert np.asarray(opened)[0, 0].tolist() == [255, 0, 0]


def bomb(width, height):
    """A PNG whose header claims a size; nothing of it needs to exist."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"just some words\n" * 9, "text file"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 40, "HEIC"),
        (bytes(range(256)) * 3, "damaged"),
        (encoded(PICTURE, "PNG")[:4000], "cut off"),
        (encoded(PICTURE, "JPEG", quality=95)[:3000], "cut off"),
        (bomb(30_000, 30_000), "pixels"),
        (bomb(8_000, 8_000), "more than the limit of 50 million"),
        (123, "not a picture but a int"),
        (np.zeros((4, 4, 3)), "float64"),
        (np.zeros((4, 4, 7), np.uint8), "7 channels"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
    ],
)
def test_what_is_no_picture_gives_the_reason(data, reason):
    with pytest.raises(UnreadableInput, match=reason):
        image.open_image(data)


def test_paths_that_do_not_work_give_the_reason(tmp_path):
    for path, reason in ((tmp_path / "none.jpg", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(UnreadableInput, match=reason):
            image.open_image(path)
    with pytest.raises(UnreadableInput):
        image.open_image("x" * 5000)  # longer than any file system allows
    with pytest.raises(UnreadableInput):
        image.open_image("a\0b.jpg")


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"]),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 400),
)
def test_damage_never_raises_anything_else(kind, changes, cut):
    data = bytearray(encoded(PICTURE.resize((24, 18)), kind))
    for position, value in changes:
        data[position % len(data)] = value
    try:
        opened, _ = image.open_image(bytes(data[: max(1, len(data) - cut)]))
    except UnreadableInput as error:
        assert error.reason
    else:
        assert opened.mode == "RGB"


@pytest.mark.parametrize(
    "size", [(300, 200), (200, 300), (256, 256), (1000, 257), (31, 77), (1, 1)]
)
def test_resize_and_crop_agree_with_torchvision(size):
    """The oracle: torchvision's arithmetic, written out (Resize truncates, CenterCrop rounds)."""
    width, height = size
    picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    scaled = (
        (256, int(256 * height / width)) if width <= height else (int(256 * width / height), 256)
    )
    expected = picture.resize(scaled, Image.Resampling.BICUBIC)
    left, top = round((scaled[0] - 224) / 2.0), round((scaled[1] - 224) / 2.0)
    expected = expected.crop((left, top, left + 224, top + 224))
    assert np.array_equal(image.prepare(picture, STEPS)[0], np.asarray(expected))


@pytest.mark.parametrize("size", [(3, 30_000), (30_000, 2)])
def test_a_panorama_does_not_fill_memory(size):
    array, _ = image.prepare(Image.new("RGB", size, "red"), STEPS)
    assert array.shape == (224, 224, 3)
    assert (array == [255, 0, 0]).all()


def test_a_small_picture_is_padded_by_the_crop():
    steps = (STEPS[0], {"step": "center_crop", "size": [10, 12]})
    array, _ = image.prepare(Image.new("RGB", (4, 6), "white"), steps)
    assert array.shape == (10, 12, 3)
    assert array.sum() == 4 * 6 * 3 * 255


def test_the_digest_depends_on_content_only(tmp_path):
    data = encoded(PICTURE, "PNG")
    (tmp_path / "a.png").write_bytes(data)
    (tmp_path / "b.jpg").write_bytes(data)
    digests = {
        image.digest(image.content(source))
        for source in (tmp_path / "a.png", str(tmp_path / "b.jpg"), data)
    }
    assert len(digests) == 1
    changed = np.array(PICTURE)
    changed[3, 4, 1] ^= 1
    assert image.digest(changed) != image.digest(np.array(PICTURE))
    assert image.digest(np.zeros((2, 3, 3), np.uint8)) != image.digest(
        np.zeros((3, 2, 3), np.uint8)
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 700), st.integers(20, 700), st.integers(0, 99))
def test_the_middle_alone_is_the_middle_of_the_whole(width, height, seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    joined = (*STEPS[:2], {**STEPS[2], "joined": True})
    whole, middle = (image.prepare(smooth, steps)[0].astype(int) for steps in (STEPS, joined))
    assert whole.shape == middle.shape
    assert np.abs(whole - middle).max() <= 2  # noise, which overshoots, can differ by more
    assert np.abs(whole - middle).mean() < 0.2


def test_a_middle_larger_than_the_resized_picture_is_padded():
    steps = (
        STEPS[0],
        {"step": "resize", "size": 10, "mode": "shortest"},
        {"step": "center_crop", "size": [12, 12], "joined": True},
    )
    array, _ = image.prepare(Image.new("RGB", (20, 20), "white"), steps)
    assert array.shape == (12, 12, 3)
    assert array.sum() == 10 * 10 * 3 * 255
