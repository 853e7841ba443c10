"""The command line: finds the command, shows errors as two lines, sets the exit status.

Nothing heavy is imported here: `headstart --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from headstart import __version__
from headstart.cli import COMMANDS
from headstart.registry import suggestion

_HELP = """\
Usage: headstart COMMAND [OPTIONS]

Transfer learning for the data you have.

Commands:
{commands}

Options:
  --version    show the version
  --help       show this; headstart COMMAND --help shows a command's options

Start here:
  headstart fit photos/ --out photos.headstart        a folder of class folders
  headstart fit reviews.csv --out reviews.headstart   a table with a text and a label column
  headstart predict photos.headstart new/*.jpg --out predictions.csv

Exit status: 0 done, 1 our fault, 2 yours (a path, a column, a file), 3 done with some
inputs skipped (only with --strict), 130 interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; by default those of this process.

    Returns:
        The exit status.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("--help", "-h", "help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:<{width}}   {text}" for name, (_, text) in COMMANDS.items()]
        sys.stdout.write(_HELP.format(commands="\n".join(lines)))
        return 0
    if given[0] in ("--version", "-V"):
        sys.stdout.write(f"headstart {__version__}\n")
        return 0
    name = given[0]
    if name not in COMMANDS:
        what = "option" if name.startswith("-") else "command"
        fix = suggestion(name, list(COMMANDS)) or f"one of: {', '.join(COMMANDS)}"
        sys.stderr.write(f"error: there is no {what} {name!r}\n  fix: {fix}\n")
        return 2
    return _run(name, given[1:])


def _run(name: str, arguments: list[str]) -> int:
    import typer

    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(import_module(module), attribute)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(name, help=command.__doc__)(command)
    try:
        app(arguments, prog_name=f"headstart {name}")
    except SystemExit as end:
        return int(end.code or 0) if isinstance(end.code, int) or end.code is None else 1
    except KeyboardInterrupt:
        return 130
    return 0
