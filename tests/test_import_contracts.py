"""Which doors stay shut: layers, libraries that load late, calls that never appear in the package."""

from __future__ import annotations

import ast
import configparser
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "headstart"
FILES = sorted(SRC.rglob("*.py"))
TREES = {path.relative_to(SRC).as_posix(): ast.parse(path.read_text("utf-8")) for path in FILES}

TRAINING = {"torch", "torchvision", "timm", "transformers", "accelerate", "peft"}
HEAVY = TRAINING | {"numpy", "onnx", "onnxruntime", "PIL", "tokenizers"}
HEAVY |= {"pyarrow", "sklearn", "scipy", "pandas", "polars", "datasets", "jinja2"}
# imported inside functions only: the core does without them, or they cost every start of the program
LAZY = TRAINING | {
    "pyarrow",
    "sklearn",
    "scipy",
    "pandas",
    "polars",
    "datasets",
    "onnx",
    "matplotlib",
    "IPython",
    "tensorboard",
    "wandb",
    "mlflow",
    "trackio",
}
# `onnx` is needed by nothing but what builds graphs, so the files that do may import it at the top
MAY_IMPORT_EARLY = {
    "onnx": ("backbones/", "bundle/", "export/", "engine/torch", "train/"),
    "torch": ("train/", "engine/torch", "backbones/wrappers.py"),
}


# --- the contracts of .importlinter -------------------------------------------------------------


def _lint(source: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("importlinter", reason="import-linter comes with the extra dev")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    command += ["--config", str(ROOT / ".importlinter"), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(source), "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=source, env=environment, capture_output=True, text=True, check=False
    )


def test_the_contracts_hold() -> None:
    done = _lint(SRC.parent)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("errors.py", "from headstart import types"),  # upwards
        ("brand_new.py", "x = 1"),  # in no layer
        ("preprocess/image.py", "def f():\n    import torch"),  # a training library, though late
        ("features/extract.py", "def f():\n    import timm"),  # outside its adapter
    ],
)
def test_the_contracts_bite(tmp_path: Path, module: str, line: str) -> None:
    shutil.copytree(SRC, tmp_path / "headstart", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "headstart" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = _lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout


def test_no_room_is_forgotten_by_the_contracts_about_torch() -> None:
    """A room that exists and has to be free of torch stands in one of the two contracts."""
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter", encoding="utf-8")
    named = " ".join(
        config[f"importlinter:contract:{name}"]["source_modules"]
        for name in ("torch-free", "torch-free-above")
    ).split()
    rooms = {"runtime", "serve", "web", "preprocess", "manifest", "metrics", "report", "bundle"}
    rooms |= {"engine", "data", "tasks", "solver", "evaluate", "features"}
    there = {room for room in rooms if (SRC / room).is_dir() or (SRC / f"{room}.py").is_file()}
    assert {f"headstart.{room}" for room in there} <= set(named)


# --- what is loaded when ------------------------------------------------------------------------

_PROBE = """
import json, runpy, sys
events = []
sys.addaudithook(lambda name, args: events.append(name) if name in
                 ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system",
                  "os.fork", "os.posix_spawn", "_thread.start_new_thread") else None)
arguments = json.loads(sys.argv[1])
code = 0
try:
    if arguments is None:
        import headstart
    else:
        sys.argv = ["headstart", *arguments]
        runpy.run_module("headstart", run_name="__main__", alter_sys=True)
except SystemExit as left:
    code = left.code
print("\\n" + json.dumps({"code": code, "events": events,
                        "modules": sorted({m.partition(".")[0] for m in sys.modules})}))
"""


def _loaded(arguments: list[str] | None) -> tuple[dict, str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    text, _, last = done.stdout.rstrip().rpartition("\n")
    return json.loads(last), text


@pytest.mark.parametrize("arguments", [None, ["--help"], ["--version"]], ids=str)
def test_starting_loads_nothing_heavy_and_touches_nothing(arguments: list[str] | None) -> None:
    seen, _ = _loaded(arguments)
    assert seen["code"] in (0, None)
    assert "headstart" in seen["modules"]
    assert HEAVY.isdisjoint(seen["modules"]), HEAVY & set(seen["modules"])
    assert seen["events"] == []  # no connection, no process, no thread


def test_version_is_the_packages() -> None:
    import headstart

    assert headstart.__version__ in _loaded(["--version"])[1]


def _late(node: ast.AST) -> bool:
    """Whether what stands below runs later or never: functions, and `if TYPE_CHECKING`."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if not _late(child):
            yield child
            yield from _at_import(child)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module]
    return []


@pytest.mark.parametrize("name", TREES)
def test_heavy_libraries_are_imported_inside_functions(name: str) -> None:
    early = {
        module.partition(".")[0] for node in _at_import(TREES[name]) for module in _imported(node)
    }
    found = {m for m in early & LAZY if not name.startswith(MAY_IMPORT_EARLY.get(m, ("-",)))}
    assert not found


# --- what never appears -------------------------------------------------------------------------

NEVER_IMPORTED = {
    "pickle",
    "cPickle",
    "_pickle",
    "joblib",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
}
NEVER_CALLED = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "yaml.load",
    "yaml.load_all",
    "yaml.unsafe_load",
    "yaml.full_load",
    "pd.read_pickle",
    "pandas.read_pickle",
    "torch.jit.load",
    "tempfile.mktemp",
    "os.system",
    "os.popen",
    "torch.save",
    "torch.hub.load",
    "np.random.seed",
    "numpy.random.seed",
    "random.seed",
}


def _faults(tree: ast.AST) -> list[str]:
    """What must not appear in the package, as "line: what"."""
    found = []
    for node in ast.walk(tree):
        banned = [m for m in _imported(node) if m.partition(".")[0] in NEVER_IMPORTED]
        found += [f"{node.lineno}: import {m}" for m in banned]  # type: ignore[attr-defined]
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {k.arg: ast.unparse(k.value) for k in node.keywords if k.arg}
        if (
            called in NEVER_CALLED
            or (called == "torch.load" and given.get("weights_only") != "True")
            or given.get("allow_pickle", "False") != "False"
            or (called == "np.load" and given.get("allow_pickle") != "False")
            or given.get("shell", "False") != "False"
            or given.get("trust_remote_code", "False") != "False"
        ):
            found.append(f"{node.lineno}: {ast.unparse(node)[:80]}")
    return found


@pytest.mark.parametrize("name", TREES)
def test_nothing_unsafe_is_called(name: str) -> None:
    assert _faults(TREES[name]) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "eval(text)",
        "np.load(path, allow_pickle=True)",
        "np.load(path)",
        "import marshal",
        "from pickle import Unpickler",
        "tempfile.mktemp()",
        "pd.read_pickle(path)",
        "__import__(name)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "subprocess.run(line, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "yaml.load(text)",
    ],
)
def test_the_search_for_unsafe_calls_finds_them(code: str) -> None:
    assert _faults(ast.parse(code))


# --- names ---------------------------------------------------------------------------------------


def test_no_public_name_is_a_room() -> None:
    """Importing a room binds its name on the package: a verb of that name would turn into a module."""
    import pkgutil

    import headstart

    rooms = {module.name for module in pkgutil.iter_modules(headstart.__path__)}
    assert not rooms & set(headstart.__all__)
