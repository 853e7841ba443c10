"""What to do next follows from the numbers."""

import dataclasses

import numpy as np
import pytest

import report_examples as ex
import report_trials as rt
from headstart.report import page
from headstart.report.advice import advice, pairs
from headstart.report.content import ClassCount
from headstart.report.words import Words
from headstart.scores import Answered, Baseline, LearningCurve, Metric, Reliability, Trial
from headstart.types import Decision, Finding, Skipped

W = Words("en")


def told(report):
    return " ".join(advice(report, W)).replace("\u00a0", " ")


def perfect():
    """A report in which nothing deserves a word."""
    codes = np.arange(2000) % 4
    p = np.full((2000, 4), 0.01)
    p[np.arange(2000), codes] = 0.97
    labels = ("a", "b", "c", "d")
    rivals = (("majority", 0.25, 0.1, ""),)
    return dataclasses.replace(
        ex.waste(40),
        classes=tuple(ClassCount(label, 500, 500) for label in labels),
        evaluation=ex.evaluation(p, codes, labels, rivals=rivals),
        skipped=(),
        findings=(),
        finding_rows=(),
        mistakes=(),
    )


def with_rival(value, note=""):
    report = perfect()
    metrics = {**report.evaluation.metrics, "macro_f1": Metric(0.8, 0.76, 0.84)}
    rival = Baseline("knn", {"macro_f1": Metric(value, value - 0.03, value + 0.03)}, note)
    return dataclasses.replace(
        report,
        evaluation=dataclasses.replace(report.evaluation, metrics=metrics, baselines=(rival,)),
    )


def test_a_good_model_is_left_alone():
    assert advice(perfect(), W) == [W("next.fine")]


@pytest.mark.parametrize(
    ("value", "note", "expected"),
    [
        (0.81, "", "may be chance"),
        (0.95, "", "Before you rely on this model"),
        (0.78, "", "small enough to be noise"),
        (0.70, "", ""),
        (
            0.78,
            "x; accuracy of the model minus this: +2.0 points (+0.5 to +3.5, p = 0.01), beyond noise",
            "",
        ),
        (
            0.70,
            "x; accuracy of the model minus this: +1.0 points (-1.0 to +3.0, p = 0.4), within noise",
            "noise",
        ),
    ],
)
def test_a_rival_that_is_as_good_is_named(value, note, expected):
    text = told(with_rival(value, note))
    assert expected in text
    assert ("nearest neighbours" in text.lower()) == bool(expected)


def test_findings_and_numbers_speak():
    report = perfect()
    few = tuple(ClassCount(label, 12 if label == "d" else 500, 500) for label in "abcd")
    worst = tuple(
        dataclasses.replace(one, f1=0.4) if one.label == "d" else one
        for one in report.evaluation.per_class
    )
    evaluation = dataclasses.replace(report.evaluation, per_class=worst, coverage=0.7)
    report = dataclasses.replace(
        report,
        classes=(*few, ClassCount("new", 0, 3)),
        evaluation=evaluation,
        findings=(Finding("leak", "error", "m"), Finding("conflicting-labels", "warning", "m")),
        finding_rows=(0, 0),
    )
    sentences = advice(report, W)
    assert len(sentences) == 6
    text = " ".join(sentences).replace("\u00a0", " ")
    for part in ("Remove them from one side", "different labels", "“new” is in the test rows",
                 "Label more of “d”: it has the worst F1 (40.0 %) and only 12 examples",
                 "42 times as many rows", "less often than meant (70.0 %, not 90 %)"):  # fmt: skip
        assert part in text


def test_a_class_with_many_examples_is_looked_at_rather_than_labelled():
    report = perfect()
    worst = (
        dataclasses.replace(report.evaluation.per_class[0], f1=0.4),
        *report.evaluation.per_class[1:],
    )
    report = dataclasses.replace(
        report, evaluation=dataclasses.replace(report.evaluation, per_class=worst)
    )
    assert "Look at “a”" in told(report)


def test_wide_intervals_ask_for_rows():
    report = perfect()
    metrics = {**report.evaluation.metrics, "accuracy": Metric(0.8, 0.68, 0.92)}
    report = dataclasses.replace(
        report, evaluation=dataclasses.replace(report.evaluation, metrics=metrics, n=43)
    )
    assert "with 43 the accuracy is only known within 24 points. About 700 would" in told(report)


