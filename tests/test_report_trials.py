"""What was tried: kept in pages and bundles, said as the numbers say, drawn where they are."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import report_examples as ex
import report_trials as rt
from headstart.backbones.choose import backbone_named
from headstart.bundle import save
from headstart.cli import main
from headstart.errors import BundleError
from headstart.evaluation.guard import Entry, guard
from headstart.report import card, notebook, page, plots, terminal
from headstart.report.content import Report
from headstart.report.kept_trials import brief, thinned, trials_from, used
from headstart.report.overheard import chinese
from headstart.report.trials_terminal import table
from headstart.report.trials_view import _course, tried
from headstart.report.trials_words import called, compared_with, decided, number, remark, times, why
from headstart.report.words import Words, columns
from headstart.runtime.reader import open_bundle
from headstart.scores import Metric, Trial, Trials
from headstart.tasks.classification import Classification
from headstart.types import Decision, Epoch, Head
from test_report_page_html import assert_harmless, read
from test_report_plots import places

EN, ZH = Words("en"), Words("zh")
BASE = ex.waste(40)
EVERY = ("noise", "won", "many", "alone", "surer", "asked")
NAMES = {
    "probe": ("probe", "探针"),
    "finetune": ("fine-tuning", "微调"),
    "lora": ("low-rank updates", "LoRA 低秩更新"),
    "bitfit": ("biases and norms", "偏置与归一化微调"),
    "contrastive": ("pair tuning", "对比微调"),
    "distil": ("distillation", "蒸馏"),
    "scratch": ("from scratch", "从零训练"),
}
FIRST = Trial("probe", 2.0, Metric(0.8, 0.76, 0.84), Metric(0.0, 0.0, 0.0))


def plain(text):
    return " ".join(text.replace("\u00a0", " ").split())


def having(name):
    return rt.having(BASE, getattr(rt, name)())


def rival(lead=0.004, p=0.31, beyond=False, seconds=80.0, method="finetune", half=0.015):
    score = Metric(0.8 + lead, 0.77, 0.85)
    apart = Metric(lead, lead - half, lead + half)
    return Trial(method, seconds, score, apart, p, beyond=beyond)


def better(gain=0.031, p_gain=0.0004, **rest):
    """A rival that leads in its probabilities alone."""
    one = rival(beyond=True, **rest)
    return dataclasses.replace(one, gain=Metric(gain, gain - 0.02, gain + 0.02), p_gain=p_gain)


def among(*tried, kept="probe"):
    return Trials(kept, (FIRST, *tried), 300)


def told(report, lang="en"):
    """The words of the section; empty where there is none."""
    text = page.render(report, lang)
    found = re.search(r'(?s)<section id="tried">.*?</section>', text)
    return plain(" ".join(read(found.group()).text)) if found else ""


# kept

numbers = st.floats(-10, 10, width=32).map(lambda value: float(f"{value:.6g}"))
metrics = st.builds(Metric, numbers, numbers, numbers)
epochs = st.builds(
    Epoch, st.integers(0, 999), numbers, st.none() | numbers, st.none() | numbers, numbers, numbers,
    st.booleans(),
)  # fmt: skip
made = st.builds(
    Trial, st.text(max_size=9), numbers, st.none() | metrics, st.none() | metrics, numbers,
    st.none() | metrics, numbers, st.booleans(), st.text(max_size=9), st.dictionaries(st.text(max_size=5), numbers, max_size=2),
    st.lists(epochs, max_size=4).map(tuple),
)  # fmt: skip


@given(st.builds(Trials, st.text(max_size=9), st.lists(made, max_size=4).map(tuple),
                 st.integers(0, 10**6), numbers, st.booleans()))  # fmt: skip
def test_what_is_kept_comes_back(trials):
    data = json.loads(json.dumps(brief(trials.to_json()), allow_nan=False))
    again = trials_from(data)
    assert brief(again.to_json()) == data
    assert len(again.tried) == len(trials.tried)
    for one, other in zip(again.tried, trials.tried):
        assert dataclasses.replace(one, seconds=0.0) == dataclasses.replace(other, seconds=0.0)
        assert one.seconds == pytest.approx(other.seconds, abs=6e-4)


def test_pages_of_before_a_winner_could_be_asked_for_are_read():
    data = json.loads(json.dumps(brief(rt.asked().to_json())))
    assert trials_from(data).asked
    del data["asked"]
    assert not trials_from(data).asked


@pytest.mark.parametrize("name", EVERY)
def test_a_page_keeps_what_was_tried_and_can_be_written_again(name):
    report = Report.from_json(json.loads(json.dumps(having(name).to_json(), allow_nan=False)))
    text = page.render(report, "zh")
    again = page.read(text)
    assert again.to_json() == report.to_json()
    assert again.evaluation.trials == report.evaluation.trials
    assert page.render(again, "zh") == text
    assert_harmless(text)


def test_numbers_that_are_none_are_kept_as_unknown():
    nan = float("nan")
    epoch = Epoch(0, nan, None, None, nan, 1.0, True)
    one = dataclasses.replace(rival(), history=(epoch,), score=Metric(nan, nan, nan), p=nan)
    report = rt.having(BASE, among(one))
    text = json.dumps(report.to_json(), allow_nan=False)
    (_, again) = Report.from_json(json.loads(text)).evaluation.trials.tried
    assert math.isnan(again.p)
    assert math.isnan(again.score.value)
    assert math.isnan(again.history[0].train_loss)
    assert again.history[0].held_loss is None
    assert "nan" not in told(report).lower()


def test_pages_without_the_key_are_read_and_the_schema_is_the_old_one():
    data = having("many").to_json()
    assert data["schema"] == 1
    del data["evaluation"]["trials"]
    report = Report.from_json(json.loads(json.dumps(data)))
    assert report.evaluation.trials is None
    assert told(report) == ""


@pytest.mark.parametrize(
    "damage",
    [
        lambda t: t.update(tried=[1]),
        lambda t: t.pop("kept"),
        lambda t: t.update(rows="many"),
        lambda t: t["tried"][1].update(score={"value": 1}),
        lambda t: t["tried"][1].update(history=[{"epoch": 1}]),
        lambda t: t["tried"][1].update(chosen=3),
    ],
)
def test_damaged_trials_are_a_mistake_of_the_caller(damage):
    data = json.loads(json.dumps(having("many").to_json()))
    damage(data["evaluation"]["trials"])
    with pytest.raises(BundleError, match="damaged"):
        Report.from_json(data)


@given(st.integers(1, 700), st.integers(0, 700), st.integers(3, 60), st.integers(0, 700))
@example(201, 77, 200, 0)
def test_of_long_trainings_some_epochs_stay_with_the_used_and_the_last(n, place, most, chosen):
    chosen = min(chosen, n)
    history = tuple(
        Epoch(i, 1.0, 1.0, 0.5, 1e-3, float(i), i in (0, min(place, n - 1))) for i in range(n)
    )
    one = dataclasses.replace(rival(), history=history, chosen={"best": chosen} if chosen else {})
    thin = thinned(among(one), most).tried[1]
    kept = thin.history
    assert len(kept) <= most
    assert (len(kept) == n) == (n <= most)
    assert list(kept) == sorted(set(kept), key=lambda one: one.epoch)
    assert used(thin) == used(one)
    assert used(one).epoch == (chosen - 1 if chosen else min(place, n - 1))
    assert kept[-1] == history[-1]


def test_the_page_of_very_long_trainings_stays_light():
    found = rt.many()
    long = dataclasses.replace(found.tried[3], history=rt.history(10_000, 4321, 9e4))
    trials = dataclasses.replace(found, tried=(*found.tried[:3], *(long,) * 4))
    text = page.render(rt.having(BASE, trials))
    assert len(text.encode()) < 1_200_000
    used = min(range(10_000), key=lambda i: long.history[i].held_loss)
    assert f"{used + 1:,} of 10,000" in text


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A bundle whose report says what was tried, made without a fit."""
    labels = ("blue", "green", "red")
    report = having("won")
    folder = tmp_path_factory.mktemp("bundle") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))
        backbone = backbone_named("tiny:image")
        save.write_folder(
            folder,
            task=Classification(labels),
            backbone=backbone,
            head=Head(np.ones((backbone.dim, 3), "f4"), np.zeros(3, "f4")),
            decision=Decision(),
            evaluation=report.evaluation,
            provenance={},
            report=page.render(report),
            card=card.model_card(report),
        )
    packed = folder.with_name("model.headstart")
    save.copy(folder, packed)
    return packed


