"""`odeserve serve`: the server itself."""

from typing import Annotated

import typer

from service.commands.ending import fail
from service.commands.examples import examples

EPILOG = examples(
    "odeserve serve",
    "odeserve serve --host 0.0.0.0 --port 9000",
    "ODESERVE_MODELS=odenet-mnist ODESERVE_QUEUE_SECONDS=2 odeserve serve",
    "odeserve serve --print-config",
)


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free one.")] = 8000,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Show every setting, its value and where it came from, and end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --print-config: as JSON.")] = False,
) -> None:
    """Answer HTTP requests until interrupted. Settings are ODESERVE_* variables of the environment."""
    from node_model.errors import ArtifactError
    from service.serve import ServeError, serve_until_stopped
    from service.settings import SettingsError, read_settings
    from service.tls import TlsError

    if as_json and not print_config:
        raise typer.BadParameter("only with --print-config", param_hint="--json")
    try:
        settings = read_settings()
        if print_config:
            from service.commands.config import print_settings

            listening = {name: (context.params[name], _given(context, name)) for name in ("host", "port")}
            print_settings(settings, listening, as_json=as_json)
            return
        serve_until_stopped(settings, host, port, announce=typer.echo)
    except (SettingsError, ArtifactError, ServeError, TlsError) as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _given(context: typer.Context, name: str) -> bool:
    """Whether an option stood on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
