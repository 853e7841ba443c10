"""The table of promises: each names a test that exists, and the page shows the last results."""

import ast
import json
import re
from pathlib import Path

import pytest

from trust import run

ROOT = Path(__file__).parents[1]


def functions(path):
    return {n.name for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.FunctionDef)}  # fmt: skip


@pytest.mark.parametrize("check", run.checks(), ids=lambda check: check.name)
def test_every_promise_names_a_test_that_exists(check):
    place, _, function = check.test.partition("::")
    assert function in functions(ROOT / place)
    assert 0 < check.quick <= check.full


def test_names_are_unique():
    names = [check.name for check in run.checks()]
    assert len(set(names)) == len(names)


def test_every_promise_of_the_page_and_of_security_md_leads_to_a_test():
    pages = {
        ROOT / "docs" / "explain" / "trust.md": r"\| R\d+ \|",
        ROOT / "SECURITY.md": r"\| S\d+ \|",
    }
    for page, promise in pages.items():
        rows = [line for line in page.read_text("utf-8").splitlines() if re.match(promise, line)]
        assert len(rows) >= 10
        for row in rows:
            links = re.findall(r"\[([^\]]+)\]\(([^)]+)\)", row)
            assert links, row
            for name, target in links:
                path = (page.parent / target).resolve()
                assert path.is_file(), row
                if name.startswith("test_"):
                    assert name in functions(path), row


def test_the_page_is_what_the_last_results_give():
    page = run.PAGE.read_text("utf-8")
    shown = page.split(run.START)[1].split(run.END)[0].strip()
    assert shown == "\n".join(run.rows(json.loads(run.LAST.read_text("utf-8")))).strip()


def test_a_result_is_told_whatever_it_is():
    from trust.table import Outcome

    broken = run._told(Outcome(3, ("it broke",), "1 of 3"), 2.0, quick=True)
    assert "BROKEN (1)" in run._verdict(broken)
    assert "not run: no strace" in run._verdict(
        run._told(Outcome(0, skipped="no strace"), 0.0, False)
    )
    name = run.checks()[0].name
    assert any("a part" in line for line in run.rows({name: broken}))
    assert sum("not run yet" in line for line in run.rows({})) >= len(run.checks())


def test_a_check_runs_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))
    outcome = run.one("batches", 8)
    assert outcome.done == 16
    assert outcome.bad == ()