def test_a_bundle_keeps_what_was_tried_for_the_report(bundle, tmp_path, capsys):
    again = page.read(open_bundle(bundle).read("report.html").decode())
    assert again.evaluation.trials.to_json() == brief(rt.won().to_json())
    assert "## What was tried" in open_bundle(bundle).read("README.md").decode()
    target = tmp_path / "page.html"
    assert main.main(["report", str(bundle), "--lang", "zh", "--out", str(target), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["evaluation"]["trials"]["kept"] == "finetune"
    assert "尝试过的方法" in target.read_text("utf-8")
    assert open_bundle(bundle).manifest["schema"] == 1  # older readers still open it


# said


@pytest.mark.parametrize("method", NAMES)
def test_methods_have_names_in_both_languages(method):
    assert (called(method, EN), called(method, ZH)) == NAMES[method]
    assert called("plug-in", EN) == called("plug-in", ZH) == "plug-in"


@pytest.mark.parametrize(
    ("one", "english", "zh"),
    [
        (
            rival(),
            "+0.4 points over the probe (-1.1 to +1.9), not beyond noise (p = 0.31), 40 times the cost",
            "比探针高 0.4 个百分点（-1.1 至 +1.9），未超出误差（p = 0.31），耗时为其 40 倍",
        ),
        (
            rival(0.021, 0.00025, True, 5.0),
            "+2.1 points over the probe (+0.6 to +3.6), beyond noise (p < 0.001), 2.5 times the cost",
            "比探针高 2.1 个百分点（+0.6 至 +3.6），超出误差（p < 0.001），耗时为其 2.5 倍",
        ),
        (
            rival(-0.012, 0.97, seconds=1.0),
            "1.2 points below the probe (-2.7 to +0.3), 0.5 times the cost",
            "比探针低 1.2 个百分点（-2.7 至 +0.3），耗时为其 0.5 倍",
        ),
        (
            rival(0.0002, 0.49, seconds=2.1),
            "level with the probe (-1.5 to +1.5 points), not beyond noise (p = 0.49), about the same cost",
            "与探针持平（-1.5 至 +1.5 个百分点），未超出误差（p = 0.49），耗时相当",
        ),
        (rival(0.01, 0.004, True, 0.0),
         "+1.0 points over the probe (-0.5 to +2.5), beyond noise (p = 0.004)",
         "比探针高 1.0 个百分点（-0.5 至 +2.5），超出误差（p = 0.004）"),
        (
            better(),
            "+0.4 points over the probe (-1.1 to +1.9), not beyond noise (p = 0.31), but its probabilities "
            "are better beyond noise (log loss 0.031 lower, p < 0.001), 40 times the cost",
            "比探针高 0.4 个百分点（-1.1 至 +1.9），未超出误差（p = 0.31），但其概率更可靠且超出误差"
            "（对数损失低 0.031，p < 0.001），耗时为其 40 倍",
        ),
        (
            better(0.24, 0.004, p=0.04, seconds=0.0),
            "+0.4 points over the probe (-1.1 to +1.9), not beyond noise, as answers and probabilities were "
            "both judged (p = 0.04), but its probabilities are better beyond noise (log loss 0.24 lower, "
            "p = 0.004)",
            "比探针高 0.4 个百分点（-1.1 至 +1.9），因回答与概率都作了比较，未超出误差（p = 0.04），"
            "但其概率更可靠且超出误差（对数损失低 0.24，p = 0.004）",
        ),
        (
            better(p=0.0002, seconds=0.0),  # its lead alone suffices
            "+0.4 points over the probe (-1.1 to +1.9), beyond noise (p < 0.001)",
            "比探针高 0.4 个百分点（-1.1 至 +1.9），超出误差（p < 0.001）",
        ),
        (Trial("finetune", 0.0), "could not be tried", "未能尝试"),
    ],
)  # fmt: skip
def test_a_candidate_in_a_sentence(one, english, zh):
    assert plain(compared_with(one, among(one), EN)) == english
    assert plain(compared_with(one, among(one), ZH)) == zh


def test_a_small_p_that_is_not_enough_is_explained_where_several_were_tried():
    doubtful, other = rival(0.02, 0.03), rival(0.001, 0.6, method="lora")
    assert "as several were tried" in compared_with(doubtful, among(doubtful, other), EN)
    assert "as several were tried" not in compared_with(other, among(doubtful, other), EN)


@pytest.mark.parametrize(
    ("trials", "decision", "reason"),
    [
        (
            among(rival()),
            "Fine-tuning: +0.4 points over the probe (-1.1 to +1.9), not beyond noise (p = 0.31), "
            "40 times the cost: the probe is kept.",
            "A costlier model is kept only where its lead is larger than chance explains.",
        ),
        (
            among(rival(-0.01, 0.9, method="lora"), rival(0.002, 0.4), Trial("distil", 0.0)),
            "Kept: the probe. None of the 2 others leads beyond noise; closest: fine-tuning, +0.2 points "
            "over the probe (-1.3 to +1.7), not beyond noise (p = 0.40), 40 times the cost.",
            "Otherwise the simplest is the better choice",
        ),
        (
            among(rival(0.03, 0.0005, True), kept="finetune"),
            "Kept: fine-tuning, +3.0 points over the probe (+1.5 to +4.5), beyond noise (p < 0.001), "
            "40 times the cost.",
            "So large a lead is hardly chance: if nothing tried were better than the probe",
        ),
        (
            among(rival(0.03, 0.0005, True, 9.0, "lora"), rival(0.034, 0.0005, True), kept="lora"),
            "Kept: low-rank updates, +3.0 points",
            "So large a lead is hardly chance: if nothing tried were better than the probe",
        ),
        (
            among(
                rival(0.03, 0.0005, True, 9.0, "lora"), rival(0.08, 0.0005, True), kept="finetune"
            ),
            "Kept: fine-tuning, +8.0 points",
            "Of the 2 methods that lead beyond noise, it is the best.",
        ),
        (among(Trial("lora", 0.0)), "Kept: the probe. Nothing else could be tried.", ""),
        (
            among(rival(), kept="finetune"),
            "Kept: fine-tuning, +0.4 points",
            "",
        ),  # as somebody wished
        (
            dataclasses.replace(among(rival(), kept="finetune"), asked=True),
            "Kept, because it was asked for: fine-tuning, +0.4 points over the probe",
            "Left to choose, the simplest one would have been kept",
        ),
        (
            among(better(), kept="finetune"),
            "Kept: fine-tuning, +0.4 points over the probe (-1.1 to +1.9), not beyond noise (p = 0.31), but",
            "its probabilities are closer to the truth by more than chance explains.",
        ),
        (among(rival(), kept="gone"), "Kept: gone.", ""),
    ],
)
def test_the_decision_and_why(trials, decision, reason):
    assert plain(decided(trials, EN)).startswith(decision)
    reasons = " ".join(why(trials, EN))
    assert reason in reasons
    assert bool(reason) == bool(reasons)
    for w in (EN, ZH):  # no name of a method that has a word is left as it is
        assert not re.search("finetune|lora|bitfit", decided(trials, w))


@pytest.mark.parametrize(
    ("name", "english", "chinese"),
    [
        ("won", "kept", "保留"),
        ("surer", "kept for its probabilities", "因概率更可靠而保留"),
        ("asked", "kept as asked for", "按要求保留"),
    ],
)
def test_the_table_says_why_a_winner_without_a_clear_lead_is_kept(name, english, chinese):
    for lang, mark in (("en", english), ("zh", chinese)):
        w, report = Words(lang), having(name)
        seen = tried(report.evaluation, w)
        assert [row.mark for row in seen.rows if row.kept] == [mark]
        assert {row.mark for row in seen.rows if not row.kept} == {""}
        losses = "Log loss" if lang == "en" else "对数损失"
        text = told(report, lang)
        assert seen.losses == (name == "surer") == (losses in text)
        assert (plain(w("tried.caption.loss", first=seen.first)) in text) == seen.losses
    assert f"({english})" in card.model_card(report)


def test_the_log_loss_stands_in_every_table_where_it_decided():
    report = having("surer")
    one = report.evaluation.trials.tried[1]
    assert one.beyond
    assert one.p >= 0.025  # as the guard judges it
    assert one.gain.value > 0
    shown = f"-{one.gain.value:.2f}"
    (row,) = [row for row in tried(report.evaluation, EN).rows if row.kept]
    assert (row.loss, plain(row.loss_p)) == (shown, "p < 0.001")
    assert f"{shown} p < 0.001" in told(report)
    assert f"| {shown} (p &lt; 0.001) |" in plain(card.model_card(report))
    head, first, second = table(report.evaluation, EN, 80)
    assert head.index("Log loss") + len("Log loss") == second.index(shown) + len(shown)
    assert "Log loss" not in "".join(table(having("noise").evaluation, EN, 80))


@pytest.mark.parametrize(
    ("note", "part"),
    [
        ("In epoch 1, at step 5, the held-out loss rose from 1.79 to 240. The training was given up; the "
         "weights are those of the best epoch.", "从 1.79 升到 240"),
        ("The training was given up; the weights are as they were before.", "权重保持原样"),
        ("Not even one epoch fits the time: it takes about 81.5 s, and 12 s are left. The weights stay as "
         "they were.", "一轮约需 81.5 秒"),
        ("1 row has no other row of the same class: such a row is paired with itself with words left out, "
         "which teaches little. A second labelled row of each class would help most.", "1 行所属的类别"),
        ("The state of the training cannot be kept: No space left on device. The training goes on; if it is "
         "cut off, what it learned since the last state is lost.", "训练状态无法保存"),
    ],
)  # fmt: skip
def test_what_trainings_say_has_a_chinese_form(note, part):
    text, foreign = remark(note, ZH)
    assert part in text
    assert not foreign
    assert not re.search("(?i)training|weights|epoch|row", text)


def test_what_the_rows_were_used_for_is_told_exactly():
    english, chinese = told(having("noise")), told(having("noise"), "zh")
    assert "480 training rows that were held out: no weights were learned from them." in english
    assert "Settings may have been chosen with their help" in english
    assert "没有从中学习。但某些设置可能参照它们选定" in chinese


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.floats(0.6, 0.95), min_size=1, max_size=5))
def test_whatever_the_guard_decides_is_told_as_it_is(seed, rates):
    rng = np.random.default_rng(seed)
    codes, hard = np.arange(120) % 3, rng.random(120)
    entries = []
    for i, rate in enumerate((0.75, *rates)):
        said = np.where(hard < rate, codes, (codes + 1) % 3)
        entries.append(Entry(["probe", *"abcde"][i], np.eye(3)[said], 1.0 + 2.0 * i))
    trials = guard(codes, entries, rng)
    said = plain(decided(trials, EN))
    assert (f"Kept: {trials.kept}," in said) == (trials.kept != "probe")
    led = re.search(r"(?<!not )beyond noise \((p|log)", said)
    assert bool(led) == (trials.kept != "probe")
    for one in trials.tried[1:]:
        words = plain(compared_with(one, trials, EN))
        value = round(abs(100 * one.lead.value), 1)
        assert f"{value:.1f} points" in words or words.startswith("level")
        assert bool(re.search(r"(?<!not )beyond noise \((p|log)", words)) == one.beyond
        assert ("below" in words) == (one.lead.value < 0 and value > 0)
    seen = tried(rt.having(BASE, trials).evaluation, EN)
    assert [row.kept for row in seen.rows] == [one.method == trials.kept for one in trials.tried]


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.31, "0.31"), (1.0, "1.00"), (0.0496, "0.05"), (0.0042, "0.004"), (0.0002, "< 0.001"), (math.nan, "–")],
)  # fmt: skip
def test_p_values(p, text):
    assert plain(number(p)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(80.0, "40"), (2468.0, "1,234"), (19.8, "9.9"), (19.96, "10"), (2.0, "1.0"), (0.5, "0.25"), (0.0, "")],
)  # fmt: skip
def test_times_the_cost(seconds, text):
    assert times(rival(seconds=seconds), FIRST) == text
    assert times(rival(), dataclasses.replace(FIRST, seconds=0.0)) == ""


