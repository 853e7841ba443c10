"""The benchmark's own arithmetic, tables and picture; nothing is measured here."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def run(wall_s, **result):
    return {
        "wall_s": wall_s,
        "cpu_s": 1.5 * wall_s,
        "peak_mb": 300.0,
        "at": "2026-11-24 10:00:00",
        "result": result,
    }


def results():
    scores = [{"accuracy": a, "macro_f1": a - 0.02, "n_test": 969} for a in (0.7, 0.74, 0.72)]
    few = {
        "Headstart": {"runs": [run(4, **one) for one in scores]},
        "SetFit, 20 iterations": {"runs": [run(s, **scores[0]) for s in (110, 130, 120)]},
    }
    rate = {
        "Headstart": {"runs": [run(9, seconds=5.0, n=1000)]},
        "the same engine alone": {"runs": [run(9, seconds=4.6, n=1000)]},
    }
    machine = {
        "processors": 2,
        "processor": "AMD <EPYC>",
        "memory_gb": 24.0,
        "system": "Linux",
        "python": "3.11.7",
        "date": "2026-11-24",
    }
    images = {
        "Headstart": {"runs": [run(6.0, accuracy=0.82, macro_f1=0.8, n_test=340)]},
        "AutoGluon MultiModal": {"runs": [], "failed": "not installable: /opt/x/pip says | no"},
    }
    return {
        "machine": machine,
        "headstart": {"version": "0.1", "numpy": "2", "onnxruntime": "1"},
        "comparisons": {
            "few-shot": {"sides": few},
            "image-extract": {"sides": rate, "extra": {"cosine_min": 0.9999, "cosine_mean": 1.0}},
            "image-fit": {"sides": images},
        },
        "environments": [
            {
                "about": "SetFit",
                "requirements": ["torch==2.13.0", "setfit==1.2.0"],
                "packages": 60,
                "megabytes": 1400.0,
                "import_s": 7.5,
                "install_s": 100.0,
                "versions": {"torch": "2.13.0", "setfit": "1.2.0", "numpy": "2"},
            },
            {"about": "AutoGluon", "requirements": [], "failed": "not installable: no"},
        ],
    }


def test_summary_takes_medians_and_tells_the_ratio_and_the_goal():
    from comparisons import COMPARISONS
    from summary import summarise

    found = summarise(COMPARISONS["few-shot"], results()["comparisons"]["few-shot"]["sides"])
    assert found["sides"]["SetFit, 20 iterations"]["times"] == 30
    (goal,) = found["goals"]
    assert (goal["text"], goal["value"], goal["kept"]) == ("25 times as fast", 30, True)
    assert found["sides"]["SetFit, 20 iterations"]["points"] == pytest.approx(2)
    ours = found["sides"]["Headstart"]
    low, high = ours["accuracy_interval"]
    assert ours["accuracy"] == pytest.approx(0.72)
    assert low < 0.72 < high
    assert high - low == pytest.approx(2 * 4.303 * 0.02 / 3**0.5)


def test_a_side_that_failed_leaves_the_others_and_the_goal_open():
    from comparisons import COMPARISONS
    from summary import summarise

    found = summarise(COMPARISONS["image-fit"], results()["comparisons"]["image-fit"]["sides"])
    assert "failed" in found["sides"]["AutoGluon MultiModal"]
    assert [goal["kept"] for goal in found["goals"]] == [None, None]


def test_rates_count_the_seconds_inside_the_process():
    from comparisons import COMPARISONS
    from summary import summarise

    found = summarise(
        COMPARISONS["image-extract"], results()["comparisons"]["image-extract"]["sides"]
    )
    assert found["sides"]["Headstart"]["rate"] == 200
    assert found["goals"][0]["kept"] is True


def test_the_page_has_one_width_per_table_and_no_path_of_a_machine():
    from summary import page

    text = page(results(), "bench.svg")
    widths: dict[str, int] = {}
    for line in text.splitlines():
        if line.startswith("|"):
            table = "job" if line.count("|") > 8 else "tool"
            assert widths.setdefault(table, line.count("|")) == line.count("|"), line
    assert set(widths) == {"job", "tool"}
    assert "/opt" not in text
    assert "setfit 1.2.0" in text


def test_the_picture_is_sound_and_within_its_frame():
    from chart import WIDTH, svg

    root = ET.fromstring(svg(results()))
    shapes = [one for one in root.iter() if one.tag.endswith("rect")]
    for shape in shapes:
        left, wide = float(shape.get("x", 0)), float(shape.get("width", 0))
        assert left >= 0
        assert left + wide <= WIDTH
    texts = "".join(root.itertext())
    assert "30×" in texts
    assert "AMD" not in texts or "<EPYC>" in texts
    assert "0 s" not in [one.text for one in root.iter()]


def test_a_page_keeps_its_text_around_the_markers(tmp_path):
    from compare import insert

    page = tmp_path / "figures.md"
    page.write_text("# Figures\n\nwords\n", "utf-8")
    insert(page, "first")
    insert(page, "second")
    text = page.read_text("utf-8")
    assert text.startswith("# Figures\n\nwords\n")
    assert text.count("bench: begin") == 1
    assert "second" in text
    assert "first" not in text


def test_every_side_has_its_script_and_every_peer_its_runner():
    from environments import PEERS

    for peer in PEERS.values():
        for runner in peer.runners:
            assert (BENCHMARKS / "peers" / runner).is_file(), runner
        assert all("==" in one for one in peer.requirements)


def test_a_process_is_measured_and_its_last_line_read():
    from measure import Failed, process

    done = process([sys.executable, "-c", "print('noise'); print('{\"accuracy\": 1}')"])
    assert done.result == {"accuracy": 1}
    assert done.cpu_s > 0
    assert (
        done.peak_mb > 1
    )  # no upper bound: until a child is another program, it is as large as we are
    with pytest.raises(Failed, match="ended with 3"):
        process([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(Failed, match="stopped after"):
        process([sys.executable, "-c", "import time; time.sleep(20)"], timeout=0.3)
