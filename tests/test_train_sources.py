"""Batches: the plain rows are those that the model gets, views are those of the augmentation, kept ones too."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from headstart.preprocess import image  # noqa: E402
from headstart.train import sources  # noqa: E402
from headstart.train.augment_images import Images, augment, preset  # noqa: E402
from headstart.train.trainable import Trainable, cut, layers  # noqa: E402
from headstart.types import Preprocess  # noqa: E402
from test_backbones_graph_bert import plain  # noqa: E402
from test_train_trainable import picture, texts  # noqa: E402, F401  fixtures
from tests_support import scene  # noqa: E402

pytestmark = pytest.mark.train

STEPS = (
    {"step": "decode", "max_pixels": 1_000_000},
    {"step": "resize", "size": 20, "interpolation": "bilinear"},
    {"step": "center_crop", "size": [16, 12]},
)
ROWS = np.array([5, 0, 3])


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(0)
    return [scene(rng, (40 + i, 30)) for i in range(7)]


def made(scenes, settings, seed=3):
    return sources.pictures(scenes, np.arange(7), Preprocess("image", STEPS), settings, seed)


def test_plain_pictures_are_those_of_the_preprocessing(scenes):
    source = made(scenes, preset("standard"))
    (pixels,), targets = source.batch(ROWS, 2, 9, train=False)
    for row, one in zip(ROWS, pixels.numpy()):
        np.testing.assert_array_equal(one, image.prepare(scenes[row], STEPS)[0])
    assert targets.tolist() == ROWS.tolist()


def test_training_pictures_are_crops_of_somewhat_larger_ones(scenes):
    settings = preset("standard")
    source = made(scenes, settings)
    assert source.wide.shape[1:3] == (18, 14)
    (pixels,), _ = source.batch(ROWS, 2, 9, train=True)
    wide = np.stack([image.prepare(scenes[row], sources._wider(STEPS))[0] for row in ROWS])
    meant = augment(torch.from_numpy(wide), ROWS, 2, 3, settings, (16, 12))
    assert torch.equal(pixels, meant)
    (alone,), _ = source.batch(ROWS[1:2], 2, 0, train=True)
    assert torch.equal(alone[0], pixels[1])
    (later,), _ = source.batch(ROWS, 3, 9, train=True)
    assert not torch.equal(later, pixels)
    same = made(scenes, Images())
    assert same.wide is same.plain


@pytest.mark.parametrize("views", [1, 3])
def test_kept_pictures_are_what_the_bottom_makes_of_each_view(scenes, picture, views):  # noqa: F811
    _, model = picture
    found = layers(model)
    at = found.cuts[2][0]
    halves = cut(model, at)
    source = made(scenes, preset("light"))
    told = []
    kept = sources.between(
        source, halves.bottom.SerializeToString(), (at,), views, lambda *at: told.append(at)
    )
    assert told[-1] == (7 * views, 7 * views)
    session = onnxruntime.InferenceSession(halves.bottom.SerializeToString())
    (plain_values,), targets = kept.batch(ROWS, 4, 0, train=False)
    (pixels,), _ = source.batch(ROWS, 0, 0, train=False)
    (meant,) = session.run(None, {"pixels": pixels.numpy()})
    np.testing.assert_allclose(plain_values, meant, rtol=2e-3, atol=2e-3)
    assert targets.tolist() == ROWS.tolist()
    seen = []
    for epoch in range(2):
        (values,), _ = kept.batch(ROWS, epoch, 0, train=True)
        for i, row in enumerate(ROWS.tolist()):
            view = 1 + (epoch + row) % (views - 1) if views > 1 else 0
            some = np.array([row])
            pixels = source.pixels(some, view, train=view > 0)
            (meant,) = session.run(None, {"pixels": pixels.numpy()})
            np.testing.assert_allclose(values[i], meant[0], rtol=2e-3, atol=2e-3)
            seen.append((row, view))
    assert len(set(seen)) == (6 if views > 1 else 3)


def test_kept_texts_go_on_as_the_whole_does(texts):  # noqa: F811
    model = texts[plain]
    found = layers(model)
    rng = np.random.default_rng(0)
    ids = [rng.integers(1, 50, size) for size in (4, 9, 2, 7, 1, 12, 3, 5, 6, 8)]
    source = sources.Texts(ids, np.arange(10))
    at = found.cuts[1][0]
    halves = cut(model, at)
    top = Trainable(halves.top, found.depth)
    kept = sources.between(source, halves.bottom.SerializeToString(), top.inputs)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for rows in (ROWS, np.array([9]), np.arange(10)):
        inputs, targets = kept.batch(rows, 1, 0, train=True)
        (meant,) = session.run(None, source.feeds(rows))
        np.testing.assert_allclose(top(*inputs).detach(), meant, atol=2e-3)
        assert targets.tolist() == rows.tolist()
    whole = Trainable(model, found.depth)
    inputs, _ = source.batch(ROWS, 0, 0, train=True)
    np.testing.assert_allclose(
        whole(*inputs).detach(), session.run(None, source.feeds(ROWS))[0], atol=1e-5
    )


def test_large_arrays_lie_in_a_file(monkeypatch):
    monkeypatch.setattr(sources, "_MEMORY", 100)
    large = sources.room((5, 7), np.float32)
    assert isinstance(large, np.memmap)
    assert not large.any()
    large[2] = 1
    assert large.sum() == 7
    assert not isinstance(sources.room((5, 5), np.uint8), np.memmap)
