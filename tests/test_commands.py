"""Every command of both programs: its help, and the examples in it, held against the command itself."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from service import cli as service_cli
from training import cli as training_cli

ROOT = Path(__file__).parents[1]
PROGRAMS = {"odeserve": service_cli.app, "odetrain": training_cli.app}
GROUPS = {name: typer.main.get_command(app) for name, app in PROGRAMS.items()}
COMMANDS = [(program, name) for program, group in GROUPS.items() for name in group.commands]
EXAMPLE = re.compile(r"^(?:\s*Example: |  )(.+)$", re.MULTILINE)


def examples_of(command):
    return EXAMPLE.findall(command.help) + EXAMPLE.findall(command.epilog or "")


def words_of(line, program):
    """What a shell would hand to the program: without variables, pipes and redirections."""
    part = next(part for part in line.split(" | ") if program in part).partition(" < ")[0]
    words = shlex.split(part)
    return words[words.index(program) + 1 :]


@pytest.mark.parametrize("width", [60, 120])
@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_every_command_has_help_with_an_example(program, name, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    result = CliRunner().invoke(PROGRAMS[program], [name, "--help"])
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= width
    assert f"{program} {name}" in result.output
    assert examples_of(GROUPS[program].commands[name])


@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_every_option_says_what_it_is(program, name):
    silent = [parameter.name for parameter in GROUPS[program].commands[name].params if not parameter.help]
    assert silent == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_example_is_understood(program, monkeypatch):
    monkeypatch.chdir(ROOT)
    group = GROUPS[program]
    lines = [line for command in (group, *group.commands.values()) for line in examples_of(command)]
    assert len(lines) >= len(group.commands)
    for line in lines:
        name, *words = words_of(line, program)
        with group.commands[name].make_context(name, words):
            pass


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_without_a_command_shows_its_help(program):
    result = CliRunner().invoke(PROGRAMS[program], [])
    assert result.exit_code == 2
    assert all(name in result.output for name in GROUPS[program].commands)
    assert CliRunner().invoke(PROGRAMS[program], ["--help"]).exit_code == 0
    assert CliRunner().invoke(PROGRAMS[program], ["no-such-command"]).exit_code == 2
