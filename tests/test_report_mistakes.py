"""The most confident mistakes and their thumbnails."""

import base64
import io

import numpy as np
from PIL import Image

import report_examples as ex
from headstart.report.mistakes import Mistake, thumbnail, worst
from headstart.types import Roles, Table


def texts(values, targets):
    names = tuple(f"t.csv:{i + 2}" for i in range(len(values)))
    return Table(tuple(values), tuple(targets), names, "text", Roles("t", "l"), "t.csv")


def decoded(uri):
    assert uri.startswith("data:image/jpeg;base64,")
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_the_surest_mistakes_come_first_and_right_answers_never():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2], [0.99, 0.01]])
    table = texts("abcd", ["y", "y", "y", "n"])  # row 3 is right
    found = worst(table, p, np.array([1, 1, 1, 0]), ("n", "y"))
    assert [(one.name, one.text, one.truth, one.label) for one in found] == [
        ("t.csv:2", "a", "y", "n"),
        ("t.csv:4", "c", "y", "n"),
    ]
    assert (found[0].probability, found[0].truth_probability) == (0.9, 0.1)
    assert worst(table, p, np.array([1, 1, 1, 0]), ("n", "y"), limit=1) == found[:1]


def test_rows_with_a_label_never_seen_are_not_measured_and_no_mistakes():
    p = np.array([[0.9, 0.1], [0.8, 0.2]])
    found = worst(texts("ab", ["z", "y"]), p, np.array([-1, 1]), ("n", "y"))
    assert [one.text for one in found] == ["b"]


def test_no_rows_no_mistakes():
    assert worst(texts("", []), np.zeros((0, 2)), np.zeros(0, int), ("a", "b")) == ()


def test_long_texts_are_cut_and_lines_joined():
    text = "word \n" * 200
    (found,) = worst(texts([text], ["y"]), np.array([[1.0, 0.0]]), np.array([1]), ("n", "y"))
    assert len(found.text) <= 302
    assert found.text.startswith("word word")
    assert found.text.endswith("…")


def test_thumbnails_are_small_and_keep_their_shape():
    assert decoded(thumbnail(ex.picture(1, (640, 320)), 10**6)).size == (160, 80)
    assert decoded(thumbnail(ex.picture(2, (50, 40)), 10**6)).size == (50, 40)


def test_even_noise_stays_light():
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    assert len(thumbnail(noise, 10**6)) < 60_000


def test_what_cannot_be_read_or_is_too_large_has_no_thumbnail(tmp_path):
    assert thumbnail(tmp_path / "gone.jpg", 10**6) == ""
    assert thumbnail(b"no picture", 10**6) == ""
    assert thumbnail(ex.picture(0), 100) == ""


def test_json_lets_no_other_image_in():
    mistake = Mistake("n", "t", "l", 0.9, 0.1, thumbnail(ex.picture(0), 10**6))
    assert Mistake.from_json(mistake.to_json()) == mistake
    for evil in ("https://x/a.png", "data:text/html,x", mistake.image + '" onload="x'):
        assert Mistake.from_json({**mistake.to_json(), "image": evil}).image == ""
