"""odeserve: the server and its client, from the shell."""

from typing import Annotated

import typer

from service.commands import bench, check, classify, density, models, plan, predict, sample, serve, tradeoff, trajectory
from service.commands.examples import examples

EPILOG = examples(
    "odeserve serve",
    "odeserve tradeoff",
    "odeserve classify --tol auto examples/pictures/7.png",
    "odeserve sample --n 1000 --out points.npy",
)

app = typer.Typer(
    no_args_is_help=True,
    epilog=EPILOG,
    help="Serve neural ODEs with the tolerance as a request parameter, and ask such a server.\n\n"
    "Exit codes: 0 fine; 1 refused, failed or wrong; 2 not understood; 3 no server answers.",
)

_SERVER, _CLIENT = "The server", "Asking a server"
for module, panel in (
    (serve, _SERVER),
    (models, _SERVER),
    (check, _SERVER),
    (bench, _SERVER),
    (plan, _SERVER),
    (tradeoff, _CLIENT),
    (classify, _CLIENT),
    (density, _CLIENT),
    (sample, _CLIENT),
    (predict, _CLIENT),
    (trajectory, _CLIENT),
):
    name = module.__name__.rpartition(".")[2]
    app.command(name, epilog=module.EPILOG, rich_help_panel=panel)(getattr(module, name))


def _print_version(wanted: bool) -> None:
    if wanted:
        from service.build import build_commit, build_version

        typer.echo(f"odeserve {build_version()} ({build_commit()})")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and end.")
    ] = False,
) -> None:
    """Options of every command."""


if __name__ == "__main__":
    app()