def test_remarks_are_translated_where_all_of_them_are_known():
    known = (
        "Out of memory in epoch 3: batches pass in 4 pieces from here on. "
        "In epoch 4, at step 30, the loss or a gradient was not a finite number. The training went back to "
        "the start of the epoch, with a tenth of the learning rate."
    )
    text, foreign = remark(known, ZH)
    assert not foreign
    assert "内存不足" in text
    assert "第 4 轮第 30 步" in text
    assert "已退回该轮开头" in text
    assert remark(known, EN) == (known, False)
    assert remark(f"{known} Something new.", ZH) == (f"{known} Something new.", True)
    assert remark("", ZH) == ("", False)
    assert chinese(rt.MISSING) == "未安装 torch：pip install 'headstart[train]'"


# shown


@pytest.mark.parametrize("trials", [None, rt.trials(), among()])
def test_without_a_comparison_there_is_no_section(trials):
    report = rt.having(BASE, trials)
    text = page.render(report)
    assert 'id="tried"' not in text
    assert '"#tried"' not in text
    assert "tried on" not in terminal.summary(report)
    assert "What was tried" not in card.model_card(report)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", EVERY)
def test_the_section_says_every_number(name, lang):
    report, w = having(name), Words(lang)
    trials, words = report.evaluation.trials, told(report, lang)
    assert plain(decided(trials, w)) in words
    assert 'href="#tried"' in page.render(report, lang)
    for one in trials.tried:
        assert NAMES.get(one.method, (one.method,) * 2)[lang == "zh"].lower() in words.lower()
        if one.score is None or name == "alone":
            continue
        assert f"{100 * one.score.low:.1f}–{100 * one.score.high:.1f}" in words
        if one.method != "probe":
            assert f"{100 * one.lead.value:+.1f}" in words
            assert f"{100 * one.lead.low:+.1f}" in words
    if name != "alone":
        assert "480" in words
        used = plain(w.seconds(sum(one.seconds for one in trials.tried)))
        assert used in words
        assert ("10 min used" in words or "预算 10 分" in words) == (trials.budget > 0)
    trained = [one for one in trials.tried if one.history]
    assert page.render(report, lang).count('class="course"') == len(trained)


