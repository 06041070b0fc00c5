"""How a command ends: exit codes, and what it says on standard error."""

from enum import IntEnum
from typing import NoReturn

import typer


class ExitCode(IntEnum):
    """0 is fine. 2 is also what typer ends with for an option or argument that it does not understand."""

    FAILED = 1
    """The server refused, an item was not solved, an artifact or a setting is wrong."""
    USAGE = 2
    UNREACHABLE = 3
    """Nobody answers at the address, or whoever does is starting or stopping."""


def complain(message: object) -> None:
    """Say what is wrong; the command goes on."""
    typer.echo(f"odeserve: {message}", err=True)


def fail(message: object, code: ExitCode = ExitCode.FAILED) -> NoReturn:
    """Say what is wrong, and end."""
    complain(message)
    raise typer.Exit(code)
