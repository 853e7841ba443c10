"""Bundles of every schema load and answer the same for ever; a newer one is refused (scripts/golden.py)."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import BundleError
from headstart.runtime import reader
from headstart.runtime.predictor import BundlePredictor

GOLDEN = Path(__file__).parent / "golden"
SCHEMAS = sorted(GOLDEN.glob("schema-*"))
BUNDLES = [(schema, name) for schema in SCHEMAS for name in ("image.headstart", "text.headstart", "text")]  # fmt: skip


def asked(schema, told):
    if "texts" in told:
        return told["texts"]
    return [np.asarray(Image.open(schema / "pictures" / name)) for name in told["pictures"]]


@pytest.mark.parametrize(
    ("schema", "name"), BUNDLES, ids=lambda value: getattr(value, "name", value)
)
def test_an_old_bundle_answers_as_on_its_first_day(schema, name):
    told = json.loads((schema / "answers.json").read_text("utf-8"))["bundles"][name]
    model = hs.load(schema / name)  # its report is read too
    answers = model.predict(asked(schema, told))
    assert len(answers) == len(told["answers"]) >= 6
    for one, was in zip(answers, told["answers"]):
        assert (one.label, list(one.set), one.abstained) == (
            was["label"],
            was["set"],
            was["abstained"],
        )
        assert list(one.probabilities) == list(was["probabilities"])
        for label, probability in was["probabilities"].items():
            assert one.probabilities[label] == pytest.approx(probability, abs=1e-6)


@pytest.mark.parametrize(
    ("schema", "name"), BUNDLES, ids=lambda value: getattr(value, "name", value)
)
def test_an_old_bundle_can_be_saved_again(schema, name, tmp_path):
    model = hs.load(schema / name)
    again = hs.load(model.save(tmp_path / "again.headstart"))
    told = json.loads((schema / "answers.json").read_text("utf-8"))["bundles"][name]
    assert model.predict(asked(schema, told)) == again.predict(asked(schema, told))


def test_every_schema_has_its_golden_bundles():
    assert [schema.name for schema in SCHEMAS] == [f"schema-{n}" for n in range(1, len(SCHEMAS) + 1)]  # fmt: skip
    newest = json.loads((SCHEMAS[-1] / "answers.json").read_text("utf-8"))
    assert newest["schema"] == reader.SCHEMA, "run scripts/golden.py before releasing a new schema"


@pytest.mark.parametrize("step", [1, 2, 97])
def test_a_newer_bundle_is_refused_with_what_to_do(tmp_path, step):
    folder = tmp_path / "newer"
    shutil.copytree(SCHEMAS[-1] / "text", folder)
    manifest = json.loads((folder / "bundle.json").read_text("utf-8"))
    manifest["schema"] = reader.SCHEMA + step
    manifest["checksum"] = reader.manifest_checksum(manifest)
    (folder / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(
        BundleError, match=f"newer Headstart.*schema {reader.SCHEMA + step}"
    ) as told:
        BundlePredictor(folder)
    assert "pip install -U headstart" in told.value.fix
