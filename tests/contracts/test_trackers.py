"""What every tracker promises, run over the whole table, each read back with its own package."""

import json
import math
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.errors import HeadstartError, MissingExtra
from headstart.fit_config import FitConfig
from headstart.scores import Metric, Trial, Trials
from headstart.stages import Passed, Stages
from headstart.trackers import TRACKERS, values
from headstart.trackers.watching import Tracker, split_names, watching
from headstart.types import Epoch

NEEDS = {"mlflow": ("mlflow", "sqlalchemy", "alembic")}
EPOCHS = (
    Epoch(0, 1.25, 1.5, 0.5, 1e-3, 2.0, True),
    Epoch(1, 0.75, 1.0, None, 5e-4, 4.0, True),
    Epoch(2, math.nan, 2.0, 0.75, 2.5e-4, 6.0, False),
)
METRICS = {"accuracy": Metric(0.875, 0.75, 0.9375), "macro_f1": Metric(0.5, 0.25, 0.75)}
TRIALS = Trials(
    "finetune",
    (
        Trial("probe", 1.0, Metric(0.5, 0.25, 0.75)),
        Trial("finetune", 9.0, Metric(0.75, 0.5, 0.875), Metric(0.25, 0.125, 0.375), 0.01, True),
        Trial("lora", 0.0, note="no time was left"),
    ),
    rows=40,
)
SETTINGS = {"method": "auto", "seed": 3, "coverage": 0.9, "probe.penalty": 0.25, "offline": True}
SERIES = {  # read off EPOCHS by hand: (epoch, value)
    "finetune/train_loss": [(0, 1.25), (1, 0.75)],
    "finetune/held_loss": [(0, 1.5), (1, 1.0), (2, 2.0)],
    "finetune/score": [(0, 0.5), (2, 0.75)],
    "finetune/lr": [(0, 1e-3), (1, 5e-4), (2, 2.5e-4)],
    "finetune/seconds": [(0, 2.0), (1, 4.0), (2, 6.0)],
    "lora/score": [(0, 0.5)],
}
FINAL = {
    "measured/accuracy": 0.875,
    "measured/accuracy_low": 0.75,
    "measured/accuracy_high": 0.9375,
    "measured/macro_f1": 0.5,
    "tried/probe": 0.5,
    "tried/finetune": 0.75,
    "tried/finetune_low": 0.5,
}


@pytest.fixture(params=TRACKERS.names())
def name(request):
    for package in NEEDS.get(request.param, (request.param,)):
        pytest.importorskip(
            package, reason=f"{package} is not installed: pip install 'headstart[{request.param}]'"
        )
    return request.param


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty folder to work in, no keys, no settings of the person who runs this."""
    for variable in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "TRACKIO_SPACE_ID"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "wandb-cache"))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    if "trackio" in sys.modules:  # it read the variable when it was first imported
        for module in list(sys.modules):
            if module.partition(".")[0] == "trackio":
                monkeypatch.delitem(sys.modules, module)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def passed(method, epoch):
    return Passed(method, epoch, 12, 30.0)


def silent(stage, done, total):
    pass


def follow(names, run="waste", fail=None, settings=SETTINGS):
    """A fit in miniature: what the stages tell, in their order."""
    with watching(silent, names, run, settings) as told:
        stages = Stages(told)
        with stages.enter("fit"):
            for epoch in EPOCHS:
                stages.epoch(passed("finetune", epoch))
            stages.epoch(passed("lora", EPOCHS[0]))
            if fail:
                raise fail
        told.end(METRICS, TRIALS)


# --- reading back, each with its own package ------------------------------------------------------


def read_tensorboard(place):
    """Run folder -> (series, final, settings, kept, ended)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    runs = {}
    for folder in sorted((place / "runs").iterdir()):
        events = EventAccumulator(str(folder)).Reload()
        series = {
            tag: [(one.step, one.value) for one in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }
        texts = {
            tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
            for tag in events.Tags()["tensors"]
        }
        lines = [
            re.split(r"(?<!\\) \| ", line.strip("| "))
            for line in texts["settings"].splitlines()[2:]
        ]
        final = {tag: found[0][1] for tag, found in series.items()}
        runs[folder.name] = (series, final, dict(lines), texts.get("kept"), texts["ended"])
    return runs


def wandb_records(path):
    """The records of a run file: LevelDB's log format behind seven bytes of wandb's own."""
    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # the rest of a block is too small for a header
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        if at + 7 + length > len(data):  # not yet written
            return
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def finished(path, kind):
    """The records of a run; wandb's own process may still write the last of them."""
    until = time.monotonic() + 30
    while True:
        records = [kind.FromString(data) for data in wandb_records(path)]
        if any(one.HasField("exit") for one in records) or time.monotonic() > until:
            return records
        time.sleep(0.1)


def named(items):
    """Items of a record as name -> value; a name comes whole or in its parts."""
    return {one.key or "/".join(one.nested_key): json.loads(one.value_json) for one in items}


def read_wandb(place):
    from wandb.proto.wandb_internal_pb2 import Record

    runs = {}
    for folder in sorted((place / "wandb").glob("offline-run-*")):
        series, final, settings, ended, name = {}, {}, {}, None, ""
        for record in finished(next(folder.glob("*.wandb")), Record):
            if record.HasField("run"):
                name = record.run.display_name
                settings |= {k: str(v) for k, v in named(record.run.config.update).items()}
            if record.HasField("history"):
                row = named(record.history.item)
                for key, value in row.items():
                    count = row.get(key.partition("/")[0] + "/epoch")
                    series.setdefault(key, []).append((count, value))
            final |= named(record.summary.update)
            if record.HasField("exit"):
                ended = {0: "done", 1: "failed", 130: "stopped"}[record.exit.exit_code]
        runs[name + folder.name] = (series, final, settings, final.get("kept"), ended)
    return runs


def read_mlflow(place):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{(place / 'mlflow.db').as_posix()}")
    experiment = client.get_experiment_by_name("headstart")
    runs = {}
    ended = {"FINISHED": "done", "FAILED": "failed", "KILLED": "stopped", "RUNNING": "RUNNING"}
    for run in client.search_runs([experiment.experiment_id]):
        series = {
            key: [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, key)]
            for key in run.data.metrics
        }
        kept = run.data.tags.get("kept")
        runs[run.info.run_name + run.info.run_id] = (
            series,
            run.data.metrics,
            run.data.params,
            kept,
            ended[run.info.status],
        )
    return runs


