"""Table and picture of the capacity model beside what was measured."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {"1": "tab:blue", "2": "tab:orange"}
RATES = (1e3, 1e4, 1e5, 1e6)


def medians(recorded: dict[str, Any], shards: str) -> dict[str, float]:
    """Over the rounds."""
    rounds = [one["shards"][shards] for one in recorded["rounds"]]
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def expected(one: dict[str, float], shards: str) -> float:
    """Answers a second that the model says of what others left of the cores."""
    return one["predicted_per_second"] * one["left"] / int(shards)


def replicas(rate: float, each: float) -> int:
    """How many for a rate, none to spare."""
    return max(1, math.ceil(rate / each))


def write(folder: Path) -> None:
    """scaling.md and scaling.png from scaling.json."""
    recorded = json.loads((folder / "scaling.json").read_text())
    (folder / "scaling.md").write_text(_markdown(recorded))
    _picture(recorded, folder / "scaling.png")


def _name(shards: str) -> str:
    return "1 shard" if shards == "1" else f"{shards} shards"


def _off(recorded: dict[str, Any], shards: str) -> list[float]:
    """By how much the model was too high, in each round."""
    rounds = [one["shards"][shards] for one in recorded["rounds"]]
    return [expected(one, shards) / one["measured_per_second"] - 1 for one in rounds]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _throughput(recorded: dict[str, Any], shards: str) -> str:
    row, off = medians(recorded, shards), _off(recorded, shards)
    each = ", ".join(f"{one:+.0%}" for one in off)
    said, measured = f"{row['predicted_per_second']:.0f}", f"{row['measured_per_second']:.0f}"
    cores = (f"{row['left']:.2f}", f"{row['used']:.2f}")
    return _row(shards, said, *cores, measured, f"{statistics.median(off):+.0%}", each)


def _lateness(recorded: dict[str, Any], shards: str) -> str:
    row = medians(recorded, shards)
    times = [f"{row[f'{who}_{share}_ms']:.1f} ms" for share in ("p50", "p99") for who in ("predicted", "measured")]
    return _row(shards, f"{row['rate']:.0f}", *times)


def _most(row: dict[str, Any]) -> str:
    cells = [f"{row['p99_ms_wanted']:g} ms", f"{row['rate']:.0f}", f"{row['busy']:.0%}"]
    return _row(*cells, f"{row['p99_ms']:.1f} ms", *(f"{replicas(rate, row['rate']):,}" for rate in RATES))


def _markdown(recorded: dict[str, Any]) -> str:
    two, rounds = medians(recorded, "2"), len(recorded["rounds"])
    crowding = [one["crowding"] for one in recorded["rounds"]]
    middle = {shards: medians(recorded, shards) for shards in COLOURS}
    late = {shards: row["measured_p99_ms"] / row["predicted_p99_ms"] for shards, row in middle.items()}
    lines = [
        "# The capacity model, and what was measured",
        "",
        f"`{recorded['model']}`, one image a request, tolerances {recorded['mix'].replace(',', ', ')}. Each round:",
        "step times are measured in a process of its own; what a request takes beside the engine follows from one load",
        "at tolerance 1e-1 on one core; then the model says what one and two shards do with the mix. A server with as",
        f"many cores is loaded by {recorded['clients']} clients that always ask again, and after that by requests at",
        f"random times, {recorded['at']:.0%} as many. Medians of {rounds} rounds.",
        "",
        "*Cores left* is what other programs did not take of the cores that the server was given, by the system's own",
        "count, and what the model says is held against what was measured for that much of them. *Cores used* is the",
        "server's own processor time: what is between the two, it left idle itself.",
        "",
        _row("shards", "answers/s, said", "cores left", "cores used", "measured", "off by", "in each round"),
        "|---" * 7 + "|",
        *(_throughput(recorded, shards) for shards in ("1", "2")),
        "",
        _row("shards", "requests/s", "p50, said", "measured", "p99, said", "measured"),
        "|---" * 6 + "|",
        *(_lateness(recorded, shards) for shards in ("1", "2")),
        "",
        "With one shard the client has the other core; with two it runs on the same two cores, and its own time for",
        f"each request, measured ({1e3 * two['client']:.3f} ms), is added in the model. A request takes",
        f"{1e3 * recorded['beside']:.2f} ms beside the engine, and with two shards everything takes "
        f"{recorded['crowding']:.0%} longer by the clock",
        f"({', '.join(f'{one:.0%}' for one in crowding)}): they share an interpreter and caches, and leave cores idle",
        "while they wait for each other.",
        "",
        f"The p99 of one shard was {late['1']:.1f} times what the model says, on a host that others use, too, where",
        f"single steps take twice as long at times; that of two shards {late['2']:.1f} times. That they wait for each",
        "other is in the throughput that the model says and not in the latencies: three threads, the event loop's",
        "among them, want one interpreter and two cores, and the client wants some of those. Targets for p99 are to be",
        "planned with one shard a replica, and with a margin.",
        "",
        "![p99 by load, cores by requests a second](scaling.png)",
        "",
        "## What a replica can be given",
        "",
        "One core and one shard each; none to spare.",
        "",
        _row("p99 within", "requests/s", "busy", "p99", *(f"replicas for {rate:,.0f}/s" for rate in RATES)),
        "|---" * 8 + "|",
        *(_most(row) for row in recorded["most"]),
        "",
        f"{recorded['machine']}; {recorded['date']}; {recorded['versions']}.",
        "",
    ]
    return "\n".join(lines)


def _picture(recorded: dict[str, Any], path: Path) -> None:
    figure, (late, many) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
    for shards, colour in COLOURS.items():
        rows = [row for row in recorded["lateness"] if str(row["shards"]) == shards]
        late.plot(
            [row["rate"] for row in rows], [row["p99_ms"] for row in rows], "o-", ms=3, c=colour, label=_name(shards)
        )
        measured = medians(recorded, shards)
        late.plot(
            measured["rate"], measured["measured_p99_ms"], "x", ms=9, c=colour, label=f"{_name(shards)}, measured"
        )
    late.set(xlabel="requests a second", ylabel="p99, ms", yscale="log", title="one replica, simulated")
    rates = [10 ** (k / 20) for k in range(20, 121)]
    for row in recorded["most"]:
        cores = [replicas(rate, row["rate"]) for rate in rates]
        many.plot(rates, cores, label=f"p99 within {row['p99_ms_wanted']:g} ms", lw=1.3)
    many.set(
        xlabel="requests a second",
        ylabel="cores",
        xscale="log",
        yscale="log",
        title="replicas of one core, none to spare",
    )
    for axis in (late, many):
        axis.grid(alpha=0.3)
    late.legend(fontsize="small", loc="lower right")
    many.legend(fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
