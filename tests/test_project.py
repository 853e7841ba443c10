"""The outer files: what the README promises, the example data, the dependencies, the wheel."""

from __future__ import annotations

import ast
import csv
import re
import subprocess
import sys
import unicodedata
import zipfile
from collections import Counter
from email.parser import Parser
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
README, README_ZH = ROOT / "README.md", ROOT / "README.zh-CN.md"
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
)


def _project() -> dict:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]


# --- pages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [t.partition("#")[0] for t in targets if not re.match(r"[a-z]+:", t)]
    missing = [t for t in local if t and not (page.parent / t).exists()]
    assert not missing


def _blocks(page: Path, *languages: str) -> list[str]:
    text = page.read_text("utf-8")
    return [
        body
        for language, body in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
        if language in languages
    ]


def _commands(page: Path) -> list[str]:
    """The command lines of a page, comments and line continuations taken out."""
    text = "\n".join(_blocks(page, "sh", "bash", "console")).replace("\\\n", " ")
    lines = [" ".join(re.sub(r"(^|\s)#.*", "", line).split()) for line in text.splitlines()]
    return [line for line in lines if line]


def test_both_readmes_name_the_same_commands() -> None:
    assert _commands(README) == _commands(README_ZH)
    assert {"make demo", "make test"} <= set(_commands(README))


def test_both_readmes_show_the_same_python() -> None:
    def code(page: Path) -> list[str]:
        return [ast.dump(ast.parse(block)) for block in _blocks(page, "python")]

    assert code(README) == code(README_ZH)
    assert code(README)


def test_python_on_the_pages_uses_public_names_only() -> None:
    import headstart

    for page in PAGES:
        for block in _blocks(page, "python"):
            used = set(re.findall(r"\bhs\.(\w+)", block))
            assert used <= set(headstart.__all__), page.name


def test_the_options_on_the_pages_exist() -> None:
    """Every `headstart COMMAND --option` of the pages is in the command's help."""
    used: dict[str, set[str]] = {}
    for page in PAGES:
        for line in _commands(page):
            words = line.split()
            if len(words) > 1 and words[0] == "headstart" and not words[1].startswith("-"):
                used.setdefault(words[1], set()).update(re.findall(r"\s(--[a-z-]+)", line))
    assert {"fit", "predict", "evaluate", "report", "cache", "backbones"} <= set(used)
    for command, options in used.items():
        done = subprocess.run(
            [sys.executable, "-m", "headstart", command, "--help"],
            capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr)
        missing = {option for option in options if option not in done.stdout}
        assert not missing, command


# --- examples/messages.csv ----------------------------------------------------------------------


def _messages() -> list[dict[str, str]]:
    with (ROOT / "examples" / "messages.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _bare(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if letter.isalnum())


def test_messages_are_as_their_readme_says() -> None:
    rows = _messages()
    assert list(rows[0]) == ["text", "label", "language"]
    assert len(rows) == 600
    cells = Counter((row["label"], row["language"]) for row in rows)
    labels = {label for label, _ in cells}
    assert len(labels) == 15
    assert cells == {(label, language): 20 for label in labels for language in ("en", "zh")}
    described = (ROOT / "examples" / "README.md").read_text("utf-8")
    assert all(f"`{label}`" in described for label in labels)


def test_messages_have_no_duplicates_and_no_near_copies() -> None:
    rows = _messages()
    assert max(Counter(_bare(row["text"]) for row in rows).values()) == 1
    grams = []
    for row in rows:
        text, size = _bare(row["text"]), 3 if row["language"] == "en" else 2
        grams.append({text[i : i + size] for i in range(max(1, len(text) - size + 1))})
    close = [
        (rows[i]["text"], rows[j]["text"])
        for i in range(len(rows))
        for j in range(i)
        if len(grams[i] & grams[j]) > 0.5 * len(grams[i] | grams[j])
    ]
    assert not close


def test_messages_are_in_the_language_they_say() -> None:
    for row in _messages():
        han = any("\u4e00" <= letter <= "\u9fff" for letter in row["text"])
        assert han == (row["language"] == "zh"), row["text"]


def test_messages_hold_no_addresses_of_people() -> None:
    text = "\n".join(row["text"] for row in _messages())
    assert not re.search(r"[\w.]+@\w+\.\w+|https?://|\d{9,}", text)


# --- dependencies, lock files, version ----------------------------------------------------------


def _name(requirement: str) -> str:
    return re.split(r"[\s<>=!~;\[]", requirement)[0].lower().replace("_", "-")


def test_the_core_is_light() -> None:
    names = [_name(line) for line in _project()["dependencies"]]
    assert len(names) <= 12
    heavy = {
        "torch",
        "torchvision",
        "timm",
        "transformers",
        "accelerate",
        "pyarrow",
        "scikit-learn",
    }
    assert heavy.isdisjoint(names)


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_the_lock_files_pin_what_is_required() -> None:
    everything, demo = _pins("requirements.lock"), _pins("requirements-demo.lock")
    assert (everything["torch"], everything["torchvision"]) == ("2.13.0", "0.28.0")
    project = _project()
    core = {_name(line) for line in project["dependencies"] if "python_version" not in line}
    extras = project["optional-dependencies"]
    # not installed by the tests: mlflow is heavy and slow, trackio needs an older Pillow
    kept = {name: lines for name, lines in extras.items() if name not in ("mlflow", "trackio")}
    optional = {_name(line) for lines in kept.values() for line in lines} - {project["name"]}
    assert core <= set(demo)
    assert core | optional <= set(everything)
    assert "scikit-learn" in demo
    assert "torch" not in demo
    assert {name: everything.get(name) for name in demo} == demo


def test_the_version_is_written_once() -> None:
    project = _project()
    assert "version" not in project
    assert project["dynamic"] == ["version"]
    sources = (ROOT / "src").rglob("*.py")
    written = [
        m for p in sources for m in re.findall(r'^__version__ = "(.+)"', p.read_text("utf-8"), re.M)
    ]
    assert len(written) == 1
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"^## \[?([\d.]+)", changes, re.MULTILINE)[1] == written[0]  # type: ignore[index]


# --- the wheel ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="building the wheel needs hatchling")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_is_pure_python_and_small(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    assert wheel.stat().st_size < 1_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    kinds = {Path(name).suffix for name in names}
    assert kinds.isdisjoint(
        {".so", ".pyd", ".dll", ".dylib", ".onnx", ".safetensors", ".bin", ".pyc"}
    )
    source = ROOT / "src"
    ours = {p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file()}
    assert {name for name in ours if "__pycache__" not in name} <= set(names)
    assert "headstart/py.typed" in names


def test_a_plain_install_brings_no_torch(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        described = Parser().parsestr(archive.read(name).decode())
        assert any(n.endswith("licenses/LICENSE") for n in archive.namelist())
    needed = [line for line in described.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert {_name(line) for line in needed} == {_name(line) for line in _project()["dependencies"]}
    assert described["License-Expression"] == "Apache-2.0"
    assert described["Requires-Python"] == ">=3.10"


# --- nothing of the machine it was written on ---------------------------------------------------


def test_no_file_names_a_place_on_one_machine() -> None:
    git = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if git.returncode:
        pytest.skip("not a git checkout")
    place = re.compile(r"(?<![\w.~}])/(?:home|root|work|Users)/\w")
    found = []
    for name in filter(None, git.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name}: {match.group()}" for match in place.finditer(text)]
    assert not found