def test_the_time_of_the_whole_fit_counts():
    """What is trained for the mean, after the judging, is not in the seconds of what was judged."""
    report = having("many")
    trials = dataclasses.replace(report.evaluation.trials, budget=600.0, seconds=540.0)
    report = dataclasses.replace(
        report, evaluation=dataclasses.replace(report.evaluation, trials=trials)
    )
    for kept in (report, Report.from_json(report.to_json())):
        assert re.search(r"9 min of 10 min used \(90.?%\)", told(kept))


def test_what_could_not_be_tried_says_why_on_every_surface():
    report = having("many")
    for text in (told(report), terminal.summary(report), card.model_card(report)):
        assert "pip install 'headstart" in plain(text)
    assert "not tried" in told(report)


def test_hostile_names_and_notes_are_shown_and_do_nothing():
    one = dataclasses.replace(
        rival(0.03, 0.0005, True),
        method=ex.HOSTILE,
        note=" ".join(ex.ATTACKS),
        history=rt.history(5, 3, 9.0),
    )
    trials = Trials(ex.HOSTILE, (FIRST, one, Trial(ex.ATTACKS[3], 1.0, note=ex.HOSTILE)), 300)
    report = Report.from_json(rt.having(BASE, trials).to_json())
    for lang in ("en", "zh"):
        text = page.render(report, lang)
        assert_harmless(text)
        assert page.read(text).to_json() == report.to_json()
        assert ex.HOSTILE[:30] in told(report, lang)
    assert not re.search(r"(?<!\\)<img", card.model_card(report))
    assert "<img" not in notebook.card(report)
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", terminal.summary(report))


