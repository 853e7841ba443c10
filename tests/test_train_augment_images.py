"""Augmentation of pictures against Pillow and torchvision; the same for a sample in every batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats

torch = pytest.importorskip("torch")

from headstart.backbones.torchvision_repair import repair_torchvision  # noqa: E402
from headstart.config import build  # noqa: E402
from headstart.errors import ConfigError  # noqa: E402
from headstart.train import augment_operations as operations  # noqa: E402
from headstart.train.augment_images import (  # noqa: E402
    PRESETS,
    Images,
    augment,
    crop_boxes,
    erase_boxes,
    flip,
    preset,
    resized_crops,
)
from headstart.train.augment_trivial import (  # noqa: E402
    LEVELS,
    OPERATIONS,
    apply,
    chosen_operations,
)
from headstart.train.draws import Stream, draws  # noqa: E402

pytestmark = pytest.mark.train


def made(n: int, h: int = 40, w: int = 56) -> torch.Tensor:
    """Smooth gradients with some noise: neither flat nor without structure."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:h, :w]
    slopes = rng.uniform(-3, 3, (n, 2, 1, 1, 3))
    waves = slopes[:, 0] * y[..., None] + slopes[:, 1] * x[..., None]
    levels = 128 + waves + rng.normal(0, 12, (n, h, w, 3))
    return torch.from_numpy(levels.clip(10, 240).astype(np.uint8))


PICTURE = made(1)[0]
PIL_PICTURE = Image.fromarray(PICTURE.numpy())


def colour(operation, strength: float) -> np.ndarray:
    return operations.to_bytes(operation(operations.to_planes(PICTURE), strength)).numpy()


def apart(ours, other) -> int:
    return int(np.abs(np.asarray(ours).astype(int) - np.asarray(other).astype(int)).max())


@pytest.fixture(scope="module")
def vision():
    if repair_torchvision() == "absent":  # before anything imports it
        pytest.skip("torchvision is not installed")
    from torchvision.transforms.v2 import TrivialAugmentWide

    return TrivialAugmentWide()


ENHANCERS = [
    (operations.brightness, ImageEnhance.Brightness),
    (operations.contrast, ImageEnhance.Contrast),
    (operations.saturation, ImageEnhance.Color),
    (operations.sharpness, ImageEnhance.Sharpness),
]


@pytest.mark.parametrize("factor", [0.0, 0.3, 0.77, 1.0, 1.4, 1.99])
@pytest.mark.parametrize(("operation", "enhancer"), ENHANCERS)
def test_enhancing_is_within_a_level_of_pillow(operation, enhancer, factor):
    ours = colour(operation, factor)
    assert apart(ours, enhancer(PIL_PICTURE).enhance(factor)) <= 1
    if factor == 1.0:
        assert apart(ours, PICTURE) == 0


def test_levels_as_pillow_sets_them():
    assert apart(colour(operations.autocontrast, 0), ImageOps.autocontrast(PIL_PICTURE)) <= 1
    assert apart(operations.equalize(PICTURE), ImageOps.equalize(PIL_PICTURE)) == 0
    for bits in range(1, 9):
        ours = operations.posterize(PICTURE, bits)
        assert apart(ours, ImageOps.posterize(PIL_PICTURE, bits)) == 0
    for threshold in (0, 1, 100, 128, 255):
        ours = operations.solarize(PICTURE, threshold)
        assert apart(ours, ImageOps.solarize(PIL_PICTURE, threshold)) == 0


@pytest.mark.parametrize("turn", [-0.5, -0.2, 0.0, 0.1, 1 / 3, 0.5])
def test_hue_as_torchvision_turns_it(vision, turn):
    from torchvision.transforms.v2 import functional

    other = functional.adjust_hue(PICTURE.permute(2, 0, 1), turn).permute(1, 2, 0)
    assert apart(colour(operations.hue, turn), other) <= 1
    if turn == 0.0:
        assert apart(colour(operations.hue, turn), PICTURE) == 0


