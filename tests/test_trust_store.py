"""The store of features under fire (R21); see trust/store.py."""

from trust import store


def test_killed_writers(tmp_path):
    outcome = store.killed(5, tmp_path)
    assert outcome.done == 5
    assert not outcome.bad, "\n".join(outcome.bad)


def test_four_writers(tmp_path):
    outcome = store.together(100, tmp_path)
    assert outcome.done == 400
    assert not outcome.bad, "\n".join(outcome.bad)


def test_damaged_pages(tmp_path):
    outcome = store.damaged(12, tmp_path)
    assert outcome.done == 12
    assert not outcome.bad, "\n".join(outcome.bad)
