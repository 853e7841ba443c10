"""Explanations of models whose reasons are known."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import explain_examples as ex
from headstart.errors import BundleError, ConfigError, DataError
from headstart.preprocess import image
from headstart.runtime import explain_image, explain_text
from headstart.runtime.explain import Asked, CutPicture, CutText, explain, log_odds
from headstart.runtime.explanation import Explanation, Span
from headstart.runtime.predictor import BundlePredictor
from headstart.types import Decision, Prediction

CROPPED = (
    {"step": "decode", "max_pixels": 1_000_000},
    {"step": "resize", "size": 40, "mode": "shortest", "interpolation": "bilinear"},
    {"step": "center_crop", "size": [32, 32]},
)


def block(row, column, channel=0):
    """Which feature of the tiny image backbone is this block of 4 x 4 pixels."""
    return channel * 64 + row * 8 + column


@pytest.fixture
def looking(tmp_path):
    """A model that looks at two places of a picture: red at (2, 3) speaks for "b", at (6, 6) against it."""
    weight = np.zeros((192, 2))
    weight[block(2, 3), 1], weight[block(6, 6), 1] = 8, -5
    return BundlePredictor(ex.bundle(tmp_path / "m", "tiny:image", ("a", "b"), weight))


@pytest.fixture
def reading(tmp_path):
    """A model that likes "g" and dislikes "b", two classes, on the tiny text backbone."""
    characters = [chr(i) for i in range(32, 127)] + list("好坏很的不是了我喜欢差")
    table = np.random.default_rng(0).normal(size=(len(characters) + 1, 64))
    place = {c: i + 1 for i, c in enumerate(characters)}
    like = sum(table[place[c]] for c in "g好") - sum(table[place[c]] for c in "b坏")
    weight = np.stack([-like, like], axis=1) * 0.2
    return BundlePredictor(ex.bundle(tmp_path / "m", "tiny:text", ("bad", "good"), weight))


def picture(seed=0, size=(32, 32)):
    """Red and black noise, coarse enough that a blur takes it away."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((*size, 3), np.uint8)
    small = Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8))
    pixels[..., 0] = np.asarray(small.resize(size[::-1], Image.Resampling.NEAREST))
    return pixels


# --- pictures -----------------------------------------------------------------------------------


def test_the_heat_is_that_of_a_linear_model(looking):
    pixels = picture()
    cut = CutPicture(Asked(looking, 1), looking, pixels)
    n = len(cut.parts(0))
    assert n == 64
    alone = np.vstack([np.zeros((1, n), bool), np.eye(n, dtype=bool)])
    values = cut.ask(alone)
    truth = values[1:] - values[0]  # the model is linear: one cell at a time says all
    assert np.abs(truth).max() > 0.5
    why = explain(looking, pixels, label="b", budget=400)
    rows, columns = np.mgrid[2:32:4, 2:32:4]
    at_middles = why.heat[rows, columns].ravel()
    assert np.corrcoef(at_middles, truth)[0, 1] > 0.97
    assert why.fidelity > 0.95
    assert why.heat.sum() == pytest.approx(values_of_all(cut, n), rel=0.15, abs=0.1)


def values_of_all(cut, n):
    ends = cut.ask(np.array([[False] * n, [True] * n]))
    return ends[1] - ends[0]