def test_skipped_inputs_are_named_with_their_commonest_reason():
    skipped = (Skipped("a", "empty file"), Skipped("b", "no such file"), Skipped("c", "empty file"))
    assert "the 3 inputs that were left out (most often: empty file)" in told(
        dataclasses.replace(perfect(), skipped=skipped)
    )


def test_pairs_are_the_largest_cells_off_the_diagonal():
    report = ex.waste()
    found = pairs(report.evaluation, 5)
    matrix = report.evaluation.confusion.copy()
    np.fill_diagonal(matrix, 0)
    assert [one.count for one in found] == sorted(matrix.ravel().tolist(), reverse=True)[:5]
    labels = report.evaluation.labels
    for one in found:
        i, j = labels.index(one.truth), labels.index(one.answer)
        assert matrix[i, j] == one.count
        assert one.share == one.count / report.evaluation.confusion[i].sum()


def with_trust(decision=None, **changes):
    """A report in which nothing deserves a word but what is given."""
    report = perfect()
    report = dataclasses.replace(
        report, evaluation=dataclasses.replace(report.evaluation, **changes)
    )
    return report if decision is None else dataclasses.replace(report, decision=decision)


def test_probable_mislabels_are_looked_at_first_with_the_command():
    finding = Finding("wrong-labels", "warning", "m", "", ("r1",), confidence=0.9)
    report = dataclasses.replace(perfect(), findings=(finding,), finding_rows=(31,))
    (first, *_) = advice(report, W)
    assert first == (
        "Look at 31 labels that are probably wrong: headstart doctor photos/ --fix plan.csv"
    )
    (chinese, *_) = advice(report, Words("zh"))
    assert "31 个可能有误的标签：headstart doctor photos/ --fix plan.csv" in chinese


def test_the_score_without_leaked_rows_is_part_of_the_advice():
    report = with_trust(leaked=40, without_leaked={"accuracy": Metric(0.82, 0.8, 0.84)})
    assert (
        "40 test rows are copies or near copies of training rows: the score without them is 82.0 %"
        in told(report)
    )
    assert "Some test rows were learned from" in told(with_trust(leaked=40))


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (Metric(0.03, 0.01, 0.05), "Label more. 200 more labels: about +3 points (+1 to +5)."),
        (Metric(0.002, -0.002, 0.006), "curve is flat: more labels will hardly help"),
        (Metric(0.03, -0.01, 0.07), "Nothing stands out"),  # it may be nothing, or much
    ],
)
def test_the_learning_curve_says_whether_to_label_more(gain, expected):
    curve = LearningCurve((100, 200), (Metric(0.8, 0.7, 0.9),) * 2, 200, gain)
    assert expected in told(with_trust(learning=curve))


def test_probabilities_that_are_off_by_more_than_chance_are_not_to_be_believed():
    assert "5.0 points off on average" in told(
        with_trust(reliability=Reliability(0.05, 0.1, 0.02, ()))
    )
    assert advice(with_trust(reliability=Reliability(0.01, 0.1, 0.02, ())), W) == [W("next.fine")]


def test_answers_that_are_withheld_often_or_right_too_seldom_are_named():
    decision = Decision(abstain_below=0.8, at_precision=0.95)
    one = Answered(Metric(0.6, 0.5, 0.7), Metric(0.9, 0.88, 0.92), {"a": 2, "unlike the training data": 9})  # fmt: skip
    text = told(with_trust(decision, answered=one))
    assert "Of its answers 90.0 % are right, not 95 % as meant" in text
    assert "It withholds 40 % of the answers (most often: unlike the training data)" in text
    fine = Answered(Metric(0.9, 0.8, 0.95), Metric(0.94, 0.9, 0.97), {"a": 2})
    assert advice(with_trust(decision, answered=fine), W) == [W("next.fine")]


def test_a_column_that_gives_the_label_away_is_kept_out():
    finding = Finding("leaking-column", "warning", "m")
    report = dataclasses.replace(perfect(), findings=(finding,), finding_rows=(0,))
    assert "Keep the column that gives the label away" in told(report)


def test_nobody_is_told_to_label_more_where_the_curve_is_flat():
    gain = Metric(0.002, -0.002, 0.006)
    curve = LearningCurve((100, 200), (Metric(0.8, 0.7, 0.9),) * 2, 200, gain)
    report = with_rival(0.95)
    assert "label more" in told(report)
    report = dataclasses.replace(
        report, evaluation=dataclasses.replace(report.evaluation, learning=curve)
    )
    assert "label more" not in told(report).lower()
    assert "try another --backbone: nearest neighbours does at least as well" in told(report)