def test_a_third_of_a_turn_makes_red_green():
    red = torch.tensor([[[200, 0, 0], [7, 7, 7]]], dtype=torch.uint8)
    turned = operations.to_bytes(operations.hue(operations.to_planes(red), 1 / 3))
    assert turned.tolist() == [[[0, 200, 0], [7, 7, 7]]]


def test_flat_and_tiny_pictures_stay_valid():
    flat = torch.full((5, 4, 3), 77, dtype=torch.uint8)
    tiny = PICTURE[:2, :1]
    for picture in (flat, tiny):
        for name in OPERATIONS:
            assert apply(name, picture, 10, 1).shape == picture.shape
    for name in ("autocontrast", "equalize", "contrast", "saturation", "sharpness"):
        assert torch.equal(apply(name, flat, 20, 1), flat)
    assert torch.equal(apply("sharpness", tiny, 20, 1), tiny)


VISION_NAMES = {
    "identity": "Identity", "shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX",
    "translate_y": "TranslateY", "rotate": "Rotate", "brightness": "Brightness", "saturation": "Color",
    "contrast": "Contrast", "sharpness": "Sharpness", "posterize": "Posterize", "solarize": "Solarize",
    "autocontrast": "AutoContrast", "equalize": "Equalize",
}  # fmt: skip


def test_the_set_of_operations_is_torchvisions(vision):
    assert sorted(VISION_NAMES) == sorted(OPERATIONS)
    assert sorted(VISION_NAMES.values()) == sorted(vision._AUGMENTATION_SPACE)


MOVING = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")


@pytest.mark.parametrize("name", OPERATIONS)
def test_trivial_augment_as_torchvision_does_it(vision, name):
    magnitudes, signed = vision._AUGMENTATION_SPACE[VISION_NAMES[name]]
    table = magnitudes(LEVELS + 1, *PICTURE.shape[:2])
    if table is None:
        strengths = np.zeros(LEVELS + 1)
    elif name == "posterize":
        strengths = table.numpy()
    else:  # its own steps are in float32: 15.999999 pixels for 16
        strengths = np.linspace(float(table[0]), float(table[-1]), LEVELS + 1)
    # torchvision cuts off where we round, and for saturation twice
    allowed = 2 if name == "saturation" else 1
    for level in (0, 1, 7, 15, 21, 29, 30):
        for sign in (-1, 1) if signed else (1,):
            other = vision._apply_image_or_video_transform(
                PICTURE.permute(2, 0, 1),
                VISION_NAMES[name],
                float(strengths[level]) * sign,
                interpolation=vision.interpolation,
                fill=vision._fill,
            ).permute(1, 2, 0)
            difference = (apply(name, PICTURE, level, sign).int() - other.int()).abs().amax(-1)
            # a place between two pixels may go to either
            share = 0.01 if name in MOVING else 0.0
            assert (difference > allowed).float().mean() <= share, (level, sign)


def test_places_as_pillow_finds_them():
    rng = np.random.default_rng(1)
    for _ in range(10):
        inverse = np.array([[1.0, 0, 0], [0, 1, 0]]) + rng.normal(0, 0.3, (2, 3)) * [1, 1, 20]
        other = PIL_PICTURE.transform(
            PIL_PICTURE.size, Image.Transform.AFFINE, tuple(inverse.ravel())
        )
        ours = operations.affine(PICTURE, inverse).numpy()
        assert (ours != np.asarray(other)).any(-1).mean() < 0.01


def test_crops_as_pillow_resizes_them():
    pixels = made(6)
    boxes = np.array([[0, 0, 40, 56], [3, 5, 20, 30], [30, 1, 8, 50], [0, 0, 1, 1], [9, 9, 31, 47],
                      [4, 6, 32, 48]])  # fmt: skip
    ours = resized_crops(pixels, boxes, (32, 48))
    for picture, (top, left, height, width), crop in zip(pixels, boxes.tolist(), ours):
        box = (left, top, left + width, top + height)
        cut = Image.fromarray(picture.numpy()).crop(box)
        assert apart(crop, cut.resize((48, 32), Image.Resampling.BILINEAR)) <= 1
    assert torch.equal(ours[5], pixels[5, 4:36, 6:54])


