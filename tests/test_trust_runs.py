"""The same run again, elsewhere, for long, in other batches (R6, R23, R24, R27); see trust/runs.py."""

import pytest

from headstart.compute import cache_dir
from headstart.errors import ConfigError
from trust import runs


def kept(outcome):
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.done > 0
    assert not outcome.bad, "\n".join(outcome.bad)


def test_the_same_run_again(tmp_path):
    kept(runs.repeated(1, tmp_path))


def test_other_surroundings(tmp_path):
    kept(runs.places(1, tmp_path))


def test_predictions_do_not_leak(tmp_path):
    kept(runs.leaking_predictions(400, tmp_path))


def test_fits_do_not_leak(tmp_path):
    kept(runs.leaking_fits(3, tmp_path))


def test_loads_do_not_leak(tmp_path):
    kept(runs.leaking_loads(20, tmp_path))


def test_an_answer_does_not_depend_on_its_batch(tmp_path):
    kept(runs.batches(64, tmp_path))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk", "utf-8"])
def test_any_terminal_gets_its_answer(monkeypatch, encoding):
    import io
    import json
    import sys

    from headstart.cli import show

    text = "0.91\u20130.97 \U0001f600 \u597d caf\u00e9"
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    show.result(text)
    show.result_json({"label": text})
    sys.stdout.flush()
    line, _, rest = written.getvalue().decode(encoding).partition("\n")
    assert line.startswith("0.91")
    assert line.encode(encoding).decode("unicode-escape" if encoding == "ascii" else encoding)
    assert (line == text) == (encoding == "utf-8")
    assert json.loads(rest) == {"label": text}


def test_nothing_is_noted_about_the_user(tmp_path):
    """onnxruntime would keep events and a number of the machine in the user's cache folder."""
    import subprocess
    import sys

    from trust.table import environment, golden

    code = "import sys, headstart as hs; hs.load(sys.argv[1]).predict(['a text'])"
    surroundings = environment(HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"))
    surroundings.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code, str(golden("text"))], env=surroundings, check=True)
    assert not list(tmp_path.rglob("*"))


def test_a_cache_that_cannot_be_made_is_told_with_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ConfigError, match="cannot be made") as told:
        cache_dir()
    assert "HEADSTART_CACHE" in told.value.fix