# drawn


def test_scores_lie_where_the_numbers_say_on_one_scale():
    report = having("won")
    text = page.render(report)
    section = text[text.index('<section id="tried">') : text.index('<section id="good">')]
    scale = section[section.index('<svg class="scale"') :]
    ticks = re.findall(r'<text x="([\d.]+)%"[^>]*>([\d.]+)<', scale[: scale.index("</svg>")])
    low, high = float(ticks[0][1]), float(ticks[-1][1])
    assert (float(ticks[0][0]), float(ticks[-1][0])) == (0, 100)
    figures = re.findall(r'(?s)<svg class="interval".*?</svg>', section)
    trials = report.evaluation.trials
    assert len(figures) == len(trials.tried)
    for drawn, one in zip(figures, trials.tried):
        ((x,),) = places(drawn, "dot", "cx")
        ((start, end),) = places(drawn, "range", "x1", "x2")
        shown = [low + place / 100 * (high - low) for place in (start, x, end)]
        score = one.score
        assert shown == pytest.approx([100 * v for v in (score.low, score.value, score.high)], abs=0.01)  # fmt: skip
        ((even,),) = places(drawn, "even", "x1")
        assert low + even / 100 * (high - low) == pytest.approx(
            100 * trials.tried[0].score.value, abs=0.01
        )


