"""Trainings that are killed, told to end, or started twice (R1, R5, R7, R8); see trust/training.py."""

import pytest

from trust import training

pytestmark = pytest.mark.train


def kept(outcome):
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.done > 0
    assert not outcome.bad, "\n".join(outcome.bad)


def test_killed_trainings_end_with_the_same_bytes(tmp_path):
    kept(training.killed(5, tmp_path))


def test_stopped_trainings_go_on_with_the_same_batches(tmp_path):
    kept(training.resumed(3, tmp_path))


def test_a_signal_ends_a_training_soon_and_keeps_it(tmp_path):
    kept(training.signalled(4, tmp_path))


def test_two_trainings_in_one_folder(tmp_path):
    kept(training.raced(2, tmp_path))