def test_crop_boxes_have_the_areas_and_shapes_asked_for():
    u = draws(0, 0, np.arange(20_000), Stream.CROP, 22)
    top, left, high, wide = crop_boxes(224, 224, u, 0.25, 4 / 3).T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + high <= 224).all()
    assert (left + wide <= 224).all()
    area, shape = high * wide / 224**2, wide / high
    assert 0.24 < area.min() < 0.26
    assert area.max() > 0.99
    assert 0.74 < shape.min() < 0.76
    assert 1.32 < shape.max() < 1.35
    small = area < 0.6  # where no try is refused, areas and the logarithms of shapes are uniform
    assert stats.kstest(area[small], "uniform", (0.25, 0.35)).pvalue > 1e-3
    spread = np.log(4 / 3)
    assert stats.kstest(np.log(shape[small]), "uniform", (-spread, 2 * spread)).statistic < 0.02
    room = (224 - high[small] > 20) & (224 - wide[small] > 20)
    place = ((top[small] + 0.5) / (225 - high[small]))[room]
    assert stats.kstest(place, "uniform").statistic < 0.02
    beside = ((left[small] + 0.5) / (225 - wide[small]))[room]
    assert stats.kstest(beside, "uniform").statistic < 0.02
    assert abs(np.corrcoef(place, beside)[0, 1]) < 0.05