def read_trackio(place):
    from trackio.sqlite_storage import SQLiteStorage

    runs = {}
    for record in SQLiteStorage.get_run_records("headstart"):
        key = {"run": record["name"], "run_id": record["id"]}
        logs = SQLiteStorage.get_logs("headstart", **key)
        series, final = {}, {}
        for entry in logs:
            final |= entry
            for tag, value in entry.items():
                series.setdefault(tag, []).append((entry["step"], value))
        config = SQLiteStorage.get_run_config("headstart", **key)
        settings = {k: str(v) for k, v in config.items()}
        runs[record["name"] + str(record["id"])] = (
            series,
            final,
            settings,
            final.get("kept"),
            final.get("ended"),
        )
    return runs


READERS = {
    "tensorboard": read_tensorboard,
    "wandb": read_wandb,
    "mlflow": read_mlflow,
    "trackio": read_trackio,
}


def close_to(found):
    return [
        (step, pytest.approx(value, rel=1e-6)) for step, value in found
    ]  # float32 in TensorBoard


# --- the suite ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of the packages, while they read back
def test_a_fit_is_read_back(name, place, capsys):
    follow(name)
    assert capsys.readouterr().out == ""  # standard output belongs to the caller
    ((run, (series, final, settings, kept, ended)),) = READERS[name](place).items()
    assert run.startswith("waste")
    for tag, expected in SERIES.items():
        assert close_to(series[tag]) == expected, tag
    for tag, value in FINAL.items():
        assert final[tag] == pytest.approx(value), tag
    assert "tried/lora" not in final
    assert {k: str(v) for k, v in SETTINGS.items()}.items() <= settings.items()
    assert (kept, ended) == ("finetune", "done")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("fault", "how"), [(ValueError("a bug"), "failed"), (KeyboardInterrupt(), "stopped")]
)
def test_what_was_seen_stays_where_a_fit_breaks_off(name, place, fault, how):
    with pytest.raises(type(fault)):
        follow(name, fail=fault)
    ((_, (series, final, _, kept, ended)),) = READERS[name](place).items()
    assert close_to(series["finetune/held_loss"]) == SERIES["finetune/held_loss"]
    assert "measured/accuracy" not in final
    assert not kept
    assert ended == how


@pytest.mark.filterwarnings("ignore")
def test_two_runs_of_one_name_are_two(name, place):
    follow(name)
    follow(name)
    assert len(READERS[name](place)) == 2


@pytest.mark.filterwarnings("ignore")
def test_names_and_many_settings_of_any_kind(name, place):
    many = {f"setting{i}": i for i in range(150)} | {"text": "a | b\n| c", "long": "x" * 300}
    follow(name, "../../夹 /\\:*?<>|\x00 ", settings=many)
    ((_, (_, final, settings, _, ended)),) = READERS[name](place).items()
    assert settings["setting149"] == "149"
    assert final["measured/accuracy"] == 0.875
    assert ended == "done"
    outside = {p.name for p in place.parent.iterdir()} - {place.name}
    assert not any("夹" in one for one in outside)


def test_the_rows_are_trackers(name):
    assert isinstance(TRACKERS.get(name)(), Tracker)


