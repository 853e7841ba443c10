"""The ladder: what is tried, what it costs, what is kept; with methods that only pretend to train."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from headstart import climb as climbing
from headstart import clock, ladder
from headstart.climb import climb
from headstart.errors import BackboneError
from headstart.ladder import Ground, Rung, Watch, held_out_parts, rungs
from headstart.registry import Registry
from headstart.train.common import Common
from headstart.train.costs import Cost
from headstart.types import Backbone, Candidate, Epoch, Head, Preprocess

N, K, D = 400, 3, 5
FOLD = 102  # rows of the first of four folds


@dataclasses.dataclass(frozen=True)
class Settings(Common):
    """Of a method that pretends.

    Attributes:
        right: share of the held-out rows that it gets right.
        seconds: that it takes by the test's clock.
        fails: it cannot be made.
        featured: it has features also where rows are held out.
    """

    right: float = 0.9
    seconds: float = 10.0
    fails: bool = False
    featured: bool = True


@dataclasses.dataclass(frozen=True)
class Anew(Settings):
    """Of a method that cannot go on from what it made."""

    goes_on = False


@dataclasses.dataclass(frozen=True)
class Alone(Settings):
    """Of a method that prepares nothing that others share."""

    prepares = False


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


CALLS = []
CLOCK = Clock()


def pretend(material, config, *, say, progress):
    """Answers of which the wanted share is right."""
    CALLS.append((material, config))
    CLOCK.now += config.seconds
    if config.fails:
        raise BackboneError("This graph has no weights.", fix="take another")
    progress(Epoch(0, 1.0, 1.0, 0.5, 1e-3, config.seconds, True), config.epochs)
    truth = material.codes[material.held]
    rng = np.random.default_rng(1)
    said = np.where(rng.random(len(truth)) < config.right, truth, (truth + 1) % K)
    return Candidate(
        "pretend", Head(np.ones((D, K), "f4"), np.ones(K, "f4")), 3.0 * np.eye(K)[said],
        {"epochs": config.epochs, "best": 4, "lr": config.lr or 0.01}, config.seconds, material.held,
        backbone=replace(material.backbone, graph_id=material.backbone.graph_id + "t"), features=made_features(material, config),
        history=tuple(
            Epoch(i, 1.0, 1.0, 0.5, 1e-3, config.seconds * (i + 1) / config.epochs, True)
            for i in range(config.epochs)
        ),
    )  # fmt: skip


def made_features(material, config):
    """Full of the number of rows that were held out."""
    if len(material.held) and not config.featured:
        return None
    return np.full((len(material.codes), D), len(material.held))


MEANS = []


def mean(judged, made, material, config, some):
    """A backbone of another name."""
    MEANS.append((made, material))
    features = np.full((len(some), D), -1.0)
    return replace(judged, backbone=replace(material.backbone, graph_id="mean"), features=features)


@pytest.fixture(autouse=True)
def world(monkeypatch):
    table = Registry("method", "headstart.nothing", {})
    table._rows = dict.fromkeys(("one", "two"), "test_ladder:pretend")
    monkeypatch.setattr(climbing, "TUNING", table)
    monkeypatch.setattr(climbing, "time", CLOCK)
    monkeypatch.setattr(clock, "time", CLOCK)
    monkeypatch.setattr(
        climbing, "measured", lambda material, config: Cost(5.0, 100 * config.depth, 0.01, 0.0)
    )
    monkeypatch.setattr(climbing, "mean_of", mean)
    monkeypatch.setattr(climbing, "prepared", lambda *given: None)
    CALLS.clear()
    MEANS.clear()


@pytest.fixture
def apart(monkeypatch):
    """Networks whose mean is worth nothing."""
    monkeypatch.setattr(climbing, "mean_of", lambda *given: MEANS.append(given[1:3]))


def ground(**changes):
    rng = np.random.default_rng(0)
    codes = np.arange(N) % K
    said = np.where(rng.random(N) < 0.6, codes, (codes + 2) % K)
    head = Head(np.zeros((D, K), "f4"), np.zeros(K, "f4"))
    probe = Candidate("probe", head, 3.0 * np.eye(K)[said], {"penalty": 0.1}, 2.0)
    backbone = Backbone(
        "tiny", "text", D, "CC0-1.0", "0" * 64, Preprocess("text", ()), graph=None, graph_id="g"
    )
    made = Ground(
        [f"text {i}" for i in range(N)], codes, K, np.arange(N) // 3 % 4, backbone, probe,
        lambda rows: Head(np.full((D, K), len(rows), "f4"), np.zeros(K, "f4")),
    )  # fmt: skip
    return replace(made, **changes)


def test_what_beats_the_probe_is_kept_and_another_training_sees_the_rows_that_judged_it():
    said = []
    found = climb(ground(), [Rung("one", Settings(right=0.95))], watch=Watch(said.append))
    assert found.trials.kept == "one"
    (trial, _), (other, _) = CALLS
    assert len(trial.held) == FOLD
    assert not np.intersect1d(trial.held, other.held).size
    for material, config in CALLS:
        assert (material.head.weight == N - len(material.held)).all(), "it has not seen the rows"
        assert (material.backbone.graph_id, config.epochs) == ("g", 12)
    ((made, whole),) = MEANS
    assert [len(one.held_out) for one in made] == [len(trial.held), len(other.held)]
    assert (len(whole.held), whole.prepared is trial.prepared) == (0, True)
    assert found.candidate.backbone.graph_id == "mean"
    assert (found.candidate.features == -1).all()
    assert found.candidate.chosen["trainings"] == found.trials.tried[1].chosen["trainings"] == 2
    both = np.concatenate([trial.held, other.held])
    assert np.array_equal(found.candidate.held_out_rows, both), "all of them calibrate"
    assert found.candidate.held_out.shape == (len(both), K)
    assert found.trials.rows == FOLD, "those of the first decided"
    assert (found.judged.features == FOLD).all()
    assert np.array_equal(found.unseen, trial.held)
    assert said[-2:] == [
        "one: training 2, with other rows held out",
        "one: the mean of the weights of 2 trainings ships",
    ]


def test_the_graph_of_the_mean_leaves_the_shelf_when_it_is_in_the_bundle(monkeypatch, tmp_path):
    shelf = tmp_path / "mean"
    shelf.mkdir()

    def kept(*given):
        found = mean(*given)
        backbone = replace(found.backbone, graph=shelf / "graph.onnx")
        return replace(found, backbone=backbone)

    monkeypatch.setattr(climbing, "mean_of", kept)
    found = climb(ground(), [Rung("one", Settings(right=0.95))])
    assert shelf.exists()
    found.done()
    assert not shelf.exists()


def test_as_many_trainings_as_the_time_allows_are_in_the_mean():
    """Of 10 s each; the second one may be shorter."""
    rung = Rung("one", Settings(depth=0.01, right=0.95))
    for seconds, trainings in ((16, 0), (17, 2), (23, 2), (33, 3), (43, 4), (600, 4)):
        MEANS.clear()
        climb(ground(until=CLOCK.now + 10 + seconds), [rung])
        assert sum(len(made) for made, _ in MEANS) == trainings, seconds


def test_where_there_is_no_mean_it_goes_on_with_all_rows(apart):
    said = []
    found = climb(ground(), [Rung("one", Settings(right=0.95))], watch=Watch(said.append))
    (trial, config), _, (final, again) = CALLS
    assert len(MEANS) == 1
    assert len(final.held) == 0
    assert (again.epochs, config.epochs) == (1, 12), "a quarter of the four that were best before"
    assert again.lr == 0.0025, "more slowly"
    assert (final.head.weight == 1).all(), "it goes on from the head that was judged"
    assert (trial.backbone.graph_id, final.backbone.graph_id) == ("g", "gt")
    assert (found.candidate.chosen["epochs"], found.candidate.chosen["best"]) == (5, 5)
    assert (found.candidate.features == 0).all()
    assert (found.judged.features == FOLD).all()
    assert np.array_equal(found.candidate.held_out_rows, trial.held)
    assert np.array_equal(found.unseen, trial.held)
    assert found.candidate.held_out.shape == (FOLD, K)
    assert "learning from all rows" in said[-1]
    assert trial.prepared is final.prepared, "what was prepared serves again"


def test_a_method_that_cannot_go_on_begins_anew():
    found = climb(ground(), [Rung("one", Anew(right=0.95))])
    (trial, config), (final, again) = CALLS
    assert (again.epochs, config.epochs) == (4, 12), "as many epochs as were the best before"
    assert (again.lr, final.backbone, len(final.held)) == (config.lr, trial.backbone, 0)
    assert (final.head.weight == 0).all(), "the probe's of all rows"
    assert found.candidate.chosen["epochs"] == 4
    CALLS.clear()
    climb(ground(until=CLOCK.now + 600), [Rung("one", Anew(right=0.95))])
    assert CALLS[0][0].budget == pytest.approx(0.97 * 590 / 2.3)


def test_too_few_rows_to_judge_by():
    few = ground(codes=np.arange(24) % K, folds=np.arange(24) % 5)
    said = []
    both = (Rung("one", Settings(right=1.0)), Rung("two", Settings(right=1.0)))
    found = climb(few, both, watch=Watch(said.append))
    assert found.candidate.method == "probe" == found.trials.kept
    assert not CALLS
    assert [one.score is None for one in found.trials.tried] == [False, True, True]
    note = "not tried: 24 rows to judge by tell no lead under 21 points from noise"
    assert {one.note for one in found.trials.tried[1:]} == {note}
    assert said == [f"one, two: {note}"]
    assert climb(few, both[:1], asked=True).trials.kept == "one", "a wish is a wish"


def test_what_is_no_better_is_not_kept_but_told():
    found = climb(ground(), [Rung("one", Settings(right=0.6))])
    assert found.trials.kept == "probe"
    assert (found.candidate.method, found.judged) == ("probe", None)
    assert [one.method for one in found.trials.tried] == ["probe", "one"]
    assert found.trials.tried[1].history[0].score == 0.5
    assert found.trials.rows == FOLD
    assert len(CALLS) == 1, "nothing learns from all rows"


def test_what_was_asked_for_is_kept_all_the_same():
    found = climb(ground(), [Rung("one", Settings(right=0.2), fixed=True)], asked=True)
    assert found.trials.kept == "one"
    assert found.trials.asked
    assert found.trials.tried[1].lead.value < 0
    better = climb(ground(), [Rung("one", Settings(right=0.95), fixed=True)], asked=True)
    assert not better.trials.asked, "the guard would have kept it"


def test_one_that_cannot_be_made_is_told_and_the_next_one_tried():
    broken = Rung("one", Settings(fails=True))
    found = climb(ground(), [broken, Rung("two", Settings(right=0.95))])
    assert found.trials.kept == "two"
    assert found.trials.tried[1].note == "This graph has no weights."
    assert found.trials.tried[1].score is None
    with pytest.raises(BackboneError, match="no weights"):
        climb(ground(), [broken], asked=True)


def test_further_rows_are_held_out_where_the_time_allows():
    """A training takes 120 s: two of them fit in 0.8 of what is left, three do not."""
    rungs = [Rung("one", Settings(depth=0.1, right=0.95)), Rung("two", Settings(depth=0.1))]
    found = climb(ground(until=CLOCK.now + 450), rungs)
    held = [len(material.held) for material, _ in CALLS]
    assert (held[0] >= 99, held[1] >= 99) == (True, True)
    assert held[2:4] == held[:2], "what comes later answers the same rows"
    assert found.trials.rows == held[0] + held[1]
    assert [one.score is not None for one in found.trials.tried] == [True] * 3
    assert len(np.unique(np.concatenate([CALLS[0][0].held, CALLS[1][0].held]))) == sum(held[:2])
    CALLS.clear()
    climb(ground(until=CLOCK.now + 100_000), rungs[:1])
    assert sum(len(material.held) for material, _ in CALLS) == N, "up to 400 rows"
    CALLS.clear()
    found = climb(ground(), rungs[:1])
    assert found.trials.rows == FOLD, "without a budget as few as do"


def test_a_fit_that_was_cut_off_holds_out_what_it_had_held_out(monkeypatch, tmp_path):
    monkeypatch.setattr(ladder, "cache_dir", lambda: tmp_path)
    rung = Rung("one", Settings(depth=0.1, right=0.95))
    climb(ground(until=CLOCK.now + 450, identity="abc"), [rung])
    assert len(CALLS) > 2, "the third is for the mean"
    for material, _ in CALLS:
        (material.folder / "state").mkdir(parents=True)
        (material.folder / "state" / "state.json").write_text("{}")
    rows = sum(len(material.held) for material, _ in CALLS[:2])
    found = climb(ground(until=CLOCK.now + 100_000, identity="abc"), [rung])
    assert found.trials.rows == rows


def test_few_rows_are_held_out_in_turn():
    folds = np.where(np.arange(N) < 80, np.arange(N) % 4, -1)
    found = climb(ground(folds=folds), [Rung("one", Settings(right=0.95))])
    assert [len(material.held) for material, _ in CALLS] == [20, 20, 20, 20]
    rows = np.concatenate([material.held for material, _ in CALLS])
    assert np.array_equal(found.candidate.held_out_rows, rows)
    truth = np.arange(N)[rows] % K
    assert (found.candidate.held_out.argmax(axis=1) == truth).mean() > 0.8
    assert np.array_equal(found.unseen, CALLS[3][0].held)
    assert found.trials.rows == 80


def test_what_all_trainings_share_does_not_come_off_the_first_one_s_time(monkeypatch):
    def prepared(material, config, say):
        assert not CALLS
        CLOCK.now += 30

    monkeypatch.setattr(climbing, "prepared", prepared)
    folds = np.where(np.arange(N) < 80, np.arange(N) % 4, -1)
    rung = Rung("one", Settings(), fixed=True)
    climb(ground(folds=folds, until=CLOCK.now + 140), [rung], asked=True)
    first = CALLS[0][0].budget
    assert first == pytest.approx(0.97 * (140 - 30 - 10) / 4), "ten seconds are for the rest"
    CALLS.clear()
    monkeypatch.setattr(climbing, "prepared", None)
    climb(ground(), [replace(rung, config=Alone())], asked=True)
    assert CALLS, "a method with preparations of its own"


def test_nothing_held_out():
    said = []
    nothing = ground(folds=np.full(N, -1))
    found = climb(nothing, [Rung("one", Settings())], watch=Watch(said.append))
    assert (found.candidate.method, found.trials, CALLS) == ("probe", None, [])
    assert "the probe is kept" in said[0]
    found = climb(nothing, [Rung("one", Settings())], asked=True)
    assert found.candidate.method == "pretend"
    assert np.isnan(found.candidate.held_out).all()
    assert found.candidate.held_out.shape == (N, K)


def test_what_does_not_fit_the_time_left_is_not_begun():
    short = ground(until=CLOCK.now + 60)
    found = climb(short, [Rung("one", Settings(depth=0.5))])
    assert not CALLS
    assert found.trials.kept == "probe"
    assert (
        "not begun: 5 s to prepare and 50 s an epoch, with 48 s left" in found.trials.tried[1].note
    )


def test_less_of_the_backbone_where_the_time_is_short():
    # an epoch at full depth takes 50 s, three of them and those on all rows 204 s; at half of it 104
    found = climb(ground(until=CLOCK.now + 200), [Rung("one", Settings(depth=0.5, right=0.95))])
    assert CALLS[0][1].depth == 0.25
    assert found.trials.kept == "one"
    CALLS.clear()
    climb(ground(until=CLOCK.now + 600), [Rung("one", Settings(depth=0.5, right=0.95))])
    assert CALLS[0][1].depth == 0.5
    assert CALLS[0][0].budget == pytest.approx(0.97 * 590 / 2.1), "another as long is planned"
    CALLS.clear()
    climb(ground(until=CLOCK.now + 250), [Rung("one", Settings(depth=0.5, right=0.95))])
    assert CALLS[0][1].depth == 0.5, "rather than another training"
    assert CALLS[0][0].budget == pytest.approx(0.97 * 240 / 1.325)
    CALLS.clear()
    climb(ground(until=CLOCK.now + 200), [Rung("one", Settings(depth=0.5), fixed=True)])
    assert CALLS[0][1].depth == 0.5, "what was wished for is tried as it was"


def test_the_budget_leaves_time_to_learn_from_all_rows(apart):
    climb(ground(until=CLOCK.now + 600), [Rung("one", Settings(right=0.95, seconds=300))])
    (trial, _), (final, _) = CALLS
    assert trial.budget == pytest.approx(0.97 * 590 / 2.1)
    assert final.budget == pytest.approx(0.97 * (590 - 300))


def test_a_second_rung_leaves_the_first_one_its_time(apart):
    """After 200 s of the first, 220 s are kept for another."""
    start = CLOCK.now
    config = Settings(depth=0.1, right=0.95, seconds=200.0, epochs=40)
    better = [Rung(name, config) for name in ("one", "two")]
    climb(ground(until=start + 600), better)
    (first, _), (second, _), (final, _) = CALLS
    assert first.budget == pytest.approx(0.97 * 590 / 2.1)
    assert second.budget == pytest.approx(0.97 * 390 - 220)
    assert final.budget == pytest.approx(0.97 * 190)
    CALLS.clear()
    found = climb(ground(until=CLOCK.now + 280), better)
    assert len(CALLS) == 2, "for the second there is no time"
    assert "not begun" in found.trials.tried[2].note
    assert len(CALLS[1][0].held) == 0


def test_features_of_what_waits_to_be_measured_take_time():
    waiting = ground(until=CLOCK.now + 600, waiting=1000)  # 0.01 s each
    climb(waiting, [Rung("one", Settings(right=0.95))])
    assert CALLS[0][0].budget == pytest.approx(0.97 * 580 / 2.1)


def test_where_no_epoch_was_finished_what_was_noticed_stands_before_it(monkeypatch):
    real = pretend

    def cut(material, config, **told):
        made = real(material, config, **told)
        note = (
            "The training went back to the start of the epoch, with a tenth of the learning rate."
        )
        return replace(made, chosen={**made.chosen, "epochs": 0}, notes=(note,))

    monkeypatch.setattr(climbing.TUNING, "get", lambda name: cut)
    found = climb(ground(), [Rung("one", Settings())])
    note = found.trials.tried[1].note
    assert note.startswith("The training went back")
    assert note.endswith(" No epoch was finished in the time left.")


def test_where_not_one_epoch_fits_the_other_trainings_are_not_begun():
    rung = Rung("one", Settings(right=0.95, epochs=0))
    few = ground(folds=np.where(np.arange(N) < 60, np.arange(N) // 3 % 4, -1))
    assert len(held_out_parts(few.folds)) == 4
    found = climb(few, [rung])
    assert len(CALLS) == 1
    assert found.trials.kept == "probe"
    assert found.trials.tried[1].note == "not one epoch fits into the time left"


@pytest.mark.parametrize(("right", "depths"), [(0.95, {0.1}), (0.5, {0.1, 0.25})])
def test_beside_what_leads_less_of_the_backbone_is_not_tried(apart, right, depths):
    """The time goes into further trainings of what leads."""
    first = Rung("one", Settings(depth=0.1, right=right, seconds=100.0))
    second = Rung("two", Settings(depth=1.0, right=0.5))
    climb(ground(until=CLOCK.now + 440), [first, second])
    assert {config.depth for _, config in CALLS} == depths


@pytest.mark.parametrize(("judged", "times"), [(True, 2), (False, 1)])
def test_features_of_the_rows_take_time(monkeypatch, judged, times):
    """By the network that ships, and by the one that was judged where they are wanted."""
    cost = Cost(5.0, 50.0, 0.02, 0.01)
    monkeypatch.setattr(climbing, "measured", lambda material, config: cost)
    start = ground(until=CLOCK.now + 600, waiting=1000, judged=judged)
    found = climb(start, [Rung("one", Settings(right=0.95))])
    assert CALLS[0][0].budget == pytest.approx(0.97 * (570 - times * N * 0.01) / 2.1)
    assert (found.judged is None) is not judged


def test_so_many_rows_are_looked_at_as_a_tenth_of_the_time_allows(monkeypatch, apart):
    """Some that the judged one has not seen among them, and every class."""
    monkeypatch.setattr(clock, "_LOOKED", 30)
    asked = []

    def answers(material, backbone, config, some):
        asked.append(some)
        return np.zeros((len(some), D))

    monkeypatch.setattr(climbing, "answers", answers)
    rung = Rung("one", Settings(right=0.95, featured=False))
    for again, rows in ((0.0, N), (0.05, N), (0.2, 150), (2.0, 30)):
        cost = Cost(5.0, 10.0, again, again)
        monkeypatch.setattr(climbing, "measured", lambda material, config, cost=cost: cost)
        asked.clear()
        found = climb(ground(until=CLOCK.now + 600), [rung])
        assert all(0.7 * rows < len(some) <= rows for some in asked), again
        assert np.array_equal(found.judged.feature_rows, asked[-1])
        assert np.isin(found.unseen, asked[-1]).sum() >= rows // 5
        assert (np.diff(asked[-1]) > 0).all()


def test_features_of_what_was_judged_are_made_where_they_are_wanted(monkeypatch, apart):
    """A training that holds rows out makes none."""

    def answers(material, backbone, config, some):
        made.append(backbone.graph_id)
        return np.full((len(some), D), -2.0)

    made = []
    monkeypatch.setattr(climbing, "answers", answers)
    rung = Rung("one", Settings(right=0.95, featured=False))
    found = climb(ground(), [rung])
    assert (made, (found.judged.features == -2).all()) == (["gt"], True)
    made.clear()
    assert climb(ground(judged=False), [rung]).judged is None
    assert not made
    late = ground(until=CLOCK.now + 230, judged=False)
    found = climb(late, [replace(rung, config=replace(rung.config, depth=0.1, seconds=200.0))])
    assert (made, (found.candidate.features == -2).all()) == (["gt"], True), "it ships"


def test_where_the_time_is_gone_the_model_that_was_judged_ships():
    said = []
    found = climb(
        ground(until=CLOCK.now + 230),
        [Rung("one", Settings(depth=0.1, right=0.95, seconds=200.0))],
        watch=Watch(said.append),
    )
    assert len(CALLS) == 1
    assert found.trials.kept == "one"
    assert "no time left" in said[-1]
    assert (found.candidate.features == FOLD).all()


def test_a_fit_that_was_cut_off_goes_on_with_the_depth_it_had(monkeypatch, tmp_path):
    monkeypatch.setattr(ladder, "cache_dir", lambda: tmp_path)
    rung = Rung("one", Settings(depth=0.5, right=0.95))
    climb(ground(until=CLOCK.now + 200, identity="abc"), [rung])
    folder = CALLS[0][0].folder
    assert folder.parent == tmp_path / "training"
    assert CALLS[1][0].folder != folder
    (folder / "state").mkdir(parents=True)
    (folder / "state" / "state.json").write_text("{}")
    CALLS.clear()
    found = climb(ground(until=CLOCK.now + 2600, identity="abc"), [rung])
    assert (CALLS[0][1].depth, CALLS[0][0].folder) == (0.25, folder)
    assert folder in found.folders
    found.done()
    assert not folder.exists()
    assert climb(ground(), [rung]).folders == ()


def test_ctrl_c_says_what_is_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(ladder, "cache_dir", lambda: tmp_path)

    def stopped(material, config, *, say, progress):
        (material.folder / "state").mkdir(parents=True)
        (material.folder / "state" / "state.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(climbing.TUNING, "get", lambda name: stopped)
    said = []
    with pytest.raises(KeyboardInterrupt):
        climb(ground(identity="abc"), [Rung("one", Settings())], watch=Watch(said.append))
    assert "the same fit goes on from there" in said[-1]


def test_which_methods_suit_the_data():
    known = {"finetune": Settings(), "contrastive": Settings(), "lora": Settings()}
    assert [one.method for one in rungs(24, 3, known)] == ["contrastive"]
    assert [one.method for one in rungs(300, 10, known)] == ["contrastive", "finetune"]
    assert [one.method for one in rungs(3000, 3, known)] == ["finetune", "lora"]
    assert [one.method for one in rungs(3000, 3, known, modality="image")] == ["finetune"]
    assert [one.method for one in rungs(24, 3, known, modality="image")] == ["contrastive"]
    (one,) = rungs(24, 3, known, names=["lora"])
    assert (one.method, one.fixed) == ("lora", True)


def test_rows_to_judge_by():
    assert held_out_parts(np.full(9, -1)) == []
    assert [len(part) for part in held_out_parts(np.arange(1000) % 5)] == [200]
    assert [len(part) for part in held_out_parts(np.arange(300) % 5)] == [60, 60]
    some = held_out_parts(np.arange(1000) % 5, np.arange(0, 1000, 2))
    assert [len(part) for part in some] == [100]
