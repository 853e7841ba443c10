"""Damaged inputs: exactly those are listed, and none costs time or memory (R9, R10, R11); see trust/damage.py."""

import numpy as np
import pytest

from headstart.errors import BundleError, UnreadableInput
from headstart.preprocess import image, text
from trust import bombs, damage


def kept(outcome):
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.done > 0
    assert not outcome.bad, "\n".join(outcome.bad)


def test_exactly_the_damaged_pictures_are_listed(tmp_path):
    kept(damage.damaged_folder(200, tmp_path))


def test_exactly_the_damaged_lines_are_listed(tmp_path):
    kept(damage.damaged_table(300, tmp_path))


@pytest.mark.parametrize("kind", damage.FORMATS)
def test_changed_pictures(kind, tmp_path):
    kept(damage.fuzz(kind)(200, tmp_path))


def test_bombs(tmp_path):
    kept(bombs.bombs(40, tmp_path))


DECODE = {"step": "decode", "max_pixels": 1000}


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([], "is empty"),
        ([{"step": "resize", "size": 8}], r"steps\[0\]: step"),
        ([DECODE, DECODE], r"steps\[1\]: step"),
        ([{"step": "decode", "max_pixels": "many"}], "max_pixels is 'many'"),
        ([{"step": "decode", "max_pixels": -1}], "max_pixels is -1"),
        ([{"step": "decode", "margin": 1.5}], "margin is 1.5"),
        ([DECODE, {"step": "resize"}], r"steps\[1\]: size is None"),
        ([DECODE, {"step": "resize", "size": 0}], "size is 0"),
        ([DECODE, {"step": "resize", "size": [8, 10**9]}], "size is"),
        ([DECODE, {"step": "resize", "size": [8, 8, 8]}], "size is"),
        ([DECODE, {"step": "resize", "size": [8], "mode": "exact"}], "size is"),
        ([DECODE, {"step": "resize", "size": True}], "size is True"),
        ([DECODE, {"step": "resize", "size": 8, "interpolation": "magic"}], "interpolation is 'magic'"),
        ([DECODE, {"step": "resize", "size": 8, "interpolation": []}], "interpolation is"),
        ([DECODE, {"step": "center_crop", "size": [0, 4]}], "size is"),
        ([DECODE, {"step": "run", "size": 3}], "step is 'run'"),
    ],
)  # fmt: skip
def test_malformed_steps_for_pictures_are_named(steps, field):
    with pytest.raises(BundleError, match=field):
        image.prepare(b"anything", steps)


TOKENIZER = b'{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,"model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}}'


@pytest.mark.parametrize(
    ("tokenizer", "steps", "field"),
    [
        (b"{}", [], "tokenizer.json"),
        (b"\xff\xfe", [], "tokenizer.json"),
        (TOKENIZER, [{"step": "tokenize"}], r"steps\[0\]"),
        (TOKENIZER, [{"step": "tokenize", "max_length": 0}], "max_length is 0"),
        (TOKENIZER, [{"step": "tokenize", "max_length": 10**12}], "max_length"),
        (TOKENIZER, [{"step": "prefix", "text": 3}], r"steps\[0\]"),
        (TOKENIZER, [{"step": "run"}], r"steps\[0\]"),
        (TOKENIZER, [{}], r"steps\[0\]"),
    ],
)
def test_malformed_steps_for_texts_are_named(tokenizer, steps, field):
    with pytest.raises(BundleError, match=field):
        text.TextEncoder(tokenizer, steps)


def test_many_frames_are_not_gone_through():
    """Only the first frame is used, so a picture of many costs what one of two costs."""
    from PIL import GifImagePlugin, Image

    frames = [Image.new("L", (8, 8), i * 5) for i in range(40)]
    data = damage.encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    asked = []
    seek = GifImagePlugin.GifImageFile._seek

    def counted(self, frame, update_image=True):
        asked.append(frame)
        return seek(self, frame, update_image)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GifImagePlugin.GifImageFile, "_seek", counted)
        assert image.open_image(data)[1] == "animated"
    assert max(asked) <= 1


def test_pixels_that_fail_their_sum_are_a_reason_and_never_noise():
    """Pillow shows what a damaged PNG unpacks to; and once it failed, a second try gives black."""
    from PIL import Image

    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8))
    sound = damage.encoded(picture, "PNG")
    assert (np.asarray(image.open_image(sound)[0]) == np.asarray(picture)).all()
    at = sound.index(b"IDAT") + 4
    end = sound.index(b"IEND") - 8
    for position in rng.integers(at, end + 4, 60).tolist():
        data = bytearray(sound)
        data[position] ^= 1 << int(rng.integers(8))
        with pytest.raises(UnreadableInput):
            image.open_image(bytes(data))
    for cut in rng.integers(at, end - 8, 20).tolist():
        with pytest.raises(UnreadableInput):
            image.open_image(sound[:cut])
    with pytest.raises(UnreadableInput):
        image.open_image(damage.png_header(32, 32)[:33] + b"\x7f\xff\xff\xffIDAT" + bytes(50))


def test_damage_behind_the_first_frame_is_a_reason():
    with pytest.raises(UnreadableInput):
        image.open_image(damage.png_header(40, 40))