# --- without any package --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "trackio", "wandb"])
def test_a_missing_package_is_said_before_the_work(name, monkeypatch):
    for module in list(sys.modules):
        if module.partition(".")[0] == name:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)  # what importing a missing package comes to
    with pytest.raises(MissingExtra) as caught, watching(silent, name, "", {}):
        pytest.fail("the work began")
    assert caught.value.fix == f"pip install 'headstart[{name}]'"


def test_an_unknown_name_is_said_with_the_near_one():
    with (
        pytest.raises(HeadstartError, match="tensorbord") as caught,
        watching(silent, "tensorbord", "", {}),
    ):
        pytest.fail("the work began")
    assert "tensorboard" in caught.value.fix


def test_importing_the_table_and_its_rows_loads_no_package():
    code = (
        "import sys, importlib\n"
        "from headstart.trackers import TRACKERS\n"
        "for name in TRACKERS.names(): TRACKERS.get(name)\n"
        "found = {m.partition('.')[0] for m in sys.modules}\n"
        "assert not found & {'tensorboard', 'wandb', 'mlflow', 'trackio', 'grpc'}, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class Told:
    """A progress that keeps what it is told."""

    def __init__(self):
        self.stages, self.epochs = [], []

    def __call__(self, stage, done, total):
        self.stages.append((stage, done, total))

    def epoch(self, passed):
        self.epochs.append(passed)


class Frail:
    """A tracker that fails in one of its methods, and keeps what it was told."""

    def __init__(self, where):
        self.where, self.told = where, []

    def _tell(self, what):
        self.told.append(what)
        if what == self.where:
            print("noise")
            raise OSError(28, "No space left on device")

    def start(self, name, settings):
        self._tell("start")

    def epoch(self, method, epoch):
        self._tell("epoch")

    def end(self, metrics, trials):
        self._tell("end")

    def close(self, how):
        self._tell("close")


@pytest.mark.parametrize("where", ["start", "epoch", "end", "close"])
def test_a_tracker_that_fails_is_said_once_and_left_out(monkeypatch, capsys, where):
    frail, sound = Frail(where), Frail("")
    table = {"frail": lambda: frail, "sound": lambda: sound}
    monkeypatch.setattr(TRACKERS, "get", table.get)
    told = Told()
    with watching(told, "frail,sound", "", {}) as watched:
        for epoch in EPOCHS:
            watched.epoch(passed("lora", epoch))
        watched("fit", 1, 2)
        watched.end(METRICS, None)
    assert frail.told.count(where) == (2 if where == "close" else 1)
    assert frail.told[-1] == "close"
    assert sound.told == ["start", "epoch", "epoch", "epoch", "end", "close"]
    said = [stage for stage, _, _ in told.stages if "frail" in stage]
    assert len(said) == 1
    assert "No space left" in said[0]
    assert [one.epoch for one in told.epochs] == list(EPOCHS)
    assert ("fit", 1, 2) in told.stages
    assert capsys.readouterr().out == ""


def test_without_trackers_the_progress_is_told_the_same():
    told = Told()
    with watching(told, "", "", {}) as watched:
        Stages(watched).epoch(passed("lora", EPOCHS[0]))
        watched("read", 0, 0)
        watched.end(METRICS, TRIALS)
    assert told.stages == [("read", 0, 0)]
    assert len(told.epochs) == 1
    with watching(silent, (), "", {}) as watched:
        watched.epoch(passed("lora", EPOCHS[0]))  # a plain function knows no epochs


def test_names_come_with_commas_or_as_a_sequence():
    assert split_names("wandb, tensorboard,,wandb") == ("wandb", "tensorboard")
    assert split_names(["wandb"]) == ("wandb",)
    assert split_names("") == ()


def test_settings_are_flat_and_say_nothing_of_the_machine(place):
    (place / "weights" / "mine").mkdir(parents=True)
    config = FitConfig(
        test=str(place), start="old.headstart", backbone=f"hf:{place}", cluster="head:6379", seed=7
    )
    found = values.settings_of(config)
    assert found["seed"] == 7
    assert found["probe.penalty"] == FitConfig().probe.penalty
    assert not {"test", "start", "cluster", "backbone", "input"} & set(found)
    for there in ("hf:weights/mine", "~/x", "C:\\x", Path("x"), "../x"):
        assert values.flat({"a": there, "b": "hf:org/name"}) == {"b": "hf:org/name"}
    assert values.flat({"a": {"b": (1, "x")}, "c": None}) == {"a.b": '["1", "x"]'}


# --- wandb never asks -----------------------------------------------------------------------------


def test_wandb_is_offline_without_a_key(place, monkeypatch):
    from headstart.trackers.wandb import mode

    assert mode() == "offline"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert mode() is None  # wandb reads it
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(HeadstartError, match="no key"):
        mode()
    netrc = place / "netrc"
    netrc.write_text("machine api.wandb.ai\n  login user\n  password not-a-key\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert mode() is None
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    with pytest.raises(HeadstartError, match=r"wandb\.example\.org"):
        mode()