@pytest.mark.parametrize("name", ["noise", "won", "many"])
def test_marks_stay_within_their_plots(name):
    seen = tried(having(name).evaluation, EN)
    drawn = [*(row.figure for row in seen.rows), *(f for one in seen.courses for f in one.figures)]
    for one in drawn:
        for value in re.findall(r' (?:x1|x2|y1|y2|cx|cy)="([-\d.]+)%"', str(one)):
            assert 0 <= float(value) <= 100


def test_the_course_marks_the_best_epoch():
    seen = tried(having("many").evaluation, EN)
    trials = having("many").evaluation.trials
    (course,) = [one for one in seen.courses if one.name == "Fine-tuning"]
    history = next(one.history for one in trials.tried if one.method == "finetune")
    at = max(i for i, epoch in enumerate(history) if epoch.best)
    assert at == min(range(len(history)), key=lambda i: history[i].held_loss)
    assert f"{at + 1} of {len(history)}" in course.caption
    loss, score = course.figures
    for drawn in (loss, score):
        dots = places(drawn, "dot", "cx", "cy")
        assert len(dots) == len(history) + 1  # each, and the best one once more
        assert dots[-1][0] == pytest.approx(100 * (at + 1) / len(history), abs=0.01)
        assert dots[-1] == pytest.approx(dots[at], abs=0.01)
        assert "epoch 1:" in drawn
    assert min(y for _, y in places(score, "dot", "cx", "cy")) >= 0


