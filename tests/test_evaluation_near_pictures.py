"""Near copies of pictures: against all pairs compared one by one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from headstart.evaluation import near_pictures
from headstart.preprocess import likeness
from tests_support import scene


def compressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()))


CHANGES = {
    "jpeg 30": lambda image: compressed(image, 30),
    "jpeg 95": lambda image: compressed(image, 95),
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "double": lambda image: image.resize((image.width * 2, image.height * 2)),
    "mirrored": ImageOps.mirror,
    "flipped": ImageOps.flip,
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "all": lambda image: compressed(ImageOps.mirror(image).resize((80, 60)), 50),
}


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(0)
    return [scene(rng) for _ in range(40)]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nothing_else(scenes, change):
    copies = [CHANGES[change](image) for image in scenes[:10]]
    found = near_pictures.near_pairs(likeness.prints([*scenes, *copies]))
    assert found.tolist() == [[i, 40 + i] for i in range(10)]
    across = near_pictures.near_pairs(likeness.prints([*scenes, *copies]), split=40)
    assert across.tolist() == found.tolist()
    assert len(near_pictures.near_pairs(likeness.prints([*scenes, *copies]), split=45)) == 5


def test_the_search_misses_nothing_that_a_slow_one_finds(monkeypatch):
    monkeypatch.setattr(near_pictures, "_BLOCK", 7)
    monkeypatch.setattr(near_pictures, "_PAIRS", 5)
    rng = np.random.default_rng(1)
    base = rng.normal(size=(12, likeness.WIDTH))
    prints = np.repeat(base, 5, axis=0) + rng.normal(size=(60, likeness.WIDTH)) * 0.05
    prints[:, likeness.SIDE**2 :] = (128, 128, 200, 0, 60, 0, 40)
    prints = prints.astype(np.float32)
    shaped = likeness.shapes(prints)
    joined = near_pictures.near_pairs(prints)
    root = np.arange(60)
    for i in range(60):
        for j in range(i):
            if (
                likeness.best_orientation(shaped[i : i + 1], shaped[j : j + 1])[0]
                >= near_pictures.SAME
            ):
                root[root == root[i]] = root[j]
    mine = np.arange(60)
    for i, j in joined:
        mine[mine == mine[j]] = mine[i]
    same = root[:, None] == root[None, :]
    assert (same == (mine[:, None] == mine[None, :])).all()
    assert len(np.unique(root)) < 60


def test_colours_and_features_have_a_say(scenes):
    image = scenes[0]
    red, green, blue = image.split()
    other = Image.merge("RGB", (blue.point(lambda v: v // 2), green, red))
    prints = likeness.prints([image, other, image])
    assert near_pictures.near_pairs(prints).tolist() == [[0, 2]]
    # half covered: prints agree less, so the features decide
    covered = image.copy()
    covered.paste(image.crop((60, 40, 110, 80)), (0, 0))
    prints = likeness.prints([image, covered, scenes[1]])
    shaped = likeness.shapes(prints)
    value = likeness.best_orientation(shaped[:1], shaped[1:2])[0][0]
    if near_pictures.ALIKE <= value < near_pictures.SAME:
        alike, unlike = (
            np.float32([[1, 0], [1, 0.1], [-1, 0]]),
            np.float32([[1, 0], [0, 1], [-1, 0]]),
        )
        assert near_pictures.near_pairs(prints, alike).tolist() == [[0, 1]]
        assert near_pictures.near_pairs(prints, unlike).tolist() == []


def test_blank_pictures_are_copies_of_their_colour_only():
    grey, dark = (
        Image.new("RGB", (40, 40), (120, 120, 120)),
        Image.new("RGB", (40, 40), (20, 20, 20)),
    )
    prints = likeness.prints([grey, dark, grey.resize((90, 30)), b"nothing", b"nothing"])
    assert near_pictures.near_pairs(prints).tolist() == [[0, 2]]
    assert near_pictures.near_pairs(prints, split=2).tolist() == [[0, 2]]
    assert near_pictures.near_pairs(prints, split=3).tolist() == []
