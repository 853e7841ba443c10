"""What all flows through the command line share."""

import pytest

from headstart.cli.main import main


@pytest.fixture
def run(capsys):
    """Run a command line; gives (exit status, standard output, standard error)."""

    def call(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call
