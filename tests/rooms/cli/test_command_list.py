"""The list in ``holdfast --help`` is written beside the commands, which it does not load: it must say what they say."""

from __future__ import annotations

import pytest
from typer.main import get_command

from holdfast.cli import main
from holdfast.cli.commands import COMMANDS
from holdfast.cli.program import program


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    command = get_command(program).commands[name]  # type: ignore[attr-defined]

    assert command.name == name
    assert command.help.partition("\n\n")[0] == COMMANDS[name].promise


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f" {name} " in capsys.readouterr().out.splitlines()[0]


def test_the_list_is_complete_and_cuts_nothing_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0

    shown = " ".join(capsys.readouterr().out.split())
    assert all(f" {name} {entry.promise}" in shown for name, entry in COMMANDS.items())


def test_a_command_that_is_not_there_is_compared_with_all_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jbo"]) == 2
    assert "Did you mean 'job'?" in capsys.readouterr().err
