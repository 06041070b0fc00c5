"""Table and picture of the capacity model beside what was measured."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {"1": "tab:blue", "2": "tab:orange", "4": "tab:green"}
MOST = 1e6


def medians(recorded: dict[str, Any], shards: str) -> dict[str, float]:
    """Over the rounds."""
    rounds = [one["shards"][shards] for one in recorded["rounds"]]
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def replicas(rate: float, each: float) -> int:
    """How many for a rate, none to spare."""
    return max(1, math.ceil(rate / each))


def write(folder: Path) -> None:
    """scaling.md and scaling.png from scaling.json."""
    recorded = json.loads((folder / "scaling.json").read_text())
    (folder / "scaling.md").write_text(_markdown(recorded))
    _picture(recorded, folder / "scaling.png")


def _off(one: dict[str, float]) -> str:
    return f"{one['predicted_per_second'] / one['measured_per_second'] - 1:+.0%}"


def _name(shards: str) -> str:
    return "1 shard" if shards == "1" else f"{shards} shards"


def _markdown(recorded: dict[str, Any]) -> str:
    two, rounds = medians(recorded, "2"), recorded["rounds"]
    lines = [
        "# The capacity model, and what was measured",
        "",
        f"`{recorded['model']}`, one image a request, tolerances {recorded['mix'].replace(',', ', ')}. Each round:",
        "step times are measured in a process with nothing else on its core; what a request takes beside the engine",
        "follows from one load at tolerance 1e-1 on one core; then the model says what one and two shards do with the",
        f"mix. A server with as many cores is loaded by {recorded['clients']} clients that always ask again, and then by",
        f"requests at random times, {recorded['at']:.0%} as many. Medians of {len(rounds)} rounds.",
        "",
        "| shards | answers/s, said | measured | off by | p50 later, said | measured | p99, said | measured |",
        "|---" * 8 + "|",
    ]
    for shards in ("1", "2"):
        row = medians(recorded, shards)
        cells = [shards, f"{row['predicted_per_second']:.0f}", f"{row['measured_per_second']:.0f}", _off(row)]
        cells += [f"{row[f'{who}_{share}_ms']:.1f} ms" for share in ("p50", "p99") for who in ("predicted", "measured")]
        lines.append(f"| {' | '.join(cells)} |")
    each = "; ".join(
        f"{_name(shards)} {', '.join(_off(one['shards'][shards]) for one in rounds)}" for shards in ("1", "2")
    )
    lines += [
        "",
        "With one shard the client has the other core; with two it runs on the same two cores, and its own time for",
        f"each request, measured ({1e3 * two['client']:.2f} ms), is added in the model. A request takes",
        f"{1e3 * recorded['beside']:.2f} ms beside the engine. The cores were shared with other work, some of which could",
        "not be paused: throughput is off by this much in each round, and p99 varies by more.",
        "",
        f"{each}.",
        "",
        "![p99 by load, cores by requests a second](scaling.png)",
        "",
        "## What a replica can be given",
        "",
        "| cores | p99 within | requests/s | busy | p99 | replicas for 1,000/s | 10,000/s | 100,000/s | 1,000,000/s |",
        "|---" * 9 + "|",
    ]
    for row in recorded["most"]:
        cells = [str(row["shards"]), f"{row['p99_ms_wanted']:g} ms", f"{row['rate']:.0f}", f"{row['busy']:.0%}"]
        cells += [f"{row['p99_ms']:.1f} ms"]
        cells += [f"{replicas(rate, row['rate']):,}" for rate in (1e3, 1e4, 1e5, 1e6)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"{recorded['machine']}; {recorded['date']}; {recorded['versions']}.", ""]
    return "\n".join(lines)


def _picture(recorded: dict[str, Any], path: Path) -> None:
    figure, (late, many) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    for shards in ("1", "2"):
        rows = [row for row in recorded["lateness"] if str(row["shards"]) == shards]
        label = _name(shards)
        late.plot([row["rate"] for row in rows], [row["p99_ms"] for row in rows], color=COLOURS[shards], label=label)
        points = [one["shards"][shards] for one in recorded["rounds"]]
        late.plot(
            [one["rate"] for one in points],
            [one["measured_p99_ms"] for one in points],
            "o",
            color=COLOURS[shards],
            alpha=0.6,
            label=f"{label}, measured",
        )
        late.axvline(medians(recorded, shards)["measured_per_second"], color=COLOURS[shards], ls=":", lw=1)
    late.set(
        xlabel="requests a second", ylabel="p99, ms", yscale="log", title="one replica (dotted: gives up, measured)"
    )
    rates = [10 ** (k / 20) for k in range(20, 121)]
    for row in recorded["most"]:
        if row["shards"] == 4 or row["p99_ms_wanted"] == 20:
            label = f"{row['shards']} cores each, p99 within {row['p99_ms_wanted']:g} ms"
            cores = [row["shards"] * replicas(rate, row["rate"]) for rate in rates]
            many.plot(rates, cores, label=label, lw=1.3)
    many.set(xlabel="requests a second", ylabel="cores", xscale="log", yscale="log", title="cores, none to spare")
    for axis in (late, many):
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