def test_the_heat_stands_where_the_model_looks(looking):
    for size in ((32, 32), (96, 160)):
        pixels = np.full((*size, 3), 0, np.uint8)
        h, w = size[0] // 8, size[1] // 8
        pixels[2 * h : 3 * h, 3 * w : 4 * w, 0] = 255
        pixels[6 * h : 7 * h, 6 * w : 7 * w, 0] = 255
        why = explain(looking, pixels, label="b")
        assert why.heat.shape == size
        assert why.heat.dtype == np.float32
        row, column = np.unravel_index(why.heat.argmax(), size)
        assert (row // h, column // w) == (2, 3)
        row, column = np.unravel_index(why.heat.argmin(), size)
        assert (row // h, column // w) == (6, 6)
        other = explain(
            looking, pixels, label="a"
        )  # of two classes, the one is the other's opposite
        np.testing.assert_allclose(other.heat, -why.heat, atol=1e-6)


def test_what_the_crop_cuts_off_is_marked(tmp_path):
    weight = np.random.default_rng(0).normal(size=(192, 2))
    made = ex.bundle(tmp_path / "m", "tiny:image", ("a", "b"), weight, steps=CROPPED)
    why = explain(BundlePredictor(made), picture(1, (60, 120)))
    # resized to 40 x 80, of which 32 x 32 in the middle are seen: rows 6 to 54, columns 36 to 84
    seen = np.isfinite(why.heat)
    assert seen[6:54, 36:84].all()
    seen[6:54, 36:84] = False
    assert not seen.any()
    assert "does not see the edges: 68 %" in why.note
    grid = why.to_json()["heat"]["grid"]
    assert grid[0][0] is None
    assert grid[len(grid) // 2][len(grid[0]) // 2] is not None


STEPS = st.one_of(
    st.builds(
        lambda size: ({"step": "resize", "size": size, "mode": "exact"},),
        st.tuples(st.integers(20, 60), st.integers(20, 60)).map(list),
    ),
    st.builds(
        lambda short, crop: (
            {"step": "resize", "size": short, "mode": "shortest"},
            {"step": "center_crop", "size": crop},
        ),
        st.integers(20, 60),
        st.tuples(st.integers(15, 90), st.integers(15, 90)).map(list),
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 120), st.integers(20, 120), st.integers(1, 12), st.booleans(), STEPS)
def test_where_the_prepared_picture_lies_in_the_original(height, width, longer, lying, steps):
    """Against the preprocessing itself, on pictures whose colours say where each pixel was."""
    height, width = (height, width * longer) if lying else (height * longer, width)
    coordinates = np.zeros((height, width, 3), np.uint8)
    coordinates[..., 0] = (np.arange(width) / width * 250)[None, :]
    coordinates[..., 1] = (np.arange(height) / height * 250)[:, None]
    coordinates[..., 2] = 255
    steps = ({"step": "decode"}, *steps)
    prepared, _ = image.prepare(coordinates, steps)
    prepared = prepared.astype(float)
    top, left, bottom, right = explain_image.seen(height, width, steps)
    h, w = prepared.shape[:2]
    rows = top + (np.arange(h) + 0.5) * (bottom - top) / h
    columns = left + (np.arange(w) + 0.5) * (right - left) / w
    inside = prepared[..., 2] > 254  # the rest is the border that the crop put around
    inside[[0, -1]] = inside[:, [0, -1]] = False
    for values, expected, length in (
        (prepared[..., 0], np.broadcast_to(columns, (h, w)), width),
        (prepared[..., 1], np.broadcast_to(rows[:, None], (h, w)), height),
    ):
        pixel = (bottom - top) / h if length is height else (right - left) / w
        middle = inside & (expected > 2 * pixel) & (expected < length - 2 * pixel)
        error = np.abs(values / 250 * length - expected)[middle]
        assert (error <= length / 125 + 1.5 * max(1, pixel)).all()


@pytest.mark.parametrize(("height", "width"), [(16, 16), (33, 50), (224, 224)])
def test_cells_kept_are_the_picture_and_cells_taken_the_blur(height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    below = explain_image.cover(pixels)
    cells = explain_image.side(pixels)
    kept = np.array([[True] * cells**2, [False] * cells**2])
    whole, none = explain_image.covered(pixels, below, kept)
    np.testing.assert_array_equal(whole, pixels)
    np.testing.assert_array_equal(none, below)
    assert below.std() < pixels.std() / 3
    half = np.zeros((1, cells, cells), bool)
    half[:, :, : cells // 2] = True
    (mixed,) = explain_image.covered(pixels, below, half.reshape(1, -1))
    edge, soft = cells // 2 * width / cells, width / cells
    np.testing.assert_array_equal(mixed[:, : int(edge - soft)], pixels[:, : int(edge - soft)])
    np.testing.assert_array_equal(
        mixed[:, int(edge + soft) + 1 :], below[:, int(edge + soft) + 1 :]
    )


# --- texts --------------------------------------------------------------------------------------


def test_four_words_have_the_shapley_values_of_the_definition(reading):
    words = ["good", "bob", "lag", "xyz"]

    def value(kept):
        if not kept:
            return 0.0  # two classes, nothing known
        logits, _ = reading.logits([" ".join(words[i] for i in sorted(kept))])
        return float(logits[0, 1] - logits[0, 0])

    expected = np.zeros(4)
    for order in itertools.permutations(range(4)):
        for at, word in enumerate(order):
            expected[word] += value(order[: at + 1]) - value(order[:at])
    expected /= math.factorial(4)
    why = explain(reading, " ".join(words), label="good")
    np.testing.assert_allclose([span.weight for span in why.spans], expected, atol=1e-4)
    assert [span.text for span in why.spans] == words
    assert why.fidelity == 1.0


@pytest.mark.parametrize(
    ("text", "best", "worst"),
    [
        ("x x x x ggg x x x bbb x x x", "ggg", "bbb"),
        ("我 很 好 的 是 了 我 坏 是", "好", "坏"),
        ("我很好的是了我坏是", "好", "坏"),
    ],
)
def test_the_words_that_the_model_reads_weigh_most(reading, text, best, worst):
    why = explain(reading, text, label="good")
    ranked = sorted(why.spans, key=lambda span: -span.weight)
    assert ranked[0].text == best
    assert ranked[-1].text == worst


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a lovely, lovely shop!", ["a", "lovely,", "lovely", "shop!"]),
        ("我很喜欢。不好", ["我", "很", "喜", "欢。", "不", "好"]),
        ("这个iPhone很好，《论语》 OK", ["这", "个", "iPhone", "很", "好，", "《论", "语》", "OK"]),
        ("don’t “stop” (now)", ["don’t", "“stop”", "(now)"]),
        ("が\u3099ず", ["が\u3099", "ず"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("a\n\n b", ["a", "b"]),
    ],
)
def test_words_and_characters(text, expected):
    assert [text[a:b] for a, b in explain_text.pieces(text)] == expected


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_every_character_but_spaces_is_in_one_piece(text):
    where = explain_text.pieces(text)
    inside = [i for start, stop in where for i in range(start, stop)]
    assert inside == sorted(set(inside))
    assert all(start < stop for start, stop in where)
    assert all(text[i].isspace() for i in range(len(text)) if i not in set(inside))


@settings(max_examples=100, deadline=None)
@given(st.text("ab 好，\n", max_size=30), st.data())
def test_leaving_out_takes_pieces_and_nothing_else(text, data):
    where = explain_text.pieces(text)
    assert explain_text.without(text, where, np.ones(len(where), bool)) == text.strip()
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(where), max_size=len(where))))
    left = explain_text.without(text, where, kept)
    pieces = "".join(text[a:b] for (a, b), stays in zip(where, kept) if stays)
    assert "".join(left.split()) == pieces


@given(st.integers(1, 40), st.integers(0, 60))
def test_how_far_a_text_is_read(n, limit):
    text = " ".join("ab" for _ in range(n))
    where = explain_text.pieces(text)
    read = explain_text.read_so_far(text, where, lambda some: len(some) > limit)
    fits = sum(stop <= limit for _, stop in where)
    assert read == max(1, fits)


def test_a_long_text_is_explained_as_far_as_it_is_read(reading):
    text = "g" * 10 + " " + "x" * 10 + " y " + "b" * 30 + " more g"
    why = explain(reading, text, label="good")
    *read, rest = why.spans
    assert [span.text for span in read] == ["g" * 10, "x" * 10, "y"]
    assert (rest.seen, rest.weight) == (False, 0.0)
    assert rest.text == "b" * 30 + " more g"
    assert "first 23 characters" in why.note
    assert sum(span.weight for span in read) == pytest.approx(
        log_odds(reading.logits([text[:23]])[0], reading.decision, 1)[0], abs=1e-4
    )


@pytest.mark.parametrize("text", ["  \n good b\0ad x ", "\ud800 good b", "one", "好"])
def test_spans_point_into_the_text_that_was_given(reading, text):
    why = explain(reading, text)
    for span in why.spans:
        given_there = text[span.start : span.stop].replace("\0", " ").replace("\ud800", "?")
        assert given_there == span.text
    json.dumps(why.to_json(), allow_nan=False)


# --- neighbours ---------------------------------------------------------------------------------


def test_the_nearest_training_examples(tmp_path):
    rng = np.random.default_rng(0)
    pictures = [picture(seed) for seed in range(12)]
    prepared = [image.prepare(p, CROPPED)[0] for p in pictures]
    features = [
        p.astype(float).reshape(8, 4, 8, 4, 3).mean((1, 3)).transpose(2, 0, 1).ravel()
        for p in prepared
    ]
    codes = rng.integers(0, 3, 12)
    reference = ex.rows(features, codes, [f"row {i}" for i in range(12)])
    made = ex.bundle(
        tmp_path / "m", "tiny:image", "xyz", rng.normal(size=(192, 3)), CROPPED, reference
    )
    why = explain(BundlePredictor(made), pictures[7], neighbours=4)
    unit = np.asarray(features) / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = unit @ unit[7]
    expected = np.argsort(-cosines)[:4]
    assert why.neighbours[0].name == "row 7"
    assert [one.name for one in why.neighbours] == [f"row {i}" for i in expected]
    assert [one.label for one in why.neighbours] == ["xyz"[codes[i]] for i in expected]
    np.testing.assert_allclose([n.cosine for n in why.neighbours], cosines[expected], atol=2e-3)
    assert len(explain(BundlePredictor(made), pictures[7], neighbours=99).neighbours) == 12
    assert explain(BundlePredictor(made), pictures[7], neighbours=0).neighbours == ()


def test_a_bundle_without_a_reference_says_so_and_goes_on(looking):
    why = explain(looking, picture())
    assert why.neighbours == ()
    assert "keeps nothing of its training examples" in why.note
    assert why.heat is not None
    assert "nothing" not in explain(looking, picture(), neighbours=0).note


def test_a_reference_of_another_model_is_refused(tmp_path):
    weight = np.zeros((192, 2))
    for features, codes in ((np.ones((3, 192)), [0, 1, 2]), (np.ones((3, 7)), [0, 1, 1])):
        made = ex.bundle(
            tmp_path / "m", "tiny:image", "xy", weight, None, ex.rows(features, codes, "abc")
        )
        with pytest.raises(BundleError, match=r"reference\.safetensors"):
            explain(BundlePredictor(made), picture())


# --- the whole ----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_explanation_within_its_budget(looking, reading):
    for predictor, given_input in ((looking, picture(3)), (reading, "good b x " * 20)):
        first, again = (explain(predictor, given_input, seed=4, budget=90) for _ in "ab")
        other = explain(predictor, given_input, seed=5, budget=90)
        assert first.to_json()["heat"] == again.to_json()["heat"]
        assert first.spans == again.spans
        assert (other.spans, other.to_json()["heat"]) != (first.spans, first.to_json()["heat"])
        assert first.passes <= 90
        assert first.seconds > 0


def test_progress_is_told_and_ends(looking):
    told = []
    explain(looking, picture(), budget=60, progress=lambda done, total: told.append((done, total)))
    assert told
    assert told == sorted(told)
    assert all(total == 60 for _, total in told)
    assert told[-1][0] >= 55


def test_the_label_is_the_answer_unless_another_is_asked_for(reading):
    why = explain(reading, "ggg good")
    assert why.label == why.prediction.label == "good"
    why = explain(reading, "ggg good", label="bad")
    assert (why.label, why.prediction.label) == ("bad", "good")
    assert sum(span.weight for span in why.spans) < 0


@pytest.mark.parametrize("bad", ["no/such.png", b"", b"nothing", np.zeros((3, 3, 9), np.uint8)])
def test_an_unreadable_picture_is_told_of(looking, bad):
    why = explain(looking, bad)
    assert why.label is None
    assert why.prediction.label is None
    assert why.prediction.reason in why.note
    assert why.heat is None
    assert why._repr_html_()
    json.dumps(why.to_json(), allow_nan=False)


def test_what_cannot_be_asked(looking, reading):
    with pytest.raises(DataError, match="no label 'god'") as raised:
        explain(reading, "x", label="god")
    assert "did you mean 'good'? There are: bad, good" in raised.value.fix
    with pytest.raises(DataError) as raised:
        explain(reading, "x", label="zzzz")
    assert raised.value.fix == "one of: bad, good"
    with pytest.raises(ConfigError, match="3 passes"):
        explain(looking, picture(), budget=3)
    with pytest.raises(ConfigError, match="-1 neighbours"):
        explain(looking, picture(), neighbours=-1)
    assert "empty text" in explain(reading, "  ").note


def test_log_odds_are_exact_where_probabilities_are_not():
    logits = np.array([[60.0, 0.0], [-60.0, 0.0], [0.0, 0.0], [np.nan, np.nan]])
    found = log_odds(logits, Decision(temperature=2.0), 0)
    np.testing.assert_allclose(found, [30, -30, 0, 0], rtol=1e-12)


def test_cutting_texts_costs_no_pass(reading):
    asked = Asked(reading, 1)
    CutText(asked, "g " * 400)
    assert asked.passes == 1


def test_a_notebook_shows_it_and_runs_nothing(looking, reading):
    hostile = "<img src=x onerror=alert(1)>"
    why = explain(reading, f"{hostile} good \x1b[31m b")
    assert "<img src=x" not in why._repr_html_()
    assert "&lt;img" in why._repr_html_()
    assert "\x1b" not in why._repr_html_()
    shown = explain(looking, picture(), name=hostile)
    assert "data:image/jpeg;base64," in shown._repr_html_()
    assert "<img src=x" not in shown._repr_html_()
    assert shown.overlaid().size == (32, 32)
    with pytest.raises(ValueError, match="picture"):
        why.overlaid()


def test_the_drawing_shows_for_against_and_unseen():
    heat = np.zeros((40, 60), np.float32)
    heat[:, :20], heat[:, 40:] = np.nan, -1.0
    heat[:10, 20:40] = 1.0
    plain = np.full((40, 60, 3), 128, np.uint8)
    one = Explanation("x", Prediction("x", "a", 1.0), "a", heat=heat, picture=plain)
    drawn = np.asarray(one.overlaid(1.0)).astype(int)
    assert (drawn[5, 30] - 128)[0] > 60  # orange
    assert (drawn[5, 50] - 128)[0] < -60  # blue
    assert (drawn[20, 30] == 128).all()
    assert (drawn[:, :20] < 128).all()


def test_spans_and_neighbours_as_json():
    assert Span("a", 0, 1, 0.12345678).to_json() == {
        "text": "a", "start": 0, "stop": 1, "weight": 0.123457, "seen": True,
    }  # fmt: skip
