"""`headstart doctor` from end to end: look, plan, edit, apply, fit."""

import csv
import json
import shutil

import pytest


@pytest.fixture
def messy(reviews):
    """The reviews with a repeated row, two wrong labels and a column that nobody uses."""
    rows = list(csv.DictReader(reviews.read_text("utf-8").splitlines()))
    rows.append(dict(rows[8]))
    for i in (10, 51):
        rows[i]["label"] = {"good": "bad", "bad": "good"}[rows[i]["label"]]
    with reviews.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label", "note"])
        writer.writeheader()
        writer.writerows({**row, "note": "=1+1"} for row in rows)
    return reviews


def test_look_plan_edit_apply_fit(run, messy, tmp_path):
    plan, out = tmp_path / "plan.csv", tmp_path / "clean.csv"
    status, printed, err = run("doctor", messy, "--backbone", "tiny:text", "--fix", plan)
    assert status == 0, err
    assert "labels are probably wrong" in printed
    assert "reviews.csv:12: " in printed
    assert f"$ headstart doctor {messy} --apply {plan} --out cleaned.csv" in printed
    assert "--fix" not in printed  # it is written
    assert str(plan) in err
    with plan.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [
        "row", "name", "finding", "action", "label", "suggestion", "confidence", "reason", "check",
    ]  # fmt: skip
    by_row = {int(line["row"]): line for line in lines}
    assert by_row[120]["action"] == "drop"
    for row, line in by_row.items():  # a person agrees with two of them
        line["action"] = "relabel" if row in (10, 51) else "drop" if row == 120 else "keep"
    with plan.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(lines)
    status, printed, err = run("doctor", messy, "--apply", plan, "--out", out)
    assert status == 0, err
    assert "120 rows written" in printed
    before, after = (list(csv.DictReader(p.read_text("utf-8").splitlines())) for p in (messy, out))
    assert len(after) == 120
    assert [i for i in range(120) if before[i] != after[i]] == [10, 51]
    assert after[10] == {**before[10], "label": {"good": "bad", "bad": "good"}[before[10]["label"]]}
    status, printed, err = run(
        "fit", out, "--backbone", "tiny:text", "--input", "text", "--target", "label", "--json",
        "--quiet", "--out", tmp_path / "m.headstart",
    )  # fmt: skip
    assert status == 0, err


def test_json_and_chinese(run, messy):
    status, printed, _ = run("doctor", messy, "--backbone", "tiny:text", "--json", "--quiet")
    found = json.loads(printed)
    assert status == 0
    assert found["rows"] == 121
    assert found["counts"]["duplicates"] == 2
    assert {
        "message",
        "fix",
        "rows",
        "suggestions",
        "sure",
        "kind",
        "severity",
        "confidence",
    } == set(found["findings"][0])
    status, printed, _ = run("doctor", messy, "--no-features", "--lang", "zh")
    assert status == 0
    assert "行内容与其他行完全相同" in printed
    assert "仅检查字节与表格" in printed


def test_healthy_data(run, tmp_path):
    words = [
        "river",
        "stone",
        "winter",
        "garden",
        "yellow",
        "music",
        "bottle",
        "forest",
        "travel",
        "silver",
    ]
    rows = [
        f"{a} beside the {b},{label}" for a in words for b, label in zip(words, "ab" * 5) if a != b
    ]
    (tmp_path / "a.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    status, printed, _ = run("doctor", tmp_path / "a.csv", "--no-features")
    assert status == 0
    assert "Nothing was found." in printed
    assert "--fix" not in printed


@pytest.mark.parametrize(
    ("arguments", "message", "fix"),
    [
        (["--apply", "plan.csv"], "--apply and --out go together", "--out cleaned.csv"),
        (["--out", "x.csv"], "--apply and --out go together", "--apply plan.csv"),
        (
            ["--apply", "p.csv", "--out", "x.csv", "--fix", "q.csv"],
            "do not go together",
            "first --fix",
        ),
        (["--apply", "none.csv", "--out", "x.csv"], "none.csv cannot be read", "--fix plan.csv"),
        (["--lang", "fr"], "no report in the language 'fr'", "en, zh"),
        (["--target", "lable", "--no-features"], "no column 'lable'", "label"),
        (
            ["--no-features", "--fix", "no/such/folder/p.csv"],
            "cannot be written",
            "folder that exists",
        ),
    ],
)
def test_mistakes_are_two_lines(run, messy, monkeypatch, arguments, message, fix):
    monkeypatch.chdir(messy.parent)
    status, printed, err = run("doctor", messy, *arguments)
    assert status == 2
    (first, second) = [line for line in err.splitlines() if line][-2:]
    assert first.startswith("error: ")
    assert message in first
    assert second.startswith("  fix: ")
    assert fix in second


def test_a_plan_for_test_rows_is_refused(run, photos, tmp_path):
    data, plan = tmp_path / "data", tmp_path / "plan.csv"
    (data / "test").mkdir(parents=True)
    shutil.copytree(photos, data / "train")
    for name in ("red", "blue"):
        (data / "test" / name).mkdir()
        (photos / name / f"{name}00.png").rename(data / "test" / name / "0.png")
    status, _, err = run("doctor", data, "--backbone", "tiny:image", "--fix", plan, "--quiet")
    assert status == 0, err
    text = plan.read_text("utf-8-sig")
    assert "also among the test rows" in text
    assert "test/red" not in [line.split(",")[1] for line in text.splitlines()]
    from headstart.data import plan as plans
    from headstart.data import table as tables

    table = tables.read(data)
    row = table.names.index("test/red/0.png")
    line = plans.PlanRow(
        row, table.names[row], "leak", "drop", "red", "", None, "", plans.fingerprint(table, row)
    )
    plans.write(plan, [*plans.read(plan), line])
    status, _, err = run("doctor", data, "--apply", plan, "--out", tmp_path / "c.csv")
    assert status == 2
    assert "test/red/0.png, which is a test row" in err


def test_strict_counts_what_was_skipped(run, photos):
    (photos / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    status, _, _ = run("doctor", photos, "--backbone", "tiny:image", "--strict", "--quiet")
    assert status == 3
