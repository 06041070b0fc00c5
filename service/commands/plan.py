"""`odeserve plan`: how many cores and replicas a traffic needs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands import options
from service.commands.ending import fail
from service.commands.examples import examples

if TYPE_CHECKING:
    from rich.table import Table

    from node_model.manifest import ProgramSpec
    from service.capacity.plan import Plan
    from service.simulation.program import Timings

EPILOG = examples(
    "odeserve plan --rps 1000 --mix 1e-1:0.5,1e-2:0.4,1e-4:0.1 --p99-ms 50",
    "odeserve plan cnf-two-moons --program sample --items 100 --rps 50 --mix 1e-3 --p99-ms 200",
    "odeserve plan --rps 1e6 --mix 1e-1:9,1e-3:1 --p99-ms 50 --shards 4 --ms-per-evaluation 0.04 --json",
    "odeserve plan --url http://127.0.0.1:8000 --rps 5000 --mix 1e-2 --p99-ms 30",
)
LOAD = "What is asked"
WHERE = "Where it runs"
MAX_SECONDS = 60
"""A server that nobody has set otherwise ends requests then."""
OF_THIS_MACHINE, OF_A_SERVER, GIVEN = "measured on this machine", "measured by the server", "given"


def plan(
    rps: Annotated[
        float,
        typer.Option(
            "--rps",
            min=1e-3,
            max=1e9,
            callback=options.number,
            help="Requests a second, of all clients.",
            rich_help_panel=LOAD,
        ),
    ],
    mix: Annotated[
        str, typer.Option("--mix", help="Tolerances and their shares: 1e-1:0.5,1e-2:0.5.", rich_help_panel=LOAD)
    ],
    p99_ms: Annotated[
        float,
        typer.Option(
            "--p99-ms",
            min=0.01,
            max=1e3 * MAX_SECONDS,
            callback=options.number,
            help="What 99 of 100 requests shall stay within.",
            rich_help_panel=LOAD,
        ),
    ],
    model: Annotated[str | None, typer.Argument(help="name, or name@version; default: the first default.")] = None,
    program: Annotated[
        str | None, typer.Option(help="Of a model with several: log_density, sample.", rich_help_panel=LOAD)
    ] = None,
    items: Annotated[
        int, typer.Option(min=1, max=20_000, help="Images, points, samples in a request.", rich_help_panel=LOAD)
    ] = 1,
    shards: Annotated[
        int, typer.Option(min=1, max=64, help="Cores of a replica, and its solver threads.", rich_help_panel=WHERE)
    ] = 1,
    spare: Annotated[
        int,
        typer.Option(min=0, max=10_000, help="Replicas that may be away, restarting or lost.", rich_help_panel=WHERE),
    ] = 1,
    ms_per_evaluation: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            max=1e4,
            callback=options.number,
            help="Of a core, all that the engine does included. Default: measured here, or by the server of --url.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    ms_per_request: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1e4,
            callback=options.number,
            help="Of a core beside the engine: HTTP, parsing, answering. Default: by how fast Python is here.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            help="A server that has been at work: its calibration, and what its evaluations took.",
            rich_help_panel=options.SERVER,
        ),
    ] = None,
    api_key: options.ApiKey = None,
    cacert: options.CaCert = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the simulated traffic.", rich_help_panel=LOAD)] = 0,
    as_json: options.JsonDocument = False,
) -> None:
    """Work out the cores and replicas that a traffic needs.

    One replica is simulated, with the scheduler that serves, at rates up to the highest that keeps the p99; the others
    are as many more. What an evaluation takes is measured, how many there are is in the model's calibration table.
    """
    from node_model.errors import ArtifactError
    from service.capacity.assumed import assumed_timings
    from service.capacity.bounds import TooLargeError, UncalibratedError
    from service.capacity.mix import MixError, read_mix
    from service.capacity.plan import make_plan
    from service.capacity.replica import Replica, UnreachableError
    from service.capacity.source import SourceError, measured_beside
    from service.commands.console import show, waiting
    from service.settings import SettingsError

    given = None if ms_per_evaluation is None else ms_per_evaluation / 1e3
    try:
        wanted = read_mix(mix)
        if url is None:
            name, chosen, spec, timings, origin = _on_disk(model, program, measure=given is None)
        else:
            name, chosen, spec, measured = _served(url, api_key, cacert, model, program, measure=given is None)
            timings, origin = None, OF_A_SERVER
            given = measured if given is None else given
        if ms_per_evaluation is not None:
            origin = GIVEN
        if given is not None:
            timings = assumed_timings(spec, given)
        assert timings is not None  # noqa: S101 - either measured or assumed
        wanted.check(spec)
        beside = measured_beside() if ms_per_request is None else ms_per_request / 1e3
        replica = Replica(name, spec, timings, wanted, shards, items, beside, seed=seed)
        with waiting("simulating a replica"):
            made = make_plan(replica, rps, p99_ms, spare)
    except MixError as error:
        raise typer.BadParameter(str(error), param_hint="--mix") from error
    except (SourceError, UncalibratedError, UnreachableError, TooLargeError, ArtifactError, SettingsError) as error:
        fail(error)
    if as_json:
        described = {"model": name, "program": chosen, "items": items, "evaluation": origin}
        typer.echo(json.dumps(described | made.document(), allow_nan=False))
    else:
        show(_costs(made, f"{name} {chosen}", items), _headline(made), _rates(made), _small_print(made, origin))


def _on_disk(
    model: str | None, program: str | None, *, measure: bool
) -> "tuple[str, str, ProgramSpec, Timings | None, str]":
    """Errors: SourceError, ArtifactError, SettingsError."""
    from service.capacity.source import artifact_of, chosen_program, measured_timings
    from service.commands.console import waiting
    from service.settings import read_settings

    settings = read_settings()
    path, manifest = artifact_of(settings, model)
    chosen = chosen_program(manifest.programs, program, manifest.name)
    with waiting("measuring"):
        timings = measured_timings(path, settings, chosen) if measure else None
    return manifest.name, chosen, manifest.programs[chosen], timings, OF_THIS_MACHINE


def _served(
    url: str, api_key: str | None, cacert: Path | None, model: str | None, program: str | None, *, measure: bool
) -> "tuple[str, str, ProgramSpec, float | None]":
    """Errors: SourceError; ends the command where nobody answers."""
    from service.capacity.source import SourceError, chosen_program, described_programs, seconds_per_evaluation
    from service.commands.client import RefusedError, Target, connected
    from service.commands.tradeoff import default_model

    with connected(Target(url, api_key, cacert)) as server:
        name, programs = described_programs(server.model(model or default_model(server)).document)
        chosen = chosen_program(programs, program, name)
        try:
            exposition = server.text("/metrics") if measure else ""
        except RefusedError as error:
            # A proxy, for one, cannot say which of its replicas is meant.
            wanted = "expected the address of one server, not of a proxy before several, or give --ms-per-evaluation"
            raise SourceError(f"--url {url} has no /metrics ({error}): {wanted}") from error
    seconds = seconds_per_evaluation(exposition, name) if measure else None
    return name, chosen, programs[chosen], seconds


def _costs(made: "Plan", title: str, items: int) -> "Table":
    from service.commands.console import plain_table

    each = "" if items == 1 else f", {items} items each"
    table = plain_table("tol", "share", "method", "NFE", "p99", "ms of a core", title=f"{title}{each}")
    for column in table.columns:
        column.justify = "left" if column.header == "method" else "right"
    for cost in made.costs:
        row = (f"{cost.tol:g}", f"{cost.share:.0%}", cost.method, f"{cost.nfe_mean:.3g}", f"{cost.nfe_p99:.3g}")
        table.add_row(*row, f"{cost.ms:.3g}")
    table.add_row("all", "", "", "", "", f"{made.work_ms:.3g}")
    return table


def _headline(made: "Plan") -> str:
    spare = f", {made.spare} of them to spare" if made.spare else ""
    rate = f"{made.rate:,.0f}" if made.rate >= 100 else f"{made.rate:.3g}"
    asked = f"{rate} requests a second with p99 within {made.p99_ms:g} ms"
    return f"\n{asked}: {made.cores:,} cores, {made.replicas:,} replicas of {made.shards}{spare}"


def _rates(made: "Plan") -> "Table":
    from service.commands.console import plain_table

    table = plain_table("", "requests/s", "load", "busy", "p50 ms", "p99 ms")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one in ((f"a replica of {made.shards} at most", made.at_most), (f"each of {made.replicas:,}", made.each)):
        shares = (f"{one.rate / made.able:.0%}", f"{one.busy:.0%}")
        table.add_row(name, f"{one.rate:,.4g}", *shares, f"{one.p50_ms:.3g}", f"{one.p99_ms:.3g}")
    return table


def _small_print(made: "Plan", origin: str) -> str:
    said = [
        f"{made.ms_per_evaluation:.3g} ms an evaluation ({origin}), and {made.ms_per_request:.3g} ms a request beside.",
        f"Load is part of about {made.able:,.4g}/s, what a replica could answer in full steps; asked for more it "
        f"answers {made.saturated:,.4g}/s.",
        "Busy is part of the time that its threads are in steps, full or not.",
    ]
    if made.bound_by_event_loop:
        said.append("The event loop, a single thread, is what bounds a replica here: fewer --shards take fewer cores.")
    beyond = [
        f"Tolerance {cost.tol:g} is looser than all that was measured of {cost.method}: counted as {cost.counted_as:g}."
        for cost in made.costs
        if cost.counted_as != cost.tol
    ]
    return "\n".join(["", *said, *beyond, "Assumed:", *(f"  {line}" for line in made.assumptions)])
