"""Writes the two lock files from the environment that runs it.

    .venv/bin/python scripts/lock.py

requirements.lock holds all that the tests need (the extra `dev`), requirements-demo.lock what
`make demo` needs (the core and scikit-learn). Each is the whole closure of those requirements at the
installed versions; what is installed besides is left out.
"""

from __future__ import annotations

import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
# the editable install is built without build isolation, so what builds it is pinned with the rest
BUILD = ["hatchling", "editables"]
FIRST = ["torch", "torchvision"]
HEAD = """\
# Written by scripts/lock.py; do not edit. Made with Python {version} and meant for 3.11 to 3.13: on 3.10
# the Makefile installs from pyproject.toml instead, because some of these releases need 3.11.
# {what}
"""


def closure(wanted: list[str]) -> dict[str, str]:
    """Name -> version of the requirements and of all that they require, here and now.

    Args:
        wanted: requirement strings as in pyproject.toml.

    Raises:
        PackageNotFoundError: something that is required is not installed.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    queue = [(Requirement(line), "") for line in wanted]
    while queue:
        requirement, extra = queue.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        installed = distribution(name)
        found[name] = installed.version.partition("+")[0]  # 2.13.0+cpu is one build of 2.13.0
        for inner in ("", *sorted(requirement.extras)):
            if (name, inner) not in seen:
                seen.add((name, inner))
                queue += [(Requirement(line), inner) for line in installed.requires or []]
    return found


def expand(project: dict, extra: str) -> list[str]:
    """The requirements of an extra, with references to our own extras replaced by their content."""
    lines: list[str] = []
    for line in project["optional-dependencies"][extra]:
        requirement = Requirement(line)
        if requirement.name == project["name"]:
            for inner in sorted(requirement.extras):
                lines += expand(project, inner)
        else:
            lines.append(line)
    return lines


def write(path: Path, what: str, pins: dict[str, str]) -> None:
    """Write one lock file: torch and torchvision first, the rest by name."""
    names = [n for n in FIRST if n in pins] + sorted(n for n in pins if n not in FIRST)
    head = HEAD.format(version=".".join(map(str, sys.version_info[:2])), what=what)
    path.write_text(head + "".join(f"{n}=={pins[n]}\n" for n in names), encoding="utf-8")
    sys.stdout.write(f"{path.name}: {len(names)} pins\n")


def main() -> None:
    """Write both files."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    core = project["dependencies"] + BUILD
    demo = core + expand(project, "sklearn")
    write(ROOT / "requirements-demo.lock", "For the demo: core + scikit-learn.", closure(demo))
    everything = core + expand(project, "dev")
    write(ROOT / "requirements.lock", "For tests, checks and benchmarks.", closure(everything))


if __name__ == "__main__":
    main()
