"""Hostile model files: an answer or an error that names the field, never more (R13, R14, R15); see trust/bundles.py."""

import os

import pytest

from headstart import manifest
from headstart.errors import BundleError
from headstart.runtime.reader import open_bundle
from trust import bundles, pickles


def kept(outcome):
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.done > 0
    assert not outcome.bad, "\n".join(outcome.bad)


def test_changed_bundles(tmp_path):
    kept(bundles.mutated(500, tmp_path))


def test_changed_bundles_of_pictures(tmp_path):
    kept(bundles.mutated(300, tmp_path, "image.headstart", 17))


def test_hostile_archives(tmp_path):
    kept(bundles.hostile_archives(1000, tmp_path))


def test_archives_that_lie(tmp_path):
    kept(bundles.special_archives(99, tmp_path))


def test_answers_without_sense(tmp_path):
    kept(bundles.answers_without_sense(99, tmp_path))


def test_pickles_never_run(tmp_path):
    kept(pickles.zoo(12, tmp_path))


def test_loading_asks_for_nothing(tmp_path):
    kept(pickles.audited(20, tmp_path))


@pytest.mark.parametrize("name", ["os.system", "eval", "open", "pathlib", "stack global"])
def test_the_pickles_of_the_zoo_are_live(name, tmp_path):
    """A check that could not fail would be none: Python's own reader, in a child, does make the marker."""
    import subprocess
    import sys

    marker = tmp_path / "marker"
    body = pickles.bodies(marker)[name]
    code = "import pickle, sys; pickle.loads(bytes.fromhex(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, body.hex()], capture_output=True, check=False)
    assert marker.exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX only")
@pytest.mark.parametrize("name", ["bundle.json", "model.onnx"])
def test_a_pipe_in_a_bundle_does_not_hang(tmp_path, name):
    folder = bundles.write(tmp_path / "m", bundles.contents())
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(BundleError, match="not a regular file"):
        open_bundle(folder).read("model.onnx")
    os.mkfifo(tmp_path / "pipe.headstart")
    with pytest.raises(BundleError, match="not a regular file"):
        open_bundle(tmp_path / "pipe.headstart")


def test_a_file_longer_than_listed_is_not_read(tmp_path):
    folder = bundles.write(tmp_path / "m", bundles.contents())
    with (folder / "model.onnx").open("r+b") as file:
        file.truncate(1 << 40)  # a hole: takes no space
    with pytest.raises(
        BundleError, match=r"model\.onnx is damaged: it has 1,099,511,627,776 bytes"
    ):
        open_bundle(folder).read("model.onnx")


@pytest.mark.parametrize(
    "text",
    [
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": "\\ud800"}',
        '{"\\uDFFF": 1}',
        '{"a": ' + "9" * 5000 + "}",
    ],
)
def test_json_that_could_not_be_written_again_is_refused(text):
    with pytest.raises(BundleError, match=r"bundle\.json is not valid JSON"):
        manifest.read_json(text, "bundle.json")


def test_json_with_whole_characters_is_read():
    assert manifest.read_json('{"a": "\\ud83d\\ude00"}', "x") == {"a": "\U0001f600"}


@pytest.mark.parametrize(
    "entry",
    [
        {"shape": [0, 10**30], "data_offsets": [0, 0]},
        {"shape": [0] * 70, "data_offsets": [0, 0]},
        {"shape": [2.0]},
        {"shape": [True, 2]},
        {"shape": ["2"]},
        {"data_offsets": [0, 8.0]},
        {"data_offsets": [-8, 0]},
        {"shape": 2},
        {"dtype": ["F32"]},
    ],
)
def test_tensors_with_impossible_entries_are_refused(entry):
    with pytest.raises(BundleError, match=r"head\.weight"):
        manifest.load_tensors(bundles._lying(entry), "weights.safetensors")
