"""Methods that change weights, from the command line to the bundle, with a tiny network that can be trained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from headstart import compute

pytestmark = pytest.mark.train

TESTS = Path(__file__).parents[1]
FINETUNE = ("--backbone", "tiny:net", "--method", "finetune", "--set", "finetune.augment=none")


@pytest.fixture
def stripes(tmp_path):
    """Pictures whose class is the way their stripes run, with a split of their own."""
    rng = np.random.default_rng(0)
    for number in range(150):
        part = "train" if number < 90 else "val" if number < 120 else "test"
        name = ("across", "down", "slanted")[number % 3]
        y, x = np.mgrid[:32, :32]
        wave = (y, x, y + x)[number % 3] + rng.integers(8)
        grey = 90 + 60 * (wave // 4 % 2) + rng.integers(0, 40, (32, 32))
        place = tmp_path / "stripes" / part / name / f"{number:03}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([grey] * 3, -1).astype(np.uint8)).save(place)
    return tmp_path / "stripes"


def test_what_was_asked_for_is_trained_measured_and_shipped(run, stripes, tmp_path):
    out = tmp_path / "stripes.headstart"
    status, printed, err = run(
        "fit", stripes, *FINETUNE, "--set", "finetune.epochs=4", "--out", out, "--json"
    )
    assert status == 0, err
    made = json.loads(printed)
    assert made["method"]["name"] == "finetune"
    probe, tuned = made["trials"]["tried"]
    assert made["trials"]["kept"] == "finetune"
    assert made["trials"]["rows"] == 120
    assert 0 < probe["score"]["value"] <= 1
    assert len(tuned["history"]) == 4
    lines = (tmp_path / "stripes.metrics.jsonl").read_text(encoding="utf-8").splitlines()
    for line, epoch in zip(lines, tuned["history"], strict=True):
        written = json.loads(line)
        assert written.pop("method") == "finetune"
        assert written == pytest.approx(epoch, rel=1e-5)
    status, printed, _ = run("evaluate", out, stripes, "--json", "--quiet")
    shipped = json.loads(printed)["metrics"]["accuracy"]["value"]
    assert shipped == made["metrics"]["accuracy"]["value"], "what was measured is what ships"
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import headstart as hs\n"
        f"print(hs.evaluate(hs.load({str(out)!r}), {str(stripes)!r}).metrics['accuracy'].value)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert float(ran.stdout) == shipped, ran.stderr
    assert not list((compute.cache_dir() / "training").iterdir()), "nothing is left to go on with"
    assert len(list((compute.cache_dir() / "graphs").iterdir())) == 1, "the one it came from"


def test_the_ladder_tries_what_suits_within_the_budget(run, stripes, tmp_path):
    out = tmp_path / "auto.headstart"
    settings = ["--set=finetune.epochs=2"]
    status, printed, err = run(
        "fit",
        stripes,
        "--backbone",
        "tiny:net",
        "--budget",
        "2m",
        *settings,
        "--out",
        out,
        "--json",
    )
    assert status == 0, err
    trials = json.loads(printed)["trials"]
    assert trials["budget"] == 120
    assert sum(one["seconds"] for one in trials["tried"]) < trials["seconds"] < 120
    assert [one["method"] for one in trials["tried"]] == ["probe", "finetune"]
    assert all(one["score"] or one["note"] for one in trials["tried"])
    leading = [one["method"] for one in trials["tried"] if one["beyond_noise"]]
    assert trials["kept"] in (leading or ["probe"])


def test_a_budget_too_small_for_an_epoch_keeps_the_probe_and_says_so(run, stripes, tmp_path):
    out = tmp_path / "short.headstart"
    status, printed, err = run(
        "fit", stripes, "--backbone", "tiny:net", "--budget", "1s", "--out", out, "--json"
    )
    assert status == 0, err
    made = json.loads(printed)
    assert made["method"]["name"] == "probe"
    assert "not begun" in made["trials"]["tried"][1]["note"]
    assert "not begun" in err


def test_a_learning_rate_that_diverges_is_noticed_and_told(run, stripes, tmp_path):
    out = tmp_path / "wild.headstart"
    status, printed, err = run(
        "fit", stripes, *FINETUNE, "--set", "finetune.lr=9.0", "--set", "finetune.epochs=3",
        "--out", out, "--json",
    )  # fmt: skip
    assert status == 0, err
    tuned = json.loads(printed)["trials"]["tried"][1]
    assert "learning rate" in tuned["note"]
    assert "learning rate" in err


def test_a_backbone_without_weights_cannot_be_tuned(run, stripes, tmp_path):
    status, _, err = run(
        "fit", stripes, "--backbone", "tiny:image", "--method", "finetune", "--out", tmp_path / "x"
    )
    assert status == 2
    assert "no weights that can be trained" in err
    assert "probe" in err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--method", "finetun"), "There is no method 'finetun'"),
        (("--budget", "soon"), "not a length of time"),
        (("--set", "finetune.dept=1"), "did you mean 'depth'"),
        (("--set", "depth"), "is not a setting"),
        (("--method", "lora", "--repeats", "3"), "--repeats is for methods"),
    ],
)
def test_bad_flags_are_told_before_the_work(run, stripes, tmp_path, flags, said):
    status, _, err = run("fit", stripes, *flags, "--out", tmp_path / "x")
    assert status == 2
    assert said in err
    assert not (compute.cache_dir() / "graphs").exists()


def test_ctrl_c_keeps_the_training_and_the_same_fit_goes_on(stripes, tmp_path):
    """Stopped in the middle and started again, it ends with the bytes of one that ran through."""
    paths = os.pathsep.join([str(TESTS / "plugin"), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [
        sys.executable, "-c",
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from headstart.cli.main import main; sys.exit(main(sys.argv[1:]))",
        "fit", str(stripes), *FINETUNE, "--set", "finetune.epochs=8", "--set", "finetune.patience=0",
    ]  # fmt: skip

    def start(cache, out):
        env = {**os.environ, "HEADSTART_CACHE": str(cache), "PYTHONPATH": paths}
        arguments = [*command, "--out", str(out)]
        return subprocess.Popen(arguments, env=env, stderr=subprocess.PIPE, text=True)

    with start(tmp_path / "one", tmp_path / "whole") as whole:
        said = whole.communicate()[1]
    assert whole.returncode == 0, said
    training = tmp_path / "two" / "training"
    with start(tmp_path / "two", tmp_path / "resumed") as stopped:
        while not list(training.glob("*/metrics.jsonl")) and stopped.poll() is None:
            time.sleep(0.05)
        stopped.send_signal(signal.SIGINT)
        said = stopped.communicate()[1]
    assert stopped.returncode == 130, said
    assert "the same fit goes on from there" in said
    assert list(training.glob("*/state/state.json"))
    with start(tmp_path / "two", tmp_path / "resumed") as again:
        said = again.communicate()[1]
    assert again.returncode == 0, said
    for name in ("model.onnx", "weights.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (
            tmp_path / "resumed" / name
        ).read_bytes()