def less(**changes):
    """A report that is good, but whose accuracy leaves something to win."""
    report = perfect()
    metrics = {**report.evaluation.metrics, "accuracy": Metric(0.9, 0.88, 0.92)}
    report = dataclasses.replace(
        report, evaluation=dataclasses.replace(report.evaluation, metrics=metrics)
    )
    trials = changes.pop("trials", None)
    report = dataclasses.replace(
        report, evaluation=dataclasses.replace(report.evaluation, trials=trials)
    )
    return dataclasses.replace(report, **{"command": "headstart fit photos", **changes})


@pytest.mark.parametrize(
    ("report", "offered"),
    [
        (less(), "--budget 10m"),
        (less(command="headstart.fit(...)"), 'budget="10m"'),
        (less(command="headstart fit photos --budget=1m"), ""),  # there was nothing to try
        (less(command="headstart fit photos --method probe"), ""),
        (less(command="headstart fit 'photos"), 'budget="10m"'),  # not a command line
        (less(method="finetune"), ""),
        (perfect(), ""),
        (less(trials=rt.noise()), ""),
    ],
)
def test_more_methods_are_offered_where_only_the_probe_was_tried(report, offered):
    text = told(report)
    assert ("Let more methods try to beat it: " + offered in text) == bool(offered)
    assert ("try to beat it" in text) == bool(offered)
    assert ("让更多方法来挑战它：" in " ".join(advice(report, Words("zh")))) == bool(offered)
    marked = f"<code>{offered}</code>".replace('"', "&#34;")
    assert (marked in page.render(report)) == bool(offered)


def ran(method="finetune", **chosen):
    """Trials whose last one was made so, and is kept."""
    found = rt.noise()
    one = dataclasses.replace(found.tried[1], method=method, chosen=chosen)
    return dataclasses.replace(found, kept=method, tried=(found.tried[0], one))


def test_more_time_is_offered_where_it_was_short():
    late = Trial("lora", 1.0, note="not begun: 80 s to prepare and 60 s an epoch, with 12 s left")
    none = "Not even one epoch fits the time: it takes about 80 s, and 12 s are left."
    cut = ran(epochs=5, best=5, stopped="budget")
    noise = dataclasses.replace(rt.noise(), tried=(*rt.noise().tried, late))
    both = dataclasses.replace(cut, tried=(*cut.tried, late))
    short = dataclasses.replace(cut, tried=(*both.tried, Trial("bitfit", 1.0, note=none)))
    for trials, n in ((cut, 1), (noise, 1), (both, 2), (short, 3)):
        text = told(less(trials=trials))
        assert (
            f"A longer --budget may help: the time was too short for {n} of the trainings." in text
        )
        assert f"这次的时间对 {n} 个训练来说太短" in " ".join(
            advice(less(trials=trials), Words("zh"))
        )
    for trials in (rt.noise(), ran(epochs=5, best=3, stopped="early")):
        assert "longer --budget" not in told(less(trials=trials, chosen={"epochs": 3, "best": 3}))
    last = less(trials=ran(epochs=5, best=3, stopped="early"), chosen={"epochs": 2, "stopped": "budget"})  # fmt: skip
    assert "too short for 1 of the trainings" in told(last)


def test_where_too_few_rows_could_judge_labels_are_asked_for_and_a_method_is_named():
    note = "not tried: 24 rows to judge by tell no lead under 17 points from noise"
    found = rt.noise()
    few = dataclasses.replace(found, tried=(found.tried[0], Trial("contrastive", 0.0, note=note)))
    report = less(trials=few)
    assert "--method contrastive suits few labels" in told(report)
    assert "longer --budget" not in told(report)
    assert "--method contrastive 适合标注很少的情形" in " ".join(advice(report, Words("zh")))
    assert "只有 24 行可供比较，低于 17 个百分点的领先无法与噪声区分" in Words("zh").said(note)
    in_python = dataclasses.replace(report, command='headstart.fit("photos")')
    assert 'method="contrastive"' in told(in_python)


def test_a_model_that_did_not_learn_from_the_judging_rows_asks_for_time():
    found = ran(epochs=12, best=7, stopped="done")
    as_judged = less(trials=found, chosen=dict(found.tried[1].chosen))
    assert "no time was left to learn from the 480 rows as well" in told(as_judged)
    assert "480 行中学习" in " ".join(advice(as_judged, Words("zh")))
    again = less(trials=found, chosen={"epochs": 7, "best": 7, "stopped": "done"})
    assert "longer --budget" not in told(again)
