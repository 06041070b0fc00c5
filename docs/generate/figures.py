"""Tables made from recorded files: a page says `<!-- figures: NAME WORDS -->` where it wants one."""

import json
import math
from pathlib import Path
from typing import Any

from pieces import code, table

from node_model.manifest import read_manifest
from service.engine.cost import CostTable

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "docs" / "benchmarks"
CHECKPOINTS = ROOT / "checkpoints"


def tradeoff(model: str, program: str) -> str:
    """What each tolerance costs and how wrong its answers are, by the method that `auto` takes."""
    spec = read_manifest(_latest(model)).programs[program]
    assert spec.calibration is not None
    costs, unit = CostTable(spec), spec.calibration.unit
    rows = []
    for tol in costs.ladder(spec.tol.tightest, spec.tol.loosest):
        method = costs.cheapest_method(tol, tol)
        row = next(row for row in spec.calibration.rows if (row.method, row.tol) == (method, tol))
        cells = (row.nfe_mean, row.nfe_p99, row.error_p99, row.agreement)
        nfe, worst, error, agreement = (f"{value:.3g}" if value is not None else "-" for value in cells)
        rows.append((f"{tol:.0e}".replace("e-0", "e-"), method, nfe, worst, error, agreement))
    heads = ("tol", "`method=auto` is", "NFE, mean", "NFE, p99", f"p99 error, {unit}s", "agreement")
    data = f"{spec.calibration.items:,} items: {spec.calibration.data}. Reference: {spec.calibration.reference}."
    return table(heads, rows) + f"\n{data}\n"


def models() -> str:
    """The models that ship."""
    rows = []
    for folder in sorted(CHECKPOINTS.iterdir()):
        manifest = read_manifest(_latest(folder.name))
        inputs = " or ".join(
            f"{one.input.name} {list(one.input.shape)}" for one in manifest.programs.values() if not one.input.draw
        )
        inputs = " or ".join(dict.fromkeys(inputs.split(" or ")))
        programs = ", ".join(map(code, manifest.programs))
        rows.append((code(manifest.name), programs, inputs, f"{manifest.parameters:,}", manifest.provenance.data))
    return table(("model", "programs", "input", "parameters", "learned from"), rows)


def serving() -> str:
    """Servers under one load."""
    recorded = _recorded("serving")
    rows = [
        (
            name,
            f"{one['per_second']:.0f}",
            f"{one['p50']:.0f} ms",
            f"{one['p99']:,.0f} ms",
            f"{one['single_p50']:.1f} ms",
        )
        for name, one in recorded["results"].items()
    ]
    heads = ("server", "answers a second, 64 clients", "p50", "p99", "one client at 1e-2, p50")
    return table(heads, rows) + _source(recorded)


def solvers() -> str:
    """Solvers at equal true error: milliseconds, and how many times ours."""
    recorded = _recorded("solvers")
    names = list(recorded["rows"][0]["solvers"])
    rows = [
        (row["model"], str(row["batch"]), *(_milliseconds(row["solvers"], name) for name in names))
        for row in recorded["rows"]
    ]
    return table(("model", "batch", *names), rows) + _source(recorded)


def proxies() -> str:
    """What stands in front of replicas."""
    recorded = _recorded("proxies")
    rows = [
        (
            name,
            f"{one['per_second']:.0f}",
            f"{one['cores']:.2f}",
            f"{one['single_p50']:.1f} ms",
            f"{one['proxy_ms']:.2f} ms" if one["proxy_ms"] else "-",
            f"{one['replica_ms']:.2f} ms",
        )
        for name, one in recorded["results"].items()
    ]
    heads = ("", "answers a second, 64 clients", "cores used", "one client, p50", "of a core: the proxy", "the replica")
    return table(heads, rows) + _source(recorded)


def scaling() -> str:
    """Replicas of one core for a rate, by target."""
    recorded, rates = _recorded("scaling"), (1e3, 1e5, 1e6)
    rows = [
        (
            f"{row['p99_ms_wanted']:g} ms",
            f"{row['rate']:.0f}",
            *(f"{math.ceil(rate / row['rate']):,}" for rate in rates),
        )
        for row in recorded["most"]
    ]
    heads = ("p99 within", "requests/s of one core", *(f"cores for {rate:,.0f}/s" for rate in rates))
    return table(heads, rows) + f"\n`{recorded['model']}`, tolerances {recorded['mix']}." + _source(recorded)


def _milliseconds(solvers: dict[str, Any], name: str) -> str:
    if name not in solvers:
        return "-"
    taken = solvers[name]["ms"]
    return f"{taken:.1f} ms ({taken / solvers['odeserve']['ms']:.1f})"


def _recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((BENCHMARKS / f"{name}.json").read_text())
    return found


def _source(recorded: dict[str, Any]) -> str:
    return f"\n{recorded['machine']}; {recorded['date']}; {recorded['versions']}.\n"


def _latest(model: str) -> Path:
    return max((path for path in (CHECKPOINTS / model).iterdir()), key=lambda path: int(path.name))


FIGURES = {maker.__name__: maker for maker in (tradeoff, models, serving, solvers, proxies, scaling)}