def test_the_course_of_a_training_whose_last_epoch_is_used_says_so():
    history = rt.history(8, best=3, seconds=80.0)
    one = dataclasses.replace(rival(), history=history, chosen={"best": 8, "epochs": 8})
    for w, told in ((EN, "The large dot is the last epoch, which is used."), (ZH, "最后一轮")):
        course = _course(one, w)
        assert told in course.caption
        for drawn in course.figures:
            dots = places(drawn, "dot", "cx", "cy")
            assert dots[-1] == pytest.approx(dots[7], abs=0.01)


@pytest.mark.parametrize(
    ("history", "plotted"),
    [
        ((Epoch(0, 0.5, None, None, 1e-3, 1.0, True),), 0),
        ((Epoch(0, 0.5, 0.4, None, 1e-3, 1.0, True),), 1),
        ((Epoch(0, 0.5, 0.4, 0.9, 1e-3, 1.0, True),), 2),
        ((Epoch(0, 0.5, 0.4, 12.5, 1e-3, 1.0, True), Epoch(1, 0.5, 9e6, -3.0, 1e-3, 2.0, False)), 2),
        ((Epoch(0, 0.5, 0.4, 0.9, 1e-3, 1.0, False),), 2),
    ],
)  # fmt: skip
def test_any_history_can_be_drawn(history, plotted):
    one = dataclasses.replace(rival(), history=history)
    for w in (EN, ZH):
        seen = tried(rt.having(BASE, among(one)).evaluation, w)
        assert sum(len(course.figures) for course in seen.courses) == plotted
    assert_harmless(page.render(rt.having(BASE, among(one))))


