"""The table of recorded attacks."""

import json
from pathlib import Path
from typing import Any


def write(folder: Path) -> None:
    """abuse.md from abuse.json."""
    recorded = json.loads((folder / "abuse.json").read_text())
    (folder / "abuse.md").write_text(_markdown(recorded))


def _markdown(recorded: dict[str, Any]) -> str:
    settings = ", ".join(f"`ODESERVE_{name}={value}`" for name, value in recorded["settings"].items())
    lines = [
        "# What ordinary clients notice while others misbehave",
        "",
        f"Ordinary clients send {recorded['rate']:g} images a second to `/classify?tol=1e-2` all the time: "
        f"{recorded['seconds']:g} s before, during and",
        f"after each attack. {settings}. Attackers and ordinary clients share",
        "the machine with the server, attackers at the lowest priority; latencies count from the intended time.",
        "",
        "| attack | connections | p50 before, during, after | p99 before, during, after | p99 during / without "
        "| answered | MiB before, most | what attackers met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in recorded["results"]:
        times = [
            ", ".join(f"{row[when][name]:.1f}" for when in ("before", "during", "after")) + " ms"
            for name in ("p50_ms", "p99_ms")
        ]
        memory = row["resident_mb"]
        met = ", ".join(f"{count:,} {what}" for what, count in sorted(row["seen"].items()))
        lines.append(
            f"| {row['attack']} | {row['connections']:,} | {times[0]} | {times[1]} | {_ratio(row):.2f} "
            f"| {row['during']['ok']} of {row['during']['sent']} | {memory['before']}, {memory['most']} | {met} |"
        )
    lines += [
        "",
        "`p99 during / without`: without is the mean of before and after. What attackers met: statuses of answers, and",
        "connections that were opened, refused, and closed by the server.",
        "",
        f"{recorded['machine']}; {recorded['versions']}; {recorded['date']}. Made by `python -m benchmarks.abuse`.",
        "",
    ]
    return "\n".join(lines)


def _ratio(row: dict[str, Any]) -> float:
    return float(row["during"]["p99_ms"] / ((row["before"]["p99_ms"] + row["after"]["p99_ms"]) / 2))
