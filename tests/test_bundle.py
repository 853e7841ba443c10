"""The bundle: what was evaluated is what ships, and nothing damaged or foreign is opened."""

import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import headstart as hs
from headstart.bundle import save
from headstart.errors import BundleError, HeadstartError
from headstart.runtime.predictor import BundlePredictor
from headstart.runtime.reader import FILES, open_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """One small fitted model for the whole module, and its pictures."""
    from tests_support import COLOURS, paint

    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for i in range(12):
            paint(folder / name / f"{i:02}.png", colour, rng)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))
        return hs.fit(folder, backbone="tiny:image")


@pytest.fixture(params=["model", "model.headstart"])
def saved(model, tmp_path, request):
    return model.save(tmp_path / request.param)


def test_a_saved_bundle_answers_as_the_model(model, saved, photos):
    paths = sorted(photos.rglob("*.png"))[::7]
    before, after = model.predict(paths), hs.load(saved).predict(paths)
    assert before == after
    assert [one.label for one in after] == [path.parent.name for path in paths]


def test_a_bundle_holds_what_the_design_says(saved):
    files = open_bundle(saved)
    assert set(files.manifest["files"]) <= set(FILES)
    for name in ("model.onnx", "weights.safetensors", "README.md", "report.html"):
        assert files.read(name)
    manifest = files.manifest
    for key in (
        "schema", "task", "preprocess", "decision", "metrics", "split", "backbone", "data", "versions",
        "seed", "command", "method", "created",
    ):  # fmt: skip
        assert key in manifest
    assert manifest["backbone"]["licence"] == "CC0-1.0"
    assert len(manifest["backbone"]["sha256"]) == 64


def test_equal_fits_give_equal_zip_files_but_for_the_date(model, tmp_path):
    one = model.save(tmp_path / "one.headstart").read_bytes()
    two = model.save(tmp_path / "two.headstart").read_bytes()
    assert one == two


def test_one_flipped_bit_anywhere_is_noticed(saved, tmp_path):
    rng = np.random.default_rng(0)
    if saved.is_dir():
        targets = list(saved.iterdir())
    else:
        targets = [saved]
    for target in targets:
        sound = target.read_bytes()
        for position in rng.integers(0, len(sound), 12):
            data = bytearray(sound)
            data[position] ^= 1 << int(rng.integers(8))
            target.write_bytes(data)
            try:
                files = open_bundle(saved)
                contents = {name: files.read(name) for name in files.manifest["files"]}
            except BundleError as error:
                assert saved.name in str(error)
            else:  # the bit was in the archive's own padding: then every content is as it was
                target.write_bytes(sound)
                clean = open_bundle(saved)
                assert contents == {name: clean.read(name) for name in clean.manifest["files"]}
        target.write_bytes(sound)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_changed_manifest_is_refused_by_name(model, tmp_path, data):
    source = model.folder
    manifest = json.loads((source / "bundle.json").read_text())
    key = data.draw(st.sampled_from(sorted(manifest)))
    value = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=5), inner, max_size=3)
            ),
            max_leaves=6,
        )
    )
    changed = {**manifest, key: value}
    from headstart.runtime.reader import manifest_checksum

    folder = tmp_path / f"b{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    for name in manifest["files"]:
        (folder / name).write_bytes((source / name).read_bytes())
    if (
        key != "checksum"
    ):  # an attacker can make the checksum hold: the fields are checked all the same
        changed["checksum"] = manifest_checksum(changed)
    (folder / "bundle.json").write_text(json.dumps(changed))
    try:
        BundlePredictor(folder).predict([np.zeros((8, 8, 3), np.uint8)])
    except HeadstartError as error:
        assert error.fix


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no bundle.json"),
        (["bundle.json", "bundle.json"], "more than one bundle.json"),
        (["../bundle.json"], "no bundle.json"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives(tmp_path, names, message):
    path = tmp_path / "x.headstart"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    with pytest.raises(BundleError, match=message):
        open_bundle(path)


def test_what_is_no_bundle(tmp_path):
    (tmp_path / "text.headstart").write_text("hello")
    (tmp_path / "empty").mkdir()
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "bundle.json").write_text('{"schema": 99}')
    for name, message in (
        ("none.headstart", "There is no bundle"),
        ("text.headstart", "not a Headstart bundle"),
        ("empty", "not a Headstart bundle"),
        ("newer", "newer Headstart"),
    ):
        with pytest.raises(BundleError, match=message):
            hs.load(tmp_path / name)


def test_saving_replaces_bundles_only(model, tmp_path):
    precious = tmp_path / "thesis.txt"
    precious.write_text("years of work")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    for target in (precious, folder):
        with pytest.raises(BundleError, match="left alone"):
            model.save(target)
    assert precious.read_text() == (folder / "thesis.txt").read_text() == "years of work"
    twice = tmp_path / "a.headstart"
    model.save(twice)
    model.save(twice)
    assert hs.load(twice).labels == model.labels


def test_a_bundle_that_answers_otherwise_is_not_saved(model):
    pictures = [np.full((8, 8, 3), 90, np.uint8)]
    right, _ = model.predictor.logits(pictures)
    for near in (right, right * np.float32(1.004)):
        save.check(model.folder, pictures, near)
    with pytest.raises(BundleError, match="does not answer as the trained model"):
        save.check(model.folder, pictures, right * np.float32(1.02))
    with pytest.raises(BundleError, match="does not answer as the trained model"):
        save.check(model.folder, pictures, right + np.float32([[0, 5, 0]]))


def test_inputs_of_all_kinds_and_unreadable_ones(model, photos, tmp_path):
    from PIL import Image

    path = photos / "red" / "red00.png"
    (tmp_path / "bad.jpg").write_text("not a picture")
    inputs = [
        path,
        str(path),
        path.read_bytes(),
        Image.open(path),
        np.asarray(Image.open(path)),
        tmp_path / "bad.jpg",
        "none.png",
    ]
    answers = model.predict(inputs)
    assert [one.label for one in answers] == ["red"] * 5 + [None] * 2
    assert len({one.probability for one in answers[:5]}) == 1
    assert [one.abstained for one in answers] == [False] * 5 + [True] * 2
    assert "text file" in answers[5].reason
    assert answers[6].reason == "no such file"
    assert model.predict([]) == []


def test_a_prediction_does_not_depend_on_its_batch(model, photos):
    paths = sorted(photos.rglob("*.png"))
    together = {one.input: one for one in model.predict(paths)}
    for path in paths[::9]:
        alone = model.predict([path])[0]
        assert alone.label == together[str(path)].label
        assert alone.probability == pytest.approx(together[str(path)].probability, abs=1e-6)
