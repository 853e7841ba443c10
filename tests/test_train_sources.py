"""Batches: the plain rows are those that the model gets, views are those of the augmentation, kept ones too."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from headstart.preprocess import image  # noqa: E402
from headstart.train import between, sources  # noqa: E402
from headstart.train.augment_images import Images, augment, preset  # noqa: E402
from headstart.train.augment_texts import drop_tokens  # noqa: E402
from headstart.train.mix import Mix  # noqa: E402
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
    kept = between.between(
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
    kept = between.between(source, halves.bottom.SerializeToString(), top.inputs)
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


def pair_of(soft):
    """The share that stayed of each target, and the partner of each row."""
    own = soft.gather(1, torch.arange(len(soft))[:, None])[:, 0]
    other = soft.clone()
    other.fill_diagonal_(0)
    partner = torch.where(own > 1 - 1e-6, torch.arange(len(soft)), other.argmax(1))
    return own, partner


def kept_maps(shape=(6, 5, 4)):
    """Activations of seven pictures in two views; the targets are the rows."""
    values = np.random.default_rng(0).normal(0, 1, (2, 7, *shape)).astype(np.float16)
    return between.Between(values, np.arange(8), np.arange(7), None, ("map",))


def test_mixup_of_kept_activations_is_manifold_mixup():
    kept, rows = kept_maps(), np.arange(7)
    source = between.mixed(kept, 7, Mix(mixup=0.2), 3)
    (plain_values,), _ = kept.batch(rows, 1, 4, train=True)
    changed = 0
    for step in range(9):
        (made_values,), soft = source.batch(rows, 1, step, train=True)
        own, partner = pair_of(soft)
        share = own.view(-1, 1, 1, 1)
        wanted = share * plain_values + (1 - share) * plain_values[partner]
        torch.testing.assert_close(made_values, wanted, atol=1e-5, rtol=0)
        hot = torch.eye(7)
        torch.testing.assert_close(soft, own[:, None] * hot + (1 - own[:, None]) * hot[partner])
        again = source.batch(rows, 1, step, train=True)
        assert torch.equal(again[0][0], made_values)
        assert torch.equal(again[1], soft)
        changed += not torch.equal(made_values, plain_values)
    assert changed > 6  # a share may be 1 within rounding
    inputs, targets = source.batch(ROWS, 1, 0, train=False)
    meant, codes = kept.batch(ROWS, 1, 0, train=False)
    assert torch.equal(inputs[0], meant[0])
    assert torch.equal(targets, codes)


@pytest.mark.parametrize(("shape", "axes"), [((6, 5, 4), (2, 3)), ((5, 5, 6), (1, 2))])
def test_cutmix_pastes_in_the_map_of_another_picture(shape, axes):
    kept, rows = kept_maps(shape), np.arange(7)
    source = between.mixed(kept, 7, Mix(cutmix=1.0), 3)
    assert source.axes == axes
    (plain_values,), _ = kept.batch(rows, 1, 4, train=True)
    for step in range(9):
        (made_values,), soft = source.batch(rows, 1, step, train=True)
        own, partner = pair_of(soft)
        channel = ({1, 2, 3} - set(axes)).pop()
        stays = (made_values == plain_values).all(channel)  # (n, height, width)
        pasted = (made_values == plain_values[partner]).all(channel)
        assert (stays | pasted).all()
        moved = partner != torch.arange(7)
        torch.testing.assert_close(stays[moved].float().mean((1, 2)), own[moved])


def test_mixed_pictures_are_mixed_as_the_model_gets_them(scenes):
    plain_source = made(scenes, preset("light"))
    source = between.mixed(plain_source, 7, Mix(mixup=0.2), 3)
    assert (source.axes, source.lengths) == ((1, 2), None)
    (pixels,), _ = plain_source.batch(np.arange(7), 1, 2, train=True)
    (mixed_pixels,), soft = source.batch(np.arange(7), 1, 2, train=True)
    own, partner = pair_of(soft)
    share = own.view(-1, 1, 1, 1)
    wanted = share * pixels + (1 - share) * pixels[partner]
    assert mixed_pixels.dtype == torch.uint8
    assert (mixed_pixels.float() - wanted).abs().max() <= 0.501


def dropping(drop):
    rng = np.random.default_rng(0)
    ids = [np.array([1, *rng.integers(3, 50, size), 2]) for size in (4, 9, 2, 7, 1, 12)]
    return sources.Texts(ids, np.arange(6), drop, frozenset({1, 2}), seed=5)


def test_tokens_of_texts_disappear_in_training_alone():
    source, without = dropping(0.5), dropping(0.0)
    rows = np.array([5, 0, 3])
    feeds = source.feeds(rows)
    ids, mask = (torch.from_numpy(feeds[name]) for name in ("input_ids", "attention_mask"))
    for epoch in (0, 1):
        got, _ = source.batch(rows, epoch, 9, train=True)
        meant = drop_tokens(ids, mask, rows, epoch, 5, rate=0.5, special={1, 2})
        assert all(torch.equal(a, b) for a, b in zip(got, meant))
        assert int(got[1].sum()) < int(mask.sum())
        held, _ = source.batch(rows, epoch, 9, train=False)
        plain_rows, _ = without.batch(rows, epoch, 9, train=True)
        assert torch.equal(held[0], ids)
        assert torch.equal(plain_rows[0], ids)
    assert source.lengths.tolist() == without.lengths.tolist()


def test_kept_tokens_that_disappear_say_nothing_above(texts):  # noqa: F811
    model = texts[plain]
    found = layers(model)
    at = found.cuts[1][0]
    halves = cut(model, at)
    top = Trainable(halves.top, found.depth)
    kept = between.between(dropping(0.5), halves.bottom.SerializeToString(), top.inputs)
    rows = np.arange(6)
    inputs, _ = kept.batch(rows, 1, 0, train=True)
    place = top.inputs.index("attention_mask")
    hidden = kept.batch(rows, 1, 0, train=False)[0][place] > inputs[place]
    assert hidden.any()
    changed = inputs[0].clone()
    changed[hidden] += 1.0
    torch.testing.assert_close(top(changed, *inputs[1:]), top(*inputs))
    assert not torch.allclose(top(*kept.batch(rows, 1, 0, train=False)[0]), top(*inputs))


def test_large_arrays_lie_in_a_file(monkeypatch):
    monkeypatch.setattr(sources, "_MEMORY", 100)
    large = sources.room((5, 7), np.float32)
    assert isinstance(large, np.memmap)
    assert not large.any()
    large[2] = 1
    assert large.sum() == 7
    assert not isinstance(sources.room((5, 5), np.uint8), np.memmap)
