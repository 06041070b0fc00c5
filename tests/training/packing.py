"""`odetrain pack`, asked as from a shell."""

from typer.testing import CliRunner

from training import cli


def packed(words):
    return CliRunner().invoke(cli.app, ["pack", *words.split()])


def refused(words):
    """The one line that is said."""
    result = packed(words)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    said = str(result.exception)
    assert said.startswith("odetrain: ")
    return said
