"""One door for writing: what outlives a process goes through headstart.manifest (R3)."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "headstart"
TREES = {p.relative_to(SRC).as_posix(): ast.parse(p.read_text("utf-8")) for p in sorted(SRC.rglob("*.py"))}  # fmt: skip

# (file, function) -> why it may write by itself. Inside the block of an atomic_folder or of a
# TemporaryDirectory everything may: what comes of it is whole, or thrown away.
ALLOWED = {
    ("manifest.py", "*"): "it is the door",
    ("backbones/wheels.py", "_download"): "the hash for pip, in the temporary folder of its caller",
    ("bundle/save.py", "_zip"): "an archive in memory",
    ("cli/show.py", "run"): "the null device, when the reader of our output has left",
    ("features/cluster.py", "*"): "the null device, to keep another library quiet",
    (
        "features/shards.py",
        "append",
    ): "append-only, synced, each row with a checksum; see its docstring",
    ("features/shards.py", "cut"): "takes back what could not be written whole",
    ("train/checkpoint.py", "_set_aside"): "moves a state that cannot be used out of the way",
    ("train/lock.py", "_opened"): "a lock, whose content is only told to people",
    ("features/index.py", "_opened"): "SQLite, which keeps a journal of its own",
}
_SAFE_FOLDERS = {"atomic_folder", "TemporaryDirectory"}
_METHODS = {
    "write_text", "write_bytes", "savez", "savez_compressed", "savetxt", "save_model", "tofile", "rename",
    "symlink_to", "hardlink_to", "touch", "extractall", "extract", "to_csv", "to_parquet", "to_json_file",
}  # fmt: skip
_FUNCTIONS = {
    "np.save", "numpy.save", "onnx.save", "onnx.save_model", "torch.save", "json.dump", "save_file", "os.replace",
    "os.rename", "os.renames", "os.link", "os.symlink", "os.write", "os.truncate", "os.ftruncate", "os.mkfifo",
    "shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.copyfileobj", "shutil.copytree", "shutil.move",
    "shutil.make_archive", "shutil.unpack_archive", "sqlite3.connect", "tempfile.NamedTemporaryFile",
    "tempfile.mkstemp", "tempfile.mktemp", "logging.FileHandler",
}  # fmt: skip


def _mode(node: ast.Call, *places: int) -> str:
    """The mode an `open` is called with, as far as it is written there."""
    given = [node.args[i] for i in places if i < len(node.args)]
    given += [k.value for k in node.keywords if k.arg == "mode"]
    texts = [c.value for c in given if isinstance(c, ast.Constant) and isinstance(c.value, str)]
    return next((text for text in texts if text and set(text) <= set("rwaxbt+")), "")


def _writes(node: ast.Call) -> bool:
    called = ast.unparse(node.func)
    name = called.rpartition(".")[2]
    if called == "os.open":
        return any(flag in ast.unparse(node) for flag in ("O_WRONLY", "O_RDWR", "O_CREAT"))
    if name in ("open", "fdopen", "FileIO"):
        return bool(set(_mode(node, 0, 1)) & set("wax+"))
    if name == "ZipFile":
        return bool(set(_mode(node, 1)) & set("wax"))
    if called in _FUNCTIONS:
        return True
    if name == "replace" and isinstance(node.func, ast.Attribute):
        # of a path, with its target; a text's has two arguments
        return len(node.args) == 1 and not node.keywords and not called.startswith("dataclasses.")
    return isinstance(node.func, ast.Attribute) and name in _METHODS


def _loose(
    tree: ast.AST, safe: frozenset[str] = frozenset(), function: str = ""
) -> list[tuple[str, str]]:
    """Writing calls outside of safe folders, as (function, what)."""
    found = []
    for node in ast.iter_child_nodes(tree):
        inside, within = safe, function
        if isinstance(node, ast.FunctionDef):
            within = node.name
        if isinstance(node, ast.With):
            inside |= {
                ast.unparse(item.optional_vars)
                for item in node.items
                if item.optional_vars is not None
                and isinstance(item.context_expr, ast.Call)
                and ast.unparse(item.context_expr.func).rpartition(".")[2] in _SAFE_FOLDERS
            }
        if isinstance(node, ast.Call) and _writes(node):
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            if not names & inside:
                found.append((within, f"{node.lineno}: {ast.unparse(node)[:80]}"))
        found += _loose(node, inside, within)
    return found


def _allowed(file: str, function: str) -> bool:
    return (file, function) in ALLOWED or (file, "*") in ALLOWED


@pytest.mark.parametrize("name", TREES)
def test_files_are_written_through_one_door(name):
    assert [what for function, what in _loose(TREES[name]) if not _allowed(name, function)] == []


def test_no_exception_has_outlived_its_reason():
    used = {(name, function) for name in TREES for function, _ in _loose(TREES[name])}
    used |= {(name, "*") for name, _ in used}
    assert set(ALLOWED) <= used


@pytest.mark.parametrize(
    ("code", "loose"),
    [
        ("path.write_text(x)", 1),
        ("open(path, 'w')", 1),
        ("path.open('wb')", 1),
        ("path.open(mode='a')", 1),
        ("io.open(path, 'x')", 1),
        ("os.open(path, os.O_WRONLY | os.O_CREAT)", 1),
        ("os.open(path, os.O_RDONLY)", 0),
        ("path.open('rb')", 0),
        ("open(path)", 0),
        ("os.replace(a, b)", 1),
        ("a.replace(b)", 1),
        ("a.rename(b)", 1),
        ("text.replace('a', 'b')", 0),
        ("dataclasses.replace(value)", 0),
        ("zipfile.ZipFile(path, 'w')", 1),
        ("zipfile.ZipFile(path)", 0),
        ("np.save(path, x)", 1),
        ("onnx.save(model, path)", 1),
        ("torch.save(x, path)", 1),
        ("shutil.copyfile(a, b)", 1),
        ("archive.extractall(path)", 1),
        ("sqlite3.connect(path)", 1),
        ("with atomic_folder(p) as f:\n    (f / 'a').write_bytes(b)", 0),
        ("with atomic_folder(p) as f:\n    (p / 'a').write_bytes(b)", 1),
        ("with tempfile.TemporaryDirectory() as f:\n    onnx.save(m, f'{f}/m.onnx')", 0),
    ],
)
def test_the_search_for_loose_writes_finds_them(code, loose):
    assert len(_loose(ast.parse(code))) == loose