@given(st.lists(st.floats(-1e7, 1e7), min_size=1, max_size=8))
@example([0.0])
@example([0.45, 0.4500001])
@example([3.0, 3.0])
@example([-2.0, 1e7])
def test_a_scale_of_numbers_holds_its_values_and_has_few_different_labels(values):
    axis = plots.numbers(values, "t")
    slack = 1e-6 * max(abs(axis.low), abs(axis.high), 1e-3)
    assert axis.low <= min(values) + slack
    assert axis.high >= max(values) - slack
    labels = [text for _, text in axis.ticks]
    assert 2 <= len(labels) == len(set(labels)) <= 6
    for value, text in axis.ticks:
        assert float(text.replace(",", "")) == pytest.approx(value, rel=6e-3, abs=1e-9)


# other places


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", EVERY)
def test_the_terminal_shows_a_table_that_fits(name, lang, width):
    report, w = having(name), Words(lang)
    text = terminal.summary(report, lang, width)
    lines = [line for line in text.split("\n") if "$ headstart" not in line]
    assert max(map(columns, lines)) <= max(width, 42)
    decision = plain(decided(report.evaluation.trials, w)).replace(" ", "")
    assert decision in text.replace("\n", "").replace(" ", "")
    assert "\u00a0" not in text
    rows = table(report.evaluation, w, width)
    if name == "alone":
        assert rows == []
        return
    assert len(rows) == 1 + len(report.evaluation.trials.tried)
    (starred,) = [row for row in rows if row.startswith("* ")]
    assert NAMES[report.evaluation.trials.kept][lang == "zh"].lower() in starred.lower()
    dashes = [row for row in rows if "–" in row]
    assert len({columns(row[: row.index("–")]) for row in dashes}) == 1  # numbers stand in columns
    if width >= 80:
        assert all(re.search(r"[+-]\d+\.\d", row) for row in dashes[1:])


def test_the_card_has_a_table_that_markdown_reads():
    text = card.model_card(having("many"))
    section = text[text.index("## What was tried") : text.index("## How good it is")]
    rows = [line for line in section.split("\n") if line.startswith("|")]
    assert len(rows) == 2 + 6
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
    assert "| fine-tuning (kept) | 88.3" in plain(section)
    assert "| distillation | not tried |" in plain(section)
    assert "480 held-out training rows" in section


def test_the_notebook_has_one_line():
    report = having("noise")
    words = plain(" ".join(read(notebook.card(report)).text))
    assert words.count("the probe is kept") == 1
    assert "the probe is kept" not in plain(" ".join(read(notebook.card(BASE)).text))


@pytest.mark.parametrize("method", [name for name in NAMES if name != "probe"])
def test_a_kept_method_is_described(method):
    report = dataclasses.replace(BASE, method=method, chosen={"lr": 0.001, "stopped": "early", "best": 7})  # fmt: skip
    text = plain(" ".join(read(page.render(report)).text))
    assert f"{NAMES[method][0]} ({method}): " in text
    assert "learning rate 0.001" in text
    assert "as the held-out loss no longer fell" in text
    assert NAMES[method][0] in card.model_card(report)
    assert NAMES[method][1] in terminal.summary(report, "zh")


def test_that_what_ships_is_a_mean_is_told():
    found = rt.won()
    several = dataclasses.replace(
        found,
        tried=tuple(
            dataclasses.replace(one, chosen={**one.chosen, "trainings": 3})
            if one.method == found.kept
            else one
            for one in found.tried
        ),
    )
    assert "the mean of those of 3 such trainings" in why(several, EN)[-1]
    assert "3 次" in why(several, ZH)[-1]
    assert len(why(several, EN)) == len(why(found, EN)) + 1
    kept = trials_from(json.loads(json.dumps(several.to_json())))
    assert why(kept, EN) == why(several, EN)