def test_where_no_try_fits_the_middle_is_taken():
    u = draws(0, 0, np.arange(50), Stream.CROP, 22)
    boxes = crop_boxes(10, 400, u, 0.9, 4 / 3)  # 90 % of a strip never has such a shape
    assert np.array_equal(boxes, np.tile([0, (400 - 13) // 2, 10, 13], (50, 1)))
    boxes = crop_boxes(400, 10, u, 0.9, 4 / 3)
    assert np.array_equal(boxes, np.tile([(400 - 13) // 2, 0, 13, 10], (50, 1)))


def test_erasing_fills_one_rectangle_of_the_papers_size():
    pixels = torch.zeros(400, 60, 80, 3, dtype=torch.uint8)
    out = augment(pixels, np.arange(400), 0, 0, Images(erase=0.5))
    boxes = erase_boxes(60, 80, draws(0, 0, np.arange(400), Stream.ERASE, 23))
    hit = out.amax(dim=(1, 2, 3)).numpy() > 0
    assert 160 < hit.sum() < 240
    for picture, (top, left, height, width) in zip(out[hit], boxes[hit].tolist()):
        assert 0.019 < height * width / 4800 < 0.35
        assert 0.25 < height / width < 4
        inside = picture[top : top + height, left : left + width].clone()
        picture[top : top + height, left : left + width] = 0
        assert picture.max() == 0
        assert (inside > 0).float().mean() > 0.9
    values = np.concatenate([picture[picture > 0] for picture in out.numpy()]).astype(int)
    assert set(np.unique(values)) <= set(range(256))
    assert boxes[:, 2:].min() >= 0


def test_erased_values_are_uniform_and_each_pictures_own():
    out = augment(made(2), np.array([5, 6]), 0, 0, Images(erase=1.0))
    changed = (out != made(2)).numpy()
    values = out.numpy()[changed]
    assert abs(values.mean() - 127.5) < 5 * 74 / np.sqrt(len(values))
    assert not np.array_equal(out[0], out[1])


def test_flips_are_half_of_the_pictures_when_asked():
    pixels = made(300, 8, 9)
    out = augment(pixels, np.arange(300), 3, 1, Images(flip=0.5))
    swapped = np.array([torch.equal(a, b.flip(1)) for a, b in zip(out, pixels)])
    same = np.array([torch.equal(a, b) for a, b in zip(out, pixels)])
    assert (swapped ^ same).all()
    assert 115 < swapped.sum() < 185
    assert torch.equal(flip(flip(pixels, same), same), pixels)


def test_colours_change_within_their_ranges_and_in_order():
    settings_ = Images(brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1)
    rows = np.array([3, 11])
    out = augment(made(2), rows, 2, 9, settings_)
    u = draws(9, 2, rows, Stream.COLOUR, 4) * 2 - 1
    for picture, (b, c, s, h), got in zip(made(2), u, out):
        image = ImageEnhance.Brightness(Image.fromarray(picture.numpy())).enhance(1 + 0.4 * b)
        image = ImageEnhance.Color(ImageEnhance.Contrast(image).enhance(1 + 0.3 * c)).enhance(
            1 + 0.2 * s
        )
        planes = operations.to_planes(torch.from_numpy(np.array(image)))
        assert (
            apart(got, operations.to_bytes(operations.hue(planes, 0.1 * h))) <= 12
        )  # hue amplifies
    brighter = augment(made(2), rows, 2, 9, Images(brightness=0.4))
    factor = brighter.double().mean(dim=(1, 2, 3)) / made(2).double().mean(dim=(1, 2, 3))
    assert torch.allclose(factor, torch.from_numpy(1 + 0.4 * u[:, 0]), atol=0.08)


EVERYTHING = Images(crop=0.3, flip=0.5, trivial=True, brightness=0.3, contrast=0.3, saturation=0.3,
                    hue=0.2, erase=0.5)  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_picture_is_changed_the_same_in_every_batch(data):
    n = 24
    pixels, rows = made(n, 33, 47), np.arange(n) * 1001
    whole = augment(pixels, rows, 4, 2, EVERYTHING)
    order = np.array(data.draw(st.permutations(range(n))))
    size = data.draw(st.integers(1, n))
    for start in range(0, n, size):
        part = order[start : start + size]
        assert torch.equal(augment(pixels[part], rows[part], 4, 2, EVERYTHING), whole[part])


def test_the_number_of_threads_changes_nothing():
    pixels, rows = made(40, 150, 160), np.arange(40)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 4):
            torch.set_num_threads(threads)
            results.append(augment(pixels, rows, 0, 0, EVERYTHING))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_epochs_and_seeds_and_rows_differ():
    pixels = made(1).repeat(8, 1, 1, 1)
    first = augment(pixels, np.arange(8), 0, 0, PRESETS["standard"])
    assert len({picture.numpy().tobytes() for picture in first}) == 8
    for epoch, seed in ((1, 0), (0, 1)):
        other = augment(pixels, np.arange(8), epoch, seed, PRESETS["standard"])
        assert not any(torch.equal(a, b) for a, b in zip(first, other))


@pytest.mark.parametrize("name", PRESETS)
def test_presets_leave_their_input_and_give_the_size_asked_for(name):
    pixels = made(12)
    out = augment(pixels, np.arange(12), 0, 0, preset(name), size=(24, 20))
    assert out.shape == (12, 24, 20, 3)
    assert out.dtype == torch.uint8
    same = augment(pixels, np.arange(12), 0, 0, preset(name))
    assert same.shape == pixels.shape
    assert same.data_ptr() != pixels.data_ptr()
    assert torch.equal(pixels, made(12))
    assert torch.equal(same, pixels) == (name == "none")
    assert build(Images, vars(preset(name))) == preset(name)  # within the ranges the notes state


def test_operations_and_strengths_are_drawn_uniformly():
    chosen, levels, signs = chosen_operations(np.arange(14_000), 0, 0)
    assert stats.chisquare(np.bincount(chosen, minlength=14)).pvalue > 1e-3
    assert stats.chisquare(np.bincount(levels, minlength=31)).pvalue > 1e-3
    assert 6700 < (signs == 1).sum() < 7300


def test_wrong_input_is_refused():
    with pytest.raises(ConfigError, match="float32"):
        augment(made(2).float(), np.arange(2), 0, 0, Images())
    with pytest.raises(ConfigError, match="shape"):
        augment(made(2).permute(0, 3, 1, 2), np.arange(2), 0, 0, Images())
    with pytest.raises(ConfigError, match="2 pictures came with 3 row numbers"):
        augment(made(2), np.arange(3), 0, 0, Images())
    with pytest.raises(ConfigError, match="no augmentation called 'standart'") as error:
        preset("standart")
    assert "did you mean 'standard'" in error.value.fix


def test_no_pictures_are_no_trouble():
    assert augment(made(1)[:0], np.arange(0), 0, 0, EVERYTHING).shape == (0, 40, 56, 3)
