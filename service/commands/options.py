"""Options that several commands share."""

import math
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:8000"
URL_VARIABLE, KEY_VARIABLE = "ODECLIENT_URL", "ODECLIENT_API_KEY"
"""Not ODESERVE_...: those are the server's settings, which ends its start at one that it does not know."""

SERVER, SOLVER, OUTPUT = "Whom to ask", "How to solve", "What comes out"


def number(value: float | None) -> float | None:
    """A callback: limits of an option let through what is no number. Errors: BadParameter."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("expected a number, got nan")
    return value


Url = Annotated[str, typer.Option("--url", envvar=URL_VARIABLE, help="A running server.", rich_help_panel=SERVER)]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar=KEY_VARIABLE,
        help="Where the server has keys. Others can see a command line: prefer the variable.",
        rich_help_panel=SERVER,
    ),
]
CaCert = Annotated[
    Path | None,
    typer.Option(
        "--cacert",
        exists=True,
        dir_okay=False,
        help="Certificates (PEM) to trust instead of the system's.",
        rich_help_panel=SERVER,
    ),
]
Local = Annotated[
    bool,
    typer.Option(
        "--local",
        help="Ask nobody: load the model from ODESERVE_MODELS_DIR (checkpoints) and solve in this process.",
        rich_help_panel=SERVER,
    ),
]

Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="name, or name@version; default: the server's.", rich_help_panel=SOLVER),
]
Tol = Annotated[str | None, typer.Option("--tol", "-t", help="Default: the model's.", rich_help_panel=SOLVER)]
AutoTol = Annotated[
    str | None,
    typer.Option(
        "--tol",
        "-t",
        help="A number, or auto: as tight as it takes for a stable label. Default: the model's.",
        rich_help_panel=SOLVER,
    ),
]
MaxTol = Annotated[
    float | None,
    typer.Option(
        "--max-tol", help="A looser one that will do when time or the server is short.", rich_help_panel=SOLVER
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method", help="bosh3, dopri5, tsit5, ...; default: the cheapest that will do.", rich_help_panel=SOLVER
    ),
]
MaxNfe = Annotated[
    int | None, typer.Option("--max-nfe", min=1, help="Evaluations an item may use.", rich_help_panel=SOLVER)
]
DeadlineMs = Annotated[
    float | None,
    typer.Option("--deadline-ms", help="Refuse at once what would take longer.", rich_help_panel=SOLVER),
]
Partial = Annotated[
    bool,
    typer.Option("--partial", help="An item that fails does not end the others.", rich_help_panel=SOLVER),
]

AsJson = Annotated[
    bool,
    typer.Option("--json", help="The server's answers as they are, one a line, on stdout.", rich_help_panel=OUTPUT),
]
JsonDocument = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for programs.")]
