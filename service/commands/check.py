"""`odeserve check`: is an artifact fit to be served?"""

from pathlib import Path
from typing import Annotated

import typer

from service.commands import options
from service.commands.ending import fail
from service.commands.examples import examples

EPILOG = examples("odeserve check checkpoints/odenet-mnist/1", "odeserve check --json checkpoints/cnf-two-moons/1")


def check(
    directory: Annotated[Path, typer.Argument(help="An artifact, <model>/<version>.")],
    as_json: options.JsonDocument = False,
) -> None:
    """Check that an artifact is whole and unaltered, loads, and solves with every method: exit code 0, else 1."""
    from node_model.errors import ArtifactError
    from service.check import check_artifact
    from service.commands.console import waiting

    fine: list[str] = []
    wrong: ArtifactError | None = None
    try:
        with waiting("checking"):
            for line in check_artifact(directory):
                fine.append(line)
                if not as_json:
                    typer.echo(line)
    except ArtifactError as error:
        wrong = error
    if as_json:
        import json

        problems = str(wrong).splitlines() if wrong else []
        typer.echo(
            json.dumps({"artifact": str(directory), "whole": wrong is None, "checks": fine, "problems": problems})
        )
    if wrong:
        fail(wrong)
